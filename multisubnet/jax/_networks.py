"""Networks with hidden layers for JAX arrays: `mlp` and related functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import multisubnet as ms
from multisubnet._arithmetic import names
from multisubnet._arrays import validation
from multisubnet._functions import affine_select, affine_stats, mlp_operands, problem
from multisubnet._functions import mlp_vjp as _mlp_vjp
from multisubnet._functions.mlp_loss_problem import NetworkLoss, NetworkProblem
from multisubnet._functions.mlp_mean_loss import MlpLossAndGrad
from multisubnet._functions.mlp_operands import Options
from multisubnet.jax import _network_formulas as formulas
from multisubnet.jax._arrays import (
    canonical,
    evaluate,
    evaluate_into,
    is_traced,
    read,
    refuse_out,
    stand_ins,
    traced,
)
from multisubnet.jax._losses import dtype_of_loss


class _Networks:
    """Operands of networks, the options of `mlp`, and the values that follow from their shapes."""

    def __init__(self, samples: Any, layers: Any, intercept: Any, options: Options, **others: Any):
        self.options = options.with_array()
        self.operands = read(**mlp_operands.name_operands(samples, layers, intercept))
        self.others = read(**others)
        self.is_traced = is_traced(self.operands | self.others)

    @functools.cached_property
    def _stand_ins(self) -> dict[str, Any]:
        return stand_ins(self.operands | self.others)  # one number for each symbolic size

    @property
    def named(self) -> dict[str, Any]:
        """Stand-ins for the operands, for validation."""
        return {name: self._stand_ins[name] for name in self.operands}

    @property
    def named_others(self) -> dict[str, Any]:
        """Stand-ins for the other arrays."""
        return {name: self._stand_ins[name] for name in self.others}

    def call(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Call a function of this package with named operands."""
        return mlp_operands.call_by_name(function, arguments, self.options)

    def evaluate(self, function: Callable[..., Any], dtype: Any = None, **options: Any) -> Any:
        """Return a tree of results for concrete arrays; `dtype` is that of the first result."""
        structure: Any = None

        def leaves(**arguments: Any) -> tuple[Any, ...]:
            nonlocal structure
            results = self.call(function, **arguments)
            found, structure = jax.tree.flatten(results, is_leaf=lambda x: x is None)
            return tuple(found)

        results = evaluate(leaves, self.operands | self.others, dtype, **options)
        return jax.tree.unflatten(structure, results)

    def arrays(self) -> tuple[Any, Any, Any, Any]:
        """Return samples, layers, the intercept and inputs for JAX operations."""
        named = dict(zip(self.operands, traced(self.operands), strict=True))
        layers, intercept = mlp_operands.pairs_of(named), named.get("intercept")
        return named["samples"], layers, intercept, self.options.inputs


def mlp(
    samples: Any,
    layers: Sequence[Any],
    *,
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    set_axis: int = 0,
    out: None = None,
) -> jax.Array:
    """Evaluate N sets of small networks: `multisubnet.mlp` for JAX arrays.

    As for `affine`. `inputs` must be concrete when a transformation traces.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import multisubnet as ms
    >>> samples, hidden = jnp.array([[3.0], [9.0]]), jnp.array([[1.0, -1.0]]).reshape(1, 1, 1, 2)
    >>> last = jnp.ones((1, 1, 2, 1))
    >>> ms.mlp(samples, [(hidden, None), (last, None)]).ravel().tolist()
    [3.0, 9.0]
    >>> def total(last):
    ...     return ms.mlp(samples, [(hidden, None), (last, None)]).sum()
    >>> jax.grad(total)(last).ravel().tolist()
    [12.0, 0.0]
    """
    refuse_out(out)
    options = Options(activation, output_activation, inputs, additive)
    networks = _Networks(samples, layers, intercept, options)
    _, call, _ = mlp_operands.read(networks.named, *networks.options, None)
    dtype = canonical(call.dtype)
    set_axis = validation.axis("set_axis", set_axis)
    if not networks.is_traced:
        shape = call.shape
        shape = (shape[1], shape[0], *shape[2:]) if set_axis else shape
        function = functools.partial(networks.call, ms.mlp)
        return evaluate_into(function, networks.operands, shape, dtype, set_axis=set_axis)
    values = formulas.mlp(*networks.arrays(), call.activations, call.additive, dtype)
    return values.swapaxes(0, 1) if set_axis else values


def mlp_select(
    samples: Any,
    layers: Sequence[Any],
    set_index: Any,
    *,
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    out: None = None,
    check: bool | None = None,
) -> jax.Array:
    """Evaluate each sample with the networks of one set: `multisubnet.mlp_select` for JAX arrays.

    As for `mlp` and `affine_select`.
    """
    refuse_out(out)
    options = Options(activation, output_activation, inputs, additive)
    networks = _Networks(samples, layers, intercept, options, set_index=set_index)
    _, call, others = mlp_operands.read(
        networks.named, *networks.options, None, networks.named_others
    )
    affine_select.check_index(others["set_index"], call.n_sets, call.n_samples, False)
    dtype = canonical(call.dtype)
    if not networks.is_traced:
        function = functools.partial(networks.call, ms.mlp_select)
        operands = networks.operands | networks.others
        return evaluate_into(function, operands, call.shape[1:], dtype, check=check)
    if check is not None and validation.flag("check", check):
        raise TypeError(
            "check is True, but indices are unknown in a JAX transformation: use check=False"
        )
    return formulas.mlp_select(
        *networks.arrays(), *traced(networks.others), call.activations, call.additive, dtype
    )


def mlp_stats(
    samples: Any,
    layers: Sequence[Any],
    *,
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    set_weight: Any = None,
    statistics: Sequence[str] = ("mean", "std"),
) -> tuple[jax.Array, ...]:
    """Compute the mean and spread of an ensemble: `multisubnet.mlp_stats` for JAX arrays.

    As for `mlp` and `affine_stats`.
    """
    options = Options(activation, output_activation, inputs, additive)
    networks = _Networks(samples, layers, intercept, options, set_weight=set_weight)
    asked = tuple(affine_stats.names_of(statistics))
    if not networks.is_traced:
        return networks.evaluate(ms.mlp_stats, statistics=asked)
    call = NetworkProblem(networks.named, networks.options, networks.named_others).call
    found = formulas.mlp_stats(
        *networks.arrays(),
        *traced(networks.others),
        asked,
        call.activations,
        call.additive,
        canonical(call.dtype),
    )
    return tuple(x.astype(canonical(np.float64)) for x in found)


def mlp_vjp(
    samples: Any,
    layers: Sequence[Any],
    cotangent: Any,
    *,
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    wrt: Sequence[str] = ("samples", "layers", "intercept"),
) -> _mlp_vjp.MlpVjp:
    """Compute the vector-Jacobian product: `multisubnet.mlp_vjp`; see `affine_vjp`."""
    options = Options(activation, output_activation, inputs, additive)
    networks = _Networks(samples, layers, intercept, options, cotangent=cotangent)
    asked = names.validate("wrt", wrt, _mlp_vjp.OPERANDS)
    if not networks.is_traced:
        return networks.evaluate(ms.mlp_vjp, wrt=asked)
    (cotangent,) = networks.named_others.values()
    call = _mlp_vjp.Pullback(networks.named, networks.options, cotangent).call
    dtype = canonical(call.dtype)
    samples, layers, intercept, inputs = networks.arrays()
    operands = {"samples": samples, "layers": layers, "intercept": intercept}
    chosen = {name: x for name, x in operands.items() if name in asked}

    def values(chosen: dict[str, Any]) -> Any:
        x = operands | chosen
        return formulas.mlp(
            x["samples"],
            x["layers"],
            x["intercept"],
            inputs,
            call.activations,
            call.additive,
            dtype,
        )

    _, pull_back = jax.vjp(values, _floating(chosen, dtype))
    (found,) = pull_back(traced(networks.others)[0].astype(dtype))
    found = {name: _like(chosen[name], x, dtype) for name, x in found.items()}
    return _mlp_vjp.MlpVjp(*(found.get(name) for name in operands))


def mlp_mean_loss(
    samples: Any,
    layers: Sequence[Any],
    targets: Any,
    *,
    loss: str = "squared_error",
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    sample_weight: Any = None,
    per_subnetwork: bool = False,
    dtype: Any = None,
) -> jax.Array:
    """Compute the mean loss of each of N sets: `multisubnet.mlp_mean_loss`; see `mean_loss`."""
    options = Options(activation, output_activation, inputs, additive)
    networks = _Networks(
        samples, layers, intercept, options, targets=targets, sample_weight=sample_weight
    )
    of_loss = {"loss": loss, "per_subnetwork": per_subnetwork}
    result = dtype_of_loss(dtype)
    if not networks.is_traced:
        return networks.evaluate(_as_tuple(ms.mlp_mean_loss), result, **of_loss)[0]
    losses = _losses_in_jax(networks, _problem_of(networks, of_loss))
    return losses(*networks.arrays()[:3]).astype(result)


def mlp_mean_loss_and_grad(
    samples: Any,
    layers: Sequence[Any],
    targets: Any,
    *,
    loss: str = "squared_error",
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    sample_weight: Any = None,
    per_subnetwork: bool = False,
    dtype: Any = None,
) -> MlpLossAndGrad:
    """Compute losses and gradients: `multisubnet.mlp_mean_loss_and_grad` for JAX arrays.

    As for `mean_loss_and_grad`.
    """
    options = Options(activation, output_activation, inputs, additive)
    networks = _Networks(
        samples, layers, intercept, options, targets=targets, sample_weight=sample_weight
    )
    of_loss = {"loss": loss, "per_subnetwork": per_subnetwork}
    result = dtype_of_loss(dtype)
    if not networks.is_traced:
        return networks.evaluate(ms.mlp_mean_loss_and_grad, result, **of_loss)
    problem = _problem_of(networks, of_loss)
    call = problem.call
    working = canonical(call.dtype)
    samples, layers, intercept, _ = networks.arrays()
    given = layers, intercept

    def of_each_set(x: Any) -> Any:
        return jnp.broadcast_to(x.astype(working), (call.n_sets, *x.shape[1:]))

    losses, pull_back = jax.vjp(
        functools.partial(_losses_in_jax(networks, problem), samples),
        *jax.tree.map(of_each_set, given),
    )
    found = pull_back(jnp.ones_like(losses))
    if call.n_samples == 0:
        found = jax.tree.map(lambda x: x * jnp.nan, found)  # an empty mean, as in the loss
    return MlpLossAndGrad(losses.astype(result), *_like(given, found, working))


def _as_tuple(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: (function(*args, **kwargs),)


def _problem_of(networks: _Networks, of_loss: dict[str, Any]) -> NetworkLoss:
    """Return the problem of a loss, without the values of the operands."""
    others = networks.named_others
    return NetworkLoss(networks.named, networks.options, others, dtype=None, **of_loss)


def _losses_in_jax(networks: _Networks, problem: NetworkLoss) -> Callable[..., Any]:
    """Return the losses in JAX operations, as a function of samples, layers and intercept."""
    targets, sample_weight = traced(networks.others)
    sizes = dict(zip(networks.named_others["targets"].shape, targets.shape, strict=True))
    targets = targets.reshape([sizes.get(n, 1) for n in problem.shaped_targets().shape[1:]])
    call = problem.call

    def losses(samples: Any, layers: Any, intercept: Any) -> Any:
        return formulas.mlp_mean_loss(
            samples,
            layers,
            intercept,
            networks.options.inputs,
            targets,
            sample_weight,
            problem.loss,
            call.activations,
            call.additive,
            problem.per_subnetwork,
            canonical(call.dtype),
        )

    return losses


def _floating(tree: Any, dtype: np.dtype) -> Any:
    """Return arrays that JAX can differentiate with respect to: integers are cast to a dtype."""
    return jax.tree.map(
        lambda x: x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(dtype), tree
    )


def _like(given: Any, gradients: Any, working: np.dtype) -> Any:
    """Return gradients in the dtypes of the operands, or in the working dtype."""

    def cast(x: Any, gradient: Any) -> Any:
        return gradient.astype(canonical(problem.dtype_of_gradient(x, working)))

    return jax.tree.map(cast, given, gradients)
