"""What a measurement was taken on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import multisubnet

_PACKAGES = [
    "numpy",
    "numba",
    "llvmlite",
    "numexpr",
    "torch",
    "triton",
    "tabm",
    "jax",
    "jaxlib",
    "keras",
]
_CUPY = ["cupy", "cupy-cuda12x", "cupy-cuda13x"]


def describe() -> dict[str, Any]:
    """Return the machine's CPU, cores, memory and system."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)$", info.read_text() if info.exists() else "", re.M)
    memory = None
    if hasattr(os, "sysconf"):
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return {
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "os": platform.platform(),
    }


def versions(device: str = "cpu") -> dict[str, str]:
    """Return the versions of all that takes part and is installed."""
    found = {"python": platform.python_version(), "multisubnet": multisubnet.__version__}
    for package in _PACKAGES + (_CUPY if device == "gpu" else []):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def gpu() -> dict[str, Any]:
    """Return the current GPU, its driver and its memory, as far as CuPy and the system tell."""
    import cupy

    device, runtime = cupy.cuda.Device(), cupy.cuda.runtime
    attributes = device.attributes
    clock, width = attributes.get("MemoryClockRate"), attributes.get("GlobalMemoryBusWidth")
    command = ["nvidia-smi", f"--id={device.pci_bus_id}", "--query-gpu=driver_version"]
    try:
        driver = subprocess.check_output([*command, "--format=csv,noheader"], text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        driver = None
    return {
        "name": runtime.getDeviceProperties(device.id)["name"].decode(),
        "compute_capability": device.compute_capability,
        "multiprocessors": attributes.get("MultiProcessorCount"),
        "memory_gib": round(device.mem_info[1] / 2**30, 1),
        "l2_bytes": attributes.get("L2CacheSize"),
        "memory_clock_khz": clock,
        "memory_bus_bits": width,  # with two transfers in a cycle:
        "memory_bytes_per_second": 2 * clock * 1000 * width // 8 if clock and width else None,
        "driver": driver,
        "cuda_of_driver": runtime.driverGetVersion(),
        "cuda_runtime": runtime.runtimeGetVersion(),
        "nvrtc": list(cupy.cuda.nvrtc.getVersion()),
    }


def slug(name: str) -> str:
    """Return a name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
