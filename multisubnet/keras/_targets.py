"""The shapes of targets that N sets share, and targets that a loss or metric does not fit."""

from __future__ import annotations

import sys
import weakref
from types import FrameType
from typing import Any

from keras import backend

from multisubnet._arithmetic.names import unknown
from multisubnet._functions.calls import warn

# Losses and metrics that compare the outputs of all classes with one target per class.
_OF_ROWS = (
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "kl_divergence",
    "categorical_accuracy",
    "top_k_categorical_accuracy",
    "F1Score",
    "FBetaScore",
    "OneHotIoU",
    "OneHotMeanIoU",
)
# Names of this package's losses of logits, and the classes of Keras.
_OF_LOGITS = {
    "binary_crossentropy_from_logits": "BinaryCrossentropy",
    "categorical_crossentropy_from_logits": "SparseCategoricalCrossentropy",
}
_warned: weakref.WeakSet[Any] = weakref.WeakSet()


def from_keras(what: str, module: Any, given: Any) -> Any:
    """Return the loss or metric that a module of Keras knows, or raise with a suggestion."""
    try:
        return module.get(given)
    except ValueError:
        if not isinstance(given, str):
            raise
    if given in _OF_LOGITS:
        raise ValueError(
            f"{what} is {given!r}; pass keras.losses.{_OF_LOGITS[given]}(from_logits=True)"
        )
    others = "get", "serialize", "deserialize"
    known = [name for name in dir(module) if name.strip("_") == name and name not in others]
    raise unknown(what, given, [name for name in known if name.islower()])


def aligned_shape(
    given: tuple[Any, ...], shape: tuple[Any, ...], of_predictions: tuple[Any, ...]
) -> tuple[int, ...]:
    """Return the shape, without its first axis, in which targets broadcast to `shape`.

    The first number is 1 if all sets share the targets, or N. `shape` is that of predictions, or,
    for class numbers, without their last axis.
    """
    _, n_sets, *of_set = shape
    rest = given[1:]
    if len(given) == len(shape) and rest[0] in (1, n_sets):
        if list(rest[1:]) == of_set:
            return rest
    elif list(rest) == of_set:
        return (1, *rest)
    elif rest in ((), (1,)):
        return (1,) * (len(shape) - 1)
    elif len(of_set) == 2 and 1 in of_set and rest == (max(of_set),):
        return (1, *of_set)
    shared = dict.fromkeys([_text("B", *of_set), "(B, 1)", "(B,)"])
    raise ValueError(
        f"targets have shape {given} and predictions have shape {of_predictions}; expected targets "
        f"of shape {' or '.join(shared)} for all sets, or {_text('B', n_sets, *of_set)} for each"
    )


def _text(*shape: Any) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def function_of(measure: Any) -> Any:
    """Return the function that a loss or metric of Keras wraps, or else the loss or metric."""
    return getattr(measure, "_fn", getattr(measure, "fn", measure))


def called(measure: Any) -> str:
    """Return the name of the function or class of a loss or metric."""
    function = function_of(measure)
    return str(getattr(function, "__name__", type(function).__name__))


def is_of_keras(measure: Any) -> bool:
    """Return whether a loss or metric is one of Keras' own."""
    function = function_of(measure)
    kind = function if hasattr(function, "__name__") else type(function)
    return str(kind.__module__).split(".")[0] == "keras"


def check_shared(
    owner: Any, measure: Any, targets: Any, shape: tuple[Any, ...], of_labels: str
) -> None:
    """Raise or warn if targets may be class numbers, but each output is compared with them.

    Compiled code cannot read numbers, so the dtype decides. `of_labels` names the loss or metric of
    class numbers.
    """
    given = tuple(targets.shape)
    is_shared = len(shape) > 2 and given[1:] in ((), (1,)) and (shape[-1] or 0) > 1
    if not is_shared or not is_of_keras(measure):
        return
    name, n_outputs = called(measure), shape[-1]
    if name in _OF_ROWS:
        raise ValueError(
            f"targets have shape {given}, one number per sample, but {name!r} compares {n_outputs} "
            f"outputs with one target each: for class numbers, pass {of_labels}; otherwise, pass "
            f"targets of shape (B, {n_outputs}), such as those of keras.utils.to_categorical"
        )
    if backend.standardize_dtype(targets.dtype).startswith(("bool", "int", "uint")):
        warn_once(
            owner,
            f"targets are integers, one for all {n_outputs} outputs of a sample, and {name!r} "
            f"compares each output with them: for class numbers, pass {of_labels}; otherwise, pass "
            f"targets as floats",
            _caller_of_keras(),
        )


def warn_once(owner: Any, message: str, caller: FrameType | None) -> None:
    """Warn about the line of `caller`, once for each owner."""
    if not has_warned(owner):
        _warned.add(owner)
        warn(message, UserWarning, caller)


def has_warned(owner: Any) -> bool:
    """Return whether there has been a warning for this owner."""
    return owner in _warned


def _caller_of_keras() -> FrameType | None:
    """Return who called Keras, if Keras called this package."""
    frame: FrameType | None = sys._getframe(1)
    found = None
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("keras."):
            found = frame.f_back
        frame = frame.f_back
    return found
