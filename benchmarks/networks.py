"""Time networks on the CPU beside other libraries, and beside the multiply and add pipes.

    python benchmarks/networks.py [--seconds 2] [--only 0 1 ...] [--functions outputs loss gradient]
    python benchmarks/networks.py --write benchmarks/results/networks-cpu.json
    python benchmarks/networks.py --sweep --seconds 0.4 --write FILE
    MULTISUBNET_NUM_THREADS=1 taskset -c 0 python benchmarks/networks.py --processor-time

Losses are mean squared errors of each set; gradients are theirs, with the losses. The limit is a
loop that multiplies and adds vectors in registers, on as many threads. A row replaces that of the
same function and size in the file. The sweep is a grid of sizes with hidden values of at most
128 MiB, beside the two peers that compile fast. On a machine that does other work at the same time,
the last form counts the time that the processor spends on one core.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import report
from command import exit_if_failed
from contenders import OURS, available
from rounds import Effort, measure
from tasks import NETWORKS, Task

LIMIT = "multiply and add"
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
    *(((10, 1000, h), (h, h, h, 1)) for h in (32, 64, 128, 256)),  # at which a BLAS wins
]
SWEEP = [
    ((n_sets, n_samples, n_features), widths)
    for h in (4, 8, 16, 32, 64, 128)
    for n_sets, n_samples in itertools.product((10, 100, 1000), (100, 1000))
    for n_features, widths in [
        *itertools.product((1, 8, 30), [(1, h, 1), (1, h, h, 1)]),
        (8, (8, h, h, 4)),
    ]
    if n_sets * n_samples * (n_features if widths[0] == 1 else 1) * h <= 1 << 25
] + [((10, 1000, h), (h, h, h, 1)) for h in (256, 512, 1024)]
N_WITH_LOSSES = 9  # sizes of which there are losses and gradients
FUNCTIONS = dict(zip(("outputs", "loss", "gradient"), NETWORKS, strict=True))


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows of results, and those of the file that are not of the same functions and sizes."""
    new = [(row["function"], row["size"]) for row in rows]
    old = json.loads(file.read_text())["results"] if file.exists() else []
    kept = [row for row in old if (row["function"], row["size"]) not in new]
    content = report.environment() | {"date": datetime.date.today().isoformat()}
    file.write_text(json.dumps(content | {"results": kept + rows}, indent=1) + "\n")


def main() -> None:
    """Measure, print a table, and write the results if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=float, default=2.0, help="for each size")
    add("--only", type=int, nargs="*", help="numbers of sizes")
    add("--sweep", action="store_true", help="outputs on a grid of sizes, beside two peers")
    add("--functions", nargs="*", choices=FUNCTIONS, default=list(FUNCTIONS))
    add("--write", type=Path, help="a .json file for the results")
    add("--processor-time", action="store_true")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    sizes, contenders = SIZES, available("cpu", functions=NETWORKS)
    if options.sweep:
        sizes, names = SWEEP, (OURS, "jax.jit(vmap(vmap(vmap)))", "torch.baddbmm")
        contenders = [c for c in contenders if c.name in names]
    effort, rng = Effort(40, options.seconds / len(contenders), clock), random.Random(0)
    rows: list[dict[str, Any]] = []
    left_out = []
    for number in range(len(sizes)) if options.only is None else options.only:
        size, widths = sizes[number]
        has_losses = number < N_WITH_LOSSES and not options.sweep
        for function in options.functions if has_losses else ["outputs"]:
            task = Task(FUNCTIONS[function], size, widths=widths)
            timings, others = measure(task, "cpu", contenders, effort, rng)
            left_out += others
            print(number, report.table(task, timings), flush=True)
            seconds = {t["contender"]: t["median"] for t in timings}
            row = {"function": function, "size": [*size, list(widths)], "seconds": seconds}
            row["limit"] = task.n_products / seconds.pop(LIMIT) if LIMIT in seconds else None
            row["peak_bytes"] = {t["contender"]: t["extra_peak"] for t in timings}
            rows.append(row)
            if options.write:
                write(options.write, rows)
    exit_if_failed(left_out)


if __name__ == "__main__":
    main()
