"""Networks with hidden layers for Dask arrays.

They are split along sets and samples; the networks and units of a set stay together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np

from multisubnet._arithmetic import names
from multisubnet._arrays import validation
from multisubnet._functions import affine_select
from multisubnet._functions.affine_stats import names_of, needs_spread
from multisubnet._functions.mlp import read_stats
from multisubnet._functions.mlp_loss_problem import NetworkLoss
from multisubnet._functions.mlp_mean_loss import MlpLossAndGrad
from multisubnet._functions.mlp_operands import Options, name_operands, pairs_of, read
from multisubnet._functions.mlp_vjp import OPERANDS, MlpVjp, Pullback
from multisubnet._functions.problem import dtype_of_gradient
from multisubnet.dask import _network_tasks, _tasks
from multisubnet.dask._functions import refuse_out
from multisubnet.dask._graph import ChunkedOperands, Pair

_FLOAT64 = np.dtype(np.float64)


class _Networks:
    """Operands of networks, at least one of them a Dask array, and the options of `mlp`."""

    def __init__(self, samples: Any, layers: Any, intercept: Any, options: Options, **others: Any):
        named = name_operands(samples, layers, intercept)
        self.options = options.with_array()
        self.names = tuple(named)
        self.given = ChunkedOperands(**named, **others)
        self.named = dict(zip(named, self.given.stand_ins(*named), strict=True))
        self.others = dict(zip(others, self.given.stand_ins(*others), strict=True))

    @property
    def pairs(self) -> list[Pair]:
        """The operands and their axes, in the order of `names`."""
        return self.given.pairs(*self.names)

    def task(self, function: Callable[..., Any], *others: str, **options: Any) -> partial:
        """Return a task that takes the operands by name, followed by these others."""
        return partial(function, names=self.names + others, options=self.options, **options)


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
    out: Any = None,
) -> da.Array:
    """Evaluate N sets of small networks, lazily: `multisubnet.mlp`.

    As for `affine`. The result has one block per chunk of sets and of samples. Other axes of
    operands are merged into one chunk each. `inputs` must be concrete.

    Examples
    --------
    >>> import dask.array as da
    >>> import multisubnet as ms
    >>> layers = [da.zeros((10**6, 5, a, b), chunks=(10**4, 5, a, b)) for a, b in ((1, 8), (8, 1))]
    >>> result = ms.mlp(da.ones((569, 5)), layers)
    >>> result.shape, result.chunksize
    ((1000000, 569, 5, 1), (10000, 569, 5, 1))
    """
    refuse_out(out)
    options = Options(activation, output_activation, inputs, additive)
    networks = _Networks(samples, layers, intercept, options)
    _, call, _ = read(networks.named, *networks.options, None)
    set_axis = validation.axis("set_axis", set_axis)
    n_sets, n_samples, *rest = call.shape
    new_axes = dict(zip("uv", rest, strict=False))
    kept = "nb" + "".join(new_axes)
    networks.given.cut({"n": n_sets, "b": n_samples}, kept, call.dtype, whole=new_axes)
    return networks.given.combined(
        networks.task(_network_tasks.mlp_of_chunks, set_axis=set_axis),
        ("bn" if set_axis else "nb") + "".join(new_axes),
        call.dtype,
        *networks.pairs,
        new_axes=new_axes,
        concatenate=None,
    )


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
    out: Any = None,
    check: bool | None = None,
) -> da.Array:
    """Evaluate each sample with the networks of one set, lazily: `multisubnet.mlp_select`.

    As for `mlp`. One task takes a chunk of sets and the samples of a chunk that use them. Another
    combines the values of a chunk of samples, and raises if an index is out of range.
    """
    refuse_out(out)
    options = Options(activation, output_activation, inputs, additive)
    networks = _Networks(samples, layers, intercept, options, set_index=set_index)
    _, call, others = read(networks.named, *networks.options, None, networks.others)
    if call.samples.ndim != 2:
        raise ValueError(f"samples has shape {call.samples.shape}; expected (B, F)")
    affine_select.check_index(others["set_index"], call.n_sets, call.n_samples, False)
    given, (_, n_samples, *rest) = networks.given, call.shape
    new_axes = dict(zip("uv", rest, strict=False))
    kept = "b" + "".join(new_axes)
    given.cut({"n": call.n_sets, "b": n_samples}, kept, call.dtype, whole=new_axes)
    function = networks.task(_network_tasks.select_of_chunks, "set_index")
    operands = *networks.pairs, given.pair("set_index")
    return given.selected(function, "n" + kept, call.dtype, operands, check, new_axes=new_axes)


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
) -> tuple[da.Array, ...]:
    """Compute the mean and spread of an ensemble, lazily: `multisubnet.mlp_stats`.

    As for `mlp` and `affine_stats`.
    """
    asked = names_of(statistics)
    options = Options(activation, output_activation, inputs, additive)
    networks = _Networks(samples, layers, intercept, options, set_weight=set_weight)
    _, call, of_sets = read_stats(networks.named, networks.options, networks.others["set_weight"])
    given, (n_sets, n_samples, *rest) = networks.given, call.shape
    columns = {"t": math.prod(rest)}
    given.cut({"n": n_sets, "b": n_samples}, "bt", _FLOAT64, summed="n", whole=columns)
    given.normalize("set_weight", call.dtype)
    total = given.total_weight("set_weight", working=call.dtype)
    divisor = float(n_sets) if of_sets is None else 1.0
    function = networks.task(_network_tasks.stats_of_networks_of_chunks)

    def totals_about(mean: Any, n_outputs: int) -> da.Array:
        pairs = given.pair("set_weight"), (mean, "bt"), *networks.pairs
        return given.sums(function, "obt", n_outputs, *pairs, sizes=columns, concatenate=None)

    def combined(function: Callable[..., Any], totals: da.Array) -> da.Array:
        function = partial(function, divisor=divisor)
        return given.combined(function, "bt", _FLOAT64, (totals, "obt"), total)

    divide = partial(_tasks.divide, output=0, ndim=2, dtype=_FLOAT64)
    mean = combined(divide, totals_about(None, 1))
    found = {"mean": mean}
    if needs_spread(asked):
        totals = totals_about(mean, 2)
        for number, name in enumerate(("var", "std")):
            found[name] = combined(partial(_tasks.variance_or_std, number=number), totals)
    return tuple(found[name].reshape(n_samples, *rest) for name in asked)


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
) -> da.Array:
    """Compute the mean loss of each of N sets, lazily: `multisubnet.mlp_mean_loss`.

    As for `mlp` and `mean_loss`. A task returns one sum per set and network of its chunks.
    """
    options = Options(activation, output_activation, inputs, additive)
    others = {"targets": targets, "sample_weight": sample_weight}
    networks = _Networks(samples, layers, intercept, options, **others)
    return _losses(networks, False, loss, per_subnetwork, dtype)[0]


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
    """Compute losses and gradients, lazily: `multisubnet.mlp_mean_loss_and_grad`.

    As for `mlp_mean_loss`. Compute the results together, with ``dask.compute(loss, grad_layers)``,
    to share the work. A task also returns one sum per parameter.
    """
    options = Options(activation, output_activation, inputs, additive)
    others = {"targets": targets, "sample_weight": sample_weight}
    networks = _Networks(samples, layers, intercept, options, **others)
    found, *gradients = _losses(networks, True, loss, per_subnetwork, dtype)
    rest = iter(gradients)
    pairs = tuple(
        (next(rest), None if bias is None else next(rest)) for _, bias in pairs_of(networks.named)
    )
    return MlpLossAndGrad(found, pairs, next(rest, None))


def _losses(
    networks: _Networks, gradients: bool, loss: Any, per_subnetwork: Any, dtype: Any
) -> list[da.Array]:
    """Return losses, and gradients in the order of the parameters."""
    problem = NetworkLoss(
        networks.named, networks.options, networks.others, loss, per_subnetwork, dtype
    )
    if gradients:
        problem.expect_derivatives()
    given, call = networks.given, problem.call
    shapes = problem.shapes_of_totals(gradients)
    ends = np.cumsum([0, *map(math.prod, shapes)]).tolist()
    columns = {"t": ends[-1]}
    lengths = {"n": call.n_sets, "b": call.n_samples}
    given.cut(lengths, "nt", _FLOAT64, summed="b", whole=columns)
    given.normalize("sample_weight", call.dtype)
    total = given.total_weight("sample_weight", working=call.dtype)
    function = networks.task(
        _network_tasks.losses_of_networks_of_chunks, loss=loss, gradients=gradients
    )
    pairs = *given.pairs("targets", "sample_weight"), *networks.pairs
    totals = given.sums(function, "ont", 1, *pairs, sizes=columns, concatenate=None), "ont"

    if not problem.per_subnetwork:
        shapes[0] = ()
    dtypes = [problem.dtype, *(dtype_of_gradient(x, call.dtype) for x in problem.parameters)]
    return [
        _divided(given, totals, slice(start, stop), shape, of_result, problem.divisor, total)
        for start, stop, shape, of_result in zip(ends, ends[1:], shapes, dtypes, strict=False)
    ]


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
    wrt: Sequence[str] = OPERANDS,
) -> MlpVjp:
    """Compute the vector-Jacobian product, lazily: `multisubnet.mlp_vjp`.

    As for `mlp_mean_loss_and_grad`. Gradients of layers and the intercept are sums over chunks of
    samples; those of samples (B, F) are sums over chunks of sets, in a separate pass. In each pass,
    the summed axis is rechunked to 4096 times a power of two.
    """
    asked = names.validate("wrt", wrt, OPERANDS)
    options = Options(activation, output_activation, inputs, additive)

    def networks() -> _Networks:  # each pass has chunks of its own
        return _Networks(samples, layers, intercept, options, cotangent=cotangent)

    operands = networks()
    pullback = Pullback(operands.named, operands.options, operands.others["cotangent"])
    found = iter(_of_parameters(operands, pullback, asked))
    grad_layers = None
    if "layers" in asked:
        grad_layers = tuple(
            (next(found), None if bias is None else next(found))
            for _, bias in pairs_of(operands.named)
        )
    return MlpVjp(
        _of_samples(networks(), pullback) if "samples" in asked else None,
        grad_layers,
        next(found, None),
    )


def _of_parameters(networks: _Networks, pullback: Pullback, asked: Sequence[str]) -> list[da.Array]:
    """Return the requested gradients, in the order of the parameters."""
    given, call = networks.given, pullback.call
    layers = [x for pair in call.layers for x in pair if "layers" in asked]
    every = [*layers, call.intercept if "intercept" in asked else None]
    parameters = [x for x in every if x is not None]
    if not parameters:
        return []
    ends = np.cumsum([0, *(math.prod(x.shape[1:]) for x in parameters)]).tolist()
    columns, lengths = {"t": ends[-1]}, {"n": call.n_sets, "b": call.n_samples}
    given.cut(lengths, "nt", _FLOAT64, summed="b", whole=columns)
    function = networks.task(_network_tasks.cotangents_of_parameters_of_chunks, wrt=asked)
    pairs = given.pair("cotangent"), *networks.pairs
    totals = given.sums(function, "ont", 1, *pairs, sizes=columns, concatenate=None)
    found = []
    for x, start, stop in zip(parameters, ends, ends[1:], strict=False):
        sums, part = (totals, "ont"), slice(start, stop)
        if len(x) != call.n_sets:
            sums, part = (given.sum_over_sets(totals[..., part]), "okt"), slice(None)
        dtype = dtype_of_gradient(x, call.dtype)
        found.append(_divided(given, sums, part, x.shape[1:], dtype))
    return found


def _of_samples(networks: _Networks, pullback: Pullback) -> da.Array:
    """Return the gradient of samples."""
    given, call, dtype = networks.given, pullback.call, pullback.dtype_of_samples
    lengths, features = {"n": call.n_sets, "b": call.n_samples}, {"u": call.samples.shape[-1]}
    if call.samples.ndim == 3:
        given.cut(lengths, "nbu", dtype, whole=features)
        pairs = given.pair("cotangent"), *networks.pairs
        function = networks.task(_network_tasks.vjp_of_chunks)
        return given.combined(function, "nbu", dtype, *pairs, new_axes=features, concatenate=None)
    columns = {"t": call.n_subnets * call.sizes[0]}
    given.cut(lengths, "bt", _FLOAT64, summed="n", whole=columns)
    pairs = given.pair("cotangent"), *networks.pairs
    function = networks.task(_network_tasks.cotangents_of_samples_of_chunks)
    totals = given.sums(function, "obt", 1, *pairs, sizes=columns, concatenate=None)
    function = partial(
        _network_tasks.add_features, inputs=call.inputs, n_features=features["u"], dtype=dtype
    )
    return given.combined(function, "bu", dtype, (totals, "obt"), new_axes=features)


def _divided(
    given: ChunkedOperands,
    totals: Pair,
    columns: slice,
    shape: tuple[int, ...],
    dtype: np.dtype,
    divisor: float = 1.0,
    weight: Pair = (None, "w"),
) -> da.Array:
    """Return the means of some columns of totals, of this shape for each set.

    Without a shape it is one mean over all of them.
    """
    divide = partial(
        _network_tasks.divide_columns, columns=columns, shape=shape, dtype=dtype, divisor=divisor
    )
    new_axes = dict(zip("uvx", shape, strict=False))
    index = totals[1][1] + "".join(new_axes)
    return given.combined(divide, index, dtype, totals, weight, new_axes=new_axes)
