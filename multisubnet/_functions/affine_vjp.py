"""The vector-Jacobian product of the affine evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from multisubnet._arithmetic import names
from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arithmetic.summands import Summands
from multisubnet._arrays import namespaces
from multisubnet._arrays.frameworks import adapted
from multisubnet._functions.calls import explained
from multisubnet._functions.problem import SumProblem, swapped
from multisubnet._functions.summation import Summing

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import Array, ArrayT, HostArray, HostArrayLike, Operand

_OPERANDS: tuple[Operand, ...] = ("samples", "weight", "bias")


@overload
def affine_vjp(
    samples: HostArrayLike,
    weight: HostArrayLike,
    bias: HostArrayLike | None,
    cotangent: HostArrayLike,
    *,
    activation: ActivationLike | None = ...,
    wrt: Sequence[Operand] = ...,
) -> tuple[HostArray | None, HostArray | None, HostArray | None]: ...
@overload
def affine_vjp(
    samples: ArrayT | HostArrayLike,
    weight: ArrayT | HostArrayLike,
    bias: Array | HostArrayLike | None,
    cotangent: ArrayT | HostArrayLike,
    *,
    activation: ActivationLike | None = ...,
    wrt: Sequence[Operand] = ...,
) -> tuple[ArrayT | None, ArrayT | None, ArrayT | None]: ...
@explained("affine_vjp")
@adapted
@keep_subnormals
def affine_vjp(
    samples: Any,
    weight: Any,
    bias: Any,
    cotangent: Any,
    *,
    activation: ActivationLike | None = None,
    wrt: Sequence[Operand] = _OPERANDS,
) -> tuple[Any, Any, Any]:
    """Compute the vector-Jacobian product of `affine`, as automatic differentiation does.

    The results are the gradients of the scalar
    ``(cotangent * affine(samples, weight, bias, activation=activation)).sum()``.

    Parameters
    ----------
    samples, weight, bias
        As for `affine`.
    cotangent : array_like, shape (N, B, F)
        The derivative of a scalar with respect to each element of the result.
    activation : str or Activation, optional
        As for `affine`, except derivatives.
    wrt : sequence of {"samples", "weight", "bias"}, optional
        The operands to differentiate with respect to; by default all of them.

    Returns
    -------
    grad_samples, grad_weight, grad_bias : ndarray or None
        Arrays of the shape and dtype of the operand (of the working dtype if the operand's is not
        a floating dtype); None if not requested, or if there is no bias.

    Raises
    ------
    ValueError
        An operand has the wrong shape; the activation or a name in `wrt` is unknown.
    TypeError
        An operand is complex, longdouble or not a number; `activation` is a derivative; NumPy
        arrays (or sequences) are mixed with CuPy arrays.
    BackendUnavailable
        The backend chosen by `set_backend` or the environment cannot run here.

    See Also
    --------
    mean_loss_and_grad : the gradient of a loss, without a cotangent array.

    Notes
    -----
    The result has the same bits on every backend. All operands are first cast to the working dtype:
    float32 if samples, weight and bias are float16, bfloat16 or float32, else float64. The
    cotangent is multiplied by the derivative of the activation, then by the sample for
    `grad_weight`, or by the weight for `grad_samples`. Sums over samples, or over sets, use the
    order of `mean_loss`. A shared weight or bias is first summed over samples, then over sets, in
    float64, by a binary tree.

    Examples
    --------
    >>> import multisubnet as ms
    >>> samples, weight, bias = [[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]], [[0.0, 0.0], [0.0, 0.0]]
    >>> cotangent = [[[1.0, 1.0]], [[10.0, 10.0]]]
    >>> grad_samples, grad_weight, grad_bias = ms.affine_vjp(samples, weight, bias, cotangent)
    >>> grad_samples
    array([[53., 64.]])
    >>> grad_weight
    array([[ 1.,  2.],
           [10., 20.]])
    """
    asked = names_of(wrt)
    problem = problem_of(samples, weight, bias, cotangent, activation=activation)
    return gradients(problem, asked)


def names_of(wrt: Sequence[str]) -> list[str]:
    """Validate the names of the operands to differentiate, and return them as a list."""
    return names.validate("wrt", wrt, _OPERANDS)


def problem_of(
    samples: Any, weight: Any, bias: Any, cotangent: Any, *, activation: Any
) -> SumProblem:
    """Return the operands as a problem whose activation has a derivative."""
    if cotangent is None:
        raise TypeError("cotangent is None; expected an array_like of numbers")
    problem = SumProblem(samples, weight, bias, activation, {"cotangent": cotangent})
    problem.expect_derivative()
    problem.expect("cotangent", {"(N, B, F)": problem.shape})
    return problem


def gradients(problem: SumProblem, asked: Sequence[str]) -> tuple[Any, ...]:
    """Return the gradients of samples, weight and bias; None if not asked for."""
    summing = problem.on_backend(problem.terms("product", ("slope",)))
    with namespaces.device_of(problem.samples):
        grad_weight, grad_bias = _of_parameters(problem, summing, asked)
        grad_samples = _of_samples(problem, summing) if "samples" in asked else None
        found = grad_samples, grad_weight, grad_bias
        return tuple([None if x is None else summing.returned(x) for x in found])


def totals(problem: SumProblem, asked: Sequence[str]) -> Any:
    """Return the sums over samples of the gradients asked for, float64 (outputs, N, F).

    They are nodes of the tree over all samples, of weight before bias.
    """
    terms = _terms_of_parameters(problem, asked)
    summing = problem.on_backend(terms)
    with namespaces.device_of(problem.samples):
        operands = _operands(problem)
        return summing.returned(summing.totals(terms, operands, problem.shape))


def totals_of_samples(problem: SumProblem) -> Any:
    """Return the sums over sets of the gradients of samples (B, F), float64 (1, B, F).

    They are nodes of the tree over all sets.
    """
    n_sets, n_samples, n_features = problem.shape
    terms = problem.terms("product", ("slope_weight",))
    summing = problem.on_backend(terms)
    with namespaces.device_of(problem.samples):
        shape = n_samples, n_sets, n_features
        return summing.returned(summing.totals(terms, swapped(_operands(problem)), shape))


def _operands(problem: SumProblem) -> dict[str, Any]:
    """Return the operands with axes (N, B, F)."""
    return problem.over_samples() | {"target": problem.others["cotangent"]}


def _terms_of_parameters(problem: SumProblem, asked: Sequence[str]) -> Summands:
    outputs = {"weight": "slope_sample", "bias": "slope"}
    return problem.terms("product", tuple(outputs[name] for name in outputs if name in asked))


def _of_parameters(problem: SumProblem, summing: Summing, asked: Sequence[str]) -> list[Any]:
    """Return the gradients with respect to weight and bias, or None."""
    n_sets, _, n_features = problem.shape
    parameters = {"weight": problem.weight, "bias": problem.bias}
    gradients = {}
    for name, parameter in parameters.items():
        if name in asked and parameter is not None:
            dtype = problem.dtype_of_gradient(parameter)
            shared = len(parameter) != n_sets
            gradients[name] = summing.empty((n_sets, n_features), "f8" if shared else dtype)
    if gradients:
        terms = _terms_of_parameters(problem, list(gradients))
        summing.write(terms, _operands(problem), problem.shape, list(gradients.values()))
    for name, of_sets in gradients.items():
        if len(parameters[name]) != n_sets:
            dtype = problem.dtype_of_gradient(parameters[name])
            gradients[name] = summing.empty((1, n_features), dtype)
            summing.backend.finish(of_sets[:, None], gradients[name], 1.0, None)
    return [gradients.get(name) for name in parameters]


def _of_samples(problem: SumProblem, summing: Summing) -> Any:
    """Return the gradient with respect to samples."""
    n_sets, n_samples, n_features = problem.shape
    samples = problem.samples
    gradient = summing.empty(samples.shape, problem.dtype_of_gradient(samples))
    terms = problem.terms("product", ("slope_weight",))
    operands = _operands(problem)
    if samples.ndim == 2:
        shape = n_samples, n_sets, n_features
        summing.write(terms, swapped(operands), shape, [gradient])
        return gradient
    # Each sample belongs to one set, so each sum has a single term.
    if n_samples <= n_sets:
        ones, others, outs = n_samples, operands, gradient.transpose(1, 0, 2)
    else:
        ones, others, outs = n_sets, swapped(operands), gradient
    for i in range(ones):
        one = slice(i, i + 1)
        part = {
            name: x if x is None or x.shape[1] == 1 else x[:, one] for name, x in others.items()
        }
        summing.write(terms, part, (len(outs[i]), 1, n_features), [outs[i]])
    return gradient
