"""The reference backend, which all others must match bit for bit.

It processes the result in blocks that stay in a core's cache: each operation finds the results of
earlier ones there, and operands of another dtype are never cast as a whole.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arithmetic.summands import OPERANDS, Summands
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._arrays import dtypes
from multisubnet._backends.programs import reuses_memory, run_program

if TYPE_CHECKING:
    from multisubnet._backends.affine_call import AffineCall
    from multisubnet._backends.mlp_call import MlpCall
    from multisubnet._backends.mlp_sums import MlpSums, MlpTotals

NAME = "numpy"
ARRAYS = "numpy"

empty = np.empty

_BLOCK = 1 << 15  # elements; a few blocks of float64 stay in 1 MiB
_RECIPE_BLOCK = 1 << 13  # with an activation, which needs a dozen values at once
_TERMS = 1 << 16  # terms computed at once; one column may have more


def why_unavailable() -> None:
    """Return None: NumPy is always available."""


def serves(dtype: np.dtype, out: np.dtype) -> bool:
    """Return True: the reference supports every dtype."""
    return True


def copy_from_other(array: Any) -> np.ndarray:
    """Return a copy of a CuPy array on the host."""
    return array.get()


@without_warnings
def affine(call: AffineCall, out: np.ndarray) -> None:
    """Write activation(samples * weight + bias) to `out` of shape (N, B, F)."""
    samples, weight, bias, dtype, activation, _ = call
    weight = weight[:, None]
    bias = None if bias is None else bias[:, None]
    if activation is None and out.size <= _BLOCK and dtype.kind != "c":  # most small calls
        _real_affine(samples, weight, bias, out, dtype)
        return
    evaluate, size = _evaluator(dtype, activation)
    if out.size <= size:
        evaluate(samples, weight, bias, out, dtype)
        return
    samples = samples if samples.ndim == 3 else samples[None]
    for block in blocks(out.shape, out.strides, size):
        evaluate(
            part(samples, block),
            part(weight, block),
            None if bias is None else part(bias, block),
            out[block],
            dtype,
        )


@without_warnings
def affine_select(call: AffineCall, set_index: np.ndarray, out: np.ndarray) -> None:
    """Write `affine` of set `set_index[b]` for each sample b to `out` of shape (B, F).

    An out-of-range index gives NaN, or 0 in dtypes without NaN.
    """
    samples, weight, bias, dtype, activation, (n_sets, n_samples, n_features) = call
    evaluate, size = _evaluator(dtype, activation)
    rows = max(1, size // max(n_features, 1))
    for start in range(0, n_samples, rows):
        block = slice(start, start + rows)
        index = set_index[block]
        there = (index >= 0) & (index < n_sets)
        index = np.where(there, index, 0).astype(np.intp)
        selected = (x if x is None or len(x) == 1 else x[index] for x in (weight, bias))
        if n_sets:
            weights, biases = selected
            evaluate(samples[block], weights, biases, out[block], dtype)
        if not there.all():
            nothing = complex(np.nan, np.nan) if dtype.kind == "c" else np.nan
            out[block][~there] = 0 if dtype.kind in "biu" else nothing


@without_warnings
@reuses_memory
def sums(
    terms: Summands,
    operands: dict[str, np.ndarray | None],
    dtype: np.dtype,
    parameter: float,
    length: int,
    totals: np.ndarray,
) -> None:
    """Write the sums of terms over each block of `length` to `totals`.

    Operands are None or have the shape (kept, summed, F), with 1 along axes on which they do not
    depend. Totals are float64 of shape (blocks, outputs, kept, F).
    """
    given: dict[str, Any] = {**OPERANDS, "parameter": parameter}
    program = terms.program(dtype)
    n_blocks, _, *columns = totals.shape
    for number in range(n_blocks):
        summed = slice(number * BLOCK, min((number + 1) * BLOCK, length))
        size = max(_TERMS // max(summed.stop - summed.start, 1), 1)
        for kept, features in blocks(tuple(columns), (2, 1), size):
            block = kept, summed, features
            for name, array in operands.items():
                if array is not None:
                    given[name] = part(array, block).astype(dtype)
            for output, values in enumerate(run_program(program, given)):
                total = totals[number, output, kept, features]
                shape = len(total), summed.stop - summed.start, total.shape[1]
                total[...] = sum_of_runs(np.broadcast_to(values, shape).swapaxes(0, 1))


def sum_of_runs(terms: np.ndarray) -> np.ndarray:
    """Return the sum along the first axis of at most one block, in float64."""
    n_runs = -(-len(terms) // RUN)
    runs = np.zeros((n_runs, *terms.shape[1:]), terms.dtype)
    for i in range(min(RUN, len(terms))):
        of_each_run = terms[i::RUN]
        runs[: len(of_each_run)] += of_each_run
    total = np.zeros(terms.shape[1:])
    for run in runs:
        total += run
    return total


def mlp(call: MlpCall, out: np.ndarray) -> None:
    """Write the values of networks with hidden layers to `out`; see numpy_mlp.py."""
    from multisubnet._backends import numpy_mlp

    numpy_mlp.mlp(call, out)


def mlp_select(call: MlpCall, set_index: np.ndarray, out: np.ndarray) -> None:
    """Write the values of one set for each sample to `out`; see numpy_mlp.py."""
    from multisubnet._backends import numpy_mlp

    numpy_mlp.mlp_select(call, set_index, out)


def mlp_sums(sums: MlpSums, totals: MlpTotals) -> None:
    """Write totals of losses and gradients of such networks to arrays; see mlp_sums.py."""
    from multisubnet._backends import numpy_mlp_sums

    numpy_mlp_sums.mlp_sums(sums, totals)


def mlp_sample_sums(sums: MlpSums, totals: np.ndarray) -> None:
    """Write totals of gradients of the networks' inputs to an array; see mlp_sums.py."""
    from multisubnet._backends import numpy_mlp_sums

    numpy_mlp_sums.mlp_sample_sums(sums, totals)


def mlp_output_loss(
    sums: MlpSums, predictions: np.ndarray, loss: np.ndarray | None, slopes: np.ndarray | None
) -> None:
    """Write the loss of predictions, and its slopes, to arrays; see mlp_sums.py."""
    from multisubnet._backends import numpy_mlp_sums

    numpy_mlp_sums.mlp_output_loss(sums, predictions, loss, slopes)


def _over_features(values: np.ndarray) -> np.ndarray:
    """Return the sums of rows (kept, F), each by a binary tree."""
    return tree(np.ascontiguousarray(values.T))


@without_warnings
def finish(
    totals: np.ndarray,
    out: np.ndarray,
    divisor: float,
    divisor_array: np.ndarray | None,
    over_features: Callable[[np.ndarray], np.ndarray] = _over_features,
) -> None:
    """Write the divided sums of block totals (blocks, kept, F) to `out`.

    If `out` has no feature axis, features are added, too. The divisor is a number, times the one
    element of an array if given. If it is 0, all results are NaN.
    """
    total = totals[0] if len(totals) == 1 else tree(totals)
    if out.ndim == 1:
        total = over_features(total)
    if divisor_array is not None:
        divisor = divisor * divisor_array[0]
    if divisor == 0:
        divisor = math.nan
    if divisor == 1 or dtypes.is_bfloat16(out.dtype):
        dtypes.copyto(out, total if divisor == 1 else total / divisor)
    else:
        np.divide(total, divisor, out, dtype=np.float64, casting="same_kind")


def tree(values: np.ndarray) -> np.ndarray:
    """Return the sum along the first axis, adding neighbours level by level."""
    if not len(values):
        return np.zeros(values.shape[1:])
    while len(values) > 1:
        pairs = values[: len(values) // 2 * 2]
        values = np.concatenate([pairs[::2] + pairs[1::2], values[len(pairs) :]])
    return values[0]


def _evaluator(dtype: np.dtype, activation: Activation | None) -> tuple[Callable[..., None], int]:
    """Return the function that evaluates a block of broadcast operands, and the block size."""
    if activation is not None:
        return functools.partial(_activated_affine, activation), _RECIPE_BLOCK
    return (_complex_affine if dtype.kind == "c" else _real_affine), _BLOCK


def _real_affine(samples, weight, bias, out, dtype) -> None:
    result = out if out.dtype is dtype or out.dtype == dtype else np.empty(out.shape, dtype)
    # Operands that already have the dtype are faster without it.
    if samples.dtype is weight.dtype is dtype:
        np.multiply(samples, weight, result)
    else:
        np.multiply(samples, weight, result, dtype=dtype)
    if bias is not None:
        if bias.dtype is dtype:
            np.add(result, bias, result)
        else:
            np.add(result, bias, result, dtype=dtype)
    if result is not out:
        dtypes.copyto(out, result)


def _activated_affine(activation, samples, weight, bias, out, dtype) -> None:
    z = np.empty(out.shape, dtype)
    _real_affine(samples, weight, bias, z, dtype)
    program = activation.program(dtype)
    z = z.astype(program.dtype, copy=False)
    (result,) = run_program(program, {"x": z, "parameter": activation.number})
    dtypes.copyto(out, result.astype(dtype, copy=False))


def _complex_affine(samples, weight, bias, out, dtype) -> None:
    a, b = samples.astype(dtype, copy=False), weight.astype(dtype, copy=False)
    re = a.real * b.real - a.imag * b.imag
    im = a.real * b.imag + a.imag * b.real
    if bias is not None:
        c = bias.astype(dtype, copy=False)
        re, im = re + c.real, im + c.imag
    out.real = re
    out.imag = im


def blocks(
    shape: tuple[int, ...], strides: tuple[int, ...], size: int
) -> Iterator[tuple[slice, ...]]:
    """Split an array into blocks of at most `size` elements, as contiguous as possible."""
    steps_in_memory = list(map(abs, strides))
    outermost_first = sorted(range(len(shape)), key=steps_in_memory.__getitem__, reverse=True)
    steps = [1] * len(shape)
    for axis in reversed(outermost_first):
        steps[axis] = min(shape[axis], size)
        size //= steps[axis]
    starts = [range(0, shape[axis], steps[axis]) for axis in outermost_first]
    for start in itertools.product(*starts):
        block = [slice(None)] * len(shape)
        for axis, i in zip(outermost_first, start, strict=True):
            block[axis] = slice(i, i + steps[axis])
        yield tuple(block)


def part(array: np.ndarray, block: tuple[slice, ...]) -> np.ndarray:
    """Return the part of a broadcast operand that a block of the result needs."""
    cuts = list(block)
    for axis, n in enumerate(array.shape):
        if n == 1:
            cuts[axis] = slice(None)
    return array[tuple(cuts)]
