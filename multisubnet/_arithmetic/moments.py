"""The formulas of the mean squared error of linear subnetworks, from moments.

They run on arrays or, in the CPU engine, as vector instructions. The powers of two that scale
samples and targets are called fits.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from multisubnet._arithmetic.recipe import Program


def value(x: Any) -> tuple[Any, ...]:
    """Return the summand of a plain sum."""
    return (x,)


def data(x: Any, t: Any, fit_x: Any, fit_t: Any) -> tuple[Any, ...]:
    """Return the summands of the means."""
    return x * fit_x, t * fit_t


def products(x: Any, t: Any, fit_x: Any, fit_t: Any, mean_x: Any, mean_t: Any) -> tuple[Any, ...]:
    """Return the summands of the second moments."""
    centred = x * fit_x - mean_x
    return centred * centred, centred * (t * fit_t - mean_t)


def rest(
    x: Any, t: Any, fit_x: Any, fit_t: Any, mean_x: Any, mean_t: Any, slope: Any
) -> tuple[Any, ...]:
    """Return the squared residual of the least-squares line."""
    residual = (t * fit_t - mean_t) - slope * (x * fit_x - mean_x)
    return (residual * residual,)


def signed_rest(
    x: Any, t: Any, fit_x: Any, fit_t: Any, mean_x: Any, mean_t: Any, slope: Any
) -> tuple[Any, ...]:
    """Return the squared residual, and the summands that depend on the signs of weights."""
    centred = x * fit_x - mean_x
    residual = (t * fit_t - mean_t) - slope * centred
    return residual * residual, centred * centred, centred, centred * residual, residual


def settled(
    fit_x: Any, fit_t: Any, mean_x: Any, mean_t: Any, slope: Any, spread: Any, rest: Any
) -> tuple[Any, ...]:
    """Return moments as `loss_by_moments` takes them, with targets in their original scale."""
    return 1.0 / fit_x, mean_x, mean_t / fit_t, slope / fit_t, spread, rest / fit_t / fit_t


def loss_by_moments(
    w: Any,
    b: Any,
    unit: Any,
    mean_x: Any,
    mean_t: Any,
    slope: Any,
    spread: Any,
    rest: Any,
    *,
    select: Callable[..., Any],
) -> tuple[Any, ...]:
    """Return the loss of a subnetwork, and its derivatives with respect to weight and bias."""
    w = w * unit
    distance = w - slope
    offset = w * mean_x + b - mean_t
    steep = spread * distance
    loss = steep * distance + offset * offset + rest
    loss = _infinite_if_parameters_are(loss, distance, b, rest, select)
    return loss, (steep + offset * mean_x) * 2.0 * unit, offset * 2.0


def loss_by_signed_weights(
    w: Any,
    b: Any,
    unit: Any,
    mean_x: Any,
    mean_t: Any,
    slope: Any,
    spread: Any,
    rest: Any,
    drift: Any,
    tilt: Any,
    shift: Any,
    *,
    select: Callable[..., Any],
) -> tuple[Any, ...]:
    """Return the same, also given the means of x - mean(x), of its product with r, and of r.

    These are zero if no weight is negative.
    """
    w = w * unit
    distance = w - slope
    offset = w * mean_x + b - mean_t
    steep = spread * distance
    crossed = distance * (offset * drift - tilt) - offset * shift
    loss = (steep * distance + offset * offset + rest) + 2.0 * crossed
    loss = _infinite_if_parameters_are(loss, distance, b, rest, select)
    of_weight = drift * (offset + distance * mean_x) - tilt - mean_x * shift
    of_bias = distance * drift - shift
    return (
        loss,
        ((steep + offset * mean_x) + of_weight) * 2.0 * unit,
        (offset + of_bias) * 2.0,
    )


def _infinite_if_parameters_are(loss: Any, distance: Any, b: Any, rest: Any, select: Any) -> Any:
    """Return the loss, with NaN replaced by inf if only an infinite weight or bias caused it."""
    return select(loss <= loss, loss, distance * distance + (b * b + rest))


_FUNCTIONS: tuple[Callable[..., tuple[Any, ...]], ...]
_FUNCTIONS = (
    value,
    data,
    products,
    rest,
    signed_rest,
    settled,
    loss_by_moments,
    loss_by_signed_weights,
)
FUNCTIONS = {function.__name__: function for function in _FUNCTIONS}


@functools.cache
def row_program(name: str, last: str) -> tuple[tuple[str, ...], Program]:
    """Return the input names and the program of one of these functions, in float64.

    The last input is a number, named by `last`: the `weight` that all results are multiplied by, or
    the `divisor` of all results but the first. If `last` is empty, there is none.
    """
    from multisubnet._arithmetic.recipe import Boolean, trace

    function = FUNCTIONS[name]
    names = tuple(inspect.signature(function).parameters)
    options = {"select": Boolean.select} if "select" in names else {}
    names = names[: len(names) - len(options)]

    def recipe(*given: Any) -> tuple[Any, ...]:
        values = function(*given[: len(names)], **options)
        if last == "weight":
            return tuple(value * given[-1] for value in values)
        if last == "divisor":
            return values[0], *(value / given[-1] for value in values[1:])
        return values

    all_names = (*names, last) if last else names
    return all_names, trace(recipe, np.dtype(np.float64), all_names)


class Step(NamedTuple):
    """A pass over the samples: given the known moments, it adds more."""

    terms: Callable[..., tuple[Any, ...]]
    takes: int
    adds: int
    signed: bool = False  # whether the sums use signed weights


STEPS = Step(data, 2, 2), Step(products, 4, 2), Step(rest, 5, 1)


SIGNED_STEPS = (*STEPS[:2], Step(signed_rest, 5, 5, signed=True))


def steps_of(sample_weight: Any) -> tuple[Step, ...]:
    """Return the passes over samples, which are weighted unless `sample_weight` is None."""
    return STEPS if sample_weight is None else SIGNED_STEPS
