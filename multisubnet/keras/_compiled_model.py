"""Warnings about losses, metrics and optimizers of compiled models that do not fit sets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import keras
from keras import optimizers

from multisubnet._functions.calls import warn
from multisubnet.keras._loss import StackedLoss
from multisubnet.keras._metric import get_name
from multisubnet.keras._targets import called, has_warned, is_of_keras, warn_once

_TRAINING = ("fit", "train_on_batch")
_COMPARING = (*_TRAINING, "evaluate", "test_on_batch")

_OF_PROBABILITIES = (
    *("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"),
    *("binary_focal_crossentropy", "categorical_focal_crossentropy"),
)

# Adafactor and Lamb take norms of whole variables. Muon multiplies matrices: it mixes the sets of
# StackedAffine, and treats the kernels of StackedMLP, with four axes, unlike those of Dense.
_MIXING = tuple(
    getattr(optimizers, name)
    for name in ("Adafactor", "Lamb", "Muon")
    if hasattr(optimizers, name)  # those of this version of Keras
)


def warn_of_compilation(layer: Any, shape: tuple[int | None, ...]) -> None:
    """Warn if the loss, metrics or optimizer of the model that calls this layer do not fit sets.

    Keras' own losses and metrics align targets with the last axes of predictions, mostly without an
    error if predictions have an axis of sets. This is checked before the first step of ``fit`` or
    ``evaluate``, never in ``predict``, if the model has one output of the layer's shape. Some
    optimizers take a norm over the weights of all sets. This is checked before the first step of
    ``fit``.
    """
    backend = keras.backend.backend()
    if backend == "torch" and sys.modules["torch"].compiler.is_compiling():
        return  # Dynamo does not read frames
    context = getattr(layer, "_get_call_context", None)  # private in Keras, and may disappear
    model: Any = None if context is None else getattr(context(), "entry_layer", None)
    if model is layer and backend == "jax":  # as in the steps that JAX compiles
        _, model = _call_of(None, _COMPARING)
    config = getattr(getattr(model, "_compile_config", None), "config", None)
    outputs = getattr(model, "outputs", None) or ()
    if config is None or [tuple(x.shape)[1:] for x in outputs] != [shape[1:]]:
        return
    _warn_of_losses(model, layer, config, shape)
    if shape[1] != 1:
        _warn_of_optimizer(model)


def _warn_of_losses(
    model: Any, layer: Any, config: dict[str, Any], shape: tuple[int | None, ...]
) -> None:
    containers = (getattr(model, f"_compile_{name}", None) for name in ("loss", "metrics"))
    if not any(container is not None and not container.built for container in containers):
        return  # this is not the first step
    caller, _ = _call_of(model, _COMPARING)
    given = config.get("loss")
    for loss in given if isinstance(given, list | tuple) else [given]:
        message = _misfit(model, layer, loss)
        if message is not None and caller is not None:
            warn(message, UserWarning, caller)
    losses_and_metrics = [config.get(key) for key in ("loss", "metrics", "weighted_metrics")]
    found = ", ".join(map(repr, _names_of_keras(losses_and_metrics)))
    if found and caller is not None:
        batch = ", ".join(map(str, ("B", *shape[1:])))
        warn(
            f"the model {model.name!r} is compiled with {found} of Keras, which compares "
            f"predictions of shape ({batch}) with targets of other samples; wrap losses in "
            "StackedLoss and metrics in StackedMetric of multisubnet.keras, or, if targets have "
            "an axis of sets, call warnings.filterwarnings('ignore', 'the model .* is compiled')",
            UserWarning,
            caller,
        )


def _misfit(model: Any, layer: Any, loss: Any) -> str | None:
    """Say how a stacked loss of Keras does not fit the output activation of the layer, or None."""
    history: Any = getattr(model.outputs[0], "_keras_history", (None,))
    if not isinstance(loss, StackedLoss) or history[0] is not layer or not is_of_keras(loss.loss):
        return None
    options = layer.get_config()
    activation = options.get("output_activation", options["activation"])
    activation = "linear" if options.get("additive") else activation
    name, takes_logits = called(loss.loss), getattr(loss.loss, "from_logits", False)
    if takes_logits and activation in ("sigmoid", "hard_sigmoid", "softmax"):
        found, advice = "takes logits", "from_logits=False"
    elif not takes_logits and activation == "linear" and name in _OF_PROBABILITIES:
        found, advice = "takes probabilities", "from_logits=True"
    else:
        return None
    return (
        f"{name} {found}, but the output activation of the layer {layer.name!r} is {activation}: "
        f"pass a loss with {advice}, or change the activation; "
        f"warnings.filterwarnings('ignore', '.* {found}') silences this"
    )


def _warn_of_optimizer(model: Any) -> None:
    optimizer = getattr(model, "optimizer", None)
    found = ", ".join(dict.fromkeys(_mixing(optimizer)))
    if not found or has_warned(optimizer):
        return
    caller, _ = _call_of(model, _TRAINING)
    if caller is not None:
        warn_once(
            optimizer,
            f"the model {model.name!r} is trained with {found}, which computes a step from the "
            "weights of all sets, so sets do not learn as if they were alone; use clipvalue "
            "instead of norms, and an optimizer such as Adam or SGD, or call "
            "warnings.filterwarnings('ignore', 'the model .* is trained')",
            caller,
        )


def _mixing(optimizer: Any) -> Iterator[str]:
    """Yield the names of an optimizer's options, or of its kind, that mix elements of variables."""
    inner = getattr(optimizer, "inner_optimizer", None)  # of one that scales losses
    for each in getattr(optimizer, "_inner_optimizers", [] if inner is None else [inner]):
        yield from _mixing(each)
    for option in ("clipnorm", "global_clipnorm"):
        if getattr(optimizer, option, None):
            yield option
    if isinstance(optimizer, _MIXING):
        yield type(optimizer).__name__


def _call_of(model: Any, methods: tuple[str, ...]) -> tuple[FrameType | None, Any]:
    """Return who called one of these methods of a model, or of any model, and the model."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = frame.f_locals.get("self") if frame.f_code.co_name in methods else None
        if found is not None and (
            found is model or (model is None and hasattr(found, "_compile_config"))
        ):
            while frame is not None and str(frame.f_globals.get("__name__")).startswith("keras."):
                frame = frame.f_back
            return frame, found
        frame = frame.f_back
    return None, None


def _names_of_keras(given: Any) -> Iterator[str]:
    """Yield the names of Keras' own losses or metrics among those given to ``compile``."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, dict | list | tuple):
        for each in given.values() if isinstance(given, dict) else given:
            yield from _names_of_keras(each)
    elif given is not None and is_of_keras(given):
        yield get_name(given)
