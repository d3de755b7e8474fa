"""Sums on the CPU engine: the layout of operands for vectors of neighbouring features.

A column is a kept index and a feature. Rows of features are short and of any length. A group is the
smallest number of kept indices that fill whole lines; they are adjacent, and lines span them.
Operands that do not depend on the kept index are rows that repeat after their end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arithmetic.summands import EACH, HELD, OPERANDS, SCALAR, STREAMED, UNUSED
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends import numpy as _numpy
from multisubnet._backends.numba import loading
from multisubnet._backends.numba import threads as _threads
from multisubnet._backends.numba.lines import LINE, ROWS, is_plain

_WIDTH = 64  # the most features computed together
_COLUMNS = 1 << 14  # whose totals stay in a cache
_EACH_ELEMENTS = 1 << 18  # of a copied operand that depends on all axes
_STREAMED_BYTES = 1 << 14  # of rows that are read again and again
_MAX_SCRATCH_BYTES = 1 << 24  # that threads pack for themselves; with more, some share rows
_PARTS_PER_THREAD = 4  # of kept indices
_TILES_PER_THREAD = 8  # with this many, tiles are divided among threads instead of panels
_PIECES_PER_THREAD = 32
_MIN_PIECE_OPERATIONS = 1 << 16  # on lines: some microseconds
_MAX_PIECE_OPERATIONS = 1 << 24  # some milliseconds

_DEFAULTS = tuple(OPERANDS.values())
_NOTHING = np.empty((1, 1), np.int64)


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
        self.evaluate, self.kinds = evaluate, kinds
        # Those that are used, and not HELD, are there.
        self.operands: list[Any] = list(map(operands.get, OPERANDS))
        self._nothing = np.empty(0, dtype)
        self.dtype, self.parameter = dtype, parameter
        self.length, self.totals = length, totals
        self.lanes = LINE // dtype.itemsize

    def write(self, cost: int) -> None:
        """Write all totals; `cost` is the number of operations per term."""
        n_blocks, _, n_kept, n_features = self.totals.shape
        operations = self.length * (cost + 4)  # of a line of columns
        worth = n_kept * n_features // self.lanes * operations // _MIN_PIECE_OPERATIONS
        self.kind = _threads.kind(worth, self.evaluate)
        threads = _threads.count(worth, self.kind)
        most = n_features if n_features and self._reads_once() else _WIDTH
        panels = []  # the numbers of blocks, and features
        for number in range(n_blocks):
            for start in range(0, n_features, most):
                panels.append((number, slice(start, min(start + most, n_features))))
        n_tiles = n_kept * n_features // (self.lanes * ROWS)
        several = len(panels) > 1 and n_tiles < _TILES_PER_THREAD * threads
        if EACH not in self.kinds and not several:
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

    def _reads_once(self) -> bool:
        """Return whether rows are read once and in place, so that they need not stay in a cache."""
        _, _, n_kept, n_features = self.totals.shape
        if n_kept != 1 or n_features % self.lanes or EACH in self.kinds:
            return False
        return all(
            kind != STREAMED
            or (operand.shape[1:] == (self.length, n_features) and is_plain(operand[0], self.dtype))
            for kind, operand in zip(self.kinds, self.operands, strict=True)
        )

    def _height(self, width: int) -> int:
        """Return how many kept indices are computed together."""
        _, n_outputs, n_kept, _ = self.totals.shape
        group = self._group(width)
        unit = ROWS * group
        most = _COLUMNS // (n_outputs * width)
        if EACH in self.kinds:
            most = min(most, _EACH_ELEMENTS // (width * min(self.length, BLOCK)))
        most = most // unit * unit or max(most // group, 1) * group
        each_thread = -(-n_kept // (_PARTS_PER_THREAD * _threads.limit()))
        return min(most, -(-each_thread // unit) * unit)

    def _group(self, width: int) -> int:
        """Return how many rows of `width` elements fill whole lines together."""
        return self.lanes // math.gcd(self.lanes, width)

    def _stride(self, width: int) -> int:
        """Return the length of a streamed row, in which a line may begin at any feature."""
        return width if width % self.lanes == 0 else width + self.lanes - 1

    def _indices(self, number: int) -> slice:
        return slice(number * BLOCK, min((number + 1) * BLOCK, self.length))

    @without_warnings
    def _packed(self, number: int, features: slice) -> list[np.ndarray]:
        """Return the streamed operands of a block, packed and flattened, in OPERANDS' order."""
        with loading.lock():
            from multisubnet._backends.numba import sum_loops

        indices, stride = self._indices(number), self._stride(features.stop - features.start)
        packed = [self._nothing] * len(self.kinds)
        for i, (kind, operand) in enumerate(zip(self.kinds, self.operands, strict=True)):
            if kind == STREAMED:
                rows = self._rows(operand, indices, features)
                if rows.size and rows.shape[1] != stride:
                    shorter, rows = rows, np.empty((len(rows), stride), self.dtype)
                    sum_loops.compiled_pack(self.dtype)(shorter, rows)
                packed[i] = rows.reshape(-1)
        return packed

    def _rows(self, operand: np.ndarray, indices: slice, features: slice) -> np.ndarray:
        """Return an operand without kept axis in plain memory, one row per summed index."""
        n_indices, width = indices.stop - indices.start, features.stop - features.start
        if operand.shape[1:] == (n_indices, width):  # the usual case: the whole operand
            rows = operand[0]
        else:
            rows = _numpy.part(operand, (slice(None), indices, features))[0]
        if len(rows) != n_indices:
            rows = np.broadcast_to(rows, (n_indices, rows.shape[1]))
        return rows if is_plain(rows, self.dtype) else np.require(rows, self.dtype, ["C", "A"])

    @without_warnings
    def _write_part(
        self,
        number: int,
        features: slice,
        kept: slice,
        packed: list[np.ndarray] | None,
        operations: int = 0,
        threads: int = 1,
    ) -> None:
        """Write the totals of a block for some kept indices and features.

        With several threads, a tile of columns takes this many `operations`. Each thread packs the
        operands that are not packed yet.
        """
        indices = self._indices(number)
        n_indices, width = indices.stop - indices.start, features.stop - features.start
        n_kept, group, stride = kept.stop - kept.start, self._group(width), self._stride(width)
        shape = -(-n_kept // group), group, width
        arrays = [self._nothing] * len(self.kinds)  # some are not read
        packs = n_packed = 0
        for i, (kind, operand) in enumerate(zip(self.kinds, self.operands, strict=True)):
            if kind == UNUSED:
                continue
            if kind == HELD:
                held: Any = _DEFAULTS[i]
                if operand is not None:
                    is_all = operand.shape == (n_kept, 1, width)
                    cuts = kept, slice(None), features
                    held = (operand if is_all else _numpy.part(operand, cuts))[:, 0]
                arrays[i] = self._grouped(held, n_kept, shape)
            elif kind == EACH:
                part = _numpy.part(operand, (kept, indices, features))
                arrays[i] = _grouped_each(part, shape, self.dtype)
            elif kind == SCALAR:
                arrays[i] = np.ascontiguousarray(operand[0, indices, 0], self.dtype)
            elif packed is not None:
                arrays[i] = packed[i]
            else:
                rows = self._rows(operand, indices, features)
                if rows.shape[1] != stride:
                    packs |= (1 if rows.shape[1] == width else 2) << 2 * i
                    n_packed += 1
                arrays[i] = rows.reshape(-1)
        totals = self.totals[number, :, kept, features]
        grouped = len(totals), shape[0], group * width
        in_place = n_kept % group == 0 and width == self.totals.shape[-1]
        sums = totals.reshape(grouped) if in_place else np.empty(grouped)
        row_bytes = stride * self.dtype.itemsize
        at_once = _STREAMED_BYTES // (row_bytes * max(self.kinds.count(STREAMED), 1))
        at_once = max(at_once // RUN, 1) * RUN
        tiles = all_tiles = -(-shape[0] // ROWS) * (group * width // self.lanes)
        if threads > 1 or all_tiles * operations > _MAX_PIECE_OPERATIONS:
            n_pieces = max(
                _PIECES_PER_THREAD * threads, all_tiles * operations // _MAX_PIECE_OPERATIONS
            )
            n_pieces = min(n_pieces, all_tiles, all_tiles * operations // _MIN_PIECE_OPERATIONS)
            tiles = -(-all_tiles // max(n_pieces, 1))
        n_pieces = -(-all_tiles // tiles)
        scratch = _NOTHING
        if packs:
            words = (LINE + n_packed * -(-n_indices * row_bytes // LINE) * LINE) // 8
            n_rows = min(threads, n_pieces, max(_MAX_SCRATCH_BYTES // (8 * words), 1))
            scratch = np.empty((n_rows, words), np.int64)
            scratch[:, 0] = 0
        self.evaluate(
            *_threads.share(n_pieces, threads, self.kind),
            *arrays,
            *(sums, scratch, packs, width, stride, n_indices, at_once, self.parameter, tiles),
        )
        if not in_place:
            totals[...] = sums.reshape(len(sums), -1, width)[:, :n_kept]

    def _grouped(self, held: Any, n_kept: int, shape: tuple[int, int, int]) -> np.ndarray:
        """Return an operand (kept, F), flattened and padded with zeros to whole groups."""
        n_groups, group, width = shape
        if (
            n_groups * group == n_kept
            and type(held) is np.ndarray
            and held.shape == (n_kept, width)
            and is_plain(held, self.dtype)
        ):
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
