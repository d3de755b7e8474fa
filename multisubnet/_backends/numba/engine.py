"""The CPU engine: compiled code on all cores, as fast as the machine can write.

This module divides a result into pieces, and the pieces among threads that run the code of
affine_loops.py. Operands that this code cannot read (another dtype, byte order or stride) are
copied in blocks that stay in a core's cache.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arithmetic.summands import OPERANDS, SCALAR, STREAMED, Summands
from multisubnet._arithmetic.summation_order import BLOCK
from multisubnet._arrays import dtypes as _dtypes
from multisubnet._backends import numpy as _numpy
from multisubnet._backends.affine_call import AffineCall
from multisubnet._backends.numba import loading, mlp_engine, mlp_sum_engine, sum_layout
from multisubnet._backends.numba import threads as _threads
from multisubnet._backends.numba.lines import is_plain

NAME = "numba"
ARRAYS = "numpy"

empty = _numpy.empty
copy_from_other = _numpy.copy_from_other
mlp = mlp_engine.mlp
mlp_select = mlp_engine.mlp_select
mlp_sums = mlp_sum_engine.mlp_sums
mlp_gradients = mlp_sum_engine.mlp_gradients
mlp_sample_sums = mlp_sum_engine.mlp_sample_sums

_DTYPES = frozenset("?bBhHiIlLqQfd")

# Results from this number of bytes per thread on bypass the cache. docs/cpu.md has the measurements
# behind these constants.
_STREAMED = 6 << 20
_REUSED = 1 << 18  # the most bytes of an operand that all runs read again, to keep it in a cache
_MIN_PIECE_BYTES = 1 << 16  # of the result
_PIECES_PER_THREAD = 16  # so that a delayed thread does not delay the others
_MAX_PIECE_ELEMENTS = 1 << 21  # some milliseconds
_PARAMETERS_PER_PIECE = 1 << 13  # of the sets whose losses it evaluates
_BLOCK = 1 << 14  # elements of a block that is copied to scratch arrays
_CAST = 1 << 20  # the most elements of targets that are cast as a whole
_SMALL = 1 << 18  # the most bytes of result and samples for which no plan is made
_DIVIDED = 1 << 20  # the most bytes of totals that are divided in the same step

_TARGET = [*OPERANDS].index("target")

# Compiled functions by function, dtype.char and activation.key.
_evaluate: dict[tuple[Any, ...], Callable[..., None]] = {}


@functools.cache
def why_unavailable() -> str | None:
    """Return why Numba cannot be used, or None. This imports Numba."""
    try:
        with loading.lock():
            import numba
    except ImportError as error:
        return f"Numba cannot be imported ({error}); pip install 'multisubnet[cpu]'"
    except Exception as error:  # incompatible versions fail in many ways
        return f"importing Numba failed: {type(error).__name__}: {error}"
    if numba.config.DISABLE_JIT:
        return "NUMBA_DISABLE_JIT is set, which disables Numba's compiler"
    return None


def serves(dtype: np.dtype, out: np.dtype) -> bool:
    """Return whether there is code for this dtype; NumPy casts results to the dtype of `out`."""
    return dtype.char in _DTYPES


def has_code(kind: tuple[Any, ...]) -> bool:
    """Return whether code of a kind (function, dtype.char, key) has been loaded or compiled."""
    return kind in _evaluate or kind[1:] in mlp_engine.prepared


def affine(call: AffineCall, out: np.ndarray) -> None:
    """Write activation(samples * weight + bias) to `out` of shape (N, B, F)."""
    samples, weight, bias, dtype, activation, (n_sets, n_samples, n_features) = call
    evaluate = None if activation else _evaluate.get(("affine", dtype.char, None))
    if evaluate is None:
        evaluate = _get_compiled("affine", dtype, activation)
    has_bias = bias is not None
    third = weight if bias is None else bias
    if (
        0 < out.nbytes <= _SMALL
        and samples.ndim == 2
        and samples.dtype is weight.dtype is third.dtype is out.dtype
        and out.flags.c_contiguous
    ):
        try:
            run = n_samples * n_features
            evaluate(0, 1, 0, samples, weight, third, out, has_bias, True, n_sets, run, False)
            return
        except TypeError:  # an operand is not contiguous or not aligned
            pass
    if not out.size:
        return

    plain = all(is_plain(array, dtype) for array in (samples, weight, third))
    by_samples = out.transpose(1, 0, 2)
    if plain and samples.ndim == 2 and len(weight) == len(third) == n_sets:
        # With one sample, both orders are the same, and runs of sets are longer.
        sets_first = n_samples > 1 and is_plain(out, dtype)
        whole = out if sets_first else by_samples
    else:
        sets_first, whole = True, out
    if not plain or not is_plain(whole, dtype):
        _in_blocks(evaluate, call, out)
        return

    rows = samples.reshape(-1, n_features)
    outer, run = len(whole), whole.shape[1] * n_features
    kind = _threads.kind(out.nbytes, "affine", activation and activation.key)
    n_awake = _threads.count_awake()
    threads = _threads.count(out.nbytes // _MIN_PIECE_BYTES, kind)
    # The caches of sleeping threads hold nothing of the last result.
    streamed = out.nbytes >= _STREAMED * min(threads, n_awake)
    reads_again = outer > 1 and samples.ndim == 2 and run * dtype.itemsize > _REUSED
    height, length = _piece_shape(outer, run, reads_again, dtype.itemsize, threads)
    n_pieces = -(-outer // height) * -(-run // length)
    share = _threads.share(n_pieces, threads, kind)
    evaluate(*share, rows, weight, third, whole, has_bias, sets_first, height, length, streamed)


def affine_select(call: AffineCall, set_index: np.ndarray, out: np.ndarray) -> None:
    """Write `affine` of set `set_index[b]` for each sample b to `out` of shape (B, F)."""
    samples, weight, bias, dtype, activation, (n_sets, _, _) = call
    third = weight if bias is None else bias
    plain = all(is_plain(array, dtype) for array in (samples, weight, third, out))
    if not plain or ((set_index < 0) | (set_index >= n_sets)).any():
        _numpy.affine_select(call, set_index, out)
        return
    evaluate = _get_compiled("affine_select", dtype, activation)
    index = np.require(set_index, np.int64, ["C", "A"])

    rows = max(_MIN_PIECE_BYTES // (out.itemsize * max(out.shape[1], 1)), 1)
    if len(out):
        n_pieces = -(-len(out) // rows)
        kind = _threads.kind(out.nbytes, "affine_select", activation and activation.key)
        share = _threads.share(n_pieces, _threads.count(n_pieces, kind), kind)
        evaluate(*share, samples, weight, third, index, out, bias is not None, rows)


def sums(
    terms: Summands,
    operands: dict[str, np.ndarray | None],
    dtype: np.dtype,
    parameter: float,
    length: int,
    totals: np.ndarray,
) -> None:
    """Write the sums of terms over each block of `length` to `totals`, like `numpy.sums`."""
    given = [*map(operands.get, OPERANDS)]
    shapes = tuple([None if x is None else x.shape for x in given])
    _sum_layout(terms, dtype, shapes, length, totals.shape).write(given, parameter, totals)


def divided_sums(
    plans: dict[str, sum_layout.SumLayout | None],
    terms: Summands,
    operands: list[np.ndarray | None],
    dtype: np.dtype,
    parameter: float,
    shape: tuple[int, int, int],
    outs: list[np.ndarray],
    divisor: float,
) -> bool:
    """Do as `sums` and `finish` and return True, or return False without code for it.

    `operands` are in the order of OPERANDS, and `shape` is (kept, summed, F). Calls that differ
    only in values share `plans`; `outs` are new arrays.
    """
    if NAME not in plans:
        n_kept, length, n_features = shape
        layout = None
        if 0 < 8 * len(outs) * n_kept * n_features <= _DIVIDED and 0 < length <= BLOCK:
            shapes = tuple([None if x is None else x.shape for x in operands])
            of_totals = 1, len(outs), n_kept, n_features
            layout = _sum_layout(terms, dtype, shapes, length, of_totals)
            layout = layout if layout.can_divide(outs) else None
        plans[NAME] = layout
    layout = plans[NAME]
    if layout is not None:
        layout.write_divided(operands, parameter, outs, divisor or math.nan)
    return layout is not None


@functools.lru_cache(256)
def _sum_layout(
    terms: Summands,
    dtype: np.dtype,
    shapes: tuple[tuple[int, int, int] | None, ...],
    length: int,
    of_totals: tuple[int, int, int, int],
) -> sum_layout.SumLayout:
    """Return the layout of sums of operands of these shapes, with code compiled if necessary."""
    kinds = terms.kinds(shapes, dtype)
    target = shapes[_TARGET]
    if target is not None and target[2] == 1 < of_totals[3] and kinds[_TARGET] == STREAMED:
        kinds = kinds[:_TARGET] + SCALAR + kinds[_TARGET + 1 :]  # so that it need not be packed
    try:
        evaluate = _evaluate[terms, dtype.char, kinds]
    except KeyError:
        with loading.lock():
            from multisubnet._backends.numba import sum_loops

        evaluate = sum_loops.compiled_sums(terms, dtype, kinds)
        _evaluate["sums", dtype.char, terms.key] = _evaluate[terms, dtype.char, kinds] = evaluate
    return sum_layout.SumLayout(evaluate, terms, kinds, dtype, shapes, length, of_totals)


def finish(
    totals: np.ndarray, out: np.ndarray, divisor: float, divisor_array: np.ndarray | None
) -> None:
    """Write the divided sums of block totals to `out`, like `numpy.finish`."""
    if out.ndim == len(totals) == 1 and out.dtype.char == "d" and divisor_array is None:
        _over_features(totals[0], divisor, out)
    else:
        _numpy.finish(totals, out, divisor, divisor_array, _over_features)


def _over_features(
    values: np.ndarray, divisor: float = 1.0, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the divided sums of rows (kept, F), each by a binary tree, in `out` if given."""
    if out is None:
        out = np.empty(len(values))
    if not values.shape[1]:
        out[...] = 0.0 if divisor else math.nan
    else:
        compiled = _loaded().compiled_over_features()
        compiled(np.ascontiguousarray(values), divisor or math.nan, out)
    return out


@functools.cache
def _loaded() -> ModuleType:
    """Return the module moment_loops."""
    with loading.lock():
        from multisubnet._backends.numba import moment_loops
    return moment_loops


def moments(operands: tuple[Any, ...], dtype: np.dtype, found: np.ndarray) -> bool:
    """Do the same as `closed_form.moments` and return True, or return False without code for it."""
    samples, targets, sample_weight = operands
    if not samples.size:
        return False
    if targets.dtype != dtype or targets.shape != samples.shape:
        if samples.size > _CAST:
            return False
        targets = np.ascontiguousarray(np.broadcast_to(targets, samples.shape), dtype)
    if not (is_plain(samples, dtype) and is_plain(targets, dtype)):
        return False
    weights = np.empty(0) if sample_weight is None else sample_weight
    weights = np.ascontiguousarray(weights, dtype)
    find_moments = _loaded().compiled_moments(dtype, sample_weight is not None)
    find_moments(samples, targets, weights, abs(weights), found)
    return True


def moment_loss(
    operands: tuple[Any, ...], dtype: np.dtype, outs: list[np.ndarray], divisor: float
) -> bool:
    """Do as `closed_form.evaluate_losses` and return True, or return False without code for it."""
    weight, bias, found = operands
    loss, *gradients = outs
    n_sets, n_features = len(loss), weight.shape[1]
    if not n_sets * n_features:
        return False
    third = np.full((1, n_features), -0.0, dtype) if bias is None else bias
    if not all(is_plain(x, dtype) for x in (weight, third, *gradients)):
        return False
    weighted = len(found) > 6
    evaluate = _loaded().compiled_moment_loss(dtype, weighted, loss.ndim == 2, len(gradients) > 0)
    losses = (loss if loss.dtype == np.float64 else np.empty(loss.shape)).reshape(n_sets, -1)
    unread = np.empty((1, n_features), dtype)
    grad_weight, grad_bias = (*gradients, unread, unread)[:2]

    step = max(_PARAMETERS_PER_PIECE // n_features // 8 * 8, 8)
    n_pieces = -(-n_sets // step)
    kind = _threads.kind(n_sets * n_features, "moment_loss", len(gradients))
    share = _threads.share(n_pieces, _threads.count(n_pieces, kind), kind)
    evaluate(*share, weight, third, found, losses, grad_weight, grad_bias, divisor, step)
    if loss.dtype != np.float64:
        with np.errstate(all="ignore"):
            loss[...] = losses.reshape(loss.shape)
    return True


def _get_compiled(name: str, dtype: np.dtype, activation: Activation | None) -> Callable[..., None]:
    """Return a function of affine_loops.py for a dtype and an activation."""
    kind = name, dtype.char, activation and activation.key
    try:
        evaluate = _evaluate[kind]
    except KeyError:
        with loading.lock():
            from multisubnet._backends.numba import affine_loops

        key, parameter = "linear", None
        if activation is not None:
            key, parameter = activation.key, activation.parameter
        evaluate = _evaluate[kind] = affine_loops.compiled(name, dtype, key, parameter is not None)
    if activation is not None and activation.parameter is not None:
        return _with_parameter(evaluate, activation.parameter)
    return evaluate


def _with_parameter(evaluate: Callable[..., None], parameter: float) -> Callable[..., None]:
    return lambda *arguments: evaluate(*arguments, parameter)


def _piece_shape(
    outer: int, run: int, reads_again: bool, itemsize: int, threads: int
) -> tuple[int, int]:
    """Return how many runs of `outer`, and how many elements of their `run`, make a piece."""
    size = max(
        min(outer * run // (threads * _PIECES_PER_THREAD), _MAX_PIECE_ELEMENTS),
        _MIN_PIECE_BYTES // itemsize,
    )
    length = _REUSED // itemsize if reads_again else min(run, size)
    return min(max(size // length, 1), outer), length


def _in_blocks(evaluate: Callable[..., None], call: AffineCall, out: np.ndarray) -> None:
    """Evaluate in blocks, copying each operand of a block to contiguous memory of one dtype."""
    samples, weight, bias, dtype, activation, _ = call
    samples = samples if samples.ndim == 3 else samples[None]
    weight = weight[:, None]
    third = weight if bias is None else bias[:, None]

    @without_warnings
    def work(*block: slice) -> None:
        target = out[block]
        n_sets, n_samples, n_features = target.shape
        operands = (
            np.require(_numpy.part(array, block), dtype, ["C", "A"]).reshape(-1, n_features)
            for array in (samples, weight, third)
        )
        result = target if is_plain(target, dtype) else np.empty(target.shape, dtype)
        run = n_samples * n_features
        evaluate(0, 1, 0, *operands, result, bias is not None, True, n_sets, run, False)
        if result is not target:
            _dtypes.copyto(target, result)

    kind = _threads.kind(out.size, "blocks", activation and activation.key)
    threads = _threads.count(out.size * dtype.itemsize >> 19, kind)
    _threads.run(work, _numpy.blocks(out.shape, out.strides, _BLOCK), threads, kind)
