"""What affine's kernels read and write, counted on a simulated GPU.

PYTHONPATH=../shared/gpusim python .ci/traffic.py
"""

from __future__ import annotations

import itertools
from typing import NamedTuple
from unittest import mock

import simcupy

simcupy.install()

import cupy  # noqa: E402
import numpy as np  # noqa: E402

import multisubnet as ms  # noqa: E402
from multisubnet import _cupy, _launch  # noqa: E402

SECTOR = 32  # bytes


class Case(NamedTuple):
    """A call of affine."""

    shape: tuple[int, int, int]  # (N, B, F)
    set_axis: int = 0
    offset: int = 0  # elements that the result begins after a multiple of 256 bytes
    own_samples: bool = False
    dtype: str = "f4"


CASES = [
    Case((64, 64, 64)),
    Case((64, 64, 64), set_axis=1),
    Case((64, 64, 64), offset=4),
    Case((64, 64, 64), offset=1),
    Case((64, 61, 30)),
    Case((64, 61, 33)),
    Case((64, 61, 33), set_axis=1),
    Case((64, 61, 33), offset=3),
    Case((40, 200, 1)),
    Case((3000, 1, 8)),
    Case((1, 3000, 8)),
    Case((2, 40, 1000)),
    Case((64, 61, 33), own_samples=True),
    Case((64, 64, 64), own_samples=True),
    *(Case((64, 61, 30), dtype=dtype) for dtype in ("i1", "f2", "f8", "c8")),
]


def main() -> None:
    """Check all cases."""
    for case, blocks in itertools.product(CASES, (2, 2048)):
        # With few blocks a thread walks over many runs.
        _cupy._planned.cache_clear()
        with mock.patch.object(_launch, "_ENOUGH_BLOCKS", blocks):
            check(case)


def check(case: Case) -> None:
    """Evaluate, and compare the traffic with its bounds."""
    n_sets, n_samples, n_features = case.shape
    rng = np.random.default_rng(0)
    shapes = [(n_samples, n_features), (n_sets, n_features), (n_sets, n_features)]
    if case.own_samples:
        shapes[0] = case.shape
    samples, weight, bias = (
        cupy.asarray(rng.integers(-9, 9, shape).astype(case.dtype)) for shape in shapes
    )
    shape = (n_samples, n_sets, n_features) if case.set_axis else case.shape
    size = int(np.prod(shape))
    out = cupy.empty(size + case.offset, case.dtype)[case.offset :].reshape(shape)
    with mock.patch.object(_cupy, "_run", wraps=_cupy._run) as run:
        ms.affine(samples, weight, bias, set_axis=case.set_axis, out=out)
    (launch,) = run.call_args.args
    stats = simcupy.launches[-1].stats

    # What is written: each sector once. Where a run ends inside of one, its elements there and
    # those of the next run are written apart, and so is the last half of a sector.
    start, itemsize = out.data.ptr, out.dtype.itemsize
    sectors = (start + size * itemsize - 1) // SECTOR - start // SECTOR + 1
    runs = shape[0] if "SAMPLES_FIRST" not in launch.kernel or case.set_axis else 1
    whole = start % SECTOR == 0 and size // runs * itemsize % SECTOR == 0
    written = stats.store_sectors / sectors
    assert stats.unique_bytes_written == size * itemsize
    assert stats.store_sectors <= sectors + (0 if whole else 3 * runs), (case, written)

    # What is loaded for an element, as cuda/affine_runs.cu has it; and at the ends of runs.
    order, wide = launch.kernel.rstrip(">").split(", ")[2:]
    lanes = 16 // itemsize
    rows = _launch._rows(order, lanes)
    walk = max(-(-runs // (launch.grid[1] * launch.block[1])), 1)
    by_row, by_run = {
        "SETS_FIRST": (1 / walk, 2 / rows),
        "SAMPLES_FIRST": (2 / walk, 1 / rows),
        "OWN_SAMPLES": (1, 2 / rows),
    }[order]
    most = by_row + by_run / (lanes if wide == "true" else 1)
    loads = stats.load_requests * 32 / size
    run = size / runs
    assert loads <= 1.5 * most + 300 / run, (case, loads)
    read = stats.load_sectors * SECTOR / size / itemsize
    print(
        f"{launch.kernel}, {case.shape}, {walk} runs a thread: "
        f"{written:.3f} of the sectors written, {loads:.2f} loads ({most:.2f} but for the ends), "
        f"{read:.2f} elements read and {stats.warp_total * 32 / size:.1f} instructions an element"
    )


if __name__ == "__main__":
    main()
