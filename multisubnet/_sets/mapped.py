"""Arrays in memory-mapped files; their pages count as memory in use until released."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds


def mapping_of(array: Any) -> mmap.mmap | None:
    """Return the file mapping that an array lies in, as a `numpy.memmap` does, or None.

    Changes to a private mapping exist only in memory, so it counts as an array in memory.
    """
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and array.mode != "c" and isinstance(array.base, mmap.mmap):
            return array.base
        array = array.base
    return None


def bytes_per_element(array: np.ndarray) -> int:
    """Return how many bytes of pages an element takes, for contiguous parts of a mapped array.

    Gaps between elements count if they are in the same pages.
    """
    size, run, elements = array.itemsize, array.itemsize, 1  # `run` bytes are contiguous
    axes = zip(array.strides, array.shape, strict=True)
    for stride, n in sorted((abs(stride), n) for stride, n in axes if n > 1):
        elements *= n
        if stride <= run + mmap.PAGESIZE:
            run = stride * (n - 1) + run
            size = max(size * n, run)
        else:
            size = (size + mmap.PAGESIZE) * n
            run = stride * n
    return -(-size // elements)


def flush(array: np.ndarray) -> None:
    """Write the pages of a mapped array to its file."""
    mapping = mapping_of(array)
    if mapping is not None and array.size:
        mapping.flush(*_pages(array, mapping))


def release(array: np.ndarray) -> None:
    """Release the memory of a mapped array's pages; they are read again when needed.

    Modified pages must have been flushed.
    """
    mapping = mapping_of(array)
    if mapping is not None and array.size and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED, *_pages(array, mapping))


def _pages(array: np.ndarray, mapping: mmap.mmap) -> tuple[int, int]:
    """Return the offset in the mapping and the length of the pages that an array touches."""
    first, end = byte_bounds(array)
    start = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    offset = (first - start) // mmap.PAGESIZE * mmap.PAGESIZE
    return offset, end - start - offset
