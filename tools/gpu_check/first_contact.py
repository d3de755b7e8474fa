"""Describe the machine, and compare the bits of each family of kernels with those of the CPU.

Without a usable GPU it prints "no GPU: why".
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

import multisubnet as ms
from multisubnet.testing import assert_same_bits

_PACKAGES = (
    *("numpy", "cupy-cuda12x", "cupy-cuda13x", "numba", "ml_dtypes", "torch", "triton", "jax"),
    *("jaxlib", "pytest", "pytest-xdist", "hypothesis", "nvidia-cuda-nvrtc", "cuda-pathfinder"),
)
_MODULES = "numpy", "cupy", "torch", "jax", "multisubnet", "multisubnet.torch", "multisubnet.jax"
_COMMANDS = (
    ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv"],
    ["uname", "-r"],
    ["nproc"],
)
_IS_REHEARSAL = "GPU_CHECK_REHEARSAL" in os.environ  # small arrays, for simulated kernels

_RNG = np.random.default_rng(0)
N, B, F = (3, 40, 5) if _IS_REHEARSAL else (7, 301, 30)
SAMPLES, TARGETS = (_RNG.normal(size=(B, F)).astype("f4") for _ in "st")
WEIGHT, BIAS = (_RNG.normal(size=(N, F)).astype("f4") for _ in "wb")
OF_SETS = _RNG.normal(size=(N, B, F)).astype("f4")
INDEX = _RNG.integers(0, N, B)
FACTORS = _RNG.uniform(0.5, 2, B).astype("f4")
TINY = np.float32(1e-38)

Call = tuple[str, Callable[..., Any], tuple[np.ndarray, ...], dict[str, Any]]


def main() -> None:
    """Print the results, and exit with status 1 if any bits differ."""
    describe()
    config = ms.show_config("dicts")["Backends"]["cupy"]
    if "cupy" not in ms.available_backends():
        print(f"no GPU: {config}")
        sys.exit(3)
    print(config)
    began, failed, count = time.perf_counter(), 0, 0
    for name, function, operands, options in calls():
        count += 1
        try:
            seconds = compare(function, *operands, **options)
            print(f"ok    {name} ({1e3 * seconds:.0f} ms, compiling included)")
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc(limit=4)}")
    print(f"{count - failed} of {count} are right, {time.perf_counter() - began:.0f} s")
    sys.exit(failed > 0)


def describe() -> None:
    """Print versions, the machine, and import warnings, which tests treat as errors."""
    print(f"python {sys.version.split()[0]}")
    for package in _PACKAGES:
        try:
            print(f"  {package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            print(f"  {package} -")
    for command in _COMMANDS:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
            print(done.stdout.strip())
        except OSError:
            print(f"no {command[0]}")
    for module in _MODULES:
        if importlib.util.find_spec(module.split(".")[-1]) is None:
            continue
        command = [sys.executable, "-W", "error", "-c", f"import {module}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"import {module} with -W error: {done.stderr.strip().splitlines()[-1][:200]}")


def compare(function: Callable[..., Any], *operands: np.ndarray, **options: Any) -> float:
    """Return the seconds of a call on the GPU; raise if its bits differ from those of the CPU."""
    import cupy

    def call(move: Callable[[np.ndarray], Any]) -> tuple[Any, ...]:
        moved = {k: move(x) if isinstance(x, np.ndarray) else x for k, x in options.items()}
        result = function(*map(move, operands), **moved)
        return result if isinstance(result, tuple) else (result,)

    with ms.use_backend("numpy"):
        desired = call(np.asarray)
    began = time.perf_counter()
    results = call(cupy.asarray)
    cupy.cuda.Device().synchronize()
    seconds = time.perf_counter() - began
    for result, expected in zip(results, desired, strict=True):
        assert type(result) is cupy.ndarray
        assert_same_bits(result, expected)
    return seconds


def calls() -> Iterator[Call]:
    """Yield the name, the function, the operands and the options of each call."""
    operands = SAMPLES, WEIGHT, BIAS
    for dtype in ("f4", "f8", "f2", "c8", "c16", "i4", "u1", "i8", "?"):
        cast = tuple((9 * x).astype(dtype) for x in operands)
        for axis in (0, 1):
            yield f"affine {dtype}, set_axis {axis}", ms.affine, cast, {"set_axis": axis}
    for name in ("relu", "tanh", "sigmoid", "gelu", "softplus", "exponential"):
        for dtype in ("f4", "f8", "f2"):
            cast = tuple(x.astype(dtype) for x in operands)
            yield f"affine {name} {dtype}", ms.affine, cast, {"activation": name}
    wide = tuple(np.tile(x, 7)[:, :32] for x in operands)
    yield "affine of aligned rows", ms.affine, wide, {}
    views = SAMPLES[::-2, ::3], WEIGHT[:, ::3], BIAS[::-1, ::3]
    yield "affine of views", ms.affine, views, {}
    mixed = SAMPLES.astype("f8"), WEIGHT, (9 * BIAS).astype("i2")
    yield "affine of mixed dtypes", ms.affine, mixed, {}
    yield "affine of subnormals", ms.affine, (SAMPLES * TINY, WEIGHT, BIAS * TINY), {}
    yield "affine of samples of each set", ms.affine, (OF_SETS, WEIGHT, BIAS), {}
    tanh = {"activation": "tanh"}
    yield "affine_select", ms.affine_select, (*operands, INDEX), tanh
    yield "affine_vjp", ms.affine_vjp, (*operands, OF_SETS), tanh
    shared = SAMPLES, WEIGHT[:1], BIAS, OF_SETS
    yield "affine_vjp of a shared weight", ms.affine_vjp, shared, tanh
    yield "affine_stats", ms.affine_stats, operands, {"activation": "gelu"}
    yield from calls_of_networks()
    with_targets = *operands, TARGETS
    with_labels = *operands, np.sign(TARGETS)
    yield "mean_loss_and_grad in closed form", ms.mean_loss_and_grad, with_targets, {}
    for loss in ("squared_error", "absolute_error", "huber", "log_cosh", "hinge"):
        for dtype in ("f4", "f8"):
            of_loss = with_labels if loss == "hinge" else with_targets
            cast = tuple(x.astype(dtype) for x in of_loss)
            options = tanh | {"loss": loss, "sample_weight": FACTORS}
            yield f"mean_loss_and_grad {loss} {dtype}", ms.mean_loss_and_grad, cast, options
    if not _IS_REHEARSAL:
        x, t = (np.resize(a, (20_011, 5)) for a in (SAMPLES, TARGETS))
        many = x, WEIGHT[:, :5], BIAS[:, :5], t
        yield "mean_loss of many blocks", ms.mean_loss, many, {"loss": "huber"}
        shapes = (569, 30), (1000, 30), (1000, 30)
        large = tuple(_RNG.normal(size=shape).astype("f4") for shape in shapes)
        yield "affine of 17 million elements", ms.affine, large, {}


def networks(samples: Any, *weights: Any, set_index: Any = None, **options: Any) -> Any:
    """Evaluate networks without biases, optionally with one set per sample."""
    if set_index is None:
        return ms.mlp(samples, weights, **options)
    return ms.mlp_select(samples, weights, set_index, **options)


def calls_of_networks() -> Iterator[Call]:
    """Yield calls of networks with hidden layers: in registers, added up, through memory."""
    for width, dtype in ((3, "f4"), (16, "f2"), (5, "f8"), (99, "f4")):
        sizes = (1, width), (width, 4)
        layers = [_RNG.normal(size=(N, F, *size)).astype(dtype) for size in sizes]
        arrays = SAMPLES.astype(dtype), *layers
        yield f"mlp 1-{width}-4 {dtype}", networks, arrays, {}
        yield f"mlp 1-{width}-4 {dtype}, added up", networks, arrays, {"additive": True}
        yield f"mlp_select 1-{width}-4 {dtype}", networks, arrays, {"set_index": INDEX}
    sizes = (1, 64), (64, 64), (64, 1)  # layers computed in turns
    wide = [_RNG.normal(size=(N, F, *size)).astype("f4") for size in sizes]
    for name in ("relu", "tanh"):
        yield f"mlp 1-64-64-1 {name}", networks, (SAMPLES, *wide), {"activation": name}


if __name__ == "__main__":
    main()
