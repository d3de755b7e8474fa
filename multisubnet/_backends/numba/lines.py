"""What compiled code takes: arrays as they lie, in lines of the cache."""

from __future__ import annotations

import numpy as np

LINE = 64  # bytes
ROWS = 4  # of a line of columns, to the sums of which is added at once

AT_ONCE = 4  # samples, of one set or of several, whose networks have units as lanes


def is_plain(array: np.ndarray, dtype: np.dtype) -> bool:
    """Whether the compiled code can take an array as it is."""
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned
