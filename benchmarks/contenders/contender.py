"""A contender, and the library whose arrays it gets: NumPy or CuPy, PyTorch, JAX."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import timeit
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from tasks import LOSSES, Task

import multisubnet as ms

OURS = "multisubnet"
CORES = os.cpu_count() or 1
CPU, GPU = ("cpu",), ("gpu",)
SUMS = "affine_stats", *LOSSES

Run = Callable[..., Any]  # writes into `out` if it can and is given one; it need not wait


class Library:
    """NumPy on the CPU, CuPy on a GPU; the others derive from it."""

    module = "numpy"
    returns_early = False  # on the CPU, before a result is computed

    def __init__(self, device: str) -> None:
        self.device = device
        if device == "gpu" and self.module == "numpy":
            self.module = "cupy"
        self.chunks = (1 << 18,) if device == "cpu" else (1 << 22, 1 << 28)  # elements at once
        self.xp: Any = importlib.import_module(self.module)

    def adopt(self, array: Any) -> Any:
        """Return an array of NumPy or CuPy as the library's, of the same memory if that can be."""
        return array

    def out_of(self, buffer: Any) -> Any:
        """Return the `out` of a `Run` for an array of NumPy or CuPy."""
        return self.adopt(buffer)

    def transposed(self, array: Any) -> Any:
        """Return the transpose of a matrix, in C order."""
        return self.xp.ascontiguousarray(array.T)

    def host(self, array: Any) -> np.ndarray:
        """Return an array of the library as a NumPy array."""
        return array.get() if self.module == "cupy" else np.asarray(array)

    def stream(self) -> Any:
        """Return the stream on which it works, as CuPy's; None on the CPU, or if not known."""
        return self.xp.cuda.get_current_stream() if self.module == "cupy" else None

    def wait(self, result: Any) -> None:
        """Wait until a result is computed."""
        if self.device == "gpu":
            self.stream().synchronize()

    def inside(self, has_gradients: bool) -> AbstractContextManager:
        """Return a context for all calls."""
        return contextlib.nullcontext()

    def compiled(self, function: Callable[..., Any], operands: tuple[Any, ...]) -> Run:
        """Return a call of a compiled function, whose result may take the place of another."""
        raise NotImplementedError

    def fastest(self, candidates: Sequence[Run]) -> Run:
        """Return the fastest of some calls, leaving out those for which there is no memory."""
        if len(candidates) == 1:
            return candidates[0]
        seconds: dict[Run, float] = {}
        for run in candidates:
            timer = timeit.Timer(lambda run=run: self.wait(run()))
            try:
                timer.timeit(1)  # compiles it
                seconds[run] = min(timer.repeat(3, 1))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                free()
        if not seconds:
            raise MemoryError("no form of it fits into memory")
        return min(seconds, key=seconds.__getitem__)


class _Torch(Library):
    """PyTorch, on all cores."""

    module = "torch"

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.np = self.nn = self.xp
        self.xp.set_num_threads(CORES)
        if device == "gpu" and not self.xp.cuda.is_available():
            raise RuntimeError("PyTorch finds no GPU")

    def adopt(self, array):
        return self.xp.from_dlpack(array) if self.device == "gpu" else self.xp.from_numpy(array)

    def transposed(self, array):
        return array.T.contiguous()

    def host(self, array):
        return array.cpu().numpy()

    def stream(self):
        if self.device == "cpu":
            return None
        cupy = importlib.import_module("cupy")
        return cupy.cuda.Stream.from_external(self.xp.cuda.current_stream())

    def inside(self, has_gradients):
        return contextlib.nullcontext() if has_gradients else self.xp.inference_mode()

    def compiled(self, function, operands):
        new, into = (
            self.xp.compile(f, dynamic=False)
            for f in (function, lambda out, *operands: out.copy_(function(*operands)))
        )
        return lambda out=None: new(*operands) if out is None else into(out, *operands)


class _JAX(Library):
    """JAX."""

    module = "jax"
    returns_early = True

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.np, self.nn = self.xp.numpy, self.xp.nn
        if device == "gpu":
            self.xp.config.update("jax_enable_x64", True)  # or there would be no float64
            self.xp.config.update("jax_default_matmul_precision", "highest")
        if self.xp.default_backend() != device:
            raise RuntimeError(f"JAX works on the {self.xp.default_backend()}")

    def adopt(self, array):
        return self.np.asarray(array if self.device == "cpu" else array.get())

    def out_of(self, buffer):
        # JAX reuses memory by taking an array's place: the result is put in what is donated. So
        # `out` is a list of the array that the next result replaces.
        return [self.np.zeros(buffer.shape, buffer.dtype)]

    def transposed(self, array):
        return array.T

    def stream(self):
        return None

    def wait(self, result):
        self.xp.block_until_ready(result)

    def compiled(self, function, operands):
        into = self.xp.jit(
            lambda _, *operands: function(*operands), donate_argnums=0, keep_unused=True
        )
        new = self.xp.jit(function)

        def run(out=None):
            if out is None:
                return new(*operands)
            out[0] = into(out[0], *operands)
            return out[0]

        return run


@dataclass(frozen=True)
class Contender:
    """One way to compute the result, or (`is_limit`) only to write its bytes."""

    name: str
    setup: Callable[..., Run]
    library: str = "arrays"  # of NumPy or CuPy
    functions: tuple[str, ...] = ("affine",)  # of the library, that it can stand in for
    can: Callable[[Task], bool] = lambda task: True  # which tasks of theirs
    devices: tuple[str, ...] = ("cpu", "gpu")
    requires: tuple[str, ...] = ()  # modules without which it is left out
    reuses: bool = True  # whether it can write into a result that is given
    arranged: Callable[[Task, Any], Any] = lambda task, result: result
    is_additive: bool = False  # sums over networks
    inside: Callable[[], AbstractContextManager] = contextlib.nullcontext  # around all its calls
    pause: float = 0.0  # seconds before each call
    is_limit: bool = False

    def why_missing(self, device: str) -> str | None:
        """Return why it cannot take part, or None."""
        try:
            for name in self.requires:
                importlib.import_module(name)
            get_library(self.library, device)
        except Exception as error:  # a broken installation fails in many ways
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
        return None


CONTENDERS: list[Contender] = []
ENGINE = {"requires": ("numba",), "devices": CPU, "inside": lambda: ms.use_backend("numba")}


def contender(name: str, library: str = "arrays", **options: Any) -> Callable[[Any], Any]:
    """Decorate a setup to add it to the contenders."""

    def add(setup: Callable[..., Run]) -> Callable[..., Run]:
        CONTENDERS.append(Contender(name, setup, library, **options))
        return setup

    return add


@functools.cache
def get_library(name: str, device: str) -> Any:
    """Return a library on a device, imported when it is first asked for."""
    return {"arrays": Library, "torch": _Torch, "jax": _JAX}[name](device)


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
