"""How a result is cut into chunks that lie whole in it, each within a number of bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator

# Besides blocks of the result, an evaluation holds at most so many values of so many elements at
# once: those of a recipe, or operands that are cast.
_VALUES = 16
_ELEMENTS = 1 << 15
_VALUE_BYTES = 8

Chunk = tuple[slice, slice]  # of the first two axes of a result


def bytes_for(elements: int, blocks: int, itemsize: int) -> int:
    """Return how many bytes chunks of so many elements need, as `elements_within` counts them."""
    return elements * blocks * itemsize + _VALUES * _VALUE_BYTES * min(elements, _ELEMENTS)


def elements_within(limit: int, blocks: int, itemsize: int) -> int:
    """Return how many elements chunks may have.

    So many blocks of that size, and the values of an evaluation, are to be within `limit` bytes.
    """
    elements = limit // (blocks * itemsize + _VALUES * _VALUE_BYTES)
    if elements <= _ELEMENTS:
        return elements
    left = limit - bytes_for(_ELEMENTS, 0, itemsize)
    return left // (blocks * itemsize) if blocks else sys.maxsize


def chunks(shape: tuple[int, int, int], elements: int) -> Iterator[Chunk]:
    """Yield the chunks of a result, of at most so many elements each, which are at least a row.

    They are whole rows of the first axis, or else parts of one, so that each lies whole in it.
    """
    n_first, n_second, n_features = (max(length, 1) for length in shape)
    second = min(max(elements // n_features, 1), n_second)
    first = min(max(elements // (n_features * second), 1), n_first)  # 1 for parts of a row
    for start in range(0, shape[0], first):
        rows = slice(start, min(start + first, shape[0]))
        for other in range(0, shape[1], second):
            yield rows, slice(other, min(other + second, shape[1]))
