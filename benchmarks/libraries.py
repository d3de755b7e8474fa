"""The libraries whose arrays contenders get, on a device: "cpu" or "gpu"."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

CORES = os.cpu_count() or 1

Run = Callable[..., Any]  # writes into `out` if it can and is given one; it need not wait


class Library:
    """NumPy on the CPU, CuPy on a GPU; and what the others do otherwise."""

    module = "numpy"

    def __init__(self, device: str) -> None:
        self.device = device
        if device == "gpu" and self.module == "numpy":
            self.module = "cupy"
        self.chunks = (1 << 18,) if device == "cpu" else (1 << 22, 1 << 28)  # elements at once
        self.xp: Any = importlib.import_module(self.module)

    def why_unusable(self) -> str | None:
        """Return why it cannot work on the device, or None."""
        return None

    def adopt(self, array: Any) -> Any:
        """Return an array of NumPy or CuPy as the library's, of the same memory if that can be."""
        return array

    def outs(self, buffers: Sequence[Any]) -> list[Any]:
        """Return what `Run` takes to write into, as many as there are arrays."""
        return [self.adopt(buffer) for buffer in buffers]

    def copied(self, array: Any) -> Any:
        """Return an array in C order."""
        return self.xp.ascontiguousarray(array)

    def spread(self, z: Any, axis: int) -> tuple[Any, Any]:
        """Return mean and standard deviation."""
        return z.mean(axis), z.std(axis)

    def rows(self, array: Any, index: Any) -> Any:
        """Return rows with these numbers, which are all there."""
        return array[index]

    def host(self, array: Any) -> np.ndarray:
        """Return an array of the library as a NumPy array."""
        return array.get() if self.module == "cupy" else np.asarray(array)

    def stream(self) -> Any:
        """Return the stream on which it works, as CuPy's; None if there is none, or not known."""
        return self.xp.cuda.get_current_stream() if self.module == "cupy" else None

    def wait(self, result: Any) -> None:
        """Wait until a result is computed."""
        if self.device == "gpu":
            self.stream().synchronize()

    def inside(self, has_gradients: bool) -> AbstractContextManager:
        """Return a context for all calls."""
        return contextlib.nullcontext()

    def fastest(self, candidates: Sequence[Run]) -> Run:
        """Return the fastest of some calls, which are tried in turn, if there is memory for it."""

        def seconds(run: Run) -> float:
            start = time.perf_counter()
            self.wait(run())
            return time.perf_counter() - start

        best: dict[Run, float] = {}
        for run in candidates:
            try:
                seconds(run)
                best[run] = math.inf
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                free()
        if not best:
            raise MemoryError("no form of it fits into memory")
        spent = 0.0
        for _ in range(5):
            for run in best:
                taken = seconds(run)
                best[run] = min(best[run], taken)
                spent += taken
            if spent > 0.3 * len(best):
                break
        return min(best, key=best.__getitem__)


class _PyTorch(Library):
    """PyTorch, on all cores."""

    module = "torch"

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.xp.set_num_threads(CORES)

    def why_unusable(self):
        on_gpu = self.device == "gpu"
        return "PyTorch finds no GPU" if on_gpu and not self.xp.cuda.is_available() else None

    def adopt(self, array):
        return self.xp.from_dlpack(array) if self.device == "gpu" else self.xp.from_numpy(array)

    def copied(self, array):
        return array.contiguous()

    def spread(self, z, axis):
        return self.xp.std_mean(z, axis, correction=0)[::-1]

    def host(self, array):
        return array.cpu().numpy()

    def stream(self):
        if self.device == "cpu":
            return None
        cupy = importlib.import_module("cupy")
        return cupy.cuda.Stream.from_external(self.xp.cuda.current_stream())

    def inside(self, has_gradients):
        return contextlib.nullcontext() if has_gradients else self.xp.inference_mode()


class _JAX(Library):
    """JAX, which does not tell on which stream it works."""

    module = "jax"

    def __init__(self, device: str) -> None:
        super().__init__(device)
        if device == "gpu":
            self.xp.config.update("jax_enable_x64", True)  # or there would be no float64
            self.xp.config.update("jax_default_matmul_precision", "highest")

    def why_unusable(self):
        platform = self.xp.default_backend()
        return None if platform == self.device else f"JAX works on the {platform}"

    def adopt(self, array):
        return self.xp.numpy.asarray(array if self.device == "cpu" else array.get())

    def outs(self, buffers):
        # JAX reuses memory by taking an array's place: what is donated is what the result is put
        # in. So what it writes into is a list of the array that the next one replaces.
        return [[self.xp.numpy.zeros(buffer.shape, buffer.dtype)] for buffer in buffers]

    def copied(self, array):
        return self.xp.numpy.array(array)

    def rows(self, array, index):
        return array.at[index].get(mode="promise_in_bounds")

    def stream(self):
        return None

    def wait(self, result):
        self.xp.block_until_ready(result)

    def jitted(self, function: Run, operands: tuple[Any, ...]) -> Run:
        """Return a call of a compiled function, whose result may take the place of another."""

        def replacing(_, *operands):
            return function(*operands)

        new = self.xp.jit(function)
        into = self.xp.jit(replacing, donate_argnums=0, keep_unused=True)

        def run(out=None):
            if out is None:
                return new(*operands)
            out[0] = into(out[0], *operands)
            return out[0]

        return run


LIBRARIES = {"arrays": Library, "torch": _PyTorch, "jax": _JAX}


def forget() -> None:
    """Drop what libraries keep of the functions they compiled: each size compiles its own."""
    if "torch" in sys.modules:
        sys.modules["torch"]._dynamo.reset()
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    free()


def free() -> None:
    """Give back to the GPU what the libraries keep of arrays that are gone."""
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        sys.modules["torch"].cuda.empty_cache()
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()


def is_out_of_memory(error: Exception) -> bool:
    """Whether a library says that no memory is left; each says it in its own way."""
    phrases = "out of memory", "out_of_memory", "resource_exhausted"
    return isinstance(error, MemoryError) or any(x in str(error).lower() for x in phrases)
