"""The reference backend: what every other one must agree with, bit for bit.

It works through the result in blocks that stay in a core's cache, so that the second operation
finds the first one's result there, and so that operands of another dtype are never cast whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from multisubnet._subnormals import keeping_subnormals

ARRAYS = "numpy"

_BLOCK = 1 << 15  # elements; a few blocks of float64 stay in 1 MiB


def why_unavailable() -> None:
    """NumPy is always there."""


def serves(dtype: np.dtype) -> bool:
    """The reference has every dtype."""
    return True


def empty(shape: tuple[int, ...], dtype: np.dtype, like: object) -> np.ndarray:
    """Return a new C-contiguous array."""
    return np.empty(shape, dtype)


def adopt(array, like: object) -> np.ndarray:
    """Return a copy of a CuPy array on the host."""
    return array.get()


@keeping_subnormals
@np.errstate(all="ignore")
def affine(
    samples: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    out: np.ndarray,
    dtype: np.dtype,
) -> None:
    """Write samples * weight + bias, in `dtype`, to `out` of shape (N, B, F)."""
    evaluate = _complex_affine if dtype.kind == "c" else _real_affine
    samples = samples if samples.ndim == 3 else samples[None]
    weight = weight[:, None]
    bias = None if bias is None else bias[:, None]
    if out.size <= _BLOCK:
        evaluate(samples, weight, bias, out, dtype)
        return
    for block in _blocks(out.shape):
        evaluate(
            _part(samples, block),
            _part(weight, block),
            None if bias is None else _part(bias, block),
            out[block],
            dtype,
        )


def _real_affine(samples, weight, bias, out, dtype) -> None:
    result = out if out.dtype == dtype else np.empty(out.shape, dtype)
    np.multiply(samples, weight, out=result, dtype=dtype)
    if bias is not None:
        np.add(result, bias, out=result, dtype=dtype)
    if result is not out:
        np.copyto(out, result, casting="same_kind")


def _complex_affine(samples, weight, bias, out, dtype) -> None:
    a, b = samples.astype(dtype, copy=False), weight.astype(dtype, copy=False)
    re = a.real * b.real - a.imag * b.imag
    im = a.real * b.imag + a.imag * b.real
    if bias is not None:
        c = bias.astype(dtype, copy=False)
        re, im = re + c.real, im + c.imag
    out.real = re
    out.imag = im


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cut an array of this shape into blocks of at most _BLOCK elements."""
    room = _BLOCK
    steps = []
    for length in reversed(shape):
        steps.append(min(length, room))
        room //= steps[-1]
    starts = [range(0, n, step) for n, step in zip(shape, reversed(steps), strict=True)]
    for n in starts[0]:
        for b in starts[1]:
            for f in starts[2]:
                yield tuple(
                    slice(i, i + axis.step) for i, axis in zip((n, b, f), starts, strict=True)
                )


def _part(array: np.ndarray, block: tuple[slice, ...]) -> np.ndarray:
    """Return the part of a broadcast operand that a block of the result needs."""
    return array[
        tuple(slice(None) if n == 1 else part for n, part in zip(array.shape, block, strict=True))
    ]
