"""Time networks on the CPU beside other libraries, and beside the multiply and add pipes.

    python benchmarks/networks.py [--seconds 2] [--only 0 1 ...] [--functions outputs loss gradient]
    python benchmarks/networks.py --write benchmarks/results/networks-cpu.json
    MULTISUBNET_NUM_THREADS=1 taskset -c 0 python benchmarks/networks.py --processor-time

Losses are mean squared errors of each set; gradients are theirs, with the losses. All take turns in
one process; medians count. The limit is a loop that multiplies and adds vectors in registers, on as
many threads. Results are added to those in the file; a row replaces that of the same function and
size. On a machine that does other work at the same time, the last form counts the time that the
processor spends on one core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"}
os.environ.setdefault("KERAS_BACKEND", "jax")

import limits
import machine
import report
from contenders import CONTENDERS
from rounds import Effort, measure
from tasks import NETWORK_LOSSES, Task

SIZES: list[tuple[tuple[int, int, int], tuple[int, ...]]] = [
    *(((100, 569, 30), (1, h, h, 1)) for h in (8, 16, 32, 64)),
    ((100, 569, 30), (1, 16, 1)),
    ((1000, 1000, 1), (1, 16, 16, 1)),
    ((1000, 64, 8), (8, 16, 16, 4)),
    ((10, 100, 30), (1, 16, 16, 1)),
    ((2, 2, 2), (1, 4, 1)),
    ((100_000, 1, 1), (1, 16, 16, 1)),
    ((1, 10_000, 30), (1, 16, 16, 1)),
    ((100_000, 64, 8), (8, 16, 16, 4)),
    *(((10, 1000, h), (h, h, h, 1)) for h in (32, 64, 128, 256)),  # where a BLAS wins
]
N_JUDGED = 9  # sizes of which there are losses and gradients
FUNCTIONS = dict(zip(("outputs", "loss", "gradient"), ("mlp", *NETWORK_LOSSES), strict=True))


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows of results, and those of the file that are not of the same functions and sizes."""
    new = [(row["function"], row["size"]) for row in rows]
    old = json.loads(file.read_text())["results"] if file.exists() else []
    text = {
        "machine": machine.describe(),
        "versions": machine.versions(),
        "date": time.strftime("%Y-%m-%d"),
        "results": [row for row in old if (row["function"], row["size"]) not in new] + rows,
    }
    file.write_text(json.dumps(text, indent=1) + "\n")


def main() -> None:
    """Measure, print a table, and write the results if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each size")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of sizes")
    parser.add_argument("--functions", nargs="*", choices=FUNCTIONS, default=list(FUNCTIONS))
    parser.add_argument("--write", type=Path, help="a .json file for the results")
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    of_networks = [c for c in CONTENDERS if set(FUNCTIONS.values()) & set(c.functions)]
    contenders = [c for c in of_networks if c.why_missing("cpu") is None]
    effort, rng = Effort(40, options.seconds / len(contenders), clock), random.Random(0)
    rows: list[dict[str, Any]] = []
    n_failed = 0
    for (number, (size, widths)), function in itertools.product(
        enumerate(SIZES), options.functions
    ):
        if options.only is not None and number not in options.only:
            continue
        if function != "outputs" and number >= N_JUDGED:
            continue
        task = Task(FUNCTIONS[function], size, widths=widths)
        most = limits.products_per_second(clock)
        timings, left_out = measure(task, "cpu", contenders, effort, rng)
        n_failed += sum(not out["memory"] for out in left_out)
        print(
            f"{number}, {most / 1e9:.0f} Gmul/s at most:",
            report.table(task, timings, most),
            flush=True,
        )
        found, peaks = (
            {t["contender"]: t[key] for t in timings} for key in ("median", "extra_peak")
        )
        row = {"function": function, "size": [*size, list(widths)], "limit": most}
        rows.append(row | {"seconds": found, "peak_bytes": peaks})
        if options.write:
            write(options.write, rows)
    if n_failed:
        sys.exit(f"{n_failed} failed, see above")


if __name__ == "__main__":
    main()
