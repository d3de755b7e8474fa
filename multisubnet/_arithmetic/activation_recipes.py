"""The recipes of the activations and their derivatives.

The exact value is the formula with exact real constants, and its limit at infinity; NaN gives NaN.
Derivatives at kinks are those of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from multisubnet._arithmetic.elementary import (
    Format,
    Scaled,
    absolute,
    at_least,
    at_most,
    clip,
    decay,
    exp,
    expm1,
    fast_sum,
    log1p,
    logistic,
    minus_absolute,
    polynomial,
    product,
    square,
    tanh,
    tanh_derivative,
    two_sum,
)
from multisubnet._arithmetic.recipe import Real


def _linear(x: Real, _, f: Format) -> Real:
    return x


def _linear_derivative(x: Real, _, f: Format) -> Real:
    return _step(x, 1, 1)


def _relu(x: Real, _, f: Format) -> Real:
    return at_least(x, 0)


def _relu_derivative(x: Real, _, f: Format) -> Real:
    return _step(x, 0, 1)


def _relu6(x: Real, _, f: Format) -> Real:
    return clip(x, 0, 6)


def _relu6_derivative(x: Real, _, f: Format) -> Real:
    return _between(x, 0, 6, 1)


def _leaky_relu(x: Real, negative_slope: Real, f: Format) -> Real:
    return (x > 0).select(x, x * negative_slope)


def _leaky_relu_derivative(x: Real, negative_slope: Real, f: Format) -> Real:
    return _step(x, negative_slope, 1)


def _elu(x: Real, alpha: Real, f: Format) -> Real:
    word, low = expm1(x, f)
    return (x < 0).select(alpha * word + alpha * low, x)


def _elu_derivative(x: Real, alpha: Real, f: Format) -> Real:
    e, _ = _unscaled(decay(x, f), f)
    return _step(x, e * alpha, 1)


def _selu(x: Real, _, f: Format) -> Real:
    c = f.constants
    word, low = expm1(x, f)
    below = word * c.selu_product_high + (low * c.selu_product_high + word * c.selu_product_low)
    return (x < 0).select(below, x * c.selu_scale_high + x * c.selu_scale_low)


def _selu_derivative(x: Real, _, f: Format) -> Real:
    c = f.constants
    e = decay(x, f)
    below = e.word * c.selu_product_high * e.power * f.unit
    return _step(x, below, c.selu_scale_high + c.selu_scale_low)


def _softsign(x: Real, _, f: Format) -> Real:
    x = clip(x, -f.largest, f.largest)
    return x / (1.0 + absolute(x, f))


def _softsign_derivative(x: Real, _, f: Format) -> Real:
    root = 1.0 / (1.0 + absolute(x, f))
    return root * root


def _hard_sigmoid(x: Real, _, f: Format) -> Real:
    return clip(x + 3.0, 0.0, 6.0) / 6.0


def _hard_sigmoid_derivative(x: Real, _, f: Format) -> Real:
    return _between(x, -3.0, 3.0, 1 / 6)


def _hard_tanh(x: Real, _, f: Format) -> Real:
    return clip(x, -1.0, 1.0)


def _hard_tanh_derivative(x: Real, _, f: Format) -> Real:
    return _between(x, -1.0, 1.0, 1.0)


def _sigmoid(x: Real, _, f: Format) -> Real:
    negative = x < 0.0
    e, low = _unscaled(decay(minus_absolute(x, f), f), f)
    d, d_low = fast_sum(1.0, e)
    word = negative.select(e, 1.0) / d
    reciprocal = negative.select(1.0 - word, word)  # 1 / d
    return word + (negative.select(low, 0.0) - word * (d_low + low)) * reciprocal


def _sigmoid_derivative(x: Real, _, f: Format) -> Real:
    negative = x < 0.0
    e, _ = _unscaled(decay(minus_absolute(x, f), f), f)
    word = negative.select(e, 1.0) / (1.0 + e)
    reciprocal = negative.select(1.0 - word, word)
    return e * reciprocal * reciprocal


def _tanh(x: Real, _, f: Format) -> Real:
    return tanh(x, f)


def _tanh_derivative(x: Real, _, f: Format) -> Real:
    return tanh_derivative(x, f)


def _exponential(x: Real, _, f: Format) -> Real:
    return exp(x, f)


def _softplus(x: Real, _, f: Format) -> Real:
    e = decay(minus_absolute(x, f), f)
    word, low = log1p(*_unscaled(e, f), f)
    total, rest = two_sum(at_least(x, 0.0), word)
    return (x > f.largest).select(x, total + (rest + low))


def _silu(x: Real, _, f: Format) -> Real:
    s = logistic(absolute(x, f), None, x < 0.0, f)
    return _times(x, s, f)


def _silu_derivative(x: Real, _, f: Format) -> Real:
    return _logistic_product_derivative(x, absolute(x, f), None, 1.0, f)


def _gelu_tanh(x: Real, _, f: Format) -> Real:
    # 0.5 x (1 + tanh(u)) = x / (1 + exp(-2u))
    t = at_most(absolute(x, f), f.constants.tail_end)
    slope, slope_low = _gelu_slope(t, f)
    s = logistic(*product(t, 0.0, slope, slope_low, f), x < 0.0, f)
    return _times(x, s, f)


def _gelu_tanh_derivative(x: Real, _, f: Format) -> Real:
    c = f.constants
    t = at_most(absolute(x, f), c.tail_end)
    slope, slope_low = _gelu_slope(t, f)
    cubic = 3.0 * (c.gelu_cubic_high + c.gelu_cubic_low)
    inner = c.gelu_slope_high + c.gelu_slope_low + cubic * (t * t)
    return _logistic_product_derivative(x, *product(t, 0.0, slope, slope_low, f), inner, f)


def _gelu(x: Real, _, f: Format) -> Real:
    tail, _ = _normal_tail(x, f)
    negative = x < 0.0
    power = tail.power * f.unit
    above, above_low = fast_sum(1.0, 0.0 - tail.word * power)
    word = negative.select(tail.word, above)
    low = negative.select(tail.low, above_low - tail.low * power)
    return _times(x, Scaled(word, low, tail.power), f)


def _gelu_derivative(x: Real, _, f: Format) -> Real:
    c = f.constants
    tail, e = _normal_tail(x, f)
    power = e.power * f.unit
    below = (tail.word + tail.low) * power
    density = e.word * c.normal_density_at_0 * power
    x = clip(x, -c.tail_end, c.tail_end)
    return (x < 0.0).select(below, 1.0 - below) + x * density


def _step(x: Real, below: Any, above: Any) -> Real:
    """Return `below` for x <= 0, `above` for x > 0, and NaN for NaN."""
    return (x <= 0).select(below, (x > 0).select(above, x))


def _between(x: Real, low: float, high: float, inside: float) -> Real:
    """Return `inside` for low < x < high, 0 outside, and NaN for NaN."""
    return (x <= low).select(0, (x < high).select(inside, (x >= high).select(0, x)))


def _times(x: Real, factor: Scaled, f: Format) -> Real:
    """Return x times a scaled factor that tends to 0 at -inf, as the product does, and 1 at inf."""
    finite = at_least(x, f.lowest)
    result = finite * factor.word + finite * factor.low
    return (x < 0.0).select(result * factor.power * f.unit, (x > f.largest).select(x, result))


def _unscaled(x: Scaled, f: Format) -> tuple[Real, Real]:
    """Return the value of a scaled number in two words."""
    return x.word * x.power * f.unit, x.low * x.power * f.unit


def _logistic_product_derivative(x: Real, a: Real, a_low: Any, inner: Any, f: Format) -> Real:
    """Return the derivative of x / (1 + exp(-w)), with |w| = a + a_low and `inner` = dw/dx."""
    e, _ = _unscaled(decay(0.0 - a, f, None if a_low is None else 0.0 - a_low), f)
    s = 1.0 / (1.0 + e)
    x = clip(x, f.lowest, -f.lowest)
    return (x < 0.0).select(e * s, s) + x * inner * (e * s * s)


def _gelu_slope(t: Real, f: Format) -> tuple[Real, Real]:
    """Return 2 sqrt(2 / pi) (1 + 0.044715 t^2) in two words."""
    c = f.constants
    word, low = product(t.constant(c.gelu_cubic_high), c.gelu_cubic_low, *square(t, f), f)
    word, rest = two_sum(t.constant(c.gelu_slope_high), word)
    return fast_sum(word, rest + (low + c.gelu_slope_low))


def _normal_tail(x: Real, f: Format) -> tuple[Scaled, Scaled]:
    """Return the normal distribution function at -|x|, and exp(-x^2 / 2).

    The tail divided by exp(-t^2/2) / (1 + t) changes little from t = 0 to infinity, and is a smooth
    function of t / (t + shift). After Shepherd and Laframboise, Chebyshev approximation of
    (1 + 2x) exp(x^2) erfc(x), Mathematics of Computation 36 (1981).
    """
    c = f.constants
    t = at_most(absolute(x, f), c.tail_end)
    word, low = square(t, f)
    e = decay(-0.5 * word, f, -0.5 * low)
    u = t / (t + c.tail_shift)
    g, g_low = fast_sum(0.5, u * polynomial(2.0 * u - 1.0, c.tail))
    d, d_low = fast_sum(1.0, t)
    word = e.word * g / d
    low = (e.low * g + e.word * g_low - word * d_low) / d
    return Scaled(word, low, e.power), e


class Recipes(NamedTuple):
    """The recipes of an activation. Their arguments are x, the parameter and the format."""

    value: Callable[..., Real]
    derivative: Callable[..., Real]


RECIPES = {
    "linear": Recipes(_linear, _linear_derivative),
    "relu": Recipes(_relu, _relu_derivative),
    "relu6": Recipes(_relu6, _relu6_derivative),
    "leaky_relu": Recipes(_leaky_relu, _leaky_relu_derivative),
    "elu": Recipes(_elu, _elu_derivative),
    "selu": Recipes(_selu, _selu_derivative),
    "softsign": Recipes(_softsign, _softsign_derivative),
    "hard_sigmoid": Recipes(_hard_sigmoid, _hard_sigmoid_derivative),
    "hard_tanh": Recipes(_hard_tanh, _hard_tanh_derivative),
    "sigmoid": Recipes(_sigmoid, _sigmoid_derivative),
    "tanh": Recipes(_tanh, _tanh_derivative),
    "exponential": Recipes(_exponential, _exponential),
    "softplus": Recipes(_softplus, _sigmoid),
    "silu": Recipes(_silu, _silu_derivative),
    "gelu": Recipes(_gelu, _gelu_derivative),
    "gelu_tanh": Recipes(_gelu_tanh, _gelu_tanh_derivative),
}
