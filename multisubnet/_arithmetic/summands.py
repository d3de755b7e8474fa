"""The summands: the loss of each prediction, its slopes, and the terms of gradients."""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from multisubnet._arithmetic.recipe import Program, Real

# The operands, and the value that replaces an absent one. Adding -0.0 changes nothing, nor does
# multiplying by 1.
OPERANDS = {"sample": 1.0, "weight": 1.0, "bias": -0.0, "target": 1.0, "factor": 1.0}
_GIVEN = (*OPERANDS, "parameter")


class Dependence(enum.StrEnum):
    """The axes that an operand of sums depends on; cuda/sums.cu uses the same letters and names."""

    HELD = "h"
    """The kept axis."""
    STREAMED = "s"
    """The summed axis."""
    EACH = "e"
    """Both."""
    SCALAR = "f"
    """The summed axis, but not the features."""
    UNUSED = "-"
    """None: no term uses the operand."""


HELD, STREAMED, EACH, SCALAR, UNUSED = Dependence

OUTPUTS = ("loss", "error", "slope_sample", "slope", "slope_weight")


class Summands(NamedTuple):
    """The values computed and summed together.

    With z = sample * weight + bias, prediction p = activation(z) and s = dloss/dp * dp/dz:

    ==============  ===============
    loss            loss(p, target)
    error           p - target
    slope_sample    s * sample
    slope           s
    slope_weight    s * weight
    ==============  ===============

    The requested ones appear in this order. If `weighted`, the loss, the error and s are first
    multiplied by a factor.
    """

    loss: str
    activation: str
    outputs: tuple[str, ...]
    weighted: bool

    @property
    def key(self) -> str:
        """The name of the program of these summands."""
        return _key_of(self)

    @staticmethod
    def of_key(key: str) -> Summands:
        """Return the summands with this key."""
        loss, activation, *outputs = key.split()
        weighted = outputs[-1] == "weighted"
        return Summands(loss, activation, tuple(outputs[: len(outputs) - weighted]), weighted)

    def program(self, dtype: np.dtype) -> Program:
        """Return the program of the summands, for float32 or float64."""
        return _program_of(self, dtype)

    def kinds(self, shapes: Iterable[tuple[int, ...] | None], dtype: np.dtype) -> str:
        """Return the dependence of each operand, by its shape (kept, summed, F), as letters.

        Weight and bias depend on the kept axis alone if possible (sums over samples), else on the
        summed axis alone. An operand that is None depends on nothing.
        """
        are_one = (None if shape is None else (shape[0] == 1, shape[1] == 1) for shape in shapes)
        return _kinds_of(self, dtype, tuple(are_one))


@functools.cache
def _key_of(terms: Summands) -> str:
    weighted = ["weighted"] * terms.weighted
    return " ".join([terms.loss, terms.activation, *terms.outputs, *weighted])


@functools.cache
def _kinds_of(
    terms: Summands, dtype: np.dtype, are_one: tuple[tuple[bool, bool] | None, ...]
) -> str:
    """Return the kinds of operands whose kept and summed axes have length 1."""
    used = {x.inputs[0] for x in terms.program(dtype).operations if x.name == "input"}
    named = dict(zip(OPERANDS, are_one, strict=True))
    over_samples = all(x is None or x[1] for x in (named["weight"], named["bias"]))
    found = ""
    for name, is_one in named.items():
        if name not in used:
            found += UNUSED
        elif is_one is None:
            found += HELD
        elif name == "factor":
            found += SCALAR
        elif name in ("weight", "bias"):
            found += HELD if over_samples else STREAMED
        elif name == "target" and all(is_one) and named["sample"] == (True, False):
            found += HELD  # the mean of values: one row, not a copy per summed index
        elif over_samples and is_one[0]:
            found += STREAMED
        else:
            found += HELD if is_one[1] else EACH
    return found


@functools.cache
def _program_of(terms: Summands, dtype: np.dtype) -> Program:
    from multisubnet._arithmetic import activation_recipes, loss_recipes
    from multisubnet._arithmetic.activation import form_of
    from multisubnet._arithmetic.recipe import trace

    loss = loss_recipes.RECIPES[terms.loss]
    name = terms.activation.removesuffix("_derivative")
    of_activation = activation_recipes.RECIPES[name]
    activate = of_activation.value if name == terms.activation else of_activation.derivative
    form = form_of(dtype)

    def recipe(
        sample: Real, weight: Real, bias: Real, target: Real, factor: Real, parameter: Real
    ) -> tuple[Real, ...]:
        z = sample * weight + bias
        prediction = activate(z, parameter, form)
        value = loss.value(prediction, target, form)
        error = prediction - target
        slope = loss.derivative(prediction, target, form)
        if name != "linear":
            slope = slope * of_activation.derivative(z, parameter, form)
        if terms.weighted:
            value, error, slope = value * factor, error * factor, slope * factor
        every = (value, error, slope * sample, slope, slope * weight)
        return tuple(every[OUTPUTS.index(name)] for name in terms.outputs)

    return trace(recipe, dtype, _GIVEN)
