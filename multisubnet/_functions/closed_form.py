"""The mean squared error of linear subnetworks, from moments of samples and targets.

Let x and t be a feature and its target, centred at their means, s the least-squares slope and r the
residual. The mean over samples of (w x + b - t)^2 is

    mean((x - mean(x))^2) (w - s)^2  +  (w mean(x) + b - mean(t))^2  +  mean(r^2)

No term is negative, so nothing cancels. All operations are in float64, and the sums over samples
use the order that all backends share. Samples, and targets whose largest size is at least 1, are
first divided by the power of two of the largest one, so that a square overflows or underflows only
if the loss does.

Means, slope and residuals are weighted by the absolute values of the weights. If some weights are
negative, the means of (x - mean(x)) r, x - mean(x) and r are not 0, and the loss includes terms
with them.
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

_WIDTH = 64  # number of features whose moments are computed together
_ELEMENTS = 1 << 19  # size of an array in float64


def _fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Use the backend's fused implementation of a function if it has one."""

    @functools.wraps(function)
    def call(summing: Summing, *arguments: Any) -> Any:
        fused = getattr(summing.backend, "closed_form", None)
        if fused is not None:
            return getattr(fused, function.__name__)(summing, *arguments)
        return function(summing, *arguments)

    return call


@_fused
@np.errstate(all="ignore")  # unlike without_warnings, keeps the context: backends read it
def moments(summing: Summing, samples: Any, targets: Any, sample_weight: Any) -> Any:
    """Return the moments for `judged` or `judged_by_signed_weights`, float64 (moments, F).

    Shapes: samples (B, F), targets (B, F) or (B, 1), sample_weight (B,) or None.
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
    """Return the largest absolute values of samples and targets, float64 (2, F)."""
    found = summing.empty((2, samples.shape[1]))
    for some in _groups(samples.shape[1]):
        found[:, some] = _Data(summing, samples, targets, None, some).largest()
    return found


@_fused
@without_warnings
def fits(summing: Summing, largest: Any) -> Any:
    """Return the factors (2, F) that scale samples and targets of these largest absolute values.

    Squares of numbers that fit in float32 fit in float64.
    """
    if summing.dtype.char == "f":
        largest[...] = 1.0
    found = 1.0 / power_of_two(largest)
    found[1, found[1] > 1.0] = 1.0
    return found


@_fused
@np.errstate(all="ignore")  # unlike without_warnings, keeps the context: backends read it
def totals(
    summing: Summing, step: Step, samples: Any, targets: Any, sample_weight: Any, moments: Any
) -> Any:
    """Return the sums of a step's terms over samples, float64 (outputs, F).

    For part of the samples they are nodes of the tree over all blocks: see `Summing.totals`.
    """
    found = summing.empty((step.adds, samples.shape[1]))
    for some in _groups(samples.shape[1]):
        part = _Data(summing, samples, targets, sample_weight, some)
        found[:, some] = part.totals(step, moments[:, some])
    return found


@_fused
@np.errstate(all="ignore")  # unlike without_warnings, keeps the context: backends read it
def total_weights(summing: Summing, sample_weight: Any) -> Any:
    """Return the sums of the weights and of their absolute values, float64 (2, 1)."""
    column = sample_weight[:, None]
    part = _Data(summing, column, column, None, slice(0, 1))
    return part.totals(Step(lambda x, t: (x, abs(x)), 0, 2), summing.empty((0, 1)))


@_fused
@without_warnings
def with_means(
    summing: Summing, step: Step, moments: Any, totals: Any, n_samples: int, counts: Any
) -> Any:
    """Append the totals of a step, divided by the count, to the moments.

    The count is the number of samples or, if samples are weighted, their `total_weights`.
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
        further[2:] *= signed != counts[1]  # exactly 0, except for rounding
    together = summing.empty((len(moments) + len(further), totals.shape[1]))
    together[: len(moments)] = moments
    together[len(moments) :] = further
    return together


@_fused
@without_warnings
def settle(summing: Summing, known: Any) -> Any:
    """Return the known moments in the form that `judge` takes."""
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
@np.errstate(all="ignore")  # unlike without_warnings, keeps the context: backends read it
def judge(
    summing: Summing, weight: Any, bias: Any, moments: Any, outs: list[Any], divisor: float
) -> None:
    """Write the loss of each set, or of each subnetwork, and the gradients if requested.

    The values of each subnetwork are divided by `divisor`.
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
    """Return slices of the features whose moments are computed together."""
    return [slice(first, min(first + _WIDTH, n_features)) for first in range(0, n_features, _WIDTH)]


class _Data:
    """Samples and targets of some features, as many as memory allows."""

    def __init__(
        self, summing: Summing, samples: Any, targets: Any, sample_weight: Any, some: slice
    ):
        self._summing = summing
        self._in_float64 = Summing(summing.backend, summing.xp, np.dtype(np.float64), 0.0)
        targets = targets if targets.shape[1] == 1 else targets[:, some]
        weights = None if sample_weight is None else sample_weight[:, None]
        self._arrays = samples[:, some], targets, weights
        # The totals of the first 1, 2, 4, ... blocks are nodes of the tree.
        n_features = some.stop - some.start
        rows = BLOCK << (_ELEMENTS // (BLOCK * n_features)).bit_length() - 1
        self._chunks = [slice(i, i + rows) for i in range(0, max(len(samples), 1), rows)]
        self._latest: tuple[slice, list[Any]] | None = None

    def largest(self) -> Any:
        """Return the largest absolute values of samples and targets, float64 (2, F)."""
        n_features = self._arrays[0].shape[1]
        found = self._summing.empty((2, len(self._chunks), n_features))
        found[...] = 0.0
        for number, rows in enumerate(self._chunks):
            for of_chunk, array in zip(found[:, number], self._chunk(rows), strict=False):
                if len(array):
                    of_chunk[...] = abs(array).max(axis=0)
        return found.max(axis=1)

    def totals(self, step: Step, moments: Any) -> Any:
        """Return the sums of a step's terms, float64 (outputs, F)."""
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
        """Return samples, targets and weights of some rows; the latest ones are cached."""
        if self._latest is None or self._latest[0] != rows:
            arrays = (None if x is None else x[rows] for x in self._arrays)
            cast = [
                None if x is None else in_float64(self._summing, x, self._summing.dtype)
                for x in arrays
            ]
            self._latest = rows, cast
        return self._latest[1]
