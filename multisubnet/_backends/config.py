"""A description of this installation, in the manner of `numpy.show_config`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from typing import Any, Literal

from multisubnet._backends import choice

_PACKAGES = ("multisubnet", "numpy", "numba", "cupy-cuda12x", "cupy-cuda13x", "cupy")
# Libraries whose arrays, models or data frames the package accepts. They are not imported.
_FRAMEWORKS = ("torch", "jax", "keras", "tensorflow", "dask", "scikit-learn", "pandas", "polars")


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Show versions, frameworks and devices, and what each backend serves or why it cannot run.

    This imports CuPy, if installed.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, optional
        Print the information, or return it.

    Returns
    -------
    dict or None
        With mode "dicts", a dict of strings and dicts.

    Raises
    ------
    ValueError
        `mode` is neither of these.

    Examples
    --------
    >>> import multisubnet
    >>> multisubnet.show_config("dicts")["Backends"]["numpy"]
    'serves NumPy arrays and sequences'
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"mode must be 'stdout' or 'dicts', not {mode!r}")
    config: dict[str, Any] = {
        "Versions": {"python": platform.python_version()} | _versions(_PACKAGES),
        "Frameworks": _versions(_FRAMEWORKS),
        "Machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": str(os.cpu_count()),
        },
        "Backends": _backends(),
        "Choice": _choice(),
    }
    if mode == "dicts":
        return config
    for title, entries in config.items():
        if isinstance(entries, str):
            print(f"{title}: {entries}")
            continue
        print(f"{title}:" + " none" * (not entries))
        for name, text in entries.items():
            print(f"  {name}: {text}")
    return None


def _versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    from importlib import metadata  # takes as long to import as everything else here

    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _choice() -> str:
    name = choice.choice()
    if name is None:
        return "by the type of the arrays"
    try:
        choice.load(name)
    except (ValueError, choice.BackendUnavailable) as error:
        return f"{name}, but {error}"
    return name


def _backends() -> dict[str, str]:
    backends = {}
    for name, why in choice.why_unavailable().items():
        if why is not None:
            backends[name] = f"cannot run: {why}"
        elif choice.backend_module(name).ARRAYS == "cupy":
            backends[name] = f"serves CuPy arrays ({_gpus()})"
        else:
            backends[name] = "serves NumPy arrays and sequences"
    return backends


def _gpus() -> str:
    runtime = sys.modules["cupy"].cuda.runtime
    names = [
        runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount())
    ]
    return ", ".join(f"GPU {i}: {name}" for i, name in enumerate(names))
