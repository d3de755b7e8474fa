"""Sums on the CPU engine: the layout of operands for vectors of neighbouring features.

A column is a kept index and a feature. Rows of features are short and of any length. A group is the
smallest number of kept indices that fill whole lines; they are adjacent, and lines span them.
Operands that do not depend on the kept index are rows that repeat after their end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arithmetic.summands import EACH, HELD, OPERANDS, SCALAR, STREAMED
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends import numpy as _numpy
from multisubnet._backends.numba import loading
from multisubnet._backends.numba import threads as _threads
from multisubnet._backends.numba.lines import LINE, ROWS, is_plain

_WIDTH = 64  # the most features computed together
_COLUMNS = 1 << 14  # whose totals stay in a cache
_EACH_ELEMENTS = 1 << 18  # of a copied operand that depends on all axes
_STREAMED_BYTES = 1 << 14  # of rows that are read again and again
_PARTS = 4  # per thread
_TILES = 8  # per thread; with this many, tiles are divided among threads instead of panels
_PIECES = 32  # per thread
_PIECE = 1 << 16  # the least operations, on lines, of a piece: some microseconds
_LONG_PIECE = 1 << 24  # the most: some milliseconds


class Sums:
    """Operands and totals of sums, and the function that computes them.

    `evaluate` comes from `sum_loops.compiled_sums`, for operands of these `kinds`.
    """

    def __init__(
        self,
        evaluate: Callable[..., None],
        kinds: str,
        operands: dict[str, np.ndarray | None],
        dtype: np.dtype,
        parameter: float,
        length: int,
        totals: np.ndarray,
    ):
        self.evaluate, self.operands = evaluate, operands
        self.dtype, self.parameter = dtype, parameter
        self.kind_of = dict(zip(OPERANDS, kinds, strict=True))
        self.length, self.totals = length, totals
        self.lanes = LINE // dtype.itemsize

    def write(self, cost: int) -> None:
        """Write all totals; `cost` is the number of operations per term."""
        _, _, n_kept, n_features = self.totals.shape
        operations = self.length * (cost + 4)  # of a line of columns
        worth = n_kept * n_features // self.lanes * operations // _PIECE
        self.kind = _threads.kind(worth, self.evaluate)
        threads = _threads.count(worth, self.kind)
        panels = list(self._panels())
        n_tiles = n_kept * n_features // (self.lanes * ROWS)
        several = len(panels) > 1 and n_tiles < _TILES * threads
        if EACH not in self.kind_of.values() and not several:
            for panel in panels:
                self._write_part(*panel, slice(0, n_kept), None, ROWS * operations, threads)
            return
        height = self._height(min(_WIDTH, n_features))
        kept = [slice(k, min(k + height, n_kept)) for k in range(0, n_kept, height)]
        if len(kept) >= 2 * threads:
            for panel in panels:
                packed = self._packed(*panel)
                _threads.run(
                    self._write_part, [(*panel, part, packed) for part in kept], threads, self.kind
                )
        else:
            pieces = [(*panel, part, None) for panel in panels for part in kept]
            _threads.run(self._write_part, pieces, threads, self.kind)

    def _height(self, width: int) -> int:
        """Return how many kept indices are computed together."""
        _, n_outputs, n_kept, _ = self.totals.shape
        group = self._group(width)
        unit = ROWS * group
        most = _COLUMNS // (n_outputs * width)
        if EACH in self.kind_of.values():
            most = min(most, _EACH_ELEMENTS // (width * min(self.length, BLOCK)))
        most = most // unit * unit or max(most // group, 1) * group
        each_thread = -(-n_kept // (_PARTS * _threads.limit()))
        return min(most, -(-each_thread // unit) * unit)

    def _panels(self) -> Iterator[tuple[int, slice]]:
        """Split the summed axis and the features into block numbers and slices."""
        n_blocks, _, _, n_features = self.totals.shape
        for number in range(n_blocks):
            for start in range(0, n_features, _WIDTH):
                yield number, slice(start, min(start + _WIDTH, n_features))

    def _group(self, width: int) -> int:
        """Return how many rows of `width` elements fill whole lines together."""
        return self.lanes // math.gcd(self.lanes, width)

    def _stride(self, width: int) -> int:
        """Return the length of a streamed row, in which a line may begin at any feature."""
        return width if width % self.lanes == 0 else width + self.lanes - 1

    def _indices(self, number: int) -> slice:
        return slice(number * BLOCK, min((number + 1) * BLOCK, self.length))

    @without_warnings
    def _packed(self, number: int, features: slice) -> dict[str, np.ndarray]:
        """Return the operands of a block that do not depend on the kept index, flattened."""
        indices = self._indices(number)
        n_indices, width = indices.stop - indices.start, features.stop - features.start
        with loading.lock():
            from multisubnet._backends.numba import sum_loops

        packed = {}
        for name, kind in self.kind_of.items():
            operand = self.operands.get(name)
            if kind not in (STREAMED, SCALAR) or operand is None:
                continue
            rows = _numpy.part(operand, (slice(None), indices, features))[0]
            if kind == SCALAR:
                packed[name] = np.ascontiguousarray(rows[:, 0], self.dtype)
                continue
            shape = n_indices, self._stride(width)
            if rows.shape == shape and is_plain(rows, self.dtype):
                packed[name] = rows.reshape(-1)
                continue
            array = np.empty(shape, self.dtype)
            if rows.shape != (n_indices, width):
                rows = np.broadcast_to(rows, (n_indices, width))
            if not is_plain(rows, self.dtype):
                rows = np.require(rows, self.dtype, ["C", "A"])
            if rows.size:
                sum_loops.compiled_pack(self.dtype)(rows, array)
            packed[name] = array.reshape(-1)
        return packed

    @without_warnings
    def _write_part(
        self,
        number: int,
        features: slice,
        kept: slice,
        packed: dict[str, np.ndarray] | None,
        operations: int = 0,
        threads: int = 1,
    ) -> None:
        """Write the totals of a block for some kept indices and features.

        With several threads, a tile of columns takes this many `operations`.
        """
        if packed is None:
            packed = self._packed(number, features)
        indices = self._indices(number)
        n_indices, width = indices.stop - indices.start, features.stop - features.start
        n_kept, group = kept.stop - kept.start, self._group(width)
        shape = -(-n_kept // group), group, width
        arrays = dict(packed)
        for name, kind in self.kind_of.items():
            operand = self.operands.get(name)
            part = None if operand is None else _numpy.part(operand, (kept, indices, features))
            if kind == HELD:
                held = OPERANDS[name] if part is None else part[:, 0]
                arrays[name] = self._grouped(held, n_kept, shape)
            elif kind == EACH and part is not None:
                arrays[name] = _grouped_each(part, shape, self.dtype)
        any_other = next(iter(arrays.values()))
        totals = self.totals[number, :, kept, features]
        grouped = len(totals), shape[0], group * width
        in_place = n_kept % group == 0 and width == self.totals.shape[-1]
        sums = totals.reshape(grouped) if in_place else np.empty(grouped)
        stride = self._stride(width)
        streams = sum(kind == STREAMED for kind in self.kind_of.values())
        row_bytes = stride * self.dtype.itemsize * max(streams, 1)
        at_once = max(_STREAMED_BYTES // row_bytes // RUN, 1) * RUN
        tiles = all_tiles = -(-shape[0] // ROWS) * (group * width // self.lanes)
        if threads > 1 or all_tiles * operations > _LONG_PIECE:
            n_pieces = max(_PIECES * threads, all_tiles * operations // _LONG_PIECE)
            n_pieces = min(n_pieces, all_tiles, all_tiles * operations // _PIECE)
            tiles = -(-all_tiles // max(n_pieces, 1))
        self.evaluate(
            *_threads.share(-(-all_tiles // tiles), threads, self.kind),
            *(arrays.get(name, any_other) for name in OPERANDS),
            *(sums, width, stride, n_indices, at_once, self.parameter, tiles),
        )
        if not in_place:
            totals[...] = sums.reshape(len(sums), -1, width)[:, :n_kept]

    def _grouped(self, held: Any, n_kept: int, shape: tuple[int, int, int]) -> np.ndarray:
        """Return an operand (kept, F), flattened and padded with zeros to whole groups."""
        n_groups, group, width = shape
        if np.shape(held) == (n_groups * group, width) and is_plain(held, self.dtype):
            return held.reshape(-1)
        array = np.zeros((n_groups * group, width), self.dtype)
        array[:n_kept] = held
        return array.reshape(-1)


def _grouped_each(each: np.ndarray, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """Return an operand (kept, summed, F), flattened, with the rows of a group side by side."""
    n_groups, group, width = shape
    array = np.zeros((n_groups, each.shape[1], group, width), dtype)
    for i in range(group):
        of_groups = each[i::group]
        array[: len(of_groups), :, i] = of_groups
    return array.reshape(-1)
