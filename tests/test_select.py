"""affine_select: the rows of affine on every backend, and no reads out of bounds."""

from __future__ import annotations

import formula
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from indices import DTYPES as INTEGERS
from indices import indices, is_there, selected, weights

import multisubnet as ms
from multisubnet.testing import DTYPES, activations, arrays, assert_same_bits, problems


@st.composite
def selections(draw, *, dtypes=DTYPES, mixed_dtypes=False):
    """Draw operands of affine_select: those of affine, and an index for each sample."""
    operands = draw(problems(dtypes=dtypes, mixed_dtypes=mixed_dtypes, max_features=300))
    samples = operands.samples
    if samples.ndim == 3:
        samples = samples[0] if len(samples) else np.empty((0, samples.shape[2]), samples.dtype)
    shared = len(operands.weight) == 1 and operands.bias is not None
    n_sets = len(operands.bias if shared else operands.weight)
    n_samples = len(samples) if n_sets else 0
    dtype = draw(st.sampled_from(INTEGERS))
    order = np.random.default_rng(draw(st.integers(0, 2**16)))
    index = order.integers(max(n_sets, 1), size=n_samples).astype(dtype)
    step = draw(st.sampled_from([1, 2, -1]))
    index = np.repeat(index, abs(step))[::step]
    return samples[:n_samples], operands.weight, operands.bias, index


@given(problem=selections() | selections(mixed_dtypes=True))
def test_agreement(backend, problem):
    result = backend.affine_select(*problem)
    assert result.flags.c_contiguous
    assert_same_bits(result, formula.affine_select(*problem))


@given(
    problem=selections(dtypes=["int16", "float16", "float32", "float64"]),
    activation=activations(names=["tanh", "elu", "relu6"]),
)
def test_agreement_with_an_activation(backend, problem, activation):
    result = backend.affine_select(*problem, activation=activation)
    assert_same_bits(result, formula.affine_select(*problem, activation=activation))


@given(
    problem=selections(dtypes=["bool", "int32", "float16", "float32", "complex64"]),
    draw=st.data(),
)
def test_an_out_of_range_set_gives_nan(backend, problem, draw):
    samples, weight, bias, index = problem
    wrong = draw.draw(arrays("int64", index.shape, layouts=["contiguous"]))
    index = np.where(np.arange(len(index)) % 3 == 0, wrong, index.astype(np.int64))
    index[1::3] = len(weight)
    desired = formula.affine_select(samples, weight, bias, index)
    assert_same_bits(backend.affine_select(samples, weight, bias, index, check=False), desired)
    out = np.zeros((len(desired), 2 * desired.shape[1]), desired.dtype)[:, ::2]
    backend.affine_select(samples, weight, bias, index, check=False, out=out)
    assert_same_bits(np.ascontiguousarray(out), desired)


def test_a_negative_index_of_few_bits_is_no_set(backend):
    # Not even the set whose number has the same bits.
    index = np.array([-1, 5, -100, 127] * 4, np.int8)
    result = backend.affine_select(np.ones((16, 4)), np.ones((300, 4)), None, index, check=False)
    assert_same_bits(result, np.where(index[:, None] < 0, np.nan, np.ones((16, 4))))


@given(
    problem=selections(dtypes=["float32", "float64"]), dtype=st.sampled_from(["f2", "f4", ">f8"])
)
def test_into_out(backend, problem, dtype):
    desired = formula.affine_select(*problem)
    whole = np.full((len(desired), 2 * desired.shape[1]), 42, dtype)
    out = whole[:, ::-2]
    assert backend.affine_select(*problem, out=out) is out
    with np.errstate(all="ignore"):
        assert_same_bits(out, desired.astype(dtype))
    assert (whole[:, ::2] == 42).all()


@given(
    shape=st.tuples(st.integers(1, 200), st.sampled_from([1, 2, 3, 4, 7, 8, 16, 17, 32, 33])),
    before=st.integers(0, 20),
    apart=st.sampled_from([0, 1, 4]),  # elements between the rows of weight and bias
    dtype=st.sampled_from(["f4", "f8", "f2", "i1"]),
    has_bias=st.booleans(),
)
def test_wherever_a_result_begins(backend, shape, before, apart, dtype, has_bias):
    rng = np.random.default_rng(before)
    n_samples, n_features = shape
    samples = rng.integers(-9, 9, shape).astype(dtype)
    weight, bias = (
        rng.integers(-9, 9, (7, n_features + apart)).astype(dtype)[:, :n_features] for _ in "wb"
    )
    problem = samples, weight, bias if has_bias else None, rng.integers(0, 7, n_samples)
    whole = np.full(before + samples.size + 40, 42, dtype)
    out = whole[before:][: samples.size].reshape(shape)
    backend.affine_select(*problem, out=out)
    assert_same_bits(out, formula.affine_select(*problem))
    assert (whole[:before] == 42).all()
    assert (whole[before + samples.size :] == 42).all()


@pytest.mark.parametrize("which", ["samples", "weight", "bias", "set_index"])
def test_into_out_over_an_operand(backend, which):
    rng = np.random.default_rng(0)
    operands = {
        "samples": rng.integers(-9, 9, (6, 8)),
        "weight": rng.integers(-9, 9, (6, 8)),
        "bias": rng.integers(-9, 9, (6, 8)),
        "set_index": rng.integers(0, 6, 6),
    }
    desired = formula.affine_select(**operands)
    out = np.zeros((6, 8), int)
    place = out[:, 0] if which == "set_index" else out
    place[...] = operands[which]
    if backend.name is None:
        pytest.skip("arrays are moved to the GPU one by one")
    backend.affine_select(**operands | {which: place}, out=out)
    assert_same_bits(out, desired)


def test_on_many_samples(backend):
    # Beyond the blocks of every backend, with threads.
    rng = np.random.default_rng(0)
    samples, weight, bias = (
        rng.normal(size=shape).astype("f4") for shape in [(70_000, 5), (9, 5), (9, 5)]
    )
    index = rng.integers(0, 9, len(samples))
    result = backend.affine_select(samples, weight, bias, index, activation="softsign")
    with np.errstate(all="ignore"):
        z = samples * weight[index] + bias[index]
    assert_same_bits(result, z / (1 + np.abs(z)))


@pytest.mark.parametrize("index", [[0, 7, 1], [0, 1, -1], np.uint64([2**63, 0, 0])])
@pytest.mark.parametrize("check", [None, True])
def test_an_index_out_of_range(index, check):
    out = np.full((3, 2), 42.0)
    first = int(np.argmax([not 0 <= int(n) < 7 for n in index]))
    with pytest.raises(IndexError, match=rf"set_index\[{first}\] is .*; expected .* 0 to 6"):
        ms.affine_select(np.ones((3, 2)), np.ones((7, 2)), None, index, out=out, check=check)
    assert (out == 42).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"set_index": [0]}, ValueError, r"set_index has shape \(1,\); expected \(3,\)"),
        ({"set_index": [0.0] * 3}, TypeError, "set_index has dtype float64; expected an integer"),
        ({"set_index": [True] * 3}, TypeError, "set_index has dtype bool; expected an integer"),
        ({"samples": np.ones((7, 3, 2))}, ValueError, r"samples has shape \(7, 3, 2\); .*\(B, F\)"),
        ({"weight": np.ones((7, 3))}, ValueError, "weight has shape"),
        ({"out": np.ones((3, 7, 2))}, ValueError, r"out has shape \(3, 7, 2\); expected \(3, 2\)"),
    ],
)
def test_errors(change, error, message):
    operands = {"samples": np.ones((3, 2)), "weight": np.ones((7, 2)), "bias": None}
    with pytest.raises(error, match=message):
        ms.affine_select(**operands | {"set_index": [0, 1, 2]} | change)


@pytest.mark.gpu
def test_on_the_gpu_the_index_is_checked_if_asked():
    cupy = pytest.importorskip("cupy")
    samples, weight, index = cupy.ones((2, 4)), cupy.ones((3, 4)), cupy.asarray([1, 3])
    result = ms.affine_select(samples, weight, None, index)
    assert_same_bits(result, np.array([[1.0] * 4, [np.nan] * 4]))
    with pytest.raises(IndexError, match=r"set_index\[1\] is 3"):
        ms.affine_select(samples, weight, None, index, check=True)
    with pytest.raises(TypeError, match="set_index"):
        ms.affine_select(samples, weight, None, [1, 2])


@given(drawn=indices())
def test_indices_of_every_dtype(backend, drawn):
    n_sets, index = drawn
    samples = np.ones((len(index), 1), np.float32)
    result = backend.affine_select(samples, weights(n_sets), None, index)
    assert_same_bits(result, selected(n_sets, index))


@given(drawn=indices(wrong=True))
def test_out_of_range_sets_in_every_dtype(backend, drawn):
    n_sets, index = drawn
    samples = np.ones((len(index), 1), np.float32)
    result = backend.affine_select(samples, weights(n_sets), None, index, check=False)
    assert_same_bits(result, selected(n_sets, index))
    there = is_there(n_sets, index)
    if not there.all():
        wrong = int(index[there.argmin()])
        with pytest.raises(IndexError, match=rf"is {wrong}; expected the number of a set"):
            backend.affine_select(samples, weights(n_sets), None, index, check=True)
