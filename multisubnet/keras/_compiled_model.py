"""A warning about losses and metrics that would compare predictions with the wrong targets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from multisubnet._functions.calls import warn
from multisubnet.keras._metric import get_name

_COMPARING = ("fit", "evaluate", "train_on_batch", "test_on_batch")


def warn_of_unaligned(layer: Any, shape: tuple[int | None, ...]) -> None:
    """Warn if the model that calls this layer is compiled with Keras' own losses or metrics.

    Keras aligns targets with the last axes of predictions, mostly without an error if predictions
    have an axis of sets. This is checked before the first step of ``fit`` or ``evaluate``, never in
    ``predict``, if the model has one output, and its shape is that of the layer.
    """
    context = getattr(layer, "_get_call_context", None)  # private in Keras, and may disappear
    model: Any = None if context is None else getattr(context(), "entry_layer", None)
    config = getattr(getattr(model, "_compile_config", None), "config", None)
    if config is None:
        return
    judges = (getattr(model, f"_compile_{name}", None) for name in ("loss", "metrics"))
    is_first = any(judge is not None and not judge.built for judge in judges)
    outputs = getattr(model, "outputs", None) or ()
    if not is_first or [tuple(x.shape)[1:] for x in outputs] != [shape[1:]]:
        return
    caller = _caller_of_comparing(model)
    judged_by = [config.get(key) for key in ("loss", "metrics", "weighted_metrics")]
    found = ", ".join(map(repr, _names_of_keras(judged_by)))
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


def _caller_of_comparing(model: Any) -> FrameType | None:
    """Return who called the method of a model that compares predictions with targets, if any."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in _COMPARING and frame.f_locals.get("self") is model:
            while frame is not None and frame.f_globals["__name__"].startswith("keras."):
                frame = frame.f_back
            return frame
        frame = frame.f_back
    return None


def _names_of_keras(given: Any) -> Iterator[str]:
    """Yield the names of Keras' own losses or metrics among those given to ``compile``."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, dict | list | tuple):
        for each in given.values() if isinstance(given, dict) else given:
            yield from _names_of_keras(each)
    elif given is not None:
        called = getattr(given, "_fn", getattr(given, "fn", given))  # a function in a wrapper
        kind = called if hasattr(called, "__name__") else type(called)
        if kind.__module__.split(".")[0] == "keras":
            yield get_name(given)
