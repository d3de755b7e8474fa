"""Activation functions, as users name them.

Their recipes are imported when one is asked for: who does without should not wait for them.
"""

from __future__ import annotations

import functools
import numbers
from typing import TYPE_CHECKING, Any, Literal, Union, get_args

import numpy as np

from multisubnet._arithmetic import names

if TYPE_CHECKING:
    from multisubnet._arithmetic.recipe import Program

ActivationName = Literal[
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "softsign", "hard_sigmoid", "hard_tanh",
    "sigmoid", "tanh", "exponential", "softplus", "silu", "swish", "gelu", "gelu_tanh",
]  # fmt: skip
ActivationLike = Union[ActivationName, "Activation"]

_ALIASES = {"swish": "silu"}
NAMES = tuple(name for name in get_args(ActivationName) if name not in _ALIASES)
_LARGEST = float(np.finfo(np.float64).max)
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
# The name of the parameter of those that have one, and what Keras takes by default.
PARAMETERS = {"leaky_relu": ("negative_slope", 0.2), "elu": ("alpha", 1.0)}
OF_INTEGERS = ("relu", "relu6")  # and these keep them integers
INPUTS = ("x", "parameter")  # what the programs of activations are given


class Activation:
    """An activation function: needed for those that have a parameter, and for derivatives.

    A function that takes an activation also takes its name alone, and then the parameter is Keras'
    default. Activations are immutable, and equal if name, parameter and order are; the parameters
    0.0 and -0.0 differ, as their results do.

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

        Comparisons see no sign of zero: relu(-0.0) is -0.0, as relu6 and hard_tanh are.
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
    is_derivative : bool
        Whether it is a derivative, which has none itself (`derivative` is an AttributeError).
    derivative : Activation
        The derivative with respect to z.

    Raises
    ------
    ValueError
        There is no activation of that name; a parameter is not finite.
    TypeError
        The name is not a string; the activation has no such parameter; a parameter is not a real
        number.

    See Also
    --------
    affine : apply an activation to weighted samples.

    Notes
    -----
    At a kink a derivative is PyTorch's: that of the left side for relu, leaky_relu, elu and selu,
    and 0 for relu6, hard_sigmoid and hard_tanh.

    Examples
    --------
    >>> import multisubnet as ms
    >>> leaky = ms.Activation("leaky_relu", negative_slope=0.1)
    >>> ms.affine([[-20.0, 3.0]], [[1.0, 2.0]], activation=leaky)
    array([[[-2.,  6.]]])
    >>> ms.affine([[-20.0, 3.0]], [[1.0, 2.0]], activation=leaky.derivative)
    array([[[0.1, 1. ]]])
    """

    __slots__ = ("__weakref__", "is_derivative", "name", "parameter")
    name: str
    parameter: float | None
    is_derivative: bool

    def __init__(self, name: str, **parameters: float) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of an activation must be a str, not {name!r}")
        name = _ALIASES.get(name, name)
        if name not in NAMES:
            raise names.unknown("activation", name, [*NAMES, *_ALIASES])
        expected, value = PARAMETERS.get(name, (None, None))
        for given, number in parameters.items():
            if given != expected:
                has = f"only {expected!r}" if expected else "none"
                raise TypeError(f"{name!r} has no parameter {given!r}: it has {has}")
            if getattr(number, "ndim", None) == 0 and hasattr(number, "item"):
                number = number.item()  # of an array
            if not isinstance(number, numbers.Real):
                raise TypeError(f"{given} must be a real number, not {number!r}")
            if not -_LARGEST <= number <= _LARGEST:
                raise ValueError(f"{given} must be finite, not {number!r}")
            value = float(number)
        self._set(name, value, False)

    def _set(self, name: str, parameter: float | None, is_derivative: bool) -> Activation:
        values = is_derivative, name, parameter
        for attribute, value in zip(Activation.__slots__[1:], values, strict=True):
            object.__setattr__(self, attribute, value)
        return self

    def __setattr__(self, attribute: str, value: Any) -> None:
        raise AttributeError(f"an Activation is immutable: {attribute} cannot be set")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError(f"an Activation is immutable: {attribute} cannot be deleted")

    def _state(self) -> tuple[str, float | None, bool]:
        return self.name, self.parameter, self.is_derivative

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (*self._state(), type(self))

    def __eq__(self, other: object) -> bool:
        # The parameters 0.0 and -0.0 give zeros of other signs.
        return isinstance(other, Activation) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(self._state())

    def __repr__(self) -> str:
        expected, _ = PARAMETERS.get(self.name, (None, None))
        parameter = f", {expected}={self.parameter}" if expected else ""
        return f"Activation({self.name!r}{parameter})" + ".derivative" * self.is_derivative

    @property
    def derivative(self) -> Activation:
        """The derivative with respect to z."""
        if self.is_derivative:
            raise AttributeError(f"there is no second derivative: {self!r} is a first one")
        return _restored(self.name, self.parameter, True, type(self))

    @property
    def number(self) -> float:
        """The parameter; 0 for a function that has none."""
        return 0.0 if self.parameter is None else self.parameter

    @property
    def key(self) -> str:
        """What backends call the function, whatever its parameter."""
        return self.name + "_derivative" * self.is_derivative

    def program(self, dtype: np.dtype) -> Program:
        """Return the program for results of a real dtype; float16 and bfloat16 have float32's."""
        return program_of(self.key, np.dtype(np.float32) if dtype.char in "eE" else dtype)


def _restored(
    name: str, parameter: float | None, is_derivative: bool, cls: type[Activation] = Activation
) -> Activation:
    return object.__new__(cls)._set(name, parameter, is_derivative)


def resolve_activation(activation: Any, dtype: np.dtype) -> tuple[Activation | None, np.dtype]:
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
    if dtype.kind in "biu":
        dtype = np.result_type(dtype, np.float16)
    if dtype.char != "d" and abs(activation.number) > _LARGEST_FLOAT32:
        raise ValueError(f"the parameter of {activation!r} is too large for {dtype}")
    return activation, dtype


def form_of(dtype: np.dtype) -> Any:
    """Return what recipes need to know of float32 or float64; None of another dtype."""
    from multisubnet._arithmetic import coefficients
    from multisubnet._arithmetic.elementary import Format

    constants = {"f": coefficients.FLOAT32, "d": coefficients.FLOAT64}.get(dtype.char)
    return constants and Format(constants)


@functools.cache
def program_of(key: str, dtype: np.dtype) -> Program:
    """Return the program of the activation with this key in a format."""
    from multisubnet._arithmetic.activation_recipes import RECIPES
    from multisubnet._arithmetic.recipe import trace

    name = key.removesuffix("_derivative")
    recipe = RECIPES[name].derivative if key != name else RECIPES[name].value
    form = form_of(dtype)
    return trace(lambda x, parameter: (recipe(x, parameter, form),), dtype, INPUTS)


Activation.__module__ = "multisubnet"  # where pickles look for it
