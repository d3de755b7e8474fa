"""Recipes of the elementary functions that activations are made of.

They use only single-rounded operations, without branches or tables; no result depends on fused
multiply-adds. If a rounding error would affect the result, a second word carries it: `a` and
`a_low` stand for the unrounded sum a + a_low.

The reduction of exp is that of Cody and Waite (Software Manual for the Elementary Functions, 1980),
with Dekker's exact sums (A floating-point technique for extending the available precision, 1971).
The reduction of log is that of FreeBSD's e_log.c. The polynomials come from tools/coefficients.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from multisubnet._arithmetic.recipe import Bits, Boolean, Real


class Format:
    """The properties of float32 or float64 that recipes need."""

    def __init__(self, constants: SimpleNamespace) -> None:
        self.constants = constants
        self.width = 32 if constants.digits == 24 else 64  # bits
        self.fraction = constants.digits - 1  # bits of the fraction
        self.bias = (1 << (self.width - self.fraction - 2)) - 1
        self.sign = 1 << (self.width - 1)
        self.spare = self.bias // 2 + 1
        self.unit = 2.0**-self.spare
        # exp(lowest), times any x below it, rounds to zero.
        self.lowest = -math.log(2) * (self.bias + constants.digits + 16)
        self.largest = (2 - 2.0**-self.fraction) * 2.0**self.bias
        # Adding this number rounds a number of moderate size to an integer, and leaves the integer
        # in the low bits of the sum.
        self.rounder = 1.5 * 2.0**self.fraction
        self.rounder_bits = ((self.bias + self.fraction) << self.fraction) | (
            1 << (self.fraction - 1)
        )


class Scaled(NamedTuple):
    """A number (word + low) * power * f.unit; multiplying it out at the end rounds once."""

    word: Real
    low: Real
    power: Real


def absolute(x: Real, f: Format) -> Real:
    """Return |x|."""
    return (x.bits & (f.sign - 1)).real


def minus_absolute(x: Real, f: Format) -> Real:
    """Return -|x|."""
    return (x.bits | f.sign).real


def with_sign_of(x: Real, magnitude: Real, f: Format) -> Real:
    """Return a magnitude, regardless of its own sign, with the sign of x."""
    return ((magnitude.bits & (f.sign - 1)) | (x.bits & f.sign)).real


def at_least(x: Real, low: float) -> Real:
    """Return max(x, low), and NaN for NaN."""
    return (x < low).select(low, x)


def at_most(x: Real, high: float) -> Real:
    """Return min(x, high), and NaN for NaN."""
    return (x > high).select(high, x)


def clip(x: Real, low: float, high: float) -> Real:
    """Return min(max(x, low), high), and NaN for NaN."""
    return at_most(at_least(x, low), high)


def polynomial(x: Real, coefficients: Sequence[float]) -> Real:
    """Return a polynomial, given its coefficients from the constant up.

    Neighbouring terms are combined in pairs, with x, then x^2, then x^4 (Estrin's scheme). This
    takes as many operations as Horner's rule, but with shorter chains of dependences.
    """
    terms: list[Any] = list(coefficients)
    while len(terms) > 1:
        pairs = [a + x * b for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
        x = x * x
    return terms[0]


def fast_sum(a: Real | float, b: Real) -> tuple[Real, Real]:
    """Return a + b in two words (Dekker's Fast2Sum).

    They are exact if |a| >= |b|, if a = 0, or if a is a multiple of the last place of b.
    """
    total = a + b
    return total, (a - total) + b


def two_sum(a: Real, b: Real) -> tuple[Real, Real]:
    """Return a + b in two words, exactly (Knuth's 2Sum)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def halves(x: Real, f: Format) -> tuple[Real, Real]:
    """Return x as a sum of two numbers of half its digits, whose products are exact."""
    high = (x.bits & (-1 << ((f.fraction + 2) // 2)) % (2 * f.sign)).real
    return high, x - high


def square(x: Real, f: Format) -> tuple[Real, Real]:
    """Return x * x in two words."""
    high, low = halves(x, f)
    return fast_sum(high.times_exactly(high), (x + high) * low)


def product(
    a: Real, a_low: Real | float, b: Real, b_low: Real | float, f: Format
) -> tuple[Real, Real]:
    """Return (a + a_low) * (b + b_low) in two words."""
    (a, a_rest), (b, b_rest) = halves(a, f), halves(b, f)
    rest = a * (b_rest + b_low) + (a_rest + a_low) * (b + b_rest)
    return fast_sum(a.times_exactly(b), rest)


def power_of_two(exponent: Bits, f: Format) -> Real:
    """Return 2**(exponent - bias)."""
    return (exponent << f.fraction).real


def _exp_parts(x: Real, x_low: Real | None, f: Format) -> tuple[Real, Real, Bits]:
    """Return p, its low word, and n in low bits, such that exp(x + x_low) = 2**n (1 + p)."""
    c = f.constants
    rounded = x * c.log2_e + f.rounder
    n = rounded - f.rounder
    rest = x - n.times_exactly(c.ln2_high)  # exact
    correction = n * c.ln2_low
    r = rest - (correction if x_low is None else correction - x_low)
    p, p_low = fast_sum(r, r * r * polynomial(r, c.exp))
    return p, p_low, rounded.bits - f.rounder_bits


def exp(x: Real, f: Format) -> Real:
    """Return the exponential function of x."""
    p, _, n = _exp_parts(clip(x, f.lowest, -f.lowest), None, f)
    n = n + 2 * f.bias
    half = n >> 1
    return (p + 1.0) * power_of_two(half, f) * power_of_two(n - half, f)


def decay(x: Real, f: Format, x_low: Real | None = None) -> Scaled:
    """Return exp(x + x_low), for x <= 0."""
    p, _, n = _exp_parts(at_least(x, f.lowest), x_low, f)
    word, low = fast_sum(1.0, p)
    return Scaled(word, low, power_of_two(n + (f.bias + f.spare), f))


def expm1(x: Real, f: Format) -> tuple[Real, Real]:
    """Return exp(x) - 1 in two words, for x <= 0."""
    p, p_low, n = _exp_parts(at_least(x, f.lowest / 4), None, f)
    power = power_of_two(n + f.bias, f)
    word, low = fast_sum(power - 1.0, power.times_exactly(p))
    return word, low + power.times_exactly(p_low)


def exp_near(x: Real, f: Format) -> Real:
    """Return exp(x) for x <= 0, and 0 where expm1 is -1; shares most operations with expm1."""
    p, _, n = _exp_parts(at_least(x, f.lowest / 4), None, f)
    power = power_of_two(n + f.bias, f)
    return (x < f.lowest / 4).select(0.0, power + power.times_exactly(p))


def tanh(x: Real, f: Format) -> Real:
    """Return the hyperbolic tangent of x."""
    return with_sign_of(x, _tanh_of_minus(x, f), f)


def tanh_derivative(x: Real, f: Format) -> Real:
    """Return 1 - tanh(x)^2, as exp(-2|x|) (1 + tanh |x|)^2."""
    s, s_low = fast_sum(1.0, 0.0 - _tanh_of_minus(x, f))
    product = exp_near(2.0 * minus_absolute(x, f), f) * s
    return product * s + 2.0 * product * s_low


def _tanh_of_minus(x: Real, f: Format) -> Real:
    """Return the hyperbolic tangent of -|x|."""
    # With t = exp(-2|x|) - 1: tanh |x| = -t / (2 + t), and 1 / (2 + t) = (1 + tanh |x|) / 2.
    t, t_low = expm1(2.0 * minus_absolute(x, f), f)
    d, d_low = fast_sum(2.0, t)
    word = t / d
    return word + (t_low - word * (d_low + t_low)) * (0.5 - word.times_exactly(0.5))


def log(x: Real, f: Format) -> Real:
    """Return the natural logarithm of x: -inf for 0, NaN for negative x."""
    infinite = 0.0 - 1.0 / absolute(x, f)  # infinite if x is 0
    special = (x < 0.0).select((x - x) / (x - x), infinite)
    result = (x > 0.0).select(log_of_positive(x, f), special)
    return (x <= f.largest).select(result, x)


def log_of_positive(x: Real, f: Format) -> Real:
    """Return the logarithm of finite x > 0; for 0, a number below all other results."""
    c = f.constants
    subnormal = x < 2.0 ** (1 - f.bias)
    normal = subnormal.select(x * 2.0**c.digits, x)
    # x = 2**n (1 + g), with 1 + g from 0.707, whose bits are `least`, to 1.414.
    least = ((f.bias - 1) << f.fraction) | int((math.sqrt(2) - 1) * 2.0**f.fraction)
    shifted = normal.bits + ((f.bias << f.fraction) - least)
    g = ((shifted & ((1 << f.fraction) - 1)) + least).real - 1.0  # exact
    integer = 2.0**f.fraction  # in this range, the last bit has the value 1
    integer_bits = (f.bias + f.fraction) << f.fraction
    n = ((shifted >> f.fraction) + integer_bits).real - (integer + f.bias)
    n = n - subnormal.select(n.constant(c.digits), 0.0)
    word, low = fast_sum(n.times_exactly(c.ln2_high), g)
    return word + (low + (n * c.ln2_low - _log_rest(g, f)))


def _log_rest(g: Real, f: Format) -> Real:
    """Return g - log(1 + g), for g from -0.3 to 0.5."""
    s = g / (g + 2.0)
    z = s * s
    half_square = 0.5 * g * g
    return half_square - s * (half_square + z * polynomial(z, f.constants.log))


def log1p_small(x: Real, f: Format) -> Real:
    """Return log(1 + x), for x from -0.3 to 0.5."""
    return x - _log_rest(x, f)


def log1p(x: Real, x_low: Real, f: Format) -> tuple[Real, Real]:
    """Return log(1 + x + x_low) in two words, for x in [0, 1]."""
    c = f.constants
    halved = x > 0.5
    g = halved.select((x - 1.0) * 0.5, x)  # exact: log(1 + x) = log(2 or 1) + log(1 + g)
    g_low = halved.select(x_low * 0.5, x_low)
    rest = _log_rest(g, f)
    word, low = fast_sum(halved.select(x.constant(c.ln2_high), 0.0), g)
    return fast_sum(word, low + (halved.select(x.constant(c.ln2_low), 0.0) - rest + g_low))


def logistic(a: Real, a_low: Real | None, negative: Boolean, f: Format) -> Scaled:
    """Return 1 / (1 + exp(-a)), or 1 / (1 + exp(a)) where `negative`, for a >= 0.

    Where it is not `negative`, the result is word + low, without scale.
    """
    e = decay(0.0 - a, f, None if a_low is None else 0.0 - a_low)
    power = e.power * f.unit
    d, d_low = fast_sum(1.0, e.word.times_exactly(power))
    d_low = d_low + e.low * power
    numerator = negative.select(e.word, 1.0)
    quotient = numerator / d
    reciprocal = negative.select(1.0 - quotient.times_exactly(power), quotient)  # 1 / d
    # The remainder of the quotient's upper half is exact.
    (word, _), (d, d_rest) = halves(quotient, f), halves(d, f)
    rest = (numerator - word.times_exactly(d)) - word * (d_rest + d_low)
    return Scaled(word, (rest + negative.select(e.low, 0.0)) * reciprocal, e.power)
