"""The launches of `sums` and `finish`."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

import numpy as np

from multisubnet._arithmetic.summands import EACH, OPERANDS, OUTPUTS, Summands
from multisubnet._arithmetic.summation_order import RUN
from multisubnet._backends.cupy.launch import geometry
from multisubnet._backends.cupy.launch.geometry import (
    Card,
    count_columns,
    plan_sums_grid,
)
from multisubnet._backends.cupy.launch.operands import (
    CODES,
    TYPES,
    VECTOR_BYTES,
    Launch,
    Strided,
    fields_of,
    functor,
)

SUMS = struct.Struct("<" + "Q4q" * len(OPERANDS) + "Qd3q")
_FINISH = struct.Struct("<" + "Q4q" * 2 + "Qd3q")
_SHORT = 20  # with shorter recipes of terms, threads of `sums` would wait for loads
LEAVES = 8  # of a tree that a thread adds alone, as in cuda/trees.cuh


def plan_sums(
    sample: Strided | None,
    weight: Strided | None,
    bias: Strided | None,
    target: Strided | None,
    factor: Strided | None,
    totals: Strided,
    terms: Summands,
    dtype: np.dtype,
    parameter: float,
    length: int,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes sums over blocks to `totals`, C-contiguous and not empty.

    It has the shape (blocks, outputs, kept, F); operands have (kept, summed, F).
    """
    n_blocks, _, n_kept, n_features = totals.shape
    arrays = sample, weight, bias, target, factor
    operands = dict(zip(OPERANDS, arrays, strict=True))
    fields = [fields_of(name, x, address) for name, x in operands.items()]
    direct = all(x is None or x.dtype == dtype for x in arrays)
    name = TYPES[dtype.char]
    derivative = terms.activation.removesuffix("_derivative") + "_derivative"
    functions = map(functor, (terms.loss, terms.activation, derivative))
    outputs = sum(1 << OUTPUTS.index(output) for output in terms.outputs)
    weighted = str(terms.weighted).lower()
    kinds = terms.kinds([None if x is None else x.shape for x in arrays], dtype)
    rows = _rows_of_sums((n_kept, length, n_features), dtype, card)
    steps = _steps_of_sums(terms, kinds, dtype)
    instance = (
        f"{name}, AffineSummands<{', '.join(functions)}, {outputs}, {weighted}>, {rows}, {steps}, "
        f"{', '.join(map(repr, kinds))}, "
        f"{f'Direct<{name}, 1>' if direct else f'Converting<{name}>'}"
    )
    grid, block = plan_sums_grid(-(-n_kept // rows) * n_features, n_blocks, length, card)
    argument = SUMS.pack(
        *itertools.chain(*fields), address(totals), parameter, n_kept, length, n_features
    )
    return Launch(f"sums<{instance}>", grid, block, argument)


def _rows_of_sums(shape: tuple[int, int, int], dtype: np.dtype, card: Card) -> int:
    """Return how many kept indices a thread of `sums` handles, for a `shape` (kept, summed, F).

    It is one if there would otherwise be fewer threads than the card has room for. For float64,
    whose arithmetic takes at least twice as long, half as many are enough to pay for shared loads.
    """
    n_kept, length, n_features = shape
    most = VECTOR_BYTES // dtype.itemsize
    threads = n_kept // most * n_features * -(-length // RUN)
    return most if threads >= card.least_threads else 1


def _steps_of_sums(terms: Summands, kinds: str, dtype: np.dtype) -> int:
    """Return how many terms along the summed axis a thread of `sums` loads at once.

    If a term takes long, other threads have enough to do while one waits. The values loaded for
    each row take registers, and so do long terms.
    """
    fewer = 2 if EACH in kinds else 1
    is_short = len(terms.program(dtype).operations) * fewer <= _SHORT
    return 4 // fewer if is_short else 1


def plan_finish(
    totals: Strided,
    out: Strided,
    divisor_array: Strided | None,
    divisor: float,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes the divided sums of block totals to a non-empty `out`.

    Totals have the shape (blocks, kept, F), `out` (kept, F); or, if there is one block, (kept,),
    for sums over features.
    """
    count, n_kept, n_features = totals.shape
    along, over_kept, over_features = totals.strides
    over_out = out.strides[1] if len(out.shape) == 2 else 0
    if len(out.shape) == 1:
        assert count == 1
        count, along, n_features, over_features = n_features, over_features, 1, 0
    fields = [address(totals), over_kept, along, over_features, CODES["d"]]
    fields += [address(out), out.strides[0], 0, over_out, CODES[out.dtype.char]]
    number = 0 if divisor_array is None else address(divisor_array)
    argument = _FINISH.pack(*fields, number, divisor, count, n_kept, n_features)
    columns = n_kept * n_features
    y = count_lanes(count)
    x = count_columns(columns, y, 1, card)
    return Launch("finish", (-(-columns // x), 1), (x, y), argument)


def count_lanes(count: int) -> int:
    """Return how many threads add this many numbers by a tree."""
    if not count:
        return 1
    return min(geometry.BLOCK_THREADS, 1 << (-(-count // LEAVES) - 1).bit_length())
