"""Print a short table of a check, and write its figures as one JSON file.

table.py LOGS OUT    the folder with the output of the steps, and the folder for results
"""

from __future__ import annotations

import csv
import datetime
import itertools
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

_LINES = {  # patterns of the lines to show from the output of steps
    "first_contact": r"^(FAIL|import .* with -W|\d+ of \d+ are)",
    "tests": r"^(FAILED|ERROR)|\d+ (passed|failed|skipped)",
    "pytorch": r"^(FAILED|ERROR|SKIPPED)|\d+ (passed|failed|skipped)",
    "jax": r"^(FAILED|ERROR|SKIPPED)|\d+ (passed|failed|skipped)",
    "large": r"^(FAILED|ERROR)|\d+ (passed|failed|skipped)",
    "memcheck": r"SUMMARY|AssertionError",
    "racecheck": r"SUMMARY|AssertionError",
    "initcheck": r"SUMMARY|AssertionError",
    "synccheck": r"SUMMARY|AssertionError",
}
_MOST_LINES = 12  # per step
_METRICS = {
    "gpu__time_duration.sum": "time",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "DRAM %",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": "SM %",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "warps %",
    "launch__registers_per_thread": "registers",
}
_OURS = "multisubnet"
_COLUMNS = {  # columns of the table, and the contenders that they compare with
    "of fill": ("fill by a kernel",),
    "of memset": ("fill by cudaMemsetAsync",),
    "CuPy": ("cupy.ElementwiseKernel",),
    "torch.compile": ("torch.compile", "torch.baddbmm, compiled"),
    "JAX": ("jax.jit(jax.vmap)", "jax.jit(vmap(vmap(vmap)))", "jax.jit(vmap(value_and_grad))"),
}


def main(logs: Path, out: Path) -> None:
    """Print the table, and write the file."""
    steps = []
    print(f"{'step':16}seconds")
    for line in (logs / "steps").read_text().splitlines():
        name, seconds, status = line.split(" ", 2)
        steps.append({"name": name, "seconds": int(seconds), "status": status})
        print(f"{name:16}{seconds:>7}  {status}")
    for step in steps:
        step["lines"] = notable(logs, step["name"])
        for line in step["lines"]:
            print(f"{step['name']}: {line}")
    results = merged(logs)
    print_timings(results.get("timings", []))
    print_profile(logs / "ncu.csv")
    gpu = results.get("machine", {}).get("gpu", {}).get("name", "not timed")
    name = "-".join(
        [
            "gpu-check",
            *re.findall("[a-z0-9]+", gpu.lower()),
            results.get("date", datetime.date.today().isoformat()),
        ]
    )
    (out / f"{name}.json").write_text(json.dumps({"steps": steps} | results, indent=1) + "\n")
    print("results:", *sorted(file.name for file in out.iterdir()))


def notable(logs: Path, name: str) -> list[str]:
    """Return the lines to show from a step's output."""
    file = logs / f"{name}.log"
    if name not in _LINES or not file.exists():
        return []
    lines = file.read_text(errors="replace").splitlines()
    return [line[:160] for line in lines if re.search(_LINES[name], line)][-_MOST_LINES:]


def merged(logs: Path) -> dict[str, Any]:
    """Return the results of the benchmarks, in order."""
    results: dict[str, Any] = {}
    files = (sorted(logs.glob(f"{step}/*.json")) for step in ("timings", "networks", "peers"))
    for file in itertools.chain(*files):
        found = json.loads(file.read_text())
        for key in ("timings", "left_out"):
            found[key] = results.get(key, []) + found[key]
        results = results | found
    return results


def print_timings(timings: list[dict[str, Any]]) -> None:
    """Print a row per task: the time, the rate, and the rate relative to others."""
    tasks: dict[str, dict[str, Any]] = {}
    for timing in timings:
        size = "x".join(map(str, timing["size"]))
        options = (timing["loss"], timing["activation"], timing["dtype"], timing["set_axis"])
        words = [str(x) for x in options if x not in (None, 0, "float32")]
        words += ["-".join(map(str, timing["widths"]))] if timing.get("widths") else []
        of_task = tasks.setdefault(" ".join([timing["function"], size, *words]), {})
        of_task.setdefault(timing["contender"], timing)
    if tasks:
        heads = "".join(f"{x:>14}" for x in (*_COLUMNS, "on the host"))
        print(f"{'task':58}{'time':>11}{'rate':>12}{heads}")
    for name, of_task in tasks.items():
        if _OURS not in of_task:
            continue
        ours = of_task[_OURS]
        seconds, elements = ours["median"], math.prod(ours["size"])
        rate, unit = elements / seconds / 1e9, "Ge/s"
        if ours["function"] == "affine":
            rate, unit = rate * {"float16": 2, "float64": 8}.get(ours["dtype"], 4), "GB/s"
        others = ""
        for contenders in _COLUMNS.values():
            found = [of_task[x]["median"] / seconds for x in contenders if x in of_task]
            others += f"{found[0]:14.2f}" if found else f"{'':14}"
        host = f"{ours['host'] * 1e6:11.1f} us" if "host" in ours else ""
        print(f"{name:58}{seconds * 1e6:8.1f} us{rate:7.0f} {unit}{others}{host}".rstrip())


def print_profile(file: Path) -> None:
    """Print ncu's figures for each launch."""
    if not file.exists():
        return
    lines = [line for line in file.read_text(errors="replace").splitlines() if line.startswith('"')]
    units, *launches = csv.DictReader(lines) if len(lines) > 2 else [{}]
    for launch in launches:
        figures = [
            f"{name} {launch[metric]}{units[metric] if name == 'time' else ''}"
            for metric, name in _METRICS.items()
            if launch.get(metric)
        ]
        print(f"ncu {launch['Kernel Name'][:40]:40} {launch.get('Grid Size', '')}", *figures)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
