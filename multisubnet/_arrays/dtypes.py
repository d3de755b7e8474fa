"""Numeric dtypes: which are supported, their promotion, and rounding from one to another.

These are NumPy's rules, extended to bfloat16, the dtype of the package ml_dtypes. That package is
needed only for numbers in bfloat16.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# bool, integers, float16 to longdouble, complex; not objects, strings, times or records. Dtypes of
# other packages can have the same characters, but never the same numbers.
BUILT_IN = frozenset(np.dtype(char).num for char in "?bBhHiIlLqQefdgFDG")

# The same, in native byte order. (Membership is tested by equality.)
NATIVE = frozenset(np.dtype(char) for char in "?bBhHiIlLqQefdgFDG")

_FLOAT16, _FLOAT32 = np.dtype(np.float16), np.dtype(np.float32)


def is_bfloat16(dtype: np.dtype) -> bool:
    """Return whether this is the bfloat16 of ml_dtypes, with character E and kind V."""
    return dtype.char == "E" and dtype.type.__name__ == "bfloat16"


def bfloat16(what: str) -> np.dtype:
    """Return the dtype bfloat16, or raise for `what` if ml_dtypes is not installed."""
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError(
            f"{what} is bfloat16, which NumPy supports through the package ml_dtypes; install it "
            f"with 'pip install ml_dtypes'"
        ) from None
    return np.dtype(ml_dtypes.bfloat16)


def is_number(dtype: np.dtype) -> bool:
    """Return whether this is a supported numeric dtype."""
    return dtype.num in BUILT_IN or is_bfloat16(dtype)


def is_floating(dtype: np.dtype) -> bool:
    """Return whether this numeric dtype is a real floating dtype."""
    return dtype.kind == "f" or is_bfloat16(dtype)


def result_type(*dtypes: np.dtype) -> np.dtype:
    """Return `numpy.result_type` of numeric dtypes, in native byte order.

    bfloat16 follows the same rule. The result is bfloat16 if that holds all values of the other
    dtypes, which are then bool or 8-bit integers; otherwise bfloat16 counts as float32.
    """
    narrow = [dtype for dtype in dtypes if is_bfloat16(dtype)]
    if narrow:
        others = [dtype for dtype in dtypes if not is_bfloat16(dtype)]
        if all(dtype.itemsize == 1 for dtype in others):
            return narrow[0]
        dtypes = _FLOAT32, *others
    return native(np.result_type(*dtypes))


def native(dtype: np.dtype) -> np.dtype:
    """Return a numeric dtype in native byte order, as NumPy's own instance.

    Calls first test whether dtypes are the same object. Unpickled dtypes are different objects.
    """
    return dtype if is_bfloat16(dtype) else np.dtype(dtype.char)


def can_cast(dtype: np.dtype, to: np.dtype) -> bool:
    """Return whether a numeric dtype can be cast to another with casting 'same_kind'."""
    dtype, to = (_FLOAT16 if is_bfloat16(d) else d for d in (dtype, to))
    return np.can_cast(dtype, to, "same_kind")


def copyto(out: np.ndarray, values: Any) -> None:
    """Write values to an array, rounded once to its dtype, to which `can_cast` allows a cast."""
    if not (out.dtype in NATIVE and getattr(values, "dtype", None) in NATIVE):
        if is_bfloat16(out.dtype):
            values = rounded_to_odd(np.asarray(values))
        elif is_bfloat16(np.asarray(values).dtype):
            values = values.astype(np.float32)
    np.copyto(out, values, casting="same_kind")


def rounded_to_odd(values: np.ndarray) -> np.ndarray:
    """Round real numbers so that rounding the result to float32 and then to bfloat16 rounds once.

    Numbers that float32 cannot represent become the neighbouring float32 whose last bit is 1.
    Rounding that to bfloat16 goes to the correct side (Boldo and Melquiond, 2008).
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        # float64 represents all integers up to 2**53. For larger ones, a single bit that is too low
        # to matter in bfloat16 records whether any lower bits are set.
        large = abs(values // 4) >= 1 << 50
        marked = values - values % 4096 + (values % 4096 != 0) * values.dtype.type(2048)
        values = np.where(large, marked, values).astype(np.float64)
    if values.dtype.itemsize < 4 or values.dtype == np.float32:
        return values
    narrow = np.asarray(values, np.float32)
    bits = narrow.view(np.uint32)
    inexact = narrow != values
    toward_zero = bits - (inexact & (abs(narrow) > abs(values)))
    return np.where(np.isnan(values), narrow, (toward_zero | inexact).view(np.float32))
