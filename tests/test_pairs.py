"""Conversion to and from the packed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet.testing import DTYPES, arrays, assert_same_bits


@given(data=st.data(), dtype=st.sampled_from(DTYPES), n=st.integers(0, 5), f=st.integers(0, 5))
def test_round_trip(data, dtype, n, f):
    pairs = data.draw(arrays(dtype, (n, f, 2)))
    weight, bias = ms.from_pairs(pairs)
    for part in (weight, bias):
        assert part.flags.c_contiguous
        assert not np.may_share_memory(part, pairs)
    assert_same_bits(ms.to_pairs(weight, bias), pairs.astype(dtype))


def test_a_shared_weight_or_bias_stands_in_every_set():
    assert ms.to_pairs([[1, 2]], [[3, 4], [5, 6]]).tolist() == [[[1, 3], [2, 4]], [[1, 5], [2, 6]]]
    assert ms.to_pairs([[3, 4], [5, 6]], [[1, 2]]).tolist() == [[[3, 1], [4, 2]], [[5, 1], [6, 2]]]


@pytest.mark.parametrize("pairs", [[[1, 2]], np.ones((2, 3)), np.ones((2, 3, 3)), [], 1.0], ids=str)
def test_other_shapes_are_refused(pairs):
    with pytest.raises(ValueError, match=r"pairs has shape .*; expected \(N, F, 2\)"):
        ms.from_pairs(pairs)
    with pytest.raises(ValueError, match="pairs is not an array_like of numbers"):
        ms.from_pairs([[[1, 2]], [[1, 2], [3, 4]]])


def test_dtypes():
    with pytest.raises(TypeError, match="pairs has dtype <U1"):
        ms.from_pairs([[["a", "b"]]])
    with pytest.raises(TypeError, match="bias has dtype object"):
        ms.to_pairs([[1]], [[None]])
    assert ms.from_pairs(np.ones((1, 1, 2), ">f4"))[0].dtype.isnative


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (np.ones(3), np.ones((1, 3)), r"weight has shape \(3,\)"),
        (np.ones((2, 3)), np.ones((2, 4)), r"bias has shape \(2, 4\)"),
        (np.ones((2, 3)), np.ones((3, 3)), r"bias has shape \(3, 3\).*N = 2"),
    ],
)
def test_shapes_that_disagree(weight, bias, message):
    with pytest.raises(ValueError, match=message):
        ms.to_pairs(weight, bias)


@pytest.mark.gpu
def test_on_the_gpu():
    import cupy

    pairs = np.arange(12.0).reshape(2, 3, 2)
    for form in (cupy.asarray(pairs), [cupy.asarray(one) for one in pairs]):
        weight, bias = ms.from_pairs(form)
        assert type(weight) is type(bias) is cupy.ndarray
        assert_same_bits(ms.to_pairs(weight, bias), pairs)
    with pytest.raises(TypeError, match="weight has dtype float64, but bias has float32"):
        ms.to_pairs(weight, bias.astype(np.float32))
    with pytest.raises(TypeError, match="is on the GPU"):
        ms.to_pairs(weight, bias.get())
