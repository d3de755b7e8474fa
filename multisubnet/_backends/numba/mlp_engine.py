"""The CPU engine for networks with hidden layers: divides the work into pieces for threads."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arrays import dtypes
from multisubnet._backends import numpy_mlp
from multisubnet._backends.mlp_call import MlpCall, MlpForm, features_in_turn
from multisubnet._backends.numba import loading, threads
from multisubnet._backends.numba.lines import AT_ONCE, area_size, is_plain

_FEATURES_BYTES = 1 << 18  # of samples that all sets of a piece read again
_ROWS_BYTES = 1 << 16  # of values that wait to be written
_BLOCK = 1024  # the most samples of a block
_ROWS = 256  # the samples of a piece are a multiple of this
_WORTH = 1 << 21  # products that are worth another thread
_PIECES_PER_THREAD = 8
_FEW = 31  # the most samples of a set for which lanes may be units
_OF_UNITS = 1.1  # the time of a vector of units, relative to one of samples
_OF_SET = 20  # the time to bring the samples of a set into lanes, in vectors
_PART_BYTES = 1 << 18  # of weights that are cast together
_SELECTED_BYTES = 1 << 18  # of samples and values that are sorted by set


# dtype.char and key of compiled networks.
prepared: set[tuple[Any, ...]] = set()


class _Layout(NamedTuple):
    """The amounts of work done together, and the offsets of a thread's scratch memory, in bytes."""

    block: int
    tile: int
    rows_at: int
    sums_at: int
    hidden_at: int
    size: int


class _Code(NamedTuple):
    """A compiled function for calls of one form, and its arguments besides their arrays."""

    evaluate: Callable[..., None]
    parameters: np.ndarray
    no_intercept: np.ndarray
    layout: tuple[int, ...]
    n_features: int
    in_turn: np.ndarray
    """The wiring of networks without `inputs`."""


def mlp(call: MlpCall, out: np.ndarray) -> None:
    """Write the values of networks to `out`, like `numpy_mlp.mlp`."""
    form = call.form
    dtype = form.working_dtype
    if not _has_code(form):
        numpy_mlp.mlp(call, out)
        return
    if not out.size:
        return
    whole = out[:, :, None] if form.additive else out
    if _has_plain_rows(call.samples, dtype) and _has_plain_rows(whole, dtype):
        n_pieces, count, kind = 1, 1, 0
        if form.n_operations >= 2 * _WORTH:
            kind = threads.kind(form.n_operations, "mlp", form.key)
            count = threads.count(form.n_operations // _WORTH, kind)
            if count > 1:
                n_pieces = min(count * _PIECES_PER_THREAD, 2 * form.n_operations // _WORTH)
        try:
            pieces = _pieces(form.n_sets, form.n_samples, n_pieces)
            _evaluate(call, whole, pieces, count, kind)
            return
        except TypeError:  # a weight has another dtype, or is not contiguous or not aligned
            pass
    _evaluate_in_parts(call, out)


def mlp_select(call: MlpCall, set_index: np.ndarray, out: np.ndarray) -> None:
    """Write the values of one set per sample to `out`, like `numpy_mlp.mlp_select`."""
    dtype = call.working_dtype
    plain = out.size and call.dtype == dtype and _has_code(call.form) and _are_plain(call, dtype)
    if not plain or ((set_index < 0) | (set_index >= call.n_sets)).any():
        numpy_mlp.mlp_select(call, set_index, out)
        return
    sizes = call.samples.shape[1], call.n_subnets * call.sizes[-1]
    rows = max(_SELECTED_BYTES // (max(sizes) * dtype.itemsize), 64)

    @without_warnings
    def work(start: int) -> None:
        those = slice(start, min(start + rows, call.n_samples))
        index = set_index[those].astype(np.int64)
        order = np.argsort(index, kind="stable")
        index = index[order]
        # Samples of one set, starting wherever another set begins.
        begins = np.flatnonzero(np.diff(index, prepend=-1))
        ends = np.append(begins[1:], len(index))
        runs = np.stack([index[begins], index[begins] + 1, begins, ends], 1)
        samples = call.samples[those][order]
        values = np.empty((len(index), *call.shape[2:]), dtype)
        runs_of = call._replace(samples=samples)
        runs_of = runs_of.with_form(n_samples=-(-len(index) // len(begins)))
        whole = values[:, None] if call.additive else values
        # All sets write to the same rows: the stride of the set axis is 0.
        same = np.lib.stride_tricks.as_strided(
            whole, (call.n_sets, *whole.shape), (0, *whole.strides)
        )
        _evaluate(runs_of, same, runs)
        dtypes.copyto(out[those], values[np.argsort(order)])

    worth = call.n_products // max(call.n_sets, 1) // _WORTH
    starts = ((start,) for start in range(0, call.n_samples, rows))
    kind = threads.kind(worth, "mlp_select", call.key)
    threads.run(work, starts, threads.count(worth, kind), kind)


def _has_code(form: MlpForm) -> bool:
    """Return whether there is compiled code for these networks, which rounds sums once."""
    dtype = form.working_dtype
    is_rounded_once = dtype is form.dtype or not form.additive
    return dtype.char in "fd" and is_rounded_once and form.n_subnets > 0


def _are_plain(call: MlpCall, dtype: np.dtype) -> bool:
    """Return whether the compiled code can read the operands directly."""
    samples, *others = call.arrays
    return all(is_plain(x, dtype) for x in others) and _has_plain_rows(samples, dtype)


def _has_plain_rows(array: np.ndarray, dtype: np.dtype) -> bool:
    """Return whether an array has a dtype, is aligned, and contiguous except for its first axes."""
    flags = array.flags
    if array.dtype != dtype or not flags.aligned:
        return False
    if flags.c_contiguous:
        return True
    expected = array.itemsize
    first = array.ndim - 1 if array.ndim < 4 else 2
    for axis in range(array.ndim - 1, first - 1, -1):
        if array.shape[axis] > 1 and array.strides[axis] != expected:
            return False
        expected *= array.shape[axis]
    return True


@functools.lru_cache(256)
def _pieces(n_sets: int, n_samples: int, wanted: int) -> np.ndarray:
    """Split sets and samples into about `wanted` rectangles (first, last, start, stop)."""
    sets = max(n_sets // wanted, 1)
    blocks = -(-n_samples // _ROWS)
    rows = max(blocks * -(-n_sets // sets) // wanted, 1) * _ROWS
    pieces = np.array(
        [
            (first, min(first + sets, n_sets), start, min(start + rows, n_samples))
            for start in range(0, n_samples, rows)
            for first in range(0, n_sets, sets)
        ]
    )
    pieces.flags.writeable = False
    return pieces


def _evaluate(
    call: MlpCall, out: np.ndarray, pieces: np.ndarray, count: int = 1, kind: int = 0
) -> None:
    """Write pieces, given by first and last set and sample, to `out` (N, B, S, P).

    `count` threads share the pieces, work of a `kind`. The call's `n_samples` are those of one set;
    the layout depends on their number. Raises TypeError if the code cannot read an array.
    """
    samples, layers, inputs, intercept, form = call
    if samples.ndim == 2:
        samples = samples[None]
    code = form.code
    if code is None or code.n_features != samples.shape[2]:
        code = form.code = _prepare(
            form.key, form.working_dtype, samples.shape[2], form.n_samples, form.n_subnets
        )
    arrays = tuple([x for layer in layers for x in layer if x is not None])
    dtype = form.working_dtype
    has_intercept = intercept is not None
    kinds = [x.dtype for x in arrays]
    if kinds.count(dtype) < len(kinds) or (has_intercept and intercept.dtype != dtype):
        raise TypeError
    evaluate, parameters, no_intercept, layout, _, in_turn = code
    share, step = (0, 1, 0), len(pieces)
    if count > 1 and step > 1:
        share, step = threads.share(step, count, kind), 1
    evaluate(
        *(*share, samples, in_turn if inputs is None else inputs, out),
        *(np.empty(count * layout[-1], np.uint8), parameters),
        *(intercept if has_intercept else no_intercept, has_intercept, layout, pieces, step),
        arrays,
    )


@functools.lru_cache(256)
def _prepare(
    key: tuple[Any, ...], dtype: np.dtype, n_features: int, n_samples: int, n_subnets: int
) -> _Code:
    """Return the function and its arguments, compiled if necessary."""
    with loading.lock():
        from multisubnet._backends.numba.llvm.layers import Plan

    sizes, activations, biased, additive = key
    lanes = _lanes(dtype)
    vectors, of_units = _count_vectors(sizes, n_samples, lanes)
    keys = tuple("linear" if a is None else a.key for a in activations)
    parameters = np.array([0.0 if a is None else a.number for a in activations])
    function = _function(Plan(sizes, keys, biased, additive, lanes, vectors, of_units), dtype)
    if of_units:
        layout = _layout_of_items(sizes, vectors, dtype.itemsize, lanes)
    else:
        layout = _layout(
            *(n_features, n_samples, n_subnets, sizes, additive, dtype.itemsize),
            *(lanes * vectors, lanes),
        )
    in_turn = features_in_turn(n_subnets, sizes[0])
    prepared.add((dtype.char, key))
    return _Code(function, parameters, np.zeros((1, 1), dtype), tuple(layout), n_features, in_turn)


def _count_vectors(sizes: tuple[int, ...], n_samples: int, lanes: int) -> tuple[int, bool]:
    """Return how many vectors of samples to evaluate at once, and False.

    If lanes of units take less time, return how many samples, and True.
    """
    if n_samples <= lanes:
        of_samples = 1
    else:
        twos, fours = (-(-n_samples // (v * lanes)) * v for v in (2, 4))
        of_samples = 4 if fours <= 1.15 * twos else 2  # the time for a vector of two
    if n_samples <= _FEW:
        at_once = AT_ONCE if n_samples >= AT_ONCE else 1
        rows = -(-n_samples // at_once) * at_once
        products = sum(a * b for a, b in itertools.pairwise(sizes))
        of_units = sum(a * _count_chunks(b, lanes) for a, b in itertools.pairwise(sizes))
        if rows * of_units * _OF_UNITS <= products * of_samples + _OF_SET:
            return at_once, True
    return of_samples, False


def _count_chunks(n_units: int, lanes: int) -> int:
    """Return how many vectors, each half as long as the previous, cover the units of a layer."""
    return n_units // lanes + (n_units % lanes).bit_count()


def _layout_of_items(sizes: tuple[int, ...], vectors: int, itemsize: int, lanes: int) -> _Layout:
    """Return the layout for items with as many samples as there are vectors."""
    sums_at = -(-(AT_ONCE // vectors) * (1 + 2 * vectors) * 8 // 64) * 64
    hidden_at = sums_at + -(-AT_ONCE * sizes[-1] * 8 // 64) * 64
    padded = -(-max(sizes) // lanes) * lanes
    size = area_size(hidden_at + 2 * AT_ONCE * padded * itemsize)
    return _Layout(0, 0, 0, sums_at, hidden_at, size)


def _layout(
    n_features: int,
    n_samples: int,
    n_subnets: int,
    sizes: tuple[int, ...],
    additive: bool,
    itemsize: int,
    at_once: int,
    lanes: int,
) -> _Layout:
    """Return the layout for samples, `at_once` of them evaluated in vectors of `lanes`."""
    padded = max(-(-n_features // lanes), 1) * lanes
    needed = -(-n_samples // at_once) * at_once
    most = min(_FEATURES_BYTES // (padded * itemsize), _BLOCK, needed)
    block = max(most // at_once, 1) * at_once
    n_outputs = sizes[-1]
    tile = max(_ROWS_BYTES // (block * itemsize * n_outputs), 1)
    tile = 1 if additive else max(min(tile, n_subnets), 1)
    row = block * itemsize
    rows_at = padded * row
    sums_at = rows_at + -(-tile * n_outputs // lanes) * lanes * row
    hidden_at = sums_at + (n_outputs * block * 8 if additive else 0)
    size = area_size(hidden_at + 2 * max(sizes) * at_once * itemsize)
    return _Layout(block, tile, rows_at, sums_at, hidden_at, size)


@functools.cache
def _function(plan: Any, dtype: np.dtype) -> Callable[..., None]:
    with loading.lock():
        from multisubnet._backends.numba import mlp_loops

    return mlp_loops.compile_mlp(plan, dtype)


@functools.cache
def _lanes(dtype: np.dtype) -> int:
    """Return the number of lanes in a vector of the target processor."""
    with loading.lock():
        from numba.core.registry import cpu_target

    features = cpu_target.target_context.codegen()._tm_features
    n_bytes = 64 if "+avx512f" in features else 32 if "+avx" in features else 16
    return n_bytes // dtype.itemsize


def _evaluate_in_parts(call: MlpCall, out: np.ndarray) -> None:
    """Evaluate parts, copying operands to the form that the compiled code reads."""
    dtype = call.working_dtype
    n_weights = sum(weight[:1, :1].size for weight, _ in call.layers)
    subnets = max(call.n_subnets, 1)
    if not call.additive:
        subnets = min(max(_PART_BYTES // (n_weights * dtype.itemsize), 1), subnets)
    sets = max(_PART_BYTES // (n_weights * subnets * dtype.itemsize), 1)
    widest = max(call.samples.shape[-1], subnets * call.sizes[-1])
    rows = max(_PART_BYTES // (widest * dtype.itemsize), 1)

    @without_warnings
    def work(first: int, start: int, s: int) -> None:
        cuts = (
            slice(first, min(first + sets, call.n_sets)),
            slice(start, min(start + rows, call.n_samples)),
            slice(s, min(s + subnets, call.n_subnets)),
        )
        part = call.part(*cuts).with_arrays(lambda x: np.require(x, dtype, ["C", "A"]))
        target = out[cuts[:2]] if call.additive else out[cuts]
        values = np.empty(target.shape, dtype)
        whole = _pieces(part.n_sets, part.n_samples, 1)
        _evaluate(part.with_dtype(dtype), values[:, :, None] if call.additive else values, whole)
        rounded = values
        if call.dtype != dtype:
            rounded = np.empty(values.shape, call.dtype)
            dtypes.copyto(rounded, values)
        dtypes.copyto(target, rounded)

    parts = (
        (n, b, s)
        for n in range(0, call.n_sets, sets)
        for b in range(0, call.n_samples, rows)
        for s in range(0, max(call.n_subnets, 1), subnets)
    )
    kind = threads.kind(call.n_products, "parts", call.key)
    threads.run(work, parts, threads.count(call.n_products // _WORTH, kind), kind)
