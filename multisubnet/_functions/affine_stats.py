"""Predictions of an ensemble: mean and spread over N stacked subnetworks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from multisubnet._arithmetic.float_mode import keep_subnormals, without_warnings
from multisubnet._arithmetic.names import validate
from multisubnet._arithmetic.summands import Summands
from multisubnet._arrays import namespaces
from multisubnet._arrays.frameworks import adapted
from multisubnet._functions.calls import explained
from multisubnet._functions.problem import SumProblem
from multisubnet._functions.summation import Summing, normalized

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import Array, ArrayT, HostArray, HostArrayLike, Statistic

OF_QUANTILES = "WeightSets.predict_stats has quantiles, without set_weight"
_STATISTICS: tuple[Statistic, ...] = ("mean", "var", "std")


@overload
def affine_stats(
    samples: HostArrayLike,
    weight: HostArrayLike,
    bias: HostArrayLike | None = ...,
    *,
    activation: ActivationLike | None = ...,
    set_weight: HostArrayLike | None = ...,
    statistics: Sequence[Statistic] = ...,
) -> tuple[HostArray, ...]: ...
@overload
def affine_stats(
    samples: ArrayT | HostArrayLike,
    weight: ArrayT | HostArrayLike,
    bias: Array | HostArrayLike | None = ...,
    *,
    activation: ActivationLike | None = ...,
    set_weight: Array | HostArrayLike | None = ...,
    statistics: Sequence[Statistic] = ...,
) -> tuple[ArrayT, ...]: ...
@explained("affine_stats", quantiles=OF_QUANTILES)
@adapted
@keep_subnormals
def affine_stats(
    samples: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: ActivationLike | None = None,
    set_weight: Any = None,
    statistics: Sequence[Statistic] = ("mean", "std"),
) -> tuple[Any, ...]:
    """Compute the mean and the spread of `affine` over all sets, the prediction of an ensemble.

    Parameters
    ----------
    samples, weight, bias
        As for `affine`.
    activation : str or Activation, optional
        As for `affine`.
    set_weight : array_like, shape (N,), optional
        The weight of each set in the mean and the spread. Only the ratios of weights matter, so
        likelihoods as small as 1e-300 work. Weights may be negative; a variance can then be
        negative, and its standard deviation NaN. All statistics are NaN if the weights sum to 0 or
        one of them is not finite.
    statistics : sequence of {"mean", "var", "std"}, optional
        The statistics to compute: the mean; the variance (the mean squared distance from the mean,
        divided by N or by the sum of weights, as `numpy.var` does); its square root.

    Returns
    -------
    tuple of ndarray, shape (B, F), float64
        The statistics, in the order requested; NaN if there are no sets.

    Raises
    ------
    ValueError
        An operand has the wrong shape; an activation or statistic is unknown.
    TypeError
        An operand is complex, longdouble or not a number; NumPy arrays (or sequences) are mixed
        with CuPy arrays.
    BackendUnavailable
        The backend chosen by `set_backend` or the environment cannot run here.

    See Also
    --------
    affine : the individual predictions.

    Notes
    -----
    The results have the same bits on every backend, and the array of all predictions is never
    allocated. The working dtype and the order of summation are those of `mean_loss`, here over
    sets. The spread takes a second pass over the sets. With d the distances from the mean, rounded
    to the working dtype, the variance is mean(d^2) - mean(d)^2, which avoids cancellation.

    Examples
    --------
    >>> import multisubnet as ms
    >>> mean, std = ms.affine_stats([[1.0, 2.0]], [[1.0, 3.0], [3.0, 5.0]])
    >>> mean
    array([[2., 8.]])
    >>> std
    array([[1., 2.]])
    """
    names = names_of(statistics)
    problem = problem_of(samples, weight, bias, set_weight, activation=activation)
    n_sets, n_samples, n_features = problem.shape

    summing = problem.on_backend(operands_and_terms(problem, None)[1])
    with namespaces.device_of(problem.samples):
        divisor, divisor_array = float(n_sets), None
        if set_weight is not None:
            factor = problem.normalize(summing, "set_weight")[None, :, None]
            divisor, divisor_array = 1.0, summing.total(factor)
        shape = n_samples, n_sets, n_features

        def means(mean: Any) -> list[Any]:
            operands, terms = operands_and_terms(problem, mean)
            outs = [summing.empty((n_samples, n_features)) for _ in terms.outputs]
            summing.write(terms, operands, shape, outs, divisor, divisor_array)
            return outs

        (mean,) = means(None)
        found = {"mean": mean}
        if needs_spread(names):
            found["var"], found["std"] = spread(summing, *means(mean))
        return tuple(summing.returned(found[name]) for name in names)


def names_of(statistics: Sequence[str]) -> list[str]:
    """Validate the names of statistics, and return them as a list."""
    return validate("statistics", statistics, _STATISTICS)


def needs_spread(names: list[str]) -> bool:
    """Return whether a second pass is needed, for the distances from the mean."""
    return bool({"var", "std"} & set(names))


def problem_of(
    samples: Any, weight: Any, bias: Any, set_weight: Any, mean: Any = None, *, activation: Any
) -> SumProblem:
    """Return the validated operands; in the second pass they include the mean."""
    others = {"set_weight": set_weight, "mean": mean}
    problem = SumProblem(samples, weight, bias, activation, others)
    problem.expect("set_weight", {"(N,)": problem.shape[:1]})
    return problem


def operands_and_terms(problem: SumProblem, mean: Any) -> tuple[dict[str, Any], Summands]:
    """Return the operands and summands over sets: of the mean, or of the spread about the mean."""
    operands = problem.over_sets()
    set_weight = problem.others["set_weight"]
    weighted = set_weight is not None
    if weighted:
        operands["factor"] = set_weight[None, :, None]
    if mean is None:
        return operands, problem.terms("product", ("loss",), weighted)
    operands["target"] = mean[:, None]
    return operands, problem.terms("squared_error", ("loss", "error"), weighted)


def totals(problem: SumProblem) -> Any:
    """Return the result of `Summing.totals`; of the second pass if the mean is given."""
    n_sets, n_samples, n_features = problem.shape
    _, terms = operands_and_terms(problem, problem.others["mean"])
    summing = problem.on_backend(terms)
    with namespaces.device_of(problem.samples):
        operands, terms = operands_and_terms(problem, problem.others["mean"])
        return summing.returned(summing.totals(terms, operands, (n_samples, n_sets, n_features)))


def of_values(values: Any, set_weight: Any) -> dict[str, Any]:
    """Return all statistics of values (N, B, F), float32 or float64, over their first axis."""
    n_sets, n_samples, n_features = values.shape
    weighted = set_weight is not None
    passes = [_terms_of_pass(is_second, weighted) for is_second in (False, True)]
    summing = Summing.where(values, values.dtype, values.shape, passes[1])
    factor, divisor, divisor_array = None, float(n_sets), None
    if weighted:
        factor = normalized(summing, set_weight)[None, :, None]
        divisor, divisor_array = 1.0, summing.total(factor)
    sample = _over_sets(values)
    n_kept, _, n_columns = sample.shape
    operands = {"sample": sample, "factor": factor}
    found: list[Any] = []
    for terms in passes:
        outs = [summing.empty((n_kept, n_columns)) for _ in terms.outputs]
        summing.write(terms, operands, sample.shape, outs, divisor, divisor_array)
        operands["target"] = outs[0][:, None]
        found.extend(x.reshape(n_samples, n_features) for x in outs)
    mean, square, distance = found
    variance, deviation = spread(summing, square, distance)
    return {"mean": mean, "var": variance, "std": deviation}


def _terms_of_pass(is_second: bool, weighted: bool) -> Summands:
    """Return the summands over values: of the mean, or in the second pass of the spread."""
    if is_second:
        return Summands("squared_error", "linear", ("loss", "error"), weighted)
    return Summands("product", "linear", ("loss",), weighted)


def totals_of_values(values: Any, set_weight: Any, mean: Any) -> Any:
    """Return the result of `totals` for values (N, B, F); the weights of sets are normalized."""
    sample = _over_sets(values)
    operands = {"sample": sample, "factor": None}
    if set_weight is not None:
        operands["factor"] = set_weight[None, :, None]
    terms = _terms_of_pass(mean is not None, set_weight is not None)
    if mean is not None:
        operands["target"] = mean.reshape(sample.shape[0], 1, -1)
    summing = Summing.where(values, values.dtype, values.shape, terms)
    totals = summing.totals(terms, operands, sample.shape)
    return totals.reshape(len(totals), *values.shape[1:])


def _over_sets(values: Any) -> Any:
    """Return values (N, B, F) with the axes (kept, N, columns), to be summed over the second.

    NumPy arrays are read as they are, with B * F columns; a GPU spreads B over its blocks.
    """
    if isinstance(values, np.ndarray):
        return values.reshape(1, len(values), -1) if values.size else values.transpose(1, 0, 2)
    return values.transpose(1, 0, 2)


@without_warnings
def spread(summing: Summing, square: Any, distance: Any) -> tuple[Any, Any]:
    """Return variance and standard deviation from mean squares and mean distances."""
    fused = getattr(summing.backend, "closed_form", None)
    if fused is not None:
        return fused.spread(summing, square, distance)
    variance = square - distance * distance
    # Either all sets agree up to rounding, or some weights are negative.
    variance[(variance < 0.0) & (square >= 0.0)] = 0.0
    return variance, np.sqrt(variance)
