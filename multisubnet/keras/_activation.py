"""Activations in the form that Keras uses."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import keras
from keras import activations

from multisubnet._arithmetic import names
from multisubnet._arithmetic.activation import PARAMETERS, Activation
from multisubnet._sets.models import of_keras
from multisubnet._sets.parameters import resolve

PACKAGE = "multisubnet"


@keras.saving.register_keras_serializable(package=PACKAGE)
class KerasActivation:
    """A `multisubnet.Activation` without an equivalent name in Keras, in a form Keras can save.

    Parameters
    ----------
    name : {"leaky_relu", "elu", "gelu_tanh"}
        The activation's name.
    **parameters : float
        As for `multisubnet.Activation`.

    Examples
    --------
    >>> from multisubnet.keras import KerasActivation
    >>> float(KerasActivation("leaky_relu", negative_slope=0.5)(-3.0))
    -1.5
    """

    _functions: ClassVar[dict[str, Any]] = {
        "leaky_relu": activations.leaky_relu,
        "elu": activations.elu,
        "gelu_tanh": functools.partial(activations.gelu, approximate=True),
    }

    def __init__(self, name: str, **parameters: float) -> None:
        if name not in self._functions:
            raise names.unknown("name", name, self._functions)
        self.activation = Activation(name, **parameters)
        self._parameters = parameters

    def __call__(self, x: Any) -> Any:
        """Apply it to a tensor of Keras' backend."""
        return self._functions[self.activation.name](x, **self._parameters)

    def __repr__(self) -> str:
        return f"Keras{self.activation!r}"

    def get_config(self) -> dict[str, Any]:
        """Return the arguments to create an equal object."""
        return {"name": self.activation.name, **self._parameters}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> KerasActivation:
        """Create the object from `get_config`."""
        return cls(**config)


def keras_activation(activation: Any) -> Any:
    """Return Keras' name or function for an activation, with the parameter of an `Activation`."""
    if not isinstance(activation, Activation):
        return activations.get(activation)
    _refuse_derivative(activation)
    if activation.name == "gelu_tanh":
        return KerasActivation(activation.name)
    if activation != Activation(activation.name):
        parameter, _ = PARAMETERS[activation.name]
        return KerasActivation(activation.name, **{parameter: activation.number})
    return activations.get(activation.name)


def own_activation(activation: Any) -> Activation | None:
    """Return the `multisubnet.Activation` for an activation of either kind; None is linear."""
    own = activation
    if activation is not None and not isinstance(activation, str | Activation):
        own = of_keras(activations.get(activation))
        if own is None:
            raise ValueError(
                f"activation is {activation!r}; expected one that multisubnet.Activation has"
            )
    if isinstance(own, Activation):
        _refuse_derivative(own)
    return resolve(own)


def activation_of_sets(sets: Any, name: str, given: Any) -> Any:
    """Return the activation of a layer for weight sets: their own with this name, or the given one.

    Raise unless the sets are real, and one of the two is missing or linear.
    """
    if sets.dtype.kind == "c":
        raise TypeError(f"sets are of dtype {sets.dtype}; expected real numbers")
    own = getattr(sets, name)
    if own.key == "linear":
        return given
    if given is not None:
        raise ValueError(
            f"sets have the {name.replace('_', ' ')} {own!r} already; expected none, not {given!r}"
        )
    return own


def _refuse_derivative(activation: Activation) -> None:
    if activation.is_derivative:
        raise TypeError(f"activation must be a function, not its derivative {activation!r}")


KerasActivation.__module__ = "multisubnet.keras"  # where Keras and pickles look for it
