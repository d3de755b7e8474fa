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
from collections.abc import Callable
from typing import Any

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arithmetic.moments import (
    Step,
    judged,
    judged_by_signed_weights,
    products,
    settled,
    steps_of,
)
from multisubnet._arithmetic.summation_order import BLOCK
from multisubnet._functions.summation import SUM, Summing, in_float64, power_of_two

_WIDTH = 64  # features whose moments are computed together
_ELEMENTS = 1 << 19  # of an array in float64


def _fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Leave the work to the backend, if it has a function that does it in few steps."""

    @functools.wraps(function)
    def call(summing: Summing, *arguments: Any) -> Any:
        fused = getattr(summing.backend, "closed_form", None)
        if fused is not None:
            return getattr(fused, function.__name__)(summing, *arguments)
        return function(summing, *arguments)

    return call


@_fused
@np.errstate(all="ignore")  # which keeps the context: backends ask it for threads
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


@_fused
@without_warnings
def largest(summing: Summing, samples: Any, targets: Any) -> Any:
    """Return the largest sizes of samples and targets, float64 of shape (2, F)."""
    found = summing.empty((2, samples.shape[1]))
    for some in _groups(samples.shape[1]):
        found[:, some] = _Data(summing, samples, targets, None, some).largest()
    return found


@_fused
@without_warnings
def fits(summing: Summing, largest: Any) -> Any:
    """Return by what samples and targets of these largest sizes are multiplied, of shape (2, F).

    Squares of what fits in float32 fit in float64.
    """
    if summing.dtype.char == "f":
        largest[...] = 1.0
    found = 1.0 / power_of_two(largest)
    found[1, found[1] > 1.0] = 1.0
    return found


@_fused
@np.errstate(all="ignore")  # which keeps the context: backends ask it for threads
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


@_fused
@np.errstate(all="ignore")  # which keeps the context: backends ask it for threads
def total_weights(summing: Summing, sample_weight: Any) -> Any:
    """Return the sums of weights, and of weights without their signs, float64 of shape (2, 1)."""
    column = sample_weight[:, None]
    part = _Data(summing, column, column, None, slice(0, 1))
    return part.totals(Step(lambda x, t: (x, abs(x)), 0, 2), summing.empty((0, 1)))


@_fused
@without_warnings
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


@_fused
@without_warnings
def settle(summing: Summing, known: Any) -> Any:
    """Return all that is known of moments as a function to judge takes it."""
    values: tuple[Any, ...] = settled(*known[:7])
    if len(known) > 7:
        spread, drift, tilt, shift = known[7:]
        unsigned = *known[:5], spread, known[6]
        values = *settled(*unsigned), drift, tilt / known[1], shift / known[1]
    found = summing.empty((len(values), known.shape[1]))
    for row, of_features in zip(found, values, strict=True):
        row[...] = of_features
    return found


@_fused
@np.errstate(all="ignore")  # which keeps the context: backends ask it for threads
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
    select = np.where
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
        nodes = self._summing.empty((len(self._chunks), 1, step.adds, self._arrays[0].shape[1]))
        for node, rows in zip(nodes, self._chunks, strict=True):
            x, t, weight = self._chunk(rows)
            values = step.terms(x, t, *moments[: step.takes])
            if weight is not None and not step.signed:
                weight = abs(weight)
            every = self._summing.empty((step.adds, *x.shape))
            for one, value in zip(every, values, strict=True):
                one[...] = value if weight is None else value * weight
            node[...] = self._in_float64.totals(SUM, {"sample": every}, every.shape)
        return self._summing.added(nodes)[0]

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
