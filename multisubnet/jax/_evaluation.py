"""Values and gradients for JAX arrays: `affine` and related functions."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

import multisubnet as ms
from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import validation
from multisubnet._functions import affine_select as _affine_select
from multisubnet._functions import affine_stats as _affine_stats
from multisubnet._functions import affine_vjp as _affine_vjp
from multisubnet._functions.affine_operands import read_call
from multisubnet.jax import _formulas
from multisubnet.jax._arrays import (
    canonical,
    dtype_of_gradient,
    evaluate,
    evaluate_into,
    is_traced,
    read,
    refuse_out,
    stand_ins,
    traced,
)


def affine(
    samples: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str | Activation | None = None,
    set_axis: int = 0,
    out: None = None,
) -> jax.Array:
    """Evaluate N sets of weights on the same samples: `multisubnet.affine` for JAX arrays.

    The arrays must be on one device. NumPy arrays and sequences can be mixed with them, and become
    JAX arrays. `out` is not supported, because JAX arrays are immutable. Dtypes are those of
    `multisubnet.affine`, but as JAX uses them: unless `jax_enable_x64` is on, float64 is rounded
    once to float32, and int64 wraps to int32.

    Inside transformations the dtypes are the same, but the arithmetic is JAX's. Products and sums
    are contracted to fused multiply-adds, and subnormal numbers are flushed to zero. Activations
    are those of `jax.nn`; some give NaN at an infinity (softsign; silu and gelu at -inf). Without
    `jax_enable_x64`, float32 takes the place of float64.

    Raises
    ------
    TypeError
        As for `multisubnet.affine`; `out` is given; the arrays are on several devices; this package
        does not support a dtype, such as float8; bfloat16 is on a GPU.
    OverflowError
        A NumPy array or sequence has integers that need `jax_enable_x64`.
    RuntimeError
        An array has been deleted or donated.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import multisubnet as ms
    >>> samples = jnp.array([[3.0, 7.0], [9.0, 4.0]])
    >>> weight = jnp.array([[2.0, 9.0], [8.0, 6.0]])
    >>> ms.affine(samples, weight).tolist()
    [[[6.0, 63.0], [18.0, 36.0]], [[24.0, 42.0], [72.0, 24.0]]]
    >>> jax.grad(lambda w: ms.affine(samples, w).sum())(weight).tolist()
    [[12.0, 11.0], [12.0, 11.0]]
    """
    refuse_out(out)
    operands = read(samples=samples, weight=weight, bias=bias)
    _, call = read_call(**stand_ins(operands), activation=activation)
    applied, dtype, shape = call.activation, canonical(call.dtype), call.shape
    set_axis = validation.axis("set_axis", set_axis)
    if set_axis:
        shape = shape[1], shape[0], shape[2]
    if not is_traced(operands):
        options = {"activation": applied, "set_axis": set_axis}
        return evaluate_into(ms.affine, operands, shape, dtype, **options)
    values = _formulas.affine(*traced(operands), applied, dtype)
    return values.swapaxes(0, 1) if set_axis else values


def affine_select(
    samples: Any,
    weight: Any,
    bias: Any,
    set_index: Any,
    *,
    activation: str | Activation | None = None,
    out: None = None,
    check: bool | None = None,
) -> jax.Array:
    """Evaluate each sample with its own set: `multisubnet.affine_select` for JAX arrays.

    As for `affine`. By default the index is checked on the CPU, but not inside transformations,
    where ``check=True`` is a TypeError.
    """
    refuse_out(out)
    operands = read(samples=samples, weight=weight, bias=bias, set_index=set_index)
    _, call, _ = _affine_select.read_select(
        **stand_ins(operands), activation=activation, out=None, check=False
    )
    applied, dtype, shape = call.activation, canonical(call.dtype), call.shape[1:]
    if not is_traced(operands):
        options = {"activation": applied, "check": check}
        return evaluate_into(ms.affine_select, operands, shape, dtype, **options)
    if check is not None and validation.flag("check", check):
        raise TypeError(
            "check is True, but indices are unknown in a JAX transformation: use check=False"
        )
    return _formulas.affine_select(*traced(operands), applied, dtype)


def affine_stats(
    samples: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str | Activation | None = None,
    set_weight: Any = None,
    statistics: Sequence[str] = ("mean", "std"),
) -> tuple[jax.Array, ...]:
    """Compute the mean and spread of an ensemble: `multisubnet.affine_stats` for JAX arrays.

    As for `affine`: in float64, rounded once to float32 unless `jax_enable_x64` is on.
    """
    operands = read(samples=samples, weight=weight, bias=bias, set_weight=set_weight)
    names = tuple(_affine_stats.names_of(statistics))
    problem = _affine_stats.problem_of(**stand_ins(operands), activation=activation)
    options: dict[str, Any] = {"activation": problem.activation, "statistics": names}
    if not is_traced(operands):
        return evaluate(ms.affine_stats, operands, **options)
    what = names, problem.activation, canonical(problem.dtype)
    found = _formulas.affine_stats(*traced(operands), *what)
    return tuple(x.astype(canonical(np.float64)) for x in found)


def affine_vjp(
    samples: Any,
    weight: Any,
    bias: Any,
    cotangent: Any,
    *,
    activation: str | Activation | None = None,
    wrt: Sequence[str] = ("samples", "weight", "bias"),
) -> tuple[jax.Array | None, jax.Array | None, jax.Array | None]:
    """Compute the vector-Jacobian product: `multisubnet.affine_vjp` for JAX arrays.

    As for `affine`. A gradient that would be float64 is float32 unless `jax_enable_x64` is on.
    """
    operands = read(samples=samples, weight=weight, bias=bias, cotangent=cotangent)
    asked = _affine_vjp.names_of(wrt)
    problem = _affine_vjp.problem_of(**stand_ins(operands), activation=activation)
    options: dict[str, Any] = {"activation": problem.activation, "wrt": asked}
    if not is_traced(operands):
        return evaluate(ms.affine_vjp, operands, **options)
    dtypes = [
        dtype_of_gradient(problem, x) if name in asked and x is not None else None
        for name, x in list(operands.items())[:3]
    ]
    dtype = canonical(problem.dtype)
    samples, weight, bias, cotangent = (
        None if x is None else x.astype(dtype) for x in traced(operands)
    )
    formula = functools.partial(_formulas.affine, activation=problem.activation, dtype=dtype)
    _, pull_back = jax.vjp(formula, samples, weight, bias)
    found = zip(dtypes, pull_back(cotangent), strict=True)
    return tuple(None if dtype is None else x.astype(dtype) for dtype, x in found)  # type: ignore[return-value]
