"""The CPU engine's compiled code for networks with hidden layers: one function per plan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, types

from multisubnet._arithmetic.activation import program_of
from multisubnet._backends.numba import areas
from multisubnet._backends.numba.jit import fingerprint, inner, jit
from multisubnet._backends.numba.lines import AT_ONCE
from multisubnet._backends.numba.llvm.few_samples import evaluate_items
from multisubnet._backends.numba.llvm.layers import Plan
from multisubnet._backends.numba.llvm.networks import evaluate_network
from multisubnet._backends.numba.llvm.pieces import hand_out, piece
from multisubnet._backends.numba.llvm.transposes import (
    columns_of,
    fill,
    narrow,
    places_of,
    write_columns,
)

_clear, _claim, _leave = inner(areas.clear), inner(areas.claim), inner(areas.leave)


@inner
def _next_places(arrays, n, s, n_subnets):
    """Return the addresses of the weights and biases of the next network."""
    if s + 1 < n_subnets:
        return places_of(arrays, n, s + 1)
    return places_of(arrays, n + 1, 0)


@piece
def mlp_over_samples(plan: str):
    """Return the piece function for a plan whose lanes are samples."""
    known = Plan.read(plan)
    lanes, additive = known.lanes, known.additive

    def mlp_piece(
        index,
        worker,
        samples,
        wiring,
        out,
        scratch,
        parameters,
        intercept,
        has_intercept,
        layout,
        pieces,
        step,
        arrays,
    ):
        """Write `step` of `pieces`: the sets first to last of the samples start to stop of each.

        `samples` is (N or 1, B, F), `out` (N, B, S, P), or (N, B, 1, P) for sums; `block` samples
        and `tile` networks are processed together. Scratch memory has a row of the block for each
        feature; from `rows_at` on, one for each output of a tile; from `sums_at` on, in float64,
        one for each output of a network; from `hidden_at` on, hidden values.
        """
        block, tile, rows_at, sums_at, hidden_at, size = layout
        itemsize = out.itemsize
        row = block * itemsize
        n_features = samples.shape[2]
        n_subnets, n_outputs = wiring.shape[0], out.shape[3]
        features = _claim(scratch, size, worker)
        rows, sums, hidden = features + rows_at, features + sums_at, features + hidden_at
        own = samples.shape[0] > 1
        for number in range(index * step, min((index + 1) * step, len(pieces))):
            first, last, start, stop = pieces[number]
            for b in range(start, stop, block):
                n_samples = min(block, stop - b)
                for n in range(first, last):
                    if own or n == first:
                        columns_of(
                            out,
                            samples.ctypes.data
                            + b * samples.strides[1]
                            + own * n * samples.strides[0],
                            samples.strides[1],
                            n_samples,
                            n_features,
                            features,
                            row,
                            lanes,
                        )
                    target = out.ctypes.data + n * out.strides[0] + b * out.strides[1]
                    if additive:
                        for p in range(n_outputs):
                            begin = 0.0
                            if has_intercept:
                                begin = float(intercept[n if intercept.shape[0] > 1 else 0, p])
                            fill(sums + p * block * 8, begin, block)
                        for s in range(n_subnets):
                            evaluate_network(
                                out,
                                features,
                                wiring.ctypes.data + s * wiring.strides[0],
                                row,
                                places_of(arrays, n, s),
                                _next_places(arrays, n, s, n_subnets),
                                parameters.ctypes.data,
                                hidden,
                                sums,
                                n_samples,
                                plan,
                            )
                        narrow(out, sums, rows, n_outputs * block)
                        write_columns(
                            out, rows, row, n_outputs, n_samples, target, out.strides[1], lanes
                        )
                        continue
                    for s in range(0, n_subnets, tile):
                        n_networks = min(tile, n_subnets - s)
                        for i in range(n_networks):
                            evaluate_network(
                                out,
                                features,
                                wiring.ctypes.data + (s + i) * wiring.strides[0],
                                row,
                                places_of(arrays, n, s + i),
                                _next_places(arrays, n, s + i, n_subnets),
                                parameters.ctypes.data,
                                hidden,
                                rows + i * n_outputs * row,
                                n_samples,
                                plan,
                            )
                        write_columns(
                            out,
                            rows,
                            row,
                            n_networks * n_outputs,
                            n_samples,
                            target + s * n_outputs * itemsize,
                            out.strides[1],
                            lanes,
                        )
        _leave(features)

    return mlp_piece


@piece
def mlp_over_units(plan: str):
    """Return the piece function for a plan whose lanes are units."""
    known = Plan.read(plan)
    vectors, additive = known.vectors, known.additive
    length = 1 + 2 * vectors  # of an item

    def mlp_piece(
        index,
        worker,
        samples,
        wiring,
        out,
        scratch,
        parameters,
        intercept,
        has_intercept,
        layout,
        pieces,
        step,
        arrays,
    ):
        """Write `step` of `pieces`, like the function over samples.

        Scratch memory has items; from `sums_at` on, a float64 for each output of each sample of
        the items; from `hidden_at` on, hidden values.
        """
        _, _, _, sums_at, hidden_at, size = layout
        n_subnets, n_outputs = wiring.shape[0], out.shape[3]
        own_scratch = _claim(scratch, size, worker)
        begin = own_scratch - scratch.ctypes.data
        items = scratch[begin : begin + sums_at].view(np.int64)
        sums = scratch[begin + sums_at : begin + hidden_at].view(np.float64)
        hidden = own_scratch + hidden_at
        own = samples.shape[0] > 1
        left = 0
        for i in range(index * step, min((index + 1) * step, len(pieces))):
            first, last, start, stop = pieces[i]
            left += (last - first) * ((stop - start + vectors - 1) // vectors)
        number = index * step - 1
        n = last = b = start = stop = 0
        while left > 0:
            for i in range(AT_ONCE // vectors):
                if left <= 0:  # repeats the first item, which changes nothing
                    for j in range(length):
                        items[i * length + j] = items[j]
                    continue
                left -= 1
                if b >= stop:
                    n, b = n + 1, start
                    if n >= last:
                        number += 1
                        n, last, start, stop = pieces[number]
                        b = start
                items[i * length] = n
                for j in range(vectors):
                    row = min(b + j, stop - 1)
                    items[i * length + 1 + j] = (
                        samples.ctypes.data
                        + own * n * samples.strides[0]
                        + row * samples.strides[1]
                    )
                    items[i * length + 1 + vectors + j] = (
                        out.ctypes.data + n * out.strides[0] + row * out.strides[1]
                    )
                b += vectors
            if additive:
                for i in range(AT_ONCE):
                    n_of_item = items[i // vectors * length]
                    for p in range(n_outputs):
                        sums[i * n_outputs + p] = 0.0
                        if has_intercept:
                            of_set = intercept[n_of_item if intercept.shape[0] > 1 else 0]
                            sums[i * n_outputs + p] = of_set[p]
            for s in range(n_subnets):
                evaluate_items(
                    out,
                    arrays,
                    s,
                    n_subnets,
                    items.ctypes.data,
                    wiring.ctypes.data + s * wiring.strides[0],
                    parameters.ctypes.data,
                    hidden,
                    sums.ctypes.data,
                    plan,
                )
            if additive:
                for i in range(AT_ONCE):
                    target = items[i // vectors * length + 1 + vectors + i % vectors]
                    narrow(out, sums.ctypes.data + i * n_outputs * 8, target, n_outputs)
        _leave(own_scratch)

    return mlp_piece


def _handing_out(what: str):
    def mlp(
        pool,
        n_pieces,
        seats,
        samples,
        wiring,
        out,
        scratch,
        parameters,
        intercept,
        has_intercept,
        layout,
        pieces,
        step,
        arrays,
    ):
        """Write all `pieces` of `out`, `step` per task; `scratch` has an area per thread."""
        _clear(scratch, layout[5])
        hand_out(
            pool,
            n_pieces,
            seats,
            what,
            (
                samples,
                wiring,
                out,
                scratch,
                parameters,
                intercept,
                has_intercept,
                layout,
                pieces,
                step,
                arrays,
            ),
        )

    return mlp


def compile_mlp(plan: Plan, dtype: np.dtype) -> Any:
    """Return the function for a plan and a dtype, float32 or float64."""
    programs = [program_of(key, dtype) for key in plan.activations if key != "linear"]
    text = f"{plan} {fingerprint(*programs)}"
    maker = mlp_over_units if plan.lanes_are_units else mlp_over_samples
    scalar = from_dtype(dtype)
    arrays = []
    for biased in plan.biased:
        arrays.append(types.Array(scalar, 4, "C", readonly=True))
        if biased:
            arrays.append(types.Array(scalar, 3, "C", readonly=True))
    signature = types.void(
        *[types.intp] * 3,
        types.Array(scalar, 3, "A", readonly=True),
        types.Array(types.int64, 2, "C", readonly=True),
        types.Array(scalar, 4, "A"),
        types.Array(types.uint8, 1, "C"),
        types.Array(types.float64, 1, "C", readonly=True),
        types.Array(scalar, 2, "C", readonly=True),
        types.boolean,
        types.UniTuple(types.intp, 6),
        types.Array(types.int64, 2, "C", readonly=True),
        types.intp,
        types.BaseTuple.from_types(arrays),
    )
    return jit(_handing_out(f"{maker.__name__} {text}"), signature)
