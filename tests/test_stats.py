"""affine_stats: mean and spread over sets, in one order of summation on every backend."""

from __future__ import annotations

from typing import NamedTuple

import formula
import numpy as np
import pytest
import tiles
from conftest import examples, normals, problems_of_sums, shape_of, shapes_of_sums
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inputs import peak
from test_losses import REALS, assert_all_same_bits, operands_of

import multisubnet as ms
from multisubnet.testing import activations, assert_same_bits

EVERY = ("mean", "var", "std")


class Case(NamedTuple):
    """A case with its own compiled code."""

    activation: str | None
    dtype: str
    ndim: int
    weighted: bool
    has_bias: bool = True
    shared: tuple[str, ...] = ()


CASES = [
    Case(None, "float32", 2, False),
    Case(None, "float64", 3, False, shared=("weight", "bias")),
    Case("elu", "float32", 3, True, shared=("weight",)),
    Case("elu", "float64", 2, True, has_bias=False),
    Case("elu", "float64", 2, True, shared=("bias",)),
]
ids = "{0.dtype}-{0.ndim}".format


@st.composite
def ensembles(draw, case, *, shapes=shapes_of_sums, dtypes=None, special_values=False):
    """Draw the operands of affine_stats and its keywords."""
    options = {"ndim": case.ndim, "has_bias": case.has_bias, "shared": case.shared}
    options["special_values"] = special_values
    problem = draw(problems_of_sums(dtypes or [case.dtype], shapes, **options))
    name, set_weight = case.activation, None
    if case.weighted:
        dtype = draw(st.sampled_from(REALS)) if dtypes else case.dtype
        set_weight = draw(normals(dtype, shape_of(problem)[:1]))
    options = {
        "activation": name and draw(activations(names=[name], derivatives=False)),
        "set_weight": set_weight,
        "statistics": draw(st.lists(st.sampled_from(EVERY), max_size=4)),
    }
    return problem, options


@pytest.mark.parametrize("special_values", [False, True])
@pytest.mark.parametrize("case", CASES, ids=ids)
@settings(max_examples=examples(1 / 8))
@given(data=st.data())
def test_agreement(backend, case, special_values, data):
    operands, options = data.draw(ensembles(case, special_values=special_values))
    result = backend.affine_stats(*operands, **options)
    assert_all_same_bits(result, formula.affine_stats(*operands, **options))


@settings(max_examples=examples(1 / 2))
@given(data=st.data(), dtypes=st.sampled_from([["float16", "float32"], REALS]))
def test_agreement_of_mixed_dtypes(backend, data, dtypes):
    operands, options = data.draw(ensembles(Case("elu", "", 2, True), dtypes=dtypes))
    result = backend.affine_stats(*operands, **options)
    assert_all_same_bits(result, formula.affine_stats(*operands, **options))


several_blocks = st.tuples(
    st.sampled_from([4095, 4096, 4097, 8193, 12289]), st.integers(1, 3), st.integers(1, 3)
)


@settings(max_examples=examples(1 / 20))
@given(data=st.data(), case=st.sampled_from(CASES))
def test_agreement_over_several_blocks(backend, data, case):
    operands, options = data.draw(ensembles(case, shapes=several_blocks))
    result = backend.affine_stats(*operands, **options)
    assert_all_same_bits(result, formula.affine_stats(*operands, **options))


@settings(max_examples=examples(1 / 4))
@given(data=st.data(), case=st.sampled_from(CASES))
def test_agreement_for_any_division_into_pieces(backend, data, case):
    operands, options = data.draw(ensembles(case))
    with tiles.small(data.draw):
        result = backend.affine_stats(*operands, **options)
    assert_all_same_bits(result, formula.affine_stats(*operands, **options))


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_each_part_alone_is_the_same(backend, case):
    (*operands, _), _ = operands_of(50, 40, 33, case.dtype, case.ndim)
    set_weight = operands[1][:, 0] if case.weighted else None
    options = {"activation": case.activation, "set_weight": set_weight, "statistics": EVERY}
    together = backend.affine_stats(*operands, **options)
    rows, features = slice(8, 37), slice(1, 30)
    samples, weight, bias = (x[..., features] for x in operands)
    alone = backend.affine_stats(samples[..., rows, :], weight, bias, **options)
    assert_all_same_bits(alone, [x[rows, features] for x in together])


@pytest.mark.parametrize("activation", [None, "tanh"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
def test_close_to_numpys(activation, weighted, ndim, dtype, tolerance):
    (*operands, _), _ = operands_of(1000, 7, 5, dtype, ndim)
    set_weight = np.random.default_rng(0).uniform(0.5, 2, 1000).astype(dtype) if weighted else None
    options = {"activation": activation, "set_weight": set_weight, "statistics": EVERY}
    mean, var, std = ms.affine_stats(*operands, **options)
    samples, weight, bias = (x.astype(float) for x in operands)
    p = samples * weight[:, None] + bias[:, None]
    p = p if activation is None else np.tanh(p)
    desired = np.average(p, axis=0, weights=set_weight)
    variance = np.average((p - desired) ** 2, axis=0, weights=set_weight)
    assert mean.dtype == var.dtype == std.dtype == np.float64
    assert np.allclose(mean, desired, rtol=tolerance, atol=tolerance * abs(p).max())
    assert np.allclose(var, variance, rtol=tolerance)
    assert np.allclose(std, np.sqrt(variance), rtol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_small_spread_about_a_large_mean(dtype):
    eps = np.finfo(dtype).eps
    weight = (1 + eps * np.arange(1000)[:, None]).astype(dtype)
    mean, std = ms.affine_stats(np.ones((1, 1), dtype), weight)
    desired = weight.astype(np.longdouble)
    assert np.allclose(mean, float(desired.mean()), rtol=eps)
    assert np.allclose(std, float(desired.std()), rtol=1e-5)


@pytest.mark.parametrize("n_sets", [1, 2, 3, 7, 33, 5000])
@pytest.mark.parametrize(("dtype", "ndim"), [("float32", 2), ("float64", 3)])
def test_equal_sets_have_no_spread(backend, n_sets, dtype, ndim):
    operands = operands_of(1, 20, 30, dtype, ndim)[0][:3]
    samples, weight, bias = (x if x.shape == (20, 30) else x.repeat(n_sets, 0) for x in operands)
    mean, var, std = backend.affine_stats(samples, weight, bias, statistics=EVERY)
    assert np.allclose(mean, formula.affine(*operands)[0], rtol=1e-6)
    assert not var.any()
    assert not std.any()


def test_the_variance_is_not_negative():
    rng = np.random.default_rng(0)
    weight = 1e3 + rng.normal(size=(200, 50)).astype("f4") * np.float32(1e-4)
    samples = rng.normal(size=(50, 50)).astype("f4")
    _, var, std = ms.affine_stats(samples, weight.astype("f4"), statistics=EVERY)
    assert (var >= 0).all()
    assert np.array_equal(std, np.sqrt(var))


def test_weights_are_numbers_of_repetitions():
    (samples, weight, bias, _), _ = operands_of(20, 6, 4)
    times = np.arange(20) % 4
    weighted = ms.affine_stats(samples, weight, bias, set_weight=times)
    repeated = ms.affine_stats(samples, weight.repeat(times, 0), bias.repeat(times, 0))
    for one, other in zip(weighted, repeated, strict=True):
        assert np.allclose(one, other, rtol=1e-12)


def test_the_statistics_that_are_asked_for(backend):
    (*operands, _), _ = operands_of(9, 6, 4, "float32")
    mean, var, std = backend.affine_stats(*operands, statistics=EVERY)
    assert_same_bits(std, np.sqrt(var))
    assert_all_same_bits(backend.affine_stats(*operands), (mean, std))
    assert_all_same_bits(backend.affine_stats(*operands, statistics="std"), (std,))
    assert_all_same_bits(backend.affine_stats(*operands, statistics=["var", "mean"]), (var, mean))
    assert backend.affine_stats(*operands, statistics=[]) == ()


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_nothing_gives_nan(backend, shape, ndim, weighted):
    (*operands, _), _ = operands_of(*shape, ndim=ndim)
    set_weight = np.ones(shape[0]) if weighted else None
    results = backend.affine_stats(*operands, set_weight=set_weight, statistics=EVERY)
    for result in results:
        assert result.shape == shape[1:]
        assert np.isnan(result).all()


def test_no_backend_warns_or_asks_seterr(backend):
    x = np.array([[np.finfo(float).max, -1, np.nan, np.inf]])
    weight, set_weight = np.concatenate([x, -x]), np.array([0.0, 1e-300])
    with np.errstate(all="raise"):
        backend.affine_stats(x, weight, weight, activation="elu", set_weight=set_weight)
        backend.affine_stats(np.float32([[3e38, np.inf]]), np.float32([[9, -9], [9, 9]]))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_no_array_of_all_predictions(backend):
    (*operands, _), _ = operands_of(1000, 200, 100, "float32")  # with 80 MB of predictions

    def call():
        with ms.use_backend(backend):
            ms.affine_stats(*operands, activation="relu")

    call()
    assert peak(call) < 6 << 20


def test_an_activation_may_be_a_derivative():
    (*operands, _), _ = operands_of(9, 6, 4)
    slope = ms.Activation("tanh").derivative
    mean, std = ms.affine_stats(*operands, activation=slope)
    values = ms.affine(*operands, activation=slope)
    assert np.allclose(mean, values.mean(0), rtol=1e-13)
    assert np.allclose(std, values.std(0), rtol=1e-13)


GIVEN = {"samples": np.ones((3, 4)), "weight": np.ones((5, 4)), "bias": np.ones((5, 4))}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"set_weight": np.ones(3)},
            ValueError,
            r"set_weight has shape \(3,\); expected \(N,\) = \(5,\)",
        ),
        ({"set_weight": np.ones((5, 1))}, ValueError, r"set_weight has shape \(5, 1\)"),
        ({"set_weight": 1.0}, ValueError, r"set_weight has shape \(\)"),
        ({"set_weight": np.ones(5, "D")}, TypeError, "set_weight has dtype complex128"),
        ({"set_weight": np.ones(5, "g")}, TypeError, "set_weight has dtype .*up to float64"),
        ({"set_weight": np.ones(5, "O")}, TypeError, "set_weight has dtype object"),
        ({"statistics": "median"}, ValueError, "statistics has 'median'; expected some of mean,"),
        ({"statistics": ["mean", 1]}, ValueError, "statistics has 1; expected some of mean, var"),
        ({"samples": np.ones((3, 4), "F")}, TypeError, "together have dtype complex128"),
        ({"weight": np.ones((5, 4), "g")}, TypeError, "together have dtype (float|longdouble)"),
        ({"weight": np.ones((5, 3))}, ValueError, r"weight has shape \(5, 3\)"),
        ({"activation": "tan"}, ValueError, "activation must be one of"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_errors(change, error, message):
    with pytest.raises(error, match=message):
        ms.affine_stats(**GIVEN | change)


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*GIVEN, "set_weight"])
def test_host_and_device_arrays_do_not_mix(name):
    import cupy

    here = GIVEN | {"set_weight": np.ones(5)}
    there = {key: cupy.asarray(array) for key, array in here.items()}
    with pytest.raises(TypeError, match=rf"is on the GPU and {name} \(ndarray\) is not"):
        ms.affine_stats(**there | {name: here[name]})
    with pytest.raises(TypeError, match=rf"{name} is on the GPU and .* \(ndarray\) is not"):
        ms.affine_stats(**here | {name: there[name]})


def test_own_samples_and_parameters_that_are_shared(backend):
    samples = np.random.default_rng(0).normal(size=(3, 4, 2))
    weight = np.array([[1.0, 2.0]])
    result = backend.affine_stats(samples, weight, statistics=("mean", "var"))
    desired = formula.affine_stats(samples, weight, None, statistics=("mean", "var"))
    for one, other in zip(result, desired, strict=True):
        assert_same_bits(one, other)


def test_statistics_are_shown_by_their_shapes():
    stats = ms.WeightSets(np.ones((2, 3))).predict_stats(np.ones((50, 3)), quantiles=[0.1, 0.9])
    assert repr(stats) == (
        "PredictionStats(mean: (50, 3), std: (50, 3), min: (50, 3), max: (50, 3), "
        "quantiles: (2, 50, 3), float64)"
    )
