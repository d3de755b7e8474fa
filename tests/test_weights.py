"""Weights of samples and sets: only ratios matter, for any size, sign and dtype."""

from __future__ import annotations

from fractions import Fraction

import formula
import numpy as np
import pytest
from conftest import examples, few, labels
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses import assert_all_same_bits

import multisubnet as ms
from multisubnet._functions.loss_problem import LOSSES
from multisubnet.testing import assert_same_bits

ACTIVATION_OF = {"binary_crossentropy": "sigmoid", "poisson": "softplus"}


def seeds():
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def operands_of(rng, dtype, n_sets=3, n_samples=40, n_features=5):
    shapes = (n_samples, n_features), (n_sets, n_features), (n_sets, n_features)
    operands = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    return *operands, rng.integers(0, 2, (n_samples, n_features)).astype(dtype)


def losses_of(backend, operands, loss, **options):
    activation = ACTIVATION_OF.get(loss)
    operands = *operands[:3], labels(loss, operands[3])
    return backend.mean_loss_and_grad(*operands, loss=loss, activation=activation, **options)


@settings(max_examples=examples(1 / 10))
@given(
    rng=seeds(),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    exponent=st.integers(-1000, 900),
    loss=st.sampled_from(LOSSES),
)
def test_the_size_of_weights_does_not_matter(backend, rng, dtype, exponent, loss):
    operands = operands_of(rng, dtype)
    factors = rng.uniform(0.5, 1, 40)
    desired = losses_of(backend, operands, loss, sample_weight=factors)
    factors *= 2.0**exponent
    assert_all_same_bits(losses_of(backend, operands, loss, sample_weight=factors), desired)


@settings(max_examples=examples(1 / 10))
@given(
    rng=seeds(),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    exponent=st.integers(-1000, 900),
)
def test_the_size_of_set_weights_does_not_matter(backend, rng, dtype, exponent):
    *operands, _ = operands_of(rng, dtype, n_sets=40)
    likelihood = rng.uniform(0.5, 1, 40)
    options = {"statistics": ("mean", "var", "std")}
    desired = backend.affine_stats(*operands, set_weight=likelihood, **options)
    likelihood *= 2.0**exponent
    result = backend.affine_stats(*operands, set_weight=likelihood, **options)
    assert_all_same_bits(result, desired)


@pytest.mark.parametrize("loss", few(LOSSES, 5))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_one_change_nothing(backend, loss, dtype):
    operands = operands_of(np.random.default_rng(0), dtype)
    desired = losses_of(backend, operands, loss)
    for one in (np.ones(40), np.full(40, np.float32(1e-45)), np.full(40, 7, "i1"), -np.ones(40)):
        result = losses_of(backend, operands, loss, sample_weight=one)
        for actual, of_none in zip(result, desired, strict=True):
            assert np.allclose(actual, of_none, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("of_weights", ["bool", "int8", "uint64", "float16", "float32", "float64"])
def test_dtypes_of_weights_and_data(backend, dtype, of_weights):
    rng = np.random.default_rng(1)
    operands = operands_of(rng, dtype)
    factors = rng.integers(0, 2 if of_weights == "bool" else 9, 40).astype(of_weights)
    if of_weights.startswith("float"):
        factors = factors * np.finfo(of_weights).smallest_subnormal
    errors = abs(ms.affine(*operands[:3]) - operands[3]).astype(float)
    desired = np.average(errors.mean(2), axis=1, weights=factors.astype(float) / factors.max())
    result = backend.mean_loss(*operands, loss="absolute_error", sample_weight=factors)
    assert np.allclose(result, desired, rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_that_sum_to_zero_are_no_mean(backend, loss):
    operands = operands_of(np.random.default_rng(2), "float32", n_samples=4)
    for factors in ([0, 0, 0, 0], [1, -1, 1, -1], [1, np.nan, 1, 1], [np.inf, 1, 1, 1]):
        factors = np.array(factors, float)
        results = losses_of(backend, operands, loss, sample_weight=factors)
        for result in results:
            assert np.isnan(result).all()


def test_weights_of_sets_that_sum_to_zero_are_no_mean(backend):
    *operands, _ = operands_of(np.random.default_rng(3), "float32", n_sets=4)
    for factors in ([0, 0, 0, 0], [1, -1, 1, -1], [1, np.nan, 1, 1], [np.inf, 1, 1, 1]):
        options = {"set_weight": np.array(factors, float), "statistics": ("mean", "var", "std")}
        for result in backend.affine_stats(*operands, **options):
            assert np.isnan(result).all()


def test_a_weight_of_zero_hides_no_nan(backend):
    *operands, targets = operands_of(np.random.default_rng(4), "float64")
    targets[3] = np.nan
    factors = np.ones(40)
    factors[3] = 0
    for loss in ("squared_error", "absolute_error"):
        result = backend.mean_loss(*operands, targets, loss=loss, sample_weight=factors)
        assert np.isnan(result).all()


def test_a_variance_by_negative_weights_can_be_negative(backend):
    x, w, factors = np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]), np.array([2.0, -1.0])
    options = {"set_weight": factors, "statistics": ("var", "std")}
    variance, std = backend.affine_stats(x, w, **options)
    assert_same_bits(variance, [[-8.0], [-32.0]])
    assert np.isnan(std).all()
    options["set_weight"] = -factors
    assert_same_bits(backend.affine_stats(x, w, **options)[0], variance)


# The closed form of squared_error without an activation.


def exactly(x, w, b, t, factors):
    """Return the loss and its gradients of one feature, and the size of their terms."""
    x, w, b, t, factors = (
        np.array([Fraction(float(number)) for number in array], object)
        for array in (x, w, b, t, factors)
    )
    error = w[:, None] * x + b[:, None] - t
    total = sum(factors)

    def mean(terms):
        return (terms * factors).sum(1) / total

    sizes = abs(factors) / abs(total)
    spent = abs(w[:, None] * x) + abs(b[:, None]) + abs(t)
    size = (spent * spent * sizes).sum(1)
    return [mean(error * error), 2 * mean(error * x), 2 * mean(error)], size


@settings(max_examples=examples(1 / 2))
@given(
    rng=seeds(),
    of_samples=st.sampled_from([0, 1000, 1015, -700, -1000, -1060]),
    signs=st.booleans(),
    of_weights=st.integers(-900, 900),
)
def test_close_to_the_exact_result(backend, rng, of_samples, signs, of_weights):
    n_samples = int(rng.integers(2, 50))
    x = np.ldexp(rng.normal(size=(n_samples, 1)), of_samples)
    w = np.ldexp(rng.normal(size=(4, 1)), min(-of_samples, 1015))
    b, t = rng.normal(size=(4, 1)), rng.normal(size=(n_samples, 1))
    factors = rng.normal(size=n_samples)
    factors = np.ldexp(factors if signs else abs(factors), of_weights)
    operands = x, w, b, t
    results = backend.mean_loss_and_grad(*operands, sample_weight=factors)
    desired, size = exactly(*(array[:, 0] for array in operands), factors)
    largest = Fraction(float(abs(x).max()))
    scales = size, [largest * (1 + n) for n in size], [1 + n for n in size]
    for result, exact, scale in zip(results, desired, scales, strict=True):
        for one, other, unit in zip(result.ravel(), exact, scale, strict=True):
            error = abs(Fraction(float(one)) - other)
            assert error <= abs(unit) * Fraction(2**-44) + Fraction(2.0**-1074)


@given(rng=seeds(), dtype=st.sampled_from(["float32", "float64"]), has_bias=st.booleans())
def test_agreement_at_the_limits(backend, rng, dtype, has_bias):
    """All backends agree on huge, tiny, subnormal, infinite and NaN values, and on signs."""

    def drawn(*shape):
        array = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 3)
        kind = rng.integers(0, 7)
        if kind < 3:
            array *= [1e306, 1e-204, 1e-310][kind]
        elif kind == 3:
            array *= 10.0 ** rng.integers(-300, 300, shape)
        elif kind == 4:
            special = [np.inf, -np.inf, np.nan, 0.0, -0.0, 5e-324, 1.7e308]
            array = np.where(rng.random(shape) < 0.1, rng.choice(special, shape), array)
        return array

    n_sets, n_samples, n_features = rng.integers(1, 12), rng.integers(1, 70), rng.integers(1, 20)
    shapes = (n_samples, n_features), (n_sets, n_features), (n_sets, n_features)
    with np.errstate(all="ignore"):
        x, w, b, t = (drawn(*shape).astype(dtype) for shape in (*shapes, shapes[0]))
        factors = drawn(n_samples) * rng.choice([1, -1], n_samples)
    operands = x, w, b if has_bias else None, t
    for one in (None, abs(factors), factors):
        result = backend.mean_loss_and_grad(*operands, sample_weight=one)
        assert_all_same_bits(result, formula.mean_loss_and_grad(*operands, sample_weight=one))


@pytest.mark.parametrize("factors", [None, np.array([1.0, 2.0, 1.0])])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_set_that_diverged_is_not_the_best(backend, factors, dtype):
    x, t = np.array([[1.0], [-1.0], [0.5]], dtype), np.zeros(3)
    w = np.array([[np.inf], [0.5], [-np.inf], [0.25], [1], [2], [np.nan]], dtype)
    b = np.array([[0], [0], [0], [np.inf], [-np.inf], [0], [0]], dtype)
    losses = backend.mean_loss(x, w, b, t, sample_weight=factors)
    assert np.isinf(losses[[0, 2, 3, 4]]).all()
    assert (losses[[0, 2, 3, 4]] > 0).all()
    assert np.isnan(losses[6])
    assert losses[:6].argmin() == 1
    centred = backend.mean_loss(x[:2], w[:1], None, t[:2])  # the mean of samples is 0
    assert_same_bits(centred, [np.inf])


@pytest.mark.parametrize("scale", [1e306, 1e-204])
def test_samples_near_the_limits(backend, scale):
    x = np.tile([[1.0], [-1.0], [0.5]], (400, 1))
    t = 3 * x[:, 0] + 1
    w, b = np.array([[3.0], [2.0]]), np.array([[1.0], [0.5]])
    desired = backend.mean_loss_and_grad(x, w, b, t)
    loss, _, grad_bias = backend.mean_loss_and_grad(x * scale, w / scale, b, t)
    assert np.allclose(loss, desired[0], rtol=1e-12, atol=1e-15)
    assert np.allclose(grad_bias, desired[2], rtol=1e-12, atol=1e-12)


def test_targets_near_the_limits(backend):
    # An exact fit has loss 0, any other an infinite loss.
    x = np.tile([[1e306], [-1e306], [0.5e306]], (400, 1))
    result = backend.mean_loss(x, np.array([[1.0], [0.5]]), None, x[:, 0])
    assert_same_bits(result, [0.0, np.inf])
