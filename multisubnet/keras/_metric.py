"""Metrics of N sets, with targets shared by the sets."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import keras
import numpy as np
from keras import metrics, ops, tree

from multisubnet._arrays.validation import flag
from multisubnet._sets.models import as_array
from multisubnet.keras._activation import PACKAGE
from multisubnet.keras._targets import aligned_shape, called, check_shared, from_keras


@keras.saving.register_keras_serializable(package=PACKAGE)
class StackedMetric(metrics.Metric):
    """A metric of each of N sets: their mean, or one value per set.

    Predictions are those of `StackedAffine` or `StackedMLP`, of shape (B, N, ...). Each set is
    compared with the targets as if it were a single model. Keras' own metrics would align targets
    with the last axes of predictions, and compare a prediction with the targets of other samples,
    often without an error.

    Parameters
    ----------
    metric : str, callable or keras.metrics.Metric
        The metric of each set, as ``compile`` takes it. As there, ``"accuracy"`` is the binary, the
        categorical or the sparse categorical accuracy, depending on the shapes of one set.
    per_set : bool, optional
        Whether ``result()`` has one value per set. By default it is their mean.
    name : str, optional
        The name, in the history for example; by default that of the metric, followed by
        ``"_per_set"`` if `per_set`.
    dtype : optional
        As for `keras.metrics.Metric`, if `metric` is not one.

    Raises
    ------
    ValueError
        Keras does not know the metric, or it is None. When called: targets have another shape; the
        metric compares classes with one-hot rows, but targets are one number per sample; the number
        of sets is not that of earlier calls. In ``fit``: a callback of Keras monitors a metric with
        ``per_set=True``.

    Warns
    -----
    UserWarning
        When called: targets look like class numbers, as for `StackedLoss`.

    See Also
    --------
    StackedLoss : the loss of each set.

    Notes
    -----
    Targets have the shapes that `StackedLoss` takes: shared by all sets, as one model takes them,
    or with N or 1 as the second axis. Class numbers have these shapes without the last axis of
    predictions, or with 1 in its place. They are for ``"accuracy"`` and the metrics of Keras that
    take them, such as ``"sparse_categorical_accuracy"``. If N predictions have N classes each,
    ``"accuracy"`` takes integers of shape (B, N) for class numbers of each set, and other numbers
    for one-hot rows shared by all sets. ``"categorical_accuracy"`` takes one-hot rows of any dtype.

    ``result()`` is a number; with ``per_set=True``, an array of shape (N,). The progress bar of
    ``fit`` then shows the mean, and the history has arrays, which `StackedEarlyStopping` monitors;
    ``EarlyStopping`` and the other callbacks of Keras cannot. If the result for one set has the
    shape (C,), the shapes are (C,) and (N, C).

    `keras.ops.vectorized_map` updates all sets at once. With the backend PyTorch, metrics have to
    work in `torch.vmap`; `keras.metrics.MeanIoU` does not.

    Examples
    --------
    >>> import numpy as np
    >>> from multisubnet.keras import StackedMetric
    >>> labels = np.array([0, 1])  # two samples
    >>> predictions = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.4, 0.6]]])  # two sets
    >>> float(StackedMetric("accuracy")(labels, predictions))
    0.75
    >>> np.array(StackedMetric("accuracy", per_set=True)(labels, predictions)).tolist()
    [1.0, 0.5]
    """

    def __init__(
        self, metric: Any, per_set: bool = False, name: str | None = None, dtype: Any = None
    ) -> None:
        is_accuracy = isinstance(metric, str) and metric.lower() in ("accuracy", "acc")
        if metric is None:
            raise ValueError(
                "metric is None; expected a name, a function or a keras.metrics.Metric"
            )
        of_set = None if is_accuracy else from_keras("metric", metrics, metric)
        if name is None:
            name = metric if isinstance(metric, str) else get_name(of_set)
            name = f"{name}_per_set" if flag("per_set", per_set) else name
        super().__init__(name=name, dtype=dtype)
        self.per_set = flag("per_set", per_set)
        self._given = metric if isinstance(metric, str) else of_set
        self._states: list[Any] = []
        self._initial: list[Any] = []  # of variables that the metric has now; others start at 0
        self._is_of_labels = None if is_accuracy else _is_of_labels(of_set)
        self.metric: Any = None
        self.direction_of_set: Any = "up"  # more is better; "down" if less is, None if unknown
        if not is_accuracy:
            self._set_metric(of_set)

    @property
    def _direction(self) -> str:
        """Whether more or less is better; Keras' callbacks look it up, and need plain numbers."""
        if self.per_set:
            raise ValueError(
                f"{self.name!r} has one value per set, which callbacks of Keras cannot monitor; "
                f"use StackedEarlyStopping, or monitor the mean: StackedMetric without per_set"
            )
        if self.direction_of_set is None:
            raise AttributeError("_direction")
        return str(self.direction_of_set)

    def _set_metric(self, metric: Any) -> None:
        """Store the metric of one set; only its stateless functions are called."""
        if not isinstance(metric, metrics.Metric):
            metric = metrics.MeanMetricWrapper(metric, name=self.name, dtype=self.dtype)
        self.metric = metric
        self._initial = [as_array(x) for x in metric.stateless_reset_state()]
        self.direction_of_set = getattr(metric, "_direction", None)

    def _build(self, targets: Any, predictions: Any, n_sets: int) -> None:
        """Create the state of N metrics like the one for these arrays of one set."""
        if self.metric is None:
            self.metric = _accuracy(targets, predictions, self.dtype)
        with keras.StatelessScope():  # some metrics create variables now
            self.metric.update_state(targets, predictions)
        for number, variable in enumerate(self.metric.variables):
            state = self.add_variable(
                shape=(n_sets, *variable.shape),
                initializer=functools.partial(self._initial_state, number),
                dtype=variable.dtype,
                name=variable.name,
            )
            self._states.append(state)

    def _initial_state(self, number: int, shape: tuple[int, ...], dtype: Any) -> Any:
        of_one = self._initial[number] if number < len(self._initial) else 0
        return ops.convert_to_tensor(np.full(shape, of_one), dtype)

    def reset_state(self) -> None:
        """Forget all samples."""
        for number, state in enumerate(self._states):
            state.assign(self._initial_state(number, state.shape, state.dtype))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add samples: targets, and predictions of shape (B, N, ...)."""
        targets, predictions = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if self._is_of_labels is False:
            shape = tuple(predictions.shape)
            check_shared(self, self.metric, targets, shape, "'sparse_categorical_accuracy'")
        targets, predictions = _by_set(targets, predictions, self._is_of_labels)
        n_sets = predictions.shape[0]
        if not self._states:
            self._build(targets[0], predictions[0], n_sets)
        if self._states[0].shape[0] != n_sets:
            raise ValueError(
                f"predictions have {n_sets} sets, but the metric {self.name!r} has been used with "
                f"{self._states[0].shape[0]}; expected a new metric for each model"
            )
        of_each = [predictions] if targets.shape[0] == 1 else [predictions, targets]

        def update(elements: list[Any]) -> list[Any]:
            state, (predicted, *own) = elements[: len(self._states)], elements[len(self._states) :]
            target = own[0] if own else targets[0]
            return self.metric.stateless_update_state(state, target, predicted, sample_weight)

        updated = _map(update, [*map(ops.convert_to_tensor, self._states), *of_each])
        for state, value in zip(self._states, updated, strict=True):
            state.assign(value)

    def result(self) -> Any:
        """Return the mean over sets, or one value per set."""
        if not self._states:
            raise ValueError(f"the metric {self.name!r} has no result before it has seen samples")
        values = _map(self.metric.stateless_result, [*map(ops.convert_to_tensor, self._states)])
        if self.per_set:
            return values
        return tree.map_structure(lambda x: ops.mean(x, axis=0), values)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments with which `from_config` creates an equal metric."""
        given = self._given
        given = given if isinstance(given, str) else keras.saving.serialize_keras_object(given)
        return {**super().get_config(), "metric": given, "per_set": self.per_set}


def get_name(metric: Any) -> str:
    """Return the name of a metric or function of Keras or of a user."""
    name = getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__)
    return str(name)


def _accuracy(targets: Any, predictions: Any, dtype: Any) -> metrics.Metric:
    """Return the accuracy that Keras would take for one set."""
    n_outputs = predictions.shape[-1]
    if n_outputs == 1:
        return metrics.BinaryAccuracy(dtype=dtype)
    if len(targets.shape) < len(predictions.shape) or targets.shape[-1] == 1:
        return metrics.SparseCategoricalAccuracy(dtype=dtype)
    return metrics.CategoricalAccuracy(dtype=dtype)


def _is_of_labels(metric: Any) -> bool:
    """Return whether a metric compares class numbers with the outputs of all classes."""
    if getattr(metric, "sparse_y_true", False):  # the intersection over union
        return not getattr(metric, "sparse_y_pred", True)
    return called(metric).lower().startswith("sparse")


def _aligned(targets: Any, shape: tuple[Any, ...], is_of_labels: bool | None) -> tuple[int, ...]:
    """Return the shape of targets as `aligned_shape`, with 1 as the last axis of class numbers.

    `is_of_labels` is None if the dtype of targets tells class numbers from one-hot rows.
    """
    given = tuple(targets.shape)
    of_labels = [shape[:-1], (*shape[:-1], 1)]
    if is_of_labels is None:
        is_integer = keras.backend.is_int_dtype(targets.dtype)
        expected = [*of_labels, shape] if is_integer else [shape, *of_labels]
    else:
        expected = of_labels if is_of_labels else [shape]
    for each in expected:
        with contextlib.suppress(ValueError):
            aligned = aligned_shape(given, each, shape)
            return aligned if len(each) == len(shape) else (*aligned, 1)
    return aligned_shape(given, expected[0], shape)  # raises an error


def _by_set(targets: Any, predictions: Any, is_of_labels: bool | None) -> tuple[Any, Any]:
    """Return targets (N or 1, B, ...) and predictions (N, B, ...), as N models would have them.

    A single network per set has no axis in them.
    """
    shape = tuple(predictions.shape)
    if len(shape) < 3 or shape[1] is None:
        raise ValueError(f"predictions have shape {shape}; expected (B, N, ...), one per set")
    targets = ops.reshape(targets, (-1, *_aligned(targets, shape, is_of_labels)))
    if len(shape) == 4 and shape[2] == 1:
        targets, predictions = ops.squeeze(targets, 2), ops.squeeze(predictions, 2)
    else:
        of_networks = ops.shape(predictions)[2:-1]
        start, last = ops.shape(targets)[:2], targets.shape[-1]
        targets = ops.broadcast_to(targets, (*start, *of_networks, last))
    return ops.moveaxis(targets, 1, 0), ops.moveaxis(predictions, 1, 0)


def _map(function: Any, elements: list[Any]) -> Any:
    """Return the results of a function of the elements of each set."""
    # With NumPy, `vectorized_map` joins the arrays of a list into one.
    is_numpy = keras.backend.backend() == "numpy"
    return (ops.map if is_numpy else ops.vectorized_map)(function, elements)


StackedMetric.__module__ = "multisubnet.keras"  # where Keras and pickles look for it
