"""The launches of `affine` and `affine_select`."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from multisubnet._arithmetic.activation import OF_INTEGERS, Activation
from multisubnet._backends.cupy.launch import geometry
from multisubnet._backends.cupy.launch.geometry import (
    Card,
    plan_grid,
)
from multisubnet._backends.cupy.launch.operands import (
    SECTOR,
    TYPES,
    VECTOR_BYTES,
    Launch,
    Strided,
    fields_of,
    functor,
    memory_of,
    operands_of,
    parameter_of,
    strides_of,
)

_ORDERS = "SAMPLES_FIRST", "SETS_FIRST", "OWN_SAMPLES"  # as in cuda/affine_runs.cu
_LEAST_RUN = 64  # bytes
_AFFINE = struct.Struct("<" + "Q4q" * 4 + "d3q")
_AFFINE_RUNS = struct.Struct("<" + "Q4q" * 4 + "d6q")
_AFFINE_SELECT = struct.Struct("<" + "Q4q" * 5 + "d3q")
_AFFINE_SELECT_RUNS = struct.Struct("<" + "Q4q" * 5 + "d6q")


def kernels(name: str, key: str) -> list[str]:
    """Return every instance of the kernel template `name` for the activation of this key."""
    kinds = "biufc" if key == "linear" else "iuf" if key in OF_INTEGERS else "f"
    names = set()
    for char, type_name in TYPES.items():
        # NumPy does not know bfloat16 without ml_dtypes.
        like = np.dtype("e" if char == "E" else char)
        if like.kind in kinds:
            start = f"{name}<{type_name}, {functor(key)}"
            lanes = VECTOR_BYTES // like.itemsize
            if name == "affine_runs":
                kinds_of_runs = itertools.product(_ORDERS, ("true", "false"))
                names |= {f"{start}, {order}, {wide}>" for order, wide in kinds_of_runs}
            elif name == "affine_select_runs":
                names |= {f"{start}, {wide}>" for wide in ("true", "false")}
            else:
                memories = (memory_of(type_name, n) for n in (1, lanes, None))
                names |= {f"{start}, {memory}>" for memory in memories}
    return sorted(names)


def plan_affine(
    samples: Strided,
    weight: Strided,
    bias: Strided | None,
    out: Strided,
    dtype: np.dtype,
    activation: Activation | None,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes `affine` to a non-empty `out` of shape (N, B, F).

    `address(array)` is the address of an array's first element.
    """
    n_sets, n_samples, n_features = out.shape
    arrays = {"samples": samples, "weight": weight, "bias": bias, "out": out}
    sets_first = _runs_of(samples, out)
    if sets_first is not None and all(x is None or x.dtype == dtype for x in arrays.values()):
        return _affine_runs(arrays, sets_first, dtype, activation, card, address)
    operands, instance, lanes = operands_of(arrays, dtype, activation, address)
    grid, block = plan_grid(n_samples * (n_features // lanes), n_sets, card)
    argument = _AFFINE.pack(*operands, parameter_of(activation), n_sets, n_samples, n_features)
    return Launch(f"affine<{instance}>", grid, block, argument)


def _runs_of(samples: Strided, out: Strided) -> bool | None:
    """Return whether the contiguous runs of `out` are those of sets (true) or of samples.

    None if there are none worth using. If there are both, the longer ones are used.
    """
    n_sets, n_samples, n_features = out.shape
    over_sets, over_samples, over_features = out.strides
    row = n_features * out.dtype.itemsize
    if n_features > 1 and over_features != out.dtype.itemsize:
        return None
    of_sets = n_samples == 1 or over_samples == row
    of_samples = len(samples.shape) == 2 and (n_sets == 1 or over_sets == row)
    if not of_sets and not of_samples:
        return None
    sets_first = of_sets and not (of_samples and n_samples == 1)
    return sets_first if row * (n_samples if sets_first else n_sets) >= _LEAST_RUN else None


def _affine_runs(
    arrays: dict[str, Any],
    sets_first: bool,
    dtype: np.dtype,
    activation: Activation | None,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes `affine` to an `out` with contiguous runs."""
    fields = {name: fields_of(name, x, address) for name, x in arrays.items()}
    n_runs, n_rows, n_features = arrays["out"].shape
    if not sets_first:
        n_runs, n_rows = n_rows, n_runs
        for name, (start, over_sets, over_samples, over_features, code) in fields.items():
            fields[name] = start, over_samples, over_sets, over_features, code

    itemsize = dtype.itemsize
    lanes = VECTOR_BYTES // itemsize
    start, over_runs, *_ = fields["out"]
    begins = start | over_runs
    wide = n_features % lanes == begins % VECTOR_BYTES == 0
    for name in ("weight", "bias") if sets_first else ("samples",):
        start, over_runs, _, over_features, _ = fields[name]
        wide = wide and (arrays[name] is None or n_features == 1 or over_features == itemsize)
        wide = wide and (start | over_runs) % VECTOR_BYTES == 0

    has_own_samples = sets_first and fields["samples"][1] != 0
    order = _ORDERS[sets_first + has_own_samples]
    length = n_rows * n_features
    rows = _rows(order, lanes) if activation is None else 1
    period, n_vectors = _vectors(length, n_features, lanes, rows)
    ends = 0 if begins % SECTOR == length % lanes == 0 else 3 * lanes - 2
    alike = SECTOR // math.gcd(SECTOR, fields["out"][1])
    grid, block = plan_grid(n_vectors + ends, n_runs, card, alike)

    sizes = n_runs, n_rows, n_features, period, period * lanes // n_features, n_vectors
    operands = itertools.chain(*fields.values())
    argument = _AFFINE_RUNS.pack(*operands, parameter_of(activation), *sizes)
    function = functor("linear" if activation is None else activation.key)
    instance = f"{TYPES[dtype.char]}, {function}, {order}, {str(wide).lower()}"
    return Launch(f"affine_runs<{instance}>", grid, block, argument)


def _vectors(length: int, n_features: int, lanes: int, rows: int) -> tuple[int, int]:
    """Return the distance between a thread's vectors in a run, and the number of threads for a run.

    A thread has vectors in `rows` rows. The distance is a whole number of rows and sectors, and at
    least as many vectors as a warp writes at once.
    """
    vectors = length // lanes
    if not vectors or rows == 1:
        return vectors, vectors
    period = math.lcm(n_features, 2 * lanes) // lanes
    period *= -(-geometry.WARP // period)
    groups = -(-vectors // (period * rows))
    return period, groups * period if groups > 1 else min(period, vectors)


def _rows(order: str, lanes: int) -> int:
    """Return how many vectors a thread of affine_runs owns, as in cuda/affine_runs.cu."""
    most = min(4, 16 // lanes)
    return max(most // 2, 1) if order == "OWN_SAMPLES" else most


def plan_affine_select(
    samples: Strided,
    weight: Strided,
    bias: Strided | None,
    set_index: Strided,
    out: Strided,
    dtype: np.dtype,
    activation: Activation | None,
    n_sets: int,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes `affine_select` to a non-empty `out` of shape (B, F)."""
    n_samples, n_features = out.shape
    arrays = {"samples": samples, "weight": weight, "bias": bias}
    arrays |= {"set_index": set_index, "out": out}
    row = n_features * dtype.itemsize
    strides = strides_of("out", out)[1:]
    is_run = strides[0] in (0, row) and strides[1] in (0, dtype.itemsize)
    of_dtype = all(x is set_index or x is None or x.dtype == dtype for x in arrays.values())
    if is_run and of_dtype and n_samples * row >= _LEAST_RUN:
        return _affine_select_runs(arrays, dtype, activation, n_sets, card, address)
    operands, instance, lanes = operands_of(arrays, dtype, activation, address)
    grid, block = plan_grid(n_samples * (n_features // lanes), 1, card)
    argument = _AFFINE_SELECT.pack(
        *operands, parameter_of(activation), n_sets, n_samples, n_features
    )
    return Launch(f"affine_select<{instance}>", grid, block, argument)


def _affine_select_runs(
    arrays: dict[str, Any],
    dtype: np.dtype,
    activation: Activation | None,
    n_sets: int,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes `affine_select` to a contiguous `out`."""
    operands, instance, lanes_of_all = operands_of(arrays, dtype, activation, address)
    n_samples, n_features = arrays["out"].shape
    lanes = VECTOR_BYTES // dtype.itemsize
    rows = _rows("SETS_FIRST", lanes) if activation is None else 1
    length = n_samples * n_features
    period, n_vectors = _vectors(length, n_features, lanes, rows)
    begin = address(arrays["out"]) % SECTOR
    ends = 0 if begin == length % lanes == 0 else 3 * lanes - 2
    grid, block = plan_grid(n_vectors + ends, 1, card)
    sizes = n_sets, n_samples, n_features, period, period * lanes // n_features, n_vectors
    argument = _AFFINE_SELECT_RUNS.pack(*operands, parameter_of(activation), *sizes)
    type_name, function, _ = instance.split(", ", 2)
    wide = str(lanes_of_all == lanes).lower()
    return Launch(f"affine_select_runs<{type_name}, {function}, {wide}>", grid, block, argument)
