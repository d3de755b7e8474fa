"""A first look: the example of the README, then 1,000 weight sets on a real data set."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from multisubnet._backends.choice import use_backend, why_unavailable
from multisubnet._functions.affine import affine
from multisubnet._functions.pairs import from_pairs

N_SETS = 1000


def demo() -> None:
    """Run the example and the comparison on every backend that can run here."""
    samples = [[3, 7], [9, 4]]
    weight, bias = from_pairs([[[2, 7], [9, 5]], [[8, 6], [6, 3]]])
    print("Two sets of weights on the same two samples:")
    print(affine(samples, weight, bias).tolist(), end="\n\n")

    table, name = _table()
    print(f"{N_SETS} sets of weights on {name}, {len(table)} samples x {table.shape[1]} features:")
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(2, N_SETS, table.shape[1])).astype(np.float32)
    results = {}
    for backend, why in why_unavailable().items():
        if why is not None:
            print(f"  {backend}: left out: {why}")
            continue
        if backend == "cupy":
            print("  (cupy with NumPy arrays: each call moves its result over the bus)")
        with use_backend(backend):
            results[backend] = _compare(backend, table, weight, bias)
    if len(results) > 1:
        first, *others = results.values()
        same = all(_same_bits(first, other) for other in others)
        print(f"  {'the same' if same else 'OTHER'} bits on {', '.join(results)}")


def _table() -> tuple[np.ndarray, str]:
    """Return a table of float32 samples, and its name."""
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError:
        rng = np.random.default_rng(1)
        return rng.normal(size=(569, 30)).astype(np.float32), "random numbers (no scikit-learn)"
    table = load_breast_cancer().data
    return ((table - table.mean(0)) / table.std(0)).astype(np.float32), "the breast-cancer table"


def _compare(backend: str, samples: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Time one call for all sets against a call for each, and compare their bits."""
    together = np.empty((N_SETS, *samples.shape), np.float32)
    apart = np.empty_like(together)

    def at_once() -> None:
        affine(samples, weight, bias, out=together)

    def one_by_one() -> None:
        for n in range(N_SETS):
            affine(samples, weight[n : n + 1], bias[n : n + 1], out=apart[n : n + 1])

    one, many = _seconds(at_once), _seconds(one_by_one)
    same = "the same" if _same_bits(together, apart) else "OTHER"
    print(
        f"  {backend}: {one * 1e3:.1f} ms in one call, {many * 1e3:.1f} ms in {N_SETS} calls: "
        f"{many / one:.1f} times as fast, with {same} bits"
    )
    return together


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one.view(np.uint32), other.view(np.uint32))


def _seconds(function: Callable[[], Any], repeats: int = 5) -> float:
    """Return the shortest of some times of a call, the first not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
