"""What a measurement was taken on."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import multisubnet

_PACKAGES = ["numpy", "numba", "llvmlite", "numexpr", "torch", "tabm", "jax", "jaxlib", "keras"]
_IMPORT = """
import time, numpy
start = time.perf_counter()
import multisubnet
print(time.perf_counter() - start)
"""


def describe() -> dict[str, object]:
    """Return the machine's CPU, cores, memory and system."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "os": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Return the versions of all that takes part and is installed."""
    found = {"python": platform.python_version(), "multisubnet": multisubnet.__version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def import_seconds(repeats: int) -> float:
    """Return what importing this library takes once NumPy is imported: the median of processes."""
    command = [sys.executable, "-c", _IMPORT]
    outputs = (subprocess.run(command, check=True, capture_output=True) for _ in range(repeats))
    return statistics.median(float(output.stdout) for output in outputs)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError):
        return None
