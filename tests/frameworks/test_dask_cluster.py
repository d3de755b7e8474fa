"""A cluster of two worker processes, one of which dies: the bits stay the same."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
from test_losses import assert_all_same_bits, operands_of

import multisubnet as ms

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

SIZE = 32, 28_000, 8  # N, B, F: tasks of a tenth of a second
TANH = {"activation": "tanh"}
OPTIONS = {"loss": "log_cosh", **TANH}


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def done(dask_scheduler):
    """Return how many chunks have losses, and how many have gradients of `affine_vjp`, so far."""
    done = [str(x.key) for x in dask_scheduler.tasks.values() if x.state == "memory"]
    return [sum(name in key for key in done) for name in ("losses", "cotangents_of_parameters-")]


def test_a_worker_that_dies_changes_nothing(client):
    def held_back(block, block_id):
        # The last samples appear only when a worker is dead; until then nothing can finish.
        if block_id[0] == 6:
            distributed.Event("worker is gone").wait()
        return block

    (samples, weight, bias, targets), factors = operands_of(*SIZE, "float32")
    layers = weight[:, :, None, None] * np.ones(4, "f4"), np.ones((1, 8, 4, 1), "f4")
    lazy = da.from_array(samples, (4096, 5)).map_blocks(held_back, dtype="f4", meta=samples[:0])
    with ms.use_backend("numpy"):
        desired = ms.mean_loss_and_grad(
            samples, weight, bias, targets, sample_weight=factors, **OPTIONS
        )
        networks = ms.mlp_mean_loss_and_grad(samples, layers, targets)
        desired += networks.loss, networks.grad_layers[0][0]
        cotangent = samples[None, :, :, None] * np.ones((32, 1, 1, 1), "f4")
        pulled = ms.mlp_vjp(samples, layers, cotangent)
        desired += pulled.grad_samples, pulled.grad_layers[1][0]
        desired += ms.affine_vjp(samples, weight, bias, cotangent[..., 0], **TANH)
        index = np.arange(len(samples)) % len(weight)
        desired += (ms.affine_select(samples, weight, bias, index),)
        results = ms.mean_loss_and_grad(
            lazy, da.from_array(weight, (16, 8)), bias, targets, sample_weight=factors, **OPTIONS
        )
        networks = ms.mlp_mean_loss_and_grad(lazy, layers, targets)
        results += networks.loss, networks.grad_layers[0][0]
        cotangent = lazy[None, :, :, None] * np.ones((32, 1, 1, 1), "f4")
        pulled = ms.mlp_vjp(lazy, layers, cotangent)
        results += pulled.grad_samples, pulled.grad_layers[1][0]
        some = da.from_array(weight, (16, 8))
        results += ms.affine_vjp(lazy, some, bias, cotangent[..., 0], **TANH)
        results += (ms.affine_select(lazy, some, bias, index),)
    pids = client.run(os.getpid)
    futures = client.compute(list(results))
    while min(client.run_on_scheduler(done)) < 5:
        time.sleep(0.01)
    os.kill(next(iter(pids.values())), signal.SIGKILL)
    assert not any(future.done() for future in futures)
    distributed.Event("worker is gone").set()
    assert_all_same_bits(client.gather(futures), desired)
    client.wait_for_workers(2, timeout=60)
    assert set(client.run(os.getpid).values()) != set(pids.values())


def test_all_functions_on_a_cluster(client):
    (samples, weight, bias, targets), _ = operands_of(9, 9000, 5)
    lazy, index = da.from_array(samples, 3000), np.arange(9000) % 9
    layers = [weight[:, :, None, None]]
    pairs = [
        (ms.affine(lazy[:100], weight, bias), ms.affine(samples[:100], weight, bias)),
        (
            ms.affine_select(lazy, weight, bias, index),
            ms.affine_select(samples, weight, bias, index),
        ),
        (ms.mean_loss(lazy, weight, bias, targets), ms.mean_loss(samples, weight, bias, targets)),
        (ms.affine_stats(lazy, weight)[1], ms.affine_stats(samples, weight)[1]),
        (ms.mlp_select(lazy, layers, index), ms.mlp_select(samples, layers, index)),
        (ms.mlp_stats(lazy[:50], layers)[1], ms.mlp_stats(samples[:50], layers)[1]),
    ]
    futures = client.compute([lazy for lazy, _ in pairs])
    assert_all_same_bits(client.gather(futures), [desired for _, desired in pairs])
    assert not np.isnan(futures[2].result()).any()
