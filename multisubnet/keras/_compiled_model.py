"""A warning about losses and metrics that would compare predictions with the wrong targets."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from multisubnet.keras._metric import get_name


def warn_of_unaligned(layer: Any, shape: tuple[int | None, ...]) -> None:
    """Warn if the model that calls this layer is compiled with Keras' own losses or metrics.

    Keras aligns targets with the last axes of predictions, mostly without an error if predictions
    have an axis of sets. This is checked before the first step of ``fit`` or ``evaluate``, if the
    model has one output, and its shape is that of the layer.
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
    found = [(name, "StackedLoss") for name in _names_of_keras(config.get("loss"))]
    for key in ("metrics", "weighted_metrics"):
        found += [(name, "StackedMetric") for name in _names_of_keras(config.get(key))]
    if found:
        batch = ", ".join(map(str, ("B", *shape[1:])))
        wrapped = " and ".join(f"{wrapper}({name!r})" for name, wrapper in found)
        warnings.warn(
            f"the model {model.name!r} is compiled with {', '.join(repr(x) for x, _ in found)} of "
            f"Keras, which compares predictions of shape ({batch}) with targets of other samples, "
            f"unless targets have an axis of sets; use {wrapped} of multisubnet.keras",
            stacklevel=2,
        )


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
