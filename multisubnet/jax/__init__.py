"""The functions of this package for JAX arrays.

``multisubnet.affine`` and the others take JAX arrays, too, and call these. Arguments, results and
errors are those of the functions of the same names there; what is said here is what JAX arrays add.

Arrays that are there are handed to the kernels of this package without a copy, on the CPU or a
GPU, and the results have its bits. Inside `jax.jit`, `jax.grad`, `jax.vmap` and other
transformations, where arrays are not there yet, the same formulas in JAX' own operations take their
place, to be differentiated and compiled with all that is around them. XLA contracts products and
sums to fused multiply-adds and flushes subnormal numbers, so those results differ in their last
bits.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise ImportError("multisubnet.jax needs JAX: pip install 'multisubnet[jax]'") from error
import numpy as np

import multisubnet as ms
from multisubnet._arithmetic import activation as _activations
from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import validation as _operands
from multisubnet._functions import affine_select as _select
from multisubnet._functions import affine_stats as _stats
from multisubnet._functions import affine_vjp as _vjp
from multisubnet._functions import loss_problem

if jax.__version_info__ < (0, 5):
    raise ImportError(f"multisubnet.jax needs JAX 0.5 or newer, and {jax.__version__} is installed")

from multisubnet._functions.problem import Problem
from multisubnet.jax import _formulas as _jax_formulas
from multisubnet.jax._arrays import (
    canonical,
    dtype_of_gradient,
    evaluate,
    evaluate_into,
    is_traced,
    read,
    stand_ins,
    traced,
)

__all__ = [
    "affine",
    "affine_select",
    "affine_stats",
    "affine_vjp",
    "mean_loss",
    "mean_loss_and_grad",
]


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

    The arrays are on one device. NumPy arrays and sequences may stand beside them, and become JAX
    arrays. There is no `out`: JAX arrays are immutable. Dtypes are those of `multisubnet.affine` as
    JAX has them: unless `jax_enable_x64` is on, float64 is rounded once to float32, and int64 wraps
    to int32.

    Inside transformations the dtypes are the same, the arithmetic is JAX'. There products and sums
    are contracted to fused multiply-adds, subnormal numbers are flushed to zero, functions are
    those of `jax.nn`, some of which give NaN at an infinity (softsign, and at -inf silu and gelu),
    and what would be float64 is computed in float32 unless `jax_enable_x64` is on.

    Raises
    ------
    TypeError
        As for `multisubnet.affine`; `out` is given; the arrays are on several devices; a dtype is
        one that this package does not have, as float8; bfloat16 is on a GPU.
    OverflowError
        A NumPy array or sequence has integers that JAX has only where `jax_enable_x64` is on.
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
    _refuse(out)
    operands = read(samples=samples, weight=weight, bias=bias)
    *_, dtype, shape = _operands.read(**stand_ins(operands), out=None)
    applied = None
    if activation is not None:
        applied, dtype = _activations.resolve_activation(activation, dtype)
    dtype = canonical(dtype)
    set_axis = _operands.axis("set_axis", set_axis)
    if set_axis:
        shape = shape[1], shape[0], shape[2]
    if not is_traced(operands):
        options = {"activation": applied, "set_axis": set_axis}
        return evaluate_into(ms.affine, operands, shape, dtype, **options)
    values = _jax_formulas.affine(*traced(operands), applied, dtype)
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
    """Evaluate each sample with a set of its own: `multisubnet.affine_select` for JAX arrays.

    As for `affine`. None for `check` checks the index on the CPU, and not inside transformations,
    where True is a TypeError.
    """
    _refuse(out)
    operands = read(samples=samples, weight=weight, bias=bias, set_index=set_index)
    checked = _select.checked(**stand_ins(operands), activation=activation, out=None, check=False)
    *_, dtype, applied, (_, *shape) = checked
    dtype = canonical(dtype)
    if not is_traced(operands):
        options = {"activation": applied, "check": check}
        return evaluate_into(ms.affine_select, operands, tuple(shape), dtype, **options)
    if check:
        raise TypeError("check is True, and inside a transformation of JAX no index is known yet")
    return _jax_formulas.affine_select(*traced(operands), applied, dtype)


def affine_stats(
    samples: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str | Activation | None = None,
    set_weight: Any = None,
    statistics: Sequence[str] = ("mean", "std"),
) -> tuple[jax.Array, ...]:
    """Predict mean and spread of an ensemble: `multisubnet.affine_stats` for JAX arrays.

    As for `affine`: in float64, rounded once to float32 unless `jax_enable_x64` is on.
    """
    operands = read(samples=samples, weight=weight, bias=bias, set_weight=set_weight)
    names = tuple(_stats.names_of(statistics))
    problem = _stats.problem_of(**stand_ins(operands), activation=activation)
    options: dict[str, Any] = {"activation": problem.activation, "statistics": names}
    if not is_traced(operands):
        return evaluate(ms.affine_stats, operands, **options)
    what = names, problem.activation, canonical(problem.dtype)
    found = _jax_formulas.affine_stats(*traced(operands), *what)
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
    """Pull a cotangent of `affine` back: `multisubnet.affine_vjp` for JAX arrays.

    As for `affine`. A gradient that would be float64 is float32 unless `jax_enable_x64` is on.
    """
    operands = read(samples=samples, weight=weight, bias=bias, cotangent=cotangent)
    asked = _vjp.names_of(wrt)
    problem = _vjp.problem_of(**stand_ins(operands), activation=activation)
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
    formula = functools.partial(_jax_formulas.affine, activation=problem.activation, dtype=dtype)
    _, pull_back = jax.vjp(formula, samples, weight, bias)
    found = zip(dtypes, pull_back(cotangent), strict=True)
    return tuple(None if dtype is None else x.astype(dtype) for dtype, x in found)  # type: ignore[return-value]


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
    """Judge N sets of weights: `multisubnet.mean_loss` for JAX arrays.

    As for `affine`. The result is float64, or float32 unless `jax_enable_x64` is on; float64 as
    `dtype` is a TypeError then. Sums are taken in float64 and rounded once; inside transformations
    they are JAX' sums in the working dtype.

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
    how = _judgement(loss, activation, per_feature, dtype)
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
    """Judge N sets of weights, with gradients: `multisubnet.mean_loss_and_grad` for JAX arrays.

    As for `mean_loss` and `affine_vjp`.
    """
    operands = read(
        samples=samples, weight=weight, bias=bias, targets=targets, sample_weight=sample_weight
    )
    how = _judgement(loss, activation, per_feature, dtype)
    problem = how.problem_of(operands)
    problem.expect_derivative()
    if not is_traced(operands):
        return evaluate(ms.mean_loss_and_grad, operands, how.dtype, **how.options)
    arrays = dict(zip(operands, traced(operands), strict=True))
    data = arrays["samples"] if arrays["samples"].ndim == 3 else None
    n_sets = _jax_formulas.count_sets(data, arrays["weight"], arrays["bias"])
    by_feature = n_sets, arrays["weight"].shape[1]
    parameters = {  # a derivative for each set, of what they share, too
        name: jnp.broadcast_to(arrays[name].astype(canonical(problem.dtype)), by_feature)
        for name in ("weight", "bias")
        if arrays[name] is not None
    }
    losses, pull_back = jax.vjp(lambda some: how.in_jax(arrays | some), parameters)
    of_gradient = dtype_of_gradient(problem, problem.weight)
    (found,) = pull_back(jnp.ones_like(losses))
    if arrays["samples"].shape[-2] == 0:
        found = {name: x * jnp.nan for name, x in found.items()}  # a mean of nothing, as the loss
    gradients = {name: x.astype(of_gradient) for name, x in found.items()}
    return losses, gradients["weight"], gradients.get("bias")


def _refuse(out: Any) -> None:
    if out is not None:
        raise TypeError("out is given, and JAX arrays are immutable: take the result as it comes")


class _Judgement(NamedTuple):
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
        return loss_problem.problem_of(
            tuple(stand_ins(operands).values()), self.loss, self.activation
        )

    def in_jax(self, operands: dict[str, Any]) -> Any:
        """Return the losses in JAX' own operations."""
        working = canonical(self.problem_of(operands).dtype)
        how = self.loss, self.activation, self.per_feature, working
        return _jax_formulas.mean_loss(*traced(operands), *how).astype(self.dtype)


def _judgement(loss: Any, activation: Any, per_feature: bool, dtype: Any) -> _Judgement:
    """Return how losses are to be taken."""
    if isinstance(activation, str):
        activation = Activation(activation)
    of_loss = loss_problem.checked_dtype(dtype)
    if dtype is None:
        of_loss = canonical(of_loss)
    elif canonical(of_loss) != of_loss:
        raise TypeError(f"dtype is {of_loss}, which JAX has only where jax_enable_x64 is on")
    loss = loss_problem.named_loss(loss)
    return _Judgement(loss, activation, bool(per_feature), of_loss)
