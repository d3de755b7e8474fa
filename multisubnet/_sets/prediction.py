"""Predictions of weight sets in chunks; the result may be larger than memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arrays import amounts, dtypes, namespaces, validation
from multisubnet._arrays.types import SetAxis
from multisubnet._backends import numpy
from multisubnet._backends.affine_call import AffineCall
from multisubnet._backends.choice import use_backend
from multisubnet._backends.mlp_call import MlpCall
from multisubnet._functions import evaluation
from multisubnet._sets import chunks, mapped
from multisubnet._sets.parameters import Parameters, n_cut_axes, n_third
from multisubnet._sets.progress import reporting

UNCHECKED_BYTES = 1 << 26  # smaller results are not compared with the available memory
_CHUNK_BYTES = 1 << 28  # of a result written to `out` in chunks without a limit
_FEW = 4, 16  # sets and samples whose predictions tell if all are probabilities
_NEARLY_HALF = 0.51  # how far from 0.5 rounded probabilities may be
_LEAST_CHUNKS = 100  # minimal number of chunks if progress is shown ...
_LEAST_CHUNK_ELEMENTS = 1 << 22  # ... unless chunks would be smaller than this


class Prediction(NamedTuple):
    """A validated call whose result is computed whole or in parts."""

    call: AffineCall | MlpCall
    set_axis: SetAxis
    xp: ModuleType
    parameters: Parameters

    @classmethod
    def of(cls, samples: Any, parameters: Parameters, set_axis: Any) -> Prediction:
        """Validate the arguments; nothing is allocated."""
        xp, call = parameters.call(samples)
        return cls(call, validation.axis("set_axis", set_axis), xp, parameters)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        first, second, *others = self.call.shape
        return (second, first, *others) if self.set_axis else self.call.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the result."""
        return self.call.dtype

    @property
    def samples(self) -> Any:
        return self.call.samples

    def with_samples(self, samples: Any) -> Prediction:
        """Return the same prediction for other samples of the same shape and dtype."""
        return self._replace(call=self.call._replace(samples=samples))

    @property
    def row(self) -> int:
        """The number of elements of the result per set and sample."""
        return math.prod(self.call.shape[2:])

    @property
    def n_bytes(self) -> int:
        """The size of the result in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def are_probabilities(self) -> bool:
        """Return whether a few predictions are from 0 to 1; arrays on a GPU are not read."""
        if self.xp is not np:
            return False
        n_sets, n_samples = (min(n, most) for n, most in zip(self.call.shape, _FEW, strict=False))
        call = self.call.part(slice(n_sets), slice(n_samples), slice(0, n_third(self.call)))
        with use_backend("numpy"):  # others may have to compile the function
            values = self.block(call)
        return bool((abs(values - 0.5) <= _NEARLY_HALF).all())

    def whole(self, memory_limit: Any, progress: Any) -> Any:
        """Return the result as a new array, if it fits in memory."""
        if memory_limit is not None:
            limit = amounts.parse("memory_limit", memory_limit)
            self._check_fits(limit, "are allowed by memory_limit")
            return self._write(self._empty(), limit - self.n_bytes, progress)
        if self.n_bytes > UNCHECKED_BYTES:
            self._check_fits(amounts.available(self.xp), "are available")
        if progress:
            return self._write(self._empty(), None, progress)
        return self.block(self.call)

    def _check_fits(self, limit: int | None, what: str) -> None:
        if limit is not None and self.n_bytes > limit:
            raise MemoryError(
                f"a result of shape {self.shape} and dtype {self.dtype} has "
                f"{amounts.text(self.n_bytes)}, but {amounts.text(limit)} {what}: "
                f"pass out=, for example a numpy.memmap, with a memory_limit, or iterate over the "
                f"blocks of predict_chunks()"
            )

    def _empty(self) -> Any:
        with namespaces.device_of(self.samples):
            return self.xp.empty(self.shape, self.dtype)

    def into(self, out: Any, memory_limit: Any, progress: Any) -> None:
        """Write the result to an array, or to any object with slice assignment."""
        limit = None if memory_limit is None else amounts.parse("memory_limit", memory_limit)
        if isinstance(out, self.xp.ndarray):
            validation.check_out(self.xp, out, self.shape, self.dtype)
            ordered = out.swapaxes(0, 1) if self.set_axis else out
            unaliased = self._replace(call=self.call.unaliased(ordered))
            unaliased._write(out, limit, progress)
            return
        if not hasattr(out, "__setitem__"):
            raise TypeError(
                f"out must be an array or have slice assignment, not {type(out).__name__}"
            )
        if tuple(getattr(out, "shape", self.shape)) != self.shape:
            raise ValueError(f"out has shape {tuple(out.shape)}; expected {self.shape}")
        if not dtypes.can_cast(self.dtype, np.dtype(getattr(out, "dtype", self.dtype))):
            raise validation.cannot_hold(out, self.dtype)
        of_out = np.dtype(getattr(out, "dtype", self.dtype))
        itemsize = self.dtype.itemsize + of_out.itemsize * (of_out != self.dtype)
        elements = self._elements(limit or _CHUNK_BYTES, 1, progress, itemsize)
        for chunk, call in self.parts(elements, progress):
            out[chunk] = _as_dtype(namespaces.on_host(self.block(call)), of_out)
            _let_go(out, chunk)

    def blocks(self, memory_limit: Any, progress: Any) -> Iterator[tuple[slice, slice, Any]]:
        """Return an iterator over (slice over sets, slice over samples, block)."""
        limit = _CHUNK_BYTES
        if memory_limit is not None:
            limit = amounts.parse("memory_limit", memory_limit)
        elements = self._elements(limit, 2, progress)  # the caller may still hold the last block
        return (
            (*self._ordered(chunk), self.block(call))
            for chunk, call in self.parts(elements, progress)
        )

    def _write(self, out: Any, limit: int | None, progress: Any) -> Any:
        """Write the result to an array, using at most `limit` more bytes, and return it."""
        if self.xp is np and mapped.mapping_of(out) is not None:
            self._write_mapped(out, limit or _CHUNK_BYTES, progress)
            return out
        elements = self._elements(limit, 0, progress)
        for chunk, call in self.parts(elements, progress):
            self.block(call, out=out[chunk])
            _let_go(out, chunk)
        return out

    def _write_mapped(self, out: Any, limit: int, progress: Any) -> None:
        """Write the result to a mapped array, in blocks that are contiguous in its file."""
        n_sets = self.shape[self.set_axis]
        elements = self._elements(limit, 1, progress, mapped.bytes_per_element(out))
        done = 0
        with reporting(progress, n_sets) as report:
            n_cut = n_cut_axes(self.call)
            elements //= max(math.prod(self.shape[n_cut:]), 1)
            cut = self.shape[:n_cut], out.strides[:n_cut], max(elements, 1)
            for block in numpy.blocks(*cut) if out.size else ():
                first, second, *others = block
                call = self._part((first, second), *others)
                target = self.block(call, out=out[block])
                _let_go(out, block)
                mapped.release(call.samples)
                done += target.size
                report(done * n_sets // out.size)
            if not out.size:
                report(n_sets)

    def _elements(
        self, limit: int | None, blocks: int, progress: Any, itemsize: int | None = None
    ) -> int:
        """Return how many elements of the result to compute at once, within `limit` bytes."""
        elements = n_elements = math.prod(self.shape)
        if limit is not None:
            itemsize = itemsize or self.dtype.itemsize
            elements = chunks.elements_within(limit, blocks, itemsize)
            if elements < self.row:
                least = chunks.bytes_for(self.row, blocks, itemsize)
                what = "features" if isinstance(self.call, AffineCall) else "values"
                raise ValueError(
                    f"memory_limit leaves {limit} bytes; expected at least {least}, for the "
                    f"{self.row} {what} of one set and sample"
                )
        if progress:
            elements = min(elements, max(n_elements // _LEAST_CHUNKS, _LEAST_CHUNK_ELEMENTS))
        return elements

    def parts(
        self, elements: int, progress: Any
    ) -> Iterator[tuple[chunks.Chunk, AffineCall | MlpCall]]:
        """Yield chunks of the result with the calls that compute them, and report progress."""
        n_first, n_second = self.shape[:2]
        n_sets, n_pairs = self.shape[self.set_axis], n_first * n_second
        done = 0
        with reporting(progress, n_sets) as report:
            for chunk in chunks.chunks((n_first, n_second, self.row), elements):
                call = self._part(chunk)
                yield chunk, call
                mapped.release(call.samples)
                done += math.prod(part.stop - part.start for part in chunk)
                report(done * n_sets // n_pairs)
            if not n_pairs:
                report(n_sets)

    def _ordered(self, chunk: chunks.Chunk) -> chunks.Chunk:
        """Return the slices of a chunk over sets and over samples."""
        return (chunk[1], chunk[0]) if self.set_axis else chunk

    def _part(self, chunk: chunks.Chunk, third: slice | None = None) -> AffineCall | MlpCall:
        """Return the call for a chunk, optionally only for some of the features or networks."""
        if third is None or third == slice(None):
            third = slice(0, n_third(self.call))
        return self.call.part(*self._ordered(chunk), third)

    def block(self, call: AffineCall | MlpCall, out: Any = None) -> Any:
        """Return the result of a part of the call, in `out` if given."""
        return evaluation.run(self.xp, call, out, self.set_axis)


@without_warnings
def _as_dtype(block: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return a block cast to a dtype, as if assigned to an array of it: rounded once."""
    if block.dtype == dtype:
        return block
    cast = np.empty(block.shape, dtype)
    dtypes.copyto(cast, block)
    return cast


def _let_go(out: Any, chunk: tuple[slice, ...]) -> None:
    """Write a chunk of a mapped array to its file, and release its memory."""
    if mapped.mapping_of(out) is not None:
        mapped.flush(out[chunk])
        mapped.release(out[chunk])
