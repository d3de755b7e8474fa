"""Operations on CuPy arrays outside of this package's kernels only move bytes."""

from __future__ import annotations

import sys

import cupy_on_host
import numpy as np
import pytest

import multisubnet as ms
from multisubnet._backends.cupy import engine
from multisubnet._backends.cupy.launch.operands import OPERAND_BYTES, Launch
from multisubnet._functions import evaluation
from multisubnet.testing import assert_same_bits

RNG = np.random.default_rng(0)
TINY = np.float32(1e-39)
SAMPLES, TARGETS = (RNG.normal(size=(5, 3)).astype("f4") for _ in "st")
OF_SAMPLES, OF_SETS = (RNG.uniform(0.5, 2, n).astype("f4") for n in (5, 4))
WEIGHT, BIAS = (RNG.normal(size=(4, 3)).astype("f4") for _ in "wb")
WITH_TARGETS = SAMPLES, WEIGHT, BIAS, TARGETS


@pytest.fixture
def move(cupy_on_host):
    return sys.modules["cupy"].asarray


CALLS = {
    "affine": lambda move: ms.affine(move(SAMPLES * TINY), move(WEIGHT)),
    "affine of bool and float32": lambda move: ms.affine(move(SAMPLES > 0), move(WEIGHT * TINY)),
    "affine by another backend": lambda move: of_numpy(move),
    "mean_loss": lambda move: ms.mean_loss(
        *map(move, (SAMPLES, WEIGHT, BIAS, TARGETS)), loss="huber", dtype="float32"
    ),
    "mean_loss in closed form": lambda move: ms.mean_loss_and_grad(
        *map(move, (SAMPLES, WEIGHT, BIAS, TARGETS))
    ),
    "affine_stats": lambda move: ms.affine_stats(*map(move, (SAMPLES, WEIGHT, BIAS))),
    "mean_loss of weighted samples": lambda move: ms.mean_loss(
        *map(move, WITH_TARGETS), loss="huber", sample_weight=move(OF_SAMPLES)
    ),
    "weighted mean_loss in closed form": lambda move: ms.mean_loss_and_grad(
        move(SAMPLES.astype("f8")), *map(move, WITH_TARGETS[1:]), sample_weight=move(OF_SAMPLES - 1)
    ),
    "mlp": lambda move: ms.mlp(move(SAMPLES * TINY), layers(move), additive=True),
    "mlp of wide networks": lambda move: ms.mlp(move(SAMPLES), layers(move, 200), inputs=PAIRS),
    "mlp_select": lambda move: ms.mlp_select(
        move(SAMPLES), layers(move), move(np.arange(5) - 1), check=False
    ),
    "mlp_stats": lambda move: ms.mlp_stats(move(SAMPLES), layers(move), set_weight=move(OF_SETS)),
    "mlp_mean_loss": lambda move: ms.mlp_mean_loss(
        move(SAMPLES * TINY), layers(move), move(TARGETS), sample_weight=move(OF_SAMPLES)
    ),
    "mlp_mean_loss_and_grad": lambda move: flat(
        ms.mlp_mean_loss_and_grad(move(SAMPLES * TINY), layers(move), move(TARGETS), inputs=PAIRS)
    ),
    "mlp_mean_loss_and_grad of sums": lambda move: flat(
        ms.mlp_mean_loss_and_grad(
            move(SAMPLES), layers(move), move(OF_SAMPLES), additive=True, loss="huber"
        )
    ),
    "mlp_vjp": lambda move: flat(
        ms.mlp_vjp(move(SAMPLES), layers(move), move(np.ones((4, 5, 3, 1), "f4")))
    ),
    "affine_stats of weighted sets": lambda move: ms.affine_stats(
        *map(move, (SAMPLES, WEIGHT, BIAS)), set_weight=move(OF_SETS)
    ),
    "affine_vjp": lambda move: ms.affine_vjp(
        move(SAMPLES * TINY), move(WEIGHT[:1]), move(BIAS), move(np.ones((4, 5, 3), "f4"))
    ),
    "predict_stats": lambda move: ms.WeightSets(move(WEIGHT.astype("f2"))).predict_stats(
        move(SAMPLES.astype("f2"))
    )[:2],
    "concatenate": lambda move: ms.WeightSets.concatenate(
        [ms.WeightSets(move(WEIGHT * TINY))] * 2
    ).predict(move(SAMPLES)),
    "theta": lambda move: ms.from_theta(ms.to_theta(move(WEIGHT * TINY), move(BIAS)), 3),
    "pairs": lambda move: ms.from_pairs(move(np.stack([WEIGHT, BIAS], axis=-1) * TINY)),
}


PAIRS = [[0], [2], [1]]


def layers(move, width=2):
    """Return the layers of networks 1-width-1."""
    hidden = np.resize(WEIGHT, (4, 3, 1, width)), np.resize(BIAS, (1, 3, width))
    return [(move(hidden[0]), move(hidden[1])), move(np.resize(BIAS, (4, 3, width, 1)))]


def flat(result):
    """Return the arrays of a result, which may be nested tuples, in order."""
    if isinstance(result, tuple):
        return tuple(x for part in result for x in flat(part))
    return () if result is None else (result,)


def of_numpy(move):
    with ms.use_backend("numpy"):
        out = move(np.empty((4, 5, 3), "f4"))
        return ms.affine(move(SAMPLES * TINY), move(WEIGHT), out=out)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_operation_of_cupys_touches_results(call, move):
    cupy = sys.modules["cupy"]
    cupy_on_host.computed.clear()
    results, desired = (x if isinstance(x, tuple) else (x,) for x in (call(move), call(np.asarray)))
    assert cupy_on_host.computed == []
    for result, expected in zip(results, desired, strict=True):
        assert type(result) is cupy.ndarray
        assert_same_bits(result.get(), expected)


def test_plans_tell_zero_from_minus_zero(move, monkeypatch):
    # Cached plans must tell them apart, although they are equal.
    planned = []

    def plan(array, number, card, address):
        planned.append(str(number))
        return Launch("kernel", (1, 1), (1, 1), bytes(OPERAND_BYTES))

    monkeypatch.setattr(engine, "_run", lambda launch: None)
    for number in (0.0, -0.0, 0.0):
        engine._run_planned(plan, (move(SAMPLES),), number)
    assert planned == ["0.0", "-0.0"]


def test_activations_tell_zero_from_minus_zero(move):
    samples, weight = -abs(SAMPLES), abs(WEIGHT)
    for slope in (0.0, -0.0, 0.0):
        leaky = ms.Activation("leaky_relu", negative_slope=slope)
        result = ms.affine(move(samples), move(weight), activation=leaky)
        assert_same_bits(result.get(), ms.affine(samples, weight, activation=leaky))
        assert np.signbit(result.get()).all() == (np.copysign(1, slope) > 0)


@pytest.mark.parametrize(
    ("dtype", "to"), [("f8", "f4"), ("f4", "f8"), ("f2", "f4"), ("f8", "f2"), ("i4", "f4")]
)
def test_casts_keep_subnormals(dtype, to, move):
    values = np.array([[1.5, -0.0, 3.0], [1e-39, 6e-8, 2.5 - 2**-30]])
    for array in (values.astype(dtype), values.astype(dtype).T, values.astype(dtype)[:0]):
        desired = array.astype(to)
        assert_same_bits(evaluation.cast(array, np.dtype(to)), desired)
        assert_same_bits(evaluation.cast(move(array), np.dtype(to)).get(), desired)


def test_the_stand_in_sees_what_a_gpu_would_flush(move):
    narrow, wide = move(WEIGHT), move(WEIGHT.astype("f8"))
    for flushes in (
        lambda: narrow + 1,
        lambda: wide.astype("f4"),
        lambda: wide.__setitem__(0, narrow[0]),
        lambda: narrow > 0,
        lambda: narrow.sum(),
    ):
        with pytest.raises(AssertionError, match="takes subnormals for zeros"):
            flushes()
    assert (wide + 1).get()[0, 0] == WEIGHT.astype("f8")[0, 0] + 1


def test_the_stand_in_sees_what_waits(move):
    array = move(WEIGHT.astype("f8"))
    for waits in (
        lambda: float(array[0, 0]),
        lambda: bool(array[0, 0] > 0),
        lambda: array[0, 0].item(),
        lambda: array[array > 0],
        lambda: array.__setitem__(array > 0, 0.0),
        lambda: array.nonzero(),
        lambda: max(array[0]),
    ):
        with pytest.raises(AssertionError, match="that waits for the GPU"):
            waits()


def test_sets_move_as_results_do(cupy_on_host, monkeypatch):
    moved = []
    monkeypatch.setattr(
        engine, "copy_from_other", lambda x: moved.append(x) or sys.modules["cupy"].asarray(x)
    )
    sets = ms.WeightSets(WEIGHT, BIAS).to("cupy")
    assert len(moved) == 2
    assert sets.to("cupy").weight is sets.to("cuda:0").weight is sets.weight
    with pytest.raises(ValueError, match="'cuda:1'; expected one of the GPUs here, 0 to 0"):
        sets.to("cuda:1")
    # An array on another device is copied to the requested one.
    monkeypatch.setattr(sys.modules["cupy"].cuda.runtime, "getDeviceCount", lambda: 2)
    assert sets.to("cuda:1").weight is not sets.weight
    assert_same_bits(sets.to("numpy").bias, BIAS)
