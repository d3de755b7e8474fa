"""The CPU engine's compiled code for sums, as lines of columns."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import from_dtype, types

from multisubnet._arithmetic.summands import Summands
from multisubnet._backends.numba.jit import fingerprint, jit
from multisubnet._backends.numba.lines import LINE, ROWS
from multisubnet._backends.numba.llvm.memory import copy
from multisubnet._backends.numba.llvm.pieces import hand_out, piece
from multisubnet._backends.numba.llvm.sum_runs import add_runs


@piece
def sums(what: str):
    """Return the function for terms; `what` has the operands' dependences and the terms' key."""
    many, one = f"{ROWS}:{what}", f"1:{what}"

    def sums_piece(
        index,
        sample,
        weight,
        bias,
        target,
        factor,
        totals,
        width,
        stride,
        length,
        at_once,
        parameter,
        n_tiles,
    ):
        """Write the sums of terms to `n_tiles` tiles of `totals`: ROWS groups of a line of columns.

        Totals are (outputs, groups, columns). A column is a kept index and a feature, of `width`
        features. Held operands have the shape of an output. Streamed ones have a row of `stride`
        elements for each of `length` indices, in which the features repeat after `width`. Others
        are (groups, length, columns). All are flattened. The summed indices are processed `at_once`
        at a time, so that their rows stay in a cache.
        """
        itemsize = sample.itemsize
        lanes = LINE // itemsize
        _, n_groups, n_columns = totals.shape
        n_lines = n_columns // lanes
        first = index * n_tiles
        last = min(first + n_tiles, -(-n_groups // ROWS) * n_lines)
        group_bytes = n_columns * itemsize
        out_output, out_row, _ = totals.strides
        places = (
            *(sample.ctypes.data, weight.ctypes.data, bias.ctypes.data),
            *(target.ctypes.data, factor.ctypes.data),
        )
        steps = (group_bytes, stride * itemsize, length * group_bytes, group_bytes)
        for start in range(0, length, at_once):
            stop = min(start + at_once, length)
            for tile in range(first, last):
                group = tile // n_lines * ROWS
                column = tile % n_lines * lanes
                end = min(group + ROWS, n_groups)
                if start == 0:
                    totals[:, group:end, column : column + lanes] = 0.0
                n_rows = ROWS if end - group == ROWS else 1
                for row in range(group, end, n_rows):
                    held = row * group_bytes + column * itemsize
                    streamed = column % width * itemsize
                    each = row * length * group_bytes + column * itemsize
                    begins = (held, streamed, each)
                    at = totals.ctypes.data + row * out_row + 8 * column
                    out = (at, out_row, out_output)
                    if n_rows == ROWS:
                        add_runs(sample, places, begins, steps, out, start, stop, parameter, many)
                    else:
                        add_runs(sample, places, begins, steps, out, start, stop, parameter, one)

    return sums_piece


def _sums(what: str):
    def sums(
        pool,
        n_pieces,
        seats,
        sample,
        weight,
        bias,
        target,
        factor,
        totals,
        width,
        stride,
        length,
        at_once,
        parameter,
        n_tiles,
    ):
        operands = (sample, weight, bias, target, factor, totals)
        sizes = (width, stride, length, at_once, parameter, n_tiles)
        hand_out(pool, n_pieces, seats, what, operands + sizes)

    return sums


def compiled_sums(terms: Summands, dtype: np.dtype, kinds: str) -> Any:
    """Return the function for sums of terms in a dtype, of operands with these dependences.

    Its arguments begin with the result of `threads.share`.
    """
    files = fingerprint(terms.program(dtype))
    function = _sums(f"sums {kinds}:{terms.key}:{files}")
    operand = types.Array(from_dtype(dtype), 1, "C", readonly=True)
    totals = types.Array(types.float64, 3, "A")
    word = types.intp
    return jit(
        function,
        types.void(*[word] * 3, *[operand] * 5, totals, *[word] * 4, types.float64, word),
    )


@functools.cache
def compiled_pack(dtype: np.dtype) -> Any:
    """Return the function that copies rows of a dtype and repeats their beginning after the end."""
    files = fingerprint()

    def pack(rows, packed):
        """Write rows to `packed`, whose rows are longer."""
        _ = files
        source, row_bytes = rows.ctypes.data, rows.shape[1] * rows.itemsize
        target, length = packed.ctypes.data, packed.shape[1] * rows.itemsize
        for _ in range(len(rows)):
            copy(target, source, row_bytes)
            done = row_bytes
            while done < length:
                more = min(done, length - done)
                copy(target + done, target, more)
                done += more
            source += row_bytes
            target += length

    array = from_dtype(dtype)
    rows = types.Array(array, 2, "C", readonly=True)
    return jit(pack, types.void(rows, types.Array(array, 2, "C")))
