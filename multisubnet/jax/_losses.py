"""Losses for JAX arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import multisubnet as ms
from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays.validation import flag
from multisubnet._functions import loss_problem
from multisubnet._functions.problem import SumProblem
from multisubnet.jax import _formulas
from multisubnet.jax._arrays import (
    canonical,
    dtype_of_gradient,
    evaluate,
    is_traced,
    read,
    stand_ins,
    traced,
)


def mean_loss(
    samples: Any,
    weight: Any,
    bias: Any,
    targets: Any,
    *,
    loss: str = "squared_error",
    activation: str | Activation | None = None,
    sample_weight: Any = None,
    per_feature: bool = False,
    dtype: Any = None,
) -> jax.Array:
    """Compute the mean loss of each of N sets: `multisubnet.mean_loss` for JAX arrays.

    As for `affine`. The result is float64, or float32 unless `jax_enable_x64` is on; ``dtype`` of
    float64 is then a TypeError. Sums are computed in float64 and rounded once. Inside
    transformations, they are JAX's sums in the working dtype.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import multisubnet as ms
    >>> samples, targets = jnp.array([[1.0], [3.0]]), jnp.array([2.0, 6.0])
    >>> weight = jnp.array([[2.0], [1.0]])
    >>> ms.mean_loss(samples, weight, None, targets).tolist()
    [0.0, 5.0]
    >>> jax.jit(jax.grad(lambda w: ms.mean_loss(samples, w, None, targets).sum()))(weight).tolist()
    [[0.0], [-10.0]]
    """
    operands = read(
        samples=samples, weight=weight, bias=bias, targets=targets, sample_weight=sample_weight
    )
    how = _options_of(loss, activation, per_feature, dtype)
    if not is_traced(operands):
        return evaluate(ms.mean_loss, operands, how.dtype, **how.options)
    return how.in_jax(operands)


def mean_loss_and_grad(
    samples: Any,
    weight: Any,
    bias: Any,
    targets: Any,
    *,
    loss: str = "squared_error",
    activation: str | Activation | None = None,
    sample_weight: Any = None,
    per_feature: bool = False,
    dtype: Any = None,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Compute losses and gradients: `multisubnet.mean_loss_and_grad` for JAX arrays.

    As for `mean_loss` and `affine_vjp`.
    """
    operands = read(
        samples=samples, weight=weight, bias=bias, targets=targets, sample_weight=sample_weight
    )
    how = _options_of(loss, activation, per_feature, dtype)
    problem = how.problem_of(operands)
    problem.expect_derivative()
    if not is_traced(operands):
        return evaluate(ms.mean_loss_and_grad, operands, how.dtype, **how.options)
    arrays = dict(zip(operands, traced(operands), strict=True))
    data = arrays["samples"] if arrays["samples"].ndim == 3 else None
    n_sets = _formulas.count_sets(data, arrays["weight"], arrays["bias"])
    by_feature = n_sets, arrays["weight"].shape[1]
    parameters = {  # also for shared parameters, one derivative per set
        name: jnp.broadcast_to(arrays[name].astype(canonical(problem.dtype)), by_feature)
        for name in ("weight", "bias")
        if arrays[name] is not None
    }
    losses, pull_back = jax.vjp(lambda some: how.in_jax(arrays | some), parameters)
    of_gradient = dtype_of_gradient(problem, problem.weight)
    (found,) = pull_back(jnp.ones_like(losses))
    if arrays["samples"].shape[-2] == 0:
        found = {name: x * jnp.nan for name, x in found.items()}  # an empty mean, as in the loss
    gradients = {name: x.astype(of_gradient) for name, x in found.items()}
    return losses, gradients["weight"], gradients.get("bias")


class LossOptions(NamedTuple):
    """The options of a loss, and the dtype of its result."""

    loss: str
    activation: Activation | None
    per_feature: bool
    dtype: np.dtype

    @property
    def options(self) -> dict[str, Any]:
        """The options of `mean_loss` without the dtype: results in float64 are rounded afterwards.

        (The closed form takes a hundred times as long in another dtype.)
        """
        return {"loss": self.loss, "activation": self.activation, "per_feature": self.per_feature}

    def problem_of(self, operands: dict[str, Any]) -> SumProblem:
        """Return validated operands as a problem, without their values."""
        return loss_problem.problem_of(
            tuple(stand_ins(operands).values()), self.loss, self.activation
        )

    def in_jax(self, operands: dict[str, Any]) -> Any:
        """Return the losses in JAX operations."""
        working = canonical(self.problem_of(operands).dtype)
        how = self.loss, self.activation, self.per_feature, working
        return _formulas.mean_loss(*traced(operands), *how).astype(self.dtype)


def _options_of(loss: Any, activation: Any, per_feature: bool, dtype: Any) -> LossOptions:
    """Validate the options of a loss."""
    if isinstance(activation, str):
        activation = Activation(activation)
    loss = loss_problem.named_loss(loss)
    return LossOptions(loss, activation, flag("per_feature", per_feature), dtype_of_loss(dtype))


def dtype_of_loss(dtype: Any) -> np.dtype:
    """Return the dtype of losses."""
    of_loss = loss_problem.validate_loss_dtype(dtype)
    if dtype is None:
        return canonical(of_loss)
    if canonical(of_loss) != of_loss:
        raise TypeError(f"dtype is {of_loss}, which JAX supports only with jax_enable_x64 on")
    return of_loss
