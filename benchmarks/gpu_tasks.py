"""What is computed on a GPU, and what memory that takes."""

from __future__ import annotations

import math

import numpy as np
from tasks import Size, Task, of_losses

GROUPS = "affine", "losses", "host"

_VARIED = (1000, 1000, 64)  # with other dtypes, the other axis, and activations
_QUICK_VARIED = (100, 1000, 64)
_SIZES = {
    "affine": [
        (256, 64, 16),  # 1 MB in float32
        (1000, 35, 30),
        (100, 1000, 64),
        (1_000_000, 1, 8),
        (10_000, 64, 16),
        (1000, 569, 30),
        (2000, 333, 33),
        (4, 1_000_000, 8),
        _VARIED,
        (10_000, 569, 30),
        (2000, 4099, 33),  # 1 GB
        (4000, 4096, 64),
        (100_000, 569, 30),
    ],
    "losses": [(1000, 569, 30), (1000, 1000, 64), (100_000, 569, 30)],
    "host": [(2, 2, 2), (64, 32, 16)],
}
_QUICK_SIZES = {
    "affine": [(256, 64, 16), _QUICK_VARIED, (2000, 333, 33)],
    "losses": [(1000, 569, 30)],
    "host": [(2, 2, 2)],
}
_LOSSES = [("squared_error", "tanh"), ("absolute_error", None)]  # and the activation before it
_MOST_BUFFERS = 1024


def tasks_of(group: str, sizes: list[Size] | None, quick: bool) -> list[Task]:
    """Return the tasks of a group, at its own sizes where none are given."""
    sizes = sizes or (_QUICK_SIZES if quick else _SIZES)[group]
    if group == "losses":
        return of_losses(sizes, _LOSSES)
    tasks = [Task("affine", size) for size in sizes]
    varied = _QUICK_VARIED if quick else _VARIED
    if group == "affine" and varied in sizes:
        tasks += [Task("affine", varied, set_axis=1)]
        tasks += [Task("affine", varied, dtype=dtype) for dtype in ("float16", "float64")]
        tasks += [Task("affine", varied, activation) for activation in ("relu", "tanh")]
    return tasks


def n_buffers(n_bytes: int, cache: int) -> int:
    """Return how many results take turns, so that none is in a cache still when it comes again.

    Together they are larger than twice the cache; very small ones stay in it all the same.
    """
    return min(_MOST_BUFFERS, max(2, 2 * cache // max(1, n_bytes) + 1))


def bytes_needed(task: Task, cache: int) -> int:
    """Return how much of the GPU's memory the operands and results of a task take, at most.

    Two sets of results take turns, those of JAX and those of all others, and two more may lie
    between operations. What a loss needs is up to each contender.
    """
    n_sets, n_samples, n_features = task.size
    itemsize = np.dtype(task.dtype).itemsize
    operands = (2 * n_samples + 2 * n_sets) * n_features * itemsize
    if task.written is None:
        return 3 * operands
    result = math.prod(task.size) * itemsize
    return 3 * operands + (2 * n_buffers(result, cache) + 2) * result
