"""Options for further training: those of trained models that one layer of N sets can keep."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
from keras import regularizers

from multisubnet._functions.calls import warn
from multisubnet._sets.keras_chains import chain_of_model, flatten
from multisubnet._sets.models import layer_of, named_weights

# Penalties that are sums over numbers: the penalty of N sets is the sum of the penalties of each.
_SUMS = (regularizers.L1, regularizers.L2, regularizers.L1L2)
# Layers that act only in training; those of other kinds of dropout are subclasses.
_RANDOM = tuple(
    getattr(keras.layers, name)
    for name in ("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise")
)
_NOT_ALL = "not in all models and branches"


class _Weights(NamedTuple):
    """Kernels and biases of one layer of networks, in one model or in all."""

    kernels: list[Any]
    biases: list[Any]


def options_of(models: Sequence[Any]) -> dict[str, Any]:
    """Return options of a layer of N sets: the freezing and regularizers common to all models.

    Warn about everything else that affects training.
    """
    left_out: dict[str, str] = {}
    of_models = [list(_levels(model, left_out)) for model in models]
    levels = map(_joined, zip(*of_models, strict=True))
    learned = {id(variable) for model in models for variable in model.trainable_variables}
    options: dict[str, list[Any]] = {
        name: [] for name in ("trainable", "kernel_regularizer", "bias_regularizer")
    }
    for level in levels:
        options["trainable"].append(_is_trainable(level, learned, left_out))
        for name, variables in zip(("kernel", "bias"), level, strict=True):
            options[f"{name}_regularizer"].append(_penalty(name, variables, left_out))
    one_for_all = {name: _one_if_equal(values) for name, values in options.items()}
    intercepts = [getattr(layer_of(model), "intercept", None) for model in models]
    if any(id(intercept) in learned for intercept in intercepts):
        one_for_all["trainable"] = tuple(options["trainable"])  # a False would freeze them, too
    frozen = [x for x in intercepts if x is not None and id(x) not in learned]
    if frozen and one_for_all["trainable"]:
        left_out["intercept"] = f"that {frozen[0].path!r} is frozen"
    if left_out:
        warn(
            f"stack_models leaves out {', '.join(left_out.values())}; predictions stay the same, "
            f"but before you train the stacked model, set trainable, regularizer or constraint of "
            f"its weights, or train the models one by one (so that dropout and noise stay)",
            UserWarning,
        )
    return one_for_all


def _levels(model: Any, left_out: dict[str, str]) -> Iterator[_Weights]:
    """Yield the weights of each layer of a model's networks."""
    for layer in flatten(model):
        if getattr(layer, "activity_regularizer", None) is not None:
            left_out.setdefault("activity", f"the activity_regularizer of {layer.name!r}")
        amounts = (getattr(layer, name, None) for name in ("rate", "stddev"))
        if isinstance(layer, _RANDOM) and any(amounts):
            left_out.setdefault("random", f"the {type(layer).__name__} {layer.name!r}")
    single = layer_of(model)
    if hasattr(single, "kernels"):  # StackedMLP
        for kernel, bias in zip(single.kernels, single.biases, strict=True):
            yield _Weights([kernel], [] if bias is None else [bias])
        return
    if single is not None:
        yield _weights(single)
        return
    seen = set()
    for level in chain_of_model(model).levels:
        for dense in level.layers:
            place = id(dense.source.layer), dense.weight.tobytes()
            if place in seen:
                shared = f"that networks share the weights of {dense.source.layer.name!r}"
                left_out.setdefault("shared", shared)
            seen.add(place)
        layers = {id(dense.source.layer): dense.source.layer for dense in level.layers}
        yield _joined(map(_weights, layers.values()))


def _weights(layer: Any) -> _Weights:
    bias = named_weights(layer, layer.weights).get("bias")
    kernels = [variable for variable in layer.weights if variable is not bias]
    return _Weights(kernels, [] if bias is None else [bias])


def _joined(each: Iterable[_Weights]) -> _Weights:
    """Return the weights of several layers side by side."""
    kernels, biases = zip(*each, strict=True)
    return _Weights([*itertools.chain(*kernels)], [*itertools.chain(*biases)])


def _is_trainable(level: _Weights, learned: set[int], left_out: dict[str, str]) -> bool:
    """Return whether training changes these weights; True if it changes only some of them."""
    variables = [*level.kernels, *level.biases]
    frozen = [variable for variable in variables if id(variable) not in learned]
    if frozen and len(frozen) < len(variables):
        left_out.setdefault("trainable", f"that {frozen[0].path!r} is frozen ({_NOT_ALL})")
        return True
    return not frozen


def _penalty(name: str, variables: list[Any], left_out: dict[str, str]) -> Any:
    """Return the regularizer that these kernels or biases have in common, or None."""
    for variable in variables:
        if variable.constraint is not None:
            constraint = f"{name}_constraint"
            left_out.setdefault(constraint, f"the {constraint} of {variable.path!r}")
    given = [variable for variable in variables if variable.regularizer is not None]
    if not given:
        return None
    first, regularizer = given[0].regularizer, f"{name}_regularizer"
    said = f"the {regularizer} of {given[0].path!r}"
    if type(first) not in _SUMS:
        left_out.setdefault(regularizer, said)
        return None
    same = [type(x.regularizer) is type(first) for x in variables]
    if not all(same) or any(x.regularizer.get_config() != first.get_config() for x in given):
        left_out.setdefault(regularizer, f"{said} ({_NOT_ALL})")
        return None
    return first


def _one_if_equal(values: list[Any]) -> Any:
    """Return one value for all layers, or a tuple with one per layer."""
    return values[0] if all(value is values[0] for value in values) else tuple(values)
