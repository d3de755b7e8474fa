"""What a measurement was taken on."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import multisubnet

_PACKAGES = ["numpy", "numba", "llvmlite", "numexpr", "torch", "tabm", "jax", "jaxlib", "keras"]
GPU_PACKAGES = ["numpy", "cupy-cuda12x", "cupy-cuda13x", "cupy", "torch", "triton", "jax", "jaxlib"]
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


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of all that takes part and is installed."""
    found = {"python": platform.python_version(), "multisubnet": multisubnet.__version__}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def gpu() -> dict[str, object]:
    """Return the current GPU, its driver and its memory, as far as CuPy and the system tell."""
    import cupy

    device = cupy.cuda.Device()
    properties = cupy.cuda.runtime.getDeviceProperties(device.id)
    attributes = device.attributes
    clock, width = attributes.get("MemoryClockRate"), attributes.get("GlobalMemoryBusWidth")
    found: dict[str, object] = {
        "name": properties["name"].decode(),
        "compute_capability": device.compute_capability,
        "multiprocessors": attributes.get("MultiProcessorCount"),
        "memory_gib": round(device.mem_info[1] / 2**30, 1),
        "l2_bytes": attributes.get("L2CacheSize"),
        "memory_clock_khz": clock,
        "memory_bus_bits": width,
        "driver": _driver(device.pci_bus_id),
        "cuda_of_driver": cupy.cuda.runtime.driverGetVersion(),
        "cuda_runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "nvrtc": list(cupy.cuda.nvrtc.getVersion()),
    }
    if clock and width:  # two transfers in a cycle
        found["memory_bytes_per_second"] = 2 * clock * 1000 * width // 8
    return found


def _driver(pci_bus_id: str) -> str | None:
    command = ["nvidia-smi", f"--id={pci_bus_id}", "--query-gpu=driver_version"]
    try:
        output = subprocess.run(
            [*command, "--format=csv,noheader"], check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return output.stdout.strip()


def slug(name: str) -> str:
    """Return a name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


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
