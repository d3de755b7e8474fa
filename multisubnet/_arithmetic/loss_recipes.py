"""The recipes of the losses, functions of a prediction p and a target t.

Derivatives are with respect to p; at kinks they are those of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from multisubnet._arithmetic.elementary import (
    Format,
    absolute,
    at_least,
    at_most,
    clip,
    decay,
    exp,
    exp_near,
    fast_sum,
    log,
    log1p,
    log1p_small,
    log_of_positive,
    minus_absolute,
    tanh,
    two_sum,
)
from multisubnet._arithmetic.recipe import Real

_POISSON_EPSILON = 1e-7  # as in Keras
_LEAST_LOG = -100.0  # as in PyTorch
_LEAST_VARIANCE = 1e-12  # as in PyTorch, for p (1 - p)


def _squared_error(p: Real, t: Real, f: Format) -> Real:
    error = p - t
    return error * error


def _squared_error_derivative(p: Real, t: Real, f: Format) -> Real:
    return 2.0 * (p - t)


def _absolute_error(p: Real, t: Real, f: Format) -> Real:
    return absolute(p - t, f)


def _absolute_error_derivative(p: Real, t: Real, f: Format) -> Real:
    error = p - t
    return (error > 0.0).select(1.0, (error < 0.0).select(-1.0, error))


def _huber(p: Real, t: Real, f: Format) -> Real:
    size = absolute(p - t, f)
    within = at_most(size, 1.0)
    return within * (size - within.times_exactly(0.5))


def _huber_derivative(p: Real, t: Real, f: Format) -> Real:
    return clip(p - t, -1.0, 1.0)


def _log_cosh(p: Real, t: Real, f: Format) -> Real:
    # -log(1 - tanh(e)^2) / 2 for small errors e, else |e| - log 2 + log(1 + exp(-2|e|)).
    error = p - t
    size = absolute(error, f)
    tangent = tanh(error, f)
    small = size < 0.5
    e = exp_near(2.0 * minus_absolute(error, f), f)
    log_1p = log1p_small(small.select(0.0 - tangent * tangent, e), f)
    beyond = (size - f.constants.ln2_high) - f.constants.ln2_low
    return small.select(-0.5 * log_1p, beyond + log_1p)


def _log_cosh_derivative(p: Real, t: Real, f: Format) -> Real:
    return tanh(p - t, f)


def _binary_crossentropy(p: Real, t: Real, f: Format) -> Real:
    clipped = clip(p, 0.0, 1.0) + 0.0  # turns -0.0 into +0.0
    rest, rest_low = fast_sum(1.0, 0.0 - clipped)
    yes = at_least(log_of_positive(clipped, f), _LEAST_LOG)
    no = at_least(log_of_positive(rest, f) + rest_low, _LEAST_LOG)  # NaN stays NaN
    return 0.0 - (t * yes + (1.0 - t) * no)


def _binary_crossentropy_derivative(p: Real, t: Real, f: Format) -> Real:
    p = clip(p, 0.0, 1.0)
    return (p - t) / at_least((1.0 - p) * p, _LEAST_VARIANCE)


def _binary_crossentropy_from_logits(p: Real, t: Real, f: Format) -> Real:
    size = absolute(p, f)
    e = decay(0.0 - size, f)
    power = e.power * f.unit
    word, low = log1p(e.word * power, e.low * power, f)
    return size * (p < 0.0).select(t, 1.0 - t) + (word + low)


def _binary_crossentropy_from_logits_derivative(p: Real, t: Real, f: Format) -> Real:
    e = decay(0.0 - absolute(p, f), f)
    e_word = e.word * e.power * f.unit
    return (p < 0.0).select(e_word, 1.0) / (1.0 + e_word) - t


def _hinge(p: Real, t: Real, f: Format) -> Real:
    return at_least(1.0 - t * p, 0.0)


def _hinge_derivative(p: Real, t: Real, f: Format) -> Real:
    margin = 1.0 - t * p
    return (margin >= 0.0).select(0.0 - t, (margin < 0.0).select(0.0, margin))


def _poisson(p: Real, t: Real, f: Format) -> Real:
    return p - t * log(p + _POISSON_EPSILON, f)


def _poisson_derivative(p: Real, t: Real, f: Format) -> Real:
    return 1.0 - t / (p + _POISSON_EPSILON)


def _product(p: Real, t: Real, f: Format) -> Real:
    return p * t


def _product_derivative(p: Real, t: Real, f: Format) -> Real:
    return t


class Recipes(NamedTuple):
    """The recipes of a loss. Their arguments are the prediction, the target and the format."""

    value: Callable[[Real, Real, Format], Real]
    derivative: Callable[[Real, Real, Format], Real]


LOSSES = {
    "squared_error": Recipes(_squared_error, _squared_error_derivative),
    "absolute_error": Recipes(_absolute_error, _absolute_error_derivative),
    "huber": Recipes(_huber, _huber_derivative),
    "log_cosh": Recipes(_log_cosh, _log_cosh_derivative),
    "binary_crossentropy": Recipes(_binary_crossentropy, _binary_crossentropy_derivative),
    "binary_crossentropy_from_logits": Recipes(
        _binary_crossentropy_from_logits, _binary_crossentropy_from_logits_derivative
    ),
    "hinge": Recipes(_hinge, _hinge_derivative),
    "poisson": Recipes(_poisson, _poisson_derivative),
}

# The losses, and the product with a cotangent, which only sums use.
RECIPES = LOSSES | {"product": Recipes(_product, _product_derivative)}


def categorical_crossentropy_from_logits(
    logits: list[Real], label: Real, f: Format
) -> tuple[Real, list[Real]]:
    """Return -log softmax(logits)[label], and its derivatives with respect to the logits.

    All sums run from left to right. With m the largest logit and e = exp(logit - m), the sum of all
    e is 1 + rest, where `rest` leaves out the first logit equal to m: a small loss keeps its
    digits. A label out of range gives NaN.
    """
    largest = logits[0]
    for z in logits[1:]:
        largest = (largest < z).select(z, largest)
    powers = [exp(z - largest, f) for z in logits]
    zero = largest - largest
    of_label = zero / zero
    rest: Real | None = None
    seen: Real = largest.constant(0.0)
    for number, (z, power) in enumerate(zip(logits, powers, strict=True)):
        is_largest = largest <= z
        term = is_largest.select(seen, power)  # the power of the largest logit is 1
        seen = is_largest.select(1.0, seen)
        rest = term if rest is None else rest + term
        of_label = (label < number).select(of_label, (label > number).select(of_label, z))
    assert rest is not None
    total, low = two_sum(largest.constant(1.0), rest)
    value = (log_of_positive(total, f) + low / total) - (of_label - largest)
    slopes = []
    for number, power in enumerate(powers):
        hit = (label < number).select(0.0, (label > number).select(zero.constant(0.0), 1.0))
        slopes.append(power / total - hit)
    return value, slopes
