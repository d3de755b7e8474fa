"""Losses of single predictions: accuracy, and the same bits on every backend."""

from __future__ import annotations

from unittest import mock

import formula
import numpy as np
import pytest
import truth
from conftest import labels

import multisubnet as ms
from multisubnet._arithmetic.loss_recipes import LOSSES as RECIPES
from multisubnet._functions import loss_problem
from multisubnet._functions.loss_problem import LOSSES
from multisubnet.testing import assert_same_bits

FLOATS = ["float32", "float64"]


def at(functions, loss, p, t, activation=None):
    """Return the loss and its derivative at each prediction and target."""
    one = np.ones((1, 1, p.size), p.dtype)
    weight, targets = p.reshape(1, -1), t.reshape(1, -1)
    values, _, slopes = functions.mean_loss_and_grad(
        one, weight, -0.0 * one[0], targets, loss=loss, activation=activation, per_feature=True
    )
    return values[0], slopes[0]


def test_every_loss_has_a_recipe_and_a_truth():
    assert list(RECIPES) == list(truth.LOSSES) == list(LOSSES)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_agreement_over_the_whole_range(backend, loss, dtype):
    # Uniformly spaced bits; and numbers near 0 and 1, or exactly 0 and 1.
    n, width = 3_000, 8 * np.dtype(dtype).itemsize
    bits = np.arange(n, dtype=np.uint64) * np.uint64((1 << width) // n)
    rng = np.random.default_rng(0)
    p = np.concatenate(
        [
            bits.astype(f"u{width // 8}").view(dtype),
            np.linspace(-120, 120, n).astype(dtype),
            np.linspace(0, 1, n).astype(dtype),
        ]
    )
    t = rng.choice([-1, 0, 1, 0.5, 1e-3, -3.25, 100, np.inf, np.nan], p.size).astype(dtype)
    with np.errstate(all="ignore"):
        t = np.where(rng.random(p.size) < 0.3, p + p.dtype.type(0.25) * t, t)
    with mock.patch.object(loss_problem, "check_targets"):  # allows any targets
        found = at(backend, loss, p, t)
    for actual, desired in zip(found, at(formula, loss, p, t), strict=True):
        assert_same_bits(actual, desired)


HARD = [0.0, 1e-30, 1e-8, 1e-7, 1e-4, 0.1, 0.49, 0.5, 0.51, 0.7, 0.7072, 1.0, 1.5, 2.0, 20.0, 100.0]
TARGETS = {  # for losses whose targets are not close to predictions
    "binary_crossentropy": [0, 1, 0.5, 0.3, 1e-6, 0.999],
    "binary_crossentropy_from_logits": [0, 1, 0.5, 0.3, 1e-6, 0.999],
    "hinge": [-1, 1],
    "poisson": [0, 1, 2, 7, 100],
}


def log_of(p):
    return abs(np.log(p + 1e-7))


# The size of roundings if terms of opposite signs can cancel: in a loss, then in a derivative.
SIZES = {
    "poisson": lambda p, t: (max(p, t, t * log_of(p)), 1 + t / (p + 1e-7)),
    "binary_crossentropy_from_logits": lambda p, t: (0, max(t, 1 / (1 + np.exp(-p)))),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_accuracy(loss, dtype):
    rng = np.random.default_rng(0)
    finfo = np.finfo(dtype)
    p = np.concatenate([np.outer([1, -1], HARD).ravel(), rng.normal(size=30) * 10])
    p = np.concatenate([p, rng.uniform(size=30), 10.0 ** rng.uniform(-30, 2, 30), [finfo.tiny]])
    if loss == "poisson":
        p = abs(p)
    if loss == "binary_crossentropy":
        p = np.concatenate([p[(p >= 0) & (p <= 1)], 1 - 10.0 ** rng.uniform(-16, 0, 30)])
    p = p.astype(dtype)
    if loss in TARGETS:
        t = rng.choice(TARGETS[loss], p.size)
    else:
        t = np.where(rng.random(p.size) < 0.5, 1, 1 + 10.0 ** rng.uniform(-16, 0, p.size)) * p
        t = np.where(rng.random(p.size) < 0.3, rng.normal(size=p.size), t)
    t = t.astype(dtype)
    results = [values.astype(dtype) for values in at(ms, loss, p, t)]
    for one, target, *values in zip(p, t, *results, strict=True):
        sizes = SIZES.get(loss, lambda p, t: (0, 0))(float(one), float(target))
        for value, desired, size in zip(
            values, truth.true_loss(loss, one, target), sizes, strict=True
        ):
            error = truth.ulps(value, desired, finfo.nmant + 1, finfo.minexp, at_least=size)
            assert error <= 4, (one, target, value, desired)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_gives_nan(backend, loss, dtype):
    nan, one = np.full(1, np.nan, dtype), np.full(1, 0.5, dtype)
    for p, t in [(nan, one), (nan, nan), (one, nan)]:
        value, slope = at(backend, loss, p, labels(loss, t))
        assert np.isnan(value).all()
        assert np.isnan(slope).all()


INF = np.inf
ENDS = [  # loss, p, t, its value and derivative
    ("squared_error", 1e30, 0, INF, 2e30),
    ("squared_error", -INF, 0, INF, -INF),
    ("absolute_error", 3, 3, 0, 0),
    ("absolute_error", -INF, 3, INF, -1),
    ("huber", 4, 3, 0.5, 1),
    ("huber", 2, 3, 0.5, -1),
    ("huber", 3, 3, 0, 0),
    ("huber", INF, 3, INF, 1),
    ("log_cosh", 3, 3, 0, 0),
    ("log_cosh", 1e30, 0, 1e30, 1),
    ("log_cosh", -INF, 0, INF, -1),
    ("binary_crossentropy", 0, 0, 0, 0),
    ("binary_crossentropy", 0, 1, 100, -1e12),
    ("binary_crossentropy", 1, 0, 100, 1e12),
    ("binary_crossentropy", 1, 1, 0, 0),
    ("binary_crossentropy", 0, 0.5, 50, -0.5e12),
    ("binary_crossentropy", -0.0, 0, 0, 0),
    ("binary_crossentropy", -0.0, 1, 100, -1e12),
    ("binary_crossentropy", -0.5, 1, 100, -1e12),
    ("binary_crossentropy", 1.5, 0.5, 50, 0.5e12),
    ("binary_crossentropy", INF, 1, 0, 0),
    ("binary_crossentropy_from_logits", 1e30, 0, 1e30, 1),
    ("binary_crossentropy_from_logits", 1e30, 1, 0, 0),
    ("binary_crossentropy_from_logits", -1e30, 0, 0, 0),
    ("binary_crossentropy_from_logits", -1e30, 1, 1e30, -1),
    ("hinge", 1, 1, 0, -1),
    ("hinge", -1, -1, 0, 1),
    ("hinge", 2, 1, 0, 0),
    ("hinge", 0, 1, 1, -1),
    ("hinge", -INF, 1, INF, -1),
    ("poisson", 3, 0, 3, 1),
    ("poisson", INF, 0, np.nan, 1),
    ("poisson", -1, 1, np.nan, None),
]


@pytest.mark.parametrize(("loss", "p", "t", "value", "slope"), ENDS, ids=str)
@pytest.mark.parametrize("dtype", FLOATS)
def test_ends_and_kinks(loss, p, t, value, slope, dtype):
    with np.errstate(over="ignore"):
        p, t = np.array([p], dtype), np.array([t], dtype)
        expected = np.array([value, value if slope is None else slope], dtype)
        if loss == "squared_error" and dtype == "float64":
            expected[0] = p[0] * p[0]
    found = at(ms, loss, p, t)
    assert np.isclose(found[0][0], expected[0], rtol=1e-6, atol=0, equal_nan=True)
    if slope is not None:
        assert np.isclose(found[1][0], expected[1], rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "relu6", "hard_tanh"])
def test_slopes_at_the_kinks_of_activations(name):
    x = np.array([0.0, 6.0, 1.0, -1.0])
    _, slope = at(ms, "absolute_error", x, np.full(4, 100.0), activation=name)
    derivative = ms.affine(x[None], np.ones((1, 4)), activation=ms.Activation(name).derivative)
    assert np.array_equal(slope, -derivative[0, 0])


def test_the_probability_minus_zero(backend):
    for target in (0.0, 1.0):
        losses = [
            backend.mean_loss(
                *(np.array([[p]]), np.ones((1, 1)), None, np.array([target])),
                loss="binary_crossentropy",
            )
            for p in (0.0, -0.0)
        ]
        assert_same_bits(*losses)
