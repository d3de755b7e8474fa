"""Time the library on the CPU against what else computes the same, and the machine's limit.

    python benchmarks/cpu.py                           everything, half an hour
    python benchmarks/cpu.py --quick                   some of it, in a hurry
    python benchmarks/cpu.py --only losses             some functions
    python benchmarks/cpu.py --only keras --keras-backend torch
    python benchmarks/cpu.py --only affine --sizes 2,2,2 64,32,16    (sets, samples, features)

A full run, or one with --results, writes a JSON file with all medians and quartiles, and a plot
where `affine` took part.

Where the system has huge pages for those that ask (Linux), NumPy asks for all its large arrays,
and so for ours; PyTorch and the C library, from which JAX has its memory, ask only where the
environment says so. With --huge-pages it does, and fresh results cost them several times less:
almost all of that time is the system's, which clears the pages.
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import sys
import time

import options
from tasks import GROUPS, tasks_of

_HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
_PEERS = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"}


def main() -> None:
    """Measure, and report."""
    arguments = _parse()
    environment = _PEERS | {"KERAS_BACKEND": arguments.keras_backend}
    environment |= _HUGE_PAGES if arguments.huge_pages else {}
    if any(os.environ.get(name) != value for name, value in environment.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **environment})

    # What libraries read from the environment when they are imported is there now.
    import keras_predict  # noqa: F401 adds its contenders
    import machine
    import reductions  # noqa: F401 adds its contenders
    import report
    from contenders import CONTENDERS, is_there
    from rounds import Effort, measure

    contenders = [contender for contender in CONTENDERS if is_there(contender)]
    effort = Effort(rounds=8, seconds=0.2) if arguments.quick else Effort(rounds=40, seconds=1.0)
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "environment": environment,
        "import_seconds_over_numpy": machine.import_seconds(5 if arguments.quick else 21),
        "timings": [],
    }
    began = time.perf_counter()
    rng = random.Random(0)
    for group in arguments.only or GROUPS:
        for task in tasks_of(group, arguments.sizes, arguments.quick):
            timings = measure(task, contenders, effort, rng)
            print(report.table(task, timings), flush=True)
            results["timings"] += timings
    with_affine = "affine" in (arguments.only or GROUPS)
    if with_affine:
        print(report.smallest_call(results["timings"]))
    print(
        f"import multisubnet, NumPy imported: {results['import_seconds_over_numpy'] * 1e3:.1f} ms"
    )
    print(f"{time.perf_counter() - began:.0f} s")

    if arguments.results:
        slug = machine.slug(results["machine"]["cpu"])
        pages = "-huge-pages" if arguments.huge_pages else ""
        name = "-".join(["cpu", *(arguments.only or ())]) + pages
        report.save(results, arguments.results / f"{name}-{slug}-{results['date']}.json")
        if with_affine:
            report.plot(results, arguments.results / f"{name}.png")


def _parse() -> argparse.Namespace:
    parser = options.parser(__doc__, GROUPS)
    parser.add_argument("--huge-pages", action="store_true", help="huge pages for peers, too")
    parser.add_argument(
        "--keras-backend",
        choices=("jax", "torch", "tensorflow"),
        default="jax",
        help="what Keras computes with (what is timed of it besides `predict` needs jax)",
    )
    return options.parsed(parser)


if __name__ == "__main__":
    main()
