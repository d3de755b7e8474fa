"""The CPU engine's compiled code for sums, as lines of columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, types

from multisubnet._arithmetic.summands import Summands
from multisubnet._backends.numba.jit import fingerprint, jit
from multisubnet._backends.numba.lines import LINE, ROWS
from multisubnet._backends.numba.llvm.sum_runs import add_runs


def _specialized_sums(what: str, rows: int):
    """Return the function for terms; `what` has what each operand depends on, and their key."""
    many, one = f"{rows}:{what}", f"1:{what}"

    def sums(
        sample, weight, bias, target, factor, totals, width, stride, length, at_once, parameter
    ):
        """Add the sums of terms to `totals`, of shape (outputs, groups, columns).

        A column is a kept index and a feature, of `width` features. Held operands have the shape of
        totals; streamed ones have a row of `stride` elements for each of `length` indices, in which
        the features come again after `width`; others are (groups, length, columns). All are given
        flat. The summed indices are taken `at_once`, so that their rows stay in a cache.
        """
        itemsize = sample.itemsize
        _, n_groups, n_columns = totals.shape
        group_bytes = n_columns * itemsize
        out_output, out_row, _ = totals.strides
        places = (
            *(sample.ctypes.data, weight.ctypes.data, bias.ctypes.data),
            *(target.ctypes.data, factor.ctypes.data),
        )
        steps = (group_bytes, stride * itemsize, length * group_bytes, group_bytes)
        for start in range(0, length, at_once):
            stop = min(start + at_once, length)
            group = 0
            while group < n_groups:
                n_rows = rows if group + rows <= n_groups else 1
                for column in range(0, n_columns, LINE // itemsize):
                    held = group * group_bytes + column * itemsize
                    streamed = column % width * itemsize
                    each = group * length * group_bytes + column * itemsize
                    begins = (held, streamed, each)
                    at = totals.ctypes.data + group * out_row + 8 * column
                    out = (at, out_row, out_output)
                    if n_rows == rows:
                        add_runs(sample, places, begins, steps, out, start, stop, parameter, many)
                    else:
                        add_runs(sample, places, begins, steps, out, start, stop, parameter, one)
                group += n_rows

    return sums


def compiled_sums(terms: Summands, dtype: np.dtype, kinds: str) -> Any:
    """Return the function for sums of terms in a dtype, of operands that depend on these things."""
    files = fingerprint(terms.program(dtype))
    function = _specialized_sums(f"{kinds}:{terms.key}:{files}", ROWS)
    operand = types.Array(from_dtype(dtype), 1, "C", readonly=True)
    totals = types.Array(types.float64, 3, "A")
    sizes = [types.intp] * 4
    return jit(function, types.void(*[operand] * 5, totals, *sizes, types.float64))
