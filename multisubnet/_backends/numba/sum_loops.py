"""The CPU engine's compiled code for sums, as lines of columns."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import from_dtype, types

from multisubnet._arithmetic.summands import Summands
from multisubnet._backends.numba.jit import fingerprint, inner, jit
from multisubnet._backends.numba.lines import LINE, ROWS, result_dtypes
from multisubnet._backends.numba.llvm.atomics import call_with, load, store
from multisubnet._backends.numba.llvm.memory import copy
from multisubnet._backends.numba.llvm.pieces import hand_out, piece
from multisubnet._backends.numba.llvm.sum_runs import add_runs


@piece
def sums(what: str):
    """Return the function for terms; `what` has the operands' dependences and the terms' key."""
    many, one = f"{ROWS}:{what}", f"1:{what}"

    def sums_piece(
        index,
        worker,
        sample,
        given,
        ends,
        totals,
        scratch,
        packs,
        pads,
        width,
        stride,
        length,
        at_once,
        parameter,
        n_tiles,
    ):
        """Write the sums of terms to `n_tiles` tiles of `totals`: ROWS groups of a line of columns.

        Totals are (outputs, groups, columns). A column is a kept index and a feature, of `width`
        features. `given` are the addresses of the operands, whose dtype is that of `sample`. Held
        operands have the shape of an output. Streamed ones have a row of `stride` elements for each
        of `length` indices, in which the features repeat after `width`. Others are (groups, length,
        columns). In the last tile of a line, the operands in `pads` have their addresses in `ends`.
        The summed indices are processed `at_once` at a time, so that their rows stay in a cache.

        Rows of streamed operands may be shorter: see `_pack_own`. Each thread packs them into its
        own memory, because fetching packed rows from another core's cache takes longer.
        """
        itemsize = sample.itemsize
        lanes = LINE // itemsize
        _, n_groups, n_columns = totals.shape
        n_lines = n_columns // lanes
        first = index * n_tiles
        last = min(first + n_tiles, -(-n_groups // ROWS) * n_lines)
        group_bytes = n_columns * itemsize
        out_output, out_row, _ = totals.strides
        rows = (length, width * itemsize, stride * itemsize, itemsize)
        places = _pack_own(given, packs, scratch, worker, rows)
        ends = _replaced(places, ends, pads)
        steps = (group_bytes, stride * itemsize, length * group_bytes, group_bytes)
        for start in range(0, length, at_once):
            stop = min(start + at_once, length)
            for tile in range(first, last):
                group = tile // n_lines * ROWS
                column = tile % n_lines * lanes
                end = min(group + ROWS, n_groups)
                here = ends if end == n_groups else places
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
                        add_runs(sample, here, begins, steps, out, start, stop, parameter, many)
                    else:
                        add_runs(sample, here, begins, steps, out, start, stop, parameter, one)

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
        result,
        first,
        second,
        third,
        scratch,
        packs,
        pads,
        n_kept,
        width,
        stride,
        length,
        at_once,
        parameter,
        n_tiles,
        divide,
        divisor,
    ):
        """Write the sums to `totals`, whose groups are complete, and from there to results.

        `result` gets sums, unless it is empty. The others get the divided sums of one output each,
        (kept * features,), or (kept,) if they are also over the features: `divide` is the address
        of `moment_loops.compile_division`. In all of them, features are adjacent in memory.

        The held operands in `pads` are shorter. The last row of `scratch` has room for the groups
        of their last tiles, complete: other groups are read in place, as copies that this thread
        has just written are slow to read for others.
        """
        # Signed, as Numba makes a float64 of a variable that is unsigned at first and then signed.
        given = (
            np.intp(sample.ctypes.data),
            np.intp(weight.ctypes.data),
            np.intp(bias.ctypes.data),
            np.intp(target.ctypes.data),
            np.intp(factor.ctypes.data),
        )
        scratch[:, 0] = 0  # nothing is packed yet
        ends = given
        if pads != 0:
            itemsize = sample.itemsize
            _, n_groups, n_columns = totals.shape
            begin = (n_groups - 1) // ROWS * ROWS * n_columns * itemsize
            row_bytes = n_kept * width * itemsize - begin
            held = (1, row_bytes, n_groups * n_columns * itemsize - begin, itemsize)
            ends = _moved(given, begin)
            area = np.intp(scratch[-1:].ctypes.data)
            ends = _moved(_packed(ends, pads, area, True, held), -begin)
            scratch = scratch[:-1]
        sizes = (packs, pads, width, stride, length, at_once, parameter, n_tiles)
        hand_out(pool, n_pieces, seats, what, (sample, given, ends, totals, scratch) + sizes)
        of_output, of_kept, _ = result.strides
        for output in range(len(result)):
            source = np.intp(totals[output].ctypes.data)
            for kept in range(n_kept):
                target = np.intp(result.ctypes.data) + output * of_output + kept * of_kept
                copy(target, source + kept * width * 8, width * 8)
        source, of_output = np.intp(totals.ctypes.data), totals.strides[0]
        rows = (n_kept, width, divisor)
        if len(first):
            itemsize = first.itemsize if len(first) == n_kept * width else 0
            call_with(divide, (source,) + rows + (np.intp(first.ctypes.data), itemsize))
        if len(second):
            out = (np.intp(second.ctypes.data), second.itemsize)
            call_with(divide, (source + of_output,) + rows + out)
        if len(third):
            out = (np.intp(third.ctypes.data), third.itemsize)
            call_with(divide, (source + 2 * of_output,) + rows + out)

    return sums


def compiled_sums(terms: Summands, dtype: np.dtype, kinds: str) -> Any:
    """Return the function for sums of terms in a dtype, of operands with these dependences.

    Its arguments begin with the result of `threads.share`.
    """
    files = fingerprint(terms.program(dtype))
    function = _sums(f"sums {kinds}:{terms.key}:{files}")
    operand = types.Array(from_dtype(dtype), 3, "C", readonly=True)
    totals = types.Array(types.float64, 3, "A")
    scratch = types.Array(types.int64, 2, "C")
    word = types.intp
    of_outs = map(from_dtype, result_dtypes(terms.outputs, dtype))
    outs = [types.Array(of_out, 1, "C") for of_out in of_outs]
    memory = totals, totals, *outs, scratch, word, word
    sizes = word, word, word, word, word, types.float64, word
    division = word, types.float64
    return jit(function, types.void(*([word] * 3), *([operand] * 5), *memory, *sizes, *division))


@functools.cache
def compiled_pack(dtype: np.dtype) -> Any:
    """Return the function that copies rows of a dtype and repeats their beginning after the end."""
    files = fingerprint()

    def pack(rows, packed):
        """Write rows to `packed`, whose rows are longer."""
        _ = files
        n_rows, width = rows.shape
        row_bytes, length = width * rows.itemsize, packed.shape[1] * rows.itemsize
        places = np.intp(packed.ctypes.data), np.intp(rows.ctypes.data)
        _pack(*places, n_rows, row_bytes, length, rows.itemsize)

    array = from_dtype(dtype)
    rows = types.Array(array, 2, "C", readonly=True)
    return jit(pack, types.void(rows, types.Array(array, 2, "C")))


@inner
def _pack(target, source, n_rows, row_bytes, length, itemsize):
    """Copy rows, and extend each to another length by repeating its beginning.

    A byte may be written twice, with the same value, so several threads may do this at once.
    """
    for _ in range(n_rows):
        if row_bytes >= LINE and (length == row_bytes or length == row_bytes + LINE - itemsize):
            for done in range(0, row_bytes - LINE, LINE):
                copy(target + done, source + done, LINE)
            copy(target + row_bytes - LINE, source + row_bytes - LINE, LINE)
            if length > row_bytes and itemsize == 4:
                copy(target + row_bytes, source, LINE - 4)
            elif length > row_bytes:
                copy(target + row_bytes, source, LINE - 8)
        else:
            copy(target, source, row_bytes)
            done = row_bytes
            while done < length:
                more = min(done, length - done)
                copy(target + done, target, more)
                done += more
        source += row_bytes
        target += length


@inner
def _pack_own(places, packs, scratch, worker, rows):
    """Return the addresses of operands, after packing some of them in a row of scratch.

    Two bits of `packs` per operand describe its rows: 0 ready for use; 1 shorter, with all
    features; 2 with one feature. The first word of a row of scratch is 0 until it is packed.
    Usually each worker has its own row; if two workers share a row, both may pack it.
    """
    if packs == 0:
        return places
    flag = scratch.ctypes.data + worker % len(scratch) * scratch.strides[0]
    is_new = load(flag) == 0
    places = _packed(places, packs, flag + LINE, is_new, rows)
    if is_new:
        store(flag, 1)
    return places


@inner
def _packed(places, packs, area, is_new, rows):
    """Return the addresses of operands; those in `packs` are packed in an area, now if `is_new`."""
    sample, weight, bias, target, factor = places
    sample, area = _own_place(sample, packs & 3, area, is_new, rows)
    weight, area = _own_place(weight, (packs >> 2) & 3, area, is_new, rows)
    bias, area = _own_place(bias, (packs >> 4) & 3, area, is_new, rows)
    target, area = _own_place(target, (packs >> 6) & 3, area, is_new, rows)
    return (sample, weight, bias, target, factor)


@inner
def _moved(places, n_bytes):
    """Return addresses moved by a number of bytes."""
    sample, weight, bias, target, factor = places
    return sample + n_bytes, weight + n_bytes, bias + n_bytes, target + n_bytes, factor + n_bytes


@inner
def _replaced(places, others, which):
    """Return the addresses of operands, with those in `which` replaced by others."""
    sample, weight, bias, target, factor = places
    sample = others[0] if which & 3 else sample
    weight = others[1] if which & (3 << 2) else weight
    bias = others[2] if which & (3 << 4) else bias
    target = others[3] if which & (3 << 6) else target
    factor = others[4] if which & (3 << 8) else factor
    return sample, weight, bias, target, factor


@inner
def _own_place(source, pack, area, is_new, rows):
    """Return where an operand is, and where the next one that is packed will be."""
    if pack == 0:
        return source, area
    n_rows, row_bytes, length, itemsize = rows
    if is_new:
        _pack(area, source, n_rows, row_bytes if pack == 1 else itemsize, length, itemsize)
    return area, area + packed_bytes(n_rows, length)


@inner
def packed_bytes(n_rows, length):
    """Return how many bytes packed rows of a length take."""
    return (n_rows * length + LINE - 1) // LINE * LINE
