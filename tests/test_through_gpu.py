"""NumPy arrays through the GPU, in chunks: all arrive, and little memory is enough."""

from __future__ import annotations

import contextlib
from unittest import mock

import formula
import numpy as np
import pytest
import tiles
from hypothesis import given
from hypothesis import strategies as st
from test_mlp import SMALL, expected, networks

import multisubnet as ms
from multisubnet._backends.cupy import engine, host_arrays
from multisubnet.testing import assert_same_bits, problems

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")
cupyx = pytest.importorskip("cupyx")
memory_pool = pytest.importorskip("memory_pool")  # imports cupy


@given(
    problem=problems(max_sets=9, max_samples=9, max_features=9) | problems(mixed_dtypes=True),
    set_axis=st.sampled_from([0, 1]),
    chunk_bytes=st.sampled_from([1, 100, 1000]),
    order=st.sampled_from("CF"),
)
def test_chunks_of_any_size(problem, set_axis, chunk_bytes, order):
    desired = formula.affine(*problem, set_axis=set_axis)
    out = np.empty(desired.shape, desired.dtype.newbyteorder("S"), order)
    with tiles.of(gpu_chunk=chunk_bytes), ms.use_backend("cupy"):
        assert_same_bits(ms.affine(*problem, set_axis=set_axis), desired)
        assert ms.affine(*problem, set_axis=set_axis, out=out) is out
    assert_same_bits(out.astype(desired.dtype), desired)


@given(
    problem=networks(["float32"], (SMALL,), max_samples=9) | networks(["float16"], (SMALL,)),
    set_axis=st.sampled_from([0, 1]),
    chunk_bytes=st.sampled_from([1, 100, 1000]),
)
def test_chunks_of_networks(problem, set_axis, chunk_bytes):
    samples, layers, options = problem
    desired = expected(problem, set_axis)
    if desired is None:
        return
    out = np.empty(desired.shape, desired.dtype.newbyteorder("S"))
    options["set_axis"] = set_axis
    with mock.patch.object(host_arrays, "_CHUNK_BYTES", chunk_bytes), ms.use_backend("cupy"):
        assert_same_bits(ms.mlp(samples, layers, **options), desired)
        assert ms.mlp(samples, layers, **options, out=out) is out
    assert_same_bits(out.astype(desired.dtype), desired)


def test_operands_that_are_one_array():
    x = np.arange(12.0).reshape(4, 3)
    with tiles.of(gpu_chunk=100), ms.use_backend("cupy"):
        assert_same_bits(ms.affine(x, x, x), formula.affine(x, x, x))


@pytest.fixture
def large():
    rng = np.random.default_rng(0)
    operands = [rng.normal(size=shape).astype("f4") for shape in [(2000, 16), (100, 16), (100, 16)]]
    return operands, formula.affine(*operands)


@pytest.fixture(params=["CuPy's pool", "one like it"])
def memory(request):
    """Limit the GPU memory for arrays, beyond those that exist."""
    if request.param == "one like it":
        with contextlib.ExitStack() as stack:
            yield lambda size: stack.enter_context(
                cupy.cuda.using_allocator(memory_pool.Pool(size).malloc)
            )
        return
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    yield lambda size: pool.set_limit(size=pool.total_bytes() + size)
    pool.set_limit(size=0)


@pytest.mark.parametrize("fits", [20, 5, 2])  # sets of the result
def test_chunks_are_halved_if_memory_is_short(large, memory, fits):
    operands, desired = large
    memory(fits * desired[0].nbytes + 400_000)
    with ms.use_backend("cupy"):
        assert_same_bits(ms.affine(*operands), desired)


def test_memory_is_kept_for_the_next_call(large):
    operands, desired = large
    pool = memory_pool.Pool(1 << 30)
    with cupy.cuda.using_allocator(pool.malloc), ms.use_backend("cupy"):
        assert_same_bits(ms.affine(*operands), desired)
    assert pool.total_bytes() > desired.nbytes


def test_memory_that_becomes_short(large):
    operands, desired = large
    chunks = []
    lane = host_arrays._Lane

    def send(self, target):
        chunks.append(len(target))
        if len(chunks) == 4:
            raise cupy.cuda.memory.OutOfMemoryError(1, 2)
        return original(self, target)

    original = lane.send
    with (
        tiles.of(gpu_chunk=10 * desired[0].nbytes),
        mock.patch.object(lane, "send", send),
        ms.use_backend("cupy"),
    ):
        assert_same_bits(ms.affine(*operands), desired)
    # The two chunks that had arrived before the fourth began are not computed again.
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


@pytest.mark.parametrize("shape", [(2, 1000, 16), (2, 7, 16), (3, 2, 16), (2, 1, 16)])
@pytest.mark.parametrize("set_axis", [0, 1])
def test_rows_larger_than_a_chunk_take_no_more_pinned_memory(shape, set_axis, monkeypatch):
    # CuPy rounds it up to a power of two and keeps it: two buffers for a whole row of 5 GB would
    # take 16 GiB.
    n_sets, n_samples, n_features = shape
    chunk_bytes, sizes = 1 << 9, []
    real = cupyx.empty_pinned

    def empty_pinned(*args):
        sizes.append(real(*args).nbytes)
        return real(*args)

    monkeypatch.setattr(cupyx, "empty_pinned", empty_pinned)
    rng = np.random.default_rng(0)
    samples, weight = (rng.normal(size=(n, n_features)) for n in (n_samples, n_sets))
    with tiles.of(gpu_chunk=chunk_bytes), ms.use_backend("cupy"):
        result = ms.affine(samples, weight, set_axis=set_axis)
    assert_same_bits(result, formula.affine(samples, weight, None, set_axis=set_axis))
    assert sizes
    assert max(sizes) <= chunk_bytes


def test_large_operands_take_no_pinned_memory(monkeypatch):
    array = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)
    used = []
    monkeypatch.setattr(engine, "PINNED_BYTES", 100)
    monkeypatch.setattr(cupy, "asarray", lambda *args: used.append(args))
    adopted = engine.copy_from_other(array.astype(">f8"))
    assert not used
    assert_same_bits(adopted.get(), array)
