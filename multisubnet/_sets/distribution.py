"""Statistics of the predictions of weight sets: mean, spread, extremes and quantiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Generic, NamedTuple

import numpy as np

from multisubnet._arithmetic.float_mode import keep_subnormals, without_warnings
from multisubnet._arrays import amounts, namespaces
from multisubnet._arrays.explanations import count, shown
from multisubnet._arrays.types import ArrayT
from multisubnet._functions import affine_stats, evaluation, problem
from multisubnet._sets.parameters import Parameters, common_dtype, n_cut_axes, n_third
from multisubnet._sets.progress import reporting

_BLOCK_BYTES = 1 << 26  # for predictions held at a time, if there is no limit


class PredictionStats(NamedTuple, Generic[ArrayT]):
    """The distribution of predictions over N sets, in float64; NaN if there are no sets.

    Attributes
    ----------
    mean, std : ndarray, shape (B, F); for networks (B, S, P), or (B, P) if additive
        The mean and the standard deviation of the N predictions, as in `numpy.std`.
    min, max : ndarray of the same shape
        The smallest and the largest prediction.
    quantiles : ndarray, shape (Q, ...)
        The requested quantiles.
    """

    mean: ArrayT
    std: ArrayT
    min: ArrayT
    max: ArrayT
    quantiles: ArrayT

    def __repr__(self) -> str:
        """Return the shapes instead of the many numbers."""
        shapes = ", ".join(f"{name}: {array.shape}" for name, array in self._asdict().items())
        return f"PredictionStats({shapes}, {self.mean.dtype})"


@keep_subnormals
def predict_stats(
    samples: Any, parameters: Parameters, quantiles: Any, memory_limit: Any, progress: Any
) -> PredictionStats[Any]:
    """Return statistics of the predictions without allocating the array of all of them."""
    levels = _levels(quantiles)
    limit = 3 * _BLOCK_BYTES
    if memory_limit is not None:
        limit = amounts.parse("memory_limit", memory_limit)
    xp, call = parameters.call(samples)
    n_sets, n_samples, *axes = call.shape
    working = problem.working_dtype(common_dtype(call))
    # Quantiles of a column need all sets at once; if networks are added up, also all networks.
    n_columns, whole = (n_third(call), axes[1:]) if n_cut_axes(call) == 3 else (1, axes)
    # Three arrays: the predictions in their original order, sorted, and copied.
    column = max(n_sets, 1) * working.itemsize * max(math.prod(whole), 1)
    columns = limit // (3 * column)
    if not columns:
        raise ValueError(
            f"memory_limit is {limit} bytes; expected at least {3 * column}, "
            f"for one prediction of each of {count(n_sets, 'set')}"
        )
    if xp is np:
        columns = evaluation.columns_in_cache(columns, column, n_columns)
    call = call.with_dtype(working)
    with namespaces.device_of(call.samples):
        mean, std = (xp.empty((n_samples, *axes)) for _ in range(2))
        if not n_sets:
            mean[...] = std[...] = np.nan
    block = None
    found = np.full((2 + len(levels), n_samples, *axes), np.nan)
    with reporting(progress, n_samples, "samples") as report:
        for rows, third in _tiles(n_samples, n_columns, columns) if n_sets else ():
            some = third if n_cut_axes(call) == 3 else slice(0, n_third(call))
            block = evaluation.run_again(xp, call.part(slice(0, n_sets), rows, some), block)
            where = (rows, third) if n_cut_axes(call) == 3 else (rows,)
            of_values = affine_stats.of_values(block.reshape(*block.shape[:2], -1), None)
            for name, array in (("mean", mean), ("std", std)):
                array[where] = of_values[name].reshape(block.shape[1:])
            found[:, *where] = _distribution(namespaces.on_host(block), levels)
            if third.stop == n_columns and rows.stop < n_samples:
                report(rows.stop)
        report(n_samples)
    results = found[0], found[1], found[2:]
    if xp is not np:
        with call.samples.device:
            results = tuple(xp.asarray(x) for x in results)
    return PredictionStats(mean, std, *results)


def _levels(quantiles: Any) -> list[float]:
    """Return quantile levels as a list of numbers in [0, 1]."""
    is_number = not isinstance(quantiles, Iterable) or getattr(quantiles, "ndim", 1) == 0
    given = [quantiles] if is_number else quantiles
    try:
        levels = [float(level) for level in given]
    except (TypeError, ValueError):
        levels = [math.nan]
    if not all(0.0 <= level <= 1.0 for level in levels):
        raise ValueError(f"quantiles must be numbers from 0 to 1, not {shown(quantiles)}")
    return levels


def _tiles(n_samples: int, n_features: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield tiles of a limited number of samples times features: whole samples, or parts of one.

    Networks count as features, unless they are added up.
    """
    features = min(columns, n_features)
    rows = evaluation.in_whole_lines(max(columns // max(n_features, 1), 1), n_samples)
    for row in range(0, n_samples, rows):
        for feature in range(0, n_features, max(features, 1)):
            yield (
                slice(row, min(row + rows, n_samples)),
                slice(feature, min(feature + features, n_features)),
            )


@without_warnings
def _distribution(block: np.ndarray, levels: list[float]) -> np.ndarray:
    """Return minimum, maximum and linearly interpolated quantiles over the first axis."""
    n_sets, *shape = block.shape
    ordered = block.reshape(n_sets, -1).T
    if levels:
        ordered = np.ascontiguousarray(ordered)
        ordered += 0.0  # the order of -0.0 and +0.0 is arbitrary, so all zeros become +0.0
        ordered.sort(axis=1)
        least, largest = ordered[:, 0], ordered[:, -1]  # NaNs sort last
        least = np.where(np.isnan(largest), np.nan, least)
    else:
        least, largest = ordered.min(axis=1) + 0.0, ordered.max(axis=1) + 0.0
    found = [least, largest]
    for level in levels:
        place = level * (n_sets - 1)
        low = math.floor(place)
        high = min(low + 1, n_sets - 1)
        below, above = (ordered[:, i].astype(np.float64) for i in (low, high))
        between = below + (above - below) * (place - low)
        value = np.where((below == above) | (place == low), below, between)
        found.append(np.where(np.isnan(largest), np.nan, value))
    return np.array(found, np.float64).reshape(len(found), *shape)
