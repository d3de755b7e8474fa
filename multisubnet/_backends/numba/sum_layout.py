"""Sums on the CPU engine: the layout of operands for vectors of neighbouring features.

A column is a kept index and a feature. Rows of features are short and of any length. A group is the
smallest number of kept indices that fill whole lines; they are adjacent, and lines span them.
Operands that do not depend on the kept index are rows that repeat after their end.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Container
from typing import Any

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arithmetic.summands import (
    EACH,
    HELD,
    OPERANDS,
    SCALAR,
    STREAMED,
    UNUSED,
    Summands,
)
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends import numpy as _numpy
from multisubnet._backends.numba import loading
from multisubnet._backends.numba import threads as _threads
from multisubnet._backends.numba.lines import LINE, ROWS, is_plain, result_dtypes

_WIDTH = 64  # the most features computed together
_COLUMNS = 1 << 14  # whose totals stay in a cache
_EACH_ELEMENTS = 1 << 18  # of a copied operand that depends on all axes
_STREAMED_BYTES = 1 << 14  # of rows that are read again and again
_MAX_SCRATCH_BYTES = 1 << 24  # that threads pack for themselves; with more, some share rows
_PARTS_PER_THREAD = 4  # of kept indices
_TILES_PER_THREAD = 8  # with this many, tiles are divided among threads instead of panels
_PIECES_PER_THREAD = 32
_MIN_PIECE_OPERATIONS = 1 << 17  # on lines: some microseconds
_MAX_PIECE_OPERATIONS = 1 << 24  # some milliseconds

_DEFAULTS = tuple(OPERANDS.values())
_WORD = np.dtype(np.int64)
_NOTHING = np.empty((0, 0), _WORD)
_NO_TOTALS = np.empty((0, 0, 0))
_EVERY = slice(None)

_Operands = list[Any]  # arrays (kept, summed, F) or None, in the order of OPERANDS


class SumLayout:
    """How sums are divided among threads and pieces; calls with the same shapes share it.

    `evaluate` comes from `sum_loops.compiled_sums`, for operands of these `kinds` and `shapes`.
    `shape` is that of the totals, (blocks, outputs, kept, F).
    """

    def __init__(
        self,
        evaluate: Callable[..., None],
        terms: Summands,
        kinds: str,
        dtype: np.dtype,
        shapes: tuple[tuple[int, int, int] | None, ...],
        length: int,
        shape: tuple[int, int, int, int],
    ):
        self.evaluate, self.kinds, self.dtype, self.shapes = evaluate, kinds, dtype, shapes
        self.length, self.shape = length, shape
        self.lanes = LINE // dtype.itemsize
        self.nothing = np.empty((0, 0, 0), dtype)
        _, _, n_kept, n_features = shape
        operations = length * (terms.program(dtype).cost + 4)  # of a line of columns
        self._worth = n_kept * n_features // self.lanes * operations // _MIN_PIECE_OPERATIONS
        self.kind = _threads.kind(self._worth, evaluate)
        self._n_tiles = n_kept * n_features // (self.lanes * ROWS)
        self._operations = ROWS * operations
        self._panels = self._split(_WIDTH)
        of_results = result_dtypes(terms.outputs, dtype)
        self.no_results = [np.empty((0,), of_result) for of_result in of_results]
        # Rows that are read once, in place, need not stay in a cache.
        reads_once = n_kept == 1 and n_features % self.lanes == 0 and EACH not in kinds
        self._whole_rows = self._split(n_features) if reads_once and n_features > _WIDTH else None

    def _split(self, most: int) -> list[_Part]:
        """Return the blocks of summed indices, cut into parts of at most `most` features."""
        n_blocks, _, n_kept, n_features = self.shape
        return [
            _Part(self, number, slice(start, min(start + most, n_features)), slice(0, n_kept))
            for number in range(n_blocks)
            for start in range(0, n_features, most)
        ]

    def write(self, operands: _Operands, parameter: float, totals: np.ndarray) -> None:
        """Write all totals."""
        threads = _threads.count(self._worth, self.kind)
        panels = self._panels
        if self._whole_rows is not None and self._are_whole_rows(operands):
            panels = self._whole_rows
        several = len(panels) > 1 and self._n_tiles < _TILES_PER_THREAD * threads
        if EACH not in self.kinds and not several:
            for panel in panels:
                panel.write(operands, parameter, totals, None, self._operations, threads)
            return
        height, n_kept = self._height(), self.shape[2]
        kept = [slice(k, min(k + height, n_kept)) for k in range(0, n_kept, height)]
        pieces = []
        for panel in panels:
            packed = panel.pack(operands) if len(kept) >= 2 * threads else None
            for some in kept:
                part = panel if len(kept) == 1 else _Part(self, panel.number, panel.features, some)
                pieces.append((part, operands, parameter, totals, packed))
            if packed is not None:
                _threads.run(_Part.write, pieces, threads, self.kind)
                pieces.clear()
        _threads.run(_Part.write, pieces, threads, self.kind)

    def can_divide(self, outs: list[np.ndarray]) -> bool:
        """Return whether `write_divided` has code for results of these dtypes."""
        is_single = len(self._panels) == 1 and EACH not in self.kinds
        return is_single and all(
            out.dtype == none.dtype for out, none in zip(outs, self.no_results, strict=False)
        )

    def write_divided(
        self, operands: _Operands, parameter: float, outs: list[np.ndarray], divisor: float
    ) -> None:
        """Write all totals, divided, to new arrays.

        A result (kept,) gets the totals over all features.
        """
        results = [out if out.ndim == 1 else out.reshape(-1) for out in outs]
        results += self.no_results[len(outs) :]
        threads = _threads.count(self._worth, self.kind)
        divided = results, divisor
        panel, none = self._panels[0], _NO_TOTALS
        panel.write(operands, parameter, none, None, self._operations, threads, divided)

    def _are_whole_rows(self, operands: _Operands) -> bool:
        """Return whether all streamed operands can be read in place."""
        rows = 1, self.length, self.shape[3]
        return all(
            kind != STREAMED or (operand.shape == rows and is_plain(operand, self.dtype))
            for kind, operand in zip(self.kinds, operands, strict=True)
        )

    def _height(self) -> int:
        """Return how many kept indices are computed together."""
        _, n_outputs, n_kept, n_features = self.shape
        width = min(_WIDTH, n_features)
        group = self.group(width)
        unit = ROWS * group
        most = _COLUMNS // (n_outputs * width)
        if EACH in self.kinds:
            most = min(most, _EACH_ELEMENTS // (width * min(self.length, BLOCK)))
        most = most // unit * unit or max(most // group, 1) * group
        each_thread = -(-n_kept // (_PARTS_PER_THREAD * _threads.limit()))
        return min(most, -(-each_thread // unit) * unit)

    def group(self, width: int) -> int:
        """Return how many rows of `width` elements fill whole lines together."""
        return self.lanes // math.gcd(self.lanes, width)


class _Part:
    """Some kept indices and features of a block, and all that their number decides."""

    def __init__(self, layout: SumLayout, number: int, features: slice, kept: slice):
        self.layout, self.number, self.features, self.kept = layout, number, features, kept
        _, n_outputs, _, n_features = layout.shape
        self.indices = slice(number * BLOCK, min((number + 1) * BLOCK, layout.length))
        self.n_indices = self.indices.stop - self.indices.start
        self.n_kept, self.width = kept.stop - kept.start, features.stop - features.start
        group, lanes = layout.group(self.width), layout.lanes
        self.group, self.n_groups = group, -(-self.n_kept // group)
        self.n_padded = self.n_groups * group
        # The length of a streamed row, in which a line may begin at any feature.
        self.stride = self.width if self.width % lanes == 0 else self.width + lanes - 1
        self.grouped = n_outputs, self.n_groups, group * self.width
        self.is_in_place = self.n_padded == self.n_kept and self.width == n_features
        self.n_tiles = -(-self.n_groups // ROWS) * (group * self.width // lanes)
        row_bytes = self.stride * layout.dtype.itemsize
        at_once = _STREAMED_BYTES // (row_bytes * max(layout.kinds.count(STREAMED), 1))
        self.at_once = max(at_once // RUN, 1) * RUN
        self.packed_lines = -(-self.n_indices * row_bytes // LINE)
        # Of the groups in the last tiles.
        n_last = self.n_groups - (self.n_groups - 1) // ROWS * ROWS
        self.padded_lines = n_last * group * self.width // lanes
        # The cut of each operand, and the shapes that the compiled code can read. 1 and 2 mean that
        # it lengthens them first: see `_pack_own`.
        is_short = int(self.width != self.stride)
        along: dict[str, tuple[tuple[slice, ...], dict[Any, int]]] = {
            HELD: (
                (kept, _EVERY, features),
                {(self.n_kept, 1, self.width): int(self.n_kept != self.n_padded)},
            ),
            STREAMED: (
                (_EVERY, self.indices, features),
                {(1, self.n_indices, self.width): is_short, (1, self.n_indices, 1): 2},
            ),
            SCALAR: ((_EVERY, self.indices, _EVERY), {(1, self.n_indices, 1): 0}),
            EACH: ((kept, self.indices, features), {}),
        }
        self.uses = [
            (i, kind, *along[kind], along[kind][1].get(shape))
            for i, (kind, shape) in enumerate(zip(layout.kinds, layout.shapes, strict=True))
            if kind != UNUSED
        ]
        self._plans: dict[tuple[int, ...], tuple[int, int, tuple[int, ...]]] = {}

    def write(
        self,
        operands: _Operands,
        parameter: float,
        totals: np.ndarray,
        packed: _Operands | None,
        operations: int = 0,
        threads: int = 1,
        divided: tuple[list[np.ndarray], float] | None = None,
    ) -> None:
        """Write the totals of this part, or the `divided` ones: to results, divided by a number.

        With several threads, a tile of columns takes this many `operations`. Each thread packs the
        operands that are not `packed` yet.
        """
        layout = self.layout
        dtype = layout.dtype
        arrays = [layout.nothing] * len(operands)  # some are not read
        packs = pads = 0
        for i, kind, cut, shapes, lengthened in self.uses:
            if packed is not None and kind == STREAMED:
                arrays[i] = packed[i]
                continue
            array = operands[i]
            if lengthened is None or not is_plain(array, dtype):
                array = self._array(array, i, kind, cut, shapes)
                lengthened = shapes.get(array.shape)
            arrays[i] = array
            if lengthened:
                if kind == HELD:
                    pads |= lengthened << 2 * i
                else:
                    packs |= lengthened << 2 * i
        plan = operations, threads, packs, pads
        n_pieces, tiles, of_scratch = self._plans.get(plan) or self._plan(*plan)
        scratch = np.empty(of_scratch, _WORD) if of_scratch else _NOTHING
        result, results, division, divisor = _NO_TOTALS, layout.no_results, 0, 1.0
        if divided is not None:
            sums, division = np.empty(self.grouped), _division()
            results, divisor = divided
        else:
            sums = totals[self.number, :, self.kept, self.features]
            if self.is_in_place:
                sums = sums.reshape(self.grouped)
            else:
                sums, result = np.empty(self.grouped), sums
        layout.evaluate(
            *_threads.share(n_pieces, threads, layout.kind),
            *arrays,
            *(sums, result, *results, scratch, packs, pads, self.n_kept, self.width, self.stride),
            *(self.n_indices, self.at_once, parameter, tiles, division, divisor),
        )

    def _plan(
        self, operations: int, threads: int, packs: int, pads: int
    ) -> tuple[int, int, tuple[int, ...]]:
        """Return the numbers of pieces and of tiles in each, and the shape of scratch, if any."""
        n_pieces, tiles = self._pieces(operations, threads)
        places = range(0, 2 * len(OPERANDS), 2)
        n_packed, n_padded = (sum(bits >> i & 3 != 0 for i in places) for bits in (packs, pads))
        n_rows, words = 0, n_padded * self.padded_lines * LINE // 8
        if packs:
            words = max(words, (1 + n_packed * self.packed_lines) * LINE // 8)
            n_rows = min(threads, n_pieces, max(_MAX_SCRATCH_BYTES // (8 * words), 1))
        of_scratch: tuple[int, ...] = (n_rows + bool(pads), words) if words else ()
        plan = self._plans[operations, threads, packs, pads] = n_pieces, tiles, of_scratch
        return plan

    def pack(self, operands: _Operands) -> _Operands:
        """Return the streamed operands, packed for several parts."""
        with loading.lock():
            from multisubnet._backends.numba import sum_loops

        packed: _Operands = [None] * len(operands)
        for use in self.uses:
            i, kind = use[:2]
            if kind == STREAMED:
                rows = self._array(operands[i], *use[:4])
                if rows.size and rows.shape[2] != self.stride:
                    shorter, rows = rows, np.empty((1, self.n_indices, self.stride), rows.dtype)
                    sum_loops.compiled_pack(rows.dtype)(shorter[0], rows[0])
                packed[i] = rows
        return packed

    def _array(
        self, operand: Any, i: int, kind: str, cut: tuple[slice, ...], shapes: Container[Any]
    ) -> np.ndarray:
        """Return an operand in a form that the compiled code can read: as it is, if possible."""
        if operand is not None:
            operand = operand if operand.shape in shapes else _numpy.part(operand, cut)
            if operand.shape in shapes and is_plain(operand, self.layout.dtype):
                return operand
        return self._copied(operand, i, kind)

    @without_warnings
    def _copied(self, operand: Any, i: int, kind: str) -> np.ndarray:
        """Return a copy in plain memory."""
        dtype = self.layout.dtype
        if kind == HELD:
            array = np.zeros((self.n_padded, 1, self.width), dtype)
            array[: self.n_kept] = _DEFAULTS[i] if operand is None else operand
            return array
        if kind != EACH:
            shape = 1, self.n_indices, operand.shape[2]
            return np.require(np.broadcast_to(operand, shape), dtype, ["C", "A"])
        # The rows of a group side by side.
        array = np.zeros((self.n_groups, self.n_indices, self.group, self.width), dtype)
        for i in range(self.group):
            of_groups = operand[i :: self.group]
            array[: len(of_groups), :, i] = of_groups
        return array.reshape(self.n_groups, self.n_indices, -1)

    def _pieces(self, operations: int, threads: int) -> tuple[int, int]:
        """Return the number of pieces, and the number of tiles in each."""
        tiles = self.n_tiles
        every = tiles * operations
        if threads > 1 or every > _MAX_PIECE_OPERATIONS:
            n_pieces = max(_PIECES_PER_THREAD * threads, every // _MAX_PIECE_OPERATIONS)
            n_pieces = min(n_pieces, tiles, every // _MIN_PIECE_OPERATIONS)
            tiles = -(-tiles // max(n_pieces, 1))
        return -(-self.n_tiles // tiles), tiles


@functools.cache
def _division() -> int:
    """Return the address of the compiled code that divides sums."""
    with loading.lock():
        from multisubnet._backends.numba import moment_loops

    return moment_loops.compile_division()
