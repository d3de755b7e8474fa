"""The mean squared error of linear subnetworks, from moments of samples and targets.

With x and t of a feature centred at their means, s the slope of least squares, and r what it leaves
over, the mean over samples of (w x + b - t)^2 is

    mean((x - mean(x))^2) (w - s)^2  +  (w mean(x) + b - mean(t))^2  +  mean(r^2)

whose terms are not negative: nothing cancels. All is done in float64, the sums over samples in the
order that all backends keep.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from multisubnet import _numpy
from multisubnet._sums import Summing
from multisubnet._terms import BLOCK

_WIDTH = 64  # features whose moments are computed together
_ELEMENTS = 1 << 19  # of an array in float64


@_numpy.quietly
def write(
    summing: Summing,
    operands: tuple[Any, Any, Any, Any, Any],
    outs: list[Any],
    divisor: float,
) -> None:
    """Write the loss of each set, or of each of its subnetworks, and its gradients if asked for.

    Operands are samples (B, F), weight, bias or None, targets (B, F) or (B, 1), sample_weight (B,)
    or None. What comes of each subnetwork is divided by a number.
    """
    if hasattr(summing.backend, "closed_form") and summing.backend.closed_form(
        operands, summing.dtype, outs, divisor
    ):
        return
    samples, weight, bias, targets, sample_weight = operands
    n_sets = len(outs[0])
    n_features = samples.shape[1]
    mean_x, mean_t, slope, spread, rest = _moments(summing, samples, targets, sample_weight)
    step = max(_ELEMENTS // max(n_features, 1), 1)
    for start in range(0, n_sets, step):
        part = slice(start, min(start + step, n_sets))
        w, b = (
            x if x is None else _in_float64(summing, x if len(x) == 1 else x[part])
            for x in (weight, bias)
        )
        distance = w - slope
        offset = w * mean_x
        if b is not None:
            offset = offset + b
        offset = offset - mean_t
        steep = spread * distance
        results = [
            steep * distance + offset * offset + rest,
            2.0 * (steep + offset * mean_x),
            2.0 * offset,
        ]
        for result, out in zip(results, outs, strict=False):
            totals = summing.empty((1, part.stop - part.start, n_features))
            totals[...] = result
            summing.backend.finish(totals, out[part], divisor, None)


def _moments(summing: Summing, samples: Any, targets: Any, sample_weight: Any) -> Any:
    """Return mean(x), mean(t), s, mean((x - mean(x))^2), mean(r^2), each (F,) in float64."""
    n_features = samples.shape[1]
    found = summing.empty((5, n_features))
    for first in range(0, n_features, _WIDTH):
        some = slice(first, min(first + _WIDTH, n_features))
        t = targets if targets.shape[1] == 1 else targets[:, some]
        for i, moment in enumerate(_of_some(summing, samples[:, some], t, sample_weight)):
            found[i, some] = moment
    return found


def _of_some(
    summing: Summing, samples: Any, targets: Any, sample_weight: Any
) -> tuple[Any, Any, Any, Any, Any]:
    """Return the moments of as many features as there is memory for."""
    n_samples, n_features = samples.shape
    # The total of the first, second, ... power of two of blocks is one of those in the tree.
    rows = BLOCK << (_ELEMENTS // (BLOCK * n_features)).bit_length() - 1
    chunks = [slice(i, i + rows) for i in range(0, max(n_samples, 1), rows)]
    weights = None if sample_weight is None else sample_weight[:, None]

    @functools.lru_cache(maxsize=1)
    def chunk(number: int) -> list[Any]:
        arrays = samples, targets, weights
        return [None if x is None else _in_float64(summing, x[chunks[number]]) for x in arrays]

    def mean(terms: Callable[[Any, Any], Any]) -> Any:
        """Return the weighted mean of terms of x and t."""

        def weighted(x: Any, t: Any, weight: Any) -> Any:
            return terms(x, t) if weight is None else terms(x, t) * weight

        return total(weighted) / count

    def total(terms: Callable[[Any, Any, Any], Any]) -> Any:
        totals = [in_float64.total(terms(*chunk(number))[None]) for number in range(len(chunks))]
        nodes = summing.empty((len(totals), 1, len(totals[0])))
        for node, of_chunk in zip(nodes, totals, strict=True):
            node[0] = of_chunk
        out = summing.empty(nodes.shape[1:])
        summing.backend.finish(nodes, out, 1.0, None)
        return out[0]

    in_float64 = Summing(summing.backend, summing.xp, np.dtype(np.float64), 0.0)
    count = float(n_samples) if weights is None else total(lambda x, t, weight: weight)
    mean_x, mean_t = mean(lambda x, t: x), mean(lambda x, t: t)
    spread = mean(lambda x, t: (x - mean_x) * (x - mean_x))
    slope = mean(lambda x, t: (x - mean_x) * (t - mean_t)) / spread
    slope[spread == 0.0] = 0.0

    def rest(x: Any, t: Any) -> Any:
        residual = (t - mean_t) - slope * (x - mean_x)
        return residual * residual

    return mean_x, mean_t, slope, spread, mean(rest)


def _in_float64(summing: Summing, array: Any) -> Any:
    """Return a matrix, rounded to the working dtype, in float64.

    By `affine`, since CuPy takes float32 subnormals for zeros.
    """
    out = summing.empty(array.shape)
    one = summing.empty((1, array.shape[1]))
    one[...] = 1.0
    summing.backend.affine(array, one, None, out[None], summing.dtype, None)
    return out
