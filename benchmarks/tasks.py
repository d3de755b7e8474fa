"""What is computed: a function of the library, at a size, on which numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Size = tuple[int, int, int]  # sets, samples, features

MEAN_LOSSES = "mean_loss", "mean_loss_and_grad"
FUNCTIONS = "affine", "affine_select", "affine_stats", *MEAN_LOSSES  # and WeightSets.predict

GROUPS = "affine", "select", "losses", "stats", "keras"
ACTIVATIONS = "relu", "sigmoid", "tanh"
LOSSES = [  # and the activation before it
    ("absolute_error", None),
    ("huber", None),
    ("squared_error", "tanh"),
    ("squared_error", "sigmoid"),
    ("squared_error", None),
]
QUICK_LOSSES = LOSSES[2::2]

_MIDDLING = [(1000, 569, 30), (1000, 1000, 64)]
_SIZES = {
    "affine": [
        (2, 2, 2),
        (64, 32, 16),
        (100, 1000, 64),
        (1_000_000, 1, 8),
        (10_000, 64, 16),
        (1000, 569, 30),
        (2000, 333, 33),
        (4, 1_000_000, 8),
        (1000, 1000, 64),
    ],
    "select": [(1000, 559_240, 30), (1000, 262_144, 64)],
    "losses": _MIDDLING,
    "stats": _MIDDLING,
    "keras": [(1000, 1000, 64)],
}
_QUICK_SIZES = {
    "affine": [(2, 2, 2), (64, 32, 16), (100, 1000, 64), (10_000, 64, 16)],
    "select": [(1000, 16_384, 64)],
    "losses": [(100, 569, 30)],
    "stats": [(100, 569, 30)],
    "keras": [(100, 1000, 64)],
}


@dataclass(frozen=True)
class Task:
    """A function of the library, with its options, at a size."""

    function: str
    size: Size
    activation: str | None = None
    loss: str | None = None
    dtype: str = "float32"
    set_axis: int = 0  # where N stands in the shape of the result of affine

    def __str__(self) -> str:
        parts = [self.function, self.size, self.loss, self.activation or "linear"]
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.set_axis:
            parts.append(f"set_axis={self.set_axis}")
        return ", ".join(str(part) for part in parts if part is not None)

    @property
    def options(self) -> dict[str, str | int]:
        """The keyword arguments of the function."""
        options = {
            "activation": self.activation,
            "loss": self.loss,
            "set_axis": self.set_axis or None,
        }
        return {name: value for name, value in options.items() if value is not None}

    @property
    def written(self) -> tuple[int, ...] | None:
        """The shape of the result, where one can be given to be written into."""
        n_sets, n_samples, n_features = self.size
        if self.function in ("affine", "predict"):
            return (n_samples, n_sets, n_features) if self.set_axis else self.size
        return self.size[1:] if self.function == "affine_select" else None

    def operands(self) -> tuple[np.ndarray, ...]:
        """Return samples, weight, bias, and set_index or targets where the function takes them."""
        n_sets, n_samples, n_features = self.size
        rng = np.random.default_rng(0)

        def draw(shape: tuple[int, int]) -> np.ndarray:
            drawn = np.float64 if self.dtype == "float64" else np.float32
            return rng.standard_normal(shape, drawn).astype(self.dtype, copy=False)

        samples = draw((n_samples, n_features))
        weight, bias = (draw((n_sets, n_features)) for _ in range(2))
        if self.function == "affine_select":
            return samples, weight, bias, rng.integers(n_sets, size=n_samples)
        if self.function in MEAN_LOSSES:
            return samples, weight, bias, draw(samples.shape)
        return samples, weight, bias


def tasks_of(group: str, sizes: list[Size] | None, quick: bool) -> list[Task]:
    """Return the tasks of a group, at its own sizes where none are given."""
    sizes = sizes or (_QUICK_SIZES if quick else _SIZES)[group]
    if group == "affine":
        activated = [size for size in sizes if size in _MIDDLING]
        linear = [Task("affine", size) for size in sizes]
        return linear + [Task("affine", size, a) for size in activated for a in ACTIVATIONS]
    if group == "select":
        return [Task("affine_select", size) for size in sizes]
    if group == "keras":
        return [Task("predict", size) for size in sizes]
    if group == "stats":
        return [Task("affine_stats", size, "tanh") for size in sizes]
    return of_losses(sizes, QUICK_LOSSES if quick else LOSSES)


def of_losses(sizes: list[Size], losses: list[tuple[str, str | None]]) -> list[Task]:
    """Return the tasks for losses, each with the activation before it."""
    return [
        Task(function, size, activation, loss)
        for function in MEAN_LOSSES
        for size in sizes
        for loss, activation in losses
    ]
