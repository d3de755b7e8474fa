"""The command of cpu.py and gpu.py."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ENVIRONMENTS = {
    "cpu": {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"},
    # Memory as it is needed: by default JAX takes three quarters of it for itself.
    "gpu": {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "2"},
}
_HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
_PAUSES = 0.0, 1e-3, 1e-2, 5e-2


def main(device: str, description: str | None) -> None:
    """Measure, and report."""
    arguments = _parse(device, description)
    environment = dict(_ENVIRONMENTS[device])
    if device == "cpu":
        environment |= {"KERAS_BACKEND": arguments.keras_backend}
        environment |= _HUGE_PAGES if arguments.huge_pages else {}
    if any(os.environ.get(name) != value for name, value in environment.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | environment)

    # What libraries read from the environment when they are imported is there now.
    import machine
    import report
    from contenders import CONTENDERS, OURS
    from rounds import Effort, measure, n_buffers
    from tasks import groups_of, tasks_of

    described, cache = machine.describe(), 0
    if device == "gpu":
        described["gpu"] = _gpu_or_exit(machine)
        cache = described["gpu"]["l2_bytes"] or 1
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": described,
        "versions": machine.versions(device),
        "environment": environment,
        **{name: [] for name in ("timings", "host_calls", "threads", "left_out", "skipped")},
    }
    print(json.dumps(described | results["versions"], indent=1))
    contenders = []
    for contender in CONTENDERS:
        named = any(word in contender.name for word in arguments.contenders)
        if device in contender.devices and (named or contender.name == OURS):
            why = contender.why_missing(device)
            if why:
                print(f"{contender.name} is left out: {why}")
            else:
                contenders.append(contender)
    quick = arguments.quick or arguments.seconds < math.inf
    effort = Effort(8, 0.15) if quick else Effort(40, 1.0)
    groups = arguments.only or groups_of(device)
    slug = machine.slug(described["gpu"]["name"] if device == "gpu" else described["cpu"])
    pages = ["huge-pages"] if "GLIBC_TUNABLES" in environment else []
    name = "-".join([device, *(arguments.only or ()), *pages])
    rng, began = random.Random(0), time.perf_counter()
    for group in groups:
        for task in tasks_of(device, group, arguments.sizes, arguments.quick):
            why = None
            if time.perf_counter() - began > arguments.seconds:
                why = "no time is left"
            elif device == "gpu":
                why = _why_too_large(task, n_buffers(task.n_bytes, cache))
            if why:
                print(f"\n{task} is skipped: {why}", flush=True)
                results["skipped"].append({"task": str(task), "why": why})
                continue
            if group == "threads":
                timings = _by_conditions(task, contenders, effort, rng)
                print(report.table_of_conditions(task, timings), flush=True)
                results["threads"] += timings
            else:
                timings, left_out = measure(task, device, contenders, effort, rng, cache=cache)
                print(report.table(task, timings), flush=True)
                results["host_calls" if group == "host" else "timings"] += timings
                results["left_out"] += left_out
            if arguments.results:
                arguments.results.mkdir(parents=True, exist_ok=True)
                file = arguments.results / f"{name}-{slug}-{results['date']}.json"
                file.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{time.perf_counter() - began:.0f} s")
    failed = [out for out in results["left_out"] if not out["memory"]]
    if failed:
        sys.exit(f"{len(failed)} failed, see above")


def _by_conditions(task: Any, contenders: Any, effort: Any, rng: Any) -> list[dict[str, Any]]:
    """Measure on one and more threads, with pauses, alone and beside a process that is busy."""
    from contenders import OURS
    from rounds import Condition, measure

    some = [c for c in contenders if c.name in (OURS, "torch.addcmul", "torch.compile")]
    timings: list[dict[str, Any]] = []
    for beside in (None, "a busy process"):
        with busy() if beside else contextlib.nullcontext():
            counts = sorted({1, os.cpu_count() or 1})
            conditions = [Condition(n, pause, beside) for n in counts for pause in _PAUSES]
            timings += measure(task, "cpu", some, effort, rng, conditions)[0]
    return timings


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keep one core busy with another process."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _gpu_or_exit(machine: Any) -> dict[str, Any]:
    from multisubnet._backends.cupy import engine

    why = engine.why_unavailable()
    if why is not None:
        sys.exit(f"no GPU to measure on: {' '.join(why.split())}")
    found: dict[str, Any] = machine.gpu()
    return found


def _why_too_large(task: Any, n_buffers: int) -> str | None:
    """Return why a GPU's memory is too small, or None: what a loss needs is up to contenders.

    Two sets of results take turns, those of JAX and those of all others, and two more may lie
    between operations.
    """
    import cupy

    needed = 3 * task.n_bytes_of_operands + (2 * n_buffers + 2) * task.n_bytes
    there = cupy.cuda.runtime.memGetInfo()[0]
    return f"it needs {needed / 1e9:.1f} GB, {there / 1e9:.1f} are free" * (needed > there) or None


def _parse(device: str, description: str | None) -> argparse.Namespace:
    from tasks import groups_of

    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds")
    parser.add_argument("--only", nargs="+", choices=groups_of(device), help="these functions")
    parser.add_argument("--sizes", nargs="+", type=_size, metavar="N,B,F", help="these sizes")
    parser.add_argument("--results", type=Path, metavar="DIR", help="where to write results")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no task after these")
    parser.add_argument(
        "--contenders", nargs="+", default=[""], metavar="WORD", help="besides this library's"
    )
    if device == "cpu":
        parser.add_argument("--huge-pages", action="store_true", help="huge pages for peers, too")
        backends = "jax", "torch", "tensorflow"
        parser.add_argument("--keras-backend", choices=backends, default="jax")
    arguments = parser.parse_args()
    if not (arguments.results or arguments.quick or arguments.only or arguments.sizes):
        arguments.results = Path(__file__).parent / "results"
    return arguments


def _size(text: str) -> tuple[int, ...]:
    n_sets, n_samples, n_features = map(int, text.split(","))
    return n_sets, n_samples, n_features
