"""Networks with hidden layers in JAX operations, for JAX to transform and compile."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.output_loss import CATEGORICAL
from multisubnet.jax._formulas import LOSSES, activated, count_sets, mean

Layers = tuple[tuple[Any, Any], ...]
Activations = tuple[Activation | None, ...]


@functools.partial(jax.jit, static_argnames=("activations", "additive", "dtype"))
def mlp(
    samples: Any,
    layers: Layers,
    intercept: Any,
    inputs: Any,
    activations: Activations,
    additive: bool,
    dtype: np.dtype,
) -> Any:
    """Return the values of networks, (N, B, S, P), or (N, B, P) if additive, in a dtype."""
    working = np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind in "fV" else dtype
    _, n_subnets, n_inputs, _ = layers[0][0].shape
    x = samples.astype(working)
    x = x.reshape(*x.shape[:-1], n_subnets, n_inputs) if inputs is None else x[..., inputs]
    h = (x if x.ndim == 4 else x[None]).swapaxes(1, 2)  # (N or 1, S, B, inputs)
    for (weight, bias), activation in zip(layers, activations, strict=True):
        h = activated(_weighted_sums(h, weight.astype(working), bias), activation)
    if additive:
        wide = jax.dtypes.canonicalize_dtype(np.float64)
        h = h.astype(wide).sum(axis=1)
        if intercept is not None:
            h = intercept.astype(working)[:, None].astype(wide) + h
    else:
        h = h.swapaxes(1, 2)
    n_sets = _count_sets(samples, layers, intercept)
    return jnp.broadcast_to(h, (n_sets, *h.shape[1:])).astype(dtype)


def _weighted_sums(h: Any, weight: Any, bias: Any) -> Any:
    """Return the sums of a layer, (N, S, B, outputs), or (1, S, B, outputs) if all is shared.

    Sums are matrix products, because their gradients are matrix products as well. If products are
    added up one at a time, the gradients take XLA many times as long. A shared operand has no axis
    for sets, so one product serves all sets.
    """
    (h, of_h), (weight, of_weight) = (
        (x[0], "") if x.shape[0] == 1 else (x, "n") for x in (h, weight)
    )
    of_sums = of_h or of_weight
    sums = jnp.einsum(
        f"{of_h}sbi,{of_weight}sio->{of_sums}sbo",
        h,
        weight,
        precision=jax.lax.Precision.HIGHEST,  # on a GPU, not TF32
    )
    sums = sums if of_sums else sums[None]
    return sums if bias is None else bias.astype(h.dtype)[:, :, None] + sums


def _count_sets(samples: Any, layers: Layers, intercept: Any) -> Any:
    """Return N."""
    of_sets = samples if samples.ndim == 3 else None
    return count_sets(*itertools.chain(*layers), intercept, of_sets)


@functools.partial(jax.jit, static_argnames=("activations", "additive", "dtype"))
def mlp_select(
    samples: Any,
    layers: Layers,
    intercept: Any,
    inputs: Any,
    set_index: Any,
    activations: Activations,
    additive: bool,
    dtype: np.dtype,
) -> Any:
    """Return the values of each sample with one set, (B, S, P), or (B, P) if additive."""
    n_sets = _count_sets(samples, layers, intercept)
    set_index = set_index.astype(jax.dtypes.canonicalize_dtype(np.int64))
    outside = (set_index < 0) | (set_index >= n_sets)
    index = jnp.where(outside, 0, set_index)

    def chosen(x: Any) -> Any:
        if x is None:
            return None
        if x.shape[0] == 0:
            return jnp.zeros((len(index), *x.shape[1:]), x.dtype)
        return x if x.shape[0] == 1 else x[index]

    layers = tuple((chosen(weight), chosen(bias)) for weight, bias in layers)
    values = mlp(samples[:, None], layers, chosen(intercept), inputs, activations, additive, dtype)[
        :, 0
    ]
    nothing = jnp.nan if jnp.issubdtype(dtype, jnp.inexact) else 0
    outside = outside.reshape(-1, *[1] * (values.ndim - 1))
    return jnp.where(outside, jnp.asarray(nothing, dtype), values)


@functools.partial(jax.jit, static_argnames=("statistics", "activations", "additive", "dtype"))
def mlp_stats(
    samples: Any,
    layers: Layers,
    intercept: Any,
    inputs: Any,
    set_weight: Any,
    statistics: tuple[str, ...],
    activations: Activations,
    additive: bool,
    dtype: np.dtype,
) -> tuple[Any, ...]:
    """Return statistics over sets, of shape (B, S, P), or (B, P) if additive, in a dtype."""
    values = mlp(samples, layers, intercept, inputs, activations, additive, dtype)
    middle = mean(values, set_weight, axis=0)
    variance = mean((values - middle) ** 2, set_weight, axis=0)
    found = {"mean": middle, "var": variance, "std": jnp.sqrt(variance)}
    return tuple(found[name] for name in statistics)


@functools.partial(
    jax.jit, static_argnames=("loss", "activations", "additive", "per_subnetwork", "dtype")
)
def mlp_mean_loss(
    samples: Any,
    layers: Layers,
    intercept: Any,
    inputs: Any,
    targets: Any,
    sample_weight: Any,
    loss: str,
    activations: Activations,
    additive: bool,
    per_subnetwork: bool,
    dtype: np.dtype,
) -> Any:
    """Return the mean loss of each set, (N,) or (N, S); targets are (B or 1, S or 1, P or 1)."""
    p = mlp(samples, layers, intercept, inputs, activations, additive, dtype)
    p = p[:, :, None] if additive else p
    if loss == CATEGORICAL:
        found = jnp.take_along_axis(
            p, jnp.broadcast_to(targets[None], (*p.shape[:3], 1)).astype(jnp.int32), axis=3
        )
        losses = jax.nn.logsumexp(p, axis=3) - found[..., 0]
    else:
        losses = LOSSES[loss](p, targets.astype(dtype))
        losses = jnp.broadcast_to(losses, p.shape).mean(axis=3)
    losses = mean(losses, sample_weight, axis=1)  # (N, S)
    return losses if per_subnetwork else losses.mean(axis=1)
