"""Set indices of every integer dtype, close to the limits of the dtype."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

DTYPES = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
COUNTS = [1, 2, 5, 300, 40000, *(2**bits + d for bits in (7, 8, 15, 16) for d in (-1, 0, 1))]


@st.composite
def indices(draw, wrong=False):
    """Draw N and an index, an array of any dtype; with `wrong`, some are out of range."""
    n_sets, dtype = draw(st.sampled_from(COUNTS)), np.dtype(draw(st.sampled_from(DTYPES)))
    limits = np.iinfo(dtype)
    last = min(n_sets - 1, limits.max)
    right = st.sampled_from([0, last, last // 2]) | st.integers(0, last)
    near = [-1, n_sets, n_sets + 1, -n_sets, 2**32 + 3, -(2**32), 2**63 + 1]
    others = [i for i in (*near, limits.min, limits.max) if limits.min <= i <= limits.max]
    others = [i for i in others if not 0 <= i < n_sets]
    found = draw(st.lists(right, min_size=1 if wrong else 0, max_size=6))
    if wrong and others:
        found.insert(draw(st.integers(0, len(found))), draw(st.sampled_from(others)))
    return n_sets, np.array(found, dtype)


def is_there(n_sets, index):
    """Return which indices are in range."""
    return np.array([0 <= int(i) < n_sets for i in index], bool)


def selected(n_sets, index):
    """Return the rows of weights (N, 1), 1, 2, 3, ..., and NaN for out-of-range indices."""
    rows = [int(i) + 1.0 if 0 <= int(i) < n_sets else np.nan for i in index]
    return np.array(rows, np.float32).reshape(-1, 1)


def weights(n_sets):
    return np.arange(1, n_sets + 1, dtype=np.float32)[:, None]
