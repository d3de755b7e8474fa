"""The mean squared error of linear subnetworks, from moments of samples and targets.

With x and t of a feature centred at their means, s the slope of least squares, and r what it leaves
over, the mean over samples of (w x + b - t)^2 is

    mean((x - mean(x))^2) (w - s)^2  +  (w mean(x) + b - mean(t))^2  +  mean(r^2)

whose terms are not negative: nothing cancels. All is done in float64, the sums over samples in the
order that all backends keep.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from multisubnet import _numpy
from multisubnet._sums import Summing
from multisubnet._terms import BLOCK

if TYPE_CHECKING:
    from multisubnet._recipe import Program

_WIDTH = 64  # features whose moments are computed together
_ELEMENTS = 1 << 19  # of an array in float64


# What is computed of each element: on arrays here, as vector instructions by the CPU engine.


def value(x: Any) -> tuple[Any, ...]:
    """Return what is only added up."""
    return (x,)


def data(x: Any, t: Any) -> tuple[Any, ...]:
    """Return what the means are of."""
    return x, t


def products(x: Any, t: Any, mean_x: Any, mean_t: Any) -> tuple[Any, ...]:
    """Return what the second moments are the means of."""
    centred = x - mean_x
    return centred * centred, centred * (t - mean_t)


def rest(x: Any, t: Any, mean_x: Any, mean_t: Any, slope: Any) -> tuple[Any, ...]:
    """Return the square of what the line of least squares leaves over."""
    residual = (t - mean_t) - slope * (x - mean_x)
    return (residual * residual,)


def judged(
    w: Any, b: Any, mean_x: Any, mean_t: Any, slope: Any, spread: Any, rest: Any
) -> tuple[Any, ...]:
    """Return the loss of a subnetwork, and its derivatives with respect to weight and bias."""
    distance = w - slope
    offset = w * mean_x + b - mean_t
    steep = spread * distance
    loss = steep * distance + offset * offset + rest
    return loss, (steep + offset * mean_x) * 2.0, offset * 2.0


@functools.cache
def row_program(name: str, last: str) -> tuple[tuple[str, ...], Program]:
    """Return the names of inputs, and the program, of one of these functions in float64.

    The last input is a number, named `last`: the `weight` by which all results are multiplied, or
    the `divisor` of all but the first one. It may be "", for none.
    """
    from multisubnet import _recipe

    functions: list[Callable[..., tuple[Any, ...]]] = [value, data, products, rest, judged]
    (function,) = (function for function in functions if function.__name__ == name)
    names = tuple(inspect.signature(function).parameters)

    def recipe(*given: Any) -> tuple[Any, ...]:
        values = function(*given[: len(names)])
        if last == "weight":
            return tuple(value * given[-1] for value in values)
        if last == "divisor":
            return values[0], *(value / given[-1] for value in values[1:])
        return values

    all_names = (*names, last) if last else names
    return all_names, _recipe.trace(recipe, np.dtype(np.float64), all_names)


@_numpy.quietly
def write(
    summing: Summing,
    operands: tuple[Any, Any, Any, Any, Any],
    outs: list[Any],
    divisor: float,
) -> None:
    """Write the loss of each set, or of each of its subnetworks, and its gradients if asked for.

    Operands are samples (B, F), weight, bias or None, targets (B, F) or (B, 1), sample_weight (B,)
    or None. What comes of each subnetwork is divided by a number.
    """
    if hasattr(summing.backend, "closed_form") and summing.backend.closed_form(
        operands, summing.dtype, outs, divisor
    ):
        return
    samples, weight, bias, targets, sample_weight = operands
    n_sets = len(outs[0])
    n_features = samples.shape[1]
    moments = _moments(summing, samples, targets, sample_weight)
    step = max(_ELEMENTS // max(n_features, 1), 1)
    for start in range(0, n_sets, step):
        part = slice(start, min(start + step, n_sets))
        w, b = (
            -0.0 if x is None else _in_float64(summing, x if len(x) == 1 else x[part])
            for x in (weight, bias)
        )
        for result, out in zip(judged(w, b, *moments), outs, strict=False):
            totals = summing.empty((1, part.stop - part.start, n_features))
            totals[...] = result
            summing.backend.finish(totals, out[part], divisor, None)


def _moments(summing: Summing, samples: Any, targets: Any, sample_weight: Any) -> Any:
    """Return mean(x), mean(t), s, mean((x - mean(x))^2), mean(r^2), each (F,) in float64."""
    n_features = samples.shape[1]
    found = summing.empty((5, n_features))
    for first in range(0, n_features, _WIDTH):
        some = slice(first, min(first + _WIDTH, n_features))
        t = targets if targets.shape[1] == 1 else targets[:, some]
        for i, moment in enumerate(_of_some(summing, samples[:, some], t, sample_weight)):
            found[i, some] = moment
    return found


def _of_some(
    summing: Summing, samples: Any, targets: Any, sample_weight: Any
) -> tuple[Any, Any, Any, Any, Any]:
    """Return the moments of as many features as there is memory for."""
    n_samples, n_features = samples.shape
    in_float64 = Summing(summing.backend, summing.xp, np.dtype(np.float64), 0.0)
    # The total of the first, second, ... power of two of blocks is one of those in the tree.
    rows = BLOCK << (_ELEMENTS // (BLOCK * n_features)).bit_length() - 1
    chunks = [slice(i, i + rows) for i in range(0, max(n_samples, 1), rows)]
    weights = None if sample_weight is None else sample_weight[:, None]

    @functools.lru_cache(maxsize=1)
    def chunk(number: int) -> list[Any]:
        arrays = samples, targets, weights
        return [None if x is None else _in_float64(summing, x[chunks[number]]) for x in arrays]

    def means(terms: Callable[..., tuple[Any, ...]], *moments: Any) -> list[Any]:
        """Return the weighted means of terms of x, t and moments."""

        def weighted(x: Any, t: Any, weight: Any) -> list[Any]:
            values = terms(x, t, *moments)
            return [value if weight is None else value * weight for value in values]

        return [total / count for total in totals(weighted)]

    def totals(terms: Callable[..., Any]) -> list[Any]:
        of_chunks = [
            [in_float64.total(values[None]) for values in terms(*chunk(number))]
            for number in range(len(chunks))
        ]
        found = []
        for of_term in zip(*of_chunks, strict=True):
            nodes = summing.empty((len(chunks), 1, len(of_term[0])))
            for node, of_chunk in zip(nodes, of_term, strict=True):
                node[0] = of_chunk
            out = summing.empty(nodes.shape[1:])
            summing.backend.finish(nodes, out, 1.0, None)
            found.append(out[0])
        return found

    count: Any = float(n_samples)
    if weights is not None:
        (count,) = totals(lambda x, t, weight: [weight])
    mean_x, mean_t = means(data)
    spread, slope = means(products, mean_x, mean_t)
    slope /= spread
    slope[spread == 0.0] = 0.0
    (left_over,) = means(rest, mean_x, mean_t, slope)
    return mean_x, mean_t, slope, spread, left_over


def _in_float64(summing: Summing, array: Any) -> Any:
    """Return a matrix, rounded to the working dtype, in float64.

    By `affine`, since CuPy takes float32 subnormals for zeros.
    """
    out = summing.empty(array.shape)
    one = summing.empty((1, array.shape[1]))
    one[...] = 1.0
    summing.backend.affine(array, one, None, out[None], summing.dtype, None)
    return out
