"""Activation functions, as users name them."""

from __future__ import annotations

import functools
import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisubnet import _coefficients, _recipe
from multisubnet._activation_recipes import RECIPES
from multisubnet._elementary import Format
from multisubnet._recipe import Program

_ALIASES = {"swish": "silu"}
# The name of the parameter of those that have one, and what Keras takes by default.
PARAMETERS = {"leaky_relu": ("negative_slope", 0.2), "elu": ("alpha", 1.0)}
OF_INTEGERS = ("relu", "relu6")  # and these keep them integers


@dataclass(frozen=True, init=False, repr=False)
class Activation:
    """An activation function, for those that have a parameter and for derivatives.

    A function that takes an activation also takes its name, which stands for Keras' parameter.
    Activations are immutable, and are equal if they are the same function.

    Parameters
    ----------
    name : str
        Keras' name of the function, z being what it is applied to:

        ================  ==========================================================
        ``linear``        z
        ``relu``          max(z, 0)
        ``relu6``         min(max(z, 0), 6)
        ``leaky_relu``    z if z > 0, else negative_slope z
        ``elu``           z if z > 0, else alpha (exp(z) - 1)
        ``selu``          1.05070098735548... elu(z) with alpha = 1.67326324235437...
        ``softsign``      z / (1 + abs(z))
        ``hard_sigmoid``  min(max(z + 3, 0), 6) / 6
        ``hard_tanh``     min(max(z, -1), 1)
        ``sigmoid``       1 / (1 + exp(-z))
        ``tanh``          tanh(z)
        ``exponential``   exp(z)
        ``softplus``      log(1 + exp(z))
        ``silu``          z sigmoid(z); also ``swish``
        ``gelu``          z Phi(z) with the normal distribution function Phi
        ``gelu_tanh``     z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2, which is
                          Keras' ``gelu(approximate=True)``
        ================  ==========================================================
    negative_slope : float, optional
        Of ``leaky_relu``; 0.2 by default.
    alpha : float, optional
        Of ``elu``; 1 by default.

    Attributes
    ----------
    name : str
        The function's name.
    parameter : float or None
        The value of its parameter, if it has one.
    derivative : Activation
        The derivative with respect to z. At a kink it is PyTorch's: that of the left side for
        relu, leaky_relu, elu and selu, and 0 for relu6, hard_sigmoid and hard_tanh.

    Raises
    ------
    ValueError
        There is no activation of that name.
    TypeError
        The name is not a string; the activation has no such parameter; a parameter is not a real
        number.

    See Also
    --------
    affine : apply an activation to weighted samples.

    Examples
    --------
    >>> import multisubnet as ms
    >>> leaky = ms.Activation("leaky_relu", negative_slope=0.1)
    >>> ms.affine([[-20.0, 3.0]], [[1.0, 2.0]], activation=leaky)
    array([[[-2.,  6.]]])
    >>> ms.affine([[-20.0, 3.0]], [[1.0, 2.0]], activation=leaky.derivative)
    array([[[0.1, 1. ]]])
    """

    name: str
    parameter: float | None
    is_derivative: bool

    def __init__(self, name: str, **parameters: float) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of an activation must be a str, not {name!r}")
        name = _ALIASES.get(name, name)
        if name not in RECIPES:
            raise ValueError(f"activation must be one of {', '.join(RECIPES)}, not {name!r}")
        expected, value = PARAMETERS.get(name, (None, None))
        for given, number in parameters.items():
            if given != expected:
                has = f"has {expected}" if expected else "has no parameter"
                raise TypeError(f"the activation {name!r} {has}, and not {given!r}")
            if not isinstance(number, numbers.Real):
                raise TypeError(f"{given} must be a real number, not {number!r}")
            value = float(number)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "parameter", value)
        object.__setattr__(self, "is_derivative", False)

    def __repr__(self) -> str:
        expected, _ = PARAMETERS.get(self.name, (None, None))
        parameter = f", {expected}={self.parameter}" if expected else ""
        return f"Activation({self.name!r}{parameter})" + ".derivative" * self.is_derivative

    @property
    def derivative(self) -> Activation:
        if self.is_derivative:
            raise AttributeError(f"there is no second derivative: {self!r} is a first one")
        derivative = object.__new__(Activation)
        object.__setattr__(derivative, "name", self.name)
        object.__setattr__(derivative, "parameter", self.parameter)
        object.__setattr__(derivative, "is_derivative", True)
        return derivative

    @property
    def key(self) -> str:
        """What backends call the function, whatever its parameter."""
        return self.name + "_derivative" * self.is_derivative

    def program(self, dtype: np.dtype) -> Program:
        """Return the program for results of a real dtype; that of float16 is in float32."""
        return program_of(self.key, np.dtype(np.float32) if dtype.char == "e" else dtype)


def applied(activation: Any, dtype: np.dtype) -> tuple[Activation | None, np.dtype]:
    """Return an activation, None if it changes nothing, and the working dtype with it.

    `dtype` is what the operands have in common.
    """
    if not isinstance(activation, Activation):
        if not isinstance(activation, str):
            raise TypeError(
                f"activation must be None, a name or a multisubnet.Activation, not {activation!r}"
            )
        activation = Activation(activation)
    if activation.key == "linear":
        return None, dtype
    if dtype.kind == "c" or dtype.char == "g":
        raise TypeError(
            f"{activation!r} is not defined for results of dtype {dtype}; expected a dtype of "
            f"which float64 is the widest, or the activation 'linear'"
        )
    if dtype.kind in "biu" and activation.key in OF_INTEGERS:
        return (None if dtype.kind == "b" else activation), dtype
    return activation, np.result_type(dtype, np.float16)


@functools.cache
def program_of(key: str, dtype: np.dtype) -> Program:
    """Return the program of the activation with this key in a format."""
    name = key.removesuffix("_derivative")
    recipe = RECIPES[name].derivative if key != name else RECIPES[name].value
    constants = {"f": _coefficients.FLOAT32, "d": _coefficients.FLOAT64}.get(dtype.char)
    form = constants and Format(constants)
    return _recipe.trace(lambda x, parameter: recipe(x, parameter, form), dtype)
