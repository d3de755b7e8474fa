"""The public functions for Dask arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.moments import steps_of
from multisubnet._arrays import validation
from multisubnet._functions import affine_vjp as _affine_vjp
from multisubnet._functions.affine_operands import read_call
from multisubnet._functions.affine_select import read_select
from multisubnet._functions.affine_stats import names_of, needs_spread, problem_of
from multisubnet._functions.loss_problem import LossProblem, with_gradients
from multisubnet._functions.problem import SumProblem
from multisubnet.dask import _tasks
from multisubnet.dask._graph import ChunkedOperands

_FLOAT64 = np.dtype(np.float64)


def affine(
    samples: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str | Activation | None = None,
    set_axis: int = 0,
    out: Any = None,
) -> da.Array:
    """Evaluate N sets of weights on the same samples, lazily: `multisubnet.affine`.

    At least one operand is a Dask array, of NumPy or CuPy chunks. The result has one block per
    chunk of sets, of samples and of features. Operands that are not Dask arrays are split so that a
    block has about as many bytes as Dask's setting ``array.chunk-size``. There is no `out`; write
    large results with `dask.array.store` or `to_zarr`.

    Raises
    ------
    ValueError, TypeError
        As for `multisubnet.affine`, immediately and not when the result is computed; the chunks of
        an operand have unknown sizes; `out` is given.

    Examples
    --------
    >>> import dask.array as da
    >>> import multisubnet as ms
    >>> weight = da.zeros((10**9, 30), chunks=(10**4, 30))
    >>> result = ms.affine(da.ones((569, 30)), weight)
    >>> result.shape, result.chunksize
    ((1000000000, 569, 30), (10000, 569, 30))
    """
    refuse_out(out)
    given = ChunkedOperands(samples=samples, weight=weight, bias=bias)
    of_samples, of_weight, of_bias = given.stand_ins("samples", "weight", "bias")
    _, call = read_call(of_samples, of_weight, of_bias, activation)
    set_axis = validation.axis("set_axis", set_axis)
    given.cut(dict(zip("nbf", call.shape, strict=True)), "nbf", call.dtype)
    function = partial(_tasks.affine_of_chunks, activation=call.activation, set_axis=set_axis)
    index = "bnf" if set_axis else "nbf"
    return given.combined(function, index, call.dtype, *given.pairs("samples", "weight", "bias"))


def affine_select(
    samples: Any,
    weight: Any,
    bias: Any,
    set_index: Any,
    *,
    activation: str | Activation | None = None,
    out: Any = None,
    check: bool | None = None,
) -> da.Array:
    """Evaluate each sample with one set, lazily: `multisubnet.affine_select`.

    As for `affine`. One task takes a chunk of sets and the samples of a chunk that use them.
    Another combines the values of a chunk of samples, and raises if an index is out of range.

    Examples
    --------
    >>> import dask.array as da
    >>> import multisubnet as ms
    >>> samples, weight = da.ones((3, 2), chunks=2), da.from_array([[2.0, 9.0], [8.0, 6.0]], 1)
    >>> ms.affine_select(samples, weight, None, [1, 0, 1]).compute()
    array([[8., 6.],
           [2., 9.],
           [8., 6.]])
    """
    refuse_out(out)
    operands = {"samples": samples, "weight": weight, "bias": bias, "set_index": set_index}
    given = ChunkedOperands(**operands)
    of_samples, of_weight, of_bias, of_index = given.stand_ins(*operands)
    _, call, _ = read_select(of_samples, of_weight, of_bias, of_index, activation, None, False)
    given.cut(dict(zip("nbf", call.shape, strict=True)), "bf", call.dtype)
    function = partial(_tasks.select_of_chunks, activation=call.activation)
    return given.selected(function, "nbf", call.dtype, given.pairs(*operands), check)


def affine_vjp(
    samples: Any,
    weight: Any,
    bias: Any,
    cotangent: Any,
    *,
    activation: str | Activation | None = None,
    wrt: Sequence[str] = ("samples", "weight", "bias"),
) -> tuple[da.Array | None, ...]:
    """Compute the vector-Jacobian product, lazily: `multisubnet.affine_vjp`.

    Gradients of weight and bias are sums over chunks of samples; those of samples (B, F) are sums
    over chunks of sets, in a separate pass. In each pass, the summed axis is rechunked to 4096
    times a power of two. Errors are raised as by `affine`.

    Examples
    --------
    >>> import dask.array as da
    >>> import multisubnet as ms
    >>> cotangent = da.ones((2, 3, 1), chunks=(1, 3, 1))
    >>> _, grad_weight, _ = ms.affine_vjp([[1.0], [2.0], [3.0]], [[1.0], [5.0]], None, cotangent)
    >>> grad_weight.compute()
    array([[6.],
           [6.]])
    """
    asked = _affine_vjp.names_of(wrt)
    operands = {"samples": samples, "weight": weight, "bias": bias, "cotangent": cotangent}
    given = ChunkedOperands(**operands)
    problem = _affine_vjp.problem_of(*given.stand_ins(*operands), activation=activation)
    found = _of_parameters(given, problem, asked)
    if "samples" in asked:  # this pass has chunks of its own
        found["samples"] = _of_samples(ChunkedOperands(**operands), problem)
    return tuple(found.get(name) for name in ("samples", "weight", "bias"))


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
) -> da.Array:
    """Compute the mean loss of each of N sets, lazily: `multisubnet.mean_loss`.

    The bits do not depend on the chunks. If samples have several chunks, they are rechunked to 4096
    samples times a power of two; with such chunks from the start, no data are moved. A task returns
    one sum per set and feature of its chunks. Errors are raised as by `affine`.

    Examples
    --------
    >>> import dask.array as da
    >>> import multisubnet as ms
    >>> weight = da.from_array([[2.0], [3.0]], chunks=1)
    >>> ms.mean_loss([[1.0], [2.0]], weight, None, [2.0, 4.0]).compute()
    array([0. , 2.5])
    """
    operands = samples, weight, bias, targets, sample_weight
    return _losses(operands, ("loss",), loss, activation, per_feature, dtype)[0]


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
) -> tuple[da.Array, da.Array, da.Array | None]:
    """Compute losses and gradients, lazily: `multisubnet.mean_loss_and_grad`.

    As for `mean_loss`. Compute the results together, with
    ``dask.compute(loss, grad_weight, grad_bias)``, to share the work.
    """
    operands = samples, weight, bias, targets, sample_weight
    results = _losses(operands, with_gradients(bias), loss, activation, per_feature, dtype)
    return tuple(results) if bias is not None else (*results, None)


def affine_stats(
    samples: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str | Activation | None = None,
    set_weight: Any = None,
    statistics: Sequence[str] = ("mean", "std"),
) -> tuple[da.Array, ...]:
    """Compute the mean and spread of an ensemble, lazily: `multisubnet.affine_stats`.

    The bits do not depend on the chunks. If sets have several chunks, they are rechunked to 4096
    sets times a power of two. The spread takes a second pass over the sets. Errors are raised as by
    `affine`.
    """
    names = names_of(statistics)
    given = ChunkedOperands(samples=samples, weight=weight, bias=bias, set_weight=set_weight)
    stand_ins = given.stand_ins("samples", "weight", "bias", "set_weight")
    problem = problem_of(*stand_ins, activation=activation)
    given.cut(dict(zip("nbf", problem.shape, strict=True)), "bf", _FLOAT64, summed="n")
    given.normalize("set_weight", problem.dtype)
    total = given.total_weight("set_weight", working=problem.dtype)
    divisor = float(problem.shape[0]) if set_weight is None else 1.0
    operands = given.pairs("samples", "weight", "bias", "set_weight")
    function = partial(_tasks.stats_of_chunks, activation=activation)

    def combined(function: Callable[..., Any], totals: da.Array) -> da.Array:
        function = partial(function, divisor=divisor)
        return given.combined(function, "bf", _FLOAT64, (totals, "obf"), total)

    divide = partial(_tasks.divide, output=0, ndim=2, dtype=_FLOAT64)
    mean = combined(divide, given.sums(function, "obf", 1, *operands, (None, "bf")))
    found = {"mean": mean}
    if needs_spread(names):
        totals = given.sums(function, "obf", 2, *operands, (mean, "bf"))
        for number, name in enumerate(("var", "std")):
            found[name] = combined(partial(_tasks.variance_or_std, number=number), totals)
    return tuple(found[name] for name in names)


def refuse_out(out: Any) -> None:
    """Raise if `out` is given."""
    if out is not None:
        raise TypeError(
            "out does not work with Dask arrays, which are computed later: write the result "
            "with dask.array.store or to_zarr"
        )


def _losses(
    operands: tuple[Any, ...],
    outputs: tuple[str, ...],
    loss: str,
    activation: str | Activation | None,
    per_feature: bool,
    dtype: Any,
) -> list[da.Array]:
    """Return the means of the requested outputs, the loss first."""
    names = "samples", "weight", "bias", "targets", "sample_weight"
    given = ChunkedOperands(**dict(zip(names, operands, strict=True)))
    problem = LossProblem(given.stand_ins(*names), outputs, loss, activation, per_feature, dtype)
    given.cut(dict(zip("nbf", problem.shape, strict=True)), "nf", _FLOAT64, summed="b")
    given.normalize("sample_weight", problem.dtype)
    if problem.form.has_closed_form:
        return _by_moments(given, problem)
    function = partial(_tasks.losses_of_chunks, outputs=outputs, loss=loss, activation=activation)
    totals = given.sums(function, "onf", len(outputs), *given.pairs(*names)), "onf"
    total = given.total_weight("sample_weight", working=problem.dtype)
    results = []
    for output, (shape, of_result) in enumerate(problem.form.results):
        ndim = len(shape)
        options = {"output": output, "ndim": ndim, "dtype": of_result}
        divide = partial(_tasks.divide, **options, divisor=problem.form.divisor)
        results.append(given.combined(divide, "nf"[:ndim], of_result, totals, total))
    return results


def _of_parameters(
    given: ChunkedOperands, problem: SumProblem, asked: Sequence[str]
) -> dict[str, da.Array]:
    """Return the requested gradients of weight and bias."""
    parameters = {"weight": problem.weight, "bias": problem.bias}
    parameters = {k: x for k, x in parameters.items() if k in asked and x is not None}
    if not parameters:
        return {}
    given.cut(dict(zip("nbf", problem.shape, strict=True)), "nf", _FLOAT64, summed="b")
    activation, names = problem.activation, tuple(parameters)
    function = partial(
        _tasks.cotangents_of_parameters_of_chunks, activation=activation, asked=names
    )
    totals = given.sums(function, "onf", len(parameters), *given.pairs(*given.arrays))
    found = {}
    for output, (name, parameter) in enumerate(parameters.items()):
        sums, index = totals[output : output + 1], "onf"
        if len(parameter) != problem.shape[0]:
            sums, index = given.sum_over_sets(sums), "okf"
        found[name] = _rounded(given, sums, index, problem.dtype_of_gradient(parameter))
    return found


def _of_samples(given: ChunkedOperands, problem: SumProblem) -> da.Array:
    """Return the gradient of samples."""
    lengths = dict(zip("nbf", problem.shape, strict=True))
    dtype = problem.dtype_of_gradient(problem.samples)
    if problem.samples.ndim == 3:
        given.cut(lengths, "nbf", dtype)
        function = partial(_tasks.vjp_of_chunks, activation=problem.activation)
        return given.combined(function, "nbf", dtype, *given.pairs(*given.arrays))
    given.cut(lengths, "bf", _FLOAT64, summed="n")
    function = partial(_tasks.cotangents_of_samples_of_chunks, activation=problem.activation)
    totals = given.sums(function, "obf", 1, *given.pairs(*given.arrays))
    return _rounded(given, totals, "obf", dtype)


def _rounded(given: ChunkedOperands, totals: Any, index: str, dtype: np.dtype) -> da.Array:
    """Return the first of the sums, each rounded once."""
    divide = partial(_tasks.divide, output=0, ndim=2, dtype=dtype, divisor=1.0)
    return given.combined(divide, index[1:], dtype, (totals, index), (None, "w"))


def _by_moments(given: ChunkedOperands, problem: LossProblem) -> list[da.Array]:
    """Return the means of the closed form: passes over the samples, then over the sets."""
    working = problem.dtype
    total = given.total_weight("sample_weight", working=working, in_closed_form=True)
    data = given.pairs("samples", "targets", "sample_weight")
    n_samples = problem.shape[1]
    function = partial(_tasks.largest_of_chunks, working=working)
    largest = given.sums(function, "okf", 2, *data[:2], join=_tasks.largest_size), "okf"
    function, known = partial(_tasks.scales_of_sizes, working=working), 2
    moments = given.combined(function, "pf", _FLOAT64, largest, new_axes={"p": known})
    for number, step in enumerate(steps_of(data[2][0])):
        function = partial(_tasks.moments_of_chunks, number=number, working=working)
        totals = given.sums(function, "okf", step.adds, *data, (moments, "mf"))
        pairs = (totals, "okf"), (moments, "mf"), total
        function = partial(_tasks.extend_moments, number=number, n_samples=n_samples)
        known += step.adds
        moments = given.combined(function, "pf", _FLOAT64, *pairs, new_axes={"p": known})
    pair, known = (moments, "mf"), (6 if data[2][0] is None else 9)
    moments = given.combined(_tasks.settle_moments, "pf", _FLOAT64, pair, new_axes={"p": known})

    results = [(len(shape), of_result) for shape, of_result in problem.form.results]
    is_whole = len(given.chunks["f"]) == 1 or results[0][0] == 2
    function = partial(
        _tasks.losses_from_moments,
        terms=problem.form.terms,
        working=working,
        results=results,
        divisor=problem.form.divisor,
        is_whole=is_whole,
    )
    parameters = given.pairs("weight", "bias")
    losses = given.combined(function, "nf", _FLOAT64, *parameters, (moments, "mf")), "nf"
    found = []
    for output, (ndim, of_result) in enumerate(results):
        function = partial(_tasks.pick_output, output=output)
        if not is_whole and not output:
            options = {"dtype": of_result, "divisor": problem.form.divisor}
            function = partial(_tasks.sum_over_features, **options)
        found.append(given.combined(function, "nf"[:ndim], of_result, losses, concatenate=None))
    return found
