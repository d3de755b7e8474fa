"""The GPU backend: kernels of cuda/, compiled by NVRTC when they are first needed."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from multisubnet import _launch, _sources

ARRAYS = "cupy"

serves = _launch.serves


@functools.cache
def why_unavailable() -> str | None:
    """Return what is missing, or None where a GPU can be used."""
    try:
        import cupy
    except ImportError as error:
        return (
            f"CuPy cannot be imported ({error}); install multisubnet[cuda12] or "
            f"multisubnet[cuda13], as the driver's CUDA version is"
        )
    except Exception as error:  # a broken CUDA installation fails in many ways
        return f"importing CuPy failed: {type(error).__name__}: {error}"
    try:
        if cupy.cuda.runtime.getDeviceCount() > 0:
            return None
        return "CuPy found no GPU"
    except Exception as error:
        return f"CuPy found no usable GPU or driver: {error}"


def empty(shape: tuple[int, ...], dtype: np.dtype, like: Any) -> Any:
    """Return a new C-contiguous array, on the device of the array `like`."""
    import cupy

    with like.device:
        return cupy.empty(shape, dtype)


def adopt(array: np.ndarray, like: Any) -> Any:
    """Return a copy of a NumPy array, on the device of `like` or else on the current one."""
    import cupy

    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if not isinstance(like, cupy.ndarray):
        return cupy.asarray(array)
    with like.device:
        return cupy.asarray(array)


def affine(samples: Any, weight: Any, bias: Any, out: Any, dtype: np.dtype) -> None:
    """Write samples * weight + bias, in `dtype`, to `out` of shape (N, B, F)."""
    if out.size:
        _run(_launch.affine(samples, weight, bias, out, dtype, _address), "affine.cu", out)


def _address(array: Any) -> int:
    return array.data.ptr


def _run(launch: _launch.Launch, file: str, out: Any) -> None:
    argument = np.frombuffer(launch.argument, np.dtype((np.void, len(launch.argument))))
    with out.device:
        _kernel(file, launch.kernel)(launch.grid, launch.block, (argument,))


@functools.cache
def _kernel(file: str, name: str) -> Any:
    import cupy

    module = cupy.RawModule(
        code=_sources.source(file), options=("-std=c++17",), name_expressions=(name,)
    )
    return module.get_function(name)
