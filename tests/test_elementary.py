"""The elementary functions that no activation tests alone."""

from __future__ import annotations

import formula
import mpmath
import numpy as np
import pytest
import truth

from multisubnet._arithmetic import coefficients, recipe
from multisubnet._arithmetic.elementary import Format, log
from multisubnet._backends import programs

FORMATS = {"float32": Format(coefficients.FLOAT32), "float64": Format(coefficients.FLOAT64)}


def log_of(x):
    """Run a recipe, in both ways that work without a backend's kernels."""
    form = FORMATS[x.dtype.name]
    program = recipe.trace(lambda value: (log(value, form),), x.dtype, ("x",))
    with np.errstate(all="ignore"):
        (result,) = programs.run_program(program, {"x": x})
        as_read = log(formula.Number(x), form).array
    assert np.array_equal(result, as_read, equal_nan=True)
    return result


@pytest.mark.parametrize("dtype", FORMATS)
def test_log(dtype):
    finfo = np.finfo(dtype)
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            np.exp2(rng.uniform(finfo.minexp - finfo.nmant, finfo.maxexp, 300)),
            rng.uniform(0.5, 2, 600),
            1 + np.outer([1, -1], np.exp2(-np.arange(1.0, 26))).ravel(),
            [finfo.tiny, finfo.smallest_subnormal, finfo.max, np.sqrt(0.5), np.sqrt(2)],
        ]
    ).astype(dtype)
    for one, value in zip(x, log_of(x), strict=True):
        error = truth.ulps(value, mpmath.log(float(one)), finfo.nmant + 1, finfo.minexp)
        assert error <= 1.1, (one, value)


@pytest.mark.parametrize("dtype", FORMATS)
def test_log_at_its_ends(dtype):
    x = np.array([0.0, -0.0, 1, np.inf, -1, -np.inf, np.nan, -1e-40], dtype)
    expected = [-np.inf, -np.inf, 0, np.inf, np.nan, np.nan, np.nan, np.nan]
    assert np.array_equal(log_of(x), np.array(expected, dtype), equal_nan=True)
