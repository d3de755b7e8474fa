"""Calls of this package, on the CPU, from code that JAX has compiled; with gradients."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from multisubnet import _jax_arrays, _jax_formulas, _losses, _vjp
from multisubnet._activations import Activation
from multisubnet._jax_ffi import call
from multisubnet._sums import Problem


class Judgement(NamedTuple):
    """How losses are taken, and of what dtype they are."""

    loss: str
    activation: Activation | None
    per_feature: bool
    dtype: np.dtype

    @property
    def options(self) -> dict[str, Any]:
        """The options of `mean_loss`, but for the dtype: results in float64 are rounded after it.

        (Its closed form takes a hundred times as long in another dtype.)
        """
        return {"loss": self.loss, "activation": self.activation, "per_feature": self.per_feature}

    def problem_of(self, operands: dict[str, Any]) -> Problem:
        """Return operands that agree in shape and dtype as a problem, without their values."""
        stand_ins = tuple(_jax_arrays.stand_ins(operands).values())
        return _losses.problem_of(stand_ins, self.loss, self.activation)

    def loss_of(self, problem: Problem) -> jax.ShapeDtypeStruct:
        """Return the shape and dtype of the losses."""
        n_sets, _, n_features = problem.shape
        shape = (n_sets, n_features) if self.per_feature else (n_sets,)
        return jax.ShapeDtypeStruct(shape, self.dtype)

    def in_jax(self, *operands: Any) -> Any:
        """Return the losses in JAX' own operations."""
        problem = self.problem_of(dict(zip(_OF_LOSS, operands, strict=True)))
        working = _jax_arrays.canonical(problem.dtype)
        how = self.loss, self.activation, self.per_feature, working
        return _jax_formulas.mean_loss(*operands, *how).astype(self.dtype)


_OF_LOSS = ("samples", "weight", "bias", "targets", "sample_weight")


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def affine(
    samples: Any,
    weight: Any,
    bias: Any,
    activation: Activation | None,
    set_axis: int,
    result: jax.ShapeDtypeStruct,
) -> Any:
    """Return what `multisubnet.affine` does."""
    operands = {"samples": samples, "weight": weight, "bias": bias}
    return call("affine", operands, (result,), activation=activation, set_axis=set_axis)[0]


def _affine_forward(*arguments: Any) -> tuple[Any, tuple[Any, ...]]:
    return affine(*arguments), arguments[:3]


def _affine_backward(
    activation: Activation | None,
    set_axis: int,
    result: jax.ShapeDtypeStruct,
    operands: tuple[Any, ...],
    cotangent: Any,
) -> Any:
    if set_axis:
        cotangent = cotangent.swapaxes(0, 1)
    by_name = dict(zip(("samples", "weight", "bias"), operands, strict=True))
    wrt = tuple(name for name, x in by_name.items() if _is_real(x))
    gradients = tuple(
        jax.ShapeDtypeStruct(x.shape, x.dtype) if name in wrt else None
        for name, x in by_name.items()
    )
    by_name["cotangent"] = cotangent
    _vjp.problem_of(**_jax_arrays.stand_ins(by_name), activation=activation)  # or raise, now
    return call("affine_vjp", by_name, gradients, activation=activation, wrt=wrt)


affine.defvjp(_affine_forward, _affine_backward)


def mean_loss_and_grad(how: Judgement, operands: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return what `multisubnet.mean_loss_and_grad` does."""
    problem = how.problem_of(operands)
    problem.expect_derivative()
    shape = problem.shape[0], problem.shape[2]
    gradient = jax.ShapeDtypeStruct(shape, _jax_arrays.dtype_of_gradient(problem, problem.weight))
    of_bias = None if problem.bias is None else gradient
    results = how.loss_of(problem), gradient, of_bias
    return call("mean_loss_and_grad", operands, results, **how.options)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def mean_loss(how: Judgement, *operands: Any) -> Any:
    """Return what `multisubnet.mean_loss` does."""
    by_name = dict(zip(_OF_LOSS, operands, strict=True))
    result = how.loss_of(how.problem_of(by_name))
    return call("mean_loss", by_name, (result,), **how.options)[0]


def _mean_loss_forward(how: Judgement, *operands: Any) -> tuple[Any, Any]:
    by_name = dict(zip(_OF_LOSS, operands, strict=True))
    losses, *gradients = mean_loss_and_grad(how, by_name)
    return losses, (operands, gradients)


def _mean_loss_backward(how: Judgement, kept: Any, cotangent: Any) -> tuple[Any, ...]:
    operands, (grad_weight, grad_bias) = kept
    _, weight, bias, _, _ = operands
    by_set = cotangent if how.per_feature else cotangent[:, None]

    def of_parameter(parameter: Any, gradient: Any) -> Any:
        if not _is_real(parameter):
            return None
        gradient = gradient * by_set.astype(gradient.dtype)
        if len(parameter) != len(gradient):
            gradient = gradient.sum(axis=0, keepdims=True)
        return gradient.astype(parameter.dtype)

    # The kernels give no gradients with respect to the data. (What nobody uses is not computed.)
    data = [i for i in (0, 3, 4) if _is_real(operands[i])]

    def of_data(*values: Any) -> Any:
        given = dict(enumerate(operands)) | dict(zip(data, values, strict=True))
        return how.in_jax(*given.values())

    _, pull_back = jax.vjp(of_data, *(operands[i] for i in data))
    found = dict(zip(data, pull_back(cotangent), strict=True))
    gradients = of_parameter(weight, grad_weight), of_parameter(bias, grad_bias)
    return found.get(0), *gradients, found.get(3), found.get(4)


mean_loss.defvjp(_mean_loss_forward, _mean_loss_backward)


def _is_real(operand: Any) -> bool:
    """Whether an operand has a gradient."""
    return operand is not None and jnp.issubdtype(operand.dtype, jnp.floating)
