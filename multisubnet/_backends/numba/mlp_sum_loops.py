"""The CPU engine's compiled code for sums over samples of networks with hidden layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, types

from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends.numba import areas
from multisubnet._backends.numba.jit import fingerprint, inner, jit
from multisubnet._backends.numba.llvm.memory import copy, numbers_at
from multisubnet._backends.numba.llvm.network_sums import SumsPlan, add_run
from multisubnet._backends.numba.llvm.pieces import hand_out, piece
from multisubnet._backends.numba.llvm.run_totals import take_sums, take_sums_of_runs
from multisubnet._backends.numba.llvm.transposes import columns_of, fill, places_of, write_columns
from multisubnet._backends.numba.moment_loops import divide

# A piece is a box: some of the sets, of the networks and of the blocks of samples. All functions
# take one tuple of operands:
#   samples               (N or 1, B, F)
#   wiring                (S, d), the feature numbers
#   targets               (N or 1, B, S or 1, targets or 1)
#   factor                (B,)
#   parameters            those of the activations
#   given                 the arrays of weights and biases, (N or 1, S, ...)
#   places                for each of them, the count of its numbers in a network, and their offset
#                         among the network's parameters
#   wanted                for each array of totals: its address, the steps to the next block, set
#                         and network, the count of its numbers in a network, and their offset among
#                         the network's sums
#   divisor               of gradients of one block, which then have the dtype of the samples; 0 for
#                         totals in float64
#   memory                an area per thread (areas.py)
#   layout                the offsets in bytes of the parts of an area: lines for parameters, then
#                         for inputs, targets, factors, scratch memory, sums, and float64; its
#                         length without the flag, and with it
#   grid                  the numbers of sets, networks and blocks, each followed by that of a piece


def box_of(index, grid):
    """Return the first and last set, network and block of a piece."""
    of_sets, of_subnets, of_blocks = grid[1], grid[3], grid[5]
    rows, columns = -(-grid[2] // of_subnets), -(-grid[4] // of_blocks)
    block = index % columns * of_blocks
    s = index // columns % rows * of_subnets
    n = index // columns // rows * of_sets
    last = min(n + of_sets, grid[0]), min(s + of_subnets, grid[2]), min(block + of_blocks, grid[4])
    return n, last[0], s, last[1], block, last[2]


_box_of = inner(box_of)
_clear, _claim, _leave = inner(areas.clear), inner(areas.claim), inner(areas.leave)


@inner
def _begin(index, worker, operands):
    """Claim an area; return the box of a piece, and the parts of the area.

    These are the address of parameters (and of the area); arrays for inputs, targets and factors;
    and the addresses of scratch memory, of sums, which are set to 0, and of float64.
    """
    samples, (memory, layout, grid) = operands[0], operands[9:]
    area = _claim(memory, layout[7], worker)
    inputs, targets, factors, scratch, sums, totals = layout[:6]
    fill(area + sums, 0.0, (totals - sums) // 8)
    itemsize = samples.itemsize
    lines = (
        numbers_at(area + inputs, (targets - inputs) // itemsize, samples),
        numbers_at(area + targets, (factors - targets) // itemsize, samples),
        numbers_at(area + factors, (scratch - factors) // itemsize, samples),
    )
    return _box_of(index, grid), area, lines, (area + scratch, area + sums, area + totals)


@inner
def _copy_parameters(weights, begins, places, itemsize):
    for i in range(len(places)):
        copy(weights + places[i, 1] * itemsize, begins[i], places[i, 0] * itemsize)


@piece
def sums_over_sets(text: str) -> Any:
    """Return the piece function for a plan whose lanes are sets."""
    known, double_lanes = SumsPlan.read(text), int(text.split("|")[1])
    lanes, n_sums, n_targets = known.lanes, known.n_sums, known.n_targets
    n_divided = n_sums - known.terms
    own_samples, own_targets, weighted = known.own_samples, known.own_targets, known.weighted

    def sums_piece(index, worker, operands):
        """Write totals of blocks, or divided totals of one block."""
        samples, wiring, targets, factor, parameters, given, places, wanted, divisor = operands[:9]
        box, weights, lines, (scratch, of_run, totals) = _begin(index, worker, operands)
        first, last, s_first, s_last, block_first, block_last = box
        inputs, marks, factors = lines
        itemsize = samples.itemsize
        size = lanes * itemsize
        n_samples, n_inputs = samples.shape[1], wiring.shape[1]
        shared_samples, shared_targets = samples[0], targets[0]
        dense_targets = targets.strides[1] == itemsize
        for n in range(first, last, lanes):
            n_sets = min(lanes, last - n)
            for s in range(s_first, s_last):
                of_s = min(s, targets.shape[2] - 1)
                begins, next_begins = places_of(given, n, s), places_of(given, n + 1, s)
                for i in range(len(places)):
                    at = weights + places[i, 1] * size
                    step = next_begins[i] - begins[i]
                    columns_of(samples, begins[i], step, n_sets, places[i, 0], at, size, lanes)
                for block in range(block_first, block_last):
                    fill(totals, 0.0, n_sums * lanes)
                    end = min((block + 1) * BLOCK, n_samples)
                    for b in range(block * BLOCK, end, RUN):
                        n_steps = min(RUN, end - b)
                        for i in range(n_inputs):
                            f = wiring[s, i]
                            for t in range(n_steps):
                                if not own_samples:
                                    inputs[i * RUN + t] = shared_samples[b + t, f]
                                    continue
                                for lane in range(n_sets):
                                    at = (i * RUN + t) * lanes + lane
                                    inputs[at] = samples[n + lane, b + t, f]
                        for p in range(n_targets):
                            of_p = min(p, targets.shape[3] - 1)
                            if own_targets and dense_targets:
                                columns_of(
                                    samples,
                                    targets.ctypes.data
                                    + n * targets.strides[0]
                                    + b * itemsize
                                    + of_s * targets.strides[2]
                                    + of_p * targets.strides[3],
                                    targets.strides[0],
                                    n_sets,
                                    n_steps,
                                    marks.ctypes.data + p * RUN * size,
                                    size,
                                    lanes,
                                )
                                continue
                            for t in range(n_steps):
                                if not own_targets:
                                    marks[p * RUN + t] = shared_targets[b + t, of_s, of_p]
                                    continue
                                for lane in range(n_sets):
                                    at = (p * RUN + t) * lanes + lane
                                    marks[at] = targets[n + lane, b + t, of_s, of_p]
                        if weighted:
                            for t in range(n_steps):
                                factors[t] = factor[b + t]
                        add_run(
                            samples,
                            weights,
                            inputs.ctypes.data,
                            marks.ctypes.data,
                            factors.ctypes.data,
                            0,
                            parameters.ctypes.data,
                            scratch,
                            of_run,
                            n_steps,
                            text,
                        )
                        take_sums(samples, of_run, totals, n_sums, lanes)
                    if n_divided and divisor != 0.0:
                        divide(
                            numbers_at(totals, n_divided * lanes, parameters),
                            divisor,
                            numbers_at(weights, n_divided * lanes, samples),
                        )
                    for i in range(len(wanted)):
                        row, count, step = wanted[i, 5], wanted[i, 4], wanted[i, 2]
                        at = wanted[i, 0] + block * wanted[i, 1] + n * step + s * wanted[i, 3]
                        if row < n_divided and divisor != 0.0:
                            source = weights + row * size
                            write_columns(samples, source, size, count, n_sets, at, step, lanes)
                            continue
                        source = totals + row * lanes * 8
                        write_columns(
                            parameters, source, lanes * 8, count, n_sets, at, step, double_lanes
                        )
        _leave(weights)

    return sums_piece


@piece
def sums_over_runs(text: str) -> Any:
    """Return the piece function for a plan whose lanes are runs."""
    known = SumsPlan.read(text)
    lanes, n_sums, n_targets = known.lanes, known.n_sums, known.n_targets
    n_divided = n_sums - known.terms
    own_samples, own_targets, weighted = known.own_samples, known.own_targets, known.weighted
    padded = -(-n_sums // lanes) * lanes

    def sums_piece(index, worker, operands):
        """Do the same. There are float64 lines for all sets of a piece."""
        samples, wiring, targets, factor, parameters, given, places, wanted, divisor = operands[:9]
        box, weights, lines, (scratch, of_runs, totals) = _begin(index, worker, operands)
        first, last, s_first, s_last, block_first, block_last = box
        inputs, marks, factors = lines
        itemsize = samples.itemsize
        n_samples, n_inputs = samples.shape[1], wiring.shape[1]
        lengths = np.empty(lanes, np.int64)
        zero = samples.dtype.type(0)
        for block in range(block_first, block_last):
            end = min((block + 1) * BLOCK, n_samples)
            for s in range(s_first, s_last):
                of_s = min(s, targets.shape[2] - 1)
                fill(totals, 0.0, padded * (last - first))
                for b in range(block * BLOCK, end, RUN * lanes):
                    n_runs = min((end - b + RUN - 1) // RUN, lanes)
                    for r in range(lanes):
                        lengths[r] = max(min(end - b - r * RUN, RUN), 0)
                    for n in range(first, last):
                        if own_samples or n == first:
                            of_set = samples[n if own_samples else 0]
                            for i in range(n_inputs):
                                f = wiring[s, i]
                                for r in range(lanes):
                                    for t in range(RUN):
                                        at = (i * RUN + t) * lanes + r
                                        is_there = t < lengths[r]
                                        row = b + r * RUN + t if is_there else 0
                                        inputs[at] = of_set[row, f] if is_there else zero
                        if own_targets or n == first:
                            of_targets = targets[n if own_targets else 0]
                            for p in range(n_targets):
                                of_p = min(p, targets.shape[3] - 1)
                                for r in range(n_runs):
                                    for t in range(lengths[r]):
                                        at = (p * RUN + t) * lanes + r
                                        marks[at] = of_targets[b + r * RUN + t, of_s, of_p]
                        if weighted and n == first:
                            for r in range(n_runs):
                                for t in range(lengths[r]):
                                    factors[t * lanes + r] = factor[b + r * RUN + t]
                        _copy_parameters(weights, places_of(given, n, s), places, itemsize)
                        add_run(
                            samples,
                            weights,
                            inputs.ctypes.data,
                            marks.ctypes.data,
                            factors.ctypes.data,
                            lengths.ctypes.data,
                            parameters.ctypes.data,
                            scratch,
                            of_runs,
                            min(RUN, end - b),
                            text,
                        )
                        take_sums_of_runs(
                            samples,
                            of_runs,
                            totals + (n - first) * padded * 8,
                            n_sums,
                            n_runs,
                            lanes,
                        )
                for n in range(first, last):
                    for i in range(len(wanted)):
                        row, count = wanted[i, 5], wanted[i, 4]
                        at = wanted[i, 0] + block * wanted[i, 1] + n * wanted[i, 2]
                        at += s * wanted[i, 3]
                        source = totals + ((n - first) * padded + row) * 8
                        if row < n_divided and divisor != 0.0:
                            divide(
                                numbers_at(source, count, parameters),
                                divisor,
                                numbers_at(at, count, samples),
                            )
                        else:
                            copy(at, source, count * 8)
        _leave(weights)

    return sums_piece


@piece
def sums_over_sample_lanes(text: str) -> Any:
    """Return the piece function for gradients of samples, which are the lanes."""
    known = SumsPlan.read(text)
    lanes, n_targets = known.lanes, known.n_targets
    own_samples, own_targets = known.own_samples, known.own_targets
    at_once = RUN * lanes
    of_block = 1 if own_samples else BLOCK

    def sums_piece(index, worker, operands):
        """Write totals of blocks of sets (blocks, B, S, d), or gradients (N, B, S, d).

        The latter are for samples (N, B, F). A piece has some sets, networks and samples.
        """
        samples, wiring, targets, _, parameters, given, places, wanted = operands[:8]
        box, weights, lines, (scratch, of_run_at, totals_at) = _begin(index, worker, operands)
        n_first, n_last, s_first, s_last, b_first, b_last = box
        inputs, marks, factors = lines
        n_inputs = wiring.shape[1]
        of_run = numbers_at(of_run_at, n_inputs * at_once, samples)
        totals = numbers_at(totals_at, n_inputs * at_once, parameters)
        itemsize = samples.itemsize
        for b in range(b_first, b_last, at_once):
            count = min(at_once, b_last - b)
            for s in range(s_first, s_last):
                of_s = min(s, targets.shape[2] - 1)
                for first in range(n_first, n_last, of_block):
                    last = min(first + of_block, n_last)
                    totals[:] = 0.0
                    of_run[:] = -0.0 if own_samples else 0.0
                    for n in range(first, last):
                        if n == first:
                            for i in range(n_inputs):
                                f = wiring[s, i]
                                for q in range(count):
                                    x = samples[n if own_samples else 0, b + q, f]
                                    inputs[i * at_once + q] = x
                        for p in range(n_targets):
                            of_p = min(p, targets.shape[3] - 1)
                            for q in range(count):
                                y = targets[n if own_targets else 0, b + q, of_s, of_p]
                                marks[p * at_once + q] = y
                        _copy_parameters(weights, places_of(given, n, s), places, itemsize)
                        add_run(
                            samples,
                            weights,
                            inputs.ctypes.data,
                            marks.ctypes.data,
                            factors.ctypes.data,
                            0,
                            parameters.ctypes.data,
                            scratch,
                            of_run.ctypes.data,
                            (count + lanes - 1) // lanes,
                            text,
                        )
                        if not own_samples and (n % RUN == RUN - 1 or n + 1 == last):
                            take_sums(
                                samples,
                                of_run.ctypes.data,
                                totals.ctypes.data,
                                n_inputs * RUN,
                                lanes,
                            )
                    for q in range(count):
                        out = numbers_at(
                            wanted[0, 0]
                            + first // of_block * wanted[0, 1]
                            + (b + q) * wanted[0, 2]
                            + s * wanted[0, 3],
                            n_inputs,
                            parameters,
                        )
                        for i in range(n_inputs):
                            at = i * at_once + q
                            out[i] = np.float64(of_run[at]) if own_samples else totals[at]
        _leave(weights)

    return sums_piece


def _handing_out(what: str) -> Any:
    def sums(pool, n_pieces, seats, operands):
        """Write all totals."""
        memory, layout, _ = operands[9:]
        _clear(memory, layout[7])
        hand_out(pool, n_pieces, seats, what, (operands,))

    return sums


def compile_sums(plan: SumsPlan, dtype: np.dtype, double_lanes: int) -> Any:
    """Return the function for a plan and a dtype, float32 or float64."""
    text = f"{plan.text}|{double_lanes}|{fingerprint(*plan.programs(dtype))}"
    maker = sums_over_runs if plan.lanes_are_runs else sums_over_sets
    if plan.of_samples:
        maker = sums_over_sample_lanes
    scalar = from_dtype(dtype)
    table = types.Array(types.int64, 2, "C", readonly=True)
    given = [
        types.Array(scalar, ndim, "A", readonly=True)
        for biased in plan.biased
        for ndim in (4, 3)[: 1 + biased]
    ]
    operands = types.Tuple(
        [
            types.Array(scalar, 3, "A", readonly=True),
            table,
            types.Array(scalar, 4, "A", readonly=True),
            types.Array(scalar, 1, "A", readonly=True),
            types.Array(types.float64, 1, "C", readonly=True),
            types.Tuple(given),
            table,
            table,
            types.float64,
            types.Array(types.uint8, 1, "C"),
            types.UniTuple(types.intp, 8),
            types.UniTuple(types.intp, 6),
        ]
    )
    signature = types.void(*[types.intp] * 3, operands)
    return jit(_handing_out(f"{maker.__name__} {text}"), signature)
