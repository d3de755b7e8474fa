"""Networks in Keras models: dense, grouped, depthwise and sliced layers, along a model's graph."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from multisubnet._arithmetic.activation import NAMES, Activation
from multisubnet._sets.chains import (
    Chain,
    NoDenseLayer,
    NotAChain,
    Source,
    Values,
    added,
    as_array,
    joined,
)

_PASSING = (
    "ActivityRegularization",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "SpatialDropout1D",
)


def chain_of_model(model: Any) -> Chain:
    """Return the networks of a layer or model, or raise NotAChain."""
    outputs = _attribute(model, "outputs")
    if not outputs:
        return _of_layers(model)
    shapes = [tuple(each.shape[1:]) for each in model.inputs]
    if any(length is None for shape in shapes for length in shape):
        raise NotAChain(f"with inputs of the shapes {shapes}")
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    known = {
        id(tensor): Values.of_features(*shape, first=first)
        for tensor, shape, first in zip(model.inputs, shapes, ends, strict=False)
    }
    values = [_values_of(tensor, known) for tensor in outputs]
    if len(values) > 1:
        values = [joined("outputs", values, _flat)]

    def predict(samples: np.ndarray) -> Any:
        parts = [
            samples[:, a:b].reshape(len(samples), *shape)
            for (a, b), shape in zip(itertools.pairwise(ends), shapes, strict=True)
        ]
        named = _attribute(model, "input")
        if isinstance(named, dict):
            order = [id(tensor) for tensor in model.inputs]
            return model({k: parts[order.index(id(x))] for k, x in named.items()})
        return model(parts if len(parts) > 1 else parts[0])

    return values[0].chain(int(ends[-1]), predict)


def _of_layers(model: Any) -> Chain:
    """Return the networks of a model without a graph; its layers are applied in order."""
    leaves = flatten(model)
    values = features = _features_of_first(leaves)
    for leaf in leaves:
        values = _after_layer(leaf, [values], leaf)

    def predict(samples: np.ndarray) -> Any:
        return model(samples.reshape(len(samples), *features.place.shape))

    return values.chain(features.place.size, predict)


def _attribute(model: Any, name: str) -> Any:
    """Return an attribute, or None if a model does not have it yet."""
    try:
        return getattr(model, name, None)
    except Exception:  # the model is not built yet
        return None


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)


def flatten(model: Any) -> list[Any]:
    """Return the layers of a model, with nested models expanded in place."""
    layers = getattr(model, "layers", None)
    if not layers:
        return [model]
    return [leaf for layer in layers for leaf in flatten(layer)]


def _features_of_first(leaves: list[Any]) -> Values:
    """Return the features that the first of these layers sees."""
    for leaf in leaves:
        kernel = _kernel_of(leaf)
        if kernel is None:
            continue
        if type(leaf).__name__ == "EinsumDense":
            samples, of_kernel, _ = re.split(",|->", leaf.equation.replace(" ", ""))
            length = dict(zip(of_kernel, kernel.shape, strict=False))
            known = [length.get(letter, 1) for letter in samples.replace("...", "")]
            return Values.of_features(*(known if "..." in samples else known[1:]))
        if len(kernel.shape) == 2:
            return Values.of_features(kernel.shape[0])
        if not hasattr(leaf, "kernel_size"):
            break
        return Values.of_features(*_input_of_convolution(leaf, kernel))
    raise NoDenseLayer("without weights")


def _values_of(tensor: Any, known: dict[int, Values]) -> Values:
    """Return the values of a tensor in a graph."""
    waiting = [tensor]
    while waiting:
        now = waiting[-1]
        if id(now) in known:
            waiting.pop()
            continue
        operation, number, _ = now._keras_history
        node = operation._inbound_nodes[number]
        before = list(node.input_tensors)
        if not before:
            raise NotAChain("whose graph starts from tensors that are not its inputs")
        missing = [each for each in before if id(each) not in known]
        if missing:
            waiting += missing
            continue
        values = [known[id(each)] for each in before]
        _after_node(operation, node, values, known)
    return known[id(tensor)]


def _after_node(operation: Any, node: Any, values: list[Values], known: dict[int, Values]) -> None:
    """Store the values of an operation's results in `known`."""
    inner = _attribute(operation, "outputs")
    if inner and _attribute(operation, "layers"):
        of_inputs = dict(zip(map(id, operation.inputs), values, strict=True))
        of_outputs = [_values_of(each, of_inputs) for each in inner]
        for tensor, of in zip(node.output_tensors, of_outputs, strict=True):
            known[id(tensor)] = of
        return
    if _attribute(operation, "layers"):
        (of_model,) = values
        for leaf in flatten(operation):
            of_model = _after_layer(leaf, [of_model], leaf)
        known[id(node.output_tensors[0])] = of_model
        return
    for number, tensor in enumerate(node.output_tensors):
        known[id(tensor)] = _after_layer(operation, values, _called(operation, node, number))


def _called(operation: Any, node: Any, number: int) -> Callable[[Any], Any]:
    """Return an operation as a function of its tensors that gives one of its results."""

    def call(tensors: Any) -> Any:
        arrays = iter(tensors if isinstance(tensors, list) else [tensors])
        given = {id(tensor): next(arrays) for tensor in node.input_tensors}

        def filled(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return type(value)(map(filled, value))
            if isinstance(value, dict):
                return {key: filled(each) for key, each in value.items()}
            return given.get(id(value), value)

        result = operation(*filled(node.arguments.args), **filled(node.arguments.kwargs))
        return result[number] if isinstance(result, list | tuple) else result

    return call


def _after_layer(layer: Any, values: list[Values], function: Callable[[Any], Any]) -> Values:
    """Return the values after a layer or an operation."""
    name = type(layer).__name__
    module = type(layer).__module__
    kernel = _kernel_of(layer)
    first = values[0]
    if name in (*_PASSING, "InputLayer"):
        return first
    if kernel is not None and len(values) == 1:
        return _activated(layer, _linear(layer, name, first, kernel))
    if getattr(layer, "weights", None):
        advice = " (fold it into a dense layer, or normalize the samples)" * ("Norm" in name)
        raise NotAChain(f"with {name}, which is not a dense layer{advice}")
    if name == "Add" and len(values) > 1:
        return added(name, values)
    if name == "Sum" and len(values) == 1 and isinstance(layer.axis, int | list | tuple):
        axes = np.atleast_1d(layer.axis)
        if len(axes) == 1 and axes[0] % (first.place.ndim + 1):
            axis = axes[0] % (first.place.ndim + 1) - 1
            return first.summed(axis, keepdims=layer.keepdims)
    if len(values) > 1:
        return joined(name, values, lambda arrays: _host(function([_float32(x) for x in arrays])))
    if getattr(layer, "activation", None) is not None:
        return _activated(layer, first)
    if name == "Softmax":
        return first.softmax()
    activation = _of_layer(layer, module)
    if activation is not None:
        return first.activated(name, activation)
    try:
        return first.moved(name, lambda x: _host(function(_float32(x))))
    except NotAChain:
        raise
    except Exception as error:  # a function may raise anything
        raise NotAChain(f"with {name}, which cannot be called ({error})") from error


def _float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32)


def _host(result: Any) -> np.ndarray:
    return np.asarray(as_array(result))


def _kernel_of(layer: Any) -> Any:
    kernel = getattr(layer, "kernel", None)
    known = {id(variable) for variable in getattr(layer, "weights", ())}
    bias = getattr(layer, "bias", None)
    return kernel if known and known <= {id(kernel), id(bias)} else None


def _linear(layer: Any, name: str, values: Values, kernel: Any) -> Values:
    """Return the weighted sums of a layer."""
    bias = getattr(layer, "bias", None)
    source = Source(
        np.asarray(as_array(kernel)),
        None if bias is None else np.asarray(as_array(bias)),
        _assigned(kernel, bias),
        layer,
    )
    if name == "EinsumDense":
        return values.linear(name, layer.equation, source)
    if len(kernel.shape) == 2:
        return values.linear(name, "...i,io->...o", source)
    if not hasattr(layer, "kernel_size") or "Transpose" in name or "Separable" in name:
        raise NotAChain(f"with {name}, which is not a dense layer")
    return _convolved(layer, name, values, source)


def _input_of_convolution(layer: Any, kernel: Any) -> tuple[int, ...]:
    """Return the shape of an input that a convolution reduces to one position."""
    channels = kernel.shape[-2] * getattr(layer, "groups", 1)
    if layer.data_format == "channels_first":
        return (channels, *layer.kernel_size)
    return (*layer.kernel_size, channels)


def _convolved(layer: Any, name: str, values: Values, source: Source) -> Values:
    """Return the weighted sums of a convolution whose kernel covers its input."""
    first = layer.data_format == "channels_first"
    expected = _input_of_convolution(layer, source.kernel)
    is_single = max(layer.kernel_size) == 1 or layer.padding == "valid"
    if values.place.shape != expected or not is_single:
        raise NotAChain(
            f"with {name} of values of shape {values.place.shape}, where a dense layer is expected"
        )
    place = np.moveaxis(values.place, 0, -1) if first else values.place
    is_depthwise = name.startswith("Depthwise")
    groups = place.shape[-1] if is_depthwise else getattr(layer, "groups", 1)
    summed = values._replace(place=place.reshape(-1, groups, place.shape[-1] // groups))
    *_, n_in, n_out = source.kernel.shape
    shape: tuple[int, ...] = (-1, n_in, groups, n_out // groups)
    equation, of_bias = "bpgi,pigo->bgo", (groups, n_out // groups)
    if is_depthwise:  # (positions, channels, multiplier): separate weights per channel
        summed = summed._replace(place=summed.place[..., 0])
        shape, equation, of_bias = (-1, n_in, n_out), "bpg,pgo->bgo", (n_in, n_out)
    kernel = source.kernel.reshape(shape)
    bias = None if source.bias is None else source.bias.reshape(of_bias)

    def assign(kernel: np.ndarray, bias: np.ndarray | None) -> None:
        source.assign(
            kernel.reshape(source.kernel.shape), None if bias is None else bias.reshape(-1)
        )

    values = summed.linear(name, equation, Source(kernel, bias, assign, layer))
    space = (1,) * len(layer.kernel_size)
    shape = (-1, *space) if first else (*space, -1)
    return values._replace(place=values.place.reshape(shape))


def _assigned(kernel: Any, bias: Any) -> Callable[[np.ndarray, np.ndarray | None], None]:
    def assign(weight: np.ndarray, of_bias: np.ndarray | None) -> None:
        kernel.assign(weight)
        if bias is not None:
            bias.assign(of_bias)

    return assign


def _activated(layer: Any, values: Values) -> Values:
    """Return the values after the activation that a layer declares."""
    declared = getattr(layer, "activation", None)
    if declared is None:
        return values
    called = getattr(declared, "__name__", type(declared).__name__)
    if called.lower() == "softmax":
        return values.softmax()
    found = of_keras(declared)
    if found is None:
        found = _of_layer(declared, type(declared).__module__)
    if found is None:
        raise NotAChain(unknown_activation(called))
    return values.activated(type(layer).__name__, found)


def unknown_activation(name: str) -> str:
    """Return the clause that refuses a model with an activation of this name."""
    return f"with the activation {name} (known are Keras' {', '.join(NAMES)})"


def _of_layer(layer: Any, module: str) -> Activation | None:
    """Return the activation of a Keras layer or operation, or None if it is another kind."""
    kind = type(layer).__name__
    found = of_keras(layer)
    if found is not None:
        return found
    if module.split(".")[0] != "keras":
        return None
    if kind == "ReLU" and not layer.negative_slope and not layer.threshold:
        return {None: Activation("relu"), 6: Activation("relu6")}.get(layer.max_value)
    if kind in ("LeakyReLU", "LeakyRelu"):
        return Activation("leaky_relu", negative_slope=float(layer.negative_slope))
    if kind in ("ELU", "Elu"):
        return Activation("elu", alpha=float(layer.alpha))
    if kind == "Gelu":
        return Activation("gelu_tanh" if layer.approximate else "gelu")
    if ".ops" not in module:
        return None
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()
    try:
        return Activation(name)
    except ValueError:
        return None


def of_keras(activation: Any) -> Activation | None:
    """Return the Activation for an activation of Keras, or None if there is none."""
    own = getattr(activation, "activation", None)
    if isinstance(own, Activation):  # our own KerasActivation
        return own
    kind = activation if hasattr(activation, "__name__") else type(activation)
    name, module = kind.__name__, kind.__module__.split(".")
    if module[0] != "keras" or "activations" not in module:
        return None
    if name == "LeakyReLU":
        return Activation("leaky_relu", negative_slope=float(activation.negative_slope))
    if name == "ELU":
        return Activation("elu", alpha=float(activation.alpha))
    try:
        return Activation(name)
    except ValueError:
        return None
