"""The loss of a network's outputs and its slopes, as functions of the sums of the last layer."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from multisubnet._arithmetic.recipe import Program, Real

CATEGORICAL = "categorical_crossentropy_from_logits"


class OutputLoss(NamedTuple):
    """The loss of the P outputs of a network at one sample, given the sums z of its last layer.

    The program takes `width` outputs at a time: one for most losses, all for the categorical
    crossentropy. Its inputs are z0, z1, ..., the target of these outputs, and the parameter of the
    activation. With prediction p = activation(z), its results are

    - ``value``: loss(p, target); the values of a network's outputs are added in order;
    - ``slope``: for each of these outputs dloss/dp, times activation'(z) unless that is linear.
    """

    loss: str
    """A key of `loss_recipes.RECIPES`, or `CATEGORICAL`."""
    activation: str
    """The key of the last layer's activation."""
    n_outputs: int

    @property
    def width(self) -> int:
        """The number of outputs that the program takes at a time."""
        return self.n_outputs if self.loss == CATEGORICAL else 1

    def program(self, dtype: np.dtype, value: bool = True, slope: bool = True) -> Program:
        """Return the program for float32 or float64, with the requested results."""
        return _program_of(self.loss, self.activation, self.width, dtype, value, slope)


@functools.lru_cache(256)
def _program_of(
    loss: str, activation: str, width: int, dtype: np.dtype, value: bool, slope: bool
) -> Program:
    from multisubnet._arithmetic import activation_recipes, loss_recipes
    from multisubnet._arithmetic.activation import form_of
    from multisubnet._arithmetic.recipe import trace

    of_activation = activation_recipes.RECIPES[activation.removesuffix("_derivative")]
    is_derivative = activation.endswith("_derivative")
    activate = of_activation.derivative if is_derivative else of_activation.value
    form = form_of(dtype)

    def recipe(*given: Real) -> tuple[Real, ...]:
        *sums, target, parameter = given
        predictions = [activate(z, parameter, form) for z in sums]
        if loss == CATEGORICAL:
            whole, slopes = loss_recipes.categorical_crossentropy_from_logits(
                predictions, target, form
            )
        else:
            of_loss = loss_recipes.RECIPES[loss]
            whole = of_loss.value(predictions[0], target, form)
            slopes = [of_loss.derivative(predictions[0], target, form)]
        if slope and activation != "linear":
            slopes = [
                s * of_activation.derivative(z, parameter, form)
                for s, z in zip(slopes, sums, strict=True)
            ]
        return (whole,) * value + tuple(slopes) * slope

    names = tuple(f"z{p}" for p in range(width))
    return trace(recipe, dtype, (*names, "target", "parameter"))
