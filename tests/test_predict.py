"""Predictions in chunks: the same bits, within the memory limit, to any destination."""

from __future__ import annotations

import mmap
import sys
import types
from unittest import mock

import numpy as np
import pytest
import tiles
from conftest import examples, few
from device import to_device
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.array_utils import byte_bounds
from test_inputs import peak

import multisubnet as ms
from multisubnet._arrays import amounts
from multisubnet._sets import chunks, mapped, prediction
from multisubnet.testing import assert_same_bits, problems

PAGE = mmap.PAGESIZE


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def moved(request):
    """A function that moves a NumPy array to the device that computes."""
    to = to_device if request.param == "cupy" else lambda array: array
    return lambda array: None if array is None else to(array)


def on_host(array):
    return array.get() if hasattr(array, "get") else array


class Target:
    """An object with slice assignment and nothing else; it may keep the blocks."""

    def __init__(self):
        self.blocks = []

    def __setitem__(self, index, block):
        self.blocks.append((index, block))

    def put_together(self, like):
        whole = np.empty_like(like)
        seen = np.zeros(like.shape, int)
        for index, block in self.blocks:
            assert type(block) is np.ndarray
            whole[index] = block
            seen[index] += 1
        assert (seen == 1).all()
        return whole


class Shaped(Target):
    def __init__(self, shape, dtype=None):
        super().__init__()
        self.shape = shape
        if dtype is not None:
            self.dtype = dtype


def sets_of(problem, moved, activation=None):
    """Return sets and samples of a problem."""
    samples, weight, bias = problem
    return ms.WeightSets(moved(weight), moved(bias), activation), moved(samples)


@given(
    problem=problems(dtypes=["float32", "float16", "int8"], max_sets=9, max_samples=9)
    | problems(mixed_dtypes=True),
    set_axis=st.sampled_from([0, 1]),
    rows=st.sampled_from([1, 3, 50]),
)
def test_chunks_change_no_bit(moved, problem, set_axis, rows):
    sets, samples = sets_of(problem, moved)
    whole = on_host(ms.affine(samples, sets.weight, sets.bias, set_axis=set_axis))
    options = {"set_axis": set_axis}
    # The memory for this many rows of features: two blocks, and the values of an evaluation.
    limit = rows * max(whole.shape[2], 1) * (2 * whole.itemsize + 16 * 8)
    assert_same_bits(on_host(sets.predict(samples, **options)), whole)

    target = Target()
    assert sets.predict(samples, out=target, memory_limit=limit, **options) is target
    assert_same_bits(target.put_together(whole), whole)

    out = moved(np.empty_like(whole))
    assert sets.predict(samples, out=out, memory_limit=limit, **options) is out
    assert_same_bits(on_host(out), whole)

    limit_of_result = whole.nbytes + limit
    found = sets.predict(samples, memory_limit=limit_of_result, progress=print, **options)
    assert type(found) is type(sets.weight)
    assert_same_bits(on_host(found), whole)

    again = np.empty_like(whole)
    places = []
    for of_sets, of_samples, block in sets.predict_chunks(samples, memory_limit=limit, **options):
        first, second = (of_samples, of_sets) if set_axis else (of_sets, of_samples)
        assert type(block) is type(sets.weight)
        again[first, second] = on_host(block)
        places.append((first.start, second.start))
    assert_same_bits(again, whole)
    assert places == sorted(places)  # in the order of the result


@given(
    shape=st.tuples(*[st.integers(0, 12)] * 3),
    elements=st.integers(1, 2000),
)
def test_chunks_lie_whole_in_the_result_one_after_another(shape, elements):
    elements = max(elements, shape[2], 1)
    places = np.arange(np.prod(shape)).reshape(shape)
    found = [places[chunk].ravel() for chunk in chunks.chunks(shape, elements)]
    assert_same_bits(np.concatenate([np.empty(0, int), *found]), places.ravel())
    assert all(len(chunk) <= elements for chunk in found)
    # As few chunks as possible: two neighbours do not fit in one, except at the ends of rows.
    row = shape[1] * shape[2]
    if shape[0] and row:
        rows = elements // row
        parts = -(-shape[1] // (elements // shape[2]))
        assert len(found) == (-(-shape[0] // rows) if rows else shape[0] * parts)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("activation", "dtype"),
    few([(None, "float32"), ("gelu", "float64"), (None, "float64"), ("gelu", "float32")], 2),
)
def test_memory_stays_within_the_limit(backend, activation, dtype):
    if backend not in ms.available_backends():
        pytest.skip(f"{backend} cannot run here")
    rng = np.random.default_rng(0)
    samples, weight = rng.normal(size=(500, 64)).astype(dtype), rng.normal(size=(60, 64))
    sets = ms.WeightSets(weight.astype(dtype), None, activation)
    limit = 6 << 20
    n_bytes = 60 * 500 * 64 * np.dtype(dtype).itemsize

    class Discarding(Target):
        def __setitem__(self, index, block):
            pass

    def judge():
        held = None
        for _, _, block in sets.predict_chunks(samples, memory_limit=limit):
            held = block  # while the next one is computed
        return held

    def settled_peak(run):
        run()  # compiling and starting is not counted
        return peak(run)

    with ms.use_backend(backend):
        for run in (
            lambda: sets.predict(samples, out=Discarding(), memory_limit=limit),
            judge,
        ):
            assert limit / 8 < settled_peak(run) < limit
        out = np.empty((60, 500, 64), dtype)
        assert settled_peak(lambda: sets.predict(samples, out=out, memory_limit=limit)) < limit
        everything = limit + n_bytes
        used = settled_peak(lambda: sets.predict(samples, memory_limit=everything))
        assert n_bytes < used < everything

        sums = settled_peak(lambda: ms.affine_stats(samples, weight, activation=activation))
        limit = 1 << 20
        used = settled_peak(
            lambda: sets.predict_stats(samples, quantiles=[0.5], memory_limit=limit)
        )
        results = 6 * 8 * samples.size
        assert limit / 2 < used < max(limit + 2 * results, sums + results)


def test_a_memmap_is_flushed_and_released_chunk_by_chunk(tmp_path):
    sets = ms.WeightSets(np.arange(8.0)[:, None] + np.zeros(PAGE // 8))
    samples = np.arange(2 * PAGE / 8).reshape(2, -1)
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", "f8", (8, 2, PAGE // 8))
    resident = []

    def pages():
        with open("/proc/self/smaps") as maps:
            lines = maps.read().split(str(tmp_path / "out.npy"))
        return int(lines[1].split("Rss:")[1].split()[0]) * 1024 if len(lines) > 1 else 0

    released = []
    release = mapped.release

    def noting(array):
        resident.append(pages())
        release(array)
        released.append(pages())

    limit = (1 + 16) * 4 * PAGE  # four pages of numbers, and the values of an evaluation
    with mock.patch.object(mapped, "release", noting):
        for target in (out, np.asarray(out), out[::-1]):
            out[:] = 0
            out.flush()
            release(out)
            resident.clear()
            sets.predict(samples, out=target, memory_limit=limit)
            assert len(resident) > 2
            if sys.platform == "linux":
                assert 0 < max(resident) <= 6 * PAGE  # plus a page at either end
                assert max(released) <= 2 * PAGE
            assert_same_bits(np.array(target), sets.predict(samples))
    del out, target
    assert_same_bits(np.load(tmp_path / "out.npy")[::-1], sets.predict(samples))


def test_mapped_samples_are_released_chunk_by_chunk(tmp_path):
    samples = np.memmap(tmp_path / "samples", "f8", "w+", shape=(64, PAGE // 8))
    samples[:] = np.arange(64.0)[:, None]
    samples.flush()
    sets = ms.WeightSets(np.ones((2, PAGE // 8)))
    released = []
    with mock.patch.object(mapped, "release", released.append):
        for _ in sets.predict_chunks(samples, memory_limit=PAGE // 8 * 16 * (2 * 8 + 16 * 8)):
            pass
    assert [len(part) for part in released] == [16, 16, 16, 16] * 2
    assert all(mapped.mapping_of(part) is not None for part in released)


def test_memory_that_is_not_a_file_is_not_released(tmp_path):
    sets, samples = ms.WeightSets(np.arange(64.0)[:, None] + np.zeros(16)), np.ones((64, 16))
    np.zeros((64, 64, 16)).tofile(tmp_path / "out")
    private = np.memmap(tmp_path / "out", "f8", "c", shape=(64, 64, 16))
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    anonymous = np.frombuffer(mmap.mmap(-1, private.nbytes, flags)).reshape(private.shape)
    for out in (private, anonymous):
        sets.predict(samples, out=out, memory_limit=100_000)
        assert_same_bits(np.array(out), sets.predict(samples))
    assert not np.fromfile(tmp_path / "out").any()


def test_a_memmap_without_a_limit_has_one(tmp_path):
    sets = ms.WeightSets(np.ones((64, 16)))
    samples = np.ones((64, 16))
    out = np.memmap(tmp_path / "out", "f8", "w+", shape=(64, 64, 16))
    with (
        tiles.of(prediction_bytes=100_000),
        mock.patch.object(mapped, "flush") as flush,
    ):
        sets.predict(samples, out=out)
    assert flush.call_count > 2
    assert_same_bits(np.array(out), np.ones((64, 64, 16)))


def test_operands_within_out():
    memory = np.arange(60.0)
    weight = np.arange(1.0, 6.0)[:, None] + np.zeros(2)
    for start in (0, 2, 10, 40):
        copy = memory.copy()
        out = copy[:50].reshape(5, 5, 2)
        samples = copy[start : start + 10].reshape(5, 2)
        expected = ms.affine(samples.copy(), weight)
        ms.WeightSets(weight).predict(samples, out=out, memory_limit=2000)
        assert_same_bits(out, expected)


def test_a_result_that_does_not_fit():
    sets = ms.WeightSets(np.ones((1000, 100), np.float32))
    samples = np.ones((1000, 100), np.float32)
    with mock.patch.object(amounts, "available", return_value=300_000_000):
        with pytest.raises(MemoryError, match="has 381 MiB, but 286 MiB are available"):
            sets.predict(samples)
        with pytest.raises(MemoryError, match=r"predict_chunks\(\)"):
            sets.predict(samples.tolist(), progress=True)
        assert next(sets.predict_chunks(samples))[2].nbytes <= prediction._CHUNK_BYTES
    with mock.patch.object(amounts, "available", return_value=None):
        assert sets.predict(samples[:200]).shape == (1000, 200, 100)
    with pytest.raises(MemoryError, match=r"has 391 KiB, but 3.91 KiB are allowed by memory_limit"):
        sets.predict(samples[:1], memory_limit=4000)
    # Below 64 MiB nothing is checked, and nothing refused.
    with mock.patch.object(amounts, "available", side_effect=AssertionError):
        sets.predict(samples[:10])
        sets.predict(samples[:10].tolist())


@pytest.mark.parametrize(
    ("limit", "error", "message"),
    [
        (0, ValueError, "memory_limit must be a positive number of bytes"),
        (-1, ValueError, "not -1"),
        ("1 parsec", ValueError, "a text like '2 GiB' or '500 MB', not '1 parsec'"),
        ("", ValueError, "memory_limit must be"),
        (1.5, TypeError, "memory_limit must be a whole number of bytes"),
        (True, ValueError, "not True"),
        (100, ValueError, r"leaves 100 bytes; expected at least 2(72|88), for the 2"),
    ],
)
def test_invalid_limits(limit, error, message):
    sets = ms.WeightSets([[1.0, 2.0]])
    for call in (
        lambda: sets.predict([[1.0, 2.0]], out=Target(), memory_limit=limit),
        lambda: sets.predict_chunks([[1.0, 2.0]], memory_limit=limit),
    ):
        with pytest.raises(error, match=message):
            call()


def test_objects_that_cannot_be_written_to():
    sets = ms.WeightSets([[1.0, 2.0]])
    samples = [[1.0, 2.0]]
    with pytest.raises(TypeError, match="out must be an array or have slice assignment, not int"):
        sets.predict(samples, out=3)
    with pytest.raises(ValueError, match=r"out has shape \(1, 2, 1\); expected \(1, 1, 2\)"):
        sets.predict(samples, out=Shaped((1, 2, 1)))
    with pytest.raises(ValueError, match=r"out has shape \(1, 2\); expected \(1, 1, 2\)"):
        sets.predict(samples, out=np.empty((1, 2)))
    for out in (np.empty((1, 1, 2), int), Shaped((1, 1, 2), np.dtype(int))):
        with pytest.raises(TypeError, match="out has dtype int64"):
            sets.predict(samples, out=out)
    with pytest.raises(ValueError, match="set_axis must be 0 or 1"):
        sets.predict_chunks(samples, set_axis=2)
    shaped = Shaped([1, 1, 2])  # as in h5py and Zarr, or a list
    sets.predict(samples, out=shaped)
    assert len(shaped.blocks) == 1


@pytest.mark.parametrize("set_axis", [0, 1])
def test_progress_in_sets(set_axis):
    sets, samples = ms.WeightSets(np.ones((10, 3))), np.ones((20, 3))
    told = []
    sets.predict(
        samples,
        set_axis=set_axis,
        out=Target(),
        memory_limit=20_000,
        progress=lambda *done: told.append(done),
    )
    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1] == (10, 10)
    assert {total for _, total in told} == {10}


def test_progress_of_nothing():
    told = []
    sets = ms.WeightSets(np.ones((10, 3)))
    sets.predict(np.ones((0, 3)), progress=lambda *done: told.append(done))
    assert told == [(10, 10)]


def test_a_bar(capsys):
    pytest.importorskip("tqdm")
    assert ms.WeightSets(np.ones((10, 3))).predict(np.ones((20, 3)), progress=True).shape[0] == 10
    assert "10.0/10.0" in capsys.readouterr().err


def test_a_bar_without_tqdm():
    with (
        mock.patch.dict(sys.modules, {"tqdm.auto": None, "tqdm": None}),
        pytest.raises(ImportError, match=r"pip install 'multisubnet\[progress\]'"),
    ):
        ms.WeightSets([[1.0]]).predict([[1.0]], progress=True)


@given(
    problem=problems(
        dtypes=["float16", "float32", "float64", "int16"], max_sets=9, special_values=False
    ),
    levels=st.lists(st.floats(0, 1)),
    limit=st.sampled_from([None, 1000]),
)
@settings(max_examples=examples(1 / 2))
def test_statistics(moved, problem, levels, limit):
    sets, samples = sets_of(problem, moved)
    found = sets.predict_stats(samples, quantiles=levels, memory_limit=limit)
    assert all(type(array) is type(sets.weight) for array in found)
    found = type(found)(*(on_host(array) for array in found))
    mean, std = (on_host(x) for x in ms.affine_stats(samples, sets.weight, sets.bias))
    assert_same_bits(found.mean, mean)
    assert_same_bits(found.std, std)
    samples, weight, bias = problem
    working = np.float32 if np.result_type(weight).char in "ef" else np.float64
    every = ms.affine(samples, weight.astype(working), bias).astype(np.float64) + 0.0
    if not len(every):
        assert all(np.isnan(array).all() for array in found)
        return
    assert_same_bits(found.min, every.min(axis=0))
    assert_same_bits(found.max, every.max(axis=0))
    assert found.quantiles.shape == (len(levels), *every.shape[1:])
    np.testing.assert_allclose(
        found.quantiles, np.quantile(every, levels, axis=0), rtol=1e-12, atol=1e-12
    )


def test_statistics_of_special_values():
    weight = np.array([[np.nan, np.inf, 0.0], [1.0, np.inf, -0.0], [2.0, -np.inf, -0.0]])
    stats = ms.WeightSets(weight).predict_stats([[1.0, 1.0, 1.0]], quantiles=[0, 0.75, 1])
    nan, inf = np.nan, np.inf
    assert_same_bits(stats.min, np.array([[nan, -inf, 0.0]]))
    assert_same_bits(stats.max, np.array([[nan, inf, 0.0]]))
    assert_same_bits(
        stats.quantiles, np.array([[[nan, -inf, 0.0]], [[nan, inf, 0.0]], [[nan, inf, 0.0]]])
    )
    stats = ms.WeightSets(weight).predict_stats([[1.0, 1.0, 1.0]], quantiles=0.25)
    assert_same_bits(stats.quantiles[0, 0, 2], np.float64(0.0))
    alone = ms.WeightSets(weight).predict_stats([[1.0, 1.0, 1.0]])
    assert_same_bits(alone.min, stats.min)
    assert_same_bits(alone.max, stats.max)
    assert alone.quantiles.shape == (0, 1, 3)


@pytest.mark.parametrize("levels", [[1.5], [-0.1], [np.nan], "median", None, [0.5, "x"]])
def test_invalid_quantiles(levels):
    with pytest.raises(ValueError, match="quantiles must be numbers from 0 to 1, not"):
        ms.WeightSets([[1.0]]).predict_stats([[1.0]], quantiles=levels)


def test_statistics_need_room_for_all_sets():
    with pytest.raises(ValueError, match="expected at least 2400, for one prediction of each"):
        ms.WeightSets(np.ones((100, 1))).predict_stats([[1.0]], memory_limit=2000)
    with pytest.raises(TypeError, match="complex128"):
        ms.WeightSets([[1j]]).predict_stats([[1.0]])


@pytest.mark.parametrize(
    ("amount", "n_bytes"),
    [(5, 5), ("5", 5), ("1.5 KiB", 1536), ("2GB", 2 * 10**9), (" 3 m ", 3 << 20), ("7 B", 7)],
)
def test_amounts(amount, n_bytes):
    assert amounts.parse("memory_limit", amount) == n_bytes
    assert amounts.parse("memory_limit", np.int32(n_bytes % 2**31)) == n_bytes % 2**31


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (1000 << 10, "0.977 MiB")],
)
def test_amounts_as_text(n_bytes, text):
    assert amounts.text(n_bytes) == text


def system(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return mock.patch.object(amounts, "_SYSTEM", root)


MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8000 << 10),
        ({"proc/self/cgroup": "0::/\n"}, 8000 << 10),
        (
            {
                "proc/self/cgroup": "0::/outer/inner\n",
                "sys/fs/cgroup/outer/memory.max": "5000000",
                "sys/fs/cgroup/outer/memory.current": "3000000",
                "sys/fs/cgroup/outer/memory.stat": "anon 1\ninactive_file 500000\n",
                "sys/fs/cgroup/outer/inner/memory.max": "max",
            },
            2_500_000,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/x\n3:memory:/docker/of/the/host\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "4000000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "4500000",
                "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 100\n",
            },
            0,
        ),
    ],
)
def test_memory_available(tmp_path, files, expected):
    with system(tmp_path, MACHINE | files):
        assert amounts.available() == expected


def test_memory_available_elsewhere(tmp_path):
    psutil = types.SimpleNamespace(virtual_memory=lambda: types.SimpleNamespace(available=77))
    with system(tmp_path, {}):
        with mock.patch.dict(sys.modules, {"psutil": psutil}):
            assert amounts.available() == 77
        with mock.patch.dict(sys.modules, {"psutil": None}):
            assert amounts.available() is None


@pytest.mark.gpu
def test_results_of_the_gpu_in_memory_of_the_host():
    sets = ms.WeightSets(to_device(np.arange(6.0).reshape(3, 2)))
    samples = np.arange(8.0).reshape(4, 2)
    out = np.empty((3, 4, 2))
    assert sets.predict(to_device(samples), out=out, memory_limit=1500) is out
    assert_same_bits(out, sets.to("numpy").predict(samples))


MAPS = {
    "float32": lambda new: new("f4", (20, 9000, 7)),
    "float64": lambda new: new("f8", (20, 9000, 7)),
    "every second row": lambda new: new("f4", (20, 18000, 7))[:, ::2],
    "some rows": lambda new: new("f4", (20, 30000, 7))[:, 100:9100],
    "from the end": lambda new: new("f4", (20, 9000, 7))[::-1, :, ::-1],
    "in Fortran's order": lambda new: new("f4", (20, 9000, 7), fortran_order=True),
}


@pytest.mark.parametrize("layout", MAPS)
@pytest.mark.parametrize("set_axis", [0, 1])
def test_pages_of_a_map_are_within_the_limit(tmp_path, layout, set_axis):
    rng = np.random.default_rng(0)
    n_sets, n_samples = (9000, 20) if set_axis else (20, 9000)
    weight, bias = rng.normal(size=(2, n_sets, 7)).astype("f4")
    samples = rng.normal(size=(n_samples, 7)).astype("f4")
    sets = ms.WeightSets(weight, bias)
    count = iter(range(2))

    def new(dtype, shape, **options):
        path = tmp_path / f"{next(count)}.npy"
        return np.lib.format.open_memmap(path, "w+", dtype, shape, **options)

    held, counted, flush = [], [], mapped.flush

    def noted(array):
        first, end = byte_bounds(array)
        is_page_by_page = layout == "some rows"  # with pages between them
        held.append(array.nbytes if is_page_by_page else end - first)
        flush(array)

    out = MAPS[layout](new)
    evaluation = 16 * 8 << 15  # bytes that it also holds at once
    limit = 500_000
    with mock.patch.object(mapped, "flush", noted):
        options = {
            "memory_limit": evaluation + limit,
            "progress": lambda *done: counted.append(done),
        }
        assert sets.predict(samples, out=out, set_axis=set_axis, **options) is out
    assert np.array_equal(out, sets.predict(samples, set_axis=set_axis))
    assert len(held) > 4
    assert max(held) <= limit
    assert counted == sorted(counted)
    assert counted[-1] == (n_sets, n_sets)


class Clipping:
    """A dataset that converts other dtypes in its own way, as HDF5 does."""

    def __init__(self, shape, dtype):
        self.array, self.shape, self.dtype = np.zeros(shape, dtype), shape, np.dtype(dtype)

    def __setitem__(self, key, block):
        if block.dtype != self.dtype:
            block = np.zeros_like(block)
        self.array[key] = block


@pytest.mark.parametrize(
    ("dtype", "samples", "weight"),
    [
        ("i4", [[1, 1]], [[2**31 + 5, 2**33 + 7]]),
        ("i1", np.int16([[1, 1]]), np.int16([[-5, 300]])),
        ("f2", [[1.0, 1.0]], [[65519.9, 1.0]]),
        (">f4", [[1.0, 1e-42]], [[0.1, 1.0]]),
        ("f4", [[1.0, 1e300]], [[0.1, 1.0]]),
    ],
)
def test_a_dataset_of_another_dtype_has_the_numbers_of_an_array(dtype, samples, weight):
    sets = ms.WeightSets(weight)
    desired = sets.predict(samples, out=np.empty((1, 1, 2), dtype))
    out = Clipping((1, 1, 2), dtype)
    assert sets.predict(samples, out=out) is out
    assert np.array_equal(out.array, desired)


def test_an_hdf5_dataset_of_another_dtype(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "out.h5", "w") as file:
        out = file.create_dataset("out", (1, 1, 2), "i4")
        sets = ms.WeightSets([[2**31 + 5, 2**33 + 7]])
        desired = sets.predict([[1, 1]], out=np.empty((1, 1, 2), "i4"))
        assert np.array_equal(sets.predict([[1, 1]], out=out)[...], desired)


@given(data=st.data())
def test_mapped_results_in_any_order(tmp_path, data):
    """Axes in any order, gaps, reversed axes, another dtype, chunks of any size."""
    shape = n_sets, _, n_features = data.draw(st.tuples(*[st.integers(1, 7)] * 3))
    samples = np.random.default_rng(0).normal(size=shape[1:]).astype(np.float32)
    if data.draw(st.booleans()):
        samples = np.stack([samples * (n + 1) for n in range(n_sets)])
    weight = np.arange(n_sets * n_features, dtype=np.float32).reshape(n_sets, -1)
    bias = data.draw(st.sampled_from([None, weight[:1] + 1, weight + 1]))
    sets, set_axis = ms.WeightSets(weight, bias), data.draw(st.integers(0, 1))
    expected = sets.predict(samples, set_axis=set_axis)
    axes = data.draw(st.permutations(range(3)))
    steps = data.draw(st.tuples(*[st.sampled_from([1, 2, -1, -3])] * 3))
    of_file = tuple(
        expected.shape[axis] * abs(step) for axis, step in zip(axes, steps, strict=True)
    )
    dtype = data.draw(st.sampled_from(["f4", "f8", ">f8", "f2"]))
    whole = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", dtype, of_file)
    out = whole[tuple(slice(None, None, step) for step in steps)].transpose(np.argsort(axes))
    done = []
    limit = data.draw(st.integers(80_000, 200_000) | st.integers(1500, 9000))
    sets.predict(
        samples,
        set_axis=set_axis,
        out=out,
        memory_limit=limit,
        progress=lambda *of: done.append(of),
    )
    assert_same_bits(np.asarray(out), expected.astype(out.dtype))
    assert done[-1] == (n_sets, n_sets)
