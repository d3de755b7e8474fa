"""NumPy hands over to the CPU engine when the estimated costs say so; nothing is timed here."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from test_dispatch import run

import multisubnet as ms
from multisubnet._arithmetic.activation import Activation
from multisubnet._backends import numpy
from multisubnet._backends.numba import engine, handover, loading, mlp_engine, threads

pytest.importorskip("numba")

FLOAT32 = np.dtype("f4")
TANH = Activation("tanh")


@pytest.fixture
def prices(monkeypatch):
    """Nothing has been counted or loaded; round prices in nanoseconds."""
    monkeypatch.setattr(handover, "_spent", {})
    monkeypatch.setattr(handover, "_absent", set())
    monkeypatch.setattr(engine, "_evaluate", {})
    monkeypatch.setattr(mlp_engine, "prepared", set())
    monkeypatch.setattr(handover, "_is_loaded", lambda: False)
    monkeypatch.setattr(handover, "_LOADING", 5e5)
    monkeypatch.setattr(handover, "_FROM_DISK", 5e4)
    monkeypatch.setattr(handover, "_COMPILING", 1e6)
    return monkeypatch


def chosen(n_sets, activation=None):
    """Return the backend for float32 results of this size: 10,000 ns for 10 sets."""
    return handover.backend("affine", FLOAT32, (n_sets, 100, 10), activation)


def test_numpy_works_until_loading_would_have_cost_as_much(prices):
    assert {chosen(10) for _ in range(49)} == {numpy}
    assert chosen(10).NAME == "numba"


def test_all_kinds_of_work_pay_for_loading(prices):
    def selected():
        return handover.backend("affine_select", FLOAT32, (100, 100), None)

    assert {chosen(10) for _ in range(30)} == {numpy}
    assert {selected() for _ in range(19)} == {numpy}
    assert selected().NAME == "numba"


def test_activations_count(prices):
    passes = 1 + TANH.program(FLOAT32).cost // 2
    assert {chosen(10, TANH) for _ in range(50 // passes)} == {numpy}
    assert chosen(10, TANH).NAME == "numba"


def test_a_loaded_engine_reads_code_from_disk_early(prices):
    prices.setattr(handover, "_is_loaded", lambda: True)
    assert {chosen(10) for _ in range(4)} == {numpy}
    assert isinstance(chosen(10), handover._EngineOnDisk)


def test_code_that_is_not_on_disk_is_compiled_later(prices):
    prices.setattr(handover, "_is_loaded", lambda: True)
    handover._absent.add(("affine", "f", None))
    assert {chosen(10) for _ in range(99)} == {numpy}
    assert chosen(10) is engine


def test_a_large_request_does_not_wait(prices):
    assert chosen(1000) is engine


def test_small_calls_are_not_counted(prices):
    assert {chosen(1) for _ in range(1000)} == {numpy}
    assert not handover._spent


def test_calls_and_activations_of_networks_count(prices):
    """NumPy needs more time for activations than for the products of narrow networks."""
    layers = [np.ones((8, 3, 1, 4), "f4"), np.ones((8, 3, 4, 1), "f4")]
    spent = []
    for activation in ("relu", "tanh"):
        for n_samples in (1, 512):
            handover._spent.clear()
            ms.mlp(np.ones((n_samples, 3), "f4"), layers, activation=activation)
            spent += handover._spent.values()
    assert spent[0] > handover._PER_STEP
    assert 5 * spent[1] < spent[3]


def test_one_set_per_sample_costs_as_much_as_one_set(prices):
    samples, weight, index = np.ones((512, 30), "f4"), np.ones((200, 30), "f4"), [0] * 512
    layers = [np.ones((200, 30, 1, 2), "f4"), np.ones((200, 30, 2, 1), "f4")]
    ms.affine_select(samples, weight, None, index)
    ms.affine(samples, weight[:1])
    ms.mlp_select(samples, layers, index)
    ms.mlp(samples, [x[:1] for x in layers])
    select, affine, mlp_select, mlp = handover._spent.values()
    assert (select, mlp_select) == (affine, mlp)


def test_helpers_may_not_compile_either():
    found = []

    def work(number):
        time.sleep(0.01)  # so that another thread takes some
        found.append(loading.must_be_on_disk())

    pieces = [(i,) for i in range(16)]
    threads.run(work, pieces, 2)
    with loading.from_disk_only():
        threads.run(work, pieces, 2)
    assert found == [False] * 16 + [True] * 16
    assert not loading.must_be_on_disk()


FROM_DISK = """
import logging, sys, numpy as np, multisubnet as ms
from multisubnet._backends.numba import engine, handover
logging.basicConfig(stream=sys.stdout, format="%(message)s")
logging.getLogger("multisubnet").setLevel(logging.INFO)
handover._LOADING = handover._FROM_DISK = 0
samples, weight = np.ones((50, 100), "f4"), np.ones((3, 100), "f4")
layers = [np.ones((3, 1, 100, 2), "f4"), np.ones((3, 1, 2, 1), "f4")]
def evaluate():
    assert (ms.affine(samples, weight) == 1).all()
    assert (ms.mlp_mean_loss(samples, layers, np.zeros((50, 1))) == 40_000).all()
    has_affine = "affine" in {name for name, *_ in engine._evaluate}
    print(has_affine, handover._spent.keys() == handover._absent)
evaluate()
"""
COMPILED = """
with ms.use_backend("numba"):
    ms.affine(samples, weight)
evaluate()
"""


def test_only_code_on_disk_is_used_early(tmp_path):
    first = run(FROM_DISK + COMPILED, NUMBA_CACHE_DIR=str(tmp_path))
    assert first.startswith("False True\ncompiling affine")
    assert first.endswith(", once per installation\nTrue True")
    assert run(FROM_DISK, NUMBA_CACHE_DIR=str(tmp_path)) == "True False"


def test_the_guide_has_the_prices():
    guide = (Path(__file__).parents[1] / "docs" / "guide" / "backends.md").read_text("utf-8")
    prices = handover._LOADING, handover._FROM_DISK, handover._COMPILING
    found = re.findall(r"^\|.* \| about ([0-9.]+) s, ", guide, re.M)
    assert found == [f"{x / 1e9:g}" for x in prices]
