"""Launch geometry: plain Python, and what it makes the kernels do at their limits."""

from __future__ import annotations

import cuda_on_host
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multisubnet import _launch
from multisubnet.testing import DTYPES

sizes = st.integers(1, 300) | st.integers(1, 1 << 40)
needs_compiler = pytest.mark.skipif(
    cuda_on_host.why_unavailable() is not None, reason=str(cuda_on_host.why_unavailable())
)


@given(across=sizes, along=sizes)
def test_geometry_covers_the_work_within_the_limits_of_cuda(across, along):
    (grid_x, grid_y), (block_x, block_y) = _launch._geometry(across, along)
    assert grid_x * block_x >= across > (grid_x - 1) * block_x
    assert block_x * block_y == 256
    assert 1 <= grid_y <= min(65535, -(-along // block_y))
    if across < (1 << 39) - 256:
        assert grid_x < 1 << 31


def test_geometry_fills_a_card_from_either_side():
    for across, along in [(1, 10**6), (10**6, 1), (64, 10**5), (10**4, 10**4)]:
        (grid_x, grid_y), _ = _launch._geometry(across, along)
        assert grid_x * grid_y >= min(3900, across * along // 256)


def aligned(shape, dtype, offset=0):
    """An array that starts `offset` bytes past a multiple of 16."""
    dtype = np.dtype(dtype)
    buffer = np.zeros(int(np.prod(shape)) * dtype.itemsize + 64, np.uint8)
    start = -cuda_on_host.address(buffer) % 16 + offset
    return buffer[start:][: int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)


def kernel(samples, weight, bias, out):
    return _launch.affine(samples, weight, bias, out, out.dtype, None, cuda_on_host.address).kernel


@pytest.mark.parametrize("dtype", DTYPES)
def test_sixteen_bytes_at_once_where_alignment_allows(dtype):
    lanes = 16 // np.dtype(dtype).itemsize
    arrays = [aligned(s, dtype) for s in [(3, 2 * lanes), (5, 2 * lanes), (5, 2 * lanes)]]
    out = aligned((5, 3, 2 * lanes), dtype)
    assert kernel(*arrays, out).endswith(f", {lanes}>>")
    assert kernel(*arrays, aligned((3, 5, 2 * lanes), dtype).transpose(1, 0, 2)).endswith(
        f", {lanes}>>"
    )


@pytest.mark.parametrize("which", range(4))
def test_one_element_at_once_where_it_does_not(which):
    shapes = [(3, 8), (5, 8), (5, 8), (5, 3, 8)]
    arrays = [aligned(shape, "f4") for shape in shapes]
    arrays[which] = aligned(shapes[which], "f4", offset=4)
    assert kernel(*arrays).endswith("Direct<float32, 1>>")
    arrays[which] = aligned((*shapes[which][:-1], 16), "f4")[..., ::2]
    assert kernel(*arrays).endswith("Direct<float32, 1>>")
    arrays[which] = aligned((*shapes[which][:-1], 9), "f4")[..., :8]
    assert kernel(*arrays).endswith("Direct<float32, 1>>")
    arrays[which] = aligned(shapes[which], "f2")
    assert _launch.affine(*arrays, np.dtype("f4"), None, cuda_on_host.address).kernel.endswith(
        "Converting<float32>>"
    )


def test_an_array_between_multiples_of_its_itemsize_is_refused():
    arrays = [aligned(shape, "f4") for shape in [(3, 8), (5, 8), (5, 8), (5, 3, 8)]]
    arrays[1] = aligned((5, 8), "f4", offset=2)
    with pytest.raises(ValueError, match="weight does not lie at multiples of the 4 bytes"):
        kernel(*arrays)


@needs_compiler
@pytest.mark.large
def test_threads_beyond_32_bit_indices():
    # The last block of a launch that counts past 2^32 writes the last samples, and only those.
    n_samples = (1 << 32) + 300
    samples = np.lib.stride_tricks.as_strided(aligned((1, 1), "i1"), (n_samples, 1), (0, 1))
    out = np.empty((1, n_samples, 1), np.int8)  # its pages are never touched
    out[0, -512:] = 9
    weight = aligned((1, 1), "i1")
    launch = _launch.affine(samples, weight, None, out, out.dtype, None, cuda_on_host.address)
    assert launch.grid[0] * launch.block[0] > 1 << 32
    cuda_on_host.run(launch, first=(launch.grid[0] - 1, 0))
    written = n_samples % 256
    assert (out[0, -written:] == 0).all()
    assert (out[0, -512:-written] == 9).all()


@needs_compiler
def test_the_host_backend_runs_kernels():
    # Where g++ is, the property tests of "host" must not have been empty.
    import multisubnet as ms

    before = cuda_on_host.launches
    with ms.use_backend("host"):
        ms.affine([[1.0]], [[2.0]])
    assert cuda_on_host.launches == before + 1
