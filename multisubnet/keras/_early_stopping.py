"""A callback that keeps the weights of each set's best epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from multisubnet._arithmetic import names
from multisubnet._functions.calls import warn
from multisubnet._sets.keras_chains import flatten
from multisubnet._sets.models import as_array
from multisubnet.keras._layer import StackedAffine
from multisubnet.keras._metric import StackedMetric
from multisubnet.keras._network_layer import StackedMLP

_MODES = ("auto", "min", "max")


class StackedEarlyStopping(keras.callbacks.Callback):
    """Keep the weights of each set's best epoch, and stop when no set improves any more.

    `keras.callbacks.EarlyStopping` monitors one number, and restores the weights of one epoch for
    all sets. This callback monitors one number per set, and each set ends with the weights of its
    own best epoch.

    Parameters
    ----------
    monitor : str
        A metric of the history with one value per set: ``"val_mse_per_set"`` if the model is
        compiled with ``StackedMetric("mse", per_set=True)``.
    min_delta : float, optional
        The smallest change that counts as an improvement of a set.
    patience : int, optional
        The number of epochs without improvement, of each of the sets, after which training stops.
        A set that improves later keeps the later weights.
    mode : {"auto", "min", "max"}, optional
        Whether less or more is better; by default the direction of the metric.

    Attributes
    ----------
    best : ndarray, shape (N,)
        The best value of each set.
    best_epoch : ndarray of int, shape (N,)
        The epoch of each set's best value, from 0; -1 if all are NaN or infinite.
    stopped_epoch : int
        The epoch that training stopped in; 0 if it did not stop early, as in Keras.

    Raises
    ------
    ValueError
        `mode` is unknown. In ``fit``: the metric has one value for all sets; its direction is
        unknown and `mode` is ``"auto"``; layers other than `StackedAffine` and `StackedMLP` are
        trained, too, whose weights all sets share.

    Warns
    -----
    UserWarning
        In ``fit``: the history does not have the metric.

    See Also
    --------
    StackedMetric : metrics of each set.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> from multisubnet.keras import (
    ...     StackedEarlyStopping, StackedLoss, StackedMetric, StackedMLP)
    >>> x = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    >>> model = keras.Sequential([keras.Input((2,)), StackedMLP(3, (2, 8, 1))])
    >>> model.compile("adam", StackedLoss("mse"), metrics=[StackedMetric("mse", per_set=True)])
    >>> stop = StackedEarlyStopping("val_mse_per_set", patience=5)
    >>> history = model.fit(
    ...     x, x[:, 0] * x[:, 1], validation_split=0.5, epochs=3, callbacks=[stop], verbose=0)
    >>> stop.best.shape
    (3,)
    """

    def __init__(
        self, monitor: str, *, min_delta: float = 0.0, patience: int = 0, mode: str = "auto"
    ) -> None:
        super().__init__()
        if mode not in _MODES:
            raise names.unknown("mode", mode, _MODES)
        self.monitor = monitor
        self.min_delta = abs(min_delta)
        self.patience = patience
        self.mode = mode

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget earlier training."""
        self.best, self.best_epoch = np.empty(0), np.empty(0, np.int64)
        self.stopped_epoch = 0
        self._wait = np.empty(0, np.int64)
        self._weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keep the weights of the sets that have improved; stop if none has for some time."""
        variables = self._variables()
        values = self._values(logs or {}, variables)
        if values is None:
            return
        sign = self._sign()
        if not self._weights:
            self.best = np.full(len(values), sign * np.inf)
            self.best_epoch = np.full(len(values), -1)
            self._wait = np.zeros(len(values), np.int64)
            self._weights = [np.array(as_array(variable)) for variable in variables]
        improved = sign * values < sign * self.best - self.min_delta
        if improved.any():
            self.best[improved] = values[improved]
            self.best_epoch[improved] = epoch
            for kept, variable in zip(self._weights, variables, strict=True):
                kept[improved] = np.asarray(as_array(variable))[improved]
        self._wait = np.where(improved, 0, self._wait + 1)
        if epoch > 0 and (self._wait >= self.patience).all():
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Restore the best weights of each set; a set of NaN alone keeps the last ones."""
        if not self._weights:
            return
        of_best = self.best_epoch >= 0
        for kept, variable in zip(self._weights, self._variables(), strict=True):
            last = np.array(as_array(variable))
            last[of_best] = kept[of_best]
            variable.assign(last)
        self._weights = []

    def _values(self, logs: Mapping[str, Any], variables: list[Any]) -> np.ndarray | None:
        """Return the metric's value of each set, or None, with a warning, if there is none."""
        if self.monitor not in logs:
            warn(
                f"monitor is {self.monitor!r}, but the history has {', '.join(map(repr, logs))}; "
                f"compile the model with a StackedMetric(..., per_set=True), and name it as the "
                f"history does (val_... needs validation data)",
                UserWarning,
            )
            return None
        values = np.asarray(as_array(logs[self.monitor]), np.float64)
        n_sets = variables[0].shape[0] if variables else values.size
        if n_sets == 1:
            values = values.reshape(-1)  # Keras makes a float of a single number
        is_per_set = all(getattr(metric, "per_set", True) for metric in self._metrics())
        if values.shape != (n_sets,) or not is_per_set:
            raise ValueError(
                f"monitor is {self.monitor!r}, with values of shape {values.shape}; expected one "
                f"for each of {n_sets} sets, as 'val_mse_per_set' of "
                f"StackedMetric('mse', per_set=True) has"
            )
        return values

    def _metrics(self) -> list[Any]:
        """Return the metrics of the model that have the name of the monitored one."""
        name = self.monitor.removeprefix("val_")
        every = [x for of in self.model.metrics for x in (of, *getattr(of, "metrics", ()))]
        return [metric for metric in every if metric.name == name]

    def _sign(self) -> int:
        """Return 1 if less is better, or -1 if more is."""
        mode = self.mode
        if mode == "auto":
            directions = map(_direction_of, self._metrics())
            mode = {"up": "max", "down": "min"}.get(str(next(iter(directions), None)), "auto")
        if mode == "auto":
            raise ValueError(
                f"mode is 'auto', but Keras does not know whether more or less of "
                f"{self.monitor!r} is better; pass mode='max' or mode='min'"
            )
        return 1 if mode == "min" else -1

    def _variables(self) -> list[Any]:
        """Return the weights of all sets."""
        layers = [x for x in flatten(self.model) if isinstance(x, StackedAffine | StackedMLP)]
        variables = [variable for layer in layers for variable in layer.trainable_variables]
        known = {id(variable) for variable in variables}
        shared = [x.path for x in self.model.trainable_variables if id(x) not in known]
        if shared:
            raise ValueError(
                f"the model trains {', '.join(shared)}, which all sets share, or which are inside "
                f"other layers; expected StackedAffine and StackedMLP directly in model.layers, "
                f"and all other layers with trainable=False"
            )
        return variables


def _direction_of(metric: Any) -> Any:
    """Return "up" if more is better, "down" if less is, or None."""
    if isinstance(metric, StackedMetric):
        return metric.direction_of_set
    return getattr(metric, "_direction", None)


StackedEarlyStopping.__module__ = "multisubnet.keras"  # where users import it from
