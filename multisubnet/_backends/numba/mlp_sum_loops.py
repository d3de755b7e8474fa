"""The CPU engine's compiled code for sums over samples of networks with hidden layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, types

from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends.numba.jit import fingerprint, jit
from multisubnet._backends.numba.llvm.memory import copy
from multisubnet._backends.numba.llvm.network_sums import SumsPlan, add_run
from multisubnet._backends.numba.llvm.run_totals import take_sums, take_sums_of_runs
from multisubnet._backends.numba.llvm.transposes import columns_of, fill, write_columns

# Arguments common to both functions:
#   samples               (N or 1, B, F)
#   wiring                (S, d), the feature numbers
#   targets               (N or 1, B, S, targets)
#   factor                (B,)
#   parameters            those of the activations
#   given                 for each array of weights or biases: its address, the steps in bytes to
#                         the next set and network, the count of its numbers in a network, and their
#                         offset among the network's parameters
#   wanted                for each array of totals: its address, the steps to the next block, set
#                         and network, the count of its numbers in a network, and their offset among
#                         the network's sums
#   memory                lines for parameters, inputs, targets, factors, scratch memory and sums
#   totals                lines for float64
#   pieces                for each one, the first and the last set, network and block


def _over_sets(plan: str, known: SumsPlan, double_lanes: int) -> Any:
    """Return the function for a plan whose lanes are sets."""
    lanes, n_sums, n_targets = known.lanes, known.n_sums, known.n_targets
    own_samples, own_targets, weighted = known.own_samples, known.own_targets, known.weighted

    def sums(samples, wiring, targets, factor, parameters, given, wanted, memory, totals, pieces):
        """Write totals of blocks."""
        itemsize = samples.itemsize
        size = lanes * itemsize
        n_samples, n_inputs = samples.shape[1], wiring.shape[1]
        weights, inputs, marks, factors, scratch, of_run = memory
        shared_samples, shared_targets = samples[0], targets[0]
        dense_targets = targets.strides[1] == itemsize
        for piece in range(len(pieces)):
            first, last, s_first, s_last, block_first, block_last = pieces[piece]
            for n in range(first, last, lanes):
                n_sets = min(lanes, last - n)
                for s in range(s_first, s_last):
                    for i in range(len(given)):
                        columns_of(
                            samples,
                            given[i, 0] + n * given[i, 1] + s * given[i, 2],
                            given[i, 1],
                            n_sets,
                            given[i, 3],
                            weights.ctypes.data + given[i, 4] * size,
                            size,
                            lanes,
                        )
                    for block in range(block_first, block_last):
                        fill(totals.ctypes.data, 0.0, n_sums * lanes)
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
                                weights.ctypes.data,
                                inputs.ctypes.data,
                                marks.ctypes.data,
                                factors.ctypes.data,
                                0,
                                parameters.ctypes.data,
                                scratch.ctypes.data,
                                of_run.ctypes.data,
                                n_steps,
                                plan,
                            )
                            take_sums(
                                samples, of_run.ctypes.data, totals.ctypes.data, n_sums, lanes
                            )
                        for i in range(len(wanted)):
                            write_columns(
                                totals,
                                totals.ctypes.data + wanted[i, 5] * lanes * 8,
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

    return sums


def _over_runs(plan: str, known: SumsPlan) -> Any:
    """Return the function for a plan whose lanes are runs."""
    lanes, n_sums, n_targets = known.lanes, known.n_sums, known.n_targets
    own_samples, own_targets, weighted = known.own_samples, known.own_targets, known.weighted
    padded = -(-n_sums // lanes) * lanes

    def sums(samples, wiring, targets, factor, parameters, given, wanted, memory, totals, pieces):
        """Write totals of blocks. There are float64 lines for all sets of a piece."""
        itemsize = samples.itemsize
        n_samples, n_inputs = samples.shape[1], wiring.shape[1]
        weights, inputs, marks, factors, scratch, of_runs = memory
        lengths = np.empty(lanes, np.int64)
        zero = samples.dtype.type(0)
        for piece in range(len(pieces)):
            first, last, s_first, s_last, block_first, block_last = pieces[piece]
            for block in range(block_first, block_last):
                end = min((block + 1) * BLOCK, n_samples)
                for s in range(s_first, s_last):
                    fill(totals.ctypes.data, 0.0, padded * (last - first))
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
                                    weights.ctypes.data + given[i, 4] * itemsize,
                                    given[i, 0] + n * given[i, 1] + s * given[i, 2],
                                    given[i, 3] * itemsize,
                                )
                            add_run(
                                samples,
                                weights.ctypes.data,
                                inputs.ctypes.data,
                                marks.ctypes.data,
                                factors.ctypes.data,
                                lengths.ctypes.data,
                                parameters.ctypes.data,
                                scratch.ctypes.data,
                                of_runs.ctypes.data,
                                min(RUN, end - b),
                                plan,
                            )
                            take_sums_of_runs(
                                samples,
                                of_runs.ctypes.data,
                                totals.ctypes.data + (n - first) * padded * 8,
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
                                totals.ctypes.data + ((n - first) * padded + wanted[i, 5]) * 8,
                                wanted[i, 4] * 8,
                            )

    return sums


def _of_samples(plan: str, known: SumsPlan) -> Any:
    """Return the function for gradients of samples, which are the lanes."""
    lanes, n_targets = known.lanes, known.n_targets
    own_samples, own_targets = known.own_samples, known.own_targets
    at_once = RUN * lanes

    def sums(samples, wiring, targets, parameters, given, memory, totals, out, pieces, n_sets):
        """Write totals of blocks of sets (blocks, B, S, d), or gradients (N, B, S, d).

        The latter are for samples (N, B, F). A piece is the first and last network, sample, and
        block or set.
        """
        itemsize = samples.itemsize
        n_inputs = wiring.shape[1]
        weights, inputs, marks, factors, scratch, of_run = memory
        for piece in range(len(pieces)):
            s_first, s_last, b_first, b_last, block_first, block_last = pieces[piece]
            for b in range(b_first, b_last, at_once):
                count = min(at_once, b_last - b)
                for s in range(s_first, s_last):
                    for block in range(block_first, block_last):
                        totals[:] = 0.0
                        of_run[:] = -0.0 if own_samples else 0.0
                        first = block if own_samples else block * BLOCK
                        last = block + 1 if own_samples else min(first + BLOCK, n_sets)
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
                                    weights.ctypes.data + given[i, 4] * itemsize,
                                    given[i, 0] + n * given[i, 1] + s * given[i, 2],
                                    given[i, 3] * itemsize,
                                )
                            add_run(
                                samples,
                                weights.ctypes.data,
                                inputs.ctypes.data,
                                marks.ctypes.data,
                                factors.ctypes.data,
                                0,
                                parameters.ctypes.data,
                                scratch.ctypes.data,
                                of_run.ctypes.data,
                                (count + lanes - 1) // lanes,
                                plan,
                            )
                            if not own_samples and (n % RUN == RUN - 1 or n + 1 == last):
                                take_sums(
                                    samples,
                                    of_run.ctypes.data,
                                    totals.ctypes.data,
                                    n_inputs * RUN,
                                    lanes,
                                )
                        for i in range(n_inputs):
                            for q in range(count):
                                at = i * at_once + q
                                total = np.float64(of_run[at]) if own_samples else totals[at]
                                out[block, b + q, s, i] = total

    return sums


def compile_sample_sums(plan: SumsPlan, dtype: np.dtype) -> Any:
    """Return the function for gradients of samples."""
    function = _of_samples(f"{plan.text}|{fingerprint(*plan.programs(dtype))}", plan)
    scalar = from_dtype(dtype)
    table = types.Array(types.int64, 2, "C", readonly=True)
    signature = types.void(
        types.Array(scalar, 3, "A", readonly=True),
        table,
        types.Array(scalar, 4, "A", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        table,
        types.UniTuple(types.Array(scalar, 1, "C"), 6),
        types.Array(types.float64, 1, "C"),
        types.Array(types.float64, 4, "A"),
        table,
        types.intp,
    )
    return jit(function, signature)


def compile_sums(plan: SumsPlan, dtype: np.dtype, double_lanes: int) -> Any:
    """Return the function for a plan and a dtype, float32 or float64."""
    text = f"{plan.text}|{fingerprint(*plan.programs(dtype))}"
    function = (
        _over_runs(text, plan) if plan.lanes_are_runs else _over_sets(text, plan, double_lanes)
    )
    scalar = from_dtype(dtype)
    table = types.Array(types.int64, 2, "C", readonly=True)
    signature = types.void(
        types.Array(scalar, 3, "A", readonly=True),
        table,
        types.Array(scalar, 4, "A", readonly=True),
        types.Array(scalar, 1, "A", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        table,
        table,
        types.UniTuple(types.Array(scalar, 1, "C"), 6),
        types.Array(types.float64, 1, "C"),
        table,
    )
    return jit(function, signature)
