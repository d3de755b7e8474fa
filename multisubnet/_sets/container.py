"""Immutable sets of weights: some of them, more of them, in other forms, places and files."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, overload

import numpy as np

from multisubnet._arithmetic.activation import Activation, resolve_activation
from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arrays import dtypes, joining, namespaces, validation
from multisubnet._arrays.types import ArrayT, SetAxis
from multisubnet._backends import choice
from multisubnet._functions import pairs as _pairs
from multisubnet._functions import theta as _theta
from multisubnet._memory import amounts
from multisubnet._sets import prediction
from multisubnet._sets.parameters import Parameters

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import HostArray, HostArrayLike

_LARGEST_ITEM = 32  # bytes, of a dtype of numbers


class Container(Generic[ArrayT]):
    """What `WeightSets` are besides a model: see there."""

    __slots__ = ("__weakref__", "_parameters", "_skips_memory_check_below")
    _parameters: Parameters
    _skips_memory_check_below: int  # of samples times features: no result is too large then

    @overload
    def __init__(
        self: Container[HostArray],
        weight: HostArrayLike,
        bias: HostArrayLike | None = ...,
        activation: ActivationLike | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        weight: ArrayT,
        bias: ArrayT | None = ...,
        activation: ActivationLike | None = ...,
    ) -> None: ...
    def __init__(
        self, weight: Any, bias: Any = None, activation: ActivationLike | None = None
    ) -> None:
        _, weight, bias, shape = validation.read_parameters(weight, bias)
        layer = _copied(weight, shape), None if bias is None else _copied(bias, shape)
        if activation is not None:
            activation, _ = resolve_activation(activation, np.dtype(np.float64))
        self._set(Parameters((layer,), (activation,)))

    @classmethod
    def _of(cls, parameters: Parameters) -> Self:
        """Return sets of contiguous arrays, of length N, that nobody will write to."""
        return cls.__new__(cls)._set(parameters)

    def _set(self, parameters: Parameters) -> Self:
        for array in parameters.arrays.values():
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        unchecked = 0
        if parameters.is_affine:
            n_sets = len(parameters.layers[0][0])
            unchecked = prediction.UNCHECKED_BYTES // (_LARGEST_ITEM * max(n_sets, 1))
        object.__setattr__(self, "_parameters", parameters)
        object.__setattr__(self, "_skips_memory_check_below", unchecked)
        return self

    def __setattr__(self, attribute: str, value: Any) -> None:
        raise AttributeError(f"WeightSets are immutable: {attribute} cannot be set")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError(f"WeightSets are immutable: {attribute} cannot be deleted")

    # What there is.

    @property
    def weight(self) -> ArrayT:
        """The weights, of shape (N, F): C-contiguous, and read-only if a NumPy array."""
        return self._pair("weight", AttributeError)[0]

    @property
    def bias(self) -> ArrayT | None:
        """The biases, of shape (N, F), or None."""
        return self._pair("bias", AttributeError)[1]

    @property
    def layers(self) -> tuple[tuple[ArrayT, ArrayT | None], ...]:
        """Weight and bias, or None, of each layer, as `mlp` takes them."""
        if not self._parameters.is_affine:
            return self._parameters.layers
        weight, bias = self._parameters.layers[0]
        return ((weight[:, :, None, None], None if bias is None else bias[:, :, None]),)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """The number of inputs of a network, and of outputs of each of its layers."""
        return self._parameters.sizes

    @property
    def activation(self) -> Any:
        """The activation; of networks, that of the hidden layers, or a tuple if they differ."""
        parameters = self._parameters
        if parameters.is_affine:
            return parameters.output_activation
        return parameters.hidden_activation

    @property
    def output_activation(self) -> Activation:
        """The activation of the last layer."""
        return self._parameters.output_activation

    @property
    def inputs(self) -> np.ndarray | None:
        """The features that each network sees, of shape (S, d), if `from_layers` was told."""
        return self._parameters.inputs

    @property
    def additive(self) -> bool:
        """Whether predictions are sums over networks."""
        return self._parameters.additive

    @property
    def intercept(self) -> ArrayT | None:
        """The numbers that sums over networks start from, of shape (N, P), or None."""
        return self._parameters.intercept

    @property
    def n_sets(self) -> int:
        """N, the number of sets."""
        return len(self)

    @property
    def n_networks(self) -> int:
        """S, the number of networks of a set: F for those of one weight and one bias."""
        return self._parameters.layers[0][0].shape[1]

    @property
    def n_features(self) -> int:
        """F, the number of features; with `inputs`, the fewest that samples may have."""
        return self._parameters.n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that all arrays have in common."""
        return dtypes.result_type(*(array.dtype for array in self._arrays()))

    @property
    def nbytes(self) -> int:
        """The size of all arrays in bytes."""
        return sum(array.nbytes for array in self._arrays())

    @property
    def device(self) -> str:
        """Where the arrays are: ``"cpu"``, or ``"cuda:0"`` and so on."""
        weight, _ = self._parameters.layers[0]
        return f"cuda:{weight.data.device_id}" if namespaces.is_cupy(weight) else "cpu"

    def _arrays(self) -> list[Any]:
        return list(self._parameters.arrays.values())

    def _pair(self, name: str, error: type[Exception] = TypeError) -> tuple[Any, Any]:
        """Return weight and bias, for what networks with layers do not have by this name."""
        if not self._parameters.is_affine:
            raise error(
                f"{name} is there for sets of one weight and one bias per feature; these are "
                f"networks with the layer sizes {self.layer_sizes}, and have layers"
            )
        return self._parameters.layers[0]

    def __repr__(self) -> str:
        parameters = self._parameters
        shape = f"F={self.n_features}"
        has_bias = any(bias is not None for _, bias in parameters.layers)
        notes = [repr(self.activation)] * any(a is not None for a in parameters.activations)
        if not parameters.is_affine:
            shape = f"{self.n_networks} networks {'-'.join(map(str, parameters.sizes))}"
            notes = [repr(self.activation)] * any(parameters.activations[:-1])
            notes += [f"output {self.output_activation!r}"] * bool(parameters.activations[-1])
            notes += ["additive"] * self.additive
        return (
            f"WeightSets(N={self.n_sets}, {shape}, {self.dtype}{' with bias' * has_bias} on "
            f"{', '.join([self.device, *notes, amounts.text(self.nbytes)])})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Container):
            return NotImplemented
        one, another = self._parameters, other._parameters
        if one.is_affine != another.is_affine or one.structure != another.structure:
            return False
        pairs = zip(self._arrays(), other._arrays(), strict=True)
        return all(_same_bits(*pair) for pair in pairs)

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = type(self), *self._parameters
        # What a subclass has besides, in attributes or in slots.
        slots = {
            name
            for cls in type(self).__mro__
            if not issubclass(Container, cls)
            for name in getattr(cls, "__slots__", ())
        }
        more = {name: getattr(self, name) for name in slots if hasattr(self, name)}
        return _restored, arguments, (more | getattr(self, "__dict__", {})) or None

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return an array of this one object: sets are a sequence of sets without end."""
        if dtype is not None and np.dtype(dtype) != object:
            raise TypeError(
                f"WeightSets are an object, of which there is no array of dtype {np.dtype(dtype)}: "
                f"take their weight and bias, or their layers"
            )
        array = np.empty((), object)
        array[()] = self
        return array

    # Some of the sets, and more of them.

    def __len__(self) -> int:
        return len(self._parameters.layers[0][0])

    def __getitem__(self, index: Any) -> Self:
        """Return some sets: those of a slice, of an array of indices or bools, or a single one."""
        if isinstance(index, slice):
            chosen = index
        elif hasattr(index, "__index__") and np.ndim(index) == 0 and not isinstance(index, bool):
            number = operator.index(index)
            if not -len(self) <= number < len(self):
                raise IndexError(f"set {number} is out of bounds for {len(self)} sets")
            chosen = slice(number % len(self), number % len(self) + 1)
        else:
            # NumPy checks it: CuPy would take an index out of bounds for one within.
            index = namespaces.on_host(index)
            if isinstance(index, tuple) or np.ndim(index) != 1:
                raise TypeError(
                    f"sets are indexed by an integer, a slice, or an array of integers or bools of "
                    f"one dimension, not {index!r}"
                )
            weight, _ = self._parameters.layers[0]
            xp = namespaces.namespace({"weight": weight})
            with namespaces.device_of(weight):
                chosen = xp.asarray(np.arange(len(self))[index])
        return self._of(self._parameters.changed(lambda array: _contiguous(array[chosen])))

    def __iter__(self) -> Iterator[Self]:
        return (self[number] for number in range(len(self)))

    @classmethod
    def concatenate(cls, sequence: Iterable[Self]) -> Self:
        """Join sets of one model.

        Parameters
        ----------
        sequence : iterable of WeightSets
            With the same number of features and activation, all of them with biases or none.

        Returns
        -------
        WeightSets

        Raises
        ------
        ValueError
            The sets are of different models, or there are none.
        TypeError
            Something else is among them; some are on the GPU and others are not, or they are
            there and differ in dtype.

        Examples
        --------
        >>> import multisubnet as ms
        >>> one, two = ms.WeightSets([[1.0, 2.0]]), ms.WeightSets([[3.0, 4.0], [5.0, 6.0]])
        >>> ms.WeightSets.concatenate([one, two]).weight
        array([[1., 2.],
               [3., 4.],
               [5., 6.]])
        """
        members = list(sequence)
        if not members:
            raise ValueError("sequence is empty; expected at least one WeightSets")
        first = members[0]
        for number, sets in enumerate(members):
            if not isinstance(sets, Container):
                raise TypeError(f"sequence[{number}] is a {type(sets).__name__}, not WeightSets")
            difference = sets._parameters.difference(first._parameters)
            if difference is not None:
                raise ValueError(
                    f"sequence[{number}] is of another model than sequence[0]: {difference}"
                )
        joined = {}
        for name in first._parameters.arrays:
            named = {
                f"sequence[{i}].{name}": sets._parameters.arrays[name]
                for i, sets in enumerate(members)
            }
            joined[name] = joining.joined(named, "concatenate", axis=0)
        return cls._of(first._parameters.with_arrays(joined))

    # From other forms, and to them.

    @classmethod
    def from_pairs(cls, pairs: Any, activation: ActivationLike | None = None) -> Self:
        """Make sets of (weight, bias) pairs.

        Parameters
        ----------
        pairs : array_like, shape (N, F, 2)
            As for `multisubnet.from_pairs`.
        activation : str or Activation, optional
            The activation.

        Returns
        -------
        WeightSets

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets.from_pairs([[[2, 7], [9, 5]]]).bias
        array([[7, 5]])
        """
        weight, bias = _pairs.unpacked(pairs)
        sets = cls._of(Parameters(((weight, bias),), (None,)))
        return sets if activation is None else sets._activated(activation)

    def _activated(self, activation: Any) -> Self:
        """Return sets with another activation; in networks, of all hidden layers."""
        activation, _ = resolve_activation(activation, np.dtype(np.float64))
        parameters = self._parameters
        *hidden, last = parameters.activations
        every = (activation,) if parameters.is_affine else (*[activation] * len(hidden), last)
        return self._of(parameters._replace(activations=every))

    def to_pairs(self) -> ArrayT:
        """Return the sets as (weight, bias) pairs, a new array of shape (N, F, 2).

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[2, 9]], [[7, 5]]).to_pairs()
        array([[[2, 7],
                [9, 5]]])
        """
        return _pairs.to_pairs(*self._pair("to_pairs"))

    @classmethod
    def from_layers(
        cls,
        layers: Sequence[Any],
        *,
        activation: ActivationLike | Sequence[ActivationLike | None] | None = "relu",
        output_activation: ActivationLike | None = None,
        inputs: Any = None,
        additive: bool = False,
        intercept: Any = None,
    ) -> Self:
        """Make sets of networks with hidden layers.

        Parameters
        ----------
        layers, activation, output_activation, inputs, additive, intercept
            As for `mlp`. Arrays are copied; what all sets share is repeated for each.

        Returns
        -------
        WeightSets
            `predict` gives what `mlp` does, of shape (N, B, S, P) or (N, B, P).

        Raises
        ------
        ValueError, IndexError, TypeError
            As for `mlp`.

        Examples
        --------
        Two sets of networks 1-2-1, for each of three features:

        >>> import numpy as np
        >>> import multisubnet as ms
        >>> layers = [(np.ones((2, 3, 1, 2)), np.zeros((2, 3, 2))), np.ones((2, 3, 2, 1))]
        >>> sets = ms.WeightSets.from_layers(layers, additive=True)
        >>> sets
        WeightSets(N=2, 3 networks 1-2-1, float64 with bias on cpu, Activation('relu'), additive, \
        288 bytes)
        >>> sets[1].predict([[1.0, 2.0, -3.0]])
        array([[[6.]]])
        """
        n_sets, parameters = Parameters.of_networks(
            layers, activation, output_activation, inputs, additive, intercept
        )
        inputs = parameters.inputs
        if inputs is not None:
            inputs = inputs.copy()
            inputs.flags.writeable = False
        copied = parameters.changed(lambda array: _copied(array, (n_sets, *array.shape[1:])))
        return cls._of(copied._replace(inputs=inputs))

    @classmethod
    def from_theta(
        cls,
        theta: Any,
        n_features: int,
        *,
        use_bias: bool = True,
        axis: SetAxis = 0,
        activation: ActivationLike | None = None,
    ) -> Self:
        """Make sets of flat parameter vectors, as optimizers hand them over.

        Parameters
        ----------
        theta, n_features, use_bias, axis
            As for `multisubnet.from_theta`.
        activation : str or Activation, optional
            The activation.

        Returns
        -------
        WeightSets

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets.from_theta([[2, 9, 7, 5]], 2).bias
        array([[7, 5]])
        """
        weight, bias = _theta.from_theta(theta, n_features, use_bias=use_bias, axis=axis)
        return cls(weight, bias, activation)

    def to_theta(self, *, axis: SetAxis = 0) -> ArrayT:
        """Return the sets as flat parameter vectors, a new array.

        Parameters
        ----------
        axis : {0, 1}, optional
            As for `multisubnet.to_theta`.

        Returns
        -------
        ndarray, shape (N, P) or (P, N)
            P is 2F, all weights first, then all biases; or F without biases.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[2, 9]], [[7, 5]]).to_theta()
        array([[2, 9, 7, 5]])
        """
        weight, bias = self._pair("to_theta")
        theta = _theta.to_theta(weight, bias, axis=axis)
        return theta.copy() if bias is None else theta

    def to(self, target: str) -> Any:
        """Return the sets as arrays of another library.

        Parameters
        ----------
        target : {"numpy", "cupy"}
            Where to: the CPU, or the current CUDA device.

        Returns
        -------
        WeightSets

        Raises
        ------
        ValueError
            It is neither.
        BackendUnavailable
            CuPy cannot be used here; the message says what is missing.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[1.0, 2.0]]).to("numpy").device
        'cpu'
        """
        if target not in ("numpy", "cupy"):
            raise ValueError(f"target must be 'numpy' or 'cupy', not {target!r}")
        backend = choice.load(target)
        if target == "numpy":
            return self._of(self._parameters.changed(namespaces.on_host))
        moved = self._parameters.changed(lambda x: x if namespaces.is_cupy(x) else backend.adopt(x))
        return self._of(moved)

    # In files.

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the sets to a file, which is there whole or not at all.

        Parameters
        ----------
        path : str or os.PathLike
            A name that ends in ``.npz``, which NumPy reads, too, or in ``.safetensors``. A file
            of that name is replaced.

        Raises
        ------
        ValueError
            The name ends in something else; the dtype is longdouble or complex128, which
            ``.safetensors`` files have not, or bfloat16, which ``.npz`` files have not.
        OSError
            The file cannot be written.

        See Also
        --------
        load : the inverse.

        Notes
        -----
        The file has the arrays ``weight``, and ``bias`` if there is one, bit for bit, in native
        byte order; and as plain data ``activation``, a JSON text, and ``format_version`` (as
        metadata in ``.safetensors``). Sets on the GPU are copied to the host for it.

        Examples
        --------
        >>> import os, tempfile
        >>> import multisubnet as ms
        >>> sets = ms.WeightSets([[2.0, 3.0]], activation="tanh")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sets.save(os.path.join(folder, "sets.npz"))
        ...     ms.WeightSets.load(os.path.join(folder, "sets.npz")) == sets
        True
        """
        from multisubnet._files import (
            weight_files,  # JSON and zip take a while to import
        )

        self._pair("save")
        weight, *bias = (namespaces.on_host(array) for array in self._arrays())
        weight_files.save(path, weight, bias[0] if bias else None, self.activation)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load sets from a file.

        Parameters
        ----------
        path : str or os.PathLike
            A ``.npz`` or ``.safetensors`` file that `save` wrote; or another one with an array
            ``weight`` of shape (N, F) and perhaps a ``bias``, which is linear.

        Returns
        -------
        WeightSets
            On the CPU.

        Raises
        ------
        ValueError
            The file is damaged, or has something else; the message names it.
        ImportError
            The file has bfloat16, and ml_dtypes is not installed.
        MemoryError
            The arrays do not fit in the memory that is available.
        OSError
            The file cannot be read.

        See Also
        --------
        save : the inverse.

        Notes
        -----
        Nothing that is in a file is executed (pickles are refused), and nothing is allocated that
        the file does not have.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> import multisubnet as ms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(os.path.join(folder, "other.npz"), weight=[[1.0, 2.0], [3.0, 4.0]])
        ...     ms.WeightSets.load(os.path.join(folder, "other.npz"))
        WeightSets(N=2, F=2, float64 on cpu, 32 bytes)
        """
        from multisubnet._files import weight_files

        weight, bias, activation = weight_files.load(path)
        try:
            _, weight, bias, shape = validation.read_parameters(weight, bias)
            weight = _plain(path, weight, shape)  # one after the other: a copy at a time
            bias = None if bias is None else _plain(path, bias, shape)
            return cls._of(Parameters(((weight, bias),), (activation,)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} has no sets of weights: {error}") from None


@keep_subnormals
def _copied(array: Any, shape: tuple[int, ...]) -> Any:
    """Return a new C-contiguous array of this shape, in native byte order."""
    xp = namespaces.namespace({"array": array})
    with namespaces.device_of(array):
        copy = xp.empty(shape, dtypes.native(array.dtype))
        copy[...] = array if array.dtype.kind != "b" else array != 0  # a byte may be 2
    return copy


def _plain(path: Any, array: Any, shape: tuple[int, int]) -> Any:
    """Return an array that was read from a file as `_copied` does, without a copy if it is so."""
    is_native = array.dtype is dtypes.native(array.dtype)
    is_native &= array.dtype.kind != "b"  # of which a byte may be 2
    if is_native and array.shape == shape and array.flags.c_contiguous:
        return array
    amounts.check_fits(path, math.prod(shape) * array.itemsize)
    return _copied(array, shape)


def _restored(cls: type[Container[Any]], *parameters: Any) -> Container[Any]:
    """Return sets that were copied or pickled: without what a subclass does to make them."""
    return cls._of(Parameters(*parameters).changed(lambda array: _copied(array, array.shape)))


def _contiguous(array: Any) -> Any:
    """Return an array as a C-contiguous one."""
    with namespaces.device_of(array):
        return namespaces.namespace({"array": array}).ascontiguousarray(array)


def _same_bits(one: Any, other: Any) -> bool:
    """Whether two arrays have the same dtype, shape and bits."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return namespaces.on_host(one).tobytes() == namespaces.on_host(other).tobytes()
