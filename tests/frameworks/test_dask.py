"""Dask arrays: lazy, with the bits of NumPy arrays for any chunks."""

from __future__ import annotations

import contextlib
import itertools
import math
import pickle
import platform
import sys
import threading
from unittest import mock

import numpy as np
import pytest
from conftest import examples, normals, problems_of_sums, shape_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inputs import set_flush_to_zero
from test_losses import CASES, assert_all_same_bits, judgements, operands_of

import multisubnet as ms
from multisubnet._backends.numba import threads
from multisubnet.testing import assert_same_bits, problems

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from multisubnet.dask import _graph, _tasks

CLOSED_FORM = [
    case._replace(loss="squared_error", activation=None, ndim=2)
    for case in (*CASES[:2], *CASES[3:5])
]

# N, B and F; some with more than one block of samples, in chunks of any size.
SHAPES = st.tuples(st.integers(0, 6), st.integers(0, 70), st.integers(0, 5)) | st.tuples(
    st.integers(1, 4), st.sampled_from([4096, 8193, 12289, 21000]), st.integers(1, 3)
)


@pytest.fixture(autouse=True)
def synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield


@st.composite
def chunks_of(draw, length):
    """Draw chunks of an axis: of one size, or of several, possibly with an empty one."""
    sizes = [s for s in (1, 7, 31, 33, 4095, 4096, 4097, 8192) if length // 40 <= s < length]
    if not sizes or draw(st.booleans()) is False:
        return (length,)
    if draw(st.booleans()):
        size = draw(st.sampled_from(sizes))
        return (size,) * (length // size) + ((length % size,) if length % size else ())
    cuts = draw(st.lists(st.integers(0, length), max_size=4))
    ends = sorted([0, *cuts, length])
    return tuple(stop - start for start, stop in itertools.pairwise(ends))


@st.composite
def chunked(draw, array):
    """Draw a Dask array of a NumPy array."""
    if array is None:
        return None
    return da.from_array(array, tuple(draw(chunks_of(length)) for length in array.shape))


@st.composite
def some_chunked(draw, *arrays):
    """Draw Dask arrays for at least one of some NumPy arrays; the others stay unchanged."""
    there = [i for i, array in enumerate(arrays) if array is not None]
    chosen = draw(st.sets(st.sampled_from(there), min_size=1))
    return [draw(chunked(array)) if i in chosen else array for i, array in enumerate(arrays)]


def assert_lazy_and_same(lazy, desired):
    """Check properties before and after Dask arrays are computed; None stays None."""
    assert len(lazy) == len(desired)
    for one, other in zip(lazy, desired, strict=True):
        if other is None:
            assert one is None
            continue
        assert isinstance(one, da.Array)
        assert one.shape == other.shape
        assert one.dtype == other.dtype == one._meta.dtype
        assert type(one._meta) is np.ndarray
        assert one._meta.ndim == other.ndim
    assert_all_same_bits(dask.compute(*lazy), desired)


@contextlib.contextmanager
def nothing_computed():
    def refuse(*args, **kwargs):
        raise AssertionError("something is computed")

    with dask.config.set(scheduler=refuse):
        yield


@settings(max_examples=examples(1 / 2))
@given(data=st.data(), problem=problems(dtypes=["float32", "float64", "int16", "complex64"]))
def test_affine_select(data, problem):
    samples, *parameters = problem
    samples = samples.reshape(math.prod(samples.shape[:-1]), samples.shape[-1])
    n_sets = max(len(x) for x in parameters if x is not None)
    index = np.random.default_rng(1).integers(-1, n_sets + 1, size=len(samples))
    *lazy, of_index = data.draw(some_chunked(samples, *parameters, index))
    with nothing_computed():
        result = ms.affine_select(*lazy, of_index, check=False)
    desired = ms.affine_select(samples, *parameters, index, check=False)
    assert_lazy_and_same([result], [desired])


def test_samples_go_to_the_chunks_of_their_sets():
    (samples, weight, bias, _), _ = operands_of(9, 40, 5, "float32")
    index, options = np.arange(40) * 7 % 9, {"activation": "tanh"}
    lazy = da.from_array(samples, (16, 5)), da.from_array(weight, (2, 3)), bias
    result = ms.affine_select(*lazy, index, **options)
    assert_lazy_and_same([result], [ms.affine_select(samples, weight, bias, index, **options)])


def test_an_index_is_checked_when_computed():
    samples, weight, index = da.ones((5, 3), chunks=2), np.ones((2, 3)), [0, 1, 1, 2, 0]
    late = ms.affine_select(samples, weight, None, index)
    with pytest.raises(IndexError, match=r"set_index\[1\] is 2; expected the number of a set"):
        late.compute()
    result = ms.affine_select(samples[:0], da.ones((0, 3)), None, [], activation="tanh")
    assert result.compute().shape == (0, 3)


@settings(max_examples=examples(1 / 2))
@given(data=st.data(), problem=problems(dtypes=["float32", "float64", "int16", "complex64"]))
def test_affine(data, problem):
    samples, weight, bias = data.draw(some_chunked(*problem))
    set_axis = data.draw(st.sampled_from([0, 1]))
    with nothing_computed():
        result = ms.affine(samples, weight, bias, set_axis=set_axis)
    assert_lazy_and_same([result], [ms.affine(*problem, set_axis=set_axis)])


@pytest.mark.parametrize("cases", [CASES, CLOSED_FORM], ids=["terms", "closed form"])
@settings(max_examples=examples(1 / 2))
@given(data=st.data())
def test_losses_and_gradients(cases, data):
    operands, options = data.draw(judgements(data.draw(st.sampled_from(cases)), shapes=SHAPES))
    sample_weight = options.pop("sample_weight")
    desired = ms.mean_loss_and_grad(*operands, **options, sample_weight=sample_weight)
    *lazy, weights = data.draw(some_chunked(*operands, sample_weight))
    with nothing_computed():
        results = ms.mean_loss_and_grad(*lazy, **options, sample_weight=weights)
        loss = ms.mean_loss(*lazy, **options, sample_weight=weights)
    assert_lazy_and_same(results, desired)
    assert_lazy_and_same([loss], desired[:1])


def operands_of_vjp(shape, dtype="f4", of_sets=False, shared=()):
    """Return samples, weight, bias and the cotangent; shared parameters have one row."""
    n_sets, _, n_features = shape
    rng = np.random.default_rng(0)
    shapes = {
        "samples": shape if of_sets else shape[1:],
        "weight": (1 if "weight" in shared else n_sets, n_features),
        "bias": (1 if "bias" in shared else n_sets, n_features),
        "cotangent": shape,
    }
    return [rng.normal(size=x).astype(dtype) for x in shapes.values()]


@settings(max_examples=examples(1))
@given(
    data=st.data(),
    shape=SHAPES | st.tuples(st.sampled_from([4100, 8193]), st.integers(0, 3), st.integers(1, 3)),
    dtype=st.sampled_from(["f4", "f8", "f2"]),
    shared=st.sampled_from([(), ("weight",), ("bias",)]),
    has_bias=st.booleans(),
    wrt=st.lists(st.sampled_from(["samples", "weight", "bias"]), unique=True),
)
def test_vjp(data, shape, dtype, shared, has_bias, wrt):
    operands = operands_of_vjp(shape, dtype, data.draw(st.booleans()), shared)
    if not has_bias:
        operands[2] = None
        operands[1] = np.resize(operands[1], (shape[0], shape[2]))
    options = {"activation": data.draw(st.sampled_from([None, "tanh"])), "wrt": wrt}
    lazy = data.draw(some_chunked(*operands))
    with nothing_computed():
        result = ms.affine_vjp(*lazy, **options)
    if any(x is not None for x in result):
        assert_lazy_and_same(result, ms.affine_vjp(*operands, **options))


@pytest.mark.parametrize(
    ("shape", "chunks", "dtype"),
    [
        ((3, 12_000, 4), (2, 1000, 3), "f2"),
        ((9001, 3, 2), (8300, 2, 1), "f4"),
        ((0, 3, 2), (1, 2, 2), "f8"),
    ],
)
@pytest.mark.parametrize("of_sets", [False, True])
def test_vjp_of_many_samples_and_of_many_sets(shape, chunks, dtype, of_sets):
    *operands, cotangent = operands_of_vjp(shape, dtype, of_sets, shared=("bias",))
    result = ms.affine_vjp(*operands, da.from_array(cotangent, chunks), activation="tanh")
    desired = ms.affine_vjp(*operands, cotangent, activation="tanh")
    assert_lazy_and_same(result, desired)
    if len(cotangent):
        of_samples, of_weight, of_bias = result
        given_chunks = da.core.normalize_chunks(chunks, shape)
        assert of_weight.chunks == given_chunks[::2]
        assert of_bias.chunks == ((1,), given_chunks[2])
        assert of_samples.chunks == given_chunks[-of_samples.ndim :]


@pytest.mark.parametrize("of_sets", [False, True])
def test_vjp_of_cupy_chunks(cupy_on_host, of_sets):
    import cupy

    operands = operands_of_vjp((5000, 4, 3), of_sets=of_sets, shared=("bias",))
    *others, cotangent = map(cupy.asarray, operands)
    lazy = da.from_array(cotangent, (4100, 3, 2), name=False, asarray=False)
    result = ms.affine_vjp(*others, lazy, activation="tanh")
    assert all(type(x._meta) is cupy.ndarray for x in result)
    desired = ms.affine_vjp(*operands, activation="tanh")
    assert_all_same_bits([x.get() for x in dask.compute(*result)], desired)


@pytest.mark.parametrize("loss", ["squared_error", "log_cosh"])
@pytest.mark.parametrize("size", [1, 31, 33, 4095, 4097, (4097, 31, 1, 4000)])
def test_chunks_of_samples_that_are_not_blocks(size, loss):
    n_samples = 8129 if size != 1 else 4100
    operands, sample_weight = operands_of(3, n_samples, 2, "float32")
    samples, weight, bias, targets = operands
    lazy = da.from_array(samples, (size, 1))
    for weights in (None, sample_weight):
        desired = ms.mean_loss_and_grad(*operands, loss=loss, sample_weight=weights)
        result = ms.mean_loss_and_grad(
            lazy, weight, bias, targets, loss=loss, sample_weight=weights
        )
        assert_lazy_and_same(result, desired)


@pytest.mark.parametrize("loss", ["squared_error", "log_cosh"])
def test_more_chunks_than_one_task_adds_up(loss):
    (samples, weight, bias, targets), _ = operands_of(2, 4096 * 77 + 5, 1, "float32")
    operands = weight, bias, targets
    result = ms.mean_loss(da.from_array(samples, (4096, 1)), *operands, loss=loss)
    assert_lazy_and_same([result], [ms.mean_loss(samples, *operands, loss=loss)])


@pytest.mark.parametrize("special_values", [False, True])
@settings(max_examples=examples(1 / 2))
@given(data=st.data())
def test_special_values(special_values, data):
    case = data.draw(st.sampled_from([*CASES, *CLOSED_FORM]))
    operands, options = data.draw(judgements(case, special_values=special_values))
    desired = ms.mean_loss_and_grad(*operands, **options)
    lazy = data.draw(some_chunked(*operands))
    assert_lazy_and_same(ms.mean_loss_and_grad(*lazy, **options), desired)


STATISTICS = st.permutations(["mean", "var", "std"]).flatmap(
    lambda names: st.integers(0, 3).map(lambda n: names[:n])
)


@settings(max_examples=examples(1 / 2))
@given(data=st.data(), shape=SHAPES, statistics=STATISTICS, weighted=st.booleans())
def test_statistics(data, shape, statistics, weighted):
    n_samples, n_sets, n_features = shape
    shapes = st.just((n_sets, n_samples, n_features))
    problem = data.draw(problems_of_sums(["float32", "float64"], shapes))
    n_sets, *_ = shape_of(problem)
    set_weight = data.draw(normals("float32", (n_sets,))) if weighted else None
    options = {"activation": data.draw(st.sampled_from([None, "tanh"])), "statistics": statistics}
    desired = ms.affine_stats(*problem, **options, set_weight=set_weight)
    *lazy, weights = data.draw(some_chunked(*problem, set_weight))
    with nothing_computed():
        result = ms.affine_stats(*lazy, **options, set_weight=weights)
    assert_lazy_and_same(result, desired)


def test_the_chunks_of_the_result_are_those_of_the_operands():
    samples = da.zeros((9, 7), chunks=((4, 5), (6, 1)))
    weight = da.zeros((8, 7), chunks=((1, 3, 4), 7))
    bias = da.zeros((8, 7), chunks=(4, 7))
    assert ms.affine(samples, weight, bias).chunks == ((1, 3, 4), (4, 5), (6, 1))
    assert ms.affine(samples, weight, bias, set_axis=1).chunks == ((4, 5), (1, 3, 4), (6, 1))
    assert ms.affine_select(samples, weight, bias, [0] * 9).chunks == ((4, 5), (6, 1))
    assert ms.mean_loss(samples, weight, bias, np.zeros(9)).chunks == ((1, 3, 4),)
    _, gradient, _ = ms.mean_loss_and_grad(samples, weight, bias, np.zeros(9), loss="huber")
    assert gradient.chunks == ((1, 3, 4), (6, 1))
    (mean,) = ms.affine_stats(samples, weight, bias, statistics=["mean"])
    assert mean.chunks == ((4, 5), (6, 1))


def test_numpy_arrays_are_split_into_blocks_of_the_configured_size():
    samples = da.zeros((1000, 10), chunks=(100, 10))
    with dask.config.set({"array.chunk-size": "80 kB"}):
        result = ms.affine(samples, np.zeros((55, 10)))
        losses, gradient, _ = ms.mean_loss_and_grad(
            samples, np.zeros((2500, 10)), None, np.zeros(1000)
        )
    assert result.chunks == ((10, 10, 10, 10, 10, 5), (100,) * 10, (10,))
    assert losses.chunks == ((1000, 1000, 500),)
    assert gradient.chunks == ((1000, 1000, 500), (10,))


def test_no_task_holds_more_than_its_chunks():
    (samples, weight, bias, targets), _ = operands_of(12, 20_000, 6)
    lazy = da.from_array(samples, (5000, 2)), da.from_array(weight, (5, 2)), bias, targets
    seen = []

    class Recording(_tasks.LossProblem):
        def __init__(self, operands, *args):
            super().__init__(operands, *args)
            seen.append(self.shape)

    with mock.patch.object(_tasks, "LossProblem", Recording):
        ms.mean_loss(*lazy, loss="huber").compute()
    assert {n_sets for n_sets, _, _ in seen} == {5, 2}
    assert {n_samples for _, n_samples, _ in seen} == {4096, 20_000 - 4 * 4096}
    assert {n_features for *_, n_features in seen} == {2}


@pytest.mark.parametrize(
    ("chunks", "desired"),
    [
        ((100_000,), (100_000,)),
        ((100, 100), (200,)),
        ((4096, 4096, 4096, 1), (4096, 4096, 4096, 1)),
        ((5000, 5000), (4096, 4096, 1808)),
        ((3 * 4096, 3 * 4096), (8192, 8192, 8192)),
        ((10, 1 << 20), (1 << 20, 10)),
        ((1 << 20, 1 << 20, 7), (1 << 20, 1 << 20, 7)),
        ((0,), (0,)),
    ],
)
def test_chunks_become_powers_of_two_of_blocks(chunks, desired):
    assert _graph._in_powers_of_two(chunks, 4096) == desired


def test_the_same_call_has_the_same_name():
    def call(value=1.0, loss="huber"):
        samples = da.full((9000, 2), value, chunks=1000)
        return ms.mean_loss(samples, [[1.0, 2.0]], None, np.zeros(9000), loss=loss).name

    assert call() == call()
    assert len({call(), call(2.0), call(loss="poisson")}) == 3
    leaky = (ms.Activation("leaky_relu", negative_slope=slope) for slope in (0.1, 0.1, 0.2))
    names = [ms.affine(da.ones((2, 2)), [[1.0, 2.0]], activation=a).name for a in leaky]
    assert names[0] == names[1] != names[2]


def test_the_graph_can_be_sent():
    samples = da.ones((9000, 2), chunks=1000)
    for loss in ("huber", "squared_error"):
        lazy = ms.mean_loss(samples, [[1.0, 2.0]], None, np.zeros(9000), loss=loss)
        assert_same_bits(pickle.loads(pickle.dumps(lazy)).compute(), lazy.compute())


def test_weight_sets():
    (samples, weight, bias, targets), _ = operands_of(4, 50, 3)
    sets = ms.WeightSets(weight, bias, "tanh")
    lazy = da.from_array(samples, 20)
    assert_lazy_and_same([sets.predict(lazy, set_axis=1)], [sets.predict(samples, set_axis=1)])
    desired = sets.mean_loss(samples, targets, loss="huber")
    assert_lazy_and_same([sets.mean_loss(lazy, targets, loss="huber")], [desired])
    best, losses = sets.best(2, lazy, targets)
    desired, of_desired = sets.best(2, samples, targets)
    assert best == desired
    assert_same_bits(losses, of_desired)


def error_of(function, *args, **kwargs):
    with pytest.raises((TypeError, ValueError)) as caught:
        function(*args, **kwargs)
    return type(caught.value), str(caught.value)


TANH_DERIVATIVE = ms.Activation("tanh").derivative


def test_bad_arguments_are_named_at_once():
    x, t = np.ones((5, 3)), np.ones(5)
    judge, lazy = ms.mean_loss, da.from_array(x, 2)
    for calls in [
        lambda x: (ms.affine, x, np.ones((2, 4))),
        lambda x: (ms.affine, x[0], np.ones((2, 3))),
        lambda x: (ms.affine, x, np.ones((2, 3)), None, "nothing"),
        lambda x: (judge, x, np.ones((2, 3)), None, t[:4]),
        lambda x: (judge, x, np.ones((2, 3)), None, None),
        lambda x: (judge, x, np.ones((2, 3)), None, t, "nothing"),
        lambda x: (judge, x * 1j, np.ones((2, 3)), None, t),
        lambda x: (ms.affine_select, x, np.ones((2, 3)), None, [0, 1]),
        lambda x: (ms.affine_select, x, np.ones((2, 3)), None, t),
        lambda x: (ms.affine_select, x, np.ones((2, 3)), None, None),
        lambda x: (ms.affine_select, x[None], np.ones((2, 3)), None, [0] * 5),
        lambda x: (ms.affine_stats, x, np.ones((2, 3)), None, None, np.ones(3)),
        lambda x: (ms.affine_vjp, x, np.ones((2, 3)), None, None),
        lambda x: (ms.affine_vjp, x, np.ones((2, 3)), None, np.ones((2, 5))),
        lambda x: (ms.affine_vjp, x, np.ones((2, 3)), np.ones((3, 3)), np.ones((2, 5, 3))),
        lambda x: (ms.affine_vjp, x * 1j, np.ones((2, 3)), None, np.ones((2, 5, 3))),
        lambda x: (ms.affine_vjp, x, np.ones((2, 3)), None, np.ones((2, 5, 3)), "targets"),
        lambda x: (ms.affine_vjp, x, np.ones((2, 3)), None, np.ones((2, 5, 3)), TANH_DERIVATIVE),
    ]:
        errors = []
        for array in (x, lazy):
            function, *operands = calls(array)
            options = {}
            if function is ms.affine and len(operands) == 4:
                options["activation"] = operands.pop()
            if function is ms.affine_vjp and len(operands) == 5:
                last = operands.pop()
                options["wrt" if isinstance(last, str) else "activation"] = last
            if function is judge and len(operands) == 5:
                options["loss"] = operands.pop()
            if function is ms.affine_stats:
                options["set_weight"] = operands.pop()
                operands.pop()
            with nothing_computed():
                errors.append(error_of(function, *operands, **options))
        assert errors[0] == errors[1]


def test_properties_of_dask_arrays():
    x, lazy = np.ones((5, 3)), da.ones((5, 3), chunks=2)
    with pytest.raises(TypeError, match=r"out does not work .* dask\.array\.store or to_zarr"):
        ms.affine(lazy, x, out=np.empty((5, 5, 3)))
    unknown = lazy[lazy[:, 0] > 0]
    for call in (
        lambda: ms.affine(unknown, x),
        lambda: ms.mean_loss(unknown, x, None, np.ones(5)),
    ):
        with pytest.raises(ValueError, match=r"samples has chunks of unknown size.*compute_chunk_"):
            call()
    masked = da.ma.masked_array(lazy, lazy > 2)
    with pytest.raises(TypeError, match="weight has chunks of type MaskedArray; expected NumPy"):
        ms.affine(x, masked)
    with pytest.raises(TypeError, match="samples is a masked array"):
        ms.affine(np.ma.masked_array(x, x > 2), lazy)


def test_a_task_works_on_one_thread(monkeypatch):
    monkeypatch.delenv("MULTISUBNET_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    seen = []
    real = _tasks.affine.affine

    def affine(*args, **kwargs):
        seen.append(threads.count(100))
        return real(*args, **kwargs)

    lazy = ms.affine(da.ones((2, 1), chunks=1), [[1.0]])
    with mock.patch.object(_tasks.affine, "affine", affine):
        lazy.compute()
        monkeypatch.setenv("MULTISUBNET_NUM_THREADS", "2")
        lazy.compute()
    assert seen == [1, 1, *[min(2, threads._count_cores())] * 2]


@pytest.mark.parametrize("n_features", [30, 200])  # 200 are not computed together
def test_all_tasks_work_on_one_thread(monkeypatch, n_features):
    monkeypatch.delenv("MULTISUBNET_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    pytest.importorskip("numba")
    seen = []

    def count(worth, kind=0):
        seen.append(threads.limit())
        return 1

    monkeypatch.setattr(threads, "count", count)
    rng = np.random.default_rng(0)
    weight = da.from_array(rng.normal(size=(9000, n_features)).astype("f4"), chunks=(5000, -1))
    samples, targets = rng.normal(size=(100, n_features)), rng.random(100)
    factors = {"sample_weight": np.arange(100.0)}
    with ms.use_backend("numba"):
        for function, others, options in (
            (ms.affine, [], {"activation": "tanh"}),
            (ms.mean_loss, [targets], {}),
            (ms.mean_loss, [targets], factors),
            (ms.mean_loss_and_grad, [targets], factors),
            (ms.mean_loss, [targets], {"loss": "huber"}),
            (ms.affine_stats, [], {}),
        ):
            operands = samples.astype("f4"), weight, None, *others
            dask.compute(function(*operands, **options), scheduler="threads")
            assert seen, function
            assert set(seen) == {1}, function
            seen.clear()


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() != "x86_64",
    reason="knows how to flush subnormals on x86-64 Linux only",
)
@pytest.mark.parametrize("loss", ["absolute_error", "squared_error"])
def test_subnormals_are_kept_in_a_thread_that_flushes_them(loss):
    # A subnormal loss of each sample, then subnormal moments of samples.
    size = 1e-310 if loss == "absolute_error" else 1e-157
    samples = np.array([[size], [2 * size], [3 * size]])
    operands = np.array([[1.0]]), None, np.zeros(3)
    lazy = ms.mean_loss(da.from_array(samples, 2), *operands, loss=loss)
    found = []

    def work():
        set_flush_to_zero()
        found.append(lazy.compute())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    desired = ms.mean_loss(samples, *operands, loss=loss)
    assert 0.0 < desired.item() < np.finfo(float).tiny
    assert_same_bits(found[0], desired)


def test_tasks_run_on_the_backend_that_was_chosen_for_the_call():
    seen = []
    real = _tasks.affine.affine

    def affine(*args, **kwargs):
        seen.append(ms._backends.choice.choice())
        return real(*args, **kwargs)

    with ms.use_backend("numpy"):
        lazy = ms.affine(da.ones((2, 1), chunks=1), [[1.0]])
    with mock.patch.object(_tasks.affine, "affine", affine):
        lazy.compute(scheduler="threads")
    assert seen == ["numpy"] * 2


@pytest.mark.parametrize("per_thread", [False, True])
def test_tasks_on_a_gpu_wait_for_those_of_other_threads(cupy_on_host, monkeypatch, per_thread):
    # The legacy stream and a per-thread default stream are streams 1 and 2 of CUDA.
    import cupy
    import cupy_on_host as stand_in

    monkeypatch.setattr(stand_in, "per_thread_default_stream", per_thread)
    (samples, weight, bias, targets), _ = operands_of(3, 5000, 2, "float32")
    lazy = [
        da.from_array(cupy.asarray(x), chunks, name=False, asarray=False)
        for x, chunks in zip((samples, weight, bias), ((4500, 1), (2, 2), 3), strict=True)
    ]
    target = da.from_array(cupy.asarray(targets), 4096, name=False, asarray=False)
    results = [ms.affine(*lazy, activation="tanh"), ms.mean_loss(*lazy, target, loss="huber")]
    results += [ms.mean_loss(*lazy, target), *ms.affine_stats(lazy[0][:3], *lazy[1:])]
    desired = [
        ms.affine(samples, weight, bias, activation="tanh"),
        ms.mean_loss(samples, weight, bias, targets, loss="huber"),
        ms.mean_loss(samples, weight, bias, targets),
        *ms.affine_stats(samples[:3], weight, bias),
    ]
    computed = dask.compute(*results, scheduler="threads")
    assert_all_same_bits([x.get() for x in computed], desired)
    assert set(cupy_on_host) == {1 if per_thread else 0}


@pytest.mark.gpu
@pytest.mark.parametrize("case", [*CASES[:4], CLOSED_FORM[0], CLOSED_FORM[1]])
def test_chunks_on_the_gpu(case):
    import cupy

    (samples, weight, bias, targets), factors = operands_of(3, 5000, 2, case.dtype)
    factors = factors if case.weighted else None
    options = {"loss": case.loss, "activation": case.activation}
    desired = ms.mean_loss_and_grad(
        samples, weight, bias, targets, sample_weight=factors, **options
    )
    stats = ms.affine_stats(samples[:3], weight, bias)
    lazy = [
        da.from_array(cupy.asarray(x), chunks, name=False, asarray=False)
        for x, chunks in zip(
            (samples, weight, bias, targets), ((4500, 1), (2, 2), 3, 4096), strict=True
        )
    ]
    weights = None if factors is None else cupy.asarray(factors)
    results = ms.mean_loss_and_grad(*lazy, sample_weight=weights, **options)
    results += ms.affine_stats(lazy[0][:3], *lazy[1:3])
    assert all(type(x._meta) is cupy.ndarray for x in results)
    computed = dask.compute(*results)
    assert all(type(x) is cupy.ndarray for x in computed)
    assert_all_same_bits([x.get() for x in computed], [*desired, *stats])


@pytest.mark.gpu
def test_host_and_gpu_are_not_mixed():
    import cupy

    lazy = da.from_array(cupy.ones((4, 2)), 2, name=False, asarray=False)
    assert type(ms.affine(lazy, cupy.ones((3, 2))).compute()) is cupy.ndarray
    with pytest.raises(TypeError, match=r"samples is on the GPU and weight .* is not"):
        ms.affine(lazy, np.ones((3, 2)))
    with pytest.raises(TypeError, match=r"samples is on the GPU and weight .* is not"):
        ms.affine(lazy, da.ones((3, 2)))
