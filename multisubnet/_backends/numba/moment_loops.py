"""What is done in float64, compiled: sums over features, and the closed form of closed_form.py."""

from __future__ import annotations

import functools
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import from_dtype, njit, types

from multisubnet._arithmetic.summands import BLOCK, RUN
from multisubnet._backends.numba.affine_loops import jitted
from multisubnet._backends.numba.llvm import vectors as _vectors
from multisubnet._backends.numba.llvm.vectors import LANES, add_run, map_rows
from multisubnet._functions import closed_form as _closed_form


def _specialized_moments(weighted: bool, fingerprint: int):
    last = "weight" if weighted else ""
    data, products, rest = (
        f"{what}:{last}:{fingerprint}" for what in ("data:aa", "products:aadd", "rest:aaddd")
    )

    def moments(samples, targets, sample_weight, found):
        """Write mean(x), mean(t), slope, spread and mean(r^2) to `found`, of shape (5, F).

        Targets have the shape of samples, (B, F); sample_weight has (B,), or is not read.
        """
        n_samples, n_features = samples.shape
        row_bytes = n_features * samples.itemsize
        n_blocks = max((n_samples + BLOCK - 1) // BLOCK, 1)
        totals = np.empty((2, n_blocks, n_features))
        weights = np.empty((n_blocks, 1))
        mean_x, mean_t, slope, spread, left_over = found
        x_at, t_at, slope_at = mean_x.ctypes.data, mean_t.ctypes.data, slope.ctypes.data
        for step in range(3):
            totals[:] = 0.0
            weights[:] = 0.0
            for block in range(n_blocks):
                first, second = totals[0, block].ctypes.data, totals[1, block].ctypes.data
                end = min((block + 1) * BLOCK, n_samples)
                for start in range(block * BLOCK, end, RUN):
                    rows = min(RUN, end - start)
                    x = samples.ctypes.data + start * row_bytes
                    t = targets.ctypes.data + start * row_bytes
                    w = sample_weight.ctypes.data + start * sample_weight.itemsize
                    if step == 0:
                        of_data = (x, t, first, second)
                        add_run(samples, of_data, w, rows, n_features, data)
                        of_run = 0.0
                        for i in range(start, start + rows if weighted else start):
                            of_run += sample_weight[i]
                        weights[block, 0] += of_run
                    elif step == 1:
                        of_products = (x, t, x_at, t_at, first, second)
                        add_run(samples, of_products, w, rows, n_features, products)
                    else:
                        of_rest = (x, t, x_at, t_at, slope_at, first)
                        add_run(samples, of_rest, w, rows, n_features, rest)
            _add_up(totals[0])
            _add_up(totals[1])
            if step == 0:
                _add_up(weights)
                count = weights[0, 0] if weighted else np.float64(n_samples)
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


def _specialized_judge(per_feature: bool, with_gradient: bool, fingerprint: int):
    results = ("d" if per_feature else "+") + ("aa" if with_gradient else "")
    what = f"judged:aaddddd:{results}:{fingerprint}"

    def judge(weight, bias, moments, losses, grad_weight, grad_bias, divisor, start, stop):
        """Write the losses of the sets start to stop, and their gradients.

        Weight and bias are (N, F) or (1, F), losses (N, F) or (N, 1), gradients (N, F), or (1, F)
        where nobody reads them.
        """
        n_features = weight.shape[1]
        row_bytes = n_features * weight.itemsize
        weight_step = row_bytes if len(weight) > 1 else 0
        bias_step = row_bytes if len(bias) > 1 else 0
        grad_weight_step = row_bytes if len(grad_weight) > 1 else 0
        grad_bias_step = row_bytes if len(grad_bias) > 1 else 0
        step = 8 * n_features
        moment = moments.ctypes.data
        m = (moment, moment + step, moment + 2 * step, moment + 3 * step, moment + 4 * step)
        sums = np.empty(((n_features + LANES - 1) // LANES, LANES))
        loss, loss_step = sums.ctypes.data, 0
        if per_feature:
            loss, loss_step = losses.ctypes.data, step
        steps = (weight_step, bias_step, 0, 0, 0, 0, 0, loss_step, grad_weight_step, grad_bias_step)
        for n in range(start, stop, LANES):
            n_sets = min(LANES, stop - n)
            w = weight.ctypes.data + n * weight_step
            b = bias.ctypes.data + n * bias_step
            of_weight = grad_weight.ctypes.data + n * grad_weight_step
            of_bias = grad_bias.ctypes.data + n * grad_bias_step
            places = (w, b) + m + (loss + n * loss_step, of_weight, of_bias)
            map_rows(weight, places, steps, n_sets, n_features, divisor, what)
            if not per_feature:
                _add_up(sums)
                for i in range(n_sets):
                    losses[n + i, 0] = sums[0, i] / divisor

    return judge


def _specialized_over_features(fingerprint: int):
    what = f"value:d:+:{fingerprint}"

    def over_features(values, totals):
        """Write the sums of rows to `totals`, of shape (rows,)."""
        n_rows, n_features = values.shape
        sums = np.empty(((n_features + LANES - 1) // LANES, LANES))
        step = 8 * n_features
        steps = (step, 0)
        for row in range(0, n_rows, LANES):
            at_once = min(LANES, n_rows - row)
            places = (values.ctypes.data + row * step, sums.ctypes.data)
            map_rows(values, places, steps, at_once, n_features, 1.0, what)
            _add_up(sums)
            for i in range(at_once):
                totals[row + i] = sums[0, i]

    return over_features


def _fingerprint() -> int:
    others = (_vectors.__file__, _closed_form.__file__)  # of which Numba's cache does not know
    return zlib.crc32(b"".join(Path(file).read_bytes() for file in others))


@functools.cache
def compiled_over_features() -> Any:
    """Return the function that adds up rows of float64, each by a binary tree."""
    signature = types.void(types.Array(types.float64, 2, "C"), types.Array(types.float64, 1, "C"))
    return jitted(_specialized_over_features(_fingerprint()), signature)


@functools.cache
def compiled_moments(dtype: np.dtype, weighted: bool) -> Any:
    """Return the function that finds the moments of samples of a dtype."""
    operand = types.Array(from_dtype(dtype), 2, "C", readonly=True)
    weights = types.Array(from_dtype(dtype), 1, "C", readonly=True)
    signature = types.void(operand, operand, weights, types.Array(types.float64, 2, "C"))
    return jitted(_specialized_moments(weighted, _fingerprint()), signature, error_model="numpy")


@functools.cache
def compiled_judge(dtype: np.dtype, per_feature: bool, with_gradient: bool) -> Any:
    """Return the function that judges sets of a dtype by moments."""
    operand = types.Array(from_dtype(dtype), 2, "C", readonly=True)
    out, real = types.Array(from_dtype(dtype), 2, "C"), types.Array(types.float64, 2, "C")
    signature = types.void(
        *(operand, operand, real, real, out, out, types.float64, types.intp, types.intp)
    )
    function = _specialized_judge(per_feature, with_gradient, _fingerprint())
    return jitted(function, signature, error_model="numpy")
