"""Recipes of the elementary functions from which activations and losses are made.

Each is written with single-rounded operations only, without fused multiply-adds, branches or
tables. Where a rounding would show in the result, its error is carried along as a second word:
`a` and `a_low` stand for the unrounded sum a + a_low.

The reduction of exp is Cody and Waite's (Software Manual for the Elementary Functions, 1980), with
Dekker's exact sums (A floating-point technique for extending the available precision, 1971); that
of log is the one of FreeBSD's e_log.c. Polynomials come from tools/coefficients.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import NamedTuple

from multisubnet._recipe import Bits, Boolean, Real


class Format:
    """What recipes need to know of float32 or float64."""

    def __init__(self, constants: SimpleNamespace) -> None:
        self.constants = constants
        self.width = 32 if constants.digits == 24 else 64  # bits
        self.fraction = constants.digits - 1  # bits of it that hold the fraction
        self.bias = (1 << (self.width - self.fraction - 2)) - 1
        self.sign = 1 << (self.width - 1)
        # exp of it, times any x below it, is rounded to zero.
        self.lowest = -math.log(2) * (self.bias + constants.digits + 16)
        self.largest = (2 - 2.0**-self.fraction) * 2.0**self.bias
        # Added to a number that is not too large, it rounds it to an integer, which is then found
        # in the low bits of the sum.
        self.rounder = 1.5 * 2.0**self.fraction
        self.rounder_bits = ((self.bias + self.fraction) << self.fraction) | (
            1 << (self.fraction - 1)
        )


class Scaled(NamedTuple):
    """A number (word + low) * 2**exponent, scaled in the end, when nothing else is rounded."""

    word: Real
    low: Real
    exponent: Bits  # and twice the format's bias


def absolute(x: Real, f: Format) -> Real:
    """Return |x|."""
    return (x.bits & (f.sign - 1)).real


def with_sign_of(x: Real, magnitude: Real, f: Format) -> Real:
    """Return a magnitude, whatever its own sign, with the sign of x."""
    return ((magnitude.bits & (f.sign - 1)) | (x.bits & f.sign)).real


def at_least(x: Real, low: float) -> Real:
    """Return max(x, low), and NaN for NaN."""
    return (x < low).select(low, x)


def at_most(x: Real, high: float) -> Real:
    """Return min(x, high), and NaN for NaN."""
    return (x > high).select(high, x)


def polynomial(x: Real, coefficients: Sequence[float]) -> Real:
    """Return a polynomial, of coefficients from the constant up, by Horner's rule."""
    result = x.constant(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result = result * x + coefficient
    return result


def fast_sum(a: Real | float, b: Real) -> tuple[Real, Real]:
    """Return a + b in two words, exactly, if |a| >= |b| or a = 0 (Dekker's Fast2Sum)."""
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
    return fast_sum(high * high, (x + high) * low)


def product(a: Real, a_low: Real | float, b: Real, b_low: Real | float, f: Format):
    """Return (a + a_low) * (b + b_low) in two words."""
    (a, a_rest), (b, b_rest) = halves(a, f), halves(b, f)
    return fast_sum(a * b, a * (b_rest + b_low) + (a_rest + a_low) * (b + b_rest))


def power_of_two(exponent: Bits, f: Format) -> Real:
    """Return 2**(exponent - bias)."""
    return (exponent << f.fraction).real


def scale(x: Real, exponent: Bits, f: Format) -> Real:
    """Return x * 2**(exponent - 2 bias), rounded once: by halves, of which the first is exact."""
    half = exponent >> 1
    return x * power_of_two(half, f) * power_of_two(exponent - half, f)


def _reduced(x: Real, x_low: Real | None, f: Format) -> tuple[Real, Real, Bits]:
    """Return r, q, n such that exp(x) = 2**n (1 + r + q), with |r| < 0.35; n as the low bits."""
    c = f.constants
    rounded = x * c.log2_e + f.rounder
    n = rounded - f.rounder
    rest = x - n * c.ln2_high  # exact
    correction = n * c.ln2_low
    if x_low is not None:
        correction = correction - x_low
    r = rest - correction
    r_low = (rest - r) - correction
    return r, r * r * polynomial(r, c.exp) + r_low, rounded.bits


def exp(x: Real, f: Format, x_low: Real | None = None) -> Scaled:
    """Return exp(x + x_low), for finite |x| up to 4 bias / 3."""
    r, q, n = _reduced(x, x_low, f)
    word, low = fast_sum(1.0, r)
    word, low = fast_sum(word, low + q)
    return Scaled(word, low, n - (f.rounder_bits - 2 * f.bias))


def expm1(x: Real, f: Format) -> tuple[Real, Real]:
    """Return exp(x) - 1 in two words, for |x| up to 2 bias / 3."""
    r, q, n = _reduced(x, None, f)
    power = power_of_two(n - (f.rounder_bits - f.bias), f)
    word, low = fast_sum(power - 1.0, power * r)
    return fast_sum(word, low + power * q)


def log1p(x: Real, x_low: Real, f: Format) -> tuple[Real, Real]:
    """Return log(1 + x + x_low) in two words, for x in [0, 1]."""
    c = f.constants
    halved = x > 0.5
    g = halved.select((x - 1.0) * 0.5, x)  # exact: log(1 + x) = log(2 or 1) + log(1 + g)
    g_low = halved.select(x_low * 0.5, x_low)
    s = g / (g + 2.0)
    z = s * s
    half_square = 0.5 * g * g
    rest = half_square - s * (half_square + z * polynomial(z, c.log))
    word, low = fast_sum(halved.select(x.constant(c.ln2_high), 0.0), g)
    return fast_sum(word, low + (halved.select(x.constant(c.ln2_low), 0.0) - rest + g_low))


def logistic(a: Real, a_low: Real | None, negative: Boolean, f: Format) -> Scaled:
    """Return 1 / (1 + exp(-a)), or 1 / (1 + exp(a)) where `negative`, for a >= 0."""
    a = at_most(a, -f.lowest)
    e = exp(0.0 - a, f, None if a_low is None else 0.0 - a_low)
    power = scale(a.constant(1.0), e.exponent, f)
    d, d_low = fast_sum(1.0, e.word * power)
    d_low = d_low + e.low * power
    word = negative.select(e.word, 1.0) / d
    whole = word * negative.select(power, 1.0)
    reciprocal = negative.select(1.0 - whole, whole)  # of d
    low = (negative.select(e.low, 0.0) - word * d_low) * reciprocal
    return Scaled(word, low, negative.select(e.exponent, 2 * f.bias))
