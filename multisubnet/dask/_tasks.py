"""Dask tasks: the functions of this package, and parts of them, on chunks.

Dask runs one task per core, or as many as a worker has threads. A task therefore uses one thread,
unless MULTISUBNET_NUM_THREADS is set.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arithmetic.moments import steps_of
from multisubnet._arithmetic.summands import Summands
from multisubnet._arrays import namespaces
from multisubnet._backends import choice
from multisubnet._backends.numba import threads
from multisubnet._functions import (
    affine,
    affine_select,
    affine_stats,
    affine_vjp,
    closed_form,
    summation,
)
from multisubnet._functions.loss_problem import LossProblem
from multisubnet._functions.summation import Summing

_FLOAT64 = np.dtype(np.float64)


def task(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a task function to run on the backend chosen when the graph was built."""

    @functools.wraps(function)
    @keep_subnormals
    def wrapper(*chunks: Any, backend: str | None = None, **options: Any) -> Any:
        with threads.single_threaded(), choice.use_backend(backend), _stream_for(chunks):
            return function(*chunks, **options)

    return wrapper


class _Legacy:
    """CUDA's legacy default stream, in the protocol for exchanging streams between libraries."""

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, namespaces.cupy().cuda.runtime.streamLegacy


def _stream_for(chunks: Any) -> contextlib.AbstractContextManager:
    """Return a context with a stream that follows the tasks that computed these chunks.

    With CUPY_CUDA_PER_THREAD_DEFAULT_STREAM, each of Dask's threads has its own default stream, and
    these do not wait for each other. The legacy stream waits for all of them, and they wait for it.
    """
    if _has_cupy(chunks):
        stream = namespaces.cupy().cuda.Stream
        if namespaces.cupy().cuda.get_current_stream() == stream.ptds:
            return stream.from_external(_Legacy())
    return contextlib.nullcontext()


def _has_cupy(chunks: Any) -> bool:
    if isinstance(chunks, list | tuple):
        return any(map(_has_cupy, chunks))
    return namespaces.is_cupy(chunks)


@task
def affine_of_chunks(samples: Any, weight: Any, bias: Any, **options: Any) -> Any:
    """Return a block of the result of `affine`."""
    return affine.affine(samples, weight, bias, **options)


@task
def select_of_chunks(
    bounds: Any, samples: Any, weight: Any, bias: Any, set_index: Any, *, activation: Any
) -> Any:
    """Return the values of the samples whose set is in the chunk of sets, in order."""
    samples, weight, bias, set_index = map(whole, (samples, weight, bias, set_index))
    samples, set_index = choose_samples(bounds, samples, set_index)
    return affine_select.affine_select(
        samples, weight, bias, set_index, activation=activation, check=False
    )


def choose_samples(bounds: Any, samples: Any, set_index: Any) -> tuple[Any, Any]:
    """Return the samples whose set is in the chunk of sets, and the numbers of these sets in it."""
    first, stop = whole(bounds)[0]
    index = namespaces.on_host(set_index)
    rows = _rows(index, first, stop)
    xp = namespaces.namespace({"samples": samples})
    return samples[xp.asarray(rows)], xp.asarray(index[rows].astype(np.int64) - first)


@task
def put_together(parts: Any, bounds: Any, set_index: Any, *, check: bool | None) -> Any:
    """Combine the values of all samples, given per chunk of sets.

    An out-of-range index raises, or gives NaN, or 0 in dtypes without NaN.
    """
    xp = namespaces.namespace({"set_index": set_index})
    ends = [whole(of_chunk)[0] for of_chunk in bounds]
    n_sets = int(ends[-1][1])
    affine_select.check_index(
        set_index, n_sets, len(set_index), xp is np if check is None else check
    )
    index = namespaces.on_host(set_index)
    _, *shape = parts[0].shape
    values = xp.zeros((len(index), *shape), parts[0].dtype)
    if values.dtype.kind not in "biu":
        nothing = complex(np.nan, np.nan) if values.dtype.kind == "c" else np.nan
        values[(index < 0) | (index >= n_sets)] = nothing
    for (first, stop), part in zip(ends, parts, strict=True):
        values[xp.asarray(_rows(index, first, stop))] = part
    return values


def _rows(index: np.ndarray, first: int, stop: int) -> np.ndarray:
    """Return the samples whose set is in this range."""
    return np.flatnonzero((index >= first) & (index < stop))


def whole(chunk: Any) -> Any:
    """Return a chunk that Dask nests in lists because its axes are not split."""
    while isinstance(chunk, list):
        (chunk,) = chunk
    return chunk


@task
def losses_of_chunks(*chunks: Any, outputs: tuple[str, ...], loss: str, activation: Any) -> Any:
    """Return sums over samples, (1, outputs, N, F): a node of the tree over all samples."""
    return LossProblem(chunks, outputs, loss, activation, False, None).totals()[None]


@task
def stats_of_chunks(*chunks: Any, activation: Any) -> Any:
    """Return sums over sets, (1, outputs, B, F): a node of the tree over all sets."""
    return affine_stats.totals(affine_stats.problem_of(*chunks, activation=activation))[None]


@task
def cotangents_of_parameters_of_chunks(
    *chunks: Any, activation: Any, asked: tuple[str, ...]
) -> Any:
    """Return sums over samples, (1, outputs, N, F): a node of the tree over all samples."""
    return affine_vjp.totals(affine_vjp.problem_of(*chunks, activation=activation), asked)[None]


@task
def cotangents_of_samples_of_chunks(*chunks: Any, activation: Any) -> Any:
    """Return sums over sets, (1, 1, B, F): a node of the tree over all sets."""
    return affine_vjp.totals_of_samples(affine_vjp.problem_of(*chunks, activation=activation))[None]


@task
def vjp_of_chunks(*chunks: Any, activation: Any) -> Any:
    """Return the gradients of samples (N, B, F)."""
    return affine_vjp.affine_vjp(*chunks, activation=activation, wrt=["samples"])[0]


@task
def largest_of_chunks(*chunks: Any, working: np.dtype) -> Any:
    """Return the largest absolute values of samples and targets, or weights, (1, 2 or 1, 1, F)."""
    summing = Summing.where(chunks[0], working)
    if len(chunks) == 1:
        return summation.largest_of(summing, chunks[0])[None, None, None]
    samples, targets = chunks
    targets = targets[:, None] if targets.ndim == 1 else targets
    return closed_form.largest(summing, samples, targets)[None, :, None]


@task
def largest_size(nodes: Any, axis: Any, keepdims: bool) -> Any:
    """Return the maximum along the first axis."""
    return nodes.max(axis=0, keepdims=keepdims)


@task
def normalize_weights(weights: Any, largest: Any, *, working: np.dtype) -> Any:
    """Return weights scaled for summation; the largest of all weights is given."""
    return summation.normalized(Summing.where(weights, working), weights, largest)


@task
def weights_of_chunks(weights: Any, *, working: np.dtype, in_closed_form: bool = False) -> Any:
    """Return the sum of weights, (1, 1, 1, 1): a node of the tree over all weights.

    For the closed form, return both of its sums, (1, 1, 2, 1).
    """
    summing = Summing.where(weights, working)
    if in_closed_form:
        return closed_form.total_weights(summing, weights)[None, None]
    return summing.total(weights[None, :, None])[None, None, None]


@task
def scales_of_sizes(largest: Any, *, working: np.dtype) -> Any:
    """Return the factors (2, F) that scale samples and targets of these largest values."""
    return closed_form.fits(Summing.where(largest, working), largest[:, 0].copy())


@task
def moments_of_chunks(
    samples: Any, targets: Any, sample_weight: Any, moments: Any, *, number: int, working: np.dtype
) -> Any:
    """Return the sums of a step of the closed form, (1, outputs, 1, F): a node of their tree."""
    summing = Summing.where(samples, working)
    targets = targets[:, None] if targets.ndim == 1 else targets
    data = samples, targets, sample_weight
    step = steps_of(sample_weight)[number]
    return closed_form.totals(summing, step, *data, moments)[None, :, None]


def keep_nodes(nodes: Any, axis: Any, keepdims: bool) -> Any:
    """Return nodes unchanged."""
    return nodes


@task
def add_nodes(nodes: Any, axis: Any, keepdims: bool) -> Any:
    """Return the sum of neighbouring nodes of the tree, along their first axis."""
    total = Summing.where(nodes, _FLOAT64).added(nodes)
    return total[None] if keepdims else total


@task
def extend_moments(totals: Any, moments: Any, weights: Any, *, number: int, n_samples: int) -> Any:
    """Return the moments of the closed form, extended by those of a step."""
    summing = Summing.where(totals, _FLOAT64)
    step = steps_of(weights)[number]
    return closed_form.with_means(summing, step, moments, totals[:, 0], n_samples, weights)


@task
def settle_moments(moments: Any) -> Any:
    """Return the moments of the closed form in the form used to compute losses."""
    return closed_form.settle(Summing.where(moments, _FLOAT64), moments)


@task
def losses_from_moments(
    weight: Any,
    bias: Any,
    moments: Any,
    *,
    terms: Summands,
    working: np.dtype,
    results: list[tuple[int, np.dtype]],
    divisor: float,
    is_whole: bool,
) -> tuple[Any, ...]:
    """Return the means of the closed form; per subnetwork if features are in several chunks."""
    n_sets = next((len(x) for x in (weight, bias) if x is not None and len(x) != 1), 1)
    shape = n_sets, weight.shape[1]
    summing = Summing.where(weight, working, (3, *shape), terms)
    given = weight, bias, np.ascontiguousarray(moments) if summing.xp is np else moments
    if is_whole:
        outs = [summing.empty(shape[:ndim], of_result) for ndim, of_result in results]
        closed_form.evaluate_losses(summing, *given, outs, divisor)
        return tuple(outs)
    of_each = [summing.empty(shape) for _ in results]
    closed_form.evaluate_losses(summing, *given, of_each, 1.0)
    gradients = (
        divided(x, 2, of_result, divisor)
        for x, (_, of_result) in zip(of_each[1:], results[1:], strict=True)
    )
    return of_each[0], *gradients


def pick_output(results: list[tuple[Any, ...]], *, output: int, **_: Any) -> Any:
    """Return one of the results of `losses_from_moments`."""
    (of_chunk,) = results if isinstance(results, list) else [results]
    return of_chunk[output]


@task
def sum_over_features(results: list[tuple[Any, ...]], *, dtype: np.dtype, divisor: float) -> Any:
    """Return the losses of sets whose features are in several chunks."""
    of_each = [of_chunk[0] for of_chunk in results]
    xp = namespaces.namespace({"losses": of_each[0]})
    return divided(xp.concatenate(of_each, axis=1), 1, dtype, divisor)


@task
def divide(
    totals: Any, weight: Any, *, output: int, ndim: int, dtype: np.dtype, divisor: float
) -> Any:
    """Return the means of totals (outputs, kept, F); with one axis, also over features."""
    return divided(totals[output], ndim, dtype, divisor, weight)


@task
def variance_or_std(totals: Any, weight: Any, *, number: int, divisor: float) -> Any:
    """Return the variance (0) or the standard deviation (1)."""
    means = (divided(total, 2, _FLOAT64, divisor, weight) for total in totals)
    return affine_stats.spread(Summing.where(totals, _FLOAT64), *means)[number]


def divided(total: Any, ndim: int, dtype: np.dtype, divisor: float, weight: Any = None) -> Any:
    """Return totals (kept, F), divided; with one axis, their sums over F."""
    summing = Summing.where(total, _FLOAT64)
    out = summing.empty(total.shape[:ndim], dtype)
    summing.backend.finish(total[None], out, divisor, weight)
    return out
