"""The losses of N sets, with targets shared by the sets."""

from __future__ import annotations

from typing import Any

import keras
from keras import losses, ops

from multisubnet.keras._activation import PACKAGE
from multisubnet.keras._targets import aligned_shape, called, check_shared, from_keras

_OF_LABELS = ("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy")


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
        The loss of each set, as Keras takes it. It is called with targets and predictions of shape
        (B, N, ...), and its result must have the axes B and N.
    name : str, optional
        The name.
    reduction, dtype : optional
        As for `keras.losses.Loss`.

    Raises
    ------
    ValueError
        Keras does not know the loss, or it is None. When called: targets have another shape; the
        loss compares classes with one-hot rows, but targets are one number per sample; the loss
        adds up samples or sets, as those of Dice and Tversky do by default.

    Warns
    -----
    UserWarning
        When called: targets look like class numbers (integers, one for all outputs of a sample),
        but a loss of Keras compares each output with them. In ``fit`` or ``evaluate``: a
        cross-entropy of Keras does not fit the output activation of the layer of sets.

    See Also
    --------
    StackedMLP : a layer of N sets.

    Notes
    -----
    Targets can be shared by all sets or given per set. For predictions (B, N, F), their shape is
    (B, F), (B, 1, F) or (B, N, F); (B, 1) or (B,) is one target for all F. For predictions
    (B, N, S, P), it is (B, S, P), or (B, S) if P = 1, or (B, P) if S = 1; (B, 1) or (B,); or one of
    these with N or 1 as the second axis. Labels of the sparse categorical and the generalized
    cross-entropy have these shapes without the last axis of predictions. Losses that compare rows
    of outputs, such as the categorical cross-entropy and the cosine similarity, need a target for
    each output.

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
        if loss is None:
            raise ValueError("loss is None; expected a name, a function or a keras.losses.Loss")
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.loss = from_keras("loss", losses, loss)
        self._function = getattr(self.loss, "call", self.loss)
        self._called = called(self.loss)
        self._is_of_labels = self._called in _OF_LABELS

    def __repr__(self) -> str:
        return f"<StackedLoss {self._called}>"

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the loss of all samples, reduced."""
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if not self._is_of_labels:  # `call` gets targets as floats
            shape = tuple(y_pred.shape)
            check_shared(self, self.loss, y_true, shape, "'sparse_categorical_crossentropy'")
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each sample, (B,)."""
        shape = tuple(y_pred.shape)
        of_targets = shape[:-1] if self._is_of_labels else shape
        aligned = aligned_shape(tuple(y_true.shape), of_targets, shape)
        aligned = ops.reshape(y_true, (-1, *aligned))
        every = ops.broadcast_to(aligned, ops.shape(y_pred)[: len(of_targets)])
        if self._is_of_labels:
            # With PyTorch, Keras cannot differentiate all of these losses of arrays of four axes.
            rows = ops.reshape(every, (-1,)), ops.reshape(y_pred, (-1, shape[-1]))
            found = ops.reshape(self._function(*rows), (-1, *of_targets[1:]))
        else:
            found = self._function(every, y_pred)
        found_shape = tuple(found.shape)
        if len(found_shape) < 2 or found_shape[1] not in (None, shape[1]):
            raise ValueError(
                f"the loss {self._called!r} has shape {found_shape} for predictions of shape "
                f"{shape}; expected (B, {shape[1]}, ...): one loss per sample and set, or more"
            )
        if len(found_shape) > 2:
            found = ops.mean(found, axis=tuple(range(2, len(found_shape))))
        return ops.sum(found, axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments with which `from_config` creates an equal loss."""
        return {**super().get_config(), "loss": losses.serialize(self.loss)}


StackedLoss.__module__ = "multisubnet.keras"  # where Keras and pickles look for it
