"""Grids and blocks of threads."""

from __future__ import annotations

from typing import NamedTuple

from multisubnet._arithmetic.summation_order import BLOCK, RUN

WARP = 32  # threads that access memory together
BLOCK_THREADS = 256  # __launch_bounds__ of the kernels
MAX_GRID_Y = 65535
MOST_RUNS = BLOCK // RUN  # of a block of the summed axis that are summed at the same time
_NEIGHBOURS = 4  # threads in x; at most half of a sector is then read in vain


class Card(NamedTuple):
    """A GPU: its number of multiprocessors, and the maximum of resident threads on each."""

    multiprocessors: int
    threads: int

    @property
    def enough_blocks(self) -> int:
        """Blocks of threads in two waves, if each needs few registers."""
        return -(-2 * self.all_threads // BLOCK_THREADS)

    @property
    def few_blocks(self) -> int:
        """Number of blocks below which smaller blocks balance the work better."""
        return 4 * self.multiprocessors

    @property
    def all_threads(self) -> int:
        """Number of threads that keep the GPU busy."""
        return self.multiprocessors * self.threads

    @property
    def least_threads(self) -> int:
        """Number of threads that fit with any kernel, by the __launch_bounds__ of all."""
        return self.multiprocessors * min(2 * BLOCK_THREADS, self.threads)


def plan_sums_grid(
    across: int, n_blocks: int, length: int, card: Card
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid and block for `across` threads in x, each walking over the blocks of a summed axis.

    If these threads are few, threads with different y share the runs of a block, as many runs each
    as possible, and a block has at least one busy warp. Neighbouring threads in x read neighbouring
    features.
    """
    y = 1
    runs = min(-(-length // RUN), MOST_RUNS)
    while y < runs and (across * n_blocks * y < card.all_threads or across * y < WARP):
        y *= 2
    passes = -(-runs // y)
    y = -(-runs // passes)
    grid_y = min(n_blocks, MAX_GRID_Y)
    x = count_columns(across, y, grid_y, card)
    return (-(-across // x), grid_y), (x, y)


def count_columns(across: int, y: int, grid_y: int, card: Card) -> int:
    """Return how many of `across` columns a block has, with `y` threads each.

    If there would be few blocks, they are made smaller to occupy all multiprocessors.
    """
    x = min(BLOCK_THREADS // y, 1 << (across - 1).bit_length())
    while x * y > WARP and x > _NEIGHBOURS and -(-across // x) * grid_y < card.few_blocks:
        x //= 2
    return x


def plan_grid(
    across: int, along: int, card: Card, multiple: int = 1
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid and block for `across` threads in x, each walking over `along` items in y.

    A block has 256 threads, with as many in x as there is work for. The walk along y is split among
    blocks only until the card is full, because each part reads its held operands again. The steps
    of a walk are a multiple of a power of two, up to 32.
    """
    block_x = min(BLOCK_THREADS, 1 << (across - 1).bit_length())
    block_y = BLOCK_THREADS // block_x
    grid_x = -(-across // block_x)
    most = -(-along // block_y)
    grid_y = min(most, -(-card.enough_blocks // grid_x), MAX_GRID_Y)
    if grid_y < most:
        multiple = max(multiple // block_y, 1)
        grid_y = min(-(-grid_y // multiple), MAX_GRID_Y // multiple) * multiple
    return (grid_x, grid_y), (block_x, block_y)
