"""Evaluate a million random sets of weights on a real table, then search with SciPy and pycma.

    python examples/search.py             # about a minute on two cores, 0.5 GB
    python examples/search.py --quick     # few sets and generations

The model has 30 tiny subnetworks, one per feature of the breast-cancer table. Each estimates from
its feature alone, with one weight and one bias, how probable it is that a tumour is benign. A set
therefore has 60 parameters, and its loss is the mean of 30 losses. SciPy's differential_evolution
and pycma pass a generation of parameter vectors, and one call returns all losses.

Needs scikit-learn and SciPy, and pycma (pip install cma) for the second search.
"""

from __future__ import annotations

import argparse
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import differential_evolution
from sklearn.datasets import load_breast_cancer

import multisubnet as ms

N_PER_FEATURE = 20_000  # random sets with a loss per feature


class Table:
    """Standardized samples (B, F) in float32, and whether each is benign, 0 or 1."""

    def __init__(self) -> None:
        data = load_breast_cancer()
        scaled = (data.data - data.data.mean(0)) / data.data.std(0)
        self.samples = scaled.astype(np.float32)
        self.targets = data.target.astype(np.float32)
        self.names = data.feature_names
        self.n_features = len(self.names)

    def losses(self, weight: np.ndarray, bias: np.ndarray, **options: Any) -> np.ndarray:
        """Return the loss of each set; with per_feature=True, of each of its subnetworks."""
        return ms.mean_loss(
            *(self.samples, weight, bias, self.targets),
            loss="binary_crossentropy",
            activation="sigmoid",
            **options,
        )

    def losses_of_theta(self, theta: Any, axis: int = 0) -> np.ndarray:
        """Return the loss of each parameter vector, in the layout of optimizers."""
        theta = np.asarray(theta, np.float32)  # as the samples: float64 would make all float64
        return self.losses(*ms.from_theta(theta, self.n_features, axis=axis))

    def report(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Print how often one set (1, F) is right."""
        benign = ms.affine(self.samples, weight, bias, activation="sigmoid")[0] > 0.5
        accuracy = (benign == self.targets[:, None]).mean(axis=0)
        best = accuracy.argmax()
        print(
            f"  loss {self.losses(weight, bias).item():.4f}, accuracy {accuracy.mean():.3f} in the "
            f"mean over features, {accuracy[best]:.3f} by '{self.names[best]}' alone"
        )


class Progress:
    """Prints the best loss so far every few generations, until the time is over."""

    def __init__(self, generations: int, every: int, seconds: float) -> None:
        self.generations, self.every = generations, every
        self.start = time.perf_counter()
        self.end = self.start + seconds
        self.generation, self.best = 0, np.inf

    def goes_on(self, loss: float) -> bool:
        """Note the lowest loss of a generation; return whether there is time for another one."""
        self.generation += 1
        self.best = min(self.best, loss)
        now = time.perf_counter()
        last = self.generation == self.generations or now > self.end
        if last or self.generation % self.every == 1:
            seconds = now - self.start
            print(f"  generation {self.generation:5}: best loss {self.best:.4f} ({seconds:.1f} s)")
        return not last


def evaluate_random_sets(table: Table, n_sets: int) -> None:
    """Evaluate random sets all at once, then feature by feature."""
    print(f"{n_sets:,} random sets, {len(table.samples)} samples, {table.n_features} features:")
    rng = np.random.default_rng(0)
    weight, bias = (
        rng.standard_normal((n_sets, table.n_features), dtype=np.float32) for _ in range(2)
    )
    start = time.perf_counter()
    losses = table.losses(weight, bias)
    seconds = time.perf_counter() - start
    print(f"  evaluated in {seconds:.2f} s, {n_sets / seconds:,.0f} sets per second")
    best = losses.argmin()
    table.report(weight[best, None], bias[best, None])
    print(f"  peak memory of the process: {peak_memory() / 1e6:.0f} MB")

    # Subnetworks are independent, so the best of each feature make a better set.
    weight, bias = weight[:N_PER_FEATURE], bias[:N_PER_FEATURE]
    print(f"The best of {len(weight):,} of them for each feature, combined:")
    best = table.losses(weight, bias, per_feature=True).argmin(axis=0)[None]
    table.report(np.take_along_axis(weight, best, 0), np.take_along_axis(bias, best, 0))


def search_with_scipy(table: Table, progress: Progress) -> np.ndarray:
    """Return the parameters that SciPy's differential evolution finds."""

    def callback(intermediate_result: Any) -> bool:
        return not progress.goes_on(intermediate_result.fun)

    found = differential_evolution(
        lambda theta: table.losses_of_theta(theta, axis=1),
        bounds=[(-4, 4)] * (2 * table.n_features),
        vectorized=True,
        updating="deferred",
        popsize=4,
        maxiter=progress.generations,
        tol=1e-4,
        polish=False,
        callback=callback,
        rng=0,
    )
    return found.x


def search_with_pycma(table: Table, progress: Progress) -> np.ndarray:
    """Return the parameters that pycma finds."""
    import cma

    # CMA_diagonal: features do not interact, so there is no need to learn how parameters do.
    options = {"popsize": 100, "CMA_diagonal": True, "tolfun": 1e-6, "seed": 1, "verbose": -9}
    evolution = cma.CMAEvolutionStrategy(np.zeros(2 * table.n_features), 0.5, options)
    goes_on = True
    while goes_on and not evolution.stop():
        theta = evolution.ask()
        losses = table.losses_of_theta(theta)
        evolution.tell(theta, losses.tolist())
        goes_on = progress.goes_on(losses.min())
    return evolution.result.xbest


def peak_memory() -> int:
    """Return the most bytes that the process has had."""
    status = Path("/proc/self/status")
    if status.exists():  # resource would include the memory of the parent
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Evaluate, search, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, help="how many random sets (1,000,000)")
    parser.add_argument("--seconds", type=float, default=10, help="for each search (10)")
    parser.add_argument("--quick", action="store_true", help="10,000 sets, 30 generations")
    arguments = parser.parse_args()
    generations, every = (30, 10) if arguments.quick else (400, 25)

    table = Table()
    print(f"Calling every tumour benign is right for {table.targets.mean():.3f} of the samples.")
    evaluate_random_sets(table, arguments.sets or (10_000 if arguments.quick else 1_000_000))
    for name, search in (
        ("SciPy's differential_evolution", search_with_scipy),
        ("pycma", search_with_pycma),
    ):
        print(f"{name}, one call per generation:")
        try:
            theta = search(table, Progress(generations, every, arguments.seconds))
        except ModuleNotFoundError as error:
            print(f"  skipped: {error}")
            continue
        table.report(*ms.from_theta(np.float32(theta), table.n_features))


if __name__ == "__main__":
    main()
