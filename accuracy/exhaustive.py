"""Measure the errors of the activations and of their derivatives, in ulp.

    python accuracy/exhaustive.py                                 half an hour on two cores
    python accuracy/exhaustive.py --step 1001 --points 100000     some seconds
    python accuracy/exhaustive.py --activations tanh --dtype float32

In float32 every number that there is goes through each function; in float64 at least 10**7 do, many
of them where functions are hard. An ulp is the distance between floating-point numbers at the true
result: at least that of the subnormal numbers, and for derivatives at least that at 1/4. A result
is wrong, however near, where it is NaN, infinite or zero and must not be, or is not and must be.

The exit status is 1 where an error is above its bound or a result is wrong. The true values come
from g++ and its libquadmath.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from errors import ACTIVATIONS, Error, bound, library, measure, merge

import multisubnet as ms

Row = dict[str, Any]
Chunks = list[Callable[[], np.ndarray]]

_CHUNK = 1 << 20  # float32 numbers
_PART = 1 << 15  # float64 numbers, of each of 6 kinds
_SWITCHES = [0.5, 1, 3, 6, 9, 18.4, 37.5, 38.6, 708, 708.4, 709, 709.8, 710, 745, 745.2, 760]
_RANGE = np.finfo(np.float64)
_SPECIALS = np.array([0, _RANGE.smallest_subnormal, _RANGE.tiny, _RANGE.max, np.inf, np.nan])


def main() -> int:
    """Measure, and report."""
    arguments = _parse()
    os.environ.setdefault("MULTISUBNET_NUM_THREADS", "1")  # on each of the threads below
    if "numba" in ms.available_backends():
        ms.set_backend("numba")
    inputs = {"float32": _float32(arguments.step), "float64": _float64(arguments.points)}
    rows: list[Row] = []
    library()  # is compiled now, and not by each of the threads
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for derivative in (False, True):
            print(_heading(arguments.dtype, derivative))
            for name in arguments.activations:
                print(f"| {name:12} |", end="", flush=True)
                for dtype in arguments.dtype:
                    rows.append(_measure(name, derivative, dtype, inputs[dtype], pool))
                    print(_cells(rows[-1]), end="", flush=True)
                print()
    broken = [sentence for row in rows for sentence in _broken(row)]
    print("", *broken or ["All is within the bounds."], sep="\n")
    if arguments.results:
        about = {
            "date": datetime.date.today().isoformat(),
            "cpu": _cpu(),
            **ms.show_config("dicts"),
        }
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        arguments.results.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    return 1 if broken else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names, dtypes = list(ACTIVATIONS), ["float32", "float64"]
    parser.add_argument("--activations", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--dtype", nargs=1, choices=dtypes, default=dtypes, help="only this one")
    parser.add_argument("--points", type=int, default=10**7, help="of float64, for each function")
    parser.add_argument("--step", type=int, default=1, help="take every STEP-th float32 only")
    parser.add_argument("--results", type=Path, metavar="FILE", help="where to write JSON")
    return parser.parse_args()


def _float32(step: int) -> Chunks:
    """Return what makes chunks of all float32 numbers, or of every so many, by their bits."""

    def chunk(first: int) -> np.ndarray:
        last = min(first + _CHUNK * step, 1 << 32)
        return np.arange(first, last, step).astype(np.uint32).view(np.float32)

    return [partial(chunk, first) for first in range(0, 1 << 32, _CHUNK * step)]


def _float64(n: int) -> Chunks:
    """Return what makes chunks of at least n float64 numbers in all, the same ones each time."""

    def chunk(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)

        def signed_power(low: int, high: int) -> np.ndarray:
            return rng.choice([-1, 1], _PART) * np.exp2(rng.uniform(low, high, _PART))

        def around(centers: np.ndarray) -> np.ndarray:
            return rng.choice([-1, 1], _PART) * centers * (1 + signed_power(-54, -3))

        parts = [
            rng.integers(0, 1 << 64, _PART, np.uint64).view(np.float64),  # any bits
            signed_power(-60, 10),
            rng.uniform(-50, 50, _PART),
            rng.uniform(-1, 1, _PART),
            around(rng.choice(_SWITCHES, _PART)),
            around(rng.integers(1, 2200, _PART) * np.log(2) / 2),
            _SPECIALS,
            -_SPECIALS,
        ]
        return np.concatenate(parts)

    return [partial(chunk, seed) for seed in range(-(-n // (6 * _PART)))]


def _measure(name: str, derivative: bool, dtype: str, chunks: Chunks, pool: Executor) -> Row:
    began = time.perf_counter()
    result = merge(pool.map(lambda chunk: measure(name, derivative, chunk()), chunks))
    return {
        "activation": name,
        "derivative": derivative,
        "dtype": dtype,
        "inputs": result.n,
        "seconds": round(time.perf_counter() - began, 1),
        "bound": bound(name, derivative),
        "normal": _entry(result.normal, dtype),
        "subnormal": _entry(result.subnormal, dtype),
        "wrong": result.n_wrong,
        "first_wrong": _entry(result.wrong, dtype) if result.n_wrong else None,
    }


def _entry(error: Error, dtype: str) -> dict[str, Any]:
    """Return an error for JSON, its numbers in as many digits as tell them from others."""
    x, y = (str(np.dtype(dtype).type(value)) for value in (error.x, error.y))
    return {"ulp": abs(error.ulp), "x": x, "y": y}


def _heading(dtypes: list[str], derivative: bool) -> str:
    titles = ["derivative  " if derivative else "activation  "]
    for dtype in dtypes:
        titles += [f"{dtype:>8}", f"{'at':>22}", *([] if derivative else ["subnormal"]), "wrong"]
    rules = ["-" * 12] + ["-" * (len(title) - 1) + ":" for title in titles[1:]]
    return f"\n| {' | '.join(titles)} |\n| {' | '.join(rules)} |"


def _cells(row: Row) -> str:
    largest = row["normal"]
    cells = [f"{largest['ulp']:8.4g}", f"{largest['x'] if largest['ulp'] else '':>22}"]
    if not row["derivative"]:
        cells.append(f"{row['subnormal']['ulp']:9.4g}")
    return f" {' | '.join(cells)} | {row['wrong']:5} |"


def _broken(row: Row) -> list[str]:
    """Return a sentence for each thing that must not be."""
    function = f"{row['activation']}{' (derivative)' * row['derivative']} in {row['dtype']}"
    sentences = [
        f"{function} is {error['ulp']:.4g} ulp off at {error['x']}, more than {row['bound']}."
        for error in (row["normal"], row["subnormal"])
        if error["ulp"] > row["bound"]
    ]
    if row["wrong"]:
        first = row["first_wrong"]
        sentences.append(f"{function} is wrong {row['wrong']} times, {first['y']} at {first['x']}.")
    return sentences


def _cpu() -> str:
    info = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.partition(": ")[2] for line in info if line.startswith("model name"))


if __name__ == "__main__":
    sys.exit(main())
