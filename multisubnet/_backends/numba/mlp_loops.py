"""The CPU engine's compiled code for networks with hidden layers, one function for each plan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, types

from multisubnet._arithmetic.activation import program_of
from multisubnet._backends.numba.jit import fingerprint, jit
from multisubnet._backends.numba.llvm.networks import Plan, evaluate_network
from multisubnet._backends.numba.llvm.transposes import (
    columns_of,
    fill,
    narrow,
    places_of,
    write_columns,
)


def _specialized(plan: str, lanes: int, additive: bool):
    """Return the function that is compiled for a plan, which has these lanes."""

    def mlp(
        samples,
        wiring,
        out,
        scratch,
        parameters,
        intercept,
        has_intercept,
        block,
        tile,
        rows_at,
        sums_at,
        hidden_at,
        pieces,
        arrays,
    ):
        """Write pieces of `out`: the sets first to last of the samples start to stop of each.

        `samples` is (N or 1, B, F), `out` (N, B, S, P), or (N, B, 1, P) for sums; `block` samples
        and `tile` networks are taken at once. `scratch` has, from a multiple of a line on, a row of
        the block for each feature; from `rows_at` on, for each output of a tile; from `sums_at` on,
        in float64, for each output of a network; and from `hidden_at` on, memory for hidden values.
        """
        itemsize = out.itemsize
        row = block * itemsize
        n_features = samples.shape[2]
        n_subnets, n_outputs = wiring.shape[0], out.shape[3]
        features = (scratch.ctypes.data + 63) // 64 * 64
        rows, sums, hidden = features + rows_at, features + sums_at, features + hidden_at
        own = samples.shape[0] > 1
        for piece in range(len(pieces)):
            first, last, start, stop = pieces[piece]
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

    return mlp


def compile_mlp(plan: Plan, dtype: np.dtype) -> Any:
    """Return the function for a plan and a dtype, float32 or float64."""
    programs = [program_of(key, dtype) for key in plan.activations if key != "linear"]
    function = _specialized(f"{plan} {fingerprint(*programs)}", plan.lanes, plan.additive)
    scalar = from_dtype(dtype)
    arrays = []
    for biased in plan.biased:
        arrays.append(types.Array(scalar, 4, "C", readonly=True))
        if biased:
            arrays.append(types.Array(scalar, 3, "C", readonly=True))
    signature = types.void(
        types.Array(scalar, 3, "A", readonly=True),
        types.Array(types.int64, 2, "C", readonly=True),
        types.Array(scalar, 4, "A"),
        types.Array(types.uint8, 1, "C"),
        types.Array(types.float64, 1, "C", readonly=True),
        types.Array(scalar, 2, "C", readonly=True),
        types.boolean,
        *[types.intp] * 5,
        types.Array(types.int64, 2, "C", readonly=True),
        types.BaseTuple.from_types(arrays),
    )
    return jit(function, signature)
