"""Bitwise comparison of arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from multisubnet._arrays import namespaces
from multisubnet._arrays.dtypes import is_floating


def assert_same_bits(actual: Any, desired: Any) -> None:
    """Raise an AssertionError unless two arrays are equal bit for bit.

    Dtypes and shapes are compared first, then the values. -0.0 and 0.0 differ. A NaN equals any
    other NaN, because its sign and payload are not defined.

    Parameters
    ----------
    actual, desired : array_like
        NumPy arrays, CuPy arrays (which are copied to the host), or any array_like.

    Raises
    ------
    AssertionError
        The arrays differ. The message shows the indices, values and bits of the first differences,
        and their distance in ulp (units in the last place: steps between neighbouring floats).

    Examples
    --------
    >>> import numpy as np
    >>> from multisubnet.testing import assert_same_bits
    >>> assert_same_bits(np.float32([1, np.nan]), np.float32([1, np.nan]))
    >>> assert_same_bits(np.float32([1, 1]), np.float32([1, 1.0000001]))
    Traceback (most recent call last):
        ...
    AssertionError: 1 of 2 values differ (float32, shape (2,)):
      [1]: actual 1.0 (0x3f800000), desired 1.0000001 (0x3f800001), 1 ulp apart
    """
    __tracebackhide__ = True
    actual, desired = _host(actual), _host(desired)
    if actual.dtype != desired.dtype:
        raise AssertionError(f"dtypes differ: actual {actual.dtype}, desired {desired.dtype}")
    if actual.shape != desired.shape:
        raise AssertionError(f"shapes differ: actual {actual.shape}, desired {desired.shape}")
    different = ~_same(actual, desired)
    if not different.any():
        return
    lines = [
        f"{different.sum()} of {different.size} values differ "
        f"({actual.dtype}, shape {actual.shape}):"
    ]
    for index in np.argwhere(different)[:5]:
        one, other = actual[tuple(index)], desired[tuple(index)]
        where = ", ".join(map(str, index))
        lines.append(
            f"  [{where}]: actual {_shown(one)}, desired {_shown(other)}{_apart(one, other)}"
        )
    if different.sum() > 5:
        lines.append("  ...")
    raise AssertionError("\n".join(lines))


def _host(array: Any) -> np.ndarray:
    return array.get() if namespaces.is_cupy(array) else np.asarray(array)


def _same(actual: np.ndarray, desired: np.ndarray) -> np.ndarray:
    if actual.dtype.kind == "c":
        return _same(actual.real, desired.real) & _same(actual.imag, desired.imag)
    if actual.dtype.kind == "f" and actual.dtype.itemsize > 8:  # it contains padding bytes
        same = (actual == desired) & (np.signbit(actual) == np.signbit(desired))
        return same | (np.isnan(actual) & np.isnan(desired))
    # Not compared as floats, because a thread that flushes subnormals takes them for zeros.
    bits, wanted = (
        x.astype(x.dtype.newbyteorder("=")).view(f"u{x.dtype.itemsize}") for x in (actual, desired)
    )
    same = bits == wanted
    if is_floating(actual.dtype):
        infinity = np.array(np.inf, actual.dtype.newbyteorder("=")).view(bits.dtype)
        unsigned = bits.dtype.type(~(1 << (8 * bits.itemsize - 1)) & (1 << 8 * bits.itemsize) - 1)
        same |= ((bits & unsigned) > infinity) & ((wanted & unsigned) > infinity)
    return same


def _shown(value: np.generic) -> str:
    if is_floating(value.dtype):
        return f"{value!s} (0x{_bits(value).hex()})"
    return str(value)


def _bits(value: np.generic) -> bytes:
    """Return the bytes of a float, the sign first."""
    stored = np.array(value).tobytes()
    return stored[::-1] if sys.byteorder == "little" else stored


def _apart(one: np.generic, other: np.generic) -> str:
    """Describe the distance between two values, in steps between neighbouring floats."""
    if one.dtype.kind == "c":
        parts = (("re", one.real, other.real), ("im", one.imag, other.imag))
        return "".join(f", {name}{_apart(a, b)[1:]}" for name, a, b in parts if _apart(a, b))
    if not is_floating(one.dtype) or one.dtype.itemsize > 8 or np.isnan(one) or np.isnan(other):
        return ""
    return f", {abs(_position(one) - _position(other))} ulp apart"


def _position(value: np.generic) -> int:
    """Return the rank of a float among all floats of its dtype; both zeros have rank 0."""
    bits = int.from_bytes(_bits(value), "big")
    sign = 1 << (value.dtype.itemsize * 8 - 1)
    return bits if bits < sign else sign - bits


def _real(dtype: np.dtype) -> np.dtype:
    return np.empty(0, dtype).real.dtype
