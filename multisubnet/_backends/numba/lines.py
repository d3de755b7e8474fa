"""The form in which compiled code takes arrays, and sizes in cache lines."""

from __future__ import annotations

import numpy as np

LINE = 64  # bytes
ROWS = 4  # of a line of columns, whose sums are updated together

AT_ONCE = 4  # samples, of one or several sets, for networks whose lanes are units


def is_plain(array: np.ndarray, dtype: np.dtype) -> bool:
    """Return whether the compiled code can read an array directly."""
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned


def result_dtypes(outputs: tuple[str, ...], dtype: np.dtype) -> list[np.dtype]:
    """Return the dtypes in which the compiled code writes divided sums, of up to three outputs."""
    wide = np.dtype(np.float64)
    found = [wide if output in ("loss", "error") else dtype for output in outputs]
    return [*found, dtype, dtype][:3]


def area_size(n_bytes: int) -> int:
    """Return the size of a thread's area in whole lines, one for alignment and one for a flag."""
    return -(-n_bytes // LINE) * LINE + 2 * LINE
