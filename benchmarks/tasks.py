"""What is computed: a function of the library, at a size, on which numbers; and what is right."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import multisubnet as ms

Size = tuple[int, int, int]  # sets, samples, features

LOSSES = "mean_loss", "mean_loss_and_grad"
NETWORK_LOSSES = "mlp_mean_loss", "mlp_mean_loss_and_grad"
_CHECKED = 1 << 22  # elements, or products of networks, of a result that are compared
_TOLERANCES = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-4}
_OF_NETWORKS = 1e-3


@dataclass(frozen=True)
class Task:
    """A function of the library, with its options, at a size."""

    function: str  # "predict" is that of WeightSets, "host" what the host takes for affine
    size: Size
    activation: str | None = None
    loss: str | None = None
    dtype: str = "float32"
    set_axis: int = 0  # where N stands in the shape of the result of affine
    widths: tuple[int, ...] | None = None  # of networks: one per feature, or one of all of them

    def __str__(self) -> str:
        parts = [self.function, self.size, self.loss, self.activation]
        parts += ["-".join(map(str, self.widths))] if self.widths else []
        parts += [self.dtype] * (self.dtype != "float32") + ["set_axis=1"] * self.set_axis
        return ", ".join(str(part) for part in parts if part is not None)

    @property
    def options(self) -> dict[str, str | int]:
        """The keyword arguments of the function."""
        options = {"activation": self.activation, "loss": self.loss, "set_axis": self.set_axis}
        return {name: value for name, value in options.items() if value}

    @property
    def of_library(self) -> str:
        """The function of the library that computes it."""
        return "affine" if self.function in ("predict", "host") else self.function

    @property
    def written(self) -> tuple[int, ...] | None:
        """The shape of the result, where one can be given to be written into."""
        n_sets, n_samples, n_features = self.size
        if self.of_library == "affine":
            return (n_samples, n_sets, n_features) if self.set_axis else self.size
        return self.size[1:] if self.function == "affine_select" else None

    @property
    def n_subnets(self) -> int:
        """How many networks a set has."""
        return self.size[2] if not self.widths or self.widths[0] == 1 else 1

    @property
    def n_products(self) -> int:
        """How many products the outputs take, each of which is added to a sum."""
        of_one = sum(a * b for a, b in itertools.pairwise(self.widths or (1, 1)))
        return self.size[0] * self.size[1] * self.n_subnets * of_one

    @property
    def n_bytes(self) -> int:
        """The bytes of a result; of a loss about none."""
        of_one = self.widths[-1] if self.widths else 1
        n_results = math.prod(self.size[:2]) * self.n_subnets * of_one
        return np.dtype(self.dtype).itemsize * (1 if "loss" in self.function else n_results)

    @property
    def n_bytes_of_operands(self) -> int:
        """The bytes of samples, targets and parameters, at most."""
        of_one = sum(a * b + b for a, b in itertools.pairwise(self.widths or (1, 1)))
        n_parameters = self.size[0] * self.n_subnets * of_one
        return 8 * (2 * self.size[1] * self.size[2] + n_parameters)

    def operands(self) -> tuple[Any, ...]:
        """Return samples, weight and bias or layers, and set_index or targets if it takes them."""
        n_sets, n_samples, n_features = self.size
        rng = np.random.default_rng(0)

        def draw(*shape: int) -> np.ndarray:
            drawn = np.float64 if self.dtype == "float64" else np.float32
            return rng.standard_normal(shape, drawn).astype(self.dtype, copy=False)

        samples = draw(n_samples, n_features)
        if self.widths:
            shape = n_sets, self.n_subnets
            layers = [
                (draw(*shape, a, b) / np.sqrt(a, dtype=self.dtype), draw(*shape, b))
                for a, b in itertools.pairwise(self.widths)
            ]
            targets = n_samples, self.n_subnets, self.widths[-1]
            return samples, layers, *([draw(*targets)] if "loss" in self.function else [])
        parameters = draw(n_sets, n_features), draw(n_sets, n_features)
        if self.function == "affine_select":
            return samples, *parameters, rng.integers(n_sets, size=n_samples)
        return samples, *parameters, *([draw(*samples.shape)] if "loss" in self.function else [])

    def of_sets(self, operands: tuple[Any, ...], sets: slice) -> tuple[Any, ...]:
        """Return the operands of some sets."""
        n = 2 if self.widths else 3
        some = mapped(lambda array: array[sets], operands[1:n])
        return operands[0], *some, *operands[n:]


def mapped(function: Callable[[Any], Any], arrays: Any) -> Any:
    """Apply a function to each array of nested lists and tuples."""
    if isinstance(arrays, (list, tuple)):
        return type(arrays)(mapped(function, array) for array in arrays)
    return function(arrays)


@functools.lru_cache(maxsize=2)
def expected(task: Task, n_sets: int) -> tuple[slice, tuple[np.ndarray, ...]]:
    """Return places on the first axis of the results for `n_sets` sets, and what belongs there.

    The reference computes it in float64. Of large results it is some places, the last among them.
    """
    by_sample = task.function in ("affine_select", "affine_stats")
    length = task.size[1] if by_sample else n_sets
    at_most = _CHECKED // 4 if task.widths else _CHECKED
    step = max(1, task.n_products // max(1, task.size[0] // n_sets) // at_most)
    some = slice((length - 1) % min(step, length), None, step)

    operands = mapped(lambda x: x.astype("f8") if x.dtype.kind == "f" else x, task.operands())
    operands = task.of_sets(operands, slice(n_sets))
    if by_sample:
        samples, weight, bias, *index = operands
        operands = samples[some], weight, bias, *(array[some] for array in index)
    else:
        operands = task.of_sets(operands, some)
    with ms.use_backend("numpy"):
        found = getattr(ms, task.of_library)(
            *operands, **task.options | ({"set_axis": 0} if task.set_axis else {})
        )
    return some, results_of(task, found)


def results_of(task: Task, found: Any) -> tuple[Any, ...]:
    """Return the results that are compared; of networks' gradients the first layer's weight's."""
    flat = [found]
    while any(isinstance(x, (tuple, list)) for x in flat):
        flat = [y for x in flat for y in (x if isinstance(x, (tuple, list)) else [x])]
    return tuple(flat[:2] if task.widths else flat)


def agree(task: Task, found: tuple[np.ndarray, ...], wanted: tuple[np.ndarray, ...]) -> bool:
    """Whether results are wrong by no more than roundings can explain.

    The distance of losses, gradients and statistics is that of all of them together, since the
    gradient of the absolute error may jump between one rounding and another.
    """
    limit = _OF_NETWORKS if task.widths else _TOLERANCES[task.dtype]
    is_sum = "loss" in task.function or "stats" in task.function
    size: Callable[[Any], Any] = np.linalg.norm if is_sum else np.max
    return [f.shape for f in found] == [w.shape for w in wanted] and all(
        (is_sum or f.dtype == task.dtype) and size(abs(f - w)) <= limit * size(abs(w))
        for f, w in zip(found, wanted, strict=True)
    )


# The tasks of groups, by device; the first sizes are those in a hurry.

_MIDDLING = [(1000, 569, 30), (1000, 1000, 64)]
_SHAPES: dict[tuple[str, str], tuple[list[Size], list[Size]]] = {
    ("cpu", "affine"): (
        [(2, 2, 2), (64, 32, 16), (100, 1000, 64), (10_000, 64, 16)],
        [(1_000_000, 1, 8), (2000, 333, 33), (4, 1_000_000, 8), *_MIDDLING],
    ),
    ("cpu", "select"): ([(1000, 16_384, 64)], [(1000, 559_240, 30), (1000, 262_144, 64)]),
    ("cpu", "losses"): ([(100, 569, 30)], _MIDDLING),
    ("cpu", "stats"): ([(100, 569, 30)], _MIDDLING),
    ("cpu", "keras"): ([(100, 1000, 64)], [(1000, 1000, 64)]),
    ("cpu", "threads"): ([(100, 569, 30)], [(300, 569, 30), (1000, 569, 30), (100, 1000, 64)]),
    ("gpu", "affine"): (
        [(256, 64, 16), (100, 1000, 64), (2000, 333, 33)],
        [
            *[(1000, 35, 30), (1_000_000, 1, 8), (10_000, 64, 16), (4, 1_000_000, 8), *_MIDDLING],
            *[(10_000, 569, 30), (2000, 4099, 33), (4000, 4096, 64), (100_000, 569, 30)],
        ],
    ),
    ("gpu", "losses"): ([(1000, 569, 30)], [(1000, 1000, 64), (100_000, 569, 30)]),
    ("gpu", "host"): ([(2, 2, 2)], [(64, 32, 16)]),
    ("gpu", "networks"): ([(100, 569, 30)], [(1000, 569, 30)]),
}
_LOSSES = {  # and the activation before them
    "cpu": [("squared_error", "tanh"), ("squared_error", None), ("squared_error", "sigmoid")]
    + [("absolute_error", None), ("huber", None)],
    "gpu": [("squared_error", "tanh"), ("absolute_error", None)],
}


def groups_of(device: str) -> list[str]:
    """Return the groups of tasks on a device."""
    return [group for on, group in _SHAPES if on == device]


def tasks_of(device: str, group: str, sizes: list[Size] | None, quick: bool) -> list[Task]:
    """Return the tasks of a group, at its own sizes where none are given."""
    first, more = _SHAPES[device, group]
    sizes = sizes or (first if quick else sorted({*first, *more}, key=math.prod))
    if group == "affine":
        tasks = [Task("affine", size) for size in sizes]
        activations = ("relu", "sigmoid", "tanh") if device == "cpu" else ("relu", "tanh")
        for size in sizes:
            if size in (_MIDDLING if device == "cpu" else [first[1] if quick else _MIDDLING[1]]):
                tasks += [Task("affine", size, activation) for activation in activations]
                if device == "gpu":
                    tasks += [Task("affine", size, dtype=d) for d in ("float16", "float64")]
                    tasks.append(Task("affine", size, set_axis=1))
        return tasks
    if group == "losses":
        losses = _LOSSES[device][: 2 if quick else None]
        return [
            Task(function, size, activation, loss)
            for function in LOSSES
            for size in sizes
            for loss, activation in losses
        ]
    if group == "threads":
        affine = [Task("affine", size) for size in sizes if math.prod(size) < 10_000_000]
        return affine + [Task("mean_loss", size, loss="absolute_error") for size in sizes]
    if group == "networks":
        functions = "mlp", *NETWORK_LOSSES
        widths = [(1, h, h, 1) for h in (16, 8, 32)]
        return [Task(f, size, widths=w) for f in functions for w in widths for size in sizes]
    function = {"select": "affine_select", "keras": "predict", "stats": "affine_stats"}
    activation = "tanh" if group == "stats" else None
    return [Task(function.get(group, group), size, activation) for size in sizes]
