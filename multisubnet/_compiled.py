"""The CPU engine's compiled code: one function, for each dtype compiled when it is first needed.

The result is seen as `outer` runs, one after the other in memory. Along a run one operand, `flat`,
lies as the run does; another, `period`, repeats after F elements; the bias does one or the other:

    set_axis=0: a run is a set (B x F)      flat: samples    period: weight     bias: as weight
    set_axis=1: a run is a sample (N x F)   flat: weight     period: samples    bias: as weight
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import numpy as np
from numba import njit, types

from multisubnet import _vectors
from multisubnet._vectors import LINE, affine_row, copy, fence, splat, stream_line

# Short rows are repeated in a tile, so that the innermost loop is long; and so are short runs, of
# which a tile holds several.
_SHORT_ROW = 2048
_SHORT_RUN = 1024
_TILE = 4096
_SLOT = _TILE + 2 * LINE  # a tile; a line by which it goes on; a line that filling it may overrun
_scratch = _vectors.stack(LINE + 3 * _SLOT)


@njit(inline="never")
def _repeat(target: int, row: int, row_bytes: int, n_bytes: int, end: int) -> None:
    """Fill `n_bytes` with copies of a row; read nothing from `end` on, write a line too much."""
    if row_bytes <= LINE and row + LINE <= end:
        splat(target, row, row_bytes, n_bytes)
        return
    done = min(row_bytes, n_bytes)
    copy(target, row, done)
    while done < n_bytes:
        more = min(done, n_bytes - done)
        copy(target + done, target, more)
        done += more


def _affine(samples, weight, bias, out, has_bias, sets_first, first, last, start, stop, streaming):
    """Write elements start to stop of the runs first to last, `out` being C-contiguous.

    `samples` is (B, F) or (N * B, F), `weight` and `bias` are (N, F) or (1, F), `out` is (N, B, F)
    where `sets_first`, else (B, N, F); in that case samples are (B, F), and weight and bias (N, F).
    """
    row_bytes = weight.shape[1] * out.itemsize
    run_bytes = out.shape[1] * row_bytes
    if sets_first:
        flat, flat_step = samples.ctypes.data, 0 if samples.shape[0] == out.shape[1] else run_bytes
        period, period_step = weight.ctypes.data, 0 if weight.shape[0] == 1 else row_bytes
        third, third_step = bias.ctypes.data, 0 if bias.shape[0] == 1 else row_bytes
        period_end = period + weight.size * out.itemsize
    else:
        flat, flat_step = weight.ctypes.data, 0
        period, period_step = samples.ctypes.data, row_bytes
        third, third_step = bias.ctypes.data, 0
        period_end = period + samples.size * out.itemsize
    third_end = third + bias.size * out.itemsize
    third_repeats = has_bias and sets_first

    line = _scratch()  # a line of the result that is put together from parts
    flat_tile = line + LINE
    period_tile = flat_tile + _SLOT
    third_tile = period_tile + _SLOT
    runs_at_once = 1
    if sets_first and run_bytes <= _SHORT_RUN and start == 0 and stop * out.itemsize == run_bytes:
        runs_at_once = min(last - first, _TILE // max(run_bytes, 1))
    # Tiles hold `tile_rows` different rows, each over and over in `repeat_bytes`.
    tile_rows = runs_at_once
    beyond = 0  # how far a tile goes on behind its end, for lines that begin before it
    if runs_at_once > 1:
        tiled = True
        repeat_bytes = run_bytes
        period_bytes = runs_at_once * run_bytes
        if flat_step == 0:
            _repeat(flat_tile, flat, run_bytes, period_bytes, flat)
            flat = flat_tile
    elif row_bytes < _SHORT_ROW and run_bytes >= 4 * row_bytes:
        tiled = True
        enough = min(_TILE, max(1024, int((run_bytes * 256) ** 0.5)), run_bytes)
        period_bytes = row_bytes * max(1, enough // row_bytes)
        beyond = LINE
        repeat_bytes = period_bytes + beyond
    else:
        tiled = False
        period_bytes = repeat_bytes = row_bytes
    in_tile = in_third_tile = -1  # the addresses of the rows that the tiles hold

    line_start = filled = 0  # the bytes line_start to filled of `line` wait to be written...
    line_address = -1  # ...to this line of the result
    for outer in range(first, last, runs_at_once):
        n_rows = min(tile_rows, last - outer)
        flat_run = flat + outer * flat_step
        period_row = period + outer * period_step
        third_row = third + outer * third_step
        if tiled:
            if in_tile != period_row:
                in_tile = period_row
                for i in range(n_rows):
                    _repeat(
                        period_tile + i * repeat_bytes,
                        period_row + i * period_step,
                        row_bytes,
                        repeat_bytes,
                        period_end,
                    )
            period_row = period_tile
            if third_repeats:
                if in_third_tile != third_row:
                    in_third_tile = third_row
                    for i in range(n_rows):
                        _repeat(
                            third_tile + i * repeat_bytes,
                            third_row + i * third_step,
                            row_bytes,
                            repeat_bytes,
                            third_end,
                        )
                third_row = third_tile
        run_address = out.ctypes.data + outer * run_bytes
        j = start * out.itemsize
        end = stop * out.itemsize + (n_rows - 1) * run_bytes
        phase = j % period_bytes
        if streaming and run_address + j != line_address + filled:
            if filled > line_start:
                copy(line_address + line_start, line + line_start, filled - line_start)
            line_start = filled = (run_address + j) % LINE
            line_address = run_address + j - filled
        while j < end:
            length = min(end - j, period_bytes + beyond - phase)
            target = run_address + j
            whole_lines = streaming and filled == 0 and length >= LINE
            if whole_lines:
                length -= length % LINE
            elif streaming:
                length = min(length, LINE - filled)
                target = line + filled
            affine_row(
                out,
                target,
                flat_run + j,
                period_row + phase,
                third_row + (phase if third_repeats else j),
                length // out.itemsize,
                has_bias,
                whole_lines,
            )
            j += length
            phase += length
            if phase >= period_bytes:
                phase -= period_bytes
            if whole_lines:
                line_address += length
            elif streaming:
                filled += length
                if filled == LINE:
                    if line_start:
                        copy(line_address + line_start, line + line_start, LINE - line_start)
                    else:
                        stream_line(line_address, line)
                    line_address += LINE
                    line_start = filled = 0
    if streaming:
        if filled > line_start:
            copy(line_address + line_start, line + line_start, filled - line_start)
        fence()


@functools.cache
def affine(dtype: np.dtype) -> Any:
    """Return `_affine` for a dtype, from Numba's cache on disk or compiled now."""
    from numba import from_dtype

    scalar = from_dtype(dtype)
    operand = types.Array(scalar, 2, "C", readonly=True)
    counts = [types.intp] * 4
    signature = types.void(
        *(operand, operand, operand, types.Array(scalar, 3, "C")),
        *(types.boolean, types.boolean, *counts, types.boolean),
    )
    try:
        return njit([signature], nogil=True, cache=True)(_affine)
    except Exception as error:  # no place for a cache, or a damaged one: Numba raises many types
        logging.getLogger(__name__).debug("compiling without Numba's cache: %r", error)
        return njit([signature], nogil=True)(_affine)
