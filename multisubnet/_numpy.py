"""The reference backend: what every other one must agree with, bit for bit.

It works through the result in blocks that stay in a core's cache, so that an operation finds the
results of those before it there, and so that operands of another dtype are never cast whole.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from multisubnet._activations import Activation
from multisubnet._recipe import Program

ARRAYS = "numpy"

_BLOCK = 1 << 15  # elements; a few blocks of float64 stay in 1 MiB
_RECIPE_BLOCK = 1 << 13  # with an activation, of which a dozen values are needed at once

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "less": np.less,
    "less_equal": np.less_equal,
    "select": np.where,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "shift_left": np.left_shift,
    "shift_right": np.right_shift,
}


def why_unavailable() -> None:
    """NumPy is always there."""


def serves(dtype: np.dtype, out: np.dtype) -> bool:
    """The reference has every dtype."""
    return True


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return a new C-contiguous array."""
    return np.empty(shape, dtype)


def adopt(array: Any) -> np.ndarray:
    """Return a copy of a CuPy array on the host."""
    return array.get()


@np.errstate(all="ignore")
def affine(
    samples: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    out: np.ndarray,
    dtype: np.dtype,
    activation: Activation | None,
) -> None:
    """Write activation(samples * weight + bias), in `dtype`, to `out` of shape (N, B, F)."""
    weight = weight[:, None]
    bias = None if bias is None else bias[:, None]
    evaluate = _complex_affine if dtype.kind == "c" else _real_affine
    size = _BLOCK
    if activation is not None:
        evaluate = functools.partial(_activated_affine, activation)
        size = _RECIPE_BLOCK
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


def _real_affine(samples, weight, bias, out, dtype) -> None:
    result = out if out.dtype is dtype or out.dtype == dtype else np.empty(out.shape, dtype)
    np.multiply(samples, weight, result, dtype=dtype)
    if bias is not None:
        np.add(result, bias, result, dtype=dtype)
    if result is not out:
        np.copyto(out, result, casting="same_kind")


def _activated_affine(activation, samples, weight, bias, out, dtype) -> None:
    z = np.empty(out.shape, dtype)
    _real_affine(samples, weight, bias, z, dtype)
    program = activation.program(dtype)
    z = z.astype(program.dtype, copy=False)
    result = _carried_out(program, z, program.dtype.type(activation.parameter or 0))
    np.copyto(out, result.astype(dtype, copy=False), casting="same_kind")


def _carried_out(program: Program, x: np.ndarray, parameter: np.generic) -> np.ndarray:
    """Return what a recipe makes of x."""
    of_kind = {"real": program.dtype, "bits": np.dtype(f"u{program.dtype.itemsize}")}
    given = {"x": x, "parameter": parameter}
    last_uses = program.last_uses()
    values: list[Any] = []
    for number, (name, kind, inputs) in enumerate(program.operations):
        if name == "constant":
            value = of_kind[kind].type(*inputs)
        elif name in given:
            value = given[name]
        else:
            operands = [values[i] for i in inputs]
            if name in ("bits", "from_bits"):
                value = operands[0].view(of_kind[kind])
            else:
                value = _FUNCTIONS[name](*operands)
            for i in inputs:
                if last_uses[i] == number:
                    values[i] = None  # its memory, still in a cache, is taken for the next value
        values.append(value)
    return np.broadcast_to(values[-1], x.shape)


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
    """Cut an array into blocks of at most `size` elements, each as whole in memory as can be."""
    outermost_first = sorted(range(len(shape)), key=lambda axis: -abs(strides[axis]))
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
    return array[
        tuple(slice(None) if n == 1 else cut for n, cut in zip(array.shape, block, strict=True))
    ]
