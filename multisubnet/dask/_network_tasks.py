"""Dask tasks on chunks of networks with hidden layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from multisubnet._functions import mlp
from multisubnet._functions.mlp_loss_problem import NetworkLoss
from multisubnet._functions.mlp_operands import Options, call_by_name
from multisubnet._functions.mlp_summation import NetworkSums
from multisubnet._functions.mlp_vjp import Pullback
from multisubnet._functions.summation import Summing
from multisubnet.dask import _tasks


@_tasks.task
def mlp_of_chunks(*chunks: Any, names: tuple[str, ...], options: Options, set_axis: int) -> Any:
    """Return a block of the result of `mlp`."""
    return call_by_name(mlp.mlp, _named(names, chunks), options, set_axis=set_axis)


@_tasks.task
def select_of_chunks(bounds: Any, *chunks: Any, names: tuple[str, ...], options: Options) -> Any:
    """Return the values of the samples whose set is in the chunk of sets, in order."""
    named = _named(names, chunks)
    chosen = _tasks.choose_samples(bounds, named["samples"], named["set_index"])
    named["samples"], named["set_index"] = chosen
    return call_by_name(mlp.mlp_select, named, options, check=False)


@_tasks.task
def stats_of_networks_of_chunks(
    set_weight: Any, mean: Any, *chunks: Any, names: tuple[str, ...], options: Options
) -> Any:
    """Return sums over sets, (1, outputs, B, columns): a node of the tree over all sets."""
    xp, call, set_weight = mlp.read_stats(_named(names, chunks), options, set_weight)
    return mlp.totals_of_stats(xp, call, set_weight, mean)[None]


@_tasks.task
def losses_of_networks_of_chunks(
    targets: Any,
    sample_weight: Any,
    *chunks: Any,
    names: tuple[str, ...],
    options: Options,
    loss: str,
    gradients: bool,
) -> Any:
    """Return sums over samples, (1, 1, N, columns): a node of the tree over all samples."""
    others = {"targets": _tasks.whole(targets), "sample_weight": sample_weight}
    named = _named(names, chunks)
    return NetworkLoss(named, options, others, loss, False, None).totals(gradients)[None, None]


@_tasks.task
def cotangents_of_parameters_of_chunks(
    cotangent: Any, *chunks: Any, names: tuple[str, ...], options: Options, wrt: list[str]
) -> Any:
    """Return sums over samples, (1, 1, N, columns): a node of the tree over all samples."""
    return _pullback(cotangent, chunks, names, options).totals(wrt)[None, None]


@_tasks.task
def cotangents_of_samples_of_chunks(
    cotangent: Any, *chunks: Any, names: tuple[str, ...], options: Options
) -> Any:
    """Return sums over sets, (1, 1, B, columns): a node of the tree over all sets."""
    return _pullback(cotangent, chunks, names, options).totals_of_samples()[None, None]


@_tasks.task
def add_features(totals: Any, *, inputs: Any, n_features: int, dtype: np.dtype) -> Any:
    """Return gradients of samples (B, F) of totals (1, B, columns)."""
    summing = Summing.where(totals, np.dtype(np.float64))
    out = summing.empty((totals.shape[1], n_features), dtype)
    NetworkSums(summing).add_features(totals, inputs, out)
    return out


@_tasks.task
def vjp_of_chunks(cotangent: Any, *chunks: Any, names: tuple[str, ...], options: Options) -> Any:
    """Return the gradients of samples (N, B, F)."""
    pullback = _pullback(cotangent, chunks, names, options)
    return pullback.gradients(["samples"]).grad_samples


@_tasks.task
def divide_columns(
    totals: Any,
    weight: Any,
    *,
    columns: slice,
    shape: tuple[int, ...],
    dtype: np.dtype,
    divisor: float,
) -> Any:
    """Return the means of some columns of totals (1, N, columns), with this shape per set.

    Without a shape, return one mean over all of them.
    """
    total = totals[0][:, columns].copy()
    means = _tasks.divided(total, 2 if shape else 1, dtype, divisor, weight)
    return means.reshape(len(means), *shape)


def _pullback(
    cotangent: Any, chunks: tuple[Any, ...], names: tuple[str, ...], options: Options
) -> Pullback:
    return Pullback(_named(names, chunks), options, _tasks.whole(cotangent))


def _named(names: tuple[str, ...], chunks: tuple[Any, ...]) -> dict[str, Any]:
    """Return chunks by name."""
    return dict(zip(names, map(_tasks.whole, chunks), strict=True))
