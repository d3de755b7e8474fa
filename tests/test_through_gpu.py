"""NumPy arrays through the GPU, in chunks: none is lost, and short memory is made do with."""

from __future__ import annotations

from unittest import mock

import formula
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet._backends.cupy import host_arrays as _through_gpu
from multisubnet.testing import assert_same_bits, problems

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")


@given(
    problem=problems(max_sets=9, max_samples=9, max_features=9) | problems(mixed_dtypes=True),
    set_axis=st.sampled_from([0, 1]),
    chunk_bytes=st.sampled_from([1, 100, 1000]),
    order=st.sampled_from("CF"),
)
def test_chunks_of_any_size(problem, set_axis, chunk_bytes, order):
    desired = formula.affine(*problem, set_axis=set_axis)
    out = np.empty(desired.shape, desired.dtype.newbyteorder("S"), order)
    with mock.patch.object(_through_gpu, "_CHUNK_BYTES", chunk_bytes), ms.use_backend("cupy"):
        assert_same_bits(ms.affine(*problem, set_axis=set_axis), desired)
        assert ms.affine(*problem, set_axis=set_axis, out=out) is out
    assert_same_bits(out.astype(desired.dtype), desired)


def test_operands_that_are_one_array():
    x = np.arange(12.0).reshape(4, 3)
    with mock.patch.object(_through_gpu, "_CHUNK_BYTES", 100), ms.use_backend("cupy"):
        assert_same_bits(ms.affine(x, x, x), formula.affine(x, x, x))


@pytest.fixture
def large():
    rng = np.random.default_rng(0)
    operands = [rng.normal(size=shape).astype("f4") for shape in [(2000, 16), (100, 16), (100, 16)]]
    return operands, formula.affine(*operands)


@pytest.fixture
def memory():
    """Limit the GPU memory there is for arrays, besides those that are there."""
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    yield lambda size: pool.set_limit(size=pool.used_bytes() + size)
    pool.set_limit(size=0)


@pytest.mark.parametrize("fits", [20, 5, 2])  # sets of the result
def test_chunks_are_halved_where_memory_is_short(large, memory, fits):
    operands, desired = large
    memory(fits * desired[0].nbytes + 400_000)
    with ms.use_backend("cupy"):
        assert_same_bits(ms.affine(*operands), desired)


def test_memory_that_is_short_later_on(large):
    operands, desired = large
    chunks = []
    lane = _through_gpu._Lane

    def send(self, target):
        chunks.append(len(target))
        if len(chunks) == 4:
            raise cupy.cuda.memory.OutOfMemoryError(1, 2)
        return original(self, target)

    original = lane.send
    with (
        mock.patch.object(_through_gpu, "_CHUNK_BYTES", 10 * desired[0].nbytes),
        mock.patch.object(lane, "send", send),
        ms.use_backend("cupy"),
    ):
        assert_same_bits(ms.affine(*operands), desired)
    # What had arrived is not computed again: that was two chunks, when a fourth one was begun.
    assert chunks == [10, 10, 10, 10] + [5] * 16


def test_a_set_that_does_not_fit(large, memory):
    operands, desired = large
    memory(desired[0].nbytes // 2)
    row = desired[0].nbytes
    with (
        ms.use_backend("cupy"),
        pytest.raises(MemoryError, match=f"one set of the result has {row} bytes and does not fit"),
    ):
        ms.affine(*operands)
