"""The mean squared error of linear subnetworks, from moments of samples and targets.

With x and t of a feature centred at their means, s the slope of least squares, and r what it leaves
over, the mean over samples of (w x + b - t)^2 is

    mean((x - mean(x))^2) (w - s)^2  +  (w mean(x) + b - mean(t))^2  +  mean(r^2)

whose terms are not negative: nothing cancels. All is done in float64, the sums over samples in the
order that all backends keep. Samples, and targets from 1 on, are divided by the power of two of the
largest one first, so that no square overflows or underflows that is none of the loss.

Means, slope and residuals are those of weights without their signs. If some weights are negative,
the means of (x - mean(x)) r, x - mean(x) and r are not 0, and the loss has terms of them, too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.summands import BLOCK
from multisubnet._backends import choice as _dispatch
from multisubnet._backends import numpy as _numpy
from multisubnet._functions.summation import Summing, in_float64, power_of_two

if TYPE_CHECKING:
    from multisubnet._arithmetic.recipe import Program

_WIDTH = 64  # features whose moments are computed together
_ELEMENTS = 1 << 19  # of an array in float64


# What is computed of each element: on arrays here, as vector instructions by the CPU engine. The
# powers of two by which samples and targets are multiplied are called fits.


def value(x: Any) -> tuple[Any, ...]:
    """Return what is only added up."""
    return (x,)


def data(x: Any, t: Any, fit_x: Any, fit_t: Any) -> tuple[Any, ...]:
    """Return what the means are of."""
    return x * fit_x, t * fit_t


def products(x: Any, t: Any, fit_x: Any, fit_t: Any, mean_x: Any, mean_t: Any) -> tuple[Any, ...]:
    """Return what the second moments are the means of."""
    centred = x * fit_x - mean_x
    return centred * centred, centred * (t * fit_t - mean_t)


def rest(
    x: Any, t: Any, fit_x: Any, fit_t: Any, mean_x: Any, mean_t: Any, slope: Any
) -> tuple[Any, ...]:
    """Return the square of what the line of least squares leaves over."""
    residual = (t * fit_t - mean_t) - slope * (x * fit_x - mean_x)
    return (residual * residual,)


def signed_rest(
    x: Any, t: Any, fit_x: Any, fit_t: Any, mean_x: Any, mean_t: Any, slope: Any
) -> tuple[Any, ...]:
    """Return that, and what else depends on the signs of weights."""
    centred = x * fit_x - mean_x
    residual = (t * fit_t - mean_t) - slope * centred
    return residual * residual, centred * centred, centred, centred * residual, residual


def settled(
    fit_x: Any, fit_t: Any, mean_x: Any, mean_t: Any, slope: Any, spread: Any, rest: Any
) -> tuple[Any, ...]:
    """Return moments as `judged` takes them, with targets as large as they are."""
    return 1.0 / fit_x, mean_x, mean_t / fit_t, slope / fit_t, spread, rest / fit_t / fit_t


def judged(
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


def judged_by_signed_weights(
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
    """Return the same, with the means of x - mean(x), of its product with r, and of r.

    These are zeros where no weight is negative.
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
    """Return the loss, or inf for NaN that comes of an infinite weight or bias alone."""
    return select(loss <= loss, loss, distance * distance + (b * b + rest))


@functools.cache
def row_program(name: str, last: str) -> tuple[tuple[str, ...], Program]:
    """Return the names of inputs, and the program, of one of these functions in float64.

    The last input is a number, named `last`: the `weight` by which all results are multiplied, or
    the `divisor` of all but the first one. It may be "", for none.
    """
    from multisubnet._arithmetic import recipe as _recipe

    functions: list[Callable[..., tuple[Any, ...]]] = [value, data, products, rest, signed_rest]
    functions += judged, judged_by_signed_weights
    (function,) = (function for function in functions if function.__name__ == name)
    names = tuple(inspect.signature(function).parameters)
    options = {"select": _recipe.Boolean.select} if "select" in names else {}
    names = names[: len(names) - len(options)]

    def recipe(*given: Any) -> tuple[Any, ...]:
        values = function(*given[: len(names)], **options)
        if last == "weight":
            return tuple(value * given[-1] for value in values)
        if last == "divisor":
            return values[0], *(value / given[-1] for value in values[1:])
        return values

    all_names = (*names, last) if last else names
    return all_names, _recipe.trace(recipe, np.dtype(np.float64), all_names)


class Step(NamedTuple):
    """A pass over the samples, in which some moments are known: its means add some more."""

    terms: Callable[..., tuple[Any, ...]]
    takes: int
    adds: int
    signed: bool = False  # whether weights have their signs


STEPS = Step(data, 2, 2), Step(products, 4, 2), Step(rest, 5, 1)
SIGNED_STEPS = (*STEPS[:2], Step(signed_rest, 5, 5, signed=True))


def steps_of(sample_weight: Any) -> tuple[Step, ...]:
    """Return the passes over samples that have weights, or None."""
    return STEPS if sample_weight is None else SIGNED_STEPS


@_numpy.quietly
def moments(summing: Summing, samples: Any, targets: Any, sample_weight: Any) -> Any:
    """Return what `judged` takes, or `judged_by_signed_weights`, float64 of shape (moments, F).

    Of samples (B, F), targets (B, F) or (B, 1), sample_weight (B,) or None.
    """
    n_features = samples.shape[1]
    steps = steps_of(sample_weight)
    found = summing.empty((6 if sample_weight is None else 9, n_features))
    given = samples, targets, sample_weight
    if hasattr(summing.backend, "moments") and summing.backend.moments(given, summing.dtype, found):
        return found
    counts = None if sample_weight is None else total_weights(summing, sample_weight)
    for some in _groups(n_features):
        part = _Data(summing, samples, targets, sample_weight, some)
        known = fits(summing, part.largest())
        for step in steps:
            known = with_means(summing, step, known, part.totals(step, known), len(samples), counts)
        found[:, some] = settle(summing, known)
    return found


@_numpy.quietly
def largest(summing: Summing, samples: Any, targets: Any) -> Any:
    """Return the largest sizes of samples and targets, float64 of shape (2, F)."""
    found = summing.empty((2, samples.shape[1]))
    for some in _groups(samples.shape[1]):
        found[:, some] = _Data(summing, samples, targets, None, some).largest()
    return found


@_numpy.quietly
def fits(summing: Summing, largest: Any) -> Any:
    """Return by what samples and targets of these largest sizes are multiplied, of shape (2, F).

    Squares of what fits in float32 fit in float64.
    """
    if summing.dtype.char == "f":
        largest[...] = 1.0
    found = 1.0 / power_of_two(largest)
    found[1, found[1] > 1.0] = 1.0
    return found


@_numpy.quietly
def totals(
    summing: Summing, step: Step, samples: Any, targets: Any, sample_weight: Any, moments: Any
) -> Any:
    """Return the sums of a step's terms over samples, float64 of shape (outputs, F).

    They are nodes of the tree over all blocks where `Summing.totals` says so.
    """
    found = summing.empty((step.adds, samples.shape[1]))
    for some in _groups(samples.shape[1]):
        part = _Data(summing, samples, targets, sample_weight, some)
        found[:, some] = part.totals(step, moments[:, some])
    return found


@_numpy.quietly
def total_weights(summing: Summing, sample_weight: Any) -> Any:
    """Return the sums of weights, and of weights without their signs, float64 of shape (2, 1)."""
    column = sample_weight[:, None]
    part = _Data(summing, column, column, None, slice(0, 1))
    return part.totals(Step(lambda x, t: (x, abs(x)), 0, 2), summing.empty((0, 1)))


@_numpy.quietly
def with_means(
    summing: Summing, step: Step, moments: Any, totals: Any, n_samples: int, counts: Any
) -> Any:
    """Return the moments and those that are the totals of a step, divided by the count.

    That is the sum of weights, of which `total_weights` are the `counts`, if there are any.
    """
    count: Any = float(n_samples)
    if counts is not None:
        signed, count = counts
        if step.signed:
            count = signed.copy()
            count[count == 0.0] = np.nan
    further = totals / count
    if step.terms is products:
        spread, slope = further
        slope /= spread
        slope[spread == 0.0] = 0.0
        further = further[::-1]
    elif step.signed:
        further[2:] *= signed != counts[1]  # they are 0 but for roundings
    together = summing.empty((len(moments) + len(further), totals.shape[1]))
    together[: len(moments)] = moments
    together[len(moments) :] = further
    return together


@_numpy.quietly
def settle(summing: Summing, known: Any) -> Any:
    """Return all that is known of moments as a function to judge takes it."""
    values: tuple[Any, ...] = settled(*known[:7])
    if len(known) > 7:
        spread, drift, tilt, shift = known[7:]
        values = *settled(*known[:5], spread, known[6]), drift, tilt / known[1], shift / known[1]
    found = summing.empty((len(values), known.shape[1]))
    for row, of_features in zip(found, values, strict=True):
        row[...] = of_features
    return found


@_numpy.quietly
def judge(
    summing: Summing, weight: Any, bias: Any, moments: Any, outs: list[Any], divisor: float
) -> None:
    """Write the loss of each set, or of each of its subnetworks, and its gradients if asked for.

    What comes of each subnetwork is divided by a number.
    """
    given = weight, bias, moments
    if hasattr(summing.backend, "judge") and summing.backend.judge(
        given, summing.dtype, outs, divisor
    ):
        return
    n_sets, n_features = len(outs[0]), weight.shape[1]
    function = judged if len(moments) == 6 else judged_by_signed_weights
    select = _dispatch.namespace({"weight": weight}).where
    step = max(_ELEMENTS // max(n_features, 1), 1)
    for start in range(0, n_sets, step):
        part = slice(start, min(start + step, n_sets))
        w, b = (
            -0.0 if x is None else in_float64(summing, x if len(x) == 1 else x[part], summing.dtype)
            for x in (weight, bias)
        )
        for result, out in zip(function(w, b, *moments, select=select), outs, strict=False):
            of_each = summing.empty((1, part.stop - part.start, n_features))
            of_each[...] = result
            summing.backend.finish(of_each, out[part], divisor, None)


def _groups(n_features: int) -> list[slice]:
    """Return the features whose moments are computed together."""
    return [slice(first, min(first + _WIDTH, n_features)) for first in range(0, n_features, _WIDTH)]


class _Data:
    """Samples and targets of as many features as there is memory for."""

    def __init__(
        self, summing: Summing, samples: Any, targets: Any, sample_weight: Any, some: slice
    ):
        self._summing = summing
        self._in_float64 = Summing(summing.backend, summing.xp, np.dtype(np.float64), 0.0)
        targets = targets if targets.shape[1] == 1 else targets[:, some]
        weights = None if sample_weight is None else sample_weight[:, None]
        self._arrays = samples[:, some], targets, weights
        # The total of the first, second, ... power of two of blocks is one of those in the tree.
        n_features = some.stop - some.start
        rows = BLOCK << (_ELEMENTS // (BLOCK * n_features)).bit_length() - 1
        self._chunks = [slice(i, i + rows) for i in range(0, max(len(samples), 1), rows)]
        self._latest: tuple[slice, list[Any]] | None = None

    def largest(self) -> Any:
        """Return the largest sizes of samples and targets, float64 of shape (2, F)."""
        n_features = self._arrays[0].shape[1]
        found = self._summing.empty((2, len(self._chunks), n_features))
        found[...] = 0.0
        for number, rows in enumerate(self._chunks):
            for of_chunk, array in zip(found[:, number], self._chunk(rows), strict=False):
                if len(array):
                    of_chunk[...] = abs(array).max(axis=0)
        return found.max(axis=1)

    def totals(self, step: Step, moments: Any) -> Any:
        """Return the sums of a step's terms, float64 of shape (outputs, F)."""
        nodes = self._summing.empty((len(self._chunks), step.adds, 1, self._arrays[0].shape[1]))
        for node, rows in zip(nodes, self._chunks, strict=True):
            x, t, weight = self._chunk(rows)
            values = step.terms(x, t, *moments[: step.takes])
            if weight is not None and not step.signed:
                weight = abs(weight)
            for output, value in zip(node, values, strict=True):
                weighted = value if weight is None else value * weight
                output[0] = self._in_float64.total(weighted[None])
        return self._summing.added(nodes)[:, 0]

    def _chunk(self, rows: slice) -> list[Any]:
        """Return samples, targets and weights of some rows, the latest of which are kept."""
        if self._latest is None or self._latest[0] != rows:
            arrays = (None if x is None else x[rows] for x in self._arrays)
            cast = [
                None if x is None else in_float64(self._summing, x, self._summing.dtype)
                for x in arrays
            ]
            self._latest = rows, cast
        return self._latest[1]
