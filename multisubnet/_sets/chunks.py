"""Splitting a result into contiguous chunks that fit within a number of bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator

# Apart from blocks of the result, an evaluation holds at most this many values per element at
# once: those of a recipe, or operands being cast.
_VALUES = 16
_ELEMENTS = 1 << 15
_VALUE_BYTES = 8

Chunk = tuple[slice, slice]  # slices of the first two axes of a result


def bytes_for(elements: int, blocks: int, itemsize: int) -> int:
    """Return how many bytes chunks of this many elements need; the inverse of `elements_within`."""
    return elements * blocks * itemsize + _VALUES * _VALUE_BYTES * min(elements, _ELEMENTS)


def elements_within(limit: int, blocks: int, itemsize: int) -> int:
    """Return how many elements a chunk may have.

    This many blocks of that size, and the temporary values of an evaluation, fit in `limit` bytes.
    """
    elements = limit // (blocks * itemsize + _VALUES * _VALUE_BYTES)
    if elements <= _ELEMENTS:
        return elements
    left = limit - bytes_for(_ELEMENTS, 0, itemsize)
    return left // (blocks * itemsize) if blocks else sys.maxsize


def chunks(shape: tuple[int, int, int], elements: int) -> Iterator[Chunk]:
    """Yield the chunks of a result, of at most this many elements each, but at least one row.

    A chunk has whole rows of the first axis, or part of one row, so that it is contiguous.
    """
    n_first, n_second, n_features = (max(length, 1) for length in shape)
    second = min(max(elements // n_features, 1), n_second)
    first = min(max(elements // (n_features * second), 1), n_first)  # 1 if rows are split
    for start in range(0, shape[0], first):
        rows = slice(start, min(start + first, shape[0]))
        for other in range(0, shape[1], second):
            yield rows, slice(other, min(other + second, shape[1]))
