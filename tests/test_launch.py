"""Launch geometry: plain Python, and its effect on kernels at the limits."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import cuda_on_host
import numpy as np
import pytest
import tiles
from hypothesis import given
from hypothesis import strategies as st

from multisubnet._arithmetic.summands import OPERANDS, Dependence, Summands
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends import numpy
from multisubnet._backends.cupy import sources
from multisubnet._backends.cupy.launch import affine, sums
from multisubnet._backends.cupy.launch import geometry as _geometry
from multisubnet._functions import summation
from multisubnet.testing import DTYPES, assert_same_bits

sizes = st.integers(1, 300) | st.integers(1, 1 << 40)
needs_compiler = pytest.mark.skipif(
    cuda_on_host.why_unavailable() is not None, reason=str(cuda_on_host.why_unavailable())
)


H100 = cuda_on_host.CARD
SMALL = _geometry.Card(multiprocessors=1, threads=1)  # with enough work for all threads
# The largest card, a small one, and a part of one.
CARDS = [H100, _geometry.Card(192, 2048), _geometry.Card(20, 1024), _geometry.Card(14, 2048), SMALL]
cards = pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card[0]}x{card[1]}")


@cards
@given(across=sizes, along=sizes, multiple=st.sampled_from([1, 2, 16, 32]))
def test_geometry_covers_the_work_within_the_limits_of_cuda(card, across, along, multiple):
    (grid_x, grid_y), (block_x, block_y) = _geometry.plan_grid(across, along, card, multiple)
    assert grid_x * block_x >= across > (grid_x - 1) * block_x
    assert block_x * block_y == 256
    assert 1 <= grid_y <= min(65535, -(-along // block_y) + multiple)
    assert grid_y * block_y >= along or grid_y * block_y % multiple == 0
    if across < (1 << 39) - 256:
        assert grid_x < 1 << 31


@cards
def test_geometry_fills_a_card_from_either_side(card):
    # With two waves of threads, except for what an even split of a walk takes away.
    for across, along in [(1, 10**6), (10**6, 1), (64, 10**5), (10**4, 10**4)]:
        (grid_x, grid_y), _ = _geometry.plan_grid(across, along, card)
        enough = card.multiprocessors * card.threads / 128
        assert grid_x * grid_y >= min(0.9 * enough, across * along // 256)


@cards
@given(across=sizes, length=sizes)
def test_geometry_of_sums_has_threads_for_all_parallel_work(card, across, length):
    n_blocks = -(-length // BLOCK)
    geometry = _geometry.plan_sums_grid(across, n_blocks, length, card)
    (grid_x, grid_y), (block_x, block_y) = geometry
    assert grid_x * block_x >= across > (grid_x - 1) * block_x
    assert block_x * block_y <= 256
    assert grid_y == min(n_blocks, 65535)
    if across < 1 << 39:
        assert grid_x < 1 << 31
    runs = min(-(-length // RUN), BLOCK // RUN)
    assert block_y <= runs
    # All threads have the same number of runs, except the last ones.
    passes = -(-runs // block_y)
    assert (block_y - 1) * passes < runs
    # Half of the threads, if twice as many would leave most of them without a second run.
    busy = min(across * n_blocks * runs, card.multiprocessors * card.threads)
    assert across * n_blocks * block_y >= busy / (1 if passes == 1 else 2)
    assert block_x * block_y >= min(across * runs, 32) / 2


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_sums_of_a_data_set_keep_all_threads_busy(dtype):
    # The 569 breast-cancer samples have 18 runs: one thread per run, with as many rows as possible.
    shape = 1000, 569, 30
    rows = sums._rows_of_sums(shape, np.dtype(dtype), H100)
    assert rows == 16 // np.dtype(dtype).itemsize
    across = 1000 // rows * 30
    (grid_x, grid_y), (block_x, block_y) = _geometry.plan_sums_grid(across, 1, 569, H100)
    assert 18 % block_y == 0
    assert grid_x * block_x * grid_y <= 1.01 * across
    assert grid_x * grid_y >= 4 * H100.multiprocessors


def test_sums_of_few_runs_are_divided_evenly():
    # 16 threads would leave only two with a second run; nine threads have two runs each.
    card = _geometry.Card(multiprocessors=16, threads=1000)
    _, (block_x, block_y) = _geometry.plan_sums_grid(1000, 1, 18 * RUN, card)
    assert block_y == 9
    assert block_x * block_y > 120


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "shape",  # (kept, summed, F)
    [(1, 10**6, 1), (10**6, 1, 1), (1, 10**7, 1), (2, 10**6, 30), (1, 1, 10**4), (1, 10**4, 10**4)]
    + [(1000, 1000, 1), (32, 1000, 16), (100, 10**4, 30), (10**4, 10**4, 64), (4, 1000, 10**4)],
    ids=str,
)
def test_sums_fill_a_card_whatever_their_shape(shape, dtype):
    # In blocks of at least a warp: two per multiprocessor, and as many threads as it has room for,
    # or as many as there are runs to add.
    n_kept, length, n_features = shape
    rows = sums._rows_of_sums(shape, np.dtype(dtype), H100)
    across = -(-n_kept // rows) * n_features
    runs = n_kept * n_features * -(-length // RUN)
    geometry = _geometry.plan_sums_grid(across, -(-length // BLOCK), length, H100)
    (grid_x, grid_y), (block_x, block_y) = geometry
    assert grid_x * grid_y * block_x * block_y >= min(runs, H100.multiprocessors * 512)
    assert grid_x * grid_y >= min(runs / 150, 300)
    assert block_x * block_y >= 32


def test_a_gpu_sums_up_many_results_at_once(monkeypatch):
    # For a million sets of one feature on one sample: one launch, not eight.
    launched = []
    monkeypatch.setattr(cuda_on_host, "ARRAYS", "cupy")
    monkeypatch.setattr(cuda_on_host, "run", launched.append)
    summing = summation.Summing(cuda_on_host, np, np.dtype("f4"), 0.0)
    shape = 10**6, 1, 1
    out = np.empty((10**6, 1))
    summing.write(SUM, {"sample": np.ones(shape, "f4")}, shape, [out])
    assert len(launched) == 2  # sums and finish


@cards
@given(
    n_kept=st.integers(1, 30),
    n_features=st.integers(1, 30),
    length=st.integers(1, 100) | st.integers(1, 20 * BLOCK),
    most_in_y=st.sampled_from([1, 3, 65535]),
)
def test_geometry_of_sums_takes_each_run_once(card, n_kept, n_features, length, most_in_y):
    # Follows a thread in cuda/sums.cu; columns are independent of runs.
    n_blocks = -(-length // BLOCK)
    across = -(-n_kept // 4) * n_features
    with tiles.of(gpu_rows=most_in_y):
        geometry = _geometry.plan_sums_grid(across, n_blocks, length, card)
    (grid_x, grid_y), (block_x, block_y) = geometry
    threads = [divmod(x, n_features) for x in range(grid_x * block_x)]
    columns = [(4 * group + row, f) for group, f in threads for row in range(4)]
    columns = sorted((n, f) for n, f in columns if n < n_kept)
    assert columns == [(n, f) for n in range(n_kept) for f in range(n_features)]
    runs = []
    for block in (b for y in range(grid_y) for b in range(y, n_blocks, grid_y)):
        end = min((block + 1) * BLOCK, length)
        for first in range(block * BLOCK, end, RUN * block_y):
            starts = [first + RUN * y for y in range(block_y)]
            runs += [(start, min(start + RUN, end)) for start in starts if start < end]
    assert sorted(runs) == [(i, min(i + RUN, length)) for i in range(0, length, RUN)]


# The axes of operands of sums: the kept one, the summed one, and features.
LAYOUTS = {
    "losses": {"sample": "sf", "weight": "kf", "bias": "kf", "target": "sf"},
    "losses on own samples": {"sample": "ksf", "weight": "kf", "bias": "kf", "target": "s"},
    "gradients": {"sample": "sf", "weight": "kf", "bias": "kf", "target": "ksf"},
    "gradients of samples": {"sample": "kf", "weight": "sf", "bias": "sf", "target": "ksf"},
    "statistics": {"sample": "kf", "weight": "sf", "bias": "sf", "target": "kf"},
    "total": {"sample": "sf"},
}


def launch_of_sums(terms, dtype, *, layout="losses", of_operands=None, shape=(5, 5, 2)):
    """Return a launch of sums as for large work, and the places of its results."""
    axes = LAYOUTS[layout] | ({"factor": "s"} if terms.weighted else {})
    lengths = dict(zip("ksf", shape, strict=True))
    operands = {
        name: np.ones([lengths[axis] if axis in of_array else 1 for axis in "ksf"])
        for name, of_array in axes.items()
    }
    operands = {name: x.astype(of_operands or dtype) for name, x in operands.items()}
    return launched_sums(terms, operands, dtype, shape, SMALL)


def launched_sums(terms, operands, dtype, shape, card=H100):
    n_kept, length, n_features = shape
    totals = np.full((-(-length // BLOCK), len(terms.outputs), n_kept, n_features), np.nan)
    arrays = (operands.get(name) for name in OPERANDS)
    given = terms, np.dtype(dtype), 0.0, length, card
    return sums.plan_sums(*arrays, totals, *given, cuda_on_host.address), totals


SUM = Summands("product", "linear", ("loss",), False)


@needs_compiler
@given(
    shape=st.tuples(
        st.integers(1, 9),
        st.integers(1, 300) | st.sampled_from([4096, 4097, 8000, 9000]),
        st.integers(1, 9) | st.sampled_from([31, 32, 33, 64, 70]),
    ),
    card=st.sampled_from([SMALL, _geometry.Card(1, 30), _geometry.Card(2, 300), H100]),
    most_runs=st.sampled_from([2, 4, 32]),
    most_in_y=st.sampled_from([1, 2, 65535]),
)
def test_each_term_is_in_one_sum(shape, card, most_runs, most_in_y):
    # With integers, whose sums are exact in any order.
    sample = np.random.default_rng(0).integers(1, 1 << 30, shape).astype(float)
    with tiles.of(gpu_runs=most_runs, gpu_rows=most_in_y):
        launch, totals = launched_sums(SUM, {"sample": sample}, "f8", shape, card)
    cuda_on_host.run(launch)
    desired = np.add.reduceat(sample, range(0, shape[1], BLOCK), axis=1)
    assert (totals[:, 0] == desired.swapaxes(0, 1)).all()


@cards
@given(
    count=sizes,
    n_kept=st.integers(1, 1 << 40),
    n_features=sizes,
    over_features=st.booleans(),
)
def test_finish_has_threads_for_each_element(card, count, n_kept, n_features, over_features):
    shape = (n_kept,) if over_features else (n_kept, n_features)
    of_totals = (1, n_kept, count) if over_features else (count, n_kept, n_features)
    totals = Array(of_totals, (0, 0, 0), np.dtype("f8"))
    out = Array(shape, (0,) * len(shape), np.dtype("f4"))
    launch = sums.plan_finish(totals, out, None, 1.0, card, lambda array: 0)
    (grid, one), (x, y) = launch.grid, launch.block
    assert one == 1
    assert x * y <= 256
    assert grid * x >= math.prod(shape) > (grid - 1) * x
    # Eight per thread: no more threads than that takes, and no fewer if they fit in a block.
    assert y == 256 or 8 * y >= count
    assert y == 1 or 4 * y < count
    # Small blocks on all multiprocessors; at least a warp if there is one.
    assert grid >= min(math.prod(shape) // 4, 4 * card.multiprocessors) or x * y <= 32
    assert x * y >= min(32, math.prod(shape) * y)


@needs_compiler
@given(
    shape=st.tuples(
        st.integers(1, 40) | st.integers(65, 96) | st.integers(1, 3000),
        st.integers(1, 9) | st.sampled_from([31, 33, 100]),
        st.integers(1, 9) | st.sampled_from([31, 33]),
    ),
    card=st.sampled_from([SMALL, H100]),
    threads=st.sampled_from([1, 2, 4, 8, 256]),
    over_features=st.booleans(),
    data=st.data(),
)
def test_finish_is_the_tree_for_any_division(shape, card, threads, over_features, data):
    # In leaves of a thread, lanes of a block, and tiles; with few lanes there are several tiles.
    if over_features:
        shape = (data.draw(st.sampled_from([1, 1, 2, 9])), shape[1], shape[0])
    rng = np.random.default_rng(0)
    totals = rng.normal(size=shape)
    totals[rng.random(shape) < 0.1] = -0.0
    desired = np.empty(shape[1:2] if over_features else shape[1:])
    numpy.finish(totals, desired, 3.0, np.array([7.0]))
    out = np.full_like(desired, np.nan)
    with tiles.of(card, gpu_threads=threads):
        cuda_on_host.finish(totals, out, 3.0, np.array([7.0]))
    assert_same_bits(out, desired)


@needs_compiler
@pytest.mark.parametrize("n_tiles", [9, 10, 11, 70])
def test_lanes_wait_for_the_results_of_tiles(n_tiles):
    # There are more tiles than the first lane has leaves; another lane reads the last one next.
    totals = np.random.default_rng(0).normal(size=(32 * n_tiles, 1, 1))
    desired, out = np.empty((1, 1)), np.empty((1, 1))
    numpy.finish(totals, desired, 1.0, None)
    with tiles.of(gpu_threads=4):
        cuda_on_host.finish(totals, out, 1.0, None)
    assert_same_bits(out, desired)


@needs_compiler
def test_finish_of_nothing_is_zero():
    out = np.full(3, np.nan)
    cuda_on_host.finish(np.empty((1, 3, 0)), out, 2.0, None)
    assert_same_bits(out, np.zeros(3))


class Array(NamedTuple):
    """The attributes of an array that launches use."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype


def aligned(shape, dtype, offset=0):
    """An array that starts `offset` bytes after a multiple of 16."""
    dtype = np.dtype(dtype)
    buffer = np.zeros(int(np.prod(shape)) * dtype.itemsize + 64, np.uint8)
    start = -cuda_on_host.address(buffer) % 16 + offset
    return buffer[start:][: int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)


def kernel(samples, weight, bias, out):
    given = samples, weight, bias, out, out.dtype, None, H100
    return affine.plan_affine(*given, cuda_on_host.address).kernel


def aligned_arrays(dtype, n_features):
    shapes = [(3, n_features), (5, n_features), (5, n_features), (5, 3, n_features)]
    return [aligned(shape, dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", DTYPES)
def test_which_kernel_writes_a_result(dtype):
    # As in affine_runs<float32, Linear, SETS_FIRST, true>, without type and activation.
    def of(*arrays):
        return kernel(*arrays).split("<")[0], kernel(*arrays)[:-1].split(", ", 2)[2]

    lanes = 16 // np.dtype(dtype).itemsize
    samples, weight, bias, out = aligned_arrays(dtype, 2 * lanes)
    assert of(samples, weight, bias, out) == ("affine_runs", "SETS_FIRST, true")
    assert of(samples, weight, None, out) == ("affine_runs", "SETS_FIRST, true")
    assert of(out, weight, bias, out.copy()) == ("affine_runs", "OWN_SAMPLES, true")
    by_samples = aligned((3, 5, 2 * lanes), dtype).transpose(1, 0, 2)
    assert of(samples, weight, bias, by_samples) == ("affine_runs", "SAMPLES_FIRST, true")
    of_one_sample = of(samples[:1], weight, bias, aligned((5, 1, 2 * lanes), dtype))
    assert of_one_sample == ("affine_runs", "SAMPLES_FIRST, true")

    # Neither sets nor samples are contiguous, then features are not either.
    pieces = aligned((5, 6, 2 * lanes), dtype)[:, ::2]
    assert kernel(samples, weight, bias, pieces).startswith("affine<")
    assert kernel(samples, weight, bias, pieces).endswith(f", {lanes}>>")
    strided = aligned((5, 3, 4 * lanes), dtype)[:, :, ::2]
    assert kernel(samples, weight, bias, strided).endswith(", 1>>")
    # The last vector of a row would have one feature too many, though each vector is aligned.
    cut = (array[..., :-1] for array in (samples, weight, bias, pieces))
    assert kernel(*cut).endswith(", 1>>")


def test_which_kernel_writes_a_selection():
    def kernel(samples, weight, out, index=np.zeros(8, "i4")):  # noqa: B008
        given = samples, weight, None, index, out, np.dtype("f4"), None, len(weight), H100
        return affine.plan_affine_select(*given, cuda_on_host.address).kernel

    samples, weight, out = (aligned((n, 8), "f4") for n in (8, 5, 8))
    assert kernel(samples, weight, out) == "affine_select_runs<float32, Linear, true>"
    for narrow in (aligned((5, 9), "f4")[:, :8], aligned((5, 8), "f4", offset=4)):
        assert kernel(samples, narrow, out) == "affine_select_runs<float32, Linear, false>"
    misplaced = aligned((8, 8), "f4", offset=4)
    assert kernel(samples, weight, misplaced) == "affine_select_runs<float32, Linear, false>"
    rows_apart = aligned((8, 16), "f4")[:, :8]
    assert (
        kernel(samples, weight, rows_apart) == "affine_select<float32, Linear, Direct<float32, 4>>"
    )
    assert "Direct<float32, 1>" in kernel(samples, weight, aligned((8, 16), "f4")[:, ::2])
    cut = (array[:, :-1] for array in (samples, weight, rows_apart))
    assert "Direct<float32, 1>" in kernel(*cut)
    assert "Direct<float32, 1>" in kernel(samples, aligned((5, 8), "f4", offset=4), rows_apart)
    assert "Converting<float32>" in kernel(samples, aligned((5, 8), "f8"), out)


@pytest.mark.parametrize("which", [1, 2])
def test_unaligned_elements_are_loaded_one_by_one(which):
    arrays = aligned_arrays("f4", 8)
    for unaligned in (
        aligned((5, 8), "f4", offset=4),
        aligned((5, 16), "f4")[:, ::2],
        aligned((5, 9), "f4")[:, :8],
    ):
        arrays[which] = unaligned
        assert kernel(*arrays).endswith("SETS_FIRST, false>")
    arrays[which] = aligned((5, 8), "f2")
    given = *arrays, np.dtype("f4"), None, H100, cuda_on_host.address
    assert affine.plan_affine(*given).kernel.endswith("Converting<float32>>")


def test_an_unaligned_result_is_also_written_in_vectors():
    arrays = aligned_arrays("f4", 8)
    arrays[3] = aligned((5, 3, 8), "f4", offset=4)
    assert kernel(*arrays).endswith("SETS_FIRST, false>")


def test_an_array_between_multiples_of_its_itemsize_is_refused():
    arrays = [aligned(shape, "f4") for shape in [(3, 8), (5, 8), (5, 8), (5, 3, 8)]]
    arrays[1] = aligned((5, 8), "f4", offset=2)
    with pytest.raises(ValueError, match="weight is not aligned to the 4 bytes"):
        kernel(*arrays)


@needs_compiler
@pytest.mark.large
@pytest.mark.parametrize(("lanes", "step"), [(16, 1), (1, 2)])  # with and without runs
def test_threads_beyond_32_bit_indices(tmp_path, lanes, step):
    # The last block of a launch with more than 2^32 threads writes only the last samples.
    n_samples = lanes * ((1 << 32) + 300)
    samples = np.lib.stride_tricks.as_strided(np.int8([[3]]), (n_samples, 1), (0, 1))
    # A sparse file.
    out = np.memmap(tmp_path / "out", np.int8, "w+", shape=(1, n_samples, step))[:, :, :1]
    weight = np.int8([[5]])
    launch = affine.plan_affine(
        samples, weight, None, out, out.dtype, None, H100, cuda_on_host.address
    )
    assert launch.kernel.startswith("affine_runs<" if lanes > 1 else "affine<")
    assert launch.grid[0] * launch.block[0] > 1 << 32
    cuda_on_host.run(launch, first=(launch.grid[0] - 1, 0))
    written = lanes * (n_samples // lanes % 256)
    assert (out[0, -written:] == 15).all()
    assert (out[0, -written - 512 : -written] == 0).all()


@needs_compiler
@pytest.mark.large
def test_summed_indices_beyond_32_bits():
    # A row of blocks; the last one ends after more than 2^32 terms.
    length = (1 << 32) + 300
    sample = np.empty((1, length, 1), np.int8)  # few of its pages are touched
    sample[0, -300:] = 3
    launch, totals = launched_sums(SUM, {"sample": sample}, "f4", (1, length, 1))
    last = (len(totals) - 1) % launch.grid[1]
    cuda_on_host.run(launch, first=(0, last), last=(1, last + 1))
    assert np.flatnonzero(~np.isnan(totals)).tolist() == [*range(last, len(totals), 65535)]
    assert totals[-1] == 3 * 300


@needs_compiler
@pytest.mark.large
@pytest.mark.parametrize("shape", [(1, (1 << 32) + 300), ((1 << 32) + 300, 1)])
def test_sums_beyond_32_bit_indices(tmp_path, shape):
    # The last block of a launch writes only the last results, to sparse files.
    n_kept, n_features = shape
    three = np.array([[[3.0]]])
    sample = np.lib.stride_tricks.as_strided(three, (n_kept, 1, n_features), (0, 0, 0))
    totals = np.memmap(tmp_path / "totals", np.float64, "w+", shape=(1, 1, *shape))
    out = np.memmap(tmp_path / "out", np.float16, "w+", shape=shape)
    given = SUM, sample.dtype, 0.0, 1, H100
    of_sums = sums.plan_sums(sample, *[None] * 4, totals, *given, cuda_on_host.address)
    of_finish = sums.plan_finish(totals[0], out, None, 2.0, H100, cuda_on_host.address)
    rows = 2 if n_kept > 1 else 1
    for launch, result, per_thread, value in (
        (of_sums, totals, rows, 3.0),
        (of_finish, out, 1, 1.5),
    ):
        assert launch.grid[0] * launch.block[0] * per_thread > 1 << 32
        cuda_on_host.run(launch, first=(launch.grid[0] - 1, 0))
        first = (launch.grid[0] - 1) * launch.block[0] * per_thread
        end = result.reshape(-1)[first - 2000 :]
        assert (end[:2000] == 0).all()
        assert (end[2000:] == value).all()


@needs_compiler
def test_the_host_backend_runs_kernels():
    # If g++ is here, the property tests of "host" must not have been empty.
    import multisubnet as ms

    before = cuda_on_host.launches
    with ms.use_backend("host"):
        ms.affine([[1.0]], [[2.0]])
    assert cuda_on_host.launches == before + 1


def test_operands_of_sums_have_the_same_letters_in_cuda():
    text = (sources.directory() / "sums.cu").read_text(encoding="utf-8")
    (letters,) = re.findall(r"enum Dependence : char \{(.*?)\}", text)
    assert dict(re.findall(r"(\w+) = '(.)'", letters)) == {d.name: d.value for d in Dependence}
