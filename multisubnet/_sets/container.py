"""Immutable sets of weights: some of them, more of them, in other forms, places and files."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Iterator
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

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import HostArray, HostArrayLike

_LARGEST_ITEM = 32  # bytes, of a dtype of numbers


class Container(Generic[ArrayT]):
    """What `WeightSets` are besides a model: see there."""

    __slots__ = ("__weakref__", "_activation", "_bias", "_skips_memory_check_below", "_weight")
    _weight: Any
    _bias: Any
    _skips_memory_check_below: int  # of samples times features: no result is too large then
    _activation: Activation | None  # None: linear, which is what functions take fastest

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
        self._set(
            _copied(weight, shape), None if bias is None else _copied(bias, shape), activation
        )

    @classmethod
    def _of(cls, weight: Any, bias: Any, activation: Any) -> Self:
        """Return sets of contiguous arrays of shape (N, F) that nobody will write to."""
        return cls.__new__(cls)._set(weight, bias, activation)

    def _set(self, weight: Any, bias: Any, activation: Any) -> Self:
        if activation is not None:
            activation, _ = resolve_activation(activation, np.dtype(np.float64))
        for array in (weight, bias):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        unchecked = prediction.UNCHECKED_BYTES // (_LARGEST_ITEM * max(len(weight), 1))
        values = activation, bias, unchecked, weight
        for name, value in zip(Container.__slots__[1:], values, strict=True):
            object.__setattr__(self, name, value)
        return self

    def __setattr__(self, attribute: str, value: Any) -> None:
        raise AttributeError(f"WeightSets are immutable: {attribute} cannot be set")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError(f"WeightSets are immutable: {attribute} cannot be deleted")

    # What there is.

    @property
    def weight(self) -> ArrayT:
        """The weights, of shape (N, F): C-contiguous, and read-only if a NumPy array."""
        return self._weight

    @property
    def bias(self) -> ArrayT | None:
        """The biases, of shape (N, F), or None."""
        return self._bias

    @property
    def activation(self) -> Activation:
        """The activation."""
        return Activation("linear") if self._activation is None else self._activation

    @property
    def n_sets(self) -> int:
        """N, the number of sets."""
        return self._weight.shape[0]

    @property
    def n_features(self) -> int:
        """F, the number of features."""
        return self._weight.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that weight and bias have in common."""
        return dtypes.result_type(*(array.dtype for array in self._arrays()))

    @property
    def nbytes(self) -> int:
        """The size of weight and bias in bytes."""
        return sum(array.nbytes for array in self._arrays())

    @property
    def device(self) -> str:
        """Where weight and bias are: ``"cpu"``, or ``"cuda:0"`` and so on."""
        if namespaces.is_cupy(self._weight):
            return f"cuda:{self._weight.data.device_id}"
        return "cpu"

    def _arrays(self) -> list[Any]:
        return [self._weight] if self._bias is None else [self._weight, self._bias]

    def __repr__(self) -> str:
        bias = "" if self._bias is None else " with bias"
        activation = "" if self._activation is None else f", {self._activation!r}"
        return (
            f"WeightSets(N={self.n_sets}, F={self.n_features}, {self.dtype}{bias} on "
            f"{self.device}{activation}, {amounts.text(self.nbytes)})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Container):
            return NotImplemented
        if self._activation != other._activation or (self._bias is None) != (other._bias is None):
            return False
        pairs = zip(self._arrays(), other._arrays(), strict=True)
        return all(_same_bits(one, another) for one, another in pairs)

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = type(self), self._weight, self._bias, self._activation
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
                f"take their weight and bias"
            )
        array = np.empty((), object)
        array[()] = self
        return array

    # Some of the sets, and more of them.

    def __len__(self) -> int:
        return self._weight.shape[0]

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
            xp = namespaces.namespace({"weight": self._weight})
            with namespaces.device_of(self._weight):
                chosen = xp.asarray(np.arange(len(self))[index])
        weight, bias = (
            None if array is None else _contiguous(array[chosen])
            for array in (self._weight, self._bias)
        )
        return self._of(weight, bias, self._activation)

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
            for what, one, other in (
                ("features", first.n_features, sets.n_features),
                ("activation", first.activation, sets.activation),
                ("biases", first._bias is not None, sets._bias is not None),
            ):
                if one != other:
                    raise ValueError(
                        f"sequence[{number}] is of another model than sequence[0]: {what} are "
                        f"{other} and {one}"
                    )
        weights = {f"sequence[{i}].weight": sets._weight for i, sets in enumerate(members)}
        biases = {f"sequence[{i}].bias": sets._bias for i, sets in enumerate(members)}
        weight = joining.joined(weights, "concatenate", axis=0)
        bias = None if first._bias is None else joining.joined(biases, "concatenate", axis=0)
        return cls._of(weight, bias, first._activation)

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
        return cls._of(*_pairs.unpacked(pairs), activation)

    def to_pairs(self) -> ArrayT:
        """Return the sets as (weight, bias) pairs, a new array of shape (N, F, 2).

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[2, 9]], [[7, 5]]).to_pairs()
        array([[[2, 7],
                [9, 5]]])
        """
        return _pairs.to_pairs(self._weight, self._bias)

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
        theta = _theta.to_theta(self._weight, self._bias, axis=axis)
        return theta.copy() if self._bias is None else theta

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
            arrays = [namespaces.on_host(array) for array in self._arrays()]
        else:
            arrays = [x if namespaces.is_cupy(x) else backend.adopt(x) for x in self._arrays()]
        weight, bias = arrays if len(arrays) == 2 else (arrays[0], None)
        return self._of(weight, bias, self._activation)

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
            return cls._of(weight, bias, activation)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} has no sets of weights: {error}") from None


@keep_subnormals
def _copied(array: Any, shape: tuple[int, int]) -> Any:
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


def _restored(cls: type[Container[Any]], weight: Any, bias: Any, activation: Any) -> Container[Any]:
    """Return sets that were copied or pickled: without what a subclass does to make them."""
    weight, bias = (None if x is None else _copied(x, weight.shape) for x in (weight, bias))
    return cls._of(weight, bias, activation)


def _contiguous(array: Any) -> Any:
    """Return an array as a C-contiguous one."""
    with namespaces.device_of(array):
        return namespaces.namespace({"array": array}).ascontiguousarray(array)


def _same_bits(one: Any, other: Any) -> bool:
    """Whether two arrays have the same dtype, shape and bits."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return namespaces.on_host(one).tobytes() == namespaces.on_host(other).tobytes()
