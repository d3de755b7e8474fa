"""Time a step of training of additive networks, here and in PyTorch.

    python benchmarks/training.py [--rounds 6] [--write benchmarks/results/training-cpu.json]

A hundred sets of thirty networks 1-16-16-1, 569 samples in each step, binary crossentropy, Adam,
float32. All start from the same weights, and their first losses are compared with those of float64
in NumPy. They take turns, four steps each; medians count.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import report
import torch

import multisubnet as ms
from multisubnet import torch as mst

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import nam_training

N_SETS, N_SAMPLES, N_FEATURES = 100, 569, 30


def in_numpy(arrays: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """Take steps by `mlp_mean_loss_and_grad`, and Adam in NumPy; yield losses before each."""
    arrays = [a.copy() for a in arrays]
    optimizer, layers = nam_training.Adam(arrays), nam_training.pairs(arrays)
    while True:
        loss, of_layers, of_intercept = ms.mlp_mean_loss_and_grad(
            x, layers, y, loss=nam_training.LOSS, additive=True, intercept=arrays[-1]
        )
        optimizer.step([*itertools.chain(*of_layers), of_intercept])
        yield float(loss.mean())


def stacked(arrays: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """Take steps of `StackedMLP`, with a loss and an optimizer of PyTorch."""
    sets = ms.WeightSets.from_layers(
        nam_training.pairs(arrays), activation="relu", additive=True, intercept=arrays[-1]
    )
    model = mst.StackedMLP.from_weight_sets(sets, set_axis=0)
    samples = torch.from_numpy(x)
    return _in_torch(lambda: model(samples)[:, :, 0], y, model.parameters())


def batched(
    arrays: list[np.ndarray], x: np.ndarray, y: np.ndarray, compiles: bool
) -> Iterator[float]:
    """Take steps of the same in PyTorch: products of batches of matrices."""
    n = N_SETS * N_FEATURES
    flat = [a.reshape(n, -1, a.shape[-1]) for a in arrays[:-1]]
    *layers, intercept = [torch.tensor(a).requires_grad_() for a in [*flat, arrays[-1]]]
    samples = torch.from_numpy(x).T[:, :, None].repeat(N_SETS, 1, 1)

    def values() -> torch.Tensor:
        h = samples
        for i in range(0, len(layers), 2):
            h = torch.baddbmm(layers[i + 1], torch.relu(h) if i else h, layers[i])
        return h.reshape(N_SETS, N_FEATURES, N_SAMPLES).sum(1) + intercept

    return _in_torch(values, y, [*layers, intercept], compiles)


def _in_torch(
    values: Callable[[], torch.Tensor], y: np.ndarray, parameters: Any, compiles: bool = False
) -> Iterator[float]:
    optimizer = torch.optim.Adam(parameters, nam_training.RATE, fused=True)
    targets = torch.from_numpy(y)[:, 0].expand(N_SETS, N_SAMPLES)
    loss = torch.nn.BCEWithLogitsLoss(reduction="sum")

    def mean_loss() -> torch.Tensor:
        return loss(values(), targets) / N_SAMPLES

    function = torch.compile(mean_loss, dynamic=False) if compiles else mean_loss
    while True:
        optimizer.zero_grad()
        total = function()
        total.backward()
        optimizer.step()
        yield total.item() / N_SETS


def main() -> None:
    """Take steps in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--write", type=Path, help="a .json file for the medians")
    options = parser.parse_args()
    x, y = np.random.default_rng(0).normal(size=(2, N_SAMPLES, N_FEATURES)).astype("f4")
    y = (y[:, :1] > 0).astype("f4")
    arrays = [*nam_training.random_layers(N_SETS, N_FEATURES), np.zeros((N_SETS, 1), "f4")]
    with ms.use_backend("numpy"):
        reference = in_numpy([a.astype("f8") for a in arrays], x.astype("f8"), y.astype("f8"))
        expected = [next(reference), next(reference)]
    ms.set_backend("numba")
    trainings = {
        "mlp_mean_loss_and_grad, Adam in NumPy": in_numpy(arrays, x, y),
        "multisubnet.torch.StackedMLP": stacked(arrays, x, y),
        "torch.baddbmm, compiled": batched(arrays, x, y, True),
        "torch.baddbmm": batched(arrays, x, y, False),
    }
    for training in trainings.values():
        np.testing.assert_allclose([next(training), next(training)], expected, rtol=1e-4)
    times: dict[str, list[float]] = {name: [] for name in trainings}
    for _, name, _ in itertools.product(range(options.rounds), trainings, range(4)):
        begin = time.perf_counter()
        next(trainings[name])
        times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in medians.items():
        loss = next(trainings[name])
        print(f"{name:38}{1e3 * seconds:7.1f} ms, then loss {loss:.5f}")
    if options.write:
        content = report.environment() | {"date": datetime.date.today().isoformat()}
        options.write.write_text(json.dumps(content | {"seconds": medians}, indent=1) + "\n")


if __name__ == "__main__":
    main()
