"""Evaluate more sets of weights than fit in memory: draw, evaluate and drop them by chunk.

    python examples/dask_sweep.py            # ten million sets, on the threads of this process
    python examples/dask_sweep.py --cluster  # the same on worker processes, with their dashboard
    python examples/dask_sweep.py --quick    # a few hundred thousand

Only the best set of each chunk is kept. The same program runs on any Dask cluster: pass the address
of its scheduler to `distributed.Client`.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import time

import dask
import dask.array as da
import numpy as np
from sklearn.datasets import load_breast_cancer

import multisubnet as ms

CHUNK = 1 << 17  # sets
SEED = 2026


def table() -> tuple[np.ndarray, np.ndarray]:
    """Return 569 samples of 30 standardized features, and their labels, 0 or 1."""
    samples, labels = load_breast_cancer(return_X_y=True)
    samples = (samples - samples.mean(axis=0)) / samples.std(axis=0)
    return samples.astype(np.float32), labels.astype(np.float32)


def drawn(n_sets: int, n_features: int, stream: int) -> da.Array:
    """Return random parameters; the task that needs a chunk draws it."""
    rng = da.random.default_rng([SEED, stream])
    return rng.normal(scale=0.5, size=(n_sets, n_features), chunks=(CHUNK, -1)).astype(np.float32)


def sweep(n_sets: int) -> None:
    """Evaluate random sets, find the best one, and check it."""
    samples, labels = table()
    weight, bias = (drawn(n_sets, samples.shape[1], stream) for stream in (0, 1))
    losses = ms.mean_loss(samples, weight, bias, labels)
    start = time.perf_counter()
    best, lowest, mean = dask.compute(da.argmin(losses), losses.min(), losses.mean())
    seconds = time.perf_counter() - start
    print(f"{n_sets:,} sets, {2 * weight.nbytes / 1e9:.2f} GB of parameters")
    print(f"  drawn and evaluated in {seconds:.1f} s: {n_sets / seconds:,.0f} sets per second")
    print(f"  loss: {mean:.4f} on average, {lowest:.4f} of set {best}")

    # Draw the winner's parameters once more, and evaluate them alone, without Dask.
    parameters = dask.compute(weight[best : best + 1], bias[best : best + 1])
    alone = ms.mean_loss(samples, *parameters, labels)[0]
    print(f"  the best set evaluated alone: {alone:.4f}, the same bits: {alone == lowest}")


def main() -> None:
    """Run the sweep as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few hundred thousand sets")
    parser.add_argument("--cluster", action="store_true", help="on a LocalCluster of processes")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if options.cluster:
            from distributed import Client, LocalCluster

            cluster = stack.enter_context(LocalCluster(dashboard_address=":0"))
            print(f"dashboard: {stack.enter_context(Client(cluster)).dashboard_link}")
        sweep(300_000 if options.quick else 10_000_000)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"at most {megabytes:.0f} MB of memory in this process")


if __name__ == "__main__":
    main()
