"""The helpers offered to users' tests must themselves notice differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from multisubnet.testing import (
    DTYPES,
    LAYOUTS,
    arrays,
    assert_same_bits,
    problems,
    values,
)


@pytest.mark.parametrize(
    ("actual", "desired", "message"),
    [
        (np.float32([1]), np.float64([1]), "dtypes differ: actual float32, desired float64"),
        (np.ones(2), np.ones((2, 1)), r"shapes differ: actual \(2,\), desired \(2, 1\)"),
        (np.float64([0.0]), np.float64([-0.0]), r"\[0\]: actual 0.0 .*desired -0.0 .*, 0 ulp"),
        (np.float16([1]), np.float16([1.001]), r"0x3c00.*0x3c01.*1 ulp apart"),
        (np.float32([1e-45]), np.float32([-1e-45]), "2 ulp apart"),
        (np.float64([np.nan]), np.float64([np.inf]), r"\[0\]: actual nan"),
        (np.int8([1, 2]), np.int8([1, 3]), r"1 of 2 .*\n  \[1\]: actual 2, desired 3"),
        (np.array([[1 + 0j]]), np.array([[complex(1, -0.0)]]), r"\[0, 0\].*im 0 ulp apart"),
        (np.longdouble([1]), np.longdouble([2]), "1 of 1 values differ"),
        (np.zeros(9), np.ones(9), r"9 of 9(.*\n){6}  \.\.\."),
    ],
)
def test_differences_are_seen(actual, desired, message):
    with pytest.raises(AssertionError, match=message):
        assert_same_bits(actual, desired)


def test_undefined_bits_are_not_compared():
    payload = np.array([0x7FC00001, 0xFFC00000], np.uint32).view(np.float32)
    assert_same_bits(payload, np.float32([np.nan, np.nan]))
    assert_same_bits(np.array([complex(np.nan, 1)]), np.array([complex(-np.nan, 1)]))
    assert_same_bits([], np.empty(0))
    assert_same_bits(np.array([2.0], ">f8").byteswap().view("<f8"), [2.0])


@given(problem=problems(mixed_dtypes=True), n=st.integers(0, 4))
def test_problems_agree_in_shape(problem, n):
    samples, weight, bias = problem
    assert samples.ndim in (2, 3)
    assert weight.shape[1] == samples.shape[-1]
    assert bias is None or bias.shape[1] == samples.shape[-1]
    n_sets = {len(x) for x in (weight, bias) if x is not None} - {1}
    assert len(n_sets) <= 1
    if samples.ndim == 3:
        assert n_sets <= {len(samples)}
        n = min(n, max(len(samples) - 1, 0))
        assert problem.of_set(n).samples.shape == (min(len(samples), 1), *samples.shape[1:])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    shape = (4, 5)
    array = find(arrays("int32", shape, layouts=[layout]), lambda x: True)
    assert array.shape == shape
    natural = np.empty(shape, "int32").strides
    strided = {"transposed", "reversed", "every other", "repeated"}
    assert (array.strides != natural) == (layout in strided)
    assert array.flags.writeable == (layout not in ("read-only", "repeated"))
    assert array.dtype.isnative == (layout != "swapped")
    assert array.flags.aligned == (layout != "unaligned")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_special_values_are_drawn_and_can_be_switched_off(dtype):
    tiny = np.finfo(dtype).tiny

    def special(x):
        x = np.array(x, dtype)
        return not np.isfinite(x) or (x == 0 and np.signbit(x)) or 0 < abs(x) < tiny

    for wanted in (np.isnan, np.isposinf, np.isneginf, lambda x: 0 < abs(x) < tiny):
        find(values(dtype), lambda x, wanted=wanted: wanted(np.array(x, dtype)))

    @given(values(dtype, special_values=False))
    def none_is_special(x):
        assert not special(x)

    none_is_special()


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_arrays_have_the_dtype_asked_for(dtype, data):
    array = data.draw(arrays(dtype, (2, 3)))
    assert array.dtype.newbyteorder("=") == np.dtype(dtype)
