"""From which size on is a result better written past the cache? The curve behind `_STREAMED`.

Times `affine` with plain and with streaming stores, in turn and into a buffer that is used again,
on results of growing size, for one thread and for all.
"""

from __future__ import annotations

import os
import time
from unittest import mock

import numpy as np

import multisubnet as ms
from multisubnet._backends.numba import engine

ROUNDS = 15
N_SAMPLES, N_FEATURES = 64, 32  # 8 KiB for a set: each size is a number of sets


def seconds(n_sets: int, streamed: int, threads: int, repeats: int, out: np.ndarray) -> float:
    """Return the time of one call."""
    samples = np.ones((N_SAMPLES, N_FEATURES), np.float32)
    weight = np.ones((n_sets, N_FEATURES), np.float32)
    with (
        mock.patch.dict(os.environ, MULTISUBNET_NUM_THREADS=str(threads)),
        mock.patch.object(engine, "_STREAMED", streamed),
        ms.use_backend("numba"),
    ):
        start = time.perf_counter()
        for _ in range(repeats):
            ms.affine(samples, weight, weight, out=out)
        return (time.perf_counter() - start) / repeats


def main() -> None:
    """Print the bandwidth of both kinds of stores, in GB/s, by the size of the result."""
    cores = os.cpu_count() or 1
    print("| result | " + " | ".join(f"plain, {t} | streaming, {t}" for t in (1, cores)) + " |")
    print("|---" * 5 + "|")
    for exponent in range(18, 29):
        n_sets = (1 << exponent) // (4 * N_SAMPLES * N_FEATURES)
        out = np.zeros((n_sets, N_SAMPLES, N_FEATURES), np.float32)
        repeats = max(1, (1 << 25) >> exponent)
        cases = [(streamed, t) for t in (1, cores) for streamed in (1 << 60, 0)]
        times: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
        for _ in range(ROUNDS):
            for case in cases:
                times[case].append(seconds(n_sets, *case, repeats, out))
        row = [out.nbytes / float(np.median(times[case])) / 1e9 for case in cases]
        size = f"{out.nbytes >> 10} KiB" if out.nbytes < 1 << 20 else f"{out.nbytes >> 20} MiB"
        print(f"| {size} | " + " | ".join(f"{x:.1f}" for x in row) + " |", flush=True)


if __name__ == "__main__":
    main()
