"""A few launches for tools that inspect each one.

few_launches.py all         each kernel, small, with results compared: for compute-sanitizer
few_launches.py profiled    the kernels of the performance goals, between the calls that start
                            and stop a profiler
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import cupy
import numpy as np
from first_contact import calls_of_networks, compare

import multisubnet as ms
from multisubnet.testing import assert_same_bits

RNG = np.random.default_rng(1)
_SIZES = (1, 16), (16, 16), (16, 1)  # layers of the profiled networks


def launch_all() -> None:
    """Launch each kernel on odd shapes, with separate memory for each array."""
    cupy.cuda.set_allocator(None)
    shapes = (3, 5, 7), (5, 70, 30), (2, 33, 16), (4, 100, 1), (1, 1, 1), (3, 130, 33), (40, 9, 64)
    for (n, b, f), dtype in itertools.product(shapes, ("f4", "f8", "f2")):
        samples, targets = (RNG.normal(size=(b, f)).astype(dtype) for _ in "st")
        weight, bias = (RNG.normal(size=(n, f)).astype(dtype) for _ in "wb")
        operands = samples, weight, bias
        for activation, axis in itertools.product((None, "tanh"), (0, 1)):
            compare(ms.affine, *operands, activation=activation, set_axis=axis)
        for offset in (1, 3):  # results that start between sectors
            out = cupy.zeros(n * b * f + offset, dtype)[offset:].reshape(n, b, f)
            ms.affine(*map(cupy.asarray, operands), out=out)
            assert_same_bits(out, ms.affine(*operands))
        if dtype != "f2":
            compare(ms.affine_select, *operands, RNG.integers(0, n, b))
            options = {"loss": "huber", "activation": "tanh"}
            compare(ms.mean_loss_and_grad, *operands, targets, **options)
            compare(ms.mean_loss_and_grad, *operands, targets)
            compare(ms.affine_stats, *operands, activation="tanh")
    for _, function, operands, options in calls_of_networks():
        compare(function, *operands, **options)


def launch_profiled() -> None:
    """Launch the kernels of the performance goals, after compiling them."""

    def operands(n: int, b: int, f: int) -> list[Any]:
        shapes = (b, f), (n, f), (n, f), (b, f)
        return [cupy.asarray(RNG.standard_normal(shape, "f4")) for shape in shapes]

    small, odd, even = operands(1000, 569, 30), operands(2000, 4099, 33), operands(1000, 1000, 64)
    networks = [cupy.asarray(RNG.standard_normal((100, 30, *size), "f4")) for size in _SIZES]
    calls = [
        lambda: ms.mlp(small[0], networks),
        lambda: ms.mlp(small[0], networks, additive=True),
        lambda: ms.affine(*small[:3]),
        lambda: ms.affine(*odd[:3]),
        lambda: ms.affine(*even[:3]),
        lambda: ms.affine(*even[:3], activation="tanh"),
        lambda: ms.mean_loss(*small, loss="absolute_error", activation="tanh"),
        lambda: ms.mean_loss(*even, loss="absolute_error", activation="tanh"),
        lambda: ms.mean_loss(*even, loss="absolute_error"),
        lambda: ms.mean_loss(*even),
    ]
    for call in calls:
        call()
    cupy.cuda.Device().synchronize()
    cupy.cuda.runtime.profilerStart()
    for call in calls:
        call()
        cupy.cuda.Device().synchronize()
    cupy.cuda.runtime.profilerStop()


if __name__ == "__main__":
    {"all": launch_all, "profiled": launch_profiled}[sys.argv[1]]()
