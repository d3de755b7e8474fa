"""The libraries that work on a GPU: their arrays, their streams, and how to wait for them."""

from __future__ import annotations

import contextlib
import sys
from contextlib import AbstractContextManager
from typing import Any

import numpy as np


class Library:
    """CuPy, and what the others do otherwise."""

    module = "cupy"

    def why_unusable(self) -> str | None:
        """Return why it cannot work on the GPU, or None."""
        return None

    def adopt(self, *arrays: Any) -> tuple[Any, ...]:
        """Return CuPy arrays as the library's, of the same memory where that can be."""
        return arrays

    def results(self, buffers: list[Any]) -> list[Any]:
        """Return as many things to write into as there are CuPy arrays: those, where it can."""
        return list(self.adopt(*buffers))

    def host(self, array: Any) -> np.ndarray:
        """Return an array of the library as a NumPy array."""
        import cupy

        return cupy.asnumpy(array)

    def stream(self) -> Any:
        """Return the stream on which it works, as CuPy's; None where it does not tell."""
        import cupy

        return cupy.cuda.get_current_stream()

    def wait(self, result: Any) -> None:
        """Wait until a result is computed."""
        self.stream().synchronize()

    def inside(self) -> AbstractContextManager:
        """Return a context for all calls."""
        return contextlib.nullcontext()


class _PyTorch(Library):
    module = "torch"

    def why_unusable(self):
        import torch

        return None if torch.cuda.is_available() else "PyTorch finds no GPU"

    def adopt(self, *arrays):
        import torch

        return tuple(map(torch.from_dlpack, arrays))

    def host(self, array):
        return array.cpu().numpy()

    def stream(self):
        import cupy
        import torch

        return cupy.cuda.Stream.from_external(torch.cuda.current_stream())

    def inside(self):
        import torch

        return torch.inference_mode()


class _PyTorchWithGradients(_PyTorch):
    def inside(self):
        return contextlib.nullcontext()


class _JAX(Library):
    module = "jax"

    def why_unusable(self):
        import jax

        jax.config.update("jax_enable_x64", True)  # or there would be no float64
        platform = jax.default_backend()
        return None if platform == "gpu" else f"JAX works on the {platform}"

    def adopt(self, *arrays):
        import cupy
        import jax

        return tuple(jax.numpy.asarray(cupy.asnumpy(array)) for array in arrays)

    def results(self, buffers):
        # JAX reuses memory by taking an array's place: what is donated is what the result is put
        # in. So a thing to write into is a place, a list of the array that the next one replaces.
        import jax

        return [[jax.numpy.zeros(buffer.shape, buffer.dtype)] for buffer in buffers]

    def host(self, array):
        return np.asarray(array)

    def stream(self):
        return None

    def wait(self, result):
        import jax

        jax.block_until_ready(result)


CUPY = Library()
PYTORCH = _PyTorch()
PYTORCH_WITH_GRADIENTS = _PyTorchWithGradients()
JAX = _JAX()


def free() -> None:
    """Give back to the GPU what the libraries keep of arrays that are gone."""
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        sys.modules["torch"].cuda.empty_cache()
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()


def is_out_of_memory(error: Exception) -> bool:
    """Whether a library says that the GPU has no memory left; each says it in its own way."""
    text = str(error).lower()
    phrases = "out of memory", "out_of_memory", "resource_exhausted"
    return isinstance(error, MemoryError) or any(phrase in text for phrase in phrases)
