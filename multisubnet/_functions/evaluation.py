"""Evaluation of validated operands that are on a GPU, or are to go there."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from multisubnet._arrays import dtypes, namespaces, validation
from multisubnet._backends import choice

_AS_IT_IS = 0, 1, 2


def run(
    name: str,
    backend: ModuleType,
    xp: ModuleType,
    operands: tuple[Any, ...],
    out: Any,
    shape: tuple[int, ...],
    order: tuple[int, ...],
    dtype: np.dtype,
    *arguments: Any,
) -> Any:
    """Return what a backend's function of this name makes of arrays of `xp`, in `out` if given.

    `shape` is that of the result, whose axes in this `order` are those that the backend writes.
    """
    moves = backend.ARRAYS != xp.__name__
    with namespaces.device_of(operands[0]):
        if moves:
            operands = tuple(None if x is None else backend.adopt(x) for x in operands)
        if moves or out is None:
            # The backend rounds to the dtype of `out`; what is left to do moves bytes only.
            result = backend.empty(shape, dtype if out is None else dtypes.native(out.dtype))
        else:
            result = out
            operands = validation.apart_from(result.transpose(order), operands)
        ordered = result if order == _AS_IT_IS[: len(order)] else result.transpose(order)
        getattr(backend, name)(*operands, ordered, dtype, *arguments)
        if moves:
            result = choice.load(xp.__name__).adopt(result)
            if out is not None:
                out[...] = result
    return result if out is None else out


def cast(array: Any, dtype: np.dtype) -> Any:
    """Return a NumPy or CuPy array in another dtype, each number rounded once.

    A kernel of this package does it on the GPU: CuPy's own take float32 subnormals for zeros.
    """
    if array.dtype == dtype:
        return array
    xp = namespaces.namespace({"array": array})
    if xp is np:
        rounded = np.empty(array.shape, dtype)
        dtypes.copyto(rounded, array)
        return rounded
    backend = choice.load("cupy")
    with namespaces.device_of(array):
        result = backend.empty(array.shape, dtype)
        one = backend.adopt(np.ones((1, 1), array.dtype))
        column = array.reshape(-1, 1)
        backend.affine(column, one, None, result.reshape(1, -1, 1), array.dtype, None)
    return result
