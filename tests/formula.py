"""The definition, in NumPy's plainest words: what every backend must equal, bit for bit."""

from __future__ import annotations

import numpy as np


def affine(samples, weight, bias=None, *, set_axis=0, out=None):
    operands = [np.asarray(x) for x in (samples, weight, bias) if x is not None]
    dtype = np.result_type(*operands).newbyteorder("=")
    with np.errstate(all="ignore"):
        samples, weight, *rest = (x.astype(dtype) for x in operands)
        samples = samples if samples.ndim == 3 else samples[None]
        result = _product(samples, weight[:, None])
        for bias in rest:
            result = result + bias[:, None]
        if set_axis == 1:
            result = result.transpose(1, 0, 2)
        return result if out is None else result.astype(out.dtype)


def _product(a, b):
    if a.dtype.kind != "c":
        return a * b
    result = np.empty(np.broadcast_shapes(a.shape, b.shape), a.dtype)
    result.real = a.real * b.real - a.imag * b.imag
    result.imag = a.real * b.imag + a.imag * b.real
    return result
