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
from multisubnet._backends.numba.llvm.transposes import columns_of, fill, write_columns

# A piece is a box: some of the sets, of the networks and of the blocks of samples. Arguments common
# to all functions:
#   samples               (N or 1, B, F)
#   wiring                (S, d), the feature numbers
#   targets               (N or 1, B, S, targets)
#   factor                (B,)
#   parameters            those of the activations
#   given                 for each array of weights or biases: its address, the steps in bytes to
#                         the next set and network, an unused step, the count of its numbers, and
#                         their offset among the network's parameters
#   wanted                for each array of totals: its address, the steps to the next block, set
#                         and network, the count of its numbers in a network, and their offset among
#                         the network's sums
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
def _parts(area, layout, array):
    """Return the inputs, targets and factors of an area, of the dtype of an array."""
    itemsize = array.itemsize
    inputs, targets, factors, end = layout[:4]
    return (
        numbers_at(area + inputs, (targets - inputs) // itemsize, array),
        numbers_at(area + targets, (factors - targets) // itemsize, array),
        numbers_at(area + factors, (end - factors) // itemsize, array),
    )


@piece
def sums_over_sets(text: str) -> Any:
    """Return the piece function for a plan whose lanes are sets."""
    known, double_lanes = SumsPlan.read(text), int(text.split("|")[1])
    lanes, n_sums, n_targets = known.lanes, known.n_sums, known.n_targets
    own_samples, own_targets, weighted = known.own_samples, known.own_targets, known.weighted

    def sums_piece(
        index,
        samples,
        wiring,
        targets,
        factor,
        parameters,
        given,
        wanted,
        memory,
        layout,
        grid,
    ):
        """Write totals of blocks."""
        area = _claim(memory, layout[7])
        inputs, marks, factors = _parts(area, layout, samples)
        weights, scratch = area, area + layout[3]
        of_run, totals = area + layout[4], area + layout[5]
        fill(of_run, 0.0, (layout[5] - layout[4]) // 8)
        first, last, s_first, s_last, block_first, block_last = _box_of(index, grid)
        itemsize = samples.itemsize
        size = lanes * itemsize
        n_samples, n_inputs = samples.shape[1], wiring.shape[1]
        shared_samples, shared_targets = samples[0], targets[0]
        dense_targets = targets.strides[1] == itemsize
        for n in range(first, last, lanes):
            n_sets = min(lanes, last - n)
            for s in range(s_first, s_last):
                for i in range(len(given)):
                    columns_of(
                        samples,
                        given[i, 0] + n * given[i, 1] + s * given[i, 2],
                        given[i, 1],
                        n_sets,
                        given[i, 4],
                        weights + given[i, 5] * size,
                        size,
                        lanes,
                    )
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
                            if own_targets and dense_targets:
                                columns_of(
                                    samples,
                                    targets.ctypes.data
                                    + n * targets.strides[0]
                                    + b * itemsize
                                    + s * targets.strides[2]
                                    + p * targets.strides[3],
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
                                    marks[p * RUN + t] = shared_targets[b + t, s, p]
                                    continue
                                for lane in range(n_sets):
                                    at = (p * RUN + t) * lanes + lane
                                    marks[at] = targets[n + lane, b + t, s, p]
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
                    for i in range(len(wanted)):
                        write_columns(
                            parameters,
                            totals + wanted[i, 5] * lanes * 8,
                            lanes * 8,
                            wanted[i, 4],
                            n_sets,
                            wanted[i, 0]
                            + block * wanted[i, 1]
                            + n * wanted[i, 2]
                            + s * wanted[i, 3],
                            wanted[i, 2],
                            double_lanes,
                        )
        _leave(area)

    return sums_piece


@piece
def sums_over_runs(text: str) -> Any:
    """Return the piece function for a plan whose lanes are runs."""
    known = SumsPlan.read(text)
    lanes, n_sums, n_targets = known.lanes, known.n_sums, known.n_targets
    own_samples, own_targets, weighted = known.own_samples, known.own_targets, known.weighted
    padded = -(-n_sums // lanes) * lanes

    def sums_piece(
        index,
        samples,
        wiring,
        targets,
        factor,
        parameters,
        given,
        wanted,
        memory,
        layout,
        grid,
    ):
        """Write totals of blocks. There are float64 lines for all sets of a piece."""
        area = _claim(memory, layout[7])
        inputs, marks, factors = _parts(area, layout, samples)
        weights, scratch = area, area + layout[3]
        of_runs, totals = area + layout[4], area + layout[5]
        fill(of_runs, 0.0, (layout[5] - layout[4]) // 8)
        first, last, s_first, s_last, block_first, block_last = _box_of(index, grid)
        itemsize = samples.itemsize
        n_samples, n_inputs = samples.shape[1], wiring.shape[1]
        lengths = np.empty(lanes, np.int64)
        zero = samples.dtype.type(0)
        for block in range(block_first, block_last):
            end = min((block + 1) * BLOCK, n_samples)
            for s in range(s_first, s_last):
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
                                for r in range(n_runs):
                                    for t in range(lengths[r]):
                                        at = (p * RUN + t) * lanes + r
                                        marks[at] = of_targets[b + r * RUN + t, s, p]
                        if weighted and n == first:
                            for r in range(n_runs):
                                for t in range(lengths[r]):
                                    factors[t * lanes + r] = factor[b + r * RUN + t]
                        for i in range(len(given)):
                            copy(
                                weights + given[i, 5] * itemsize,
                                given[i, 0] + n * given[i, 1] + s * given[i, 2],
                                given[i, 4] * itemsize,
                            )
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
                        copy(
                            wanted[i, 0]
                            + block * wanted[i, 1]
                            + n * wanted[i, 2]
                            + s * wanted[i, 3],
                            totals + ((n - first) * padded + wanted[i, 5]) * 8,
                            wanted[i, 4] * 8,
                        )
        _leave(area)

    return sums_piece


@piece
def sums_over_sample_lanes(text: str) -> Any:
    """Return the piece function for gradients of samples, which are the lanes."""
    known = SumsPlan.read(text)
    lanes, n_targets = known.lanes, known.n_targets
    own_samples, own_targets = known.own_samples, known.own_targets
    at_once = RUN * lanes
    of_block = 1 if own_samples else BLOCK

    def sums_piece(
        index,
        samples,
        wiring,
        targets,
        factor,
        parameters,
        given,
        wanted,
        memory,
        layout,
        grid,
    ):
        """Write totals of blocks of sets (blocks, B, S, d), or gradients (N, B, S, d).

        The latter are for samples (N, B, F). A piece has some sets, networks and samples.
        """
        area = _claim(memory, layout[7])
        n_inputs = wiring.shape[1]
        inputs, marks, factors = _parts(area, layout, samples)
        weights, scratch = area, area + layout[3]
        of_run = numbers_at(area + layout[4], n_inputs * at_once, samples)
        totals = numbers_at(area + layout[5], n_inputs * at_once, parameters)
        n_first, n_last, s_first, s_last, b_first, b_last = _box_of(index, grid)
        itemsize = samples.itemsize
        for b in range(b_first, b_last, at_once):
            count = min(at_once, b_last - b)
            for s in range(s_first, s_last):
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
                            for q in range(count):
                                y = targets[n if own_targets else 0, b + q, s, p]
                                marks[p * at_once + q] = y
                        for i in range(len(given)):
                            copy(
                                weights + given[i, 5] * itemsize,
                                given[i, 0] + n * given[i, 1] + s * given[i, 2],
                                given[i, 4] * itemsize,
                            )
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
        _leave(area)

    return sums_piece


def _handing_out(what: str) -> Any:
    def sums(
        pool,
        n_pieces,
        seats,
        samples,
        wiring,
        targets,
        factor,
        parameters,
        given,
        wanted,
        memory,
        layout,
        grid,
    ):
        """Write all totals."""
        _clear(memory, layout[7])
        hand_out(
            pool,
            n_pieces,
            seats,
            what,
            (
                samples,
                wiring,
                targets,
                factor,
                parameters,
                given,
                wanted,
                memory,
                layout,
                grid,
            ),
        )

    return sums


def compile_sums(plan: SumsPlan, dtype: np.dtype, double_lanes: int) -> Any:
    """Return the function for a plan and a dtype, float32 or float64."""
    text = f"{plan.text}|{double_lanes}|{fingerprint(*plan.programs(dtype))}"
    maker = sums_over_runs if plan.lanes_are_runs else sums_over_sets
    if plan.of_samples:
        maker = sums_over_sample_lanes
    scalar = from_dtype(dtype)
    table = types.Array(types.int64, 2, "C", readonly=True)
    signature = types.void(
        *[types.intp] * 3,
        types.Array(scalar, 3, "A", readonly=True),
        table,
        types.Array(scalar, 4, "A", readonly=True),
        types.Array(scalar, 1, "A", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        table,
        table,
        types.Array(types.uint8, 1, "C"),
        types.UniTuple(types.intp, 8),
        types.UniTuple(types.intp, 6),
    )
    return jit(_handing_out(f"{maker.__name__} {text}"), signature)
