"""Initializers for N sets: each number is drawn as in a layer of one set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import initializers, ops

# Initializers that treat a kernel as one matrix, which would couple the sets.
_OF_MATRICES = (initializers.Orthogonal, initializers.Identity)


def get_initializer(name: str, initializer: Any) -> Any:
    """Return an initializer given by name, configuration or object; matrix initializers raise."""
    initializer = initializers.get(initializer)
    if isinstance(initializer, _OF_MATRICES):
        raise ValueError(
            f"{name} is {type(initializer).__name__}, which creates matrices; expected one that "
            f"draws each number separately, because the sets have separate weights"
        )
    return initializer


def of_layer(initializer: Any, number: int) -> Any:
    """Return an initializer that does not repeat the numbers of earlier layers.

    An initializer with a seed would draw the same numbers each time.
    """
    config = initializer.get_config() if hasattr(initializer, "get_config") else {}
    seed = config.get("seed", initializer)
    if seed is None:
        return type(initializer).from_config(config)
    if isinstance(seed, int):
        return type(initializer).from_config(config | {"seed": seed + number})
    return initializer


def draw(initializer: Any, shape: tuple[int, ...], dtype: Any, of_one: tuple[int, ...]) -> Any:
    """Draw numbers from an initializer, each as in a variable of the shape `of_one`."""
    drawn = initializer(shape, dtype=dtype)
    if not isinstance(initializer, initializers.VarianceScaling):
        return drawn
    # Keras divided the variance by a fan of the whole shape.
    whole, one = (_fan(of, initializer.mode) for of in (shape, of_one))
    return ops.multiply(drawn, math.sqrt(whole / one))


def build_with(layer: Any, n_features: int, arrays: Iterable[Any]) -> None:
    """Build a layer whose weights start as copies of these arrays; a None is skipped.

    Nothing is drawn: JAX would take seconds to compile the random numbers.
    """
    layer._initial = iter([array for array in arrays if array is not None])
    layer.build((None, n_features))
    layer._initial = None


def next_of(layer: Any, otherwise: Any) -> Any:
    """Return an initializer with the next array of `build_with`, or the other one."""
    if layer._initial is None:
        return otherwise
    array = np.array(next(layer._initial))  # a copy, because JAX may share the memory of an array
    return lambda shape, dtype: ops.convert_to_tensor(array, dtype)


def _fan(shape: tuple[int, ...], mode: str) -> float:
    """Return the number that Keras divides the variance by."""
    *front, fan_in, fan_out = shape if len(shape) > 1 else (*shape, 1)[:1] * 2
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    return max(1.0, math.prod(front) * fans[mode])
