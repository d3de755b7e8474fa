"""The immutable container of weight sets: indexing, joining and moving between devices."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Self, overload

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import amounts, dtypes, joining, namespaces, validation
from multisubnet._arrays.explanations import a, count, shown
from multisubnet._arrays.types import ArrayT
from multisubnet._backends import choice
from multisubnet._functions.calls import explained
from multisubnet._sets import names, prediction
from multisubnet._sets.names import Names
from multisubnet._sets.parameters import Parameters, resolve

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import HostArray, HostArrayLike

_LARGEST_ITEM = 32  # bytes; the largest item size of a numeric dtype


class Container(Generic[ArrayT]):
    """The part of `WeightSets` that does not depend on the model; documented there."""

    __slots__ = ("__weakref__", "_parameters", "_skips_memory_check_below")
    _parameters: Parameters
    _skips_memory_check_below: int  # samples times features below which results are small

    @overload
    def __init__(
        self: Container[HostArray],
        weight: HostArrayLike,
        bias: HostArrayLike | None = ...,
        activation: ActivationLike | None = ...,
        *,
        feature_names: Iterable[str] | None = ...,
        set_names: Iterable[str] | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        weight: ArrayT,
        bias: ArrayT | None = ...,
        activation: ActivationLike | None = ...,
        *,
        feature_names: Iterable[str] | None = ...,
        set_names: Iterable[str] | None = ...,
    ) -> None: ...
    @explained("WeightSets")
    def __init__(
        self,
        weight: Any,
        bias: Any = None,
        activation: ActivationLike | None = None,
        *,
        feature_names: Iterable[str] | None = None,
        set_names: Iterable[str] | None = None,
    ) -> None:
        weight, bias, feature_names = names.of_frames(weight, bias, feature_names)
        _, weight, bias, shape = validation.read_parameters(weight, bias)
        layer = copied(weight, shape), None if bias is None else copied(bias, shape)
        parameters = Parameters((layer,), (resolve(activation),))
        self._set(parameters.named(feature_names, None, set_names))

    @classmethod
    def _of(cls, parameters: Parameters) -> Self:
        """Return sets from contiguous arrays of length N that nothing else will write to."""
        return cls.__new__(cls)._set(parameters)

    def _set(self, parameters: Parameters) -> Self:
        for array in (*parameters.arrays.values(), parameters.inputs):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        unchecked = 0
        if parameters.is_affine:
            n_sets = len(parameters.layers[0][0])
            unchecked = prediction.UNCHECKED_BYTES // (_LARGEST_ITEM * max(n_sets, 1))
        object.__setattr__(self, "_parameters", parameters)
        object.__setattr__(self, "_skips_memory_check_below", unchecked)
        return self

    def _activated(self, activation: Any) -> Self:
        """Return the sets with another activation; for networks, in all hidden layers."""
        parameters = self._parameters
        *hidden, last = parameters.activations
        given = resolve(activation)
        every = (given,) if parameters.is_affine else (*[given] * len(hidden), last)
        return self._of(parameters._replace(activations=every))

    def __setattr__(self, attribute: str, value: Any) -> None:
        raise AttributeError(f"WeightSets are immutable: {attribute} cannot be set")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError(f"WeightSets are immutable: {attribute} cannot be deleted")

    # Properties.

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
        """The weight and the bias, or None, of each layer, in the form that `mlp` takes."""
        if not self._parameters.is_affine:
            return self._parameters.layers
        weight, bias = self._parameters.layers[0]
        return ((weight[:, :, None, None], None if bias is None else bias[:, :, None]),)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """The number of inputs of a network, then the number of outputs of each layer."""
        return self._parameters.sizes

    @property
    def activation(self) -> Any:
        """The activation; for networks, of the hidden layers, or a tuple if they differ."""
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
        """The features that each network sees, of shape (S, d), if given to `from_layers`."""
        return self._parameters.inputs

    @property
    def additive(self) -> bool:
        """Whether predictions are sums over networks."""
        return self._parameters.additive

    @property
    def intercept(self) -> ArrayT | None:
        """The initial values of sums over networks, of shape (N, P), or None."""
        return self._parameters.intercept

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The names of the features, in the order of the columns of samples, or None."""
        return self._parameters.names.features

    @property
    def output_names(self) -> tuple[str, ...] | None:
        """The names of the outputs of networks, or None."""
        return self._parameters.names.outputs

    @property
    def set_names(self) -> tuple[str, ...] | None:
        """The names of the sets, or None."""
        return self._parameters.names.sets

    @property
    def n_sets(self) -> int:
        """N, the number of sets."""
        return len(self)

    @property
    def n_networks(self) -> int:
        """S, the number of networks of a set; F for sets of one weight and one bias."""
        return self._parameters.layers[0][0].shape[1]

    @property
    def n_features(self) -> int:
        """F, the number of features; with `inputs`, the smallest number that samples may have."""
        return self._parameters.n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """The common dtype of all arrays."""
        return dtypes.result_type(*(array.dtype for array in self._arrays()))

    @property
    def nbytes(self) -> int:
        """The size of all arrays in bytes."""
        return sum(array.nbytes for array in self._arrays())

    @property
    def device(self) -> str:
        """The device of the arrays: ``"cpu"``, ``"cuda:0"`` and so on."""
        weight, _ = self._parameters.layers[0]
        return f"cuda:{weight.data.device_id}" if namespaces.is_cupy(weight) else "cpu"

    def _arrays(self) -> list[Any]:
        return list(self._parameters.arrays.values())

    def _pair(self, name: str, error: type[Exception] = TypeError) -> tuple[Any, Any]:
        """Return weight and bias; networks with layers raise, because they have neither."""
        if not self._parameters.is_affine:
            raise error(
                f"{name} exists only for sets of one weight and one bias per feature; these are "
                f"networks with the layer sizes {self.layer_sizes}: use layers"
            )
        return self._parameters.layers[0]

    def __repr__(self) -> str:
        parameters = self._parameters
        shape = f"F={self.n_features}"
        has_bias = any(bias is not None for _, bias in parameters.layers)
        notes = [repr(self.activation)] * any(a is not None for a in parameters.activations)
        if not parameters.is_affine:
            networks = "network" + "s" * (self.n_networks != 1)
            shape = f"{self.n_networks} {networks} {'-'.join(map(str, parameters.sizes))}"
            notes = [repr(self.activation)] * any(parameters.activations[:-1])
            notes += [f"output {self.output_activation!r}"] * bool(parameters.activations[-1])
            notes += ["additive"] * self.additive
        return (
            f"WeightSets(N={self.n_sets}, {shape}, {self.dtype}{' with bias' * has_bias} on "
            f"{', '.join([self.device, *notes, amounts.text(self.nbytes)])})"
        )

    def _repr_html_(self) -> str:
        """Return the HTML that notebooks show."""
        from multisubnet._sets.html import html_of  # keeps `import multisubnet` fast

        return html_of(self._parameters, self.device, self.dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Container):
            return NotImplemented
        one, another = self._parameters, other._parameters
        if one.is_affine != another.is_affine or one.structure != another.structure:
            return False
        if one.names != another.names:
            return False
        pairs = zip(self._arrays(), other._arrays(), strict=True)
        return all(_same_bits(*pair) for pair in pairs)

    def __reduce__(self) -> tuple[Any, ...]:
        *parameters, of_sets = self._parameters
        arguments = type(self), *parameters, tuple(of_sets)
        # Attributes and slots of a subclass.
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
        """Return a 0-d object array; otherwise NumPy would recurse into the sequence forever."""
        if dtype is not None and np.dtype(dtype) != object:
            raise TypeError(
                f"WeightSets cannot become an array of dtype {np.dtype(dtype)}: "
                f"use their weight and bias, or their layers"
            )
        array = np.empty((), object)
        array[()] = self
        return array

    # Indexing and joining.

    def __len__(self) -> int:
        return len(self._parameters.layers[0][0])

    def __getitem__(self, index: Any) -> Self:
        """Return the sets at a slice, at an array of indices or bools, or at a single index."""
        if isinstance(index, slice):
            numbers = chosen = index
        elif hasattr(index, "__index__") and np.ndim(index) == 0 and not isinstance(index, bool):
            number = operator.index(index)
            if not -len(self) <= number < len(self):
                raise IndexError(f"set {number} is out of bounds for {count(len(self), 'set')}")
            numbers = chosen = slice(number % len(self), number % len(self) + 1)
        else:
            # NumPy checks bounds; CuPy would wrap an out-of-range index around.
            index = namespaces.on_host(index)
            is_pair = isinstance(index, tuple)
            is_name = not is_pair and np.asarray(index).dtype.kind == "U"
            if is_pair or is_name or np.ndim(index) != 1:
                advice = ""
                if is_name and self.set_names is None:
                    advice = "; these sets have no set_names"
                elif is_name:
                    advice = ": set_names.index(name) is the number of a set"
                raise TypeError(
                    f"sets are indexed by an integer, a slice, or an array of integers or bools of "
                    f"one dimension, not {shown(index)}{advice}"
                )
            weight, _ = self._parameters.layers[0]
            xp = namespaces.namespace({"weight": weight})
            numbers = np.arange(len(self))[index]
            with namespaces.device_of(weight):
                chosen = xp.asarray(numbers)
        parameters = self._parameters.changed(lambda array: _contiguous(array[chosen]))
        return self._of(parameters._replace(names=parameters.names.of_sets(numbers)))

    def __iter__(self) -> Iterator[Self]:
        return (self[number] for number in range(len(self)))

    @classmethod
    @explained("WeightSets.concatenate")
    def concatenate(cls, sequence: Iterable[Self]) -> Self:
        """Join sets of the same model.

        Parameters
        ----------
        sequence : iterable of WeightSets
            Sets with the same number of features, the same activation, and either all or none with
            biases. `feature_names`, if several have them, must be equal. Sets keep their names if
            all of them have names.

        Returns
        -------
        WeightSets

        Raises
        ------
        ValueError
            The sets belong to different models, or there are none.
        TypeError
            An item is not a WeightSets; CuPy arrays are mixed with NumPy arrays, or differ in
            dtype.

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
                raise TypeError(f"sequence[{number}] is {a(sets)}, not WeightSets")
            difference = sets._parameters.difference(first._parameters)
            if difference is not None:
                raise ValueError(
                    f"sequence[{number}] and sequence[0] belong to different models: {difference}"
                )
        joined = {}
        for name in first._parameters.arrays:
            named = {
                f"sequence[{i}].{name}": sets._parameters.arrays[name]
                for i, sets in enumerate(members)
            }
            joined[name] = joining.joined(named, "concatenate", axis=0)
        common = Names.joined("sequence", [sets._parameters.names for sets in members])
        return cls._of(first._parameters.with_arrays(joined)._replace(names=common))

    @explained("WeightSets.to")
    def to(self, target: str) -> Any:
        """Return the sets on the CPU or on a GPU.

        Parameters
        ----------
        target : str
            ``"cpu"`` or ``"numpy"`` gives NumPy arrays. ``"cuda"`` or ``"cupy"`` gives CuPy arrays,
            on the current CUDA device unless they are already on a GPU. ``"cuda:1"`` and so on
            gives CuPy arrays on that device.

        Returns
        -------
        WeightSets

        Raises
        ------
        ValueError
            The target is none of these, or the device does not exist.
        BackendUnavailable
            CuPy cannot be used here; the message says why.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[1.0, 2.0]]).to("cpu").device
        'cpu'
        """
        if target in ("cpu", "numpy"):
            return self._of(self._parameters.changed(namespaces.on_host))
        number = re.fullmatch(r"cuda(?::(\d+))?", "cuda" if target == "cupy" else str(target))
        if number is None:
            raise ValueError(
                f"target must be 'cpu' (or 'numpy'), 'cuda' (or 'cupy'), or a device like "
                f"'cuda:0', not {target!r}"
            )
        backend = choice.load("cupy")
        if number[1] is None:
            moved = self._parameters.changed(
                lambda x: x if namespaces.is_cupy(x) else backend.copy_from_other(x)
            )
            return self._of(moved)
        cuda = namespaces.cupy().cuda
        device, n_devices = int(number[1]), cuda.runtime.getDeviceCount()
        if device >= n_devices:
            raise ValueError(
                f"target is {target!r}; expected one of the GPUs here, 0 to {n_devices - 1}"
            )

        def on_device(x: Any) -> Any:
            if not namespaces.is_cupy(x):
                return backend.copy_from_other(x)
            return x if x.data.device_id == device else x.copy()  # to the current device

        with cuda.Device(device):
            return self._of(self._parameters.changed(on_device))


def copied(array: Any, shape: tuple[int, ...]) -> Any:
    """Return a new C-contiguous array of this shape, in native byte order."""
    xp = namespaces.namespace({"array": array})
    with namespaces.device_of(array):
        copy = xp.empty(shape, dtypes.native(array.dtype))
        copy[...] = array if array.dtype.kind != "b" else array != 0  # bools stored as 2 become 1
    return copy


def _restored(cls: type[Container[Any]], *given: Any) -> Container[Any]:
    """Return copied or unpickled sets, without calling the constructor of a subclass."""
    *others, of_sets = given
    parameters = Parameters(*others)._replace(names=Names(*of_sets))
    return cls._of(parameters.changed(lambda array: copied(array, array.shape)))


def _contiguous(array: Any) -> Any:
    """Return a C-contiguous version of an array."""
    with namespaces.device_of(array):
        return namespaces.namespace({"array": array}).ascontiguousarray(array)


def _same_bits(one: Any, other: Any) -> bool:
    """Return whether two arrays have the same dtype, shape and bits."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return namespaces.on_host(one).tobytes() == namespaces.on_host(other).tobytes()
