"""The closed form of _closed_form.py, compiled: all of it in two passes over memory.

Inner loops run over features, so that they are vectorized, and no sum changes its order.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import from_dtype, njit, types

from multisubnet._compiled import jitted
from multisubnet._terms import BLOCK, RUN


def _moments(samples, targets, sample_weight, weighted, found):
    """Write mean(x), mean(t), slope, spread and mean(r^2) to `found`, of shape (5, F)."""
    n_samples, n_features = samples.shape
    n_blocks = max((n_samples + BLOCK - 1) // BLOCK, 1)
    totals = np.empty((2, n_blocks, n_features))
    runs = np.empty((2, n_features))
    weights = np.zeros((n_blocks, 1))
    mean_x, mean_t, slope, spread, rest = found
    count = float(n_samples)
    for step in range(3):
        totals[:] = 0.0
        for block in range(n_blocks):
            end = min((block + 1) * BLOCK, n_samples)
            for start in range(block * BLOCK, end, RUN):
                runs[:] = 0.0
                of_run = 0.0
                for i in range(start, min(start + RUN, end)):
                    weight = np.float64(sample_weight[i]) if weighted else 1.0
                    of_run += weight
                    if step == 0:
                        for f in range(n_features):
                            runs[0, f] += np.float64(samples[i, f]) * weight
                            runs[1, f] += np.float64(targets[i, f]) * weight
                    elif step == 1:
                        for f in range(n_features):
                            x = np.float64(samples[i, f]) - mean_x[f]
                            t = np.float64(targets[i, f]) - mean_t[f]
                            runs[0, f] += (x * x) * weight
                            runs[1, f] += (x * t) * weight
                    else:
                        for f in range(n_features):
                            x = np.float64(samples[i, f]) - mean_x[f]
                            t = np.float64(targets[i, f]) - mean_t[f]
                            residual = t - slope[f] * x
                            runs[0, f] += (residual * residual) * weight
                for f in range(n_features):
                    totals[0, block, f] += runs[0, f]
                    totals[1, block, f] += runs[1, f]
                if step == 0:
                    weights[block, 0] += of_run
        _tree(totals[0])
        _tree(totals[1])
        if step == 0:
            _tree(weights)
            if weighted:
                count = weights[0, 0]
        for f in range(n_features):
            first, second = totals[0, 0, f] / count, totals[1, 0, f] / count
            if step == 0:
                mean_x[f], mean_t[f] = first, second
            elif step == 1:
                spread[f] = first
                slope[f] = 0.0 if first == 0.0 else second / first
            else:
                rest[f] = first


@njit(error_model="numpy")
def _tree(values):
    """Add up rows, neighbours level by level, into the first one."""
    count = len(values)
    while count > 1:
        for i in range(count // 2):
            values[i] = values[2 * i] + values[2 * i + 1]
        if count % 2:
            values[count // 2] = values[count - 1]
        count = (count + 1) // 2


def _judge(weight, bias, has_bias, moments, loss, grad_weight, grad_bias, divisor, first, last):
    """Write the losses of the sets first to last, and gradients where there is room for them."""
    mean_x, mean_t, slope, spread, rest = moments
    n_features = len(slope)
    with_gradient = len(grad_weight) > 0
    losses, sums = np.empty(n_features), np.empty(n_features)
    offsets, steeps = np.empty(n_features), np.empty(n_features)
    for n in range(first, last):
        for f in range(n_features):
            w = np.float64(weight[n, f])
            b = np.float64(bias[n, f]) if has_bias else -0.0
            distance = w - slope[f]
            offset = (w * mean_x[f] + b) - mean_t[f]
            steep = spread[f] * distance
            losses[f] = (steep * distance + offset * offset) + rest[f]
            offsets[f], steeps[f] = offset, steep
        if loss.shape[1] == n_features:
            for f in range(n_features):
                loss[n, f] = losses[f] / divisor
        else:
            count, others = n_features, sums
            while count > 1:
                for i in range(count // 2):
                    others[i] = losses[2 * i] + losses[2 * i + 1]
                if count % 2:
                    others[count // 2] = losses[count - 1]
                losses, others = others, losses
                count = (count + 1) // 2
            loss[n, 0] = losses[0] / divisor
        if with_gradient:
            for f in range(n_features):
                grad_weight[n, f] = 2.0 * (steeps[f] + offsets[f] * mean_x[f]) / divisor
            if has_bias:
                for f in range(n_features):
                    grad_bias[n, f] = 2.0 * offsets[f] / divisor


@functools.cache
def compiled(dtype: np.dtype) -> tuple[Any, Any]:
    """Return both functions for operands and gradients of a dtype, cached on disk by Numba."""
    scalar = from_dtype(dtype)
    operand, out = types.Array(scalar, 2, "C", readonly=True), types.Array(scalar, 2, "C")
    weights = types.Array(scalar, 1, "C", readonly=True)
    real = types.Array(types.float64, 2, "C")
    has, size = types.boolean, types.intp
    moments = types.void(operand, operand, weights, has, real)
    judge = types.void(*(operand, operand, has, real, real, out, out, types.float64, size, size))
    return (
        jitted(_moments, moments, error_model="numpy"),
        jitted(_judge, judge, error_model="numpy"),
    )
