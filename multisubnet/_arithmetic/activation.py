"""Activation functions, by the names that users give.

The recipes are imported on first use, to keep the import of the package fast.
"""

from __future__ import annotations

import functools
import importlib
import numbers
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, overload

import numpy as np

from multisubnet._arithmetic import names

if TYPE_CHECKING:
    from multisubnet._arithmetic.recipe import Program
    from multisubnet._arrays.types import ArrayT, HostArray, HostArrayLike

ActivationName = Literal[
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "softsign", "hard_sigmoid", "hard_tanh",
    "sigmoid", "tanh", "exponential", "softplus", "silu", "gelu", "gelu_tanh",
    "identity", "Identity", "ReLU", "ReLU6", "ELU", "SELU", "Softsign", "hardsigmoid",
    "Hardsigmoid", "hardtanh", "Hardtanh", "logistic", "Sigmoid", "Tanh", "Softplus", "swish",
    "SiLU", "GELU",
]  # fmt: skip
ActivationLike = Union[ActivationName, "Activation"]

# Names of the same functions, with the same defaults, in PyTorch, Keras and scikit-learn.
ALIASES = {
    **dict.fromkeys(("identity", "Identity"), "linear"),
    "ReLU": "relu",
    "ReLU6": "relu6",
    "ELU": "elu",
    "SELU": "selu",
    "Softsign": "softsign",
    **dict.fromkeys(("hardsigmoid", "Hardsigmoid"), "hard_sigmoid"),
    **dict.fromkeys(("hardtanh", "Hardtanh"), "hard_tanh"),
    **dict.fromkeys(("logistic", "Sigmoid"), "sigmoid"),
    "Tanh": "tanh",
    "Softplus": "softplus",
    **dict.fromkeys(("swish", "SiLU"), "silu"),
    "GELU": "gelu",
}
_DIFFERENT = {
    "leakyrelu": "the slope differs between libraries (0.01 in PyTorch, 0.3 in Keras' layer); use "
    "Activation('leaky_relu', negative_slope=0.01), for example",
    "prelu": "its slope is trained; use Activation('leaky_relu', negative_slope=...) with a number",
    "softmax": "it combines outputs, but an activation is a function of one number; use 'linear' "
    "with the loss 'categorical_crossentropy_from_logits'",
}
_VOCABULARY = names.Vocabulary("activation", ALIASES, _DIFFERENT)
_CALLED = {"expit": "sigmoid", "exp": "exponential"}  # functions of NumPy and SciPy
NAMES = tuple(name for name in get_args(ActivationName) if name not in ALIASES)
_LARGEST = float(np.finfo(np.float64).max)
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
# The names and Keras' default values of parameters.
PARAMETERS = {"leaky_relu": ("negative_slope", 0.2), "elu": ("alpha", 1.0)}
OF_INTEGERS = ("relu", "relu6")  # defined for integers, with integer results
INPUTS = ("x", "parameter")  # inputs of the programs of activations


class Activation:
    """An activation function, for functions with a parameter and for derivatives.

    Functions that take an activation also accept its name, and then use Keras' default for the
    parameter. Activations are immutable. Two are equal if name, parameter and order of derivative
    are equal; the parameters 0.0 and -0.0 differ, because their results do.

    Parameters
    ----------
    name : str
        Keras' name of the function of z:

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
        ``silu``          z sigmoid(z)
        ``gelu``          z Phi(z) with the normal distribution function Phi
        ``gelu_tanh``     z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2, which is
                          Keras' ``gelu(approximate=True)``
        ================  ==========================================================

        Comparisons ignore the sign of zero: relu(-0.0) is -0.0, and so are relu6(-0.0) and
        hard_tanh(-0.0). Names are not case-sensitive, and the names of these functions in PyTorch
        and scikit-learn also work: ``"SiLU"``, ``"swish"``, ``"Hardtanh"``, ``"logistic"``,
        ``"identity"``.
    negative_slope : float, optional
        The parameter of ``leaky_relu``; 0.2 by default.
    alpha : float, optional
        The parameter of ``elu``; 1 by default.

    Attributes
    ----------
    name : str
        The function's name.
    parameter : float or None
        The value of its parameter, if it has one.
    is_derivative : bool
        Whether it is a derivative. A derivative has no `derivative` (AttributeError).
    derivative : Activation
        The derivative with respect to z.

    Raises
    ------
    ValueError
        The name is unknown; a parameter is not finite.
    TypeError
        The name is not a string; the activation has no such parameter; a parameter is not a real
        number.

    See Also
    --------
    affine : apply an activation to weighted samples.

    Notes
    -----
    Derivatives at kinks are those of PyTorch: the left-sided one for relu, leaky_relu, elu and
    selu, and 0 for relu6, hard_sigmoid and hard_tanh.

    Examples
    --------
    >>> import multisubnet as ms
    >>> leaky = ms.Activation("leaky_relu", negative_slope=0.1)
    >>> ms.affine([[-20.0, 3.0]], [[1.0, 2.0]], activation=leaky)
    array([[[-2.,  6.]]])
    >>> ms.affine([[-20.0, 3.0]], [[1.0, 2.0]], activation=leaky.derivative)
    array([[[0.1, 1. ]]])
    >>> leaky([-20.0, 6.0])
    array([-2.,  6.])
    """

    __slots__ = ("__weakref__", "is_derivative", "name", "parameter")
    name: str
    parameter: float | None
    is_derivative: bool

    def __init__(self, name: str, **parameters: float) -> None:
        if not isinstance(name, str):
            raise TypeError(
                f"the name of an activation must be a str, not {name!r}{_advice_for(name)}"
            )
        if name not in NAMES:
            name = _VOCABULARY.canonical(name, NAMES)
        expected, value = PARAMETERS.get(name, (None, None))
        for given, number in parameters.items():
            if given != expected:
                has = f"only {expected!r}" if expected else "none"
                raise TypeError(f"{name!r} has no parameter {given!r}: it has {has}")
            if getattr(number, "ndim", None) == 0 and hasattr(number, "item"):
                number = number.item()  # a 0-d array
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

    @overload
    def __call__(self, x: HostArrayLike, /) -> HostArray: ...
    @overload
    def __call__(self, x: ArrayT, /) -> ArrayT: ...
    def __call__(self, x: Any, /) -> Any:
        """Apply the function to each element of an array, with the bits that `affine` gives.

        Parameters
        ----------
        x : array_like
            Numbers, in an array of any shape.

        Returns
        -------
        ndarray
            A new array of the same kind and shape; a NumPy scalar if `x` is a number.

        Raises
        ------
        TypeError
            The dtype of `x` is not numeric, or the function is not defined for it, as for
            complex128.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.Activation("relu")([-1.0, 2.0])
        array([-0.,  2.])
        """
        # Imported by name, because this room may not import the room of functions.
        return importlib.import_module("multisubnet._functions.activate").activate(self, x)

    def _state(self) -> tuple[str, float | None, bool]:
        return self.name, self.parameter, self.is_derivative

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (*self._state(), type(self))

    def __eq__(self, other: object) -> bool:
        # The parameters 0.0 and -0.0 give zeros of different signs.
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
            raise AttributeError(f"there is no second derivative: {self!r} is a derivative already")
        return _restored(self.name, self.parameter, True, type(self))

    @property
    def number(self) -> float:
        """The parameter, or 0 if the function has none."""
        return 0.0 if self.parameter is None else self.parameter

    @property
    def key(self) -> str:
        """The name of the function in backends, without its parameter."""
        return self.name + "_derivative" * self.is_derivative

    def program(self, dtype: np.dtype) -> Program:
        """Return the program for a real result dtype; float16 and bfloat16 use float32's."""
        return program_of(self.key, np.dtype(np.float32) if dtype.char in "eE" else dtype)


def _restored(
    name: str, parameter: float | None, is_derivative: bool, cls: type[Activation] = Activation
) -> Activation:
    return object.__new__(cls)._set(name, parameter, is_derivative)


def resolve_activation(activation: Any, dtype: np.dtype) -> tuple[Activation | None, np.dtype]:
    """Return an activation (None if it is linear) and the working dtype with it.

    `dtype` is the common dtype of the operands.
    """
    if not isinstance(activation, Activation):
        if not isinstance(activation, str):
            raise TypeError(
                f"activation must be None, a name or a multisubnet.Activation, not {activation!r}"
                f"{_advice_for(activation)}"
            )
        activation = Activation(activation)
    if activation.key == "linear":
        return None, dtype
    if dtype.kind == "c" or dtype.char == "g":
        raise TypeError(
            f"{activation!r} is not defined for results of dtype {dtype}; expected a dtype "
            f"up to float64, or the activation 'linear'"
        )
    if dtype.kind in "biu" and activation.key in OF_INTEGERS:
        return (None if dtype.kind == "b" else activation), dtype
    if dtype.kind in "biu":
        dtype = np.result_type(dtype, np.float16)
    if dtype.char != "d" and abs(activation.number) > _LARGEST_FLOAT32:
        raise ValueError(f"the parameter of {activation!r} is too large for {dtype}")
    return activation, dtype


def _advice_for(function: Any) -> str:
    """Return the name that may stand for a function or class of another library, as advice."""
    if not callable(function):
        return ""
    called = getattr(function, "__name__", type(function).__name__)
    module = str(getattr(function, "__module__", ""))
    called = _CALLED.get(called, called).lower()
    if (called, module.split(".")[0]) == ("gelu", "jax"):  # by default, that of tanh
        called = "gelu_tanh"
    reason = _DIFFERENT.get(called.replace("_", ""))
    if reason is not None:
        return f": {reason}"
    try:
        name = _VOCABULARY.canonical(called, NAMES)
    except ValueError:
        return ""
    return f" (did you mean {name!r}?)"


def form_of(dtype: np.dtype) -> Any:
    """Return the recipes' constants for float32 or float64, or None for other dtypes."""
    from multisubnet._arithmetic import coefficients
    from multisubnet._arithmetic.elementary import Format

    constants = {"f": coefficients.FLOAT32, "d": coefficients.FLOAT64}.get(dtype.char)
    return constants and Format(constants)


@functools.cache
def program_of(key: str, dtype: np.dtype) -> Program:
    """Return the program of the activation with this key, in the format of a dtype."""
    from multisubnet._arithmetic.activation_recipes import RECIPES
    from multisubnet._arithmetic.recipe import trace

    name = key.removesuffix("_derivative")
    recipe = RECIPES[name].derivative if key != name else RECIPES[name].value
    form = form_of(dtype)
    return trace(lambda x, parameter: (recipe(x, parameter, form),), dtype, INPUTS)


Activation.__module__ = "multisubnet"  # where pickles look for it
