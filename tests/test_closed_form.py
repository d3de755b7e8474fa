"""squared_error of linear subnetworks in closed form: no cancellation on any backend."""

from __future__ import annotations

import functools
from fractions import Fraction

import cuda_on_host
import formula
import numpy as np
import pytest
import tiles
from conftest import EXAMPLES, examples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses import (
    REALS,
    Case,
    assert_all_same_bits,
    judgements,
    operands_of,
    several_blocks,
)

import multisubnet as ms
from multisubnet._backends.cupy.launch.geometry import Card
from multisubnet.testing import assert_same_bits

CASES = [
    Case("squared_error", None, dtype, 2, weighted, has_bias)
    for dtype in ("float32", "float64")
    for weighted in (False, True)
    for has_bias in (False, True)
]
SOME = st.sampled_from(CASES)


def assert_agreement(backend, operands, options):
    desired = formula.mean_loss_and_grad(*operands, **options)
    assert_all_same_bits(backend.mean_loss_and_grad(*operands, **options), desired)
    assert_same_bits(backend.mean_loss(*operands, **options), desired[0])


@pytest.mark.parametrize("special_values", [False, True])
@settings(max_examples=examples(1 / 2))
@given(data=st.data(), case=SOME)
def test_agreement(backend, special_values, data, case):
    assert_agreement(backend, *data.draw(judgements(case, special_values=special_values)))


@settings(max_examples=examples(1 / 4))
@given(data=st.data(), case=SOME, dtypes=st.sampled_from([["float16", "float32"], REALS]))
def test_agreement_of_mixed_dtypes(backend, data, case, dtypes):
    assert_agreement(backend, *data.draw(judgements(case, dtypes=dtypes)))


@settings(max_examples=examples(1 / 20))
@given(data=st.data(), case=SOME)
def test_agreement_over_several_blocks(backend, data, case):
    operands, options = data.draw(judgements(case, shapes=several_blocks))
    assert_agreement(backend, operands, options)


@settings(max_examples=examples(1 / 4))
@given(data=st.data(), case=SOME)
def test_agreement_for_any_division_into_pieces(backend, data, case):
    operands, options = data.draw(judgements(case))
    with tiles.small(data.draw):
        assert_agreement(backend, operands, options)


@functools.cache
def many(n_samples, n_features, dtype):
    """Return operands and weights of many samples, and the expected results."""
    operands, factors = operands_of(2, n_samples, n_features, dtype)
    return operands, factors, formula.mean_loss_and_grad(*operands, sample_weight=factors)


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(8200, 64), (20_481, 40), (20_481, 70), (600_001, 1)])
def test_many_samples(name, shape, dtype):
    if name == "numba":
        pytest.importorskip("numba")
    operands, factors, desired = many(*shape, dtype)
    with ms.use_backend(name):
        result = ms.mean_loss_and_grad(*operands, sample_weight=factors)
        assert_all_same_bits(result, desired)
        # The CPU engine does not take all arrays that are not contiguous.
        operands = [np.repeat(x, 2, axis=0)[::2] for x in operands]
        result = ms.mean_loss_and_grad(*operands, sample_weight=factors)
        assert_all_same_bits(result, desired)


@pytest.mark.parametrize(
    ("n_features", "elements", "dtype"),
    [(1, 3 << 12, "float64"), (1, 1 << 14, "float32"), (2, 1 << 12, "float32")],
)
def test_chunks_of_samples(backend, n_features, elements, dtype):
    # One to four blocks of eight, with one feature; in float64 the order of sums matters.
    operands, factors, desired = many(28_700, n_features, dtype)
    with tiles.of(moment_elements=elements, moment_width=1):
        result = backend.mean_loss_and_grad(*operands, sample_weight=factors)
    assert_all_same_bits(result, desired)


def test_many_sets(backend):
    (samples, weight, bias, targets), _ = operands_of(20_000, 5, 30, "float32")
    result = backend.mean_loss_and_grad(samples, weight, bias[:1], targets)
    desired = formula.mean_loss_and_grad(samples, weight, bias[:1], targets)
    assert_all_same_bits(result, desired)


def exactly(samples, weight, bias, targets, factors):
    """Return the exact loss of each subnetwork and its gradients, rounded at the end."""
    x, w, b, t, factor = (
        np.vectorize(Fraction, otypes=[object])(array.astype(float))
        for array in (samples, weight[:, None], bias[:, None], targets, factors[:, None])
    )
    error = w * x + b - t

    def mean(terms):
        return ((terms * factor).sum(1) / factor.sum()).astype(float)

    size = mean(abs(w * x) + abs(b) + abs(t))
    return mean(error * error), 2 * mean(error * x), 2 * mean(error), size


def spread_out(n_samples, mean=0.0, dtype="float64"):
    """Return operands of 3 sets and 4 features with this mean and standard deviation 1."""
    rng = np.random.default_rng(n_samples)
    samples = mean + rng.normal(size=(n_samples, 4))
    targets = 0.5 * mean - 3 * samples + 0.1 * rng.normal(size=(n_samples, 4))
    weight = rng.normal(size=(3, 4))
    bias = -mean * weight
    # The second set fits almost perfectly, the last one as well as possible.
    x, t = samples.astype(np.longdouble), targets.astype(np.longdouble)
    centred = x - x.mean(0)
    weight[2] = (centred * t).mean(0) / (centred * centred).mean(0)
    weight[1] = weight[2] * (1 + 1e-7)
    bias[1:] = t.mean(0) - weight[1:] * x.mean(0)
    operands = samples, weight, bias, targets
    return [x.astype(dtype) for x in operands], rng.uniform(0.5, 2, n_samples).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mean", [0, 1, 1e3, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_samples", [2, 33, 300])
def test_close_to_the_exact_result(dtype, mean, weighted, n_samples):
    operands, factors = spread_out(n_samples, mean, dtype)
    loss, *gradients, size = exactly(*operands, factors if weighted else np.ones(n_samples))
    # Gradients are finally rounded to the dtype of the weight.
    operands = [x.astype(float) for x in operands]
    options = {"sample_weight": factors if weighted else None, "per_feature": True}
    result, *of_result = ms.mean_loss_and_grad(*operands, **options)
    assert (result >= 0).all()
    # The root of the loss has the error of some roundings of itself, and of cancelling terms.
    rounding = 32 * np.finfo(float).eps
    error = rounding * size
    root = np.sqrt(loss)
    assert (abs(np.sqrt(result) - root) <= rounding * root + error).all()
    largest = abs(operands[0]).max()
    for gradient, desired, times in zip(of_result, gradients, (largest, 1), strict=True):
        assert (abs(gradient - desired) <= rounding * abs(desired) + 4 * error * times).all()


def test_a_perfect_fit_has_no_loss(backend):
    rng = np.random.default_rng(0)
    for mean in (0, 1000, 2**20):
        samples = np.rint(mean + 50 * rng.normal(size=(64, 4)))
        loss, *gradients = backend.mean_loss_and_grad(
            *(samples, np.full((1, 4), 3.0), np.full((1, 4), -7.0), 3 * samples - 7)
        )
        assert (loss >= 0).all()
        assert (loss <= 1e-18 * max(mean, 1) ** 2).all()
        for gradient in gradients:
            assert (abs(gradient) <= 1e-9 * max(mean, 1)).all()


def test_the_same_as_term_by_term():
    (*operands, targets), factors = operands_of(5, 1000, 7)
    options = {"sample_weight": factors, "per_feature": True}
    each = np.broadcast_to(operands[0], (5, *operands[0].shape))
    for bias in (operands[2], operands[2][:1], None):
        closed = ms.mean_loss_and_grad(*operands[:2], bias, targets, **options)
        summed = ms.mean_loss_and_grad(each, operands[1], bias, targets, **options)
        for one, other in zip(closed, summed, strict=True):
            if one is not None:
                assert np.allclose(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 1 / 3, 1e30])
def test_a_feature_of_one_value(backend, dtype, value):
    (samples, weight, bias, targets), _ = operands_of(3, 50, 4, dtype)
    samples[:, 1] = value
    result = backend.mean_loss(samples, weight, bias, targets, per_feature=True)
    assert_same_bits(result, formula.mean_loss(samples, weight, bias, targets, per_feature=True))
    prediction = samples[:, 1].astype(float) * weight[:, 1:2].astype(float) + bias[:, 1:2]
    desired = ((prediction - targets[:, 1]) ** 2).mean(1)
    assert np.allclose(result[:, 1], desired, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("operand", ["samples", "targets"])
def test_non_finite_values_stay_in_their_feature(backend, bad, operand):
    (samples, weight, bias, targets), _ = operands_of(3, 50, 40)
    clean = backend.mean_loss_and_grad(samples, weight, bias, targets, per_feature=True)
    {"samples": samples, "targets": targets}[operand][17, 33] = bad
    results = backend.mean_loss_and_grad(samples, weight, bias, targets, per_feature=True)
    for result, desired in zip(results, clean, strict=True):
        others = np.arange(40) != 33
        assert_same_bits(result[:, others], desired[:, others])
    assert np.isnan(results[0][:, 33]).all()
    assert np.isnan(backend.mean_loss(samples, weight, bias, targets)).all()


@pytest.mark.parametrize("operand", ["weight", "bias"])
def test_a_non_finite_set_affects_no_other(backend, operand):
    (samples, weight, bias, targets), _ = operands_of(3, 50, 4)
    clean = backend.mean_loss(samples, weight, bias, targets)
    {"weight": weight, "bias": bias}[operand][1, 2] = np.inf
    result = backend.mean_loss(samples, weight, bias, targets)
    assert not np.isfinite(result[1])
    assert_same_bits(result[::2], clean[::2])


def test_weights_of_zero(backend):
    (samples, weight, bias, targets), factors = operands_of(3, 50, 4)
    factors[10:] = 0
    result = backend.mean_loss(samples, weight, bias, targets, sample_weight=factors)
    some = samples[:10], weight, bias, targets[:10]
    assert np.allclose(result, backend.mean_loss(*some, sample_weight=factors[:10]), rtol=1e-13)
    nothing = backend.mean_loss(samples, weight, bias, targets, sample_weight=0 * factors)
    assert np.isnan(nothing).all()


def test_each_set_alone_is_the_same(backend):
    (samples, weight, bias, targets), _ = operands_of(100, 70, 33, "float32")
    together = backend.mean_loss_and_grad(samples, weight, bias, targets)
    for sets in (slice(0, 1), slice(3, 20), slice(99, 100)):
        alone = backend.mean_loss_and_grad(samples, weight[sets], bias[sets], targets)
        assert_all_same_bits(alone, [x[sets] for x in together])


def test_the_number_of_threads_does_not_matter(monkeypatch):
    pytest.importorskip("numba")
    operands, _ = operands_of(1000, 50, 33, "float32")
    desired = formula.mean_loss_and_grad(*operands)
    for threads in ("1", "4"):
        monkeypatch.setenv("MULTISUBNET_NUM_THREADS", threads)
        with tiles.of(engine_losses=1), ms.use_backend("numba"):
            assert_all_same_bits(ms.mean_loss_and_grad(*operands), desired)


@pytest.mark.skipif(
    cuda_on_host.why_unavailable() is not None, reason=str(cuda_on_host.why_unavailable())
)
@settings(max_examples=max(EXAMPLES, 8))
@given(
    shape=st.tuples(
        st.integers(1, 40),
        st.integers(0, 70) | st.sampled_from([4097, 9000]),
        st.integers(1, 20) | st.integers(1, 130),
    ),
    threads=st.sampled_from([2, 4, 32, 256]),
    card=st.sampled_from([Card(1, 1), cuda_on_host.CARD]),
    dtypes=st.tuples(*[st.sampled_from(["f2", "f4", "f8"])] * 5),
    weighted=st.booleans(),
    has_bias=st.booleans(),
    per_feature=st.booleans(),
)
def test_kernels_for_any_division_into_tiles(
    shape, threads, card, dtypes, weighted, has_bias, per_feature
):
    n_sets, n_samples, n_features = shape
    rng = np.random.default_rng(0)
    shapes = (n_samples, n_features), (n_sets, n_features), (1, n_features), (n_samples, 1)
    operands = [rng.normal(size=x).astype(t) for x, t in zip(shapes, dtypes[:4], strict=True)]
    operands[2] = operands[2] if has_bias else None
    options = {"per_feature": per_feature, "dtype": "float32"}
    options["sample_weight"] = rng.normal(size=n_samples).astype(dtypes[4]) if weighted else None
    with ms.use_backend("numpy"):
        desired = ms.mean_loss_and_grad(*operands, **options)
    with (
        ms.use_backend("host"),
        tiles.of(card, gpu_threads=threads, gpu_runs=min(threads, 128)),
    ):
        found = ms.mean_loss_and_grad(*operands, **options)
    assert_all_same_bits(found, desired)
