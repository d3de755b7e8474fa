"""The definition, in NumPy's plainest words: what every backend must equal, bit for bit."""

from __future__ import annotations

import numpy as np

from multisubnet import _coefficients
from multisubnet._activation_recipes import RECIPES
from multisubnet._activations import Activation
from multisubnet._elementary import Format


def affine(samples, weight, bias=None, *, activation=None, set_axis=0, out=None):
    operands = [np.asarray(x) for x in (samples, weight, bias) if x is not None]
    dtype = np.result_type(*operands).newbyteorder("=")
    if isinstance(activation, str):
        activation = Activation(activation)
    if activation and activation.key not in ("linear", "relu", "relu6"):
        dtype = np.result_type(dtype, np.float16)
    with np.errstate(all="ignore"):
        samples, weight, *rest = (x.astype(dtype) for x in operands)
        samples = samples if samples.ndim == 3 else samples[None]
        result = _product(samples, weight[:, None])
        for bias in rest:
            result = result + bias[:, None]
        if activation:
            result = activated(result, activation)
        if set_axis == 1:
            result = result.transpose(1, 0, 2)
        return result if out is None else result.astype(out.dtype)


def affine_select(samples, weight, bias, set_index, *, activation=None):
    every = affine(samples, weight, bias, activation=activation)
    missing = {"f": np.nan, "c": complex(np.nan, np.nan)}.get(every.dtype.kind, 0)
    result = np.full(samples.shape, missing, every.dtype)
    for b, n in enumerate(set_index):
        if 0 <= n < len(every):
            result[b] = every[n, b]
    return result


def _product(a, b):
    if a.dtype.kind != "c":
        return a * b
    result = np.empty(np.broadcast_shapes(a.shape, b.shape), a.dtype)
    result.real = a.real * b.real - a.imag * b.imag
    result.imag = a.real * b.imag + a.imag * b.real
    return result


def activated(z, activation):
    """Do what the recipe says as it is read, in float32 for float16."""
    if z.dtype == bool or activation.key == "linear":
        return z
    x = z.astype(np.float32) if z.dtype == np.float16 else z
    constants = {"f": _coefficients.FLOAT32, "d": _coefficients.FLOAT64}.get(x.dtype.char)
    recipes = RECIPES[activation.name]
    recipe = recipes.derivative if activation.is_derivative else recipes.value
    parameter = Number(x.dtype.type(activation.number))
    with np.errstate(all="ignore"):
        result = recipe(Number(x), parameter, constants and Format(constants))
        return np.broadcast_to(result.array, z.shape).astype(z.dtype)


class Number:
    """An array that does what a recipe asks of a Real, Bits or Boolean, at once."""

    def __init__(self, array):
        self.array = np.asarray(array)

    def _like(self, other):
        """The other operand; Python's numbers are rounded to this one's dtype."""
        return other.array if isinstance(other, Number) else self.array.dtype.type(other)

    def constant(self, value):
        return Number(self.array.dtype.type(value))

    def select(self, yes, no):
        given = yes if isinstance(yes, Number) else no
        return Number(np.where(self.array, given._like(yes), given._like(no)))

    @property
    def bits(self):
        return Number(self.array.view(f"u{self.array.itemsize}"))

    @property
    def real(self):
        return Number(self.array.view(f"f{self.array.itemsize}"))


def _operator(name, function):
    def do(self, other):
        return Number(function(self.array, self._like(other)))

    def reflected(self, other):
        return Number(function(self._like(other), self.array))

    setattr(Number, f"__{name}__", do)
    setattr(Number, f"__r{name}__", reflected)


for _name, _function in {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}.items():
    _operator(_name, _function)
