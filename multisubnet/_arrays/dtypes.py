"""Which dtypes are numbers, what several have in common, and how one is rounded to another.

NumPy's rules, and the same for bfloat16, the dtype of the package ml_dtypes. Nobody needs that
package who has no numbers in bfloat16.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# bool, integers, float16 to longdouble, complex; not objects, strings, times or records. The
# dtypes of other packages have these dtypes' characters, but never their numbers.
BUILT_IN = frozenset(np.dtype(char).num for char in "?bBhHiIlLqQefdgFDG")

# The same, in native byte order. (Of one that is no member, only its equality decides.)
NATIVE = frozenset(np.dtype(char) for char in "?bBhHiIlLqQefdgFDG")

_FLOAT16, _FLOAT32 = np.dtype(np.float16), np.dtype(np.float32)


def is_bfloat16(dtype: np.dtype) -> bool:
    """Whether this is the dtype bfloat16 of ml_dtypes, whose character and kind are E and V."""
    return dtype.char == "E" and dtype.type.__name__ == "bfloat16"


def bfloat16(what: str) -> np.dtype:
    """Return the dtype bfloat16, which `what` has; without ml_dtypes an error says so."""
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError(
            f"{what} is bfloat16, which NumPy has with the package ml_dtypes; install it with "
            f"'pip install ml_dtypes'"
        ) from None
    return np.dtype(ml_dtypes.bfloat16)


def is_number(dtype: np.dtype) -> bool:
    """Whether this is a dtype of numbers that the library has."""
    return dtype.num in BUILT_IN or is_bfloat16(dtype)


def is_floating(dtype: np.dtype) -> bool:
    """Whether this dtype of numbers is a real floating one."""
    return dtype.kind == "f" or is_bfloat16(dtype)


def result_type(*dtypes: np.dtype) -> np.dtype:
    """Return `numpy.result_type` of dtypes of numbers, in native byte order.

    bfloat16 follows the rule of the others: the result is bfloat16 where that has all values of
    the other dtypes, which bool and the integers of 8 bits are; it counts as float32 elsewhere.
    """
    narrow = [dtype for dtype in dtypes if is_bfloat16(dtype)]
    if narrow:
        others = [dtype for dtype in dtypes if not is_bfloat16(dtype)]
        if all(dtype.itemsize == 1 for dtype in others):
            return narrow[0]
        dtypes = _FLOAT32, *others
    return native(np.result_type(*dtypes))


def native(dtype: np.dtype) -> np.dtype:
    """Return a dtype of numbers in native byte order, as NumPy's own object of it.

    Calls look first whether dtypes are the same object; those that were unpickled are not.
    """
    return dtype if is_bfloat16(dtype) else np.dtype(dtype.char)


def can_cast(dtype: np.dtype, to: np.dtype) -> bool:
    """Whether one dtype of numbers can be cast to another with casting 'same_kind'."""
    dtype, to = (_FLOAT16 if is_bfloat16(d) else d for d in (dtype, to))
    return np.can_cast(dtype, to, "same_kind")


def copyto(out: np.ndarray, values: Any) -> None:
    """Write values to an array of a dtype to which `can_cast` casts theirs, rounded once."""
    if not (out.dtype in NATIVE and getattr(values, "dtype", None) in NATIVE):
        if is_bfloat16(out.dtype):
            values = rounded_to_odd(np.asarray(values))
        elif is_bfloat16(np.asarray(values).dtype):
            values = values.astype(np.float32)
    np.copyto(out, values, casting="same_kind")


def rounded_to_odd(values: np.ndarray) -> np.ndarray:
    """Return real numbers such that rounding them to float32 and then to bfloat16 rounds once.

    Those that float32 does not have become the neighbour in it whose last bit is 1: rounding that
    to bfloat16 rounds to the side on which the number was (Boldo and Melquiond, 2008).
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        # float64 has all integers up to 2**53. In larger ones one bit, too low for bfloat16, tells
        # whether anything was left over in those below it.
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
