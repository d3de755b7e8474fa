"""The CPU engine's compiled code: one function, compiled for each dtype on first use.

The result consists of contiguous runs. Along a run, one operand, `flat`, is contiguous as well;
another, `period`, repeats after F elements; the bias, `third`, does one or the other:

    set_axis=0: a run is a set (B x F)      flat: samples    period: weight     bias: like weight
    set_axis=1: a run is a sample (N x F)   flat: weight     period: samples    bias: like weight

Short rows are repeated in a tile to make the innermost loop long. Short runs are combined, several
in a tile. Addresses and lengths are in bytes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import from_dtype, types

from multisubnet._arithmetic.activation import program_of
from multisubnet._backends.numba.jit import fingerprint, inner, jit
from multisubnet._backends.numba.lines import LINE
from multisubnet._backends.numba.llvm import memory
from multisubnet._backends.numba.llvm.affine_row import affine_row
from multisubnet._backends.numba.llvm.memory import copy, fence, splat, stream_line
from multisubnet._backends.numba.llvm.pieces import hand_out, piece

_SHORT_ROW = 2048  # bytes; shorter rows are repeated in a tile
_SHORT_SELECTED = 256  # bytes; shorter rows of selected sets are combined into one
_SHORT_RUN = 1024
_TILE = 4096
_SLOT = _TILE + 2 * LINE  # a tile; a line that continues it; a line that filling it may overrun
_scratch = memory.stack(LINE + 3 * _SLOT)


@functools.partial(inner, inline="never")
def _repeat(target, row, row_bytes, length, end):
    """Fill `length` bytes with copies of a row; do not read beyond `end`; may overrun by a line."""
    if row_bytes <= LINE and row + LINE <= end:
        splat(target, row, row_bytes, length)
        return
    done = min(row_bytes, length)
    copy(target, row, done)
    while done < length:
        more = min(done, length - done)
        copy(target + done, target, more)
        done += more


@functools.partial(inner, inline="always")
def _fill_tile(tile, row, step, n_rows, row_bytes, length, end):
    """Fill a tile with rows `step` apart, each repeated to fill `length` bytes."""
    for i in range(n_rows):
        _repeat(tile + i * length, row + i * step, row_bytes, length, end)


@functools.partial(inner, inline="always")
def _put(line, address, start, stop):
    """Write the bytes start to stop of a line assembled in `line` to its destination."""
    if start == 0 and stop == LINE:
        stream_line(address, line)
    elif stop > start:
        copy(address + start, line + start, stop - start)


@piece
def affine(recipe: str):
    """Return the function compiled for the activation whose key `recipe` begins with."""

    def affine_piece(
        index,
        samples,
        weight,
        bias,
        out,
        has_bias,
        sets_first,
        height,
        length,
        streamed,
        parameter,
    ):
        """Write a piece of `out`, which is C-contiguous: `length` elements of `height` runs.

        `samples` is (B, F) or (N * B, F), `weight` and `bias` are (N, F) or (1, F), `out` is
        (N, B, F) if `sets_first`, else (B, N, F). In the latter case samples are (B, F), and weight
        and bias (N, F). If `streamed`, whole lines of the result bypass the cache.
        """
        column, row = divmod(index, -(-out.shape[0] // height))
        first, start = row * height, column * length
        last = min(first + height, out.shape[0])
        stop = min(start + length, out.shape[1] * out.shape[2])
        itemsize = out.itemsize
        row_bytes = weight.shape[1] * itemsize
        run_bytes = out.shape[1] * row_bytes
        # Signed, as Numba makes a float64 of a variable that is unsigned at first and then signed.
        third = np.intp(bias.ctypes.data)
        third_end = third + bias.size * itemsize
        third_step = 0 if bias.shape[0] == 1 or not sets_first else row_bytes
        third_repeats = has_bias and sets_first
        if sets_first:
            flat = np.intp(samples.ctypes.data)
            flat_step = 0 if samples.shape[0] == out.shape[1] else run_bytes
            period = np.intp(weight.ctypes.data)
            period_end = period + weight.size * itemsize
            period_step = 0 if weight.shape[0] == 1 else row_bytes
        else:
            flat, flat_step = np.intp(weight.ctypes.data), 0
            period, period_step = np.intp(samples.ctypes.data), row_bytes
            period_end = period + samples.size * itemsize

        line = _scratch()  # assembles a line of the result from parts
        flat_tile = line + LINE
        period_tile = flat_tile + _SLOT
        third_tile = period_tile + _SLOT

        # Tiles hold `runs_at_once` rows, each repeated in `repeat_bytes`. Tiles with one row
        # continue for one more line, for lines of the result that begin before their end.
        runs_at_once, beyond = 1, 0
        tiled = False
        repeat_bytes = period_bytes = row_bytes
        if sets_first and run_bytes <= _SHORT_RUN and start == 0 and stop * itemsize == run_bytes:
            tiled = True
            runs_at_once = min(last - first, _TILE // run_bytes)
            repeat_bytes = run_bytes
            period_bytes = runs_at_once * run_bytes
            if flat_step == 0:
                _repeat(flat_tile, flat, run_bytes, period_bytes, flat + run_bytes)
                flat = flat_tile
        elif row_bytes < _SHORT_ROW and run_bytes >= 4 * row_bytes:
            # Long tiles take time to fill; short ones take many passes.
            tiled = True
            long = min(_TILE, max(1024, int((run_bytes * 256) ** 0.5)), run_bytes)
            period_bytes = max(long - long % row_bytes, row_bytes)
            beyond = LINE
            repeat_bytes = period_bytes + beyond

        in_period_tile = in_third_tile = -1  # the address of the first row in a tile
        address = -1  # of the result line whose bytes `begun` to `filled` are in `line`
        begun = filled = 0
        for run in range(first, last, runs_at_once):
            n_rows = min(runs_at_once, last - run)
            flat_run = flat + run * flat_step
            period_row = period + run * period_step
            third_row = third + run * third_step
            if tiled:
                if in_period_tile != period_row:
                    in_period_tile = period_row
                    _fill_tile(
                        period_tile,
                        period_row,
                        period_step,
                        n_rows,
                        row_bytes,
                        repeat_bytes,
                        period_end,
                    )
                period_row = period_tile
                if third_repeats:
                    if in_third_tile != third_row:
                        in_third_tile = third_row
                        _fill_tile(
                            third_tile,
                            third_row,
                            third_step,
                            n_rows,
                            row_bytes,
                            repeat_bytes,
                            third_end,
                        )
                    third_row = third_tile

            run_address = out.ctypes.data + run * run_bytes
            j = start * itemsize
            end = stop * itemsize + (n_rows - 1) * run_bytes
            phase = j % period_bytes
            if streamed and run_address + j != address + filled:
                _put(line, address, begun, filled)
                begun = filled = (run_address + j) % LINE
                address = run_address + j - filled
            while j < end:
                n_bytes = min(end - j, period_bytes + beyond - phase)
                target = run_address + j
                whole_lines = streamed and filled == 0 and n_bytes >= LINE
                if whole_lines:
                    n_bytes -= n_bytes % LINE
                    address += n_bytes
                elif streamed:
                    n_bytes = min(n_bytes, LINE - filled)
                    target = line + filled
                    filled += n_bytes
                elif LINE <= n_bytes < end - j:
                    n_bytes -= n_bytes % LINE  # the rest is handled with the bytes that follow
                affine_row(
                    out,
                    target,
                    flat_run + j,
                    period_row + phase,
                    third_row + (phase if third_repeats else j),
                    n_bytes // itemsize,
                    has_bias,
                    whole_lines,
                    recipe,
                    parameter,
                )
                if filled == LINE:
                    _put(line, address, begun, filled)
                    address += LINE
                    begun = filled = 0
                j += n_bytes
                phase += n_bytes
                if phase >= period_bytes:
                    phase -= period_bytes
        if streamed:
            _put(line, address, begun, filled)
            fence()

    return affine_piece


@piece
def affine_select(recipe: str):
    """Return the function of `affine_select` for the activation whose key `recipe` begins with."""

    def affine_select_piece(
        index, samples, weight, bias, set_index, out, has_bias, height, parameter
    ):
        """Write `height` samples of `out`; all their set indices are in range."""
        first = index * height
        last = min(first + height, out.shape[0])
        row_bytes = out.shape[1] * out.itemsize
        weight_step = 0 if weight.shape[0] == 1 else row_bytes
        bias_step = 0 if bias.shape[0] == 1 else row_bytes
        weight_tile = _scratch()
        bias_tile = weight_tile + _SLOT
        rows = 1 if row_bytes >= _SHORT_SELECTED else _TILE // max(row_bytes, 1)
        for b in range(first, last, rows):
            n_rows = min(rows, last - b)
            weight_row = weight.ctypes.data + set_index[b] * weight_step
            bias_row = bias.ctypes.data + set_index[b] * bias_step
            if n_rows > 1:
                for i in range(n_rows):
                    n = set_index[b + i]
                    copy(
                        weight_tile + i * row_bytes, weight.ctypes.data + n * weight_step, row_bytes
                    )
                    if has_bias:
                        copy(bias_tile + i * row_bytes, bias.ctypes.data + n * bias_step, row_bytes)
                weight_row, bias_row = weight_tile, bias_tile
            affine_row(
                out,
                out.ctypes.data + b * row_bytes,
                samples.ctypes.data + b * row_bytes,
                weight_row,
                bias_row,
                n_rows * out.shape[1],
                has_bias,
                False,
                recipe,
                parameter,
            )

    return affine_select_piece


def _affine(what: str, has_parameter: bool):
    def affine(
        pool,
        n_pieces,
        seats,
        samples,
        weight,
        bias,
        out,
        has_bias,
        sets_first,
        height,
        length,
        streamed,
        parameter,
    ):
        operands = (samples, weight, bias, out, has_bias, sets_first, height, length, streamed)
        hand_out(pool, n_pieces, seats, what, (*operands, parameter))

    def affine_without_parameter(
        pool,
        n_pieces,
        seats,
        samples,
        weight,
        bias,
        out,
        has_bias,
        sets_first,
        height,
        length,
        streamed,
    ):
        operands = (samples, weight, bias, out, has_bias, sets_first, height, length, streamed)
        hand_out(pool, n_pieces, seats, what, (*operands, 0.0))

    return affine if has_parameter else affine_without_parameter


def _affine_select(what: str, has_parameter: bool):
    def affine_select(
        pool, n_pieces, seats, samples, weight, bias, set_index, out, has_bias, height, parameter
    ):
        operands = (samples, weight, bias, set_index, out, has_bias, height)
        hand_out(pool, n_pieces, seats, what, (*operands, parameter))

    def affine_select_without_parameter(
        pool, n_pieces, seats, samples, weight, bias, set_index, out, has_bias, height
    ):
        operands = (samples, weight, bias, set_index, out, has_bias, height)
        hand_out(pool, n_pieces, seats, what, (*operands, 0.0))

    return affine_select if has_parameter else affine_select_without_parameter


_ENTRIES = {"affine": _affine, "affine_select": _affine_select}


def compiled(name: str, dtype: np.dtype, key: str, has_parameter: bool) -> Any:
    """Return `affine` or `affine_select` for a dtype and an activation.

    Its arguments begin with the result of `threads.share`, and end with the activation's parameter
    if it has one.
    """
    program = None if key == "linear" else program_of(key, dtype)
    function = _ENTRIES[name](f"{name} {key} {fingerprint(program)}", has_parameter)
    return jit(function, _signature(name, dtype, has_parameter))


def _signature(name: str, dtype: np.dtype, has_parameter: bool) -> Any:
    scalar = from_dtype(dtype)
    operand = types.Array(scalar, 2, "C", readonly=True)
    parameter = [types.float64] if has_parameter else []
    share = types.intp, types.intp, types.intp
    if name == "affine_select":
        index = types.Array(types.int64, 1, "C", readonly=True)
        return types.void(
            *(*share, operand, operand, operand, index, types.Array(scalar, 2, "C")),
            *(types.boolean, types.intp, *parameter),
        )
    return types.void(
        *(*share, operand, operand, operand, types.Array(scalar, 3, "C")),
        *(types.boolean, types.boolean, types.intp, types.intp, types.boolean, *parameter),
    )
