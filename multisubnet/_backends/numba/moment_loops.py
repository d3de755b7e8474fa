"""Compiled code in float64: sums over features, and the closed form of moments.py."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numba import from_dtype, types

from multisubnet._arithmetic import moments as _moments
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends.numba.jit import address_of, fingerprint, inner, jit
from multisubnet._backends.numba.llvm.memory import numbers_at
from multisubnet._backends.numba.llvm.moment_rows import LANES, add_run, map_rows
from multisubnet._backends.numba.llvm.pieces import hand_out, piece

_settled = inner(_moments.settled, error_model="numpy")


def _specialized_moments(weighted: bool, wide: bool, fingerprint: int):
    last = "weight" if weighted else ""
    third = "signed_rest" if weighted else "rest"
    data, products, rest = (
        f"{what}:{last}:{fingerprint}"
        for what in ("data:aadd", "products:aadddd", f"{third}:aaddddd")
    )

    def moments(samples, targets, sample_weight, weight_sizes, found):
        """Write the moments of `closed_form.moments` to `found`, of shape (moments, F).

        Targets have the shape of samples, (B, F). sample_weight (B,), and its absolute values
        weight_sizes, are not read unless `weighted`.
        """
        n_samples, n_features = samples.shape
        row_bytes = n_features * samples.itemsize
        n_blocks = max((n_samples + BLOCK - 1) // BLOCK, 1)
        totals = np.empty((5 if weighted else 2, n_blocks, n_features))
        weights = np.zeros((n_blocks, 1))
        sizes = np.zeros((n_blocks, 1))
        known = np.empty((11 if weighted else 7, n_features))
        fit_x, fit_t, mean_x, mean_t, slope, spread, left_over = known[:7]
        if wide:
            _find_fits(samples, fit_x)
            _find_fits(targets, fit_t)
            np.minimum(fit_t, 1.0, fit_t)
        else:
            fit_x[:] = 1.0
            fit_t[:] = 1.0
        of_x, of_t = fit_x.ctypes.data, fit_t.ctypes.data
        x_at, t_at, slope_at = mean_x.ctypes.data, mean_t.ctypes.data, slope.ctypes.data
        for step in range(3):
            totals[:] = 0.0
            for block in range(n_blocks):
                first, second = totals[0, block].ctypes.data, totals[1, block].ctypes.data
                end = min((block + 1) * BLOCK, n_samples)
                for start in range(block * BLOCK, end, RUN):
                    rows = min(RUN, end - start)
                    x = samples.ctypes.data + start * row_bytes
                    t = targets.ctypes.data + start * row_bytes
                    w = sample_weight.ctypes.data + start * sample_weight.itemsize
                    size = weight_sizes.ctypes.data + start * sample_weight.itemsize
                    if step == 0:
                        of_data = (x, t, of_x, of_t, first, second)
                        add_run(samples, of_data, size, rows, n_features, data)
                        of_run = 0.0
                        size_of_run = 0.0
                        for i in range(start, start + rows if weighted else start):
                            of_run += sample_weight[i]
                            size_of_run += weight_sizes[i]
                        weights[block, 0] += of_run
                        sizes[block, 0] += size_of_run
                    elif step == 1:
                        of_products = (x, t, of_x, of_t, x_at, t_at, first, second)
                        add_run(samples, of_products, size, rows, n_features, products)
                    elif not weighted:
                        of_rest = (x, t, of_x, of_t, x_at, t_at, slope_at, first)
                        add_run(samples, of_rest, w, rows, n_features, rest)
                    else:
                        more = (
                            totals[2, block].ctypes.data,
                            totals[3, block].ctypes.data,
                            totals[4, block].ctypes.data,
                        )
                        of_rest = (x, t, of_x, of_t, x_at, t_at, slope_at, first, second) + more
                        add_run(samples, of_rest, w, rows, n_features, rest)
            for of_output in totals:
                _add_up(of_output)
            if step == 0:
                _add_up(weights)
                _add_up(sizes)
                count = sizes[0, 0] if weighted else np.float64(n_samples)
            for f in range(n_features):
                if step == 0:
                    mean_x[f], mean_t[f] = totals[0, 0, f] / count, totals[1, 0, f] / count
                elif step == 1:
                    spread[f] = totals[0, 0, f] / count
                    slope[f] = totals[1, 0, f] / count / spread[f] if spread[f] != 0.0 else 0.0
                elif not weighted:
                    left_over[f] = totals[0, 0, f] / count
                else:
                    signed = np.nan if weights[0, 0] == 0.0 else weights[0, 0]
                    has_negative = 1.0 if weights[0, 0] != sizes[0, 0] else 0.0
                    left_over[f] = totals[0, 0, f] / signed
                    known[7, f] = totals[1, 0, f] / signed
                    for i in range(2, 5):
                        known[6 + i, f] = totals[i, 0, f] / signed * has_negative
        for f in range(n_features):
            fit_of_t = fit_t[f]
            known_spread = known[7, f] if weighted else spread[f]
            settled = _settled(
                *(fit_x[f], fit_of_t, mean_x[f], mean_t[f], slope[f], known_spread, left_over[f])
            )
            for i, moment in enumerate(settled):
                found[i, f] = moment
            if weighted:
                found[6, f] = known[8, f]
                found[7, f] = known[9, f] / fit_of_t
                found[8, f] = known[10, f] / fit_of_t

    return moments


@functools.partial(inner, error_model="numpy")
def _find_fits(rows, fits):
    """Write 1 over the power of two of the largest value of each column, like `fits`."""
    fits[:] = 0.0
    for i in range(len(rows)):
        for f in range(rows.shape[1]):
            size = abs(rows[i, f])
            fits[f] = size if size > fits[f] else fits[f]
    for f in range(rows.shape[1]):
        _, exponent = math.frexp(fits[f])
        if fits[f] == 0.0:
            exponent = -1021
        elif fits[f] == np.inf:
            exponent = 1
        fits[f] = math.ldexp(1.0, 1 - max(exponent, -1021))


@functools.partial(inner, error_model="numpy")
def _add_up(rows):
    """Add rows into the first one, neighbours level by level."""
    count = len(rows)
    while count > 1:
        for i in range(count // 2):
            for f in range(rows.shape[1]):
                rows[i, f] = rows[2 * i, f] + rows[2 * i + 1, f]
        if count % 2:
            # To assign a row at once, Numba would compile an error message, too: half of its time.
            for f in range(rows.shape[1]):
                rows[count // 2, f] = rows[count - 1, f]
        count = (count + 1) // 2


@piece
def moment_loss(what: str):
    """Return the function compiled for the given work of `map_rows`."""
    _, inputs, results, _ = what.split(":")
    per_feature = results.startswith("d")
    of_moments = (0,) * inputs.count("d")
    weighted = len(of_moments) > 6

    def loss_piece(index, weight, bias, moments, losses, grad_weight, grad_bias, divisor, n_sets):
        """Write the losses of `n_sets` sets, and their gradients.

        Weight and bias are (N, F) or (1, F), losses (N, F) or (N, 1), gradients (N, F), or (1, F)
        if they are not used.
        """
        start = index * n_sets
        stop = min(start + n_sets, len(losses))
        n_features = weight.shape[1]
        row_bytes = n_features * weight.itemsize
        weight_step = row_bytes if len(weight) > 1 else 0
        bias_step = row_bytes if len(bias) > 1 else 0
        grad_weight_step = row_bytes if len(grad_weight) > 1 else 0
        grad_bias_step = row_bytes if len(grad_bias) > 1 else 0
        step = 8 * n_features
        moment = moments.ctypes.data
        m = (moment, moment + step, moment + 2 * step, moment + 3 * step, moment + 4 * step)
        m = m + (moment + 5 * step,)
        if weighted:
            m = m + (moment + 6 * step, moment + 7 * step, moment + 8 * step)
        sums = np.empty(((n_features + LANES - 1) // LANES, LANES))
        loss, loss_step = sums.ctypes.data, 0
        if per_feature:
            loss, loss_step = losses.ctypes.data, step
        steps = (weight_step, bias_step) + of_moments
        steps = steps + (loss_step, grad_weight_step, grad_bias_step)
        for n in range(start, stop, LANES):
            at_once = min(LANES, stop - n)
            w = weight.ctypes.data + n * weight_step
            b = bias.ctypes.data + n * bias_step
            of_weight = grad_weight.ctypes.data + n * grad_weight_step
            of_bias = grad_bias.ctypes.data + n * grad_bias_step
            places = (w, b) + m + (loss + n * loss_step, of_weight, of_bias)
            map_rows(weight, places, steps, at_once, n_features, divisor, what)
            if not per_feature:
                _add_up(sums)
                for i in range(at_once):
                    losses[n + i, 0] = sums[0, i] / divisor

    return loss_piece


def _moment_loss(what: str):
    def moment_loss(
        pool,
        n_pieces,
        seats,
        weight,
        bias,
        moments,
        losses,
        grad_weight,
        grad_bias,
        divisor,
        n_sets,
    ):
        operands = (weight, bias, moments, losses, grad_weight, grad_bias, divisor, n_sets)
        hand_out(pool, n_pieces, seats, what, operands)

    return moment_loss


@functools.partial(inner, error_model="numpy")
def _over_features(values, n_features, divisor, totals):
    """Write the divided sums of the rows of float64 at an address to `totals`, one per row."""
    n_rows = len(totals)
    sums = np.empty(((n_features + LANES - 1) // LANES, LANES))
    step = 8 * n_features
    for row in range(0, n_rows, LANES):
        at_once = min(LANES, n_rows - row)
        places = (values + row * step, sums.ctypes.data)
        map_rows(sums, places, (step, 0), at_once, n_features, 1.0, "value:d:+")
        _add_up(sums)
        for i in range(at_once):
            totals[row + i] = sums[0, i] / divisor


def _specialized_over_features(fingerprint: int):
    def over_features(values, divisor, totals):
        """Write the divided sums of rows to `totals`, of shape (rows,)."""
        _ = fingerprint
        _over_features(np.intp(values.ctypes.data), values.shape[1], divisor, totals)

    return over_features


@functools.cache
def compiled_over_features() -> Any:
    """Return the function that adds rows of float64, each by a binary tree."""
    values, totals = types.Array(types.float64, 2, "C"), types.Array(types.float64, 1, "A")
    signature = types.void(values, types.float64, totals)
    return jit(_specialized_over_features(fingerprint()), signature, error_model="numpy")


def _specialized_division(fingerprint: int):
    def divide_rows(values, n_rows, n_features, divisor, out, itemsize):
        """Write rows of float64, divided, to memory of floats of this size.

        If the size is 0, write the divided sums of the rows, in float64.
        """
        _ = fingerprint
        wide, narrow = np.empty(0, np.float64), np.empty(0, np.float32)
        count = n_rows * n_features
        if itemsize == 0:
            _over_features(values, n_features, divisor, numbers_at(out, n_rows, wide))
        elif itemsize == 8:
            divide(numbers_at(values, count, wide), divisor, numbers_at(out, count, wide))
        else:
            divide(numbers_at(values, count, wide), divisor, numbers_at(out, count, narrow))
        return 0

    return divide_rows


@functools.partial(inner, error_model="numpy")
def divide(values, divisor, out):
    """Write divided values to `out`, which rounds them to its dtype."""
    for i in range(len(values)):
        out[i] = values[i] / divisor


@functools.cache
def compile_division() -> int:
    """Return the address of a C function that divides sums."""
    word = types.intp
    signature = types.int32(word, word, word, types.float64, word, word)
    return address_of(_specialized_division(fingerprint()), signature)


@functools.cache
def compiled_moments(dtype: np.dtype, weighted: bool) -> Any:
    """Return the function that computes the moments of samples of a dtype."""
    operand = types.Array(from_dtype(dtype), 2, "C", readonly=True)
    weights = types.Array(from_dtype(dtype), 1, "C", readonly=True)
    found = types.Array(types.float64, 2, "C")
    signature = types.void(operand, operand, weights, weights, found)
    function = _specialized_moments(weighted, dtype.char == "d", fingerprint())
    return jit(function, signature, error_model="numpy")


@functools.cache
def compiled_moment_loss(
    dtype: np.dtype, weighted: bool, per_feature: bool, with_gradient: bool
) -> Any:
    """Return the function that computes losses of sets of a dtype from moments."""
    operand = types.Array(from_dtype(dtype), 2, "C", readonly=True)
    out, real = types.Array(from_dtype(dtype), 2, "C"), types.Array(types.float64, 2, "C")
    share = types.intp, types.intp, types.intp
    signature = types.void(
        *(*share, operand, operand, real, real, out, out, types.float64, types.intp)
    )
    name, inputs = "loss_by_moments", "aa" + "d" * 6
    if weighted:
        name, inputs = "loss_by_signed_weights", "aa" + "d" * 9
    results = ("d" if per_feature else "+") + ("aa" if with_gradient else "")
    function = _moment_loss(f"moment_loss {name}:{inputs}:{results}:{fingerprint()}")
    return jit(function, signature, error_model="numpy")
