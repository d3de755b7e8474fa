"""The formulas of this package in JAX operations, for JAX to transform and compile.

JAX derives the gradients from these. At kinks they agree with those of the package.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from multisubnet._arithmetic.activation import Activation

_LEAST_LOG = -100.0  # as in _loss_recipes
_LEAST_VARIANCE = 1e-12
_POISSON_EPSILON = 1e-7


@functools.partial(jax.jit, static_argnames=("activation", "dtype"))
def affine(
    samples: Any, weight: Any, bias: Any, activation: Activation | None, dtype: np.dtype
) -> Any:
    """Return activation(samples * weight + bias), of shape (N, B, F), in a dtype."""
    samples, weight, bias = (x if x is None else x.astype(dtype) for x in (samples, weight, bias))
    z = samples * weight[:, None]
    return activated(z if bias is None else z + bias[:, None], activation)


def count_sets(*operands: Any) -> Any:
    """Return N for samples (N, B, F), weights and biases; None and shared operands do not count."""
    counts = (x.shape[0] for x in operands if x is not None)
    return next((n for n in counts if n != 1), 1)


@functools.partial(jax.jit, static_argnames=("activation", "dtype"))
def affine_select(
    samples: Any,
    weight: Any,
    bias: Any,
    set_index: Any,
    activation: Activation | None,
    dtype: np.dtype,
) -> Any:
    """Return activation(samples * weight + bias), (B, F), with the sets given by an index."""
    n_sets = count_sets(weight, bias)
    # N may exceed the range of the index dtype. Indices above the int64 range become negative.
    set_index = set_index.astype(jax.dtypes.canonicalize_dtype(np.int64))
    outside = (set_index < 0) | (set_index >= n_sets)

    def chosen(parameter: Any) -> Any:
        if parameter.shape[0] == 0:
            return jnp.zeros((), dtype)
        index = jnp.where(outside, 0, set_index)
        return parameter.astype(dtype)[0 if parameter.shape[0] == 1 else index]

    z = samples.astype(dtype) * chosen(weight)
    result = activated(z if bias is None else z + chosen(bias), activation)
    nothing = jnp.nan if jnp.issubdtype(dtype, jnp.inexact) else 0
    return jnp.where(outside[:, None], jnp.asarray(nothing, dtype), result)


@functools.partial(jax.jit, static_argnames=("loss", "activation", "per_feature", "dtype"))
def mean_loss(
    samples: Any,
    weight: Any,
    bias: Any,
    targets: Any,
    sample_weight: Any,
    loss: str,
    activation: Activation | None,
    per_feature: bool,
    dtype: np.dtype,
) -> Any:
    """Return the mean loss of each set, (N,) or (N, F), in a dtype."""
    predictions = affine(samples, weight, bias, activation, dtype)
    targets = targets.astype(dtype)
    targets = targets[:, None] if targets.ndim == 1 else targets
    losses = jnp.broadcast_to(LOSSES[loss](predictions, targets), predictions.shape)
    losses = mean(losses, sample_weight, axis=1)
    return losses if per_feature else losses.mean(axis=1)


@functools.partial(jax.jit, static_argnames=("statistics", "activation", "dtype"))
def affine_stats(
    samples: Any,
    weight: Any,
    bias: Any,
    set_weight: Any,
    statistics: tuple[str, ...],
    activation: Activation | None,
    dtype: np.dtype,
) -> tuple[Any, ...]:
    """Return statistics over sets, (B, F) each, in a dtype."""
    predictions = affine(samples, weight, bias, activation, dtype)
    middle = mean(predictions, set_weight, axis=0)
    variance = mean((predictions - middle) ** 2, set_weight, axis=0)
    found = {"mean": middle, "var": variance, "std": jnp.sqrt(variance)}
    return tuple(found[name] for name in statistics)


def mean(array: Any, factors: Any, axis: int) -> Any:
    """Return the mean along an axis; `factors` are its weights, if not None."""
    if factors is None:
        return array.mean(axis=axis)
    largest = jax.lax.stop_gradient(jnp.abs(factors).max(initial=0))  # only ratios matter
    factors = (factors / jnp.where(largest > 0, largest, 1)).astype(array.dtype)
    total = factors.sum()
    by_axis = jnp.expand_dims(factors, [i for i in range(array.ndim) if i != axis])
    return (array * by_axis).sum(axis=axis) / jnp.where(total == 0, jnp.nan, total)


def activated(z: Any, activation: Activation | None) -> Any:
    if activation is None:
        return z
    function = _ACTIVATIONS[activation.name]
    if activation.parameter is not None:
        function = functools.partial(function, parameter=activation.parameter)
    wide = z.astype(jnp.float32) if z.dtype in (jnp.float16, jnp.bfloat16) else z
    if activation.is_derivative:
        _, result = jax.jvp(function, (wide,), (jnp.ones_like(wide),))
    else:
        result = function(wide)
    return result.astype(z.dtype)


def _clip(x: Any, low: float, high: float) -> Any:
    """Return min(max(x, low), high), with derivative 0 at both limits."""
    return jnp.where(x <= low, low, jnp.where(x >= high, high, x))


def _softsign(z: Any) -> Any:
    return z / (1 + jnp.abs(z))


def _gelu_tanh(z: Any) -> Any:
    # jax.nn.gelu uses 1 + tanh(u), which cancels for z < -5; it equals 2 sigmoid(2u).
    return z * jax.nn.sigmoid(math.sqrt(8 / math.pi) * (z + 0.044715 * z**3))


_ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "linear": lambda z: z,
    "relu": lambda z: jnp.where(z <= 0, 0, z),
    "relu6": lambda z: _clip(z, 0, 6),
    "leaky_relu": lambda z, parameter: jnp.where(z > 0, z, z * parameter),
    "elu": lambda z, parameter: jax.nn.elu(z, parameter),
    "selu": jax.nn.selu,
    "softsign": _softsign,
    "hard_sigmoid": lambda z: _clip(z + 3, 0, 6) / 6,
    "hard_tanh": lambda z: _clip(z, -1, 1),
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "exponential": jnp.exp,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": _gelu_tanh,
}


def _huber(p: Any, t: Any) -> Any:
    size = jnp.abs(p - t)
    within = jnp.minimum(size, 1)
    return within * (size - 0.5 * within)


@jax.custom_jvp
def _log_cosh(error: Any) -> Any:
    size = jnp.abs(error)
    near = -0.5 * jnp.log1p(-(jnp.tanh(error) ** 2))
    far = size + jnp.log1p(jnp.exp(-2 * size)) - math.log(2)
    return jnp.where(size < 0.5, near, far)


_log_cosh.defjvps(lambda tangent, value, error: tangent * jnp.tanh(error))


@jax.custom_jvp
def _binary_crossentropy(p: Any, t: Any) -> Any:
    yes, no = _logarithms(p)
    return -(t * yes + (1 - t) * no)


def _logarithms(p: Any) -> tuple[Any, Any]:
    """Return log(p) and log(1 - p), clipped as in the loss."""
    p = _clip(p, 0, 1)
    return jnp.maximum(jnp.log(p), _LEAST_LOG), jnp.maximum(jnp.log1p(-p), _LEAST_LOG)


def _slope_in_prediction(tangent: Any, value: Any, p: Any, t: Any) -> Any:
    p = _clip(p, 0, 1)
    return tangent * (p - t) / jnp.maximum((1 - p) * p, _LEAST_VARIANCE)


def _slope_in_target(tangent: Any, value: Any, p: Any, t: Any) -> Any:
    yes, no = _logarithms(p)
    return tangent * (no - yes)


_binary_crossentropy.defjvps(_slope_in_prediction, _slope_in_target)


def _binary_crossentropy_from_logits(p: Any, t: Any) -> Any:
    # Not softplus(p) - p t, which cancels for large p and t = 1.
    return t * jax.nn.softplus(-p) + (1 - t) * jax.nn.softplus(p)


def _hinge(p: Any, t: Any) -> Any:
    margin = 1 - t * p
    return jnp.where(margin < 0, 0, margin)


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "squared_error": lambda p, t: (p - t) ** 2,
    "absolute_error": lambda p, t: (p - t) * jnp.sign(p - t),  # derivative 0 at 0
    "huber": _huber,
    "log_cosh": lambda p, t: _log_cosh(p - t),
    "binary_crossentropy": _binary_crossentropy,
    "binary_crossentropy_from_logits": _binary_crossentropy_from_logits,
    "hinge": _hinge,
    "poisson": lambda p, t: p - t * jnp.log(p + _POISSON_EPSILON),
}
