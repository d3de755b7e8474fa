"""Validation of the operands of networks with hidden layers, once per call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation, resolve_activation
from multisubnet._arrays import dtypes, frames, frameworks, namespaces, validation
from multisubnet._arrays.explanations import a, advice_for_models, count
from multisubnet._backends.mlp_call import MlpCall, MlpForm
from multisubnet._functions.affine_operands import (
    ARRAYS_OF_NUMPY,
    ARRAYS_OF_NUMPY_OR_NONE,
    as_numpy_arrays,
)

_TRANSPOSED = "; a weight has the axes (N, S, inputs, outputs): is it transposed?"


class Options(NamedTuple):
    """The options of `mlp` that affect the result, in the order in which `read` takes them."""

    activation: Any
    output_activation: Any
    inputs: Any
    additive: Any

    def with_array(self) -> Options:
        """Return the options with `inputs` as a NumPy array, unless it is None."""
        return self if self.inputs is None else self._replace(inputs=_inputs_array(self.inputs))


def adapter_function(
    name: str, named: dict[str, Any], others: tuple[Any, ...]
) -> Callable[..., Any] | None:
    """Return the function of this name in the adapter of another library, or None without one."""
    if ARRAYS_OF_NUMPY_OR_NONE.issuperset(map(type, (*named.values(), *others))):
        return None
    adapter = frameworks.of((*named.values(), *others))
    return None if adapter is None else frameworks.function_of(adapter, name)


def read(
    named: dict[str, Any],
    activation: Any,
    output_activation: Any,
    inputs: Any,
    additive: Any,
    out: Any,
    others: dict[str, Any] | None = None,
) -> tuple[ModuleType, MlpCall, dict[str, Any]]:
    """Return the namespace, the validated call, and other operands as arrays of that namespace."""
    others = {} if others is None else others
    if type(additive) is not bool:
        additive = validation.flag("additive", additive)
    if "intercept" in named and not additive:
        raise ValueError("intercept requires additive=True")
    xp: ModuleType = np
    if (
        out is not None
        or set(map(type, named.values())) != ARRAYS_OF_NUMPY
        or not ARRAYS_OF_NUMPY_OR_NONE.issuperset(map(type, others.values()))
    ):
        xp = namespaces.namespace(named | others | {"out": out})
        if xp is np:
            for x in others.values():
                if hasattr(x, "columns") or hasattr(x, "iloc"):  # a frame, or a series of pandas
                    frames.check_order(named | others)
            named = as_numpy_arrays(named, named)
            others = {
                name: None if x is None else validation.as_numpy(name, x)
                for name, x in others.items()
            }
    else:
        for name, x in others.items():
            if x is not None and x.dtype not in dtypes.NATIVE:
                validation.check_dtype(name, x)
    samples = named["samples"]
    pairs, intercept = pairs_of(named), named.get("intercept")
    dtype = _common_dtype(named)
    hidden = tuple(activation) if isinstance(activation, list | tuple) else activation
    try:
        form = _validate(
            samples.shape,
            tuple([(w.shape, None if b is None else b.shape) for w, b in pairs]),
            None if intercept is None else intercept.shape,
            hidden,
            output_activation,
            dtype,
            additive,
            inputs is None,
        )
    except TypeError:  # perhaps of something that is no activation and cannot be a key
        for each in (*(hidden if isinstance(hidden, tuple) else [hidden]), output_activation):
            if each is not None:
                resolve_activation(each, dtype)
        raise
    wiring = None if inputs is None else _wiring(inputs, pairs[0][0].shape, samples.shape[-1])
    return xp, MlpCall(samples, pairs, wiring, intercept, form), others


def read_parameters(
    layers: Any,
    activation: Any,
    output_activation: Any,
    inputs: Any,
    additive: Any,
    intercept: Any,
) -> MlpCall:
    """Return the validated call of networks without samples, with as many features as needed."""
    named = name_operands(None, layers, intercept)
    del named["samples"]
    xp = namespaces.namespace(named)
    if xp is np:
        named = {name: validation.as_numpy(name, x) for name, x in named.items()}
    first = named["layers[0][0]"]
    _, n_subnets, n_inputs, _ = first.shape if first.ndim == 4 else (0, 0, 0, 0)
    n_features = n_subnets * n_inputs
    if inputs is not None:
        inputs = _inputs_array(inputs)
        is_index = inputs.dtype.kind in "iu" and inputs.size
        n_features = max(int(inputs.max()) + 1, 0) if is_index else 0
    with namespaces.device_of(first):
        no_samples = xp.empty((0, n_features), bool)
    named = {"samples": no_samples} | named
    return read(named, activation, output_activation, inputs, additive, None)[1]


def name_operands(samples: Any, layers: Any, intercept: Any) -> dict[str, Any]:
    """Return the operands by name; those of layer l are layers[l][0] and layers[l][1]."""
    if not isinstance(layers, list | tuple):
        advice = advice_for_models(layers) or ""
        raise TypeError(
            f"layers is {a(layers)}; expected a sequence of (weight, bias) pairs"
            f"{': ' * bool(advice)}{advice}"
        )
    if not layers:
        raise ValueError("layers is empty; expected at least one (weight, bias) pair")
    named = {"samples": samples}
    names = _names(len(layers))
    for number, layer in enumerate(layers):
        pair = layer if isinstance(layer, list | tuple) else (layer,)
        if not 1 <= len(pair) <= 2:
            raise ValueError(
                f"layers[{number}] has {count(len(pair), 'item')}; expected (weight, bias), or a "
                f"weight that is an array"
            )
        weight, bias = names[number]
        named[weight] = pair[0]
        if len(pair) == 2 and pair[1] is not None:
            named[bias] = pair[1]
    if intercept is not None:
        named["intercept"] = intercept
    return named


def _name(number: int) -> tuple[str, str]:
    return f"layers[{number}][0]", f"layers[{number}][1]"


_NAMES = [_name(number) for number in range(16)]  # a list: torch.compile cannot trace a cache


def _names(n_layers: int) -> list[tuple[str, str]]:
    """Return the names of the weight and bias of at least this many layers."""
    return _NAMES if n_layers <= len(_NAMES) else [_name(number) for number in range(n_layers)]


def call_by_name(function: Any, named: dict[str, Any], options: Options, **others: Any) -> Any:
    """Call a public function with operands named as by `name_operands`, and other arguments."""
    rest = {name: x for name, x in named.items() if "[" not in name}
    return function(rest.pop("samples"), pairs_of(named), **rest, **options._asdict(), **others)


def pairs_of(named: dict[str, Any]) -> tuple[tuple[Any, Any], ...]:
    """Return the layers from operands by name."""
    pairs = []
    for weight, bias in _names(len(named)):
        if weight not in named:
            break
        pairs.append((named[weight], named.get(bias)))
    return tuple(pairs)


def _common_dtype(named: dict[str, Any]) -> np.dtype:
    """Return the common dtype of the operands, in native byte order."""
    dtype = named["samples"].dtype
    same = [x for x in named.values() if x.dtype is dtype]
    if not (len(same) == len(named) and dtype in dtypes.NATIVE):
        for name, x in named.items():
            validation.check_dtype(name, x)
        dtype = dtypes.result_type(*(x.dtype for x in named.values()))
    if dtype.kind == "c" or dtype.char == "g":
        raise TypeError(
            f"samples, layers and intercept together have dtype {dtype}; expected bool, integers "
            f"or floating dtypes up to float64"
        )
    return dtype


@functools.lru_cache(256)
def _validate(
    samples: tuple[int, ...],
    layers: tuple[Any, ...],
    intercept: tuple[int, ...] | None,
    hidden: Any,
    last: Any,
    dtype: np.dtype,
    additive: bool,
    in_turn: bool,
) -> MlpForm:
    """Return the form of a call; with `in_turn`, its shapes must do without `inputs`."""
    n_sets = _count_sets(samples, layers, intercept)
    activations, dtype = activations_of(hidden, last, len(layers), dtype, additive)
    (_, n_subnets, n_inputs, _), _ = layers[0]
    biased = tuple([bias is not None for _, bias in layers])
    sizes = n_inputs, *[weight[3] for weight, _ in layers]
    n_features = samples[-1]
    if in_turn and not (
        (n_inputs == 1 and n_subnets == n_features) or (n_subnets == 1 and n_inputs == n_features)
    ):
        shapes = [f"1 network of {count(n_features, 'input')}"]
        if n_features != 1:
            shapes.append(f"{count(n_features, 'network')} of 1 input")
        raise ValueError(
            f"{count(n_subnets, 'network')} of {count(n_inputs, 'input')} cannot see "
            f"{count(n_features, 'feature')}; expected {', '.join(shapes)}, or inputs of shape "
            f"({n_subnets}, {n_inputs}): the features that each network sees"
        )
    return MlpForm(activations, biased, additive, dtype, sizes, n_sets, samples[-2], n_subnets)


def _count_sets(
    samples: tuple[int, ...], layers: tuple[Any, ...], intercept: tuple[int, ...] | None
) -> int:
    """Check the shapes of all operands, and return N."""
    shapes = _Shapes(samples)
    for number, (weight, bias) in enumerate(layers):
        shapes.check_layer(number, weight, bias)
    if intercept is not None:
        shapes.check_intercept(intercept)
    return 1 if shapes.n_sets is None else shapes.n_sets


class _Shapes:
    """The sizes found so far, with which the shapes of further operands must agree."""

    def __init__(self, samples: tuple[int, ...]):
        if len(samples) not in (2, 3):
            raise ValueError(f"samples has shape {samples}; expected (B, F) or (N, B, F)")
        # None until an operand determines them.
        self.n_sets = samples[0] if len(samples) == 3 else None
        self.n_subnets: int | None = None
        self.n_outputs: int | None = None

    def check_layer(
        self, number: int, shape: tuple[int, ...], bias: tuple[int, ...] | None
    ) -> None:
        """Raise unless the shapes of a weight and a bias agree with earlier operands."""
        if (
            len(shape) != 4
            or not self._has_sets(shape[0])
            or self.n_subnets not in (None, shape[1])
            or self.n_outputs not in (None, shape[2])
            or not shape[2] * shape[3]
        ):
            raise ValueError(self._wrong_weight(number, shape))
        self._take_sets(shape[0])
        _, self.n_subnets, _, self.n_outputs = shape
        if bias is not None:
            if (
                len(bias) != 3
                or not self._has_sets(bias[0])
                or bias[1:] != (self.n_subnets, self.n_outputs)
            ):
                raise ValueError(
                    f"layers[{number}][1] has shape {bias}; expected (N, S, {shape[3]}) with "
                    f"{self._known()}, as layers[{number}][0] has {count(shape[3], 'output')}"
                    f"{_TRANSPOSED * (bias[2:] == shape[2:3] != shape[3:])}"
                )
            self._take_sets(bias[0])

    def check_intercept(self, shape: tuple[int, ...]) -> None:
        """Raise unless an intercept has the shape (N, P) or (1, P)."""
        if len(shape) != 2 or not self._has_sets(shape[0]) or shape[1] != self.n_outputs:
            n_sets = "" if self.n_sets is None else f" with N = {self.n_sets}"
            is_flat = self.n_outputs == 1 and shape in ((), (1,), (self.n_sets,))
            raise ValueError(
                f"intercept has shape {shape}; expected (N, {self.n_outputs}){n_sets}, as the last "
                f"layer has {count(self.n_outputs or 0, 'output')}"
                f"{'; pass numpy.reshape(intercept, (-1, 1))' * is_flat}"
            )
        self._take_sets(shape[0])

    def _has_sets(self, length: int) -> bool:
        return length == 1 or self.n_sets in (None, length)

    def _take_sets(self, length: int) -> None:
        if self.n_sets is None and length != 1:
            self.n_sets = length

    def _wrong_weight(self, number: int, shape: tuple[int, ...]) -> str:
        expected = "n_in" if self.n_outputs is None else self.n_outputs
        said = f"layers[{number}][0] has shape {shape}; expected (N, S, {expected}, n_out)"
        known = self._known()
        if known:
            said += f" with {known}"
        if self.n_outputs is not None:
            said += f", as layers[{number - 1}] has {count(self.n_outputs, 'output')}"
        if len(shape) == 3:
            said += "; each layer is a pair (weight, bias), or a weight alone"
        elif len(shape) == 4 and shape[2] != self.n_outputs == shape[3]:
            said += _TRANSPOSED
        if len(shape) == 4 and not shape[2] * shape[3]:
            said += "; no layer can be without inputs or outputs"
        return said

    def _known(self) -> str:
        sizes = {"N": self.n_sets, "S": self.n_subnets}
        return ", ".join(f"{name} = {size}" for name, size in sizes.items() if size is not None)


def _inputs_array(inputs: Any) -> np.ndarray:
    return validation.as_numpy("inputs", namespaces.on_host(inputs))


def _wiring(inputs: Any, of_weight: tuple[int, ...], n_features: int) -> np.ndarray:
    """Return the features that each network sees, (S, d)."""
    _, n_subnets, n_inputs, _ = of_weight
    found = _inputs_array(inputs)
    if found.shape != (n_subnets, n_inputs):
        raise ValueError(
            f"inputs has shape {found.shape}; expected (S, {n_inputs}) with S = {n_subnets}, as "
            f"layers[0] has {count(n_inputs, 'input')}"
        )
    if found.dtype.kind not in "iu":
        raise TypeError(f"inputs has dtype {found.dtype}; expected an integer dtype")
    outside = (found < 0) | (found >= n_features)
    if outside.any():
        s, i = np.argwhere(outside)[0]
        raise IndexError(
            f"inputs[{s}, {i}] is {int(found[s, i])}; expected the number of a feature, "
            f"0 to {n_features - 1}"
        )
    return np.ascontiguousarray(found, np.int64)


@functools.lru_cache(256)
def activations_of(
    hidden: Any, last: Any, n_layers: int, dtype: np.dtype, additive: bool
) -> tuple[tuple[Activation | None, ...], np.dtype]:
    """Return the activation of each layer, and the dtype of the result."""
    every = activation_per_layer(hidden, last, n_layers)
    if additive and dtype.kind in "biu":
        dtype = np.result_type(dtype, np.float16)
    for activation in every:
        if activation is not None:
            _, dtype = resolve_activation(activation, dtype)
    return tuple(None if a is None else resolve_activation(a, dtype)[0] for a in every), dtype


def activation_per_layer(hidden: Any, last: Any, n_layers: int) -> tuple[Any, ...]:
    """Return the activation of each layer, as given by the user."""
    if not isinstance(hidden, list | tuple):
        hidden = (hidden,) * (n_layers - 1)
    if len(hidden) != n_layers - 1:
        raise ValueError(
            f"activation has {count(len(hidden), 'value')}; expected one function for all hidden "
            f"layers, or {n_layers - 1} of them, one per layer"
        )
    return *hidden, last
