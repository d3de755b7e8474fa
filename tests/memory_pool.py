"""The simplest memory pool that has memory left exactly when CuPy's own would.

As in CuPy 14.2, a block belongs to the handle of the stream on which it was allocated, and only
allocations on that stream reuse it. A smaller allocation splits it. The limit counts all blocks,
including free ones. Only a completely free block can be returned to the driver. The driver reuses
the handle of a destroyed stream for the next one.
"""

from __future__ import annotations

import weakref
from typing import Any

import cupy

_UNIT = 512


class Pool:
    """An allocator for `cupy.cuda.using_allocator`, with a limit in bytes."""

    def __init__(self, limit: int):
        self.limit = limit
        self._blocks: list[_Block] = []
        self._streams: list[Any] = []  # indexed by handle: a stream or None

    def malloc(self, size: int) -> Any:
        size = -(-size // _UNIT) * _UNIT
        if not size:
            return cupy.cuda.MemoryPointer(cupy.cuda.memory.Memory(0), 0)
        handle = self._handle(cupy.cuda.get_current_stream())
        fitting = [
            part
            for block in self._blocks
            if block.handle == handle
            for part in block.parts
            if part.is_free and part.size >= size
        ]
        if fitting:
            part = min(fitting, key=lambda part: part.size)
        else:
            part = self._new_block(handle, size).parts[0]
        part.take(size)
        memory = part.block.memory
        pointer = memory.ptr + part.start
        owner = _Owner(memory, part)
        return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(pointer, size, owner, 0), 0)

    def free_all_blocks(self) -> None:
        self._blocks = [block for block in self._blocks if not block.is_free()]

    def total_bytes(self) -> int:
        return sum(block.size for block in self._blocks)

    def _new_block(self, handle: int, size: int) -> _Block:
        if self.total_bytes() + size > self.limit:
            self.free_all_blocks()
        if self.total_bytes() + size > self.limit:
            raise cupy.cuda.memory.OutOfMemoryError(size, self.total_bytes(), self.limit)
        self._blocks.append(_Block(handle, size))
        return self._blocks[-1]

    def _handle(self, stream: Any) -> int:
        living = [None if ref is None else ref() for ref in self._streams]
        for handle, other in enumerate(living):
            if other is stream:
                return handle
        handle = living.index(None) if None in living else len(living)
        self._streams[handle:] = [weakref.ref(stream), *self._streams[handle + 1 :]]
        return handle


class _Block:
    def __init__(self, handle: int, size: int):
        self.handle, self.size = handle, size
        self.memory = cupy.cuda.memory.Memory(size)
        self.parts = [_Part(self, 0, size)]

    def is_free(self) -> bool:
        return all(part.is_free for part in self.parts)


class _Part:
    def __init__(self, block: _Block, start: int, size: int):
        self.block, self.start, self.size, self.is_free = block, start, size, True

    def take(self, size: int) -> None:
        parts = self.block.parts
        if self.size > size:
            rest = _Part(self.block, self.start + size, self.size - size)
            parts.insert(parts.index(self) + 1, rest)
        self.size, self.is_free = size, False

    def free(self) -> None:
        self.is_free = True
        parts = self.block.parts
        place = parts.index(self)
        for one, other in ((place, place + 1), (place - 1, place)):
            if 0 <= one and other < len(parts) and parts[one].is_free and parts[other].is_free:
                parts[one].size += parts[other].size
                del parts[other]


class _Owner:
    """The owner of an array's memory: frees it when the array is deleted."""

    def __init__(self, memory: Any, part: _Part):
        self.memory, self.part = memory, part

    def __del__(self) -> None:
        self.part.free()
