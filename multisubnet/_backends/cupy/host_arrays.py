"""`affine` and `mlp` of NumPy arrays on the GPU, in chunks; results may exceed its memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from multisubnet._backends.affine_call import AffineCall
from multisubnet._backends.cupy import engine
from multisubnet._backends.mlp_call import MlpCall

_CHUNK_BYTES = 1 << 25  # of the result; two chunks are on the GPU and two in pinned memory


def affine(call: AffineCall, out: np.ndarray) -> None:
    """Write activation(samples * weight + bias) to `out` of shape (N, B, F)."""
    _write(call, out)


def mlp(call: MlpCall, out: np.ndarray) -> None:
    """Write the values of all networks to `out`, of shape (N, B, S, P), or (N, B, P)."""
    _write(call, out)


def _write(call: AffineCall | MlpCall, out: np.ndarray) -> None:
    """Write the result of a call to `out`, whose first axes are sets and samples.

    Chunks are slices of sets, or of samples if their stride is larger. Chunks that do not fit on
    the card are halved.
    """
    import cupy

    if not out.size:
        return
    by_samples = abs(out.strides[1]) > abs(out.strides[0]) or len(out) == 1
    result = out.swapaxes(0, 1) if by_samples else out
    passage = _Passage(call, result, by_samples)
    row_bytes = result.nbytes // len(result)
    rows = min(max(_CHUNK_BYTES // row_bytes, 1), len(result))
    while True:
        try:
            passage.write(rows)
            return
        except cupy.cuda.memory.OutOfMemoryError as error:
            if rows == 1:
                free, total = cupy.cuda.runtime.memGetInfo()
                raise MemoryError(
                    f"one {'sample' if by_samples else 'set'} of the result has {row_bytes} bytes "
                    f"and does not fit on the GPU with its operands: {free} of {total} bytes are "
                    f"free"
                ) from error
        # The exception released the memory of the failed attempt. CuPy would now split off the
        # smaller chunk from that block, and could not free the rest of a split block.
        _free_blocks()
        rows = -(-rows // 2)


def _free_blocks() -> None:
    """Free the unused memory in CuPy's current memory pool, if there is a pool."""
    import cupy

    pool = getattr(cupy.cuda.get_allocator(), "__self__", None)
    if pool is not None and hasattr(pool, "free_all_blocks"):
        pool.free_all_blocks()


class _Passage:
    """The transfer of a result through the GPU; `done` rows of its first axis are complete."""

    def __init__(self, call: AffineCall | MlpCall, result: np.ndarray, by_samples: bool):
        self.call, self.result, self.by_samples = call, result, by_samples
        self.operands = call.arrays
        self.done = 0
        self._shared: Any = None  # operands on the GPU that every chunk needs completely

    def write(self, rows: int) -> None:
        """Write the remaining rows, `rows` at a time.

        While one chunk is computed and copied to pinned memory, the previous one is copied on.
        """
        import cupy

        if self._shared is None:
            self._shared = [
                None if self._has_rows(i, x) else engine.copy_from_other(x)
                for i, x in enumerate(self.operands)
            ]
            cupy.cuda.get_current_stream().synchronize()  # other streams will read the operands
        left = range(self.done, len(self.result), rows)
        shape = rows, *self.result.shape[1:]
        lanes: list[_Lane] = []
        try:
            lanes += (_Lane(shape, self.result.dtype.newbyteorder("=")) for _ in left[:2])
            for number, first in enumerate(left):
                lane = lanes[number % 2]
                self.done += lane.deliver()
                target = self.result[first : first + rows]
                with lane.stream:
                    self._evaluate(lane.on_gpu[: len(target)], first)
                lane.send(target)
            for number in range(len(left), len(left) + len(lanes)):
                self.done += lanes[number % len(lanes)].deliver()
        finally:
            for lane in lanes:
                lane.stream.synchronize()  # from here on nothing writes to its memory

    def _evaluate(self, chunk: Any, first: int) -> None:
        """Start to compute the rows of the result that begin at `first`."""
        rows = slice(first, first + len(chunk))
        operands = []
        for i, operand in enumerate(self.operands):
            if self._has_rows(i, operand):
                of_rows = operand[..., rows, :] if self.by_samples else operand[rows]
                operands.append(engine.copy_from_other(of_rows))
            else:
                operands.append(self._shared[i])
        ordered = chunk.swapaxes(0, 1) if self.by_samples else chunk
        of_chunk = iter(operands)
        call = self.call.with_arrays(lambda _: next(of_chunk)).with_lengths(*ordered.shape[:2])
        getattr(engine, call.function)(call, ordered)

    def _has_rows(self, number: int, operand: np.ndarray) -> bool:
        """Return whether rows of the result need only the same rows of this operand."""
        is_samples = number == 0
        if self.by_samples:
            return is_samples
        return operand.ndim == 3 if is_samples else len(operand) > 1


class _Lane:
    """A stream with a chunk of the result on the GPU, and pinned memory for the copy to the host.

    A chunk larger than _CHUNK_BYTES consists of one row. It passes through that much pinned memory
    in pieces of its second axis: while one is written to the result, the next is copied.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        import cupy
        import cupyx

        self.stream = cupy.cuda.Stream(non_blocking=True)
        with self.stream:
            self.on_gpu = cupy.empty(shape, dtype)
        rows, length, *others = shape
        if self.on_gpu.nbytes > _CHUNK_BYTES:
            length = max(_CHUNK_BYTES // (2 * math.prod(others) * dtype.itemsize), 1)
        self._pieces = [slice(first, first + length) for first in range(0, shape[1], length)]
        halves = min(len(self._pieces), 2)
        self._pinned = cupyx.empty_pinned((halves, rows, length, *others), dtype)
        self._target: np.ndarray | None = None

    def send(self, target: np.ndarray) -> None:
        """Start to copy the computed chunk; `target` is its part of the result."""
        self._target = target
        self._start(0)

    def deliver(self) -> int:
        """Wait for the copy, write it to the result, and return its number of rows."""
        if self._target is None:
            return 0
        target = self._target
        for number, piece in enumerate(self._pieces):
            self.stream.synchronize()
            if number + 1 < len(self._pieces):
                self._start(number + 1)
            target[:, piece] = self._place(number)
        self._target = None
        return len(target)

    def _start(self, number: int) -> None:
        """Start to copy a piece to pinned memory."""
        assert self._target is not None
        piece = self.on_gpu[: len(self._target), self._pieces[number]]
        with self.stream:
            piece.get(out=self._place(number), blocking=False)

    def _place(self, number: int) -> np.ndarray:
        """Return the pinned memory of a piece; pieces alternate between two halves."""
        assert self._target is not None
        rows, length = self._target[:, self._pieces[number]].shape[:2]
        return self._pinned[number % 2, :rows, :length]
