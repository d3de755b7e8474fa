"""The closed form of _closed_form.py, compiled: all of it in a few passes over memory."""

from __future__ import annotations

import functools
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import from_dtype, njit, types

from multisubnet import _closed_form, _vectors
from multisubnet._compiled import jitted
from multisubnet._terms import BLOCK, RUN
from multisubnet._vectors import add_pairs, map_row


def _specialized_moments(fingerprint: int):
    data, products, rest = (
        f"{what}:{fingerprint}" for what in ("data:aa:++", "products:aadd:++", "rest:aaddd:+")
    )

    def moments(samples, targets, sample_weight, weighted, found):
        """Write mean(x), mean(t), slope, spread and mean(r^2) to `found`, of shape (5, F)."""
        n_samples, n_features = samples.shape
        row_bytes = n_features * samples.itemsize
        n_blocks = max((n_samples + BLOCK - 1) // BLOCK, 1)
        totals = np.empty((2, n_blocks, n_features))
        weights = np.empty((n_blocks, 1))
        runs = np.empty((2, n_features))
        first = runs.ctypes.data
        second = first + 8 * n_features
        mean_x, mean_t, slope, spread, left_over = found
        x_at, t_at, slope_at = mean_x.ctypes.data, mean_t.ctypes.data, slope.ctypes.data
        for step in range(3):
            totals[:] = 0.0
            weights[:] = 0.0
            for block in range(n_blocks):
                end = min((block + 1) * BLOCK, n_samples)
                for start in range(block * BLOCK, end, RUN):
                    runs[:] = 0.0
                    of_run = 0.0
                    for i in range(start, min(start + RUN, end)):
                        weight = np.float64(sample_weight[i]) if weighted else 1.0
                        of_run += weight
                        x = samples.ctypes.data + i * row_bytes
                        t = targets.ctypes.data + i * row_bytes
                        if step == 0:
                            map_row(samples, (x, t, first, second), n_features, weight, data)
                        elif step == 1:
                            places = (x, t, x_at, t_at, first, second)
                            map_row(samples, places, n_features, weight, products)
                        else:
                            places = (x, t, x_at, t_at, slope_at, first)
                            map_row(samples, places, n_features, weight, rest)
                    for term in range(2):
                        for f in range(n_features):
                            totals[term, block, f] += runs[term, f]
                    weights[block, 0] += of_run
            _add_up(totals[0])
            _add_up(totals[1])
            _add_up(weights)
            count = weights[0, 0] if weighted else float(n_samples)
            for f in range(n_features):
                mean, other = totals[0, 0, f] / count, totals[1, 0, f] / count
                if step == 0:
                    mean_x[f], mean_t[f] = mean, other
                elif step == 1:
                    spread[f] = mean
                    slope[f] = 0.0 if mean == 0.0 else other / mean
                else:
                    left_over[f] = mean

    return moments


@njit(error_model="numpy")
def _add_up(rows):
    """Add up rows, neighbours level by level, into the first one."""
    count = len(rows)
    while count > 1:
        for i in range(count // 2):
            for f in range(rows.shape[1]):
                rows[i, f] = rows[2 * i, f] + rows[2 * i + 1, f]
        if count % 2:
            rows[count // 2] = rows[count - 1]
        count = (count + 1) // 2


def _specialized_judge(fingerprint: int):
    loss_alone = f"judged:aaddddd:d:{fingerprint}"
    with_gradient = f"judged:aaddddd:daa:{fingerprint}"

    def judge(weight, bias, moments, loss, grad_weight, grad_bias, divisor, start, stop):
        """Write the losses of the sets start to stop, and gradients where there is room for them.

        Weight and bias are (N, F) or (1, F), gradients (N, F) or (0, F).
        """
        n_features = weight.shape[1]
        row_bytes = n_features * weight.itemsize
        weight_step = row_bytes if len(weight) > 1 else 0
        bias_step = row_bytes if len(bias) > 1 else 0
        moment = moments.ctypes.data
        step = 8 * n_features
        unused = np.empty(n_features, weight.dtype)
        losses = np.empty(n_features)
        row = losses.ctypes.data
        for n in range(start, stop):
            w = weight.ctypes.data + n * weight_step
            b = bias.ctypes.data + n * bias_step
            m = (moment, moment + step, moment + 2 * step, moment + 3 * step, moment + 4 * step)
            if len(grad_weight):
                of_weight = grad_weight.ctypes.data + n * row_bytes
                of_bias = unused.ctypes.data
                if len(grad_bias):
                    of_bias = grad_bias.ctypes.data + n * row_bytes
                outs = (row, of_weight, of_bias)
                map_row(weight, (w, b) + m + outs, n_features, divisor, with_gradient)
            else:
                map_row(weight, (w, b) + m + (row,), n_features, divisor, loss_alone)
            if loss.shape[1] == n_features:
                for f in range(n_features):
                    loss[n, f] = losses[f] / divisor
                continue
            count = n_features
            while count > 1:
                add_pairs(row, row, count // 2)
                if count % 2:
                    losses[count // 2] = losses[count - 1]
                count = (count + 1) // 2
            loss[n, 0] = losses[0] / divisor

    return judge


@functools.cache
def compiled(dtype: np.dtype) -> tuple[Any, Any]:
    """Return both functions for operands and gradients of a dtype, cached on disk by Numba."""
    others = (_vectors.__file__, _closed_form.__file__)  # of which Numba's cache does not know
    fingerprint = zlib.crc32(b"".join(Path(file).read_bytes() for file in others))
    scalar = from_dtype(dtype)
    operand, out = types.Array(scalar, 2, "C", readonly=True), types.Array(scalar, 2, "C")
    weights = types.Array(scalar, 1, "C", readonly=True)
    real = types.Array(types.float64, 2, "C")
    moments = types.void(operand, operand, weights, types.boolean, real)
    judge = types.void(
        *(operand, operand, real, real, out, out, types.float64, types.intp, types.intp)
    )
    return (
        jitted(_specialized_moments(fingerprint), moments, error_model="numpy"),
        jitted(_specialized_judge(fingerprint), judge, error_model="numpy"),
    )
