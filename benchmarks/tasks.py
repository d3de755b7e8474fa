"""What is computed: a function of the library, its options and a size; and the right result."""

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
NETWORKS = "mlp", *NETWORK_LOSSES
_CHECKED = 1 << 22  # products of which the results are compared, at most
_CHECKED_OF_NETWORKS = 1 << 20
_TOLERANCES = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-4}
_TOLERANCE_OF_NETWORKS = 1e-3


@dataclass(frozen=True)
class Task:
    """A function of the library, with its options, at a size."""

    function: str  # "predict" is that of WeightSets
    size: Size
    activation: str | None = None
    loss: str | None = None
    dtype: str = "float32"
    set_axis: int = 0  # of the result of affine
    widths: tuple[int, ...] | None = None  # of networks: one per feature, or one of all features

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
    def written(self) -> tuple[int, ...] | None:
        """The shape of the result, if the function takes `out`."""
        n_sets, n_samples, n_features = self.size
        if self.function in ("affine", "predict"):
            return (n_samples, n_sets, n_features) if self.set_axis else self.size
        return self.size[1:] if self.function == "affine_select" else None

    @property
    def n_subnets(self) -> int:
        """How many networks a set has."""
        return self.size[2] if not self.widths or self.widths[0] == 1 else 1

    @property
    def n_products(self) -> int:
        """How many products the results take, each of which is added to a sum.

        Those of gradients of networks are about twice as many again: of slopes, and of parameters.
        """
        of_network = sum(a * b for a, b in itertools.pairwise(self.widths or (1, 1)))
        times = 3 if self.widths and "grad" in self.function else 1
        return times * self.size[0] * self.size[1] * self.n_subnets * of_network

    def operands(self) -> tuple[Any, ...]:
        """Return samples, weight and bias or layers, and set_index or targets if it takes them."""
        n_sets, n_samples, n_features = self.size
        rng = np.random.default_rng(0)

        def draw(*shape: int) -> np.ndarray:
            drawn = np.float64 if self.dtype == "float64" else np.float32
            return rng.standard_normal(shape, drawn).astype(self.dtype, copy=False)

        samples, targets, others = draw(n_samples, n_features), (n_samples, n_features), []
        if self.widths:
            shape, targets = (n_sets, self.n_subnets), (n_samples, self.n_subnets, self.widths[-1])
            pairs = itertools.pairwise(self.widths)
            scaled = [(draw(*shape, a, b) / np.float32(a**0.5), draw(*shape, b)) for a, b in pairs]
            parameters: tuple[Any, ...] = (scaled,)
        else:
            parameters = draw(n_sets, n_features), draw(n_sets, n_features)
        if self.function == "affine_select":
            others = [rng.integers(n_sets, size=n_samples)]
        elif "loss" in self.function:
            others = [draw(*targets)]
        return samples, *parameters, *others


def mapped(function: Callable[[Any], Any], arrays: Any) -> Any:
    """Apply a function to each array of nested lists and tuples."""
    if isinstance(arrays, (list, tuple)):
        return type(arrays)(mapped(function, array) for array in arrays)
    return function(arrays)


@functools.lru_cache(maxsize=2)
def expected(task: Task) -> tuple[slice, tuple[np.ndarray, ...]]:
    """Return places on the first axis of the results, and what belongs there, by float64.

    Of large results they are some places, the last among them.
    """
    by_sample = task.function in ("affine_select", "affine_stats")
    length = task.size[1] if by_sample else task.size[0]
    step = max(1, task.n_products // (_CHECKED_OF_NETWORKS if task.widths else _CHECKED))
    some = slice((length - 1) % min(step, length), None, step)

    samples, *others = mapped(
        lambda x: x.astype("f8") if x.dtype.kind == "f" else x, task.operands()
    )
    if by_sample:
        samples, others[2:] = samples[some], [index[some] for index in others[2:]]
    else:
        n = 1 if task.widths else 2  # layers; weight and bias
        others[:n] = mapped(lambda array: array[some], others[:n])
    function = "affine" if task.function == "predict" else task.function
    options = {name: value for name, value in task.options.items() if name != "set_axis"}
    with ms.use_backend("numpy"):
        return some, results_of(task, getattr(ms, function)(samples, *others, **options))


def results_of(task: Task, found: Any) -> tuple[Any, ...]:
    """Return the results that are compared; of networks' gradients the first layer's weight's."""
    if not isinstance(found, (tuple, list)):
        return (found,)
    flat = tuple(itertools.chain.from_iterable(results_of(task, part) for part in found))
    return flat[:2] if task.widths else flat


def agree(task: Task, found: tuple[np.ndarray, ...], wanted: tuple[np.ndarray, ...]) -> bool:
    """Whether results are wrong by no more than roundings can explain.

    Losses, gradients and statistics are compared by the norm of all of them together, since the
    gradient of the absolute error may jump between one rounding and another.
    """
    limit = _TOLERANCE_OF_NETWORKS if task.widths else _TOLERANCES[task.dtype]
    is_sum = "loss" in task.function or "stats" in task.function
    size: Callable[[Any], Any] = np.linalg.norm if is_sum else np.max
    return [f.shape for f in found] == [w.shape for w in wanted] and all(
        (is_sum or f.dtype == task.dtype) and size(abs(f - w)) <= limit * size(abs(w))
        for f, w in zip(found, wanted, strict=True)
    )


# Groups of tasks by device: sizes of --quick, and further ones.

_LARGE = [(1000, 569, 30), (1000, 1000, 64)]
_SIZES: dict[str, dict[str, tuple[list[Size], list[Size]]]] = {
    "cpu": {
        "affine": (
            [(2, 2, 2), (64, 32, 16), (100, 1000, 64), (10_000, 64, 16)],
            [(1_000_000, 1, 8), (2000, 333, 33), (4, 1_000_000, 8), *_LARGE],
        ),
        "select": ([(1000, 16_384, 64)], [(1000, 559_240, 30), (1000, 262_144, 64)]),
        "losses": ([(100, 569, 30)], _LARGE),
        "stats": ([(100, 569, 30)], _LARGE),
        "keras": ([(100, 1000, 64)], [(1000, 1000, 64)]),
        "threads": ([(100, 569, 30)], [(300, 569, 30), (1000, 569, 30), (100, 1000, 64)]),
    },
    "gpu": {
        "affine": (
            [(2, 2, 2), (256, 64, 16), (100, 1000, 64), (2000, 333, 33)],
            [(64, 32, 16), (1000, 35, 30), (1_000_000, 1, 8), (10_000, 64, 16), (4, 1_000_000, 8)]
            + [*_LARGE, (10_000, 569, 30), (2000, 4099, 33), (4000, 4096, 64), (100_000, 569, 30)],
        ),
        "losses": ([(1000, 569, 30)], [(1000, 1000, 64), (100_000, 569, 30)]),
        "networks": ([(100, 569, 30)], [(1000, 569, 30)]),
    },
}
_LOSSES = [
    {"function": function, "loss": loss, "activation": activation}
    for function in LOSSES
    for loss, activation in [("squared_error", "tanh"), ("absolute_error", None)]
    + [("squared_error", None), ("squared_error", "sigmoid"), ("huber", None)]
]
_WIDTHS = (1, 16, 16, 1), (1, 8, 8, 1), (1, 32, 32, 1)
_OPTIONS: dict[str, list[dict[str, Any]]] = {  # of all sizes of a group
    "affine": [{}],
    "select": [{"function": "affine_select"}],
    "losses": _LOSSES,
    "stats": [{"function": "affine_stats", "activation": "tanh"}],
    "keras": [{"function": "predict"}],
    "threads": [{}, {"function": "mean_loss", "loss": "absolute_error"}],
    "networks": [{"function": f, "widths": w} for f in NETWORKS for w in _WIDTHS],
}
_MORE_OF_AFFINE: dict[str, list[dict[str, Any]]] = {  # of large sizes
    "cpu": [{"activation": name} for name in ("relu", "sigmoid", "tanh")],
    "gpu": [{"activation": "relu"}, {"activation": "tanh"}, {"set_axis": 1}]
    + [{"dtype": "float16"}, {"dtype": "float64"}],
}


def groups_of(device: str) -> list[str]:
    """Return the groups of tasks on a device."""
    return list(_SIZES[device])


def tasks_of(device: str, group: str, sizes: list[Size] | None, quick: bool) -> list[Task]:
    """Return the tasks of a group, at its own sizes if none are given."""
    first, more = _SIZES[device][group]
    sizes = sizes or (first if quick else sorted([*first, *more], key=math.prod))
    pairs = [(options, size) for options in _OPTIONS[group] for size in sizes]
    if group == "affine":
        pairs += [
            (more, size) for size in sizes if size in _LARGE for more in _MORE_OF_AFFINE[device]
        ]
    return [Task(**{"function": "affine", "size": size} | options) for options, size in pairs]
