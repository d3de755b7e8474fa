"""Guarantees for callers on a GPU: graphs, streams, devices, threads, memory pools."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import multisubnet as ms
from multisubnet.testing import assert_same_bits

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")

RNG = np.random.default_rng(0)
N, B, F = 5, 70, 7
SAMPLES, TARGETS = (RNG.normal(size=(B, F)).astype("f4") for _ in "st")
WEIGHT, BIAS = (RNG.normal(size=(N, F)).astype("f4") for _ in "wb")
COTANGENT = RNG.normal(size=(N, B, F)).astype("f4")
INDEX = RNG.integers(0, N, B)
OF_SAMPLES, OF_SETS = (RNG.uniform(0.5, 2, size).astype("f4") for size in (B, N))
THETA = RNG.normal(size=(N, 2 * F)).astype("f4")
WITH_TARGETS = SAMPLES, WEIGHT, BIAS, TARGETS


def smooth(function, *operands):
    """Return a call with an activation."""
    return lambda move: function(*map(move, operands), activation="tanh")


def layers(move):
    """Return the layers of 1-3-2 networks, with a bias for all sets."""
    hidden, last = np.resize(WEIGHT, (N, F, 1, 3)), np.resize(WEIGHT, (N, F, 3, 2))
    return [(move(hidden), move(np.resize(BIAS, (1, F, 3)))), move(last)]


def flat(result):
    """Return the arrays of a result, which may be nested tuples, in order."""
    if isinstance(result, tuple):
        return tuple(x for part in result for x in flat(part))
    return () if result is None else (result,)


COTANGENT_OF_UNITS = RNG.normal(size=(N, 9, F, 3)).astype("f4")

# Every public function that computes, with arrays moved by `move` to where it should run.
CALLS = {
    "affine": smooth(ms.affine, SAMPLES, WEIGHT, BIAS),
    "affine of float64 and float32": smooth(ms.affine, SAMPLES, WEIGHT.astype("f8"), BIAS),
    "affine_select": smooth(ms.affine_select, SAMPLES, WEIGHT, BIAS, INDEX),
    "mean_loss": smooth(ms.mean_loss, *WITH_TARGETS),
    "mean_loss in closed form": lambda move: ms.mean_loss(*map(move, WITH_TARGETS)),
    "mean_loss of weighted samples": lambda move: ms.mean_loss(
        *map(move, WITH_TARGETS), loss="huber", sample_weight=move(OF_SAMPLES)
    ),
    "mean_loss_and_grad": smooth(ms.mean_loss_and_grad, *WITH_TARGETS),
    "mean_loss_and_grad in closed form": lambda move: ms.mean_loss_and_grad(
        *map(move, WITH_TARGETS)
    ),
    "affine_vjp": smooth(ms.affine_vjp, SAMPLES, WEIGHT, BIAS, COTANGENT),
    "affine_vjp of shared weight": smooth(ms.affine_vjp, SAMPLES, WEIGHT[:1], BIAS, COTANGENT),
    "affine_stats": lambda move: ms.affine_stats(
        move(SAMPLES), move(WEIGHT), move(BIAS), set_weight=move(OF_SETS)
    ),
    "mlp": lambda move: ms.mlp(move(SAMPLES), layers(move)),
    "mlp, added up": lambda move: ms.mlp(move(SAMPLES), layers(move), additive=True),
    "mlp of pairs": lambda move: ms.mlp(
        move(SAMPLES), layers(move)[1:], inputs=np.arange(3 * F).reshape(F, 3) % F
    ),
    "mlp of wide networks": lambda move: ms.mlp(
        move(SAMPLES[:9]), [move(np.resize(WEIGHT, (N, 1, *size))) for size in [(F, 99), (99, 2)]]
    ),
    "mlp_select": lambda move: ms.mlp_select(move(SAMPLES), layers(move), move(INDEX)),
    "mlp_stats": lambda move: ms.mlp_stats(
        move(SAMPLES[:9]), layers(move), set_weight=move(OF_SETS)
    ),
    "mlp_mean_loss": lambda move: ms.mlp_mean_loss(move(SAMPLES), layers(move), move(OF_SAMPLES)),
    "mlp_mean_loss_and_grad": lambda move: flat(
        ms.mlp_mean_loss_and_grad(move(SAMPLES), layers(move), move(OF_SAMPLES))
    ),
    "mlp_mean_loss_and_grad, added up": lambda move: flat(
        ms.mlp_mean_loss_and_grad(move(SAMPLES), layers(move), move(OF_SAMPLES), additive=True)
    ),
    "mlp_vjp": lambda move: flat(
        ms.mlp_vjp(move(SAMPLES[:9]), [layers(move)[0]], move(COTANGENT_OF_UNITS))
    ),
    "to_theta": lambda move: (ms.to_theta(move(WEIGHT), move(BIAS)),),
    "from_theta": lambda move: ms.from_theta(move(THETA), F),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def of_call(call, move):
    """Return the arrays in the result of a call."""
    result = call(move)
    return result if isinstance(result, tuple) else (result,)


def assert_is_right(call, results):
    """Raise unless arrays on a GPU have the bits of the CPU."""
    for result, desired in zip(results, of_call(call, np.asarray), strict=True):
        assert type(result) is cupy.ndarray
        assert_same_bits(result.get(), desired)


class Moved:
    """Arrays moved to the GPU before; the same ones each time."""

    def __init__(self):
        self.arrays = {}

    def __call__(self, array):
        return self.arrays.setdefault(id(array), (array, cupy.asarray(array)))[1]


@every_call
def test_in_a_graph(call):
    move, stream = Moved(), cupy.cuda.Stream(non_blocking=True)
    of_call(call, move)  # compiles
    with stream:
        of_call(call, move)  # allocates from the stream's own pool, and moves the operands
        stream.synchronize()
        try:
            stream.begin_capture()
        except NotImplementedError as error:
            pytest.skip(str(error))
        results = of_call(call, move)
        graph = stream.end_capture()
        for result in results:
            assert type(result) is cupy.ndarray
        for _ in range(2):
            graph.launch(stream)
        stream.synchronize()
    assert_is_right(call, results)


@every_call
@pytest.mark.parametrize("non_blocking", [False, True])
def test_on_another_stream(call, non_blocking):
    stream = cupy.cuda.Stream(non_blocking=non_blocking)
    with stream:
        results = of_call(call, cupy.asarray)
    stream.synchronize()
    assert_is_right(call, results)


@every_call
def test_on_a_second_device(call):
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU only")

    def move(array):
        with cupy.cuda.Device(1):
            return cupy.asarray(array)

    results = of_call(call, move)  # while the first device is current
    assert {result.device.id for result in results} == {1}
    with cupy.cuda.Device(1):
        assert_is_right(call, results)


@contextlib.contextmanager
def without_pool():
    """Allocate a new array each time."""
    before = cupy.cuda.get_allocator()
    cupy.cuda.set_allocator(None)
    try:
        yield
    finally:
        cupy.cuda.set_allocator(before)


@every_call
def test_without_a_memory_pool(call):
    with without_pool():
        assert_is_right(call, of_call(call, cupy.asarray))


@every_call
def test_in_little_memory(call):
    # Apart from the operands, there is room for results, totals of blocks and at most one copy of
    # the operands.
    move = Moved()
    of_call(call, move)
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    needed = sum(max(x.nbytes, 512) for x in (SAMPLES, WEIGHT, BIAS, COTANGENT)) + (1 << 15)
    pool.set_limit(size=pool.total_bytes() + needed)
    try:
        results = of_call(call, move)
    finally:
        pool.set_limit(size=0)
    assert_is_right(call, results)


def test_too_little_memory_is_an_error_and_no_more():
    samples, weight = cupy.ones((1000, 64)), cupy.ones((100, 64))
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + (1 << 20))
    try:
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            ms.affine(samples, weight)
    finally:
        pool.set_limit(size=0)
    assert float(ms.affine(samples, weight)[-1, -1, -1]) == 1.0


def test_from_several_threads():
    # Each on its own stream; two of them may compile a kernel at the same time.
    calls = [*CALLS.values()] * 2

    def run(call):
        with cupy.cuda.Stream(non_blocking=True) as stream:
            results = of_call(call, cupy.asarray)
            stream.synchronize()
        return results

    with ThreadPoolExecutor(8) as threads:
        for call, results in zip(calls, threads.map(run, calls), strict=True):
            assert_is_right(call, results)


@every_call
def test_nothing_waits(call, monkeypatch):
    move = Moved()
    of_call(call, move)
    waited = []
    for place, name in [
        (cupy.cuda.Stream, "synchronize"),
        (cupy.cuda.Device, "synchronize"),
        (cupy.cuda.Event, "synchronize"),
        (cupy.ndarray, "get"),
    ]:
        with contextlib.suppress(TypeError):  # extension types cannot be patched
            monkeypatch.setattr(place, name, lambda *_, name=name: waited.append(name))
    of_call(call, move)
    assert waited == []
