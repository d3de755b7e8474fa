"""Compute the polynomials and constants of the recipes, and print them as a module.

    python tools/coefficients.py > multisubnet/_arithmetic/coefficients.py

Each polynomial interpolates its function at Chebyshev nodes, in 200 bits, which is within a small
factor of the best polynomial of its degree (Trefethen, Approximation Theory and Approximation
Practice, 2013, chapter 16). The coefficients are then rounded to the format. The comment behind
each polynomial gives the distance of the rounded polynomial from the function.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
from mpmath import mp, mpf

mp.prec = 200
FORMATS = {"float32": (np.float32, 24), "float64": (np.float64, 53)}

# The lowest degrees whose error is well below the rounding of the result.
EXP_DEGREE = {"float32": 5, "float64": 10}
LOG_DEGREE = {"float32": 3, "float64": 7}
TAIL_DEGREE = {"float32": 9, "float64": 22}
# The tail is smooth in t / (t + shift). The tail times t rounds to 0 from t = end on.
TAIL_SHIFT = {"float32": 4, "float64": 5}
TAIL_END = {"float32": 15, "float64": 40}


def rounded(x: mpf, dtype: type, bits: int | None = None, to=mpmath.nint) -> mpf:
    """Return x rounded to a dtype, or to this many bits."""
    if bits is None:
        # float() rounds to float64. A second rounding to float32 moves a coefficient by less than
        # the interpolation error.
        return mpf(float(dtype(float(x))))
    scale = mpf(2) ** (bits - 1 - int(mpmath.floor(mpmath.log(abs(x), 2))))
    return to(x * scale) / scale


def interpolated(f: Callable[[mpf], mpf], low: mpf, high: mpf, degree: int) -> list[mpf]:
    """Return the coefficients, from the constant up, of a polynomial close to f on [low, high]."""
    n = degree + 1
    middle, radius = (low + high) / 2, (high - low) / 2
    nodes = [middle + radius * mpmath.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    powers = mpmath.matrix([[x**j for j in range(n)] for x in nodes])
    return list(mpmath.lu_solve(powers, mpmath.matrix([f(x) for x in nodes])))


def log2_error(f: Callable[[mpf], mpf], low: mpf, high: mpf, coefficients: list[mpf]) -> float:
    """Return the base-2 logarithm of the polynomial's largest absolute error on [low, high]."""
    points = [low + (high - low) * (i + mpf(1) / 3) / 500 for i in range(500)]
    errors = [abs(mpmath.polyval(coefficients[::-1], x) - f(x)) for x in points]
    return float(mpmath.log(max(errors), 2))


def exp_rest(r: mpf) -> mpf:
    """Return (exp(r) - 1 - r) / r^2."""
    return mpmath.nsum(lambda j: r**j / mpmath.factorial(j + 2), [0, mp.inf])


def log_rest(z: mpf) -> mpf:
    """Return (2 atanh(s) / s - 2) / z with z = s^2."""
    return mpmath.nsum(lambda j: 2 * z**j / (2 * j + 3), [0, mp.inf])


def tail_rest(shift: int) -> Callable[[mpf], mpf]:
    """Return (Phi(-t) exp(t^2/2) (1 + t) - 1/2) / u as a function of 2u - 1.

    Here u = t / (t + shift).
    """

    def function(q: mpf) -> mpf:
        u = (1 + q) / 2
        t = shift * u / (1 - u)
        scaled = mpmath.exp(t * t / 2) * mpmath.erfc(t / mpmath.sqrt(2)) / 2
        return (scaled * (1 + t) - mpf(1) / 2) / u

    return function


def main() -> None:
    """Print the module."""
    print('"""Constants of the recipes for each format: printed by tools/coefficients.py."""\n')
    print("from types import SimpleNamespace\n")
    print("FLOAT32, FLOAT64 = SimpleNamespace(), SimpleNamespace()")
    for name, (dtype, digits) in FORMATS.items():
        prefix = name.upper()

        def show(key: str, value: mpf, prefix: str = prefix) -> None:
            print(f"{prefix}.{key} = {float(value)!r}")

        def fit(key: str, f, low, high, degree: int, dtype=dtype, prefix=prefix) -> None:
            low, high = mpf(low), mpf(high)
            values = [rounded(c, dtype) for c in interpolated(f, low, high, degree)]
            print(f"{prefix}.{key} = (  # to 2**{log2_error(f, low, high, values):.1f}")
            for value in values:
                print(f"    {float(value)!r},")
            print(")")

        def two_words(key: str, value: mpf, bits: int, dtype=dtype) -> None:
            high = rounded(value, dtype, bits)
            show(f"{key}_high", high)
            show(f"{key}_low", rounded(value - high, dtype))

        half = mpmath.log(2) / 2 * mpf("1.001")
        shift, end = TAIL_SHIFT[name], TAIL_END[name]
        print(f"\n{prefix}.digits = {digits}")
        show("log2_e", rounded(1 / mpmath.log(2), dtype))
        # A product with an exponent of up to 8 or 11 bits is exact.
        two_words("ln2", mpmath.log(2), digits - (8 if digits == 24 else 11))
        fit("exp", exp_rest, -half, half, EXP_DEGREE[name])
        fit("log", log_rest, 0, mpf(1) / 25, LOG_DEGREE[name])
        show("tail_shift", mpf(shift))
        show("tail_end", mpf(end))
        fit("tail", tail_rest(shift), -1, mpf(end - shift) / (end + shift), TAIL_DEGREE[name])
        show("normal_density_at_0", rounded(1 / mpmath.sqrt(2 * mp.pi), dtype))
        slope = 2 * mpmath.sqrt(2 / mp.pi)
        two_words("gelu_slope", slope, digits // 2)
        two_words("gelu_cubic", slope * mpf("0.044715"), digits // 2)
        scale = mpf("1.0507009873554804934193349852946")
        # Rounded down, so that a product overflows only if the product of both words does.
        high = rounded(scale, dtype, digits, to=mpmath.floor)
        show("selu_scale_high", high)
        show("selu_scale_low", rounded(scale - high, dtype))
        product = scale * mpf("1.6732632423543772848170429916717")
        two_words("selu_product", product, digits)


if __name__ == "__main__":
    main()
