"""The true values of activations, losses and their derivatives, from mpmath with 200 bits."""

from __future__ import annotations

import mpmath as m
from mpmath import mpf

m.mp.prec = 200
SCALE = mpf("1.0507009873554804934193349852946")
ALPHA = mpf("1.6732632423543772848170429916717")
GELU = m.sqrt(2 / m.pi)


def _sigmoid(x):
    return 1 / (1 + m.exp(-x))


def _elu(x, alpha):
    return x if x > 0 else alpha * m.expm1(x)


def _elu_derivative(x, alpha):
    return 1 if x > 0 else alpha * m.exp(x)


def _gelu_u(x):
    return 2 * GELU * (x + mpf("0.044715") * x**3)


def _gelu_tanh_derivative(x):
    s, slope = _sigmoid(_gelu_u(x)), 2 * GELU * (1 + 3 * mpf("0.044715") * x**2)
    return s + x * s * _sigmoid(-_gelu_u(x)) * slope


# By name: the value and the derivative.
TRUTH = {
    "linear": (lambda x: x, lambda x: 1),
    "relu": (lambda x: max(x, 0), lambda x: x > 0),
    "relu6": (lambda x: min(max(x, 0), 6), lambda x: 0 < x < 6),
    "leaky_relu": (lambda x, a: x if x > 0 else a * x, lambda x, a: 1 if x > 0 else a),
    "elu": (_elu, _elu_derivative),
    "selu": (lambda x: SCALE * _elu(x, ALPHA), lambda x: SCALE * _elu_derivative(x, ALPHA)),
    "softsign": (lambda x: x / (1 + abs(x)), lambda x: (1 + abs(x)) ** -2),
    "hard_sigmoid": (
        lambda x: min(max(x + 3, 0), 6) / mpf(6),
        lambda x: 1 / mpf(6) if -3 < x < 3 else 0,
    ),
    "hard_tanh": (lambda x: min(max(x, -1), 1), lambda x: -1 < x < 1),
    "sigmoid": (_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "tanh": (m.tanh, lambda x: 4 * _sigmoid(2 * x) * _sigmoid(-2 * x)),
    "exponential": (m.exp, m.exp),
    "softplus": (lambda x: m.log1p(m.exp(x)), _sigmoid),
    "silu": (
        lambda x: x * _sigmoid(x),
        lambda x: _sigmoid(x) * (1 + x * _sigmoid(-x)),
    ),
    "gelu": (lambda x: x * m.ncdf(x), lambda x: m.ncdf(x) + x * m.npdf(x)),
    "gelu_tanh": (lambda x: x * _sigmoid(_gelu_u(x)), _gelu_tanh_derivative),
}


def _log(x, minus=0):
    return max(m.log1p(-minus) if minus else m.log(x), -100) if x > minus else mpf(-100)


# By name: the value and the derivative with respect to the prediction p; t is the target.
LOSSES = {
    "squared_error": (lambda p, t: (p - t) ** 2, lambda p, t: 2 * (p - t)),
    "absolute_error": (lambda p, t: abs(p - t), lambda p, t: m.sign(p - t)),
    "huber": (
        lambda p, t: (p - t) ** 2 / 2 if abs(p - t) <= 1 else abs(p - t) - 0.5,
        lambda p, t: min(max(p - t, -1), 1),
    ),
    "log_cosh": (
        lambda p, t: abs(p - t) + m.log1p(m.expm1(-2 * abs(p - t)) / 2),
        lambda p, t: m.tanh(p - t),
    ),
    "binary_crossentropy": (
        lambda p, t: -t * _log(p) - (1 - t) * _log(1, minus=p),
        lambda p, t: (p - t) / max(p * (1 - p), mpf("1e-12")),
    ),
    "binary_crossentropy_from_logits": (
        lambda p, t: max(p, 0) - p * t + m.log1p(m.exp(-abs(p))),
        lambda p, t: _sigmoid(p) - t,
    ),
    "hinge": (lambda p, t: max(1 - t * p, 0), lambda p, t: -t if t * p <= 1 else 0),
    "poisson": (
        lambda p, t: p - t * m.log(p + mpf("1e-7")),
        lambda p, t: 1 - t / (p + mpf("1e-7")),
    ),
}


def true_loss(loss, p, t):
    """Return the true loss and derivative for floats."""
    return [mpf(function(mpf(float(p)), mpf(float(t)))) for function in LOSSES[loss]]


def true(activation, x, parameter):
    """Return the true value for a float x and a rounded parameter."""
    function = TRUTH[activation.name][activation.is_derivative]
    x = mpf(float(x))
    if activation.parameter is None:
        return mpf(function(x))
    return mpf(function(x, mpf(float(parameter))))


def ulps(actual, desired, digits, smallest_exponent, at_least=0):
    """Return the error of a float, in units of the last place of its true value."""
    size = max(abs(desired), mpf(at_least))
    exponent = int(m.floor(m.log(size, 2))) if size else smallest_exponent
    return abs(mpf(float(actual)) - desired) / mpf(2) ** (
        max(exponent, smallest_exponent) - digits + 1
    )
