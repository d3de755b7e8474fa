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

from multisubnet._arithmetic.moments import (
    Step,
    loss_by_moments,
    loss_by_signed_weights,
    products,
    settled,
    steps_of,
)
from multisubnet._arithmetic.summation_order import BLOCK
from multisubnet._backends import numpy
from multisubnet._functions.summation import Summing, in_float64, power_of_two

_WIDTH = 64  # number of features whose moments are computed together
_ELEMENTS = 1 << 19  # size of an array in float64


def _fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Use the backend's fused implementation of a function if it has one.

    The function itself takes NumPy arrays.
    """

    @functools.wraps(function)
    def call(summing: Summing, *arguments: Any) -> Any:
        fused = getattr(summing.backend, "closed_form", None)
        if fused is not None:
            return getattr(fused, function.__name__)(summing, *arguments)
        with np.errstate(all="ignore"):  # unlike without_warnings, keeps the context
            return function(summing, *arguments)

    return call


@_fused
def moments(summing: Summing, samples: Any, targets: Any, sample_weight: Any) -> Any:
    """Return the moments for `loss_by_moments` or `loss_by_signed_weights`, float64 (moments, F).

    Shapes: samples (B, F), targets (B, F) or (B, 1), sample_weight (B,) or None.
    """
    found = np.empty((6 if sample_weight is None else 9, samples.shape[1]))
    given = samples, targets, sample_weight
    if hasattr(summing.backend, "moments") and summing.backend.moments(given, summing.dtype, found):
        return found
    counts = None if sample_weight is None else total_weights(summing, sample_weight)
    for data in _parts(summing.dtype, *given):
        # float32 needs no scaling: see `fits`.
        known = _fits(data.largest()) if summing.dtype.char == "d" else data.ones
        for step in steps_of(sample_weight):
            known = _with_means(step, known, data.totals(step, known), len(samples), counts)
        found[:, data.features] = _settle(known)
    return found


@_fused
def largest(summing: Summing, samples: Any, targets: Any) -> Any:
    """Return the largest absolute values of samples and targets, float64 (2, F)."""
    parts = [data.largest() for data in _parts(summing.dtype, samples, targets)]
    return np.concatenate([np.empty((2, 0)), *parts], axis=1)


@_fused
def fits(summing: Summing, largest: Any) -> Any:
    """Return the factors (2, F) that scale samples and targets of these largest absolute values.

    Squares of numbers that fit in float32 fit in float64.
    """
    return np.ones(largest.shape) if summing.dtype.char == "f" else _fits(largest)


def _fits(largest: Any) -> Any:
    found = 1.0 / power_of_two(largest)
    found[1, found[1] > 1.0] = 1.0
    return found


@_fused
def totals(
    summing: Summing, step: Step, samples: Any, targets: Any, sample_weight: Any, moments: Any
) -> Any:
    """Return the sums of a step's terms over samples, float64 (outputs, F).

    For part of the samples they are nodes of the tree over all blocks: see `Summing.totals`.
    """
    parts = _parts(summing.dtype, samples, targets, sample_weight)
    found = [data.totals(step, moments[:, data.features]) for data in parts]
    return np.concatenate([np.empty((step.adds, 0)), *found], axis=1)


@_fused
def total_weights(summing: Summing, sample_weight: Any) -> Any:
    """Return the sums of the weights and of their absolute values, float64 (2, 1)."""
    column = sample_weight[:, None]
    (data,) = _parts(summing.dtype, column, column)
    return data.totals(Step(lambda x, t: (x, abs(x)), 0, 2), np.empty((0, 1)))


@_fused
def with_means(
    summing: Summing, step: Step, moments: Any, totals: Any, n_samples: int, counts: Any
) -> Any:
    """Append the totals of a step, divided by the count, to the moments.

    The count is the number of samples or, if samples are weighted, their `total_weights`.
    """
    return _with_means(step, moments, totals, n_samples, counts)


def _with_means(step: Step, moments: Any, totals: Any, n_samples: int, counts: Any) -> Any:
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
    return np.concatenate([moments, further])


@_fused
def settle(summing: Summing, known: Any) -> Any:
    """Return the known moments in the form that `evaluate_losses` takes."""
    return _settle(known)


def _settle(known: Any) -> Any:
    if len(known) == 7:
        return np.array(settled(*known))
    spread, drift, tilt, shift = known[7:]
    unsigned = *known[:5], spread, known[6]
    return np.array([*settled(*unsigned), drift, tilt / known[1], shift / known[1]])


@_fused
def evaluate_losses(
    summing: Summing, weight: Any, bias: Any, moments: Any, outs: list[Any], divisor: float
) -> None:
    """Write the loss of each set, or of each subnetwork, and the gradients if requested.

    The values of each subnetwork are divided by `divisor`.
    """
    given = weight, bias, moments
    if hasattr(summing.backend, "moment_loss") and summing.backend.moment_loss(
        given, summing.dtype, outs, divisor
    ):
        return
    n_sets, n_features = len(outs[0]), weight.shape[1]
    function = loss_by_moments if len(moments) == 6 else loss_by_signed_weights
    select = np.where
    step = max(_ELEMENTS // max(n_features, 1), 1)
    for start in range(0, n_sets, step):
        part = slice(start, min(start + step, n_sets))
        w = in_float64(weight if len(weight) == 1 else weight[part], summing.dtype)
        b: Any = -0.0
        if bias is not None:
            b = in_float64(bias if len(bias) == 1 else bias[part], summing.dtype)
        for result, out in zip(function(w, b, *moments, select=select), outs, strict=False):
            of_each = np.empty((1, part.stop - start, n_features))
            of_each[...] = result
            summing.backend.finish(of_each, out[part], divisor, None)


def _parts(dtype: np.dtype, samples: Any, targets: Any, sample_weight: Any = None) -> list[_Data]:
    """Return samples and targets, cut into features whose moments are computed together."""
    parts, n_features = [], samples.shape[1]
    for first in range(0, n_features, _WIDTH):
        features = slice(first, min(first + _WIDTH, n_features))
        parts.append(_Data(dtype, samples, targets, sample_weight, features))
    return parts


class _Data:
    """Samples and targets of some features, as many as memory allows."""

    def __init__(
        self, dtype: np.dtype, samples: Any, targets: Any, sample_weight: Any, features: slice
    ):
        targets = targets if targets.shape[1] == 1 else targets[:, features]
        weights = None if sample_weight is None else sample_weight[:, None]
        self.features, self.ones = features, np.ones((2, features.stop - features.start))
        self._dtype, self._arrays = dtype, (samples[:, features], targets, weights)
        n_blocks = max(_ELEMENTS // (BLOCK * (features.stop - features.start)), 1)
        self._starts = range(0, max(len(samples), 1), n_blocks * BLOCK)
        self._latest: tuple[int, list[Any]] | None = None

    def largest(self) -> Any:
        """Return the largest absolute values of samples and targets, float64 (2, F)."""
        found = np.zeros_like(self.ones)
        for start in self._starts:
            for largest, array in zip(found, self._chunk(start), strict=False):
                if array is not None and len(array):
                    np.maximum(largest, abs(array).max(axis=0), out=largest)
        return found

    def totals(self, step: Step, moments: Any) -> Any:
        """Return the sums of a step's terms, float64 (outputs, F)."""
        of_blocks = []
        for start in self._starts:
            x, t, weight = self._chunk(start)
            values = step.terms(x, t, *moments[: step.takes])
            if weight is not None and not step.signed:
                weight = abs(weight)
            every = np.empty((len(x), step.adds, x.shape[1]))
            for output, value in enumerate(values):
                every[:, output] = value if weight is None else value * weight
            for first in range(0, max(len(x), 1), BLOCK):
                of_blocks.append(numpy.sum_of_runs(every[first : first + BLOCK]))
        return of_blocks[0] if len(of_blocks) == 1 else numpy.tree(np.array(of_blocks))

    def _chunk(self, start: int) -> list[Any]:
        """Return samples, targets and weights from a row on; the latest ones are cached."""
        if self._latest is None or self._latest[0] != start:
            rows, chunk = slice(start, start + self._starts.step), []
            for array in self._arrays:
                chunk.append(None if array is None else in_float64(array[rows], self._dtype))
            self._latest = start, chunk
        return self._latest[1]
