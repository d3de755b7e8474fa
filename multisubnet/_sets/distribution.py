"""What sets of weights predict in distribution: mean, spread, extremes and quantiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Generic, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arrays import namespaces, validation
from multisubnet._arrays.types import ArrayT
from multisubnet._functions import evaluation, problem
from multisubnet._functions.affine import affine
from multisubnet._functions.affine_stats import affine_stats
from multisubnet._memory import amounts
from multisubnet._memory.progress import reporting

_BLOCK_BYTES = 1 << 26  # of the predictions that are sorted at once, without a limit


class PredictionStats(NamedTuple, Generic[ArrayT]):
    """The distribution of predictions over N sets: arrays of float64, NaN where there is no set.

    Attributes
    ----------
    mean, std : ndarray, shape (B, F)
        The mean, and the standard deviation (of the N predictions, as `numpy.std` has it).
    min, max : ndarray, shape (B, F)
        The least and the largest prediction.
    quantiles : ndarray, shape (Q, B, F)
        The quantiles that were asked for.
    """

    mean: ArrayT
    std: ArrayT
    min: ArrayT
    max: ArrayT
    quantiles: ArrayT


def predict_stats(
    samples: Any,
    weight: Any,
    bias: Any,
    activation: Activation | None,
    quantiles: Any,
    memory_limit: Any,
    progress: Any,
) -> PredictionStats[Any]:
    """Return the statistics of predictions; the array of all of them is never there."""
    levels = _levels(quantiles)
    limit = 3 * _BLOCK_BYTES
    if memory_limit is not None:
        limit = amounts.parsed("memory_limit", memory_limit)
    given = samples, weight, bias
    xp, samples, weight, bias, dtype, shape = validation.read(*given, None)
    n_sets, n_samples, n_features = shape
    working = problem.working_dtype(dtype)
    columns = limit // (3 * max(n_sets, 1) * working.itemsize)  # as they come, in order, copied
    if not columns:
        raise ValueError(
            f"memory_limit is {limit} bytes; expected at least {3 * n_sets * working.itemsize}, "
            f"for one prediction of each of {n_sets} sets"
        )
    mean, std = affine_stats(*given, activation=activation)
    if dtype != working:
        weight = evaluation.cast(weight, working)
    found = np.full((2 + len(levels), n_samples, n_features), np.nan)
    with reporting(progress, n_samples, "samples") as report:
        for rows, features in _tiles(n_samples, n_features, columns) if n_sets else ():
            block = affine(
                samples[..., rows, features],
                weight[:, features],
                None if bias is None else bias[:, features],
                activation=activation,
            )
            found[:, rows, features] = _distribution(namespaces.on_host(block), levels)
            if features.stop == n_features and rows.stop < n_samples:
                report(rows.stop)
        report(n_samples)
    results = found[0], found[1], found[2:]
    if xp is not np:
        with samples.device:
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
    """Yield tiles of at most so many samples times features: whole samples, or parts of one."""
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
