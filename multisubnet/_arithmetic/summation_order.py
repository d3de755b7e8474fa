"""The order of sums: runs within blocks, then a binary tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


# The order of summation, by the absolute index along the summed axis: RUN terms are added one after
# the other in the working dtype, the totals of BLOCK terms' runs in float64, those of blocks in
# float64 by a binary tree.
RUN = 32


BLOCK = 4096
