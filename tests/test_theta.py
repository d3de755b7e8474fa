"""Conversion to and from flat parameter vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet.testing import DTYPES, arrays, assert_same_bits

counts = st.integers(0, 5)
axes = st.sampled_from([0, 1])


def is_view(part, whole):
    """Return whether an array shares another's memory; empty arrays share none."""
    return np.shares_memory(part, whole) or (not part.size and part.base is not None)


@given(st.data(), st.sampled_from(DTYPES), counts, counts, st.booleans(), axes)
def test_round_trip(data, dtype, n, f, use_bias, axis):
    p = 2 * f if use_bias else f
    theta = data.draw(arrays(dtype, (p, n) if axis else (n, p)))
    weight, bias = ms.from_theta(theta, f, use_bias=use_bias, axis=axis)
    rows = theta.T if axis else theta
    assert_same_bits(weight, rows[:, :f])
    assert is_view(weight, theta)
    if use_bias:
        assert_same_bits(bias, rows[:, f:])
        assert is_view(bias, theta)
    else:
        assert bias is None
    back = ms.to_theta(weight, bias, axis=axis)
    if use_bias:
        assert_same_bits(back, theta.astype(dtype))
        assert back.flags.c_contiguous
        assert not np.may_share_memory(back, theta)
    else:
        assert_same_bits(back, theta)
        assert is_view(back, weight)


@given(st.data(), st.sampled_from(DTYPES), st.sampled_from(DTYPES), counts, counts, axes)
def test_reverse_round_trip(data, dtype, other, n, f, axis):
    n_weight, n_bias = data.draw(st.sampled_from([(n, n), (1, n), (n, 1)]))
    weight = data.draw(arrays(dtype, (n_weight, f)))
    bias = data.draw(arrays(other, (n_bias, f)))
    theta = ms.to_theta(weight, bias, axis=axis)
    assert theta.shape == ((2 * f, n) if axis else (n, 2 * f))
    assert theta.flags.c_contiguous
    assert not np.may_share_memory(theta, weight)
    assert not np.may_share_memory(theta, bias)
    for part, given_part in zip(ms.from_theta(theta, f, axis=axis), (weight, bias), strict=True):
        with np.errstate(all="ignore"):
            desired = given_part.astype(np.result_type(dtype, other))
        assert_same_bits(part, np.broadcast_to(desired, (n, f)))


@given(st.data(), st.sampled_from(DTYPES), st.integers(1, 5), counts)
def test_a_list_of_vectors_is_a_row_for_each_set(data, dtype, n, f):
    theta = data.draw(arrays(dtype, (n, 2 * f), layouts=["contiguous"]))
    for part, desired in zip(ms.from_theta(list(theta), f), ms.from_theta(theta, f), strict=True):
        assert_same_bits(part, desired)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("f", [0, 1, 3])
def test_one_vector_is_one_set(f, axis):
    theta = np.arange(2.0 * f)
    weight, bias = ms.from_theta(theta, f, axis=axis)
    assert_same_bits(weight, theta[None, :f])
    assert_same_bits(bias, theta[None, f:])
    assert is_view(weight, theta)
    assert is_view(bias, theta)


def test_a_signaling_nan_gives_no_warning():
    signaling = np.array([[0x7F800001]], np.uint32).view(np.float32)
    assert np.isnan(ms.to_theta(signaling, [[1.0]])).tolist() == [[True, False]]


def test_writing_to_a_part_writes_to_theta():
    theta = np.zeros((2, 4))
    weight, bias = ms.from_theta(theta, 2)
    weight[0, 1], bias[1, 0] = 1, 2
    assert theta.tolist() == [[0, 1, 0, 0], [0, 0, 2, 0]]


@pytest.mark.parametrize("f", [2, np.int8(2), np.array(2)], ids=repr)
def test_n_features_can_be_any_integer(f):
    assert ms.from_theta(np.ones((3, 4)), f)[0].shape == (3, 2)


@pytest.mark.parametrize("f", [-1, True, np.True_, 2.0, "2", None], ids=repr)
def test_n_features_must_be_an_integer(f):
    with pytest.raises(ValueError, match="n_features must be a non-negative integer, not "):
        ms.from_theta(np.ones((3, 4)), f)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3, 5), {}, r"theta has shape \(3, 5\); expected \(N, 4\), or \(4,\) for one set: a w"),
        ((4, 3), {}, r"theta has shape \(4, 3\); expected \(N, 4\).* with axis=0"),
        ((3, 4), {"axis": 1}, r"theta has shape \(3, 4\); expected \(4, N\).* with axis=1"),
        ((3, 4), {"use_bias": False}, r"expected \(N, 2\).*: a weight for each of 2 features"),
        ((2,), {}, r"theta has shape \(2,\); expected \(N, 4\), or \(4,\)"),
        ((4, 1, 1), {}, r"theta has shape \(4, 1, 1\)"),
        ((), {"axis": 1}, r"theta has shape \(\)"),
    ],
)
def test_other_shapes_are_refused(shape, options, message):
    with pytest.raises(ValueError, match=message):
        ms.from_theta(np.ones(shape), 2, **options)


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (np.ones(3), None, r"weight has shape \(3,\); expected \(N, F\)"),
        (np.ones(3), np.ones((1, 3)), r"weight has shape \(3,\); expected \(N, F\)"),
        (np.ones((2, 3)), np.ones(3), r"bias has shape \(3,\); expected \(N, F\)"),
        (np.ones((2, 3)), np.ones((2, 4)), r"bias has shape \(2, 4\).*F = 3"),
        (np.ones((2, 3)), np.ones((3, 3)), r"bias has shape \(3, 3\).*N = 2 and F = 3"),
    ],
)
def test_shapes_that_disagree(weight, bias, message):
    with pytest.raises(ValueError, match=message):
        ms.to_theta(weight, bias)


@pytest.mark.parametrize("axis", [2, -1, None, 0.0])
def test_other_axes_are_refused(axis):
    with pytest.raises(ValueError, match=f"axis must be 0 or 1, not {axis}"):
        ms.from_theta(np.ones((2, 2)), 1, axis=axis)
    with pytest.raises(ValueError, match=f"axis must be 0 or 1, not {axis}"):
        ms.to_theta(np.ones((2, 2)), axis=axis)


def test_operands_that_are_not_numbers():
    with pytest.raises(TypeError, match="theta has dtype <U1"):
        ms.from_theta([["a", "b"]], 1)
    with pytest.raises(ValueError, match="theta is not an array_like of numbers"):
        ms.from_theta([[1, 2], [3]], 1)
    with pytest.raises(TypeError, match="theta is a masked array"):
        ms.from_theta(np.ma.ones((2, 2)), 1)
    with pytest.raises(TypeError, match="weight has dtype object"):
        ms.to_theta([[None]])
    with pytest.raises(TypeError, match="bias has dtype object"):
        ms.to_theta([[1]], [[None]])


@pytest.mark.gpu
@pytest.mark.parametrize("axis", [0, 1])
def test_on_the_gpu(axis):
    import cupy

    theta = np.arange(12.0).reshape((4, 3) if axis else (3, 4))
    there = cupy.asarray(theta)
    weight, bias = ms.from_theta(there, 2, axis=axis)
    for part, desired in zip((weight, bias), ms.from_theta(theta, 2, axis=axis), strict=True):
        assert type(part) is cupy.ndarray
        assert cupy.may_share_memory(part, there)
        assert_same_bits(part, desired)
    for b in (bias, None):
        back = ms.to_theta(weight, b, axis=axis)
        assert type(back) is cupy.ndarray
        assert_same_bits(back, ms.to_theta(weight.get(), None if b is None else b.get(), axis=axis))
    shared = ms.to_theta(weight, bias[:1], axis=axis)
    assert_same_bits(shared, ms.to_theta(weight.get(), bias[:1].get(), axis=axis))
    with pytest.raises(TypeError, match="weight has dtype float64 and bias float32"):
        ms.to_theta(weight, bias.astype(np.float32))
    with pytest.raises(TypeError, match="weight is on the GPU and bias"):
        ms.to_theta(weight, bias.get())


@pytest.mark.gpu
def test_vectors_on_the_gpu():
    import cupy

    theta = np.arange(12, dtype=np.float32).reshape(3, 4)
    vectors = [cupy.asarray(row) for row in theta]
    for part, desired in zip(ms.from_theta(vectors, 2), ms.from_theta(theta, 2), strict=True):
        assert_same_bits(part, desired)
    weight, bias = ms.from_theta(vectors[0], 2)
    assert weight.shape == bias.shape == (1, 2)
    with pytest.raises(TypeError, match=r"theta\[0\] is on the GPU and theta\[1\]"):
        ms.from_theta([vectors[0], theta[1]], 2)
