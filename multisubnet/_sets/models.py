"""Weight sets from models of several libraries that have one weight and one bias per feature.

No library is imported: a model's attributes show which library it belongs to. Layers and modules
are called on a few samples, because a normalization, for example, also has a weight and a bias of
shape (F,).
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation, resolve_activation
from multisubnet._arrays import joining, namespaces, validation
from multisubnet._arrays.explanations import a, advice_for_models, count
from multisubnet._functions.affine import affine
from multisubnet._sets.chains import NoDenseLayer, NotAChain, as_array, put
from multisubnet._sets.container import Container
from multisubnet._sets.keras_chains import flatten, of_keras, unknown_activation
from multisubnet._sets.names import Names, difference_of
from multisubnet._sets.network_models import chain_of
from multisubnet._sets.parameters import Parameters, resolve

_AFFINE = "one weight (or kernel) and at most one bias per feature, of shape (F,), and nothing else"
_EXPECTED = f"expected dense layers, one after the other, or {_AFFINE}"
_WEIGHT_NAMES = ("weight", "kernel")
_PASSING = ("InputLayer", "Dropout")  # Keras layers that change nothing in predictions
# The scales of the weighted sums on which a model is called, with both signs. Some activations
# differ only for small sums, others only for large ones.
_SIZES = (0.03, 0.3, 1.0, 4.0, 50.0)
_LINEAR = Activation("linear")

LEFT_OUT = {
    "softmax": "the final softmax is left out, so predictions are logits: their loss is "
    "'categorical_crossentropy_from_logits', and scipy.special.softmax(predictions, axis=-1) gives "
    "the probabilities",
    "sigmoid": "the final sigmoid, of the sum over networks, is left out, so predictions are "
    "logits: their loss is 'binary_crossentropy_from_logits', and scipy.special.expit(predictions) "
    "gives the probabilities",
}


class _Refused(Exception):
    """A model has another structure; the message is a clause that says what was found."""


class _Differs(_Refused):
    """A model has one weight and one bias per feature, but its outputs are others."""


class _Read(NamedTuple):
    """The sets of a model with one weight and one bias per feature."""

    weight: Any  # (n, F)
    bias: Any  # (n, F), or None
    activation: Activation = _LINEAR
    keys: tuple[Any, ...] = ()
    """The keys of weight and bias in the model; empty if they cannot be written."""
    replace: Callable[[Any, Any], None] | None = None
    """Replaces one of these arrays in the model."""


def from_models(
    models: Iterable[Any], activation: str | Activation | None
) -> tuple[Parameters, str]:
    """Return the sets of all models, and the function at the end of the models that sets lack.

    The function is one of `LEFT_OUT`, or an empty string.
    """
    if isinstance(models, str | Mapping) or not isinstance(models, Iterable):
        raise not_a_list(models)
    given = None
    if activation is not None:
        given = resolve_activation(activation, np.dtype(np.float64))[0] or _LINEAR
    pairs = [read_model(f"models[{i}]", model, given) for i, model in enumerate(models)]
    if not pairs:
        raise ValueError("models is empty; expected at least one")
    read = [parameters for parameters, _ in pairs]
    first, left_out = pairs[0]
    for i, (sets, of_other) in enumerate(pairs):
        difference = sets.difference(first)
        if difference is None and of_other != left_out:
            difference = f"one ends in a {left_out or of_other}, the other does not"
        if difference is not None:
            raise ValueError(
                f"models[{i}] differs in structure from models[0]: {difference}; expected the "
                f"same structure for all"
            )
    joined = {name: _joined(name, [sets.arrays[name] for sets in read]) for name in first.arrays}
    names = Names.joined("models", [sets.names for sets in read])
    return first.with_arrays(joined)._replace(names=names), left_out


def read_model(name: str, model: Any, given: Activation | None) -> tuple[Parameters, str]:
    """Return the sets of one model, and the function at its end that sets lack.

    The sets have the activation of the model, or the given one.
    """
    model, of_layer = _own_sets(model)
    parameters, left_out = _read_model(name, model, given)
    return parameters._replace(names=_names_of(model, parameters)), of_layer or left_out


def _names_of(model: Any, parameters: Parameters) -> Names:
    """Return the names in a model: of its features, and of the classes of its outputs."""
    if isinstance(model, Container):
        return model._parameters.names
    features = getattr(model, "feature_names_in_", None)
    if features is None or len(features) != parameters.n_features:
        features = None
    classes: Any = getattr(model, "classes_", None)
    n_outputs = parameters.sizes[-1]
    if np.ndim(classes) != 1 or parameters.is_affine:
        classes = None
    elif (len(classes), n_outputs) == (2, 1):
        classes = classes[1:]  # the output is the probability of the second class
    elif len(classes) != n_outputs:
        classes = None
    return Names(
        None if features is None else tuple(map(str, features)),
        None if classes is None else tuple(map(str, classes)),
    )


def _read_model(name: str, model: Any, given: Activation | None) -> tuple[Parameters, str]:
    if isinstance(model, Container) and not model._parameters.is_affine:
        return model._parameters, ""
    try:
        sets = _with_activation(name, _sets_of(name, model, given), given)
    except _Refused as refusal:
        try:
            chain = chain_of(model, given)
            network = chain.parameters
        except NotAChain as other:
            _check_built(name, model)
            is_affine = isinstance(refusal, _Differs) or isinstance(other, NoDenseLayer)
            reason = refusal if is_affine else other
            raise ValueError(f"{name} is {a(model)} {reason}; {_EXPECTED}") from reason.__cause__
        if given not in (None, network.hidden_activation):
            raise ValueError(
                f"{name} has the activation {network.hidden_activation!r} in its hidden layers, "
                f"but activation={given!r} was given; expected one or the other"
            ) from None
        return network, chain.left_out
    return Parameters(((sets.weight, sets.bias),), (resolve(sets.activation),)), ""


def write_model(model: Any, parameters: Parameters) -> None:
    """Write one set to a model of the same structure."""
    sets = _own_sets(model)[0]
    if isinstance(sets, Container):
        holds = "" if sets is model else f" with {count(len(sets), 'set')}"
        raise _not_writable(f"{a(model)}{holds}")
    own, of_model = parameters.names.features, _names_of(model, parameters).features
    if own is not None and of_model is not None and own != of_model:
        raise ValueError(
            f"model and set have different features: {difference_of('features', of_model, own)}"
        )
    if parameters.is_affine:
        try:
            sets = _sets_of("model", model, parameters.output_activation)
        except _Refused:
            pass
        else:
            found = Parameters(((sets.weight, sets.bias),), (resolve(sets.activation),))
            _check_structure(parameters, found)
            if sets.replace is None:
                raise _not_writable(a(model))
            for key, array in zip(sets.keys, parameters.layers[0], strict=False):
                sets.replace(key, namespaces.on_host(array)[0])
            return
    try:
        chain = chain_of(model, parameters.hidden_activation)
    except NotAChain as error:
        _check_built("model", model)
        raise ValueError(f"model is {a(model)} {error}; {_EXPECTED}") from error.__cause__
    _check_structure(parameters, chain.parameters)
    chain.write(parameters, namespaces.on_host)


def check_single(model: Any) -> None:
    """Raise TypeError if `model` is a list of models."""
    if isinstance(model, list | tuple) and model and advice_for_models(model[0]) is not None:
        raise TypeError(
            f"model is {a(model)} of models; expected one model, as in: "
            f"for i, model in enumerate(models): sets.write_to(model, i)"
        )


def _not_writable(found: str) -> TypeError:
    return TypeError(
        f"model is {found}, which cannot be written to; expected a layer, module or estimator with "
        f"one set, or a mapping or list of arrays"
    )


def _check_built(name: str, model: Any) -> None:
    """Raise ValueError if a Keras model has no weights yet."""
    if getattr(model, "built", True) is False and not model.weights:
        raise ValueError(
            f"{name} is {a(model)} that is not built and has no weights yet: call it "
            f"on samples once, or use its build(input_shape)"
        )


def _check_structure(parameters: Parameters, of_model: Parameters) -> None:
    difference = parameters.difference(of_model)
    if difference is not None:
        raise ValueError(f"model differs in structure from the sets: {difference}")


def not_a_list(models: Any) -> TypeError:
    """Return the error for something that is not a list of models; it may be a single model."""
    return TypeError(f"models is {a(models)}; expected a list of models, such as [model, another]")


def _own_sets(model: Any) -> tuple[Any, str]:
    """Return the sets of one of our layers or modules, also inside a Keras model; else `model`.

    Also return the function that the layer applies to their outputs, as `from_models` does.
    """
    layer = layer_of(model) if hasattr(model, "get_weights") else model
    if not hasattr(layer, "to_weight_sets"):
        return model, ""
    if getattr(layer, "is_softmax", False):
        return layer._weight_sets(), "softmax"
    ends_in_sigmoid = layer is not model and _ends_in_sigmoid(_working_layers(model))
    return layer.to_weight_sets(), "sigmoid" * ends_in_sigmoid


def check(name: str, model: Any, given: Activation | None) -> None:
    """Raise ValueError unless a model has one weight and one bias per feature."""
    try:
        _with_activation(name, _sets_of(name, model, given), given)
    except _Refused as refusal:
        _check_built(name, model)
        raise ValueError(
            f"{name} is {a(model)} {refusal}; expected {_AFFINE}"
        ) from refusal.__cause__


def _joined(name: str, arrays: list[Any]) -> Any:
    named = {f"models[{i}].{name}": array for i, array in enumerate(arrays)}
    return joining.joined(named, "concatenate", axis=0)


def _with_activation(name: str, sets: _Read, given: Activation | None) -> _Read:
    """Return sets with their own or the given activation."""
    if given is None or given == sets.activation:
        return sets
    if sets.activation != _LINEAR:
        raise ValueError(
            f"{name} has the activation {sets.activation!r}, but activation={given!r} was given; "
            f"expected one or the other"
        )
    return sets._replace(activation=given)


def _sets_of(name: str, model: Any, given: Activation | None) -> _Read:
    """Return the sets of one model, or raise `_Refused`."""
    if isinstance(model, Container):
        return _Read(model.weight, model.bias, model.activation)
    if isinstance(model, tuple):
        if len(model) != 2:
            raise _Refused(f"of length {len(model)}")
        return _set_of(name, {"weight": model[0], "bias": model[1]})
    if isinstance(model, Mapping):
        return _set_of(name, model)._replace(replace=functools.partial(put, model))
    if hasattr(model, "get_weights") and hasattr(model, "weights"):
        return _of_keras_model(name, model, given)
    if hasattr(model, "named_parameters") and hasattr(model, "named_buffers"):
        return _of_torch_module(name, model, given)
    if hasattr(model, "coef_") and hasattr(model, "intercept_"):
        arrays = {"coef_": model.coef_, "intercept_": model.intercept_}
        if np.ndim(model.coef_) != 1 or np.shape(model.coef_) != np.shape(model.intercept_):
            raise _Refused(f"with {_described(arrays)}")
        sets = _set_of(name, {"weight": model.coef_, "bias": model.intercept_})

        def replace(key: str, array: np.ndarray) -> None:
            setattr(model, "coef_" if key == "weight" else "intercept_", array)

        return sets._replace(replace=replace)
    if hasattr(model, "coefs_") and hasattr(model, "intercepts_"):
        raise _Refused("of dense layers")
    if isinstance(model, list):
        raise _Refused(f"with {_described(dict(enumerate(model)))}")
    if isinstance(model, str | os.PathLike):
        raise TypeError(
            f"{name} is {a(model)}; expected a model: load it first, with "
            f"keras.saving.load_model, torch.load or joblib.load, for example"
        )
    raise TypeError(
        f"{name} is {a(model)}; expected a (weight, bias) tuple, a mapping with "
        f"these names, a list of arrays, a Keras layer or model, a torch module, an estimator of "
        f"scikit-learn, or WeightSets (from_pairs takes arrays of pairs)"
    )


def _set_of(name: str, arrays: Mapping[Any, Any]) -> _Read:
    """Return the one set of a weight and a bias, which are given by name."""
    others = dict(arrays)
    keys = *(key for key in _WEIGHT_NAMES if key in others), "bias"
    weights = [others.pop(key) for key in keys[:-1]]
    bias = others.pop("bias", None)
    if len(weights) != 1 or others:
        raise _Refused(f"with {_described(arrays)}")
    weight = _row(f"{name}.weight", weights[0])
    if weight.shape == (1, 1):  # a dense layer of one feature
        weight = weight[0]
    if bias is not None:
        bias = _row(f"{name}.bias", bias)
    if weight.ndim != 1 or (bias is not None and bias.shape != weight.shape):
        raise _Refused(f"with {_described(arrays)}")
    if bias is None:
        return _Read(weight[None], None, keys=keys[:1])
    return _Read(weight[None], bias[None], keys=keys)


def _row(name: str, array: Any) -> Any:
    """Return an array_like of numbers as an array."""
    array = as_array(array)
    if not namespaces.is_cupy(array):
        array = validation.as_numpy(name, array)
    validation.check_dtype(name, array)
    return array


def _described(arrays: Mapping[Any, Any]) -> str:
    """Return the names and shapes of arrays."""
    if not arrays:
        return "no weights"
    shapes = ((key, None if array is None else _shape(array)) for key, array in arrays.items())
    return ", ".join(f"{key} of shape {shape}" if shape else f"{key}" for key, shape in shapes)


def _shape(array: Any) -> str:
    return str(tuple(array.shape if hasattr(array, "shape") else np.asarray(array, object).shape))


# Keras.


def _of_keras_model(name: str, model: Any, given: Activation | None) -> _Read:
    layer = layer_of(model)
    if layer is None:
        names = ", ".join(type(layer).__name__ for layer in model.layers)
        raise _Refused(f"of the layers {names}")
    if [id(variable) for variable in model.weights] != [id(variable) for variable in layer.weights]:
        raise _Refused(f"with {_described(named_weights(model, model.weights))}")
    variables = named_weights(layer, layer.weights)
    sets = _set_of(name, variables)._replace(replace=functools.partial(put, variables))
    declared = getattr(layer, "activation", None)
    if declared is not None:
        own = of_keras(declared)
        if own is None:
            called = getattr(declared, "__name__", type(declared).__name__)
            raise _Differs(unknown_activation(called))
        sets = sets._replace(activation=own)
    _probe(sets, model, lambda samples: samples, given)
    return sets


def layer_of(model: Any) -> Any:
    """Return the layer of a Keras model that does more than pass its inputs on, or None.

    A sigmoid may follow our layer of sums.
    """
    if not getattr(model, "layers", None):
        return model
    layers = _working_layers(model)
    return layer_of(layers[0]) if len(layers) == 1 or _ends_in_sigmoid(layers) else None


def _working_layers(model: Any) -> list[Any]:
    """Return the layers of a Keras model that do more than pass their inputs on."""
    return [layer for layer in model.layers if type(layer).__name__ not in _PASSING]


def _ends_in_sigmoid(layers: list[Any]) -> bool:
    """Return whether layers are one of ours that adds networks up, and a sigmoid."""
    if len(layers) != 2 or type(layers[1]).__name__ != "Activation":
        return False
    sums = getattr(layers[0], "additive", False) and not getattr(layers[0], "is_softmax", True)
    return sums and of_keras(layers[1].activation) == Activation("sigmoid")


def layers_with_weights(model: Any) -> list[Any]:
    """Return the layers with weights of a Keras model, including nested models."""
    return [layer for layer in flatten(model) if layer.weights]


def named_weights(layer: Any, variables: list[Any]) -> dict[str, Any]:
    """Return variables by the attributes that hold them, or else by their own names."""
    attributes = {id(getattr(layer, name, None)): name for name in (*_WEIGHT_NAMES, "bias")}
    names = [attributes.get(id(variable), variable.name) for variable in variables]
    if len(set(names)) < len(names):
        names = [variable.path for variable in variables]
    return dict(zip(names, variables, strict=True))


# PyTorch.


def _of_torch_module(name: str, module: Any, given: Activation | None) -> _Read:
    arrays = dict(module.named_parameters()) | dict(module.named_buffers())
    sets = _set_of(name, arrays)._replace(replace=functools.partial(put, arrays))
    if module.training:  # dropout would be active, and batches would be counted
        module = copy.deepcopy(module).eval()
    weight = next(iter(arrays.values()))
    _probe(sets, module, weight.new_tensor, given)
    return sets


def _probe(sets: _Read, model: Any, to_model: Any, given: Activation | None) -> None:
    """Raise `_Refused` if a model's outputs differ from those of its sets.

    If the model does not declare an activation, the given one is tried, too.
    """
    dtype = np.result_type(sets.weight, np.float32)
    samples = _samples(sets).astype(dtype)
    try:
        inputs = to_model(samples)
        samples = np.asarray(as_array(inputs))  # rounded to the model's dtype
        outputs = model(inputs)
        few_digits = "16" in str(outputs.dtype)
        outputs = np.asarray(as_array(outputs))
    except Exception as error:  # a model may raise anything
        raise _Differs(
            f"that cannot be called on {len(samples)} samples of "
            f"{count(samples.shape[1], 'feature')} ({type(error).__name__}: {error})"
        ) from error
    candidates = [sets.activation]
    if given is not None and sets.activation == _LINEAR:
        candidates.append(given)
    if any(_is_close(outputs, samples, sets, activation, few_digits) for activation in candidates):
        return
    names = " or ".join(activation.name for activation in candidates)
    raise _Differs(
        f"whose outputs are not those of inputs * weight + bias with the activation {names} "
        f"(use activation= for an activation that is not an attribute of a Keras layer)"
    )


def _samples(sets: _Read) -> np.ndarray:
    """Return samples whose weighted sums have several sizes and both signs in each feature.

    Otherwise an activation can go unnoticed: relu with a large bias, tanh with small weights.
    """
    sizes = np.repeat(_SIZES, 2)[:, None]
    sums = sizes * np.random.default_rng(0).uniform(0.5, 1.5, (len(sizes), sets.weight.shape[1]))
    sums *= (-1) ** np.add.outer(np.arange(len(sizes)), np.arange(sums.shape[1]))
    bias = 0 if sets.bias is None else sets.bias
    with np.errstate(all="ignore"):
        samples = (sums - bias) / sets.weight
    # Replaces NaN and infinity, and numbers near the limit of float16.
    return np.where(np.abs(samples) < 1e4, samples, sums)


def _is_close(
    outputs: np.ndarray, samples: np.ndarray, sets: _Read, activation: Activation, few_digits: bool
) -> bool:
    """Return whether outputs match a set's predictions, up to the rounding of other libraries."""
    expected = affine(samples, sets.weight, sets.bias, activation=activation)[0]
    if outputs.shape != expected.shape:
        return False
    sums = affine(samples, sets.weight, sets.bias)[0]
    with np.errstate(all="ignore"):
        size = np.abs(samples * sets.weight) + np.abs(expected)
        if sets.bias is not None:
            size += np.abs(sets.bias)
        is_close = np.abs(outputs - expected) <= (0.1 if few_digits else 3e-5) * size
        # Exponentials of large sums lose all digits in low precision.
        is_close |= few_digits & (np.abs(sums) > 8) & (np.abs(expected) > np.abs(sums))
    return bool((is_close | (outputs == expected) | np.isnan(expected)).all())
