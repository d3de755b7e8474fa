"""Errors for layers that are created with arguments that do not fit."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from multisubnet._arrays.explanations import a, advice_for_models
from multisubnet._functions.calls import wrong_call
from multisubnet._sets.weight_sets import WeightSets

P = ParamSpec("P")
R = TypeVar("R")

# The options of keras.layers.Layer, which also knows some of older versions.
_OF_KERAS = (
    *("activity_regularizer", "autocast", "dtype", "name", "trainable"),
    *("batch_input_shape", "batch_shape", "dynamic", "input_dim", "input_shape", "weights"),
)


def explained(called: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that explains wrong calls of the layer `called`."""

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **given: P.kwargs) -> R:
            try:
                return function(*args, **given)
            except (TypeError, ValueError) as error:  # Keras refuses unknown options with either
                own = [name for name in given if name not in _OF_KERAS]
                wrong = wrong_call(called, function, args, own)
                if wrong is None:
                    raise
                raise wrong from error.__cause__

        # Keras reads the names of arguments in a way that ignores `__wrapped__`.
        wrapper.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return wrapper

    return decorated


def not_sets(sets: Any) -> TypeError:
    """Return the error for something that is not `WeightSets`; it may be a model, or several."""
    advice = "WeightSets.from_layers and from_pairs create them"
    if contains_models(sets):
        advice = "for models, use stack_models([model, another])"
    return TypeError(f"sets is {a(sets)}; expected WeightSets: {advice}")


def contains_models(given: Any) -> bool:
    """Return whether something is a model, or a list of models."""
    if isinstance(given, list | tuple) and given:
        return contains_models(given[0])
    return advice_for_models(given) is not None and not isinstance(given, WeightSets)
