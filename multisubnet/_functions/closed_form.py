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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.summands import BLOCK
from multisubnet._backends import numpy as _numpy
from multisubnet._functions.summation import Summing

if TYPE_CHECKING:
    from multisubnet._arithmetic.recipe import Program

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
    from multisubnet._arithmetic import recipe as _recipe

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


class Step(NamedTuple):
    """A pass over the samples, in which some moments are known: its means add some more."""

    terms: Callable[..., tuple[Any, ...]]
    takes: int
    adds: int


STEPS = Step(data, 0, 2), Step(products, 2, 2), Step(rest, 3, 1)


@_numpy.quietly
def moments(summing: Summing, samples: Any, targets: Any, sample_weight: Any) -> Any:
    """Return mean(x), mean(t), s, mean((x - mean(x))^2), mean(r^2), of shape (5, F), float64.

    Of samples (B, F), targets (B, F) or (B, 1), sample_weight (B,) or None.
    """
    n_samples, n_features = samples.shape
    found = summing.empty((5, n_features))
    given = samples, targets, sample_weight
    if hasattr(summing.backend, "moments") and summing.backend.moments(given, summing.dtype, found):
        return found
    count: Any = float(n_samples)
    if sample_weight is not None:
        count = total_weight(summing, sample_weight)
    for some in _groups(n_features):
        part = _Data(summing, samples, targets, sample_weight, some)
        known = summing.empty((0, some.stop - some.start))
        for step in STEPS:
            known = with_means(summing, step, known, part.totals(step, known), count)
        found[:, some] = known
    return found


@_numpy.quietly
def totals(
    summing: Summing, step: Step, samples: Any, targets: Any, sample_weight: Any, moments: Any
) -> Any:
    """Return the sums of a step's terms over samples, float64 of shape (outputs, F).

    They are nodes of the tree over all blocks where `Summing.totals` says so.
    """
    found = summing.empty((step.adds, samples.shape[1]))
    for some in _groups(samples.shape[1]):
        part = _Data(summing, samples, targets, sample_weight, some)
        found[:, some] = part.totals(step, moments[:, some])
    return found


@_numpy.quietly
def total_weight(summing: Summing, sample_weight: Any) -> Any:
    """Return the sum of weights, float64 of shape (1,)."""
    part = _Data(summing, sample_weight[:, None], sample_weight[:, None], None, slice(0, 1))
    return part.totals(Step(lambda x, t: (x,), 0, 1), summing.empty((0, 1)))[0]


@_numpy.quietly
def with_means(summing: Summing, step: Step, moments: Any, totals: Any, count: Any) -> Any:
    """Return the moments and those that are the totals of a step, divided by the count."""
    further = totals / count
    if step.terms is products:
        spread, slope = further
        slope /= spread
        slope[spread == 0.0] = 0.0
        further = further[::-1]
    together = summing.empty((len(moments) + len(further), totals.shape[1]))
    together[: len(moments)] = moments
    together[len(moments) :] = further
    return together


@_numpy.quietly
def judge(
    summing: Summing, weight: Any, bias: Any, moments: Any, outs: list[Any], divisor: float
) -> None:
    """Write the loss of each set, or of each of its subnetworks, and its gradients if asked for.

    What comes of each subnetwork is divided by a number.
    """
    given = weight, bias, moments
    if hasattr(summing.backend, "judge") and summing.backend.judge(
        given, summing.dtype, outs, divisor
    ):
        return
    n_sets, n_features = len(outs[0]), weight.shape[1]
    step = max(_ELEMENTS // max(n_features, 1), 1)
    for start in range(0, n_sets, step):
        part = slice(start, min(start + step, n_sets))
        w, b = (
            -0.0 if x is None else _in_float64(summing, x if len(x) == 1 else x[part])
            for x in (weight, bias)
        )
        for result, out in zip(judged(w, b, *moments), outs, strict=False):
            of_each = summing.empty((1, part.stop - part.start, n_features))
            of_each[...] = result
            summing.backend.finish(of_each, out[part], divisor, None)


def _groups(n_features: int) -> list[slice]:
    """Return the features whose moments are computed together."""
    return [slice(first, min(first + _WIDTH, n_features)) for first in range(0, n_features, _WIDTH)]


class _Data:
    """Samples and targets of as many features as there is memory for."""

    def __init__(
        self, summing: Summing, samples: Any, targets: Any, sample_weight: Any, some: slice
    ):
        self._summing = summing
        self._in_float64 = Summing(summing.backend, summing.xp, np.dtype(np.float64), 0.0)
        targets = targets if targets.shape[1] == 1 else targets[:, some]
        weights = None if sample_weight is None else sample_weight[:, None]
        self._arrays = samples[:, some], targets, weights
        # The total of the first, second, ... power of two of blocks is one of those in the tree.
        n_features = some.stop - some.start
        rows = BLOCK << (_ELEMENTS // (BLOCK * n_features)).bit_length() - 1
        self._chunks = [slice(i, i + rows) for i in range(0, max(len(samples), 1), rows)]
        self._latest: tuple[slice, list[Any]] | None = None

    def totals(self, step: Step, moments: Any) -> Any:
        """Return the sums of a step's terms, float64 of shape (outputs, F)."""
        nodes = self._summing.empty((len(self._chunks), step.adds, 1, self._arrays[0].shape[1]))
        for node, rows in zip(nodes, self._chunks, strict=True):
            x, t, weight = self._chunk(rows)
            values = step.terms(x, t, *moments[: step.takes])
            for output, value in zip(node, values, strict=True):
                weighted = value if weight is None else value * weight
                output[0] = self._in_float64.total(weighted[None])
        return self._summing.added(nodes)[:, 0]

    def _chunk(self, rows: slice) -> list[Any]:
        """Return samples, targets and weights of some rows, the latest of which are kept."""
        if self._latest is None or self._latest[0] != rows:
            arrays = (None if x is None else x[rows] for x in self._arrays)
            cast = [None if x is None else _in_float64(self._summing, x) for x in arrays]
            self._latest = rows, cast
        return self._latest[1]


def _in_float64(summing: Summing, array: Any) -> Any:
    """Return a matrix, rounded to the working dtype, in float64.

    By `affine`, since CuPy takes float32 subnormals for zeros.
    """
    out = summing.empty(array.shape)
    one = summing.empty((1, array.shape[1]))
    one[...] = 1.0
    summing.backend.affine(array, one, None, out[None], summing.dtype, None)
    return out
