"""What is reported: the machine and versions, and a table for each task."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from contenders.contender import OURS
from tasks import Task

import multisubnet

Timing = dict[str, Any]
_PREFIXES = ["n", "µ", "m", "", "k", "M", "G"]
_PACKAGES = "numpy numba llvmlite numexpr torch triton tabm jax jaxlib keras"
_PACKAGES += " cupy cupy-cuda12x cupy-cuda13x"
_VARIABLES = "KERAS_BACKEND GLIBC_TUNABLES THP_MEM_ALLOC_ENABLE MULTISUBNET_NUM_THREADS"


def environment() -> dict[str, Any]:
    """Return the CPU, cores, memory and system, the versions of packages, and variables."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)$", info.read_text() if info.exists() else "", re.M)
    memory = None
    if hasattr(os, "sysconf"):
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    versions = {"python": platform.python_version(), "multisubnet": multisubnet.__version__}
    for package in _PACKAGES.split():
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "machine": {
            "cpu": model[1] if model else platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "memory_gib": memory,
            "os": platform.platform(),
        },
        "versions": versions,
        "environment": {x: os.environ[x] for x in _VARIABLES.split() if x in os.environ},
    }


def describe_gpu() -> dict[str, Any]:
    """Return the current GPU, its driver and its memory, as far as CuPy and the system tell."""
    import cupy

    device, runtime = cupy.cuda.Device(), cupy.cuda.runtime
    found = runtime.getDeviceProperties(device.id)
    clock, width = found.get("memoryClockRate"), found.get("memoryBusWidth")
    driver = Path("/sys/module/nvidia/version")
    return {
        "name": found["name"].decode(),
        "compute_capability": device.compute_capability,
        "multiprocessors": found.get("multiProcessorCount"),
        "memory_gib": round(device.mem_info[1] / 2**30, 1),
        "l2_bytes": found.get("l2CacheSize"),
        # In kHz and bits; there are two transfers in a cycle.
        "memory_bytes_per_second": 2 * clock * 1000 * width // 8 if clock and width else None,
        "driver": driver.read_text().strip() if driver.exists() else None,
        "cuda_of_driver": runtime.driverGetVersion(),
        "cuda_runtime": runtime.runtimeGetVersion(),
        "nvrtc": list(cupy.cuda.nvrtc.getVersion()),
    }


def quantity(value: float, unit: str) -> str:
    """Return a quantity in three digits, with the prefix of its unit."""
    if not value:
        return f"0 {unit}"
    exponent = max(-3, min(3, math.floor(math.log10(float(f"{value:.3g}")) / 3)))
    return f"{value / 1000**exponent:.3g} {_PREFIXES[exponent + 3]}{unit}"


def table(task: Task, timings: list[Timing]) -> str:
    """Return a table of all contenders for one task."""
    amount, unit = task.n_products, "Gmul/s"
    limits: dict[str, float] = {}  # seconds, by mode
    for t in timings:
        if t["is_limit"]:
            limits[t["mode"]] = min(t["median"], limits.get(t["mode"], math.inf))
    if task.written is not None:
        amount, unit = math.prod(task.written) * np.dtype(task.dtype).itemsize, "GB/s"
    ours = {t["mode"]: t["median"] for t in timings if t["contender"] == OURS}
    width = max((len(t["contender"]) for t in timings), default=0) + 1
    header = f"{'':{width + 7}}{'time':>10} {unit:>8} of limit  of ours       MB     host"
    lines = [f"\n{task}", header.rstrip()]
    for t in sorted(timings, key=lambda t: t["mode"], reverse=True):
        seconds, mode = t["median"], t["mode"]
        cells = [
            f"{limits[mode] / seconds:.2f}" if mode in limits else "",
            f"{seconds / ours[mode]:.2f}" if mode in ours else "",
            "" if t["extra_peak"] is None else f"{t['extra_peak'] / 1e6:.1f}",
            quantity(t["host"], "s") if "host" in t else "",
        ]
        row = f"{t['contender']:{width}}{mode:7}{quantity(seconds, 's'):>10}"
        row += f"{amount / seconds / 1e9:9.2f}"
        lines.append((row + "".join(f"{cell:>9}" for cell in cells)).rstrip())
    peers = [
        t
        for t in timings
        if OURS not in t["contender"] and t["mode"] == "fresh" and not t["is_limit"]
    ]
    if peers and "fresh" in ours:
        best = min(peers, key=lambda t: t["median"])
        lines.append(f"best peer: {best['contender']}, {best['median'] / ours['fresh']:.2f}")
    return "\n".join(lines)
