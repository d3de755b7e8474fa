"""Launches of the closed form: sums of a pass over the samples, moments, and the losses."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

import numpy as np

from multisubnet._backends.cupy.launch import geometry
from multisubnet._backends.cupy.launch.geometry import Card, count_columns, plan_sums_grid
from multisubnet._backends.cupy.launch.operands import (
    TYPES,
    Launch,
    Strided,
    fields_of,
    functor,
)
from multisubnet._backends.cupy.launch.sums import LEAVES, SUMS, count_lanes

_MOMENTS = struct.Struct("<" + "Q4q" * 3 + "Qd2q")
_MOMENT_LOSS = struct.Struct("<" + "Q4q" * 6 + "d5q")
_NONE = 0, 0, 0, 0, 0


def _memory(dtype: np.dtype, *arrays: Strided | None) -> str:
    """Return the way arrays are read: rounded to a dtype, then as float64."""
    name = TYPES[dtype.char]
    direct = all(x is None or x.dtype == dtype for x in arrays)
    return f"Widening<{f'Direct<{name}, 1>' if direct else f'Converting<{name}>'}>"


def plan_moment_sums(
    samples: Strided,
    known: Strided | None,
    unused: None,
    targets: Strided,
    sample_weight: Strided | None,
    totals: Strided,
    formula: str,
    signed: bool,
    dtype: np.dtype,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes the values of a formula over blocks to `totals`.

    The operands are samples (B, F), targets (B, F) or (B, 1), sample_weight (B,) or None, and the
    known moments, float64 (moments, F). Totals have the shape (blocks, outputs, F), not empty.
    """
    n_blocks, outputs, n_features = totals.shape
    length = samples.shape[0]
    fields = [fields_of("samples", samples, address), fields_of("weight", known, address), _NONE]
    fields += fields_of("targets", targets, address), fields_of("factor", sample_weight, address)
    weighted = sample_weight is not None
    kinds = f"'s', '-', '-', 's', '{'f' if weighted else '-'}'"
    summands = f"MomentSummands<{functor(formula)}, {_bool(weighted)}, {_bool(signed)}>"
    memory = _memory(dtype, samples, targets, sample_weight)
    grid, block = plan_sums_grid(n_features, n_blocks, length, card)
    argument = SUMS.pack(*itertools.chain(*fields), address(totals), 0.0, 1, length, n_features)
    steps = 4 if outputs == 2 else 2
    instance = f"sums<float64, {summands}, 1, {steps}, {kinds}, {memory}>"
    return Launch(instance, grid, block, argument)


def plan_moments(
    totals: Strided | None,
    known: Strided | None,
    found: Strided,
    counts: Strided | None,
    step: str,
    n_samples: float,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes the result of a step of cuda/moments.cu to (moments, F).

    Totals have the shape (blocks, outputs, F), known moments (moments, F); counts are two numbers.
    """
    n_features = found.shape[1]
    n_blocks, fields = 0, list(_NONE)
    if totals is not None:
        n_blocks = totals.shape[0]
        start, over_blocks, over_outputs, over_features, code = fields_of("", totals, address)
        fields = [start, over_outputs, over_blocks, over_features, code]
    fields += fields_of("weight", known, address) + fields_of("weight", found, address)
    number = 0 if counts is None else address(counts)
    y = count_lanes(n_blocks)
    x = count_columns(n_features, y, 1, card)
    argument = _MOMENTS.pack(*fields, number, n_samples, n_blocks, n_features)
    return Launch(f"moments<{step}>", (-(-n_features // x), 1), (x, y), argument)


def count_tiles(n_features: int) -> int:
    """Return the number of tiles into which features are divided."""
    return -(-n_features // (geometry.BLOCK_THREADS * LEAVES))


def plan_moment_loss(
    weight: Strided,
    bias: Strided | None,
    moments: Strided,
    loss: Strided,
    grad_weight: Strided | None,
    grad_bias: Strided | None,
    formula: str,
    dtype: np.dtype,
    divisor: float,
    per_feature: bool,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that computes the losses of sets from moments (moments, F).

    The loss has the shape (N, F) if it is per feature, else (N, tiles), with a single tile if the
    sum over features is complete.
    """
    n_sets, n_features = loss.shape[0], weight.shape[1]
    n_tiles = count_tiles(n_features)
    threads = geometry.BLOCK_THREADS
    width = min(threads * LEAVES, max(LEAVES, 1 << (n_features - 1).bit_length()))

    def blocks() -> int:
        return -(-n_sets // (threads * LEAVES // width)) * n_tiles

    while threads > geometry.WARP and threads // 2 * LEAVES >= width and blocks() < card.few_blocks:
        threads //= 2
    arrays = weight, bias, moments, loss, grad_weight, grad_bias
    fields = (fields_of("weight", x, address) for x in arrays)
    sizes = n_sets, n_features, n_tiles, width, per_feature
    argument = _MOMENT_LOSS.pack(*itertools.chain(*fields), divisor, *sizes)
    instance = f"moment_loss<{_memory(dtype, weight, bias)[9:-1]}, {functor(formula)}>"
    return Launch(instance, (blocks(), 1), (1, threads), argument)


def _bool(value: bool) -> str:
    return str(value).lower()
