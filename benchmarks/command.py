"""The command of cpu.py and gpu.py."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import math
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import report
from contenders import available
from contenders.contender import CORES, OURS, Contender
from rounds import Effort, left_out, measure
from tasks import groups_of, tasks_of

from multisubnet._backends.cupy import engine

_PAUSES = 0.0, 1e-3, 1e-2, 5e-2  # seconds


def main(device: str, description: str | None) -> None:
    """Measure, and report."""
    options = _parse(device, description)
    contenders = available(device, options.contenders)
    results: dict[str, Any] = {"date": datetime.date.today().isoformat()}
    results |= report.environment() | {"timings": [], "left_out": []}
    described = results["machine"]
    name, cache = described["cpu"], 0
    if device == "gpu":
        why = engine.why_unavailable()
        if why is not None:
            sys.exit(f"no GPU to measure on: {' '.join(why.split())}")
        described["gpu"] = report.describe_gpu()
        name, cache = described["gpu"]["name"], described["gpu"]["l2_bytes"] or 1
    print(json.dumps(results, indent=1))
    words = [device, *(options.only or ())]
    if options.only == ["keras"]:
        words.append(os.environ.get("KERAS_BACKEND", "tensorflow"))
    words += re.findall("[a-z0-9]+", name.lower())
    file = f"{'-'.join(words)}-{results['date']}.json"
    is_short = options.quick or options.seconds < math.inf
    effort = Effort(8, 0.15) if is_short else Effort(40, 1.0)
    rng, began = random.Random(0), time.perf_counter()
    for group in options.only or groups_of(device):
        for task in tasks_of(device, group, options.sizes, options.quick):
            if time.perf_counter() - began > options.seconds:
                results["left_out"].append(left_out(task, None, "no time is left"))
                continue
            for some in _under_conditions(contenders) if group == "threads" else [contenders]:
                timings, others = measure(task, device, some, effort, rng, cache)
                print(report.table(task, timings), flush=True)
                results["timings"] += timings
                results["left_out"] += others
            if options.results:
                options.results.mkdir(parents=True, exist_ok=True)
                (options.results / file).write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{time.perf_counter() - began:.0f} s")
    exit_if_failed(results["left_out"])


def exit_if_failed(others: list[dict[str, Any]]) -> None:
    """End with an error if a contender failed for another reason than memory or time."""
    n_failed = sum(out["failed"] for out in others)
    if n_failed:
        sys.exit(f"{n_failed} failed, see above")


def _under_conditions(contenders: list[Contender]) -> Iterator[list[Contender]]:
    """Yield contenders on one thread and on all, that pause before calls or do not.

    First the machine is theirs alone; then one core is busy with another process.
    """
    compared = [c for c in contenders if c.name in (OURS, "torch.addcmul", "torch.compile")]
    for beside in ("", ", beside a busy process"):
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if beside else None
        try:
            yield [
                dataclasses.replace(
                    contender,
                    name=f"{contender.name}, {n} threads, {1e3 * pause:2g} ms pause{beside}",
                    inside=partial(_on_threads, n, contender.inside),
                    pause=pause,
                    reuses=False,
                )
                for contender in compared
                for pause in _PAUSES
                for n in sorted({1, CORES})
            ]
        finally:
            if process:
                process.kill()
                process.wait()


@contextlib.contextmanager
def _on_threads(n: int, inside: Callable[[], AbstractContextManager]) -> Iterator[None]:
    """Let this library and PyTorch use so many threads."""
    torch = sys.modules.get("torch")
    with inside(), mock.patch.dict(os.environ, MULTISUBNET_NUM_THREADS=str(n)):
        if torch:
            torch.set_num_threads(n)
        yield
    if torch:
        torch.set_num_threads(CORES)


def _parse(device: str, description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer sizes and rounds")
    add("--only", nargs="+", choices=groups_of(device), help="these functions")
    add("--sizes", nargs="+", type=_size, metavar="N,B,F", help="these sizes")
    add("--results", type=Path, metavar="DIR", help="where to write results")
    add("--seconds", type=float, default=math.inf, help="begin no task after these")
    add("--contenders", nargs="+", default=[""], metavar="WORD", help="besides this library's")
    options = parser.parse_args()
    if not (options.results or options.quick or options.only or options.sizes):
        options.results = Path(__file__).parent / "results"
    return options


def _size(text: str) -> tuple[int, ...]:
    n_sets, n_samples, n_features = map(int, text.split(","))
    return n_sets, n_samples, n_features
