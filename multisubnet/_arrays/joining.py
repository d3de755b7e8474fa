"""Arrays built from several arrays: from sequences, and by stacking."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from multisubnet._arrays import dtypes, namespaces, validation


def as_array(name: str, operand: Any) -> Any:
    """Return an array_like, or a sequence of CuPy arrays, as an array of numbers."""
    items = operand if isinstance(operand, list | tuple) and len(operand) else [operand]
    named = {f"{name}[{i}]": item for i, item in enumerate(items)}
    xp = namespaces.namespace(named)
    if xp is np:
        operand = validation.as_numpy(name, operand)
    elif items is operand:
        operand = joined(named, "stack", axis=0)
    validation.check_dtype(name, operand)
    return operand


def joined(arrays: dict[str, Any], join: Literal["stack", "concatenate"], axis: int) -> Any:
    """Join named arrays into one C-contiguous array; CuPy arrays must have the same dtype."""
    xp = namespaces.namespace(arrays)
    (first, dtype), *others = ((name, array.dtype) for name, array in arrays.items())
    for name, other in others:
        if xp is not np and other != dtype:
            raise TypeError(
                f"{first} has dtype {dtype}, but {name} has {other}: convert one of them (CuPy's "
                f"own conversion flushes float32 subnormals to zero)"
            )
    dtype = dtypes.result_type(dtype, *(other for _, other in others))
    with namespaces.device_of(arrays[first]):
        joined = getattr(xp, join)(list(arrays.values()), axis=axis, dtype=dtype)
        return xp.ascontiguousarray(joined)
