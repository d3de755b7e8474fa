"""Operands and results of `affine`: array_likes, dtypes, shapes, memory, floating-point modes."""

from __future__ import annotations

import sys
import threading
import tracemalloc
import warnings

import formula
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet._arrays.validation import overlaps_itself
from multisubnet.testing import DTYPES, assert_same_bits

SAMPLES = [[3, 7], [9, 4]]
WEIGHT = [[2, 9], [8, 6]]
BIAS = [[7, 5], [6, 3]]
BOTH = [[[13, 68], [25, 41]], [[30, 45], [78, 27]]]


def test_the_example_comes_out_as_integers(backend):
    result = backend(*map(np.array, (SAMPLES, WEIGHT, BIAS)))
    assert result.dtype == np.int64
    assert result.tolist() == BOTH
    swapped = backend(*map(np.array, (SAMPLES, WEIGHT, BIAS)), set_axis=1)
    assert swapped.tolist() == np.array(BOTH).transpose(1, 0, 2).tolist()


def test_sequences_and_python_scalars():
    assert ms.affine(SAMPLES, WEIGHT, BIAS).tolist() == BOTH
    assert ms.affine(((1, True),), [(0.5, 2)]).tolist() == [[[0.5, 2.0]]]
    assert ms.affine([[np.float32(1)]], [[np.float32(2)]]).dtype == np.float32


def test_subclasses_and_memmaps(tmp_path):
    stored = np.memmap(tmp_path / "samples", np.int64, "w+", shape=(2, 2))
    stored[...] = SAMPLES

    class Subclass(np.ndarray):
        pass

    result = ms.affine(stored, np.array(WEIGHT).view(Subclass), BIAS)
    assert type(result) is np.ndarray
    assert result.tolist() == BOTH
    out = np.memmap(tmp_path / "out", np.float64, "w+", shape=(2, 2, 2))
    assert ms.affine(stored, WEIGHT, BIAS, out=out) is out
    assert out.tolist() == BOTH


def test_out_of_a_subclass_with_ways_of_its_own():
    class Subclass(np.ndarray):
        __array_ufunc__ = None

        def __getitem__(self, index):
            return super().__getitem__(index).copy()

    out = np.zeros((2, 200, 300)).view(Subclass)
    assert ms.affine(np.ones((200, 300)), np.ones((2, 300)), out=out) is out
    assert (np.asarray(out) == 1).all()


def test_anything_with_a_dtype_of_numbers_that_numpy_understands():
    class Table:
        def __array__(self, dtype=None, copy=None):
            return np.array(SAMPLES)

    assert ms.affine(Table(), WEIGHT, BIAS).tolist() == BOTH


@pytest.mark.parametrize("first", DTYPES)
@pytest.mark.parametrize("second", DTYPES)
def test_the_dtype_is_numpys_result_type(first, second):
    result = ms.affine(np.ones((1, 1), first), np.ones((1, 1), second))
    assert result.dtype == np.result_type(first, second)
    assert result.dtype.isnative


@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble])
def test_longdouble_on_the_cpu(dtype):
    rng = np.random.default_rng(0)
    samples, weight, bias = (rng.normal(size=(3, 4)).astype(dtype) / 3 for _ in range(3))
    result = ms.affine(samples, weight, bias)
    assert result.dtype == dtype
    assert_same_bits(result, formula.affine(samples, weight, bias))


def test_numpy_serves_longdouble_for_other_backends(backend):
    if backend.name is None:
        pytest.skip("CuPy has no longdouble")
    assert backend(np.ones((1, 1), np.longdouble), np.ones((1, 1))).dtype == np.longdouble
    out = np.zeros((1, 1, 1), np.longdouble)
    assert backend(np.ones((1, 1)), np.ones((1, 1)), out=out) is out
    assert out == 1


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 4), (5, 4), (5, 4)],
        [(3, 4), (5, 4), (1, 4)],
        [(3, 4), (1, 4), (5, 4)],
        [(3, 4), (1, 4), (1, 4)],
        [(5, 3, 4), (5, 4), (5, 4)],
        [(5, 3, 4), (1, 4), (1, 4)],
        [(3, 4), (0, 4), (1, 4)],
        [(3, 4), (1, 4), (0, 4)],
        [(0, 3, 4), (1, 4), (0, 4)],
        [(3, 0), (5, 0), (5, 0)],
        [(0, 4), (5, 4), (5, 4)],
        [(3, 4), (5, 4)],
        [(3, 4), (1, 4)],
        [(5, 3, 4), (1, 4)],
    ],
    ids=str,
)
def test_shapes(backend, shapes):
    operands = [np.arange(np.prod(shape), dtype=float).reshape(shape) for shape in shapes]
    n_sets = (
        shapes[0][0]
        if len(shapes[0]) == 3
        else next((shape[0] for shape in shapes[1:] if shape[0] != 1), 1)
    )
    desired = formula.affine(*operands)
    assert desired.shape == (n_sets, *shapes[0][-2:])
    assert_same_bits(backend(*operands), desired)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "int8"])
def test_no_backend_warns_or_asks_seterr(backend, dtype):
    largest = np.finfo(dtype).max if np.dtype(dtype).kind != "i" else 127
    operands = [np.full((2, 2), largest, dtype), np.full((2, 2), -largest, dtype)]
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        backend(*operands, operands[0] * 0)
        if dtype == "float64":
            backend(*operands, out=np.empty((2, 2, 2), np.float16))


def peak(function):
    """Return the peak memory of Python and NumPy during a call, above its start."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("dtypes", "out_dtype"),
    [
        ("f4 f4 f4", "f4"),
        (">f4 >f4 >f4", "f4"),
        ("f4 f8 f4", "f8"),
        ("i1 f8 u2", "f8"),
        ("f8 f8 f8", "f2"),
        ("c8 c8 c8", "c8"),
        ("f4 c16 c16", "c16"),
    ],
)
def test_operands_are_not_copied_as_a_whole(dtypes, out_dtype):
    shapes = [(2000, 1000), (2, 1000), (2, 1000)]
    operands = [np.ones(shape, dtype) for shape, dtype in zip(shapes, dtypes.split(), strict=True)]
    operands[0] = operands[0][::-1]
    out = np.empty((2, 2000, 1000), out_dtype)
    assert peak(lambda: ms.affine(*operands, out=out)) < 2 << 20  # a cast copy: 8 MB or more


def test_in_place_nothing_is_copied():
    samples = np.ones((2, 1000, 1000))
    assert peak(lambda: ms.affine(samples, np.full((2, 1000), 3.0), out=samples)) < 2 << 20
    assert (samples == 3).all()
    halves = np.ones((1000, 2000))
    left, right = halves[:, :1000], halves[:, 1000:]
    assert peak(lambda: ms.affine(left, np.full((1, 1000), 3.0), out=right[None])) < 2 << 20
    assert (left == 1).all()
    assert (right == 3).all()


def set_flush_to_zero():
    """Make this thread flush subnormals, as libraries built with -ffast-math do."""
    import ctypes

    libm = ctypes.CDLL("libm.so.6")
    environment = (ctypes.c_uint32 * 8)()  # fenv_t of glibc on x86-64; its last word is MXCSR
    libm.fegetenv(environment)
    environment[7] |= 0x8040
    libm.fesetenv(environment)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or "x86_64" not in __import__("platform").machine(),
    reason="knows how to flush subnormals on x86-64 Linux only",
)
def test_subnormals_are_kept_in_a_thread_that_flushes_them():
    tiny = np.float32([[1e-40, 1e-45]])
    half, one = np.float32([[0.5, 1.0]]), np.float32([[1.0]])
    desired = ms.affine(tiny, half)
    assert desired.all()
    selected = ms.affine_select(tiny, half, None, [0], activation="silu")
    silu = ms.affine(np.float32([[-100.0]]), one, activation="silu")
    assert -4e-42 < silu.item() < -3e-42
    found = {}

    def work():
        set_flush_to_zero()
        found["flushes"] = (np.full(4, 5e-324) * np.float64(1)).tolist()
        found["result"] = ms.affine(tiny, half)
        found["selected"] = ms.affine_select(tiny, half, None, [0], activation="silu")
        found["silu"] = ms.affine(np.float32([[-100.0]]), one, activation="silu")
        found["from a list"] = ms.affine([tiny[0], np.zeros(2)], half)[0, :1].tolist()
        found["pairs"] = ms.to_pairs(tiny, half.astype(float)).tolist()
        try:
            assert_same_bits(tiny, np.zeros_like(tiny))
        except AssertionError as error:
            found["difference"] = str(error)
        found["still flushes"] = (np.full(4, 5e-324) * np.float64(1)).tolist()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found["flushes"] == found["still flushes"] == [0.0] * 4
    assert_same_bits(found["selected"], selected)
    assert_same_bits(found["silu"], silu)
    assert_same_bits(found["result"], desired)
    assert all(map(all, found["from a list"]))
    assert all(pair[0] for pair in found["pairs"][0])
    assert "2 of 2 values differ" in found["difference"]


@given(
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    strides=st.tuples(*[st.integers(-40, 40)] * 3),
    itemsize=st.sampled_from([1, 4, 8]),
)
def test_memory_that_elements_share(shape, strides, itemsize):
    places = set()
    for index in np.ndindex(*shape):
        start = sum(i * stride for i, stride in zip(index, strides, strict=True))
        places |= set(range(start, start + itemsize))
    shared = len(places) < np.prod(shape) * itemsize
    assert overlaps_itself(shape, strides, itemsize) == shared


@pytest.mark.parametrize("strides", [(8, 8, 8), (96, 16, 8), (0, 32, 8), (96, 32, 4), (-96, 24, 8)])
def test_an_out_that_overlaps_itself(strides):
    out = np.lib.stride_tricks.as_strided(np.zeros(100)[50:], (2, 3, 4), strides)
    with pytest.raises(ValueError, match="out has elements that share memory: its strides are"):
        ms.affine(np.ones((3, 4)), np.ones((2, 4)), out=out)
    with pytest.raises(ValueError, match="share memory"):
        ms.WeightSets(np.ones((2, 4))).predict(np.ones((3, 4)), out=out)


def test_an_interleaved_out_does_not_overlap_itself():
    # Rows of 4 elements, 3 elements apart: every second element belongs to another row.
    out = np.lib.stride_tricks.as_strided(np.zeros(60), (2, 3, 4), (240, 8, 24))
    desired = ms.affine(np.ones((3, 4)), np.arange(8.0).reshape(2, 4))
    ms.affine(np.ones((3, 4)), np.arange(8.0).reshape(2, 4), out=out)
    assert np.array_equal(out, desired)
