"""Dask graphs: operands in common chunks, and tasks on these chunks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import dask.array as da
import numpy as np

from multisubnet._arithmetic.summation_order import BLOCK
from multisubnet._arrays import namespaces, validation
from multisubnet._backends import choice
from multisubnet.dask import _tasks

Pair = tuple[Any, str]  # an array, or None, and its axes

_FLOAT64 = np.dtype(np.float64)

# Number of nodes that one task adds: a power of two, to keep the order of the tree.
_NEIGHBOURS = 8

# The axes of each operand: n sets, b samples, f features. An operand does not depend on axes that
# it lacks. Results also have: o outputs, k one row, m and p moments, w one total weight. Networks
# are split along n and b only. Their other axes (f, s and i to k) have one chunk, whose length may
# differ between operands. Their results have u, v, ... in place of these, and t, all sums of one
# set.
_AXES = {
    "samples": "nbf",
    "weight": "nf",
    "bias": "nf",
    "targets": "bfk",
    "cotangent": "nbfj",
    "sample_weight": "b",
    "set_weight": "n",
    "set_index": "b",
    "intercept": "nj",
}
_AXES_OF_LAYERS = "nsij", "nsj"  # weights and biases


class ChunkedOperands:
    """Operands by name: Dask arrays, NumPy or CuPy arrays, or None."""

    def __init__(self, **operands: Any):
        of_one_chunk = {}
        for name, operand in operands.items():
            if isinstance(operand, da.Array):
                of_one_chunk[name] = operand._meta
                _check_chunks(name, operand)
            else:
                of_one_chunk[name] = operand
        self.xp: ModuleType = namespaces.namespace(of_one_chunk)
        self.arrays: dict[str, Any] = {
            name: x
            if x is None or isinstance(x, da.Array) or self.xp is not np
            else (validation.as_index if name == "set_index" else validation.as_numpy)(name, x)
            for name, x in operands.items()
        }
        self.chunks: dict[str, tuple[int, ...]] = {}
        self._backend = choice.choice()

    def stand_ins(self, *names: str) -> Any:
        """Return arrays with the operands' shapes and dtypes, but without memory, for checks."""
        return tuple(
            None if x is None else np.broadcast_to(np.zeros((), x.dtype), x.shape)
            for x in (self.arrays[name] for name in names)
        )

    def cut(
        self,
        lengths: dict[str, int],
        kept: str,
        dtype: np.dtype,
        summed: str = "",
        whole: dict[str, int] | None = None,
    ) -> None:
        """Give all operands common chunks along axes of these lengths.

        Sets or samples that are not in any Dask array are split so that a result over the `kept`
        axes has blocks of the size set in Dask. Axes in `whole` are not split.
        """
        whole = whole or {}
        is_empty = 0 in (*lengths.values(), *whole.values())
        found: dict[str, Any] = {axis: (length,) for axis, length in whole.items()}
        for axis, length in lengths.items():
            found[axis] = (length,)
            chunks = self._chunks_along(axis, length)
            if chunks:
                found[axis] = tuple(x for x in da.core.common_blockdim(chunks) if x) or (0,)
            elif axis in kept and axis != "f" and not is_empty:
                found[axis] = "auto"
            if axis == summed:
                found[axis] = _in_powers_of_two(found[axis], BLOCK)
        of_kept, of_result = (tuple(of[axis] for axis in kept) for of in (found, lengths | whole))
        blocks = da.core.normalize_chunks(of_kept, of_result, dtype=dtype)
        self.chunks = found | dict(zip(kept, blocks, strict=True))
        for name in self.arrays:
            self.arrays[name] = self._cut(name, lengths)

    def _chunks_along(self, axis: str, length: int) -> list[tuple[int, ...]]:
        """Return the chunks of the Dask arrays along an axis of this length."""
        return [
            x.chunks[index.index(axis)]
            for x, index in self.pairs(*self.arrays)
            if isinstance(x, da.Array) and axis in index
            if x.shape[index.index(axis)] == length
        ]

    def _cut(self, name: str, lengths: dict[str, int]) -> Any:
        """Return an operand in the common chunks."""
        x, index = self.pair(name)
        if x is None:
            return None
        chunks = tuple(
            self.chunks[axis] if length == lengths.get(axis) else (length,)
            for axis, length in zip(index, x.shape, strict=True)
        )
        if isinstance(x, da.Array):
            return x.rechunk(chunks)
        key = None if self.xp is np else False  # NumPy arrays are keyed by a hash of their data
        return da.from_array(x, chunks, name=key, asarray=False)

    def pair(self, name: str) -> Pair:
        """Return an operand and its axes."""
        x = self.arrays[name]
        is_bias = name.endswith("[1]")
        axes = _AXES_OF_LAYERS[is_bias] if name.startswith("layers[") else _AXES[name]
        if x is None:
            return x, axes
        return x, axes[-x.ndim :] if name == "samples" else axes[: x.ndim]

    def pairs(self, *names: str) -> list[Pair]:
        """Return operands and their axes."""
        return [self.pair(name) for name in names]

    def combined(
        self,
        function: Callable[..., Any],
        index: str,
        dtype: np.dtype,
        *pairs: Pair,
        new_axes: dict[str, int] | None = None,
        concatenate: bool | None = True,
        summed: str = "",
    ) -> da.Array:
        """Return the result of a function of blocks of arrays with these axes.

        The result has the axes of `index`. On a `summed` axis, each chunk leaves one row.
        """
        flat = [item for x, axes in pairs for item in (x, None if x is None else axes)]
        chunks: dict[str, Any] = {axis: self.chunks[axis] for axis in index if axis in self.chunks}
        if summed:
            chunks[summed] = (1,) * len(self.chunks[summed])
        return da.blockwise(
            functools.partial(function, backend=self._backend),
            index,
            *flat,
            new_axes=new_axes,
            adjust_chunks=chunks,
            align_arrays=False,
            concatenate=concatenate,
            token=_name(function),
            meta=self._meta(index, dtype),
        )

    def selected(
        self,
        function: Callable[..., Any],
        index: str,
        dtype: np.dtype,
        operands: Iterable[Pair],
        check: bool | None,
        new_axes: dict[str, int] | None = None,
    ) -> da.Array:
        """Return the values of each sample in its own set, with the axes of `index` without sets.

        The function evaluates the samples of a chunk whose set is in a chunk of sets. It takes the
        bounds of the chunk of sets, and chunks of the operands.
        """
        check = None if check is None else validation.flag("check", check)
        ends = np.cumsum([0, *self.chunks["n"]])
        bounds = da.from_array(np.stack([ends[:-1], ends[1:]], axis=1), (1, 2)), "ni"
        new_axes = new_axes or {}
        of_parts = "".join(axis for axis in index if axis not in new_axes)
        parts = self.combined(function, of_parts, dtype, bounds, *operands, concatenate=None)
        return self.combined(
            functools.partial(_tasks.put_together, check=check),
            index.replace("n", ""),
            dtype,
            (parts, of_parts),
            bounds,
            self.pair("set_index"),
            new_axes=new_axes,
            concatenate=None,
        )

    def sums(
        self,
        function: Callable[..., Any],
        index: str,
        n_outputs: int,
        *pairs: Pair,
        join: Callable[..., Any] = _tasks.add_nodes,
        sizes: dict[str, int] | None = None,
        concatenate: bool | None = True,
    ) -> da.Array:
        """Return the sums over sets or samples, which `index` lacks; the function returns nodes.

        Reductions other than sums pass their own function to `join` nodes. Axes of the result that
        no operand has have length 1, or the lengths in `sizes`.
        """
        (summed,) = {*"nb"} & {axis for x, axes in pairs if x is not None for axis in axes} - {
            *index
        }
        sizes = {"o": n_outputs, "k": 1, "w": 1} | (sizes or {})
        new_axes = {axis: size for axis, size in sizes.items() if axis in index}
        nodes = self.combined(
            function,
            summed + index,
            _FLOAT64,
            *pairs,
            new_axes=new_axes,
            concatenate=concatenate,
            summed=summed,
        )
        return self._added(nodes, _tasks.keep_nodes, join, index, _name(function))

    def sum_over_sets(self, totals: da.Array) -> da.Array:
        """Return the sums of totals (1, N, columns) over sets, (1, 1, columns).

        Their tree has a leaf for each set.
        """
        nodes = totals[0][:, None, None]
        nodes = nodes.rechunk({0: _in_powers_of_two(nodes.chunks[0])})
        return self._added(nodes, _tasks.add_nodes, _tasks.add_nodes, "okt", "sum_over_sets")

    def _added(
        self,
        nodes: da.Array,
        chunk: Callable[..., Any],
        join: Callable[..., Any],
        index: str,
        name: str,
    ) -> da.Array:
        """Return the root of the tree of nodes that stand along the first axis."""
        return da.reduction(
            nodes,
            chunk,
            join,
            axis=0,
            dtype=_FLOAT64,
            split_every=_NEIGHBOURS,
            name=name,
            meta=self._meta(index, _FLOAT64),
        )

    def normalize(self, name: str, working: np.dtype) -> None:
        """Divide weights, if given, by the power of two of the largest one."""
        weights, axis = self.pair(name)
        if weights is None:
            return
        options = {"working": working}
        largest = functools.partial(_tasks.largest_of_chunks, **options)
        found = self.sums(largest, "okw", 1, (weights, axis), join=_tasks.largest_size)
        pairs = (weights, axis), (found[0, 0], "w")
        function = functools.partial(_tasks.normalize_weights, **options)
        self.arrays[name] = self.combined(function, axis, _FLOAT64, *pairs)

    def total_weight(self, name: str, *, in_closed_form: bool = False, **options: Any) -> Pair:
        """Return the sum of the weights of samples or sets, an array of one element, or None.

        For the closed form, return two sums, of shape (2, 1).
        """
        index, rows = ("kw", 2) if in_closed_form else ("w", 1)
        weights, axis = self.pair(name)
        if weights is None:
            return None, index
        options["in_closed_form"] = in_closed_form
        function = functools.partial(_tasks.weights_of_chunks, **options)
        total = self.sums(function, "okw", 1, (weights, axis), sizes={"k": rows})
        return (total[0] if in_closed_form else total[0, 0]), index

    def _meta(self, index: str, dtype: np.dtype) -> Any:
        return self.xp.empty((0,) * len(index), dtype)


def _name(function: Callable[..., Any]) -> str:
    """Return the name of tasks on Dask's dashboard."""
    return getattr(function, "func", function).__name__.removesuffix("_of_chunks")


def _check_chunks(name: str, array: da.Array) -> None:
    if np.isnan(array.shape).any():
        raise ValueError(
            f"{name} has chunks of unknown size, with shape {array.shape}; expected known "
            f"sizes: call {name}.compute_chunk_sizes() first"
        )
    if type(array._meta) is not np.ndarray and not namespaces.is_cupy(array._meta):
        raise TypeError(
            f"{name} has chunks of type {type(array._meta).__name__}; expected NumPy or CuPy arrays"
        )


def _in_powers_of_two(chunks: tuple[int, ...], unit: int = 1) -> tuple[int, ...]:
    """Return chunks of a power of two of units, of similar length; a single chunk is unchanged."""
    if len(chunks) == 1:
        return chunks
    rows = unit << max((max(chunks) // unit).bit_length() - 1, 0)
    whole, rest = divmod(sum(chunks), rows)
    return (rows,) * whole + (rest,) * (rest > 0)
