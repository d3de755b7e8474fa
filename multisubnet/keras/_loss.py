"""The losses of N sets, with targets shared by the sets."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import losses, ops

from multisubnet.keras._activation import PACKAGE

_OF_LABELS = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")


@keras.saving.register_keras_serializable(package=PACKAGE)
class StackedLoss(losses.Loss):
    """The sum of the losses of N sets, so that each set learns as if it were alone.

    Predictions are those of `StackedAffine` or `StackedMLP`, of shape (B, N, ...). Targets without
    a set axis are shared by all sets. Keras' own losses would broadcast targets (B, F) against
    predictions (B, N, F). This fails, or, if B and N are equal, gives each set the targets of one
    sample.

    Parameters
    ----------
    loss : str, callable or keras.losses.Loss, optional
        The loss of each set, as Keras takes it. It may reduce the last axis, but no other.
    name : str, optional
        The name.
    reduction, dtype : optional
        As for `keras.losses.Loss`.

    Raises
    ------
    ValueError
        Keras does not know the loss. When called: targets have another shape.

    See Also
    --------
    StackedMLP : a layer of N sets.

    Notes
    -----
    Targets can be shared by all sets or given per set. For predictions (B, N, F), their shape is
    (B, F), (B, 1, F) or (B, N, F); (B, 1) or (B,) is one target for all F. For predictions
    (B, N, S, P), it is (B, S, P), or (B, S) if P = 1, or (B, P) if S = 1; (B, 1) or (B,); or one of
    these with N or 1 as the second axis. Labels of the sparse categorical crossentropy have these
    shapes without the last axis of predictions.

    The loss of a sample is the sum over sets of the mean over everything else. A plain mean over
    all predictions would divide the gradient of each set by N.

    Examples
    --------
    >>> import numpy as np
    >>> from multisubnet.keras import StackedLoss
    >>> predictions = np.zeros((2, 2, 3), "float32")  # two samples, two sets
    >>> targets = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]], "float32")
    >>> float(StackedLoss("mse")(targets, predictions))  # the mean of 1 and 4, for two sets
    5.0
    """

    def __init__(
        self,
        loss: Any = "mean_squared_error",
        name: str = "stacked_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.loss = losses.get(loss)
        self._function = getattr(self.loss, "call", self.loss)
        called = getattr(self.loss, "__name__", type(self.loss).__name__)
        self._is_of_labels = called in _OF_LABELS

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each sample, (B,)."""
        shape = tuple(y_pred.shape)
        of_targets = shape[:-1] if self._is_of_labels else shape
        aligned = ops.reshape(y_true, (-1, *aligned_shape(tuple(y_true.shape), of_targets)))
        every = ops.broadcast_to(aligned, ops.shape(y_pred)[: len(of_targets)])
        # As of one model: some of PyTorch's losses cannot differentiate arrays of four axes.
        rows = (-1,) if self._is_of_labels else (-1, shape[-1])
        found = self._function(ops.reshape(every, rows), ops.reshape(y_pred, (-1, shape[-1])))
        n_losses = math.prod(shape[2:]) if len(found.shape) > 1 else math.prod(shape[2:-1])
        of_sets = ops.reshape(found, (-1, shape[1], n_losses))
        return ops.sum(ops.mean(of_sets, axis=2), axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments with which `from_config` creates an equal loss."""
        return {**super().get_config(), "loss": losses.serialize(self.loss)}


def aligned_shape(given: tuple[Any, ...], shape: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the shape, without its first axis, in which targets broadcast to predictions.

    The first number is 1 if all sets share the targets, or N.
    """
    _, n_sets, *of_set = shape
    rest = given[1:]
    if len(given) == len(shape) and rest[0] in (1, n_sets):
        if list(rest[1:]) == of_set:
            return rest
    elif list(rest) == of_set:
        return (1, *rest)
    elif rest in ((), (1,)):
        return (1,) * (len(shape) - 1)
    elif len(of_set) == 2 and 1 in of_set and rest == (max(of_set),):
        return (1, *of_set)
    of_all = ", ".join(map(str, ("B", *of_set)))
    raise ValueError(
        f"targets have shape {given} and predictions are of shape {shape} (without their outputs, "
        f"if targets are labels); expected ({of_all}) for all sets, or (B, {n_sets}, ...) for each"
    )


StackedLoss.__module__ = "multisubnet.keras"  # where Keras and pickles look for it
