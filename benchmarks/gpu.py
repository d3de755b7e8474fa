"""Time the library on a GPU against what else computes the same, and the GPU's limits.

    python benchmarks/gpu.py --results benchmarks/results     everything, some minutes
    python benchmarks/gpu.py --quick                          some of it, in a hurry
    python benchmarks/gpu.py --only losses                    some functions
    python benchmarks/gpu.py --only affine --sizes 1000,569,30    (sets, samples, features)
    python benchmarks/gpu.py --seconds 100 --contenders fill copy    what can be in so many seconds

CuPy must be there, and a GPU; of the other libraries (PyTorch, JAX) those take part that are there
and see the GPU. A full run, or one with --results, writes a JSON file with all medians and
quartiles, after each task anew, and a plot where `affine` took part.

Events on the stream that a library uses tell what its calls took; JAX's are timed from outside,
until the last of a number of them is done, so that small ones have the host's time in them. What
the host takes for a call, no matter how long the GPU works, is `--only host`.
"""

from __future__ import annotations

import datetime
import importlib.util
import math
import os
import random
import sys
import time

import options
from gpu_tasks import GROUPS, bytes_needed, tasks_of

# Memory as it is needed: by default JAX takes three quarters of it for itself.
_PEERS = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "2"}


def main() -> None:
    """Measure, and report."""
    parser = options.parser(__doc__, GROUPS)
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="begin no task after these; fewer rounds"
    )
    parser.add_argument(
        "--contenders", nargs="+", metavar="WORD", help="besides this library, those named so"
    )
    arguments = options.parsed(parser)
    os.environ.update(_PEERS)  # before any of them is imported

    from multisubnet._backends.cupy import engine

    why = engine.why_unavailable()
    if why is not None:
        sys.exit(f"no GPU to measure on: {' '.join(why.split())}")

    import cupy
    import gpu_host
    import gpu_rounds
    import machine
    import report
    from contenders import OURS
    from gpu_contenders import CONTENDERS, is_there
    from rounds import Effort

    groups = arguments.only or GROUPS
    gpu = machine.gpu()
    cache = gpu["l2_bytes"] or 0
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe() | {"gpu": gpu},
        "versions": machine.versions(machine.GPU_PACKAGES),
        "environment": _PEERS,
        "timings": [],
        "host_calls": [],
        "left_out": [],
        "skipped": [],
    }
    for name, value in (gpu | results["versions"]).items():
        print(f"{name}: {value}")
    name = "-".join(["gpu", *(arguments.only or ())])

    def save() -> None:
        if arguments.results:
            slug = machine.slug(gpu["name"])
            report.save(results, arguments.results / f"{name}-{slug}-{results['date']}.json")

    words = arguments.contenders or [""]
    contenders = [
        contender
        for contender in CONTENDERS
        if contender.name == OURS or any(word in contender.name for word in words)
        if is_there(contender)
    ]
    in_a_hurry = arguments.quick or arguments.seconds < math.inf
    effort = Effort(rounds=8, seconds=0.1) if in_a_hurry else Effort(rounds=30, seconds=0.5)
    began = time.perf_counter()
    rng = random.Random(0)
    for group in groups:
        for task in tasks_of(group, arguments.sizes, arguments.quick):
            if time.perf_counter() - began > arguments.seconds:
                results["skipped"].append({"task": str(task), "why": "no time is left"})
                continue
            if group == "host":
                timings = gpu_host.measure(task, effort, rng)
                print(gpu_host.table(task, timings), flush=True)
                results["host_calls"] += timings
                save()
                continue
            needed, there = bytes_needed(task, cache), cupy.cuda.runtime.memGetInfo()[0]
            if needed > there:
                why = f"needs {needed / 1e9:.1f} GB, of which {there / 1e9:.1f} are free"
                print(f"\n{task} is skipped: it {why}", flush=True)
                results["skipped"].append({"task": str(task), "why": why})
                continue
            timings, left_out = gpu_rounds.measure(task, contenders, effort, cache, rng)
            print(report.table(task, timings), flush=True)
            results["timings"] += timings
            results["left_out"] += left_out
            save()
    print(f"\n{time.perf_counter() - began:.0f} s")

    save()
    has_plot = any(t["function"] == "affine" for t in results["timings"])
    if arguments.results and has_plot and importlib.util.find_spec("matplotlib"):
        report.plot(results, arguments.results / f"{name}.png")
    failed = [out for out in results["left_out"] if not out["memory"]]
    if failed:
        sys.exit(f"{len(failed)} failed, see above")


if __name__ == "__main__":
    main()
