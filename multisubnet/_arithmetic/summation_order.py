"""The order of sums: runs within blocks, then a binary tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


# The order of summation, by the index along the summed axis: RUN terms are added one after the
# other in the working dtype; the totals of the runs in a BLOCK of terms are added in float64; the
# totals of blocks are added in float64 by a binary tree.
RUN = 32


BLOCK = 4096
