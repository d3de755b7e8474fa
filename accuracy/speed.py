"""Print what each activation costs, and what its accuracy costs: a table for docs/same-bits.md.

    python accuracy/speed.py [accuracy/results/errors.json] > accuracy/results/speed.md

The engine evaluates `affine` with each activation into a result that is used again, in interleaved
rounds. Formulas as they are usually written are timed and judged beside the recipes. With the
results of accuracy/exhaustive.py the table has the errors, too.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from errors import ACTIVATIONS, judged

import multisubnet as ms
from multisubnet._arithmetic import activation
from multisubnet._arithmetic.activation_recipes import RECIPES, Recipes
from multisubnet._arithmetic.elementary import Format, exp
from multisubnet._arithmetic.recipe import Real

SIZE = 200, 1000, 64
ROUNDS = 9


_K, _C = 1.5957691216057308, 0.044715
PLAIN: dict[str, Callable[[Real, None, Format], Real]] = {
    "sigmoid": lambda x, _, f: 1.0 / (1.0 + exp(0.0 - x, f)),
    "tanh": lambda x, _, f: 1.0 - 2.0 / (exp(2.0 * x, f) + 1.0),
    "silu": lambda x, _, f: x / (1.0 + exp(0.0 - x, f)),
    "gelu_tanh": lambda x, _, f: x / (1.0 + exp(-_K * (x + _C * (x * x * x)), f)),
}


def speeds(names: list[str], dtype: str) -> dict[str, float]:
    """Return the results per second with each activation."""
    rng = np.random.default_rng(0)
    n_sets, n_samples, n_features = SIZE
    samples = rng.normal(size=(n_samples, n_features)).astype(dtype)
    weight, bias = (rng.normal(size=(n_sets, n_features)).astype(dtype) for _ in range(2))
    out = np.empty(SIZE, dtype)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS + 1):
        for name in names:
            start = time.perf_counter()
            ms.affine(samples, weight, bias, activation=name, out=out)
            seconds[name].append(time.perf_counter() - start)
    return {name: out.size / statistics.median(s[1:]) for name, s in seconds.items()}


def worst_of_plain(name: str) -> float:
    """Return the largest error of a plain formula in float32, subnormal results apart."""
    x = np.arange(0, 1 << 32, 1 << 10, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return abs(judged(name, False, x, ms.Activation(f"plain_{name}")).normal.ulp)


def main() -> None:
    """Measure, and print the table."""
    ms.set_backend("numba")
    RECIPES.update({f"plain_{name}": Recipes(r, r) for name, r in PLAIN.items()})
    names = [*ACTIVATIONS, *(f"plain_{name}" for name in PLAIN)]
    activation.NAMES = tuple(names)
    by_dtype = {dtype: speeds(names, dtype) for dtype in ("float32", "float64")}
    worst = {}
    if len(sys.argv) > 1:
        for row in json.loads(Path(sys.argv[1]).read_text())["rows"]:
            if not row["derivative"]:
                worst[row["activation"], row["dtype"]] = f"{row['normal']['ulp']:.2f}"
    for name in PLAIN:
        worst[f"plain_{name}", "float32"] = f"{worst_of_plain(name):.3g}"
    print("| | operations | ulp, float32 | ulp, float64 | Gelem/s, float32 | float64 |")
    print("|---|---|---|---|---|---|")
    for name in names:
        cells = [
            f"`{name}`" if name in ACTIVATIONS else name.replace("plain_", "plain "),
            str(ms.Activation(name).program(np.dtype(np.float32)).cost),
            *(worst.get((name, dtype), "") for dtype in by_dtype),
            *(f"{speed[name] / 1e9:.2f}" for speed in by_dtype.values()),
        ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
