"""The CPU engine's sums of networks: both layouts of vector lanes give the same bits."""

from __future__ import annotations

import itertools
import platform
import re
import tracemalloc
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tiles
from conftest import few
from hypothesis import example, given
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet import Activation
from multisubnet._arithmetic.output_loss import CATEGORICAL, OutputLoss
from multisubnet._backends import numpy_mlp_sums
from multisubnet._backends.mlp_call import MlpCall, MlpForm
from multisubnet._backends.mlp_sums import MlpSums, MlpTotals

pytest.importorskip("numba")
import numba

from multisubnet._backends.numba import engine as backend
from multisubnet._backends.numba import mlp_sum_engine as engine
from multisubnet._backends.numba import mlp_sum_loops
from multisubnet._backends.numba.llvm import programs

LAYOUTS = {"lanes are sets": 1e9, "lanes are runs": 0.0}
HIDDEN = "relu", "tanh"
# Widths that are not multiples of vectors or tiles; one sum is long enough for a loop.
SIZES = 2, 9, 5, 3


def problem(
    n_sets: int,
    n_samples: int,
    n_subnets: int = 2,
    *,
    sizes: tuple[int, ...] = SIZES,
    loss: str = "squared_error",
    hidden: tuple[str | None, ...] = HIDDEN,
    last: str | None = None,
    biased: tuple[bool, ...] = (True, False, True),
    own: tuple[bool, bool] = (False, False),
    weighted: bool = True,
    dtype: str = "float32",
    shared: bool = False,
) -> MlpSums:
    """Return sums; with `own`, sets have their own samples and targets."""
    rng = np.random.default_rng(n_sets * 10_000 + n_samples)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(dtype)

    front = (1 if shared else n_sets), n_subnets
    layers = tuple(
        (normal(*front, a, b), normal(*front, b) if has_bias else None)
        for (a, b), has_bias in zip(itertools.pairwise(sizes), biased, strict=True)
    )
    targets = normal(n_sets if own[1] else 1, n_samples, n_subnets, sizes[-1])
    if loss == CATEGORICAL:
        targets = rng.integers(0, sizes[-1], (*targets.shape[:3], 1))
    samples = normal(*(n_sets,) * own[0], n_samples, n_subnets * sizes[0])
    names = *hidden, last
    activations = tuple(None if name is None else Activation(name) for name in names)
    call = MlpCall(
        *(samples, layers, None, None),
        MlpForm(activations, biased, False, np.dtype(dtype), sizes, n_sets, n_samples, n_subnets),
    )
    judged_by = OutputLoss(loss, last or "linear", sizes[-1])
    return MlpSums(call, judged_by, targets, abs(normal(n_samples)) if weighted else None)


def empty_totals(sums: MlpSums, loss: bool = True, gradients: bool = True) -> MlpTotals:
    """Return arrays for totals, filled with NaN to show elements that are not written."""
    front = sums.n_blocks, sums.call.n_sets, sums.call.n_subnets

    def empty(array: np.ndarray | None) -> Any:
        if array is None or not gradients:
            return None
        return np.full((*front, *array.shape[2:]), np.nan)

    layers = tuple((empty(weight), empty(bias)) for weight, bias in sums.call.layers)
    has_loss = loss and sums.loss.loss != "product"
    return MlpTotals(np.full(front, np.nan) if has_loss else None, layers)


def arrays_of(totals: MlpTotals) -> list[np.ndarray]:
    """Return the arrays of totals that are not None."""
    every = [totals.loss, *(x for layer in totals.layers for x in layer)]
    return [x for x in every if x is not None]


def assert_same(sums: MlpSums, **asked: bool) -> None:
    """Assert that the engine gives the totals of the reference, bit for bit."""
    expected, found = empty_totals(sums, **asked), empty_totals(sums, **asked)
    numpy_mlp_sums.mlp_sums(sums, expected)
    engine.mlp_sums(sums, found)
    for one, other in zip(arrays_of(expected), arrays_of(found), strict=True):
        np.testing.assert_array_equal(one, other)
        assert ((one != 0) | (np.signbit(one) == np.signbit(other))).all()


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def layout(request):
    """Force one of the two layouts, for any number of sets and samples."""
    with tiles.of(engine_lanes=request.param):
        yield


@pytest.mark.parametrize("n_samples", few([1, 31, 33, 512, 569, 4096, 4097, 4200], 4))
@pytest.mark.parametrize("n_sets", [1, 16, 19])
def test_ends_of_vectors_runs_and_blocks(layout, n_sets, n_samples):
    assert_same(problem(n_sets, n_samples if n_sets < 16 else min(n_samples, 569)))


def test_more_blocks(layout):
    assert_same(problem(2, 2 * 4096 + 100, 1))


@given(n_sets=st.integers(1, 40), n_samples=st.integers(1, 700))
@example(n_sets=1, n_samples=640)
@example(n_sets=12, n_samples=4096)
def test_either_layout_has_the_same_bits(n_sets, n_samples):
    assert_same(problem(n_sets, n_samples, 1))


def test_the_layout_is_that_of_which_fewer_lanes_are_idle():
    assert not engine._lanes_are_runs(problem(100, 569).call.form)
    assert engine._lanes_are_runs(problem(1, 569).call.form)
    assert engine._lanes_are_runs(problem(2, 5000).call.form)
    assert not engine._lanes_are_runs(problem(2, 20).call.form)


def test_losses_alone_and_gradients_alone(layout):
    options: Any = {"sizes": (1, 3), "hidden": (), "last": "relu", "biased": (False,)}
    assert_same(problem(3, 70, **options), gradients=False)
    assert_same(problem(3, 70, **options), loss=False)


def test_samples_and_cotangents_of_each_set(layout):
    options: Any = {
        **{"sizes": (2, 4, 2), "loss": "product", "hidden": ("relu",)},
        **{"biased": (False, False), "own": (True, True), "weighted": False, "dtype": "float64"},
    }
    assert_same(problem(11, 70, shared=True, **options))
    sums = problem(9, 45, **options)
    # As for slopes of additive networks: the same cotangent for all networks of a set.
    slopes = np.ascontiguousarray(sums.targets.transpose(0, 3, 1, 2))[..., :1].transpose(0, 2, 3, 1)
    assert_same(sums._replace(targets=slopes))
    dense = np.ascontiguousarray(slopes.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert_same(sums._replace(targets=dense))


def test_labels():
    options: Any = {"sizes": (1, 3), "loss": CATEGORICAL, "hidden": (), "biased": (True,)}
    sums = problem(18, 70, weighted=False, **options)
    assert_same(sums)
    assert_same(sums._replace(targets=np.where(sums.targets == 1, 7, sums.targets)))


def test_non_finite_values_stay_in_their_set_and_run(layout):
    sums = problem(18, 100)
    (weight, bias), *_ = sums.call.layers
    weight[3, 0, 1, 2], weight[5, 1], weight[17, 1, 0, 0] = np.inf, np.nan, -np.inf
    bias[4, 0, 2] = np.inf
    sums.call.samples[40, 1] = np.inf
    sums.call.samples[99] = 0.0
    assert_same(sums)
    sums = problem(2, 4096 + 70)
    # In the block before one in which the run of some lane, of 16, 8 or 4, ends earlier.
    sums.call.samples[[3674, 3930, 4058]] = np.inf
    assert_same(sums)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("has_loss", [False, True])
def test_divided_gradients_of_one_block(layout, dtype, has_loss):
    for sums in (problem(19, 70, 3, dtype=dtype), problem(3, 4096, 1, dtype=dtype, shared=True)):
        expected, totals = (empty_totals(sums, loss=has_loss) for _ in range(2))
        numpy_mlp_sums.mlp_sums(sums, expected)
        wide = totals.each(lambda x: np.full((*x.shape[:2], 5, *x.shape[3:]), np.nan, dtype))
        cut = wide.each(lambda x, n=sums.call.n_subnets: x[:, :, 1 : 1 + n])
        assert engine.mlp_gradients(sums, totals._replace(layers=cut.layers), 7.0)
        for one, other in zip(arrays_of(expected), [*arrays_of(cut)], strict=True):
            divided = (one / 7).astype(dtype) if one.ndim > 3 else one
            np.testing.assert_array_equal(divided, other if one.ndim > 3 else totals.loss)
        for array in arrays_of(wide)[has_loss:]:
            assert np.isnan(array[:, :, 0]).all()
            assert np.isnan(array[:, :, 1 + sums.call.n_subnets :]).all()
    strange = sums._replace(targets=sums.targets.astype(int))
    assert not engine.mlp_gradients(strange, totals, 7.0)


def test_gradients_of_one_block_need_no_totals(monkeypatch):
    sums = problem(3, 70, 2, sizes=(1, 3, 1), hidden=("relu",), biased=(True, True))
    samples, layers, *_ = sums.call
    operands = samples, layers, sums.targets[0, :, :, 0]
    with ms.use_backend("numpy"):
        expected = ms.mlp_mean_loss_and_grad(*operands)
    monkeypatch.setattr(backend, "mlp_sums", None)
    with ms.use_backend("numba"):
        found = ms.mlp_mean_loss_and_grad(*operands)
        grad_layers = ms.mlp_vjp(samples, layers, np.ones((3, 70, 2, 1), "f4")).grad_layers
    np.testing.assert_array_equal(found.loss, expected.loss)
    for one, other in zip(expected.grad_layers, found.grad_layers, strict=True):
        for x, y in zip(one, other, strict=True):
            np.testing.assert_array_equal(x, y)
    assert grad_layers[0][0].shape == (3, 2, 1, 3)


def test_gradients_of_parameters_that_sets_share_are_summed():
    sums = problem(3, 70, 2, sizes=(1, 3, 1), hidden=("relu",), biased=(True, True), shared=True)
    samples, (shared, own), *_ = sums.call
    layers = [shared, tuple(np.repeat(x, 3, 0) for x in own)]
    found = []
    for name in ("numpy", "numba"):
        with ms.use_backend(name):
            cotangent = np.ones((3, 70, 2, 1), "f4")
            found.append(ms.mlp_vjp(samples, layers, cotangent).grad_layers)
    for one, other in zip(*found, strict=True):
        for x, y in zip(one, other, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("threads", ["2", "5"])
@pytest.mark.parametrize("lanes", LAYOUTS.values(), ids=LAYOUTS)
def test_threads_share_sets_networks_and_blocks(lanes, threads, monkeypatch):
    monkeypatch.setenv("MULTISUBNET_NUM_THREADS", threads)
    with tiles.of(engine_sums=1, engine_lanes=lanes):
        assert_same(problem(33, 70, 3))
        assert_same(problem(2, 4097, 3))


def pieces_of(sums: MlpSums, *, of_samples: bool = False) -> list[tuple[int, ...]]:
    """Return the boxes that the pieces of a call are."""
    totals = None if of_samples else empty_totals(sums)
    code = engine._code_for(sums, totals)
    return [mlp_sum_loops.box_of(i, code.grid) for i in range(code.n_pieces)]


@pytest.mark.parametrize("of_samples", [False, True])
def test_pieces_are_all_of_the_work_once(of_samples, monkeypatch):
    monkeypatch.setattr(engine, "_function", lambda plan, dtype: None)
    one: Any = {"sizes": (1, 1), "hidden": (), "biased": (True,), "weighted": False}
    if of_samples:
        one |= {"loss": "product"}
    for n_sets, n_samples, n_subnets in [(100, 569, 30), (1, 100_000, 1), (3, 9000, 7), (1, 1, 1)]:
        sums = problem(n_sets, n_samples, n_subnets, **one)
        for worth in (1, 1 << 13, 1 << 16, 1 << 40):
            with tiles.of(engine_sums=worth):
                pieces = pieces_of(sums, of_samples=of_samples)
            done = np.zeros((n_sets, n_subnets, n_samples if of_samples else sums.n_blocks), int)
            for first, last, s_first, s_last, block_first, block_last in pieces:
                assert last <= n_sets
                assert s_last <= n_subnets
                assert block_last <= done.shape[2]
                done[first:last, s_first:s_last, block_first:block_last] += 1
            assert (done == 1).all()
            assert worth == 1 or len(pieces) <= 3 * 8 * sums.n_products // worth + 1
            assert worth > 1 or len(pieces) > 1 or n_samples == 1


@pytest.mark.parametrize("part_bytes", [1 << 22, 1 << 15])
def test_operands_of_other_dtypes_and_strides(part_bytes):
    with tiles.of(engine_part=part_bytes, engine_lanes=1e9):
        assert_same_of_other_operands()


def assert_same_of_other_operands() -> None:
    """Check operands that the compiled code cannot read directly."""
    sums = problem(17, 4100, 3)
    call = sums.call
    assert_same(sums._replace(targets=sums.targets.astype(np.float64)))
    assert_same(sums._replace(targets=sums.targets[..., :1], factor=np.ones(4100, np.int8)))
    halves = call.samples.astype(np.float16)
    inputs = np.array([[5, 0], [1, 1], [2, 4]])
    assert_same(sums._replace(call=call._replace(samples=halves, inputs=inputs)))
    assert_same(sums._replace(call=call._replace(samples=call.samples[::-1, ::-1])))
    (weight, bias), *others = call.layers
    strange = np.asfortranarray(weight), bias.astype(np.float64).astype(">f4")
    assert_same(sums._replace(call=call._replace(layers=(strange, *others))))
    for strange in ((weight[..., ::-1], bias), (weight, bias[..., ::-1])):
        assert_same(sums._replace(call=call._replace(layers=(strange, *others))))
    assert_same(sums.part(slice(1, 17, 3), slice(0, 4100), slice(1, 3)))


def assert_same_of_samples(sums: MlpSums) -> None:
    """Assert that gradients of samples equal the reference, bit for bit."""
    call = sums.call
    first = call.n_sets if call.samples.ndim == 3 else -(-call.n_sets // 4096)
    shape = first, call.n_samples, call.n_subnets, call.sizes[0]
    expected, found = np.full(shape, np.nan), np.full(shape, np.nan)
    numpy_mlp_sums.mlp_sample_sums(sums, expected)
    engine.mlp_sample_sums(sums, found)
    np.testing.assert_array_equal(expected, found)
    assert (np.signbit(expected) == np.signbit(found)).all()


@pytest.mark.parametrize("own_samples", [False, True])
def test_gradients_of_samples(own_samples, monkeypatch):
    monkeypatch.setenv("MULTISUBNET_NUM_THREADS", "3")
    options: Any = {
        **{"sizes": (2, 5, 2), "loss": "product", "hidden": ("relu",), "weighted": False},
        **{"biased": (True, False), "own": (own_samples, True)},
    }
    for n_sets, n_samples in [(1, 1), (3, 513), (32, 40), (70, 33)]:
        sums = problem(n_sets, n_samples, **options)
        sums.call.samples[..., 0] = -1e30  # gives slopes 0 and -0
        with tiles.of(engine_sums=1):
            assert_same_of_samples(sums)
    if not own_samples:
        assert_same_of_samples(problem(4096 + 33, 2, 1, **options))
        assert_same_of_samples(problem(3, 7, **options | {"sizes": (2, 5, 2)}, shared=True))


def test_sums_without_compiled_code(monkeypatch):
    monkeypatch.setattr(engine, "_evaluate", None)
    assert_same(problem(2, 3, sizes=(1, 17), loss=CATEGORICAL, hidden=(), biased=(True,)))
    assert_same(problem(2, 0))
    assert_same(problem(0, 3))
    assert_same(problem(2, 3, 0))
    with tiles.of(engine_parameters=10):
        assert_same(problem(2, 3))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the machine code of x86-64")
@pytest.mark.parametrize("of", ["sets", "runs", "samples"])
def test_the_machine_code_has_no_addresses_in_float64_and_does_not_contract(of, monkeypatch):
    def uncached(function, signature):
        return numba.njit([signature])(function)  # the cache would give it without code

    monkeypatch.setattr(mlp_sum_loops, "jit", uncached)
    monkeypatch.setattr(programs, "has_fma", lambda: False)  # only recipes ask for fused products
    loss = "product" if of == "samples" else "squared_error"
    sums = problem(19, 70, sizes=(1, 2), hidden=(), biased=(True,), loss=loss, own=(True, True))
    if of == "samples":
        sums = sums._replace(factor=None)
    with tiles.of(engine_lanes=0.0 if of == "runs" else 1e9):
        monkeypatch.setattr(engine, "_function", engine._function.__wrapped__)
        code = engine._code_for(sums, None if of == "samples" else empty_totals(sums))
    (machine_code,) = code.evaluate.inspect_asm().values()
    assert not re.search(r"vfn?m(add|sub)", machine_code)
    assert not re.search("cvtu?si2sd", machine_code)  # of an address or an index
    assert re.search("v?mulps", machine_code)


def test_pieces_stay_in_the_memory_of_their_call(layout):
    real, guards = np.empty, []

    def guarded(size, dtype=float):
        if dtype is not np.uint8:
            return real(size, dtype)
        memory = np.full(size + (1 << 20), 7, np.uint8)
        guards.append(memory[size:])
        return memory[:size]

    sums = problem(33, 70, 3)
    totals = empty_totals(sums)
    with mock.patch.object(np, "empty", guarded):
        engine.mlp_sums(sums, totals)
    assert [(guard == 7).all() for guard in guards] == [True]


def test_memory_is_that_of_a_few_vectors_of_parameters(layout):
    sums = problem(19, 569, 30)
    totals = empty_totals(sums)
    engine.mlp_sums(sums, totals)
    tracemalloc.start()
    engine.mlp_sums(sums, totals)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_calls_of_the_same_shapes_are_prepared_once():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(5, 3)).astype("f4")
    layers = [(rng.normal(size=(2, 1, 3, 4)).astype("f4"), None)]
    options = {"activation": None, "loss": "categorical_crossentropy_from_logits"}
    with ms.use_backend("numba"):
        misses = []
        for _ in range(3):  # class numbers are cast, in parts
            ms.mlp_mean_loss(samples, layers, [0, 1, 2, 3, 0], **options)
            misses.append(engine._prepare.cache_info().misses)
    assert misses[0] == misses[2]
