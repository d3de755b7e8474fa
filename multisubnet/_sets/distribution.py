"""What sets of weights predict in distribution: mean, spread, extremes and quantiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Generic, NamedTuple

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arrays import namespaces
from multisubnet._arrays.types import ArrayT
from multisubnet._functions import evaluation, problem
from multisubnet._memory import amounts
from multisubnet._memory.progress import reporting
from multisubnet._sets.parameters import Parameters, common_dtype, n_cut_axes, n_third

_BLOCK_BYTES = 1 << 26  # of the predictions that are sorted at once, without a limit


class PredictionStats(NamedTuple, Generic[ArrayT]):
    """The distribution of predictions over N sets: arrays of float64, NaN where there is no set.

    Attributes
    ----------
    mean, std : ndarray, shape (B, F); of networks (B, S, P), or (B, P) if additive
        The mean, and the standard deviation (of the N predictions, as `numpy.std` has it).
    min, max : ndarray of the same shape
        The least and the largest prediction.
    quantiles : ndarray, shape (Q, ...)
        The quantiles that were asked for.
    """

    mean: ArrayT
    std: ArrayT
    min: ArrayT
    max: ArrayT
    quantiles: ArrayT


def predict_stats(
    samples: Any, parameters: Parameters, quantiles: Any, memory_limit: Any, progress: Any
) -> PredictionStats[Any]:
    """Return the statistics of predictions; the array of all of them is never there."""
    levels = _levels(quantiles)
    limit = 3 * _BLOCK_BYTES
    if memory_limit is not None:
        limit = amounts.parsed("memory_limit", memory_limit)
    xp, call = parameters.call(samples)
    n_sets, n_samples, *axes = call.shape
    working = problem.working_dtype(common_dtype(call))
    # What is in order is whole along the axes that no call cuts.
    n_columns, whole = (n_third(call), axes[1:]) if n_cut_axes(call) == 3 else (1, axes)
    # As they come, in order, copied.
    least = 3 * max(n_sets, 1) * working.itemsize * max(math.prod(whole), 1)
    columns = limit // least
    if not columns:
        raise ValueError(
            f"memory_limit is {limit} bytes; expected at least {least}, "
            f"for one prediction of each of {n_sets} sets"
        )
    mean, std = parameters.mean_and_std(samples)
    call = call._replace(dtype=working)
    found = np.full((2 + len(levels), n_samples, *axes), np.nan)
    with reporting(progress, n_samples, "samples") as report:
        for rows, third in _tiles(n_samples, n_columns, columns) if n_sets else ():
            some = third if n_cut_axes(call) == 3 else slice(0, n_third(call))
            block = evaluation.run(xp, call.part(slice(0, n_sets), rows, some))
            where = (rows, third) if n_cut_axes(call) == 3 else (rows,)
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
    """Return the levels of quantiles as a list of numbers in [0, 1]."""
    is_number = not isinstance(quantiles, Iterable) or getattr(quantiles, "ndim", 1) == 0
    given = [quantiles] if is_number else quantiles
    try:
        levels = [float(level) for level in given]
    except (TypeError, ValueError):
        levels = [math.nan]
    if not all(0.0 <= level <= 1.0 for level in levels):
        raise ValueError(f"quantiles must be numbers from 0 to 1, not {quantiles!r}")
    return levels


def _tiles(n_samples: int, n_features: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield tiles of at most so many samples times features: whole samples, or parts of one.

    Networks are features here, if they are not added up.
    """
    features = min(columns, n_features)
    rows = max(columns // max(n_features, 1), 1)
    for row in range(0, n_samples, rows):
        for feature in range(0, n_features, max(features, 1)):
            yield (
                slice(row, min(row + rows, n_samples)),
                slice(feature, min(feature + features, n_features)),
            )


@without_warnings
def _distribution(block: np.ndarray, levels: list[float]) -> np.ndarray:
    """Return least, largest and quantiles over the first axis, each linear between two values."""
    n_sets, *shape = block.shape
    ordered = np.ascontiguousarray(block.reshape(n_sets, -1).T)
    ordered += 0.0  # zeros are equal, and their order is free: they are to have one sign
    if levels:
        ordered.sort(axis=1)
        least, largest = ordered[:, 0], ordered[:, -1]  # NaN are the last ones
        least = np.where(np.isnan(largest), np.nan, least)
    else:
        least, largest = ordered.min(axis=1), ordered.max(axis=1)
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
