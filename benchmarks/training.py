"""Time a step of training of additive networks, here and in PyTorch.

    python benchmarks/training.py [--rounds 6]

A hundred sets of thirty networks 1-16-16-1, 569 samples in each step, binary crossentropy, Adam,
float32. All start from the same weights and take turns, four steps each; medians count. The losses
after as many steps stand beside them.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import multisubnet as ms
from multisubnet import torch as mst

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import nam_training

N_SETS, N_SAMPLES, N_FEATURES = 100, 569, 30
Step, Values = Callable[[], float], Callable[[], torch.Tensor]


def in_numpy(arrays: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> Step:
    """Return a step by `mlp_mean_loss_and_grad`, and Adam in NumPy."""
    arrays = [a.copy() for a in arrays]
    optimizer = nam_training.Adam(arrays)
    layers, kind = nam_training.pairs(arrays), {"additive": True, "intercept": arrays[-1]}

    def step() -> float:
        loss, of_layers, of_intercept = ms.mlp_mean_loss_and_grad(
            x, layers, y, loss=nam_training.LOSS, **kind
        )
        optimizer.step([*itertools.chain(*of_layers), of_intercept])
        return float(loss.mean())

    return step


def stacked(arrays: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> Step:
    """Return a step of `StackedMLP`, with a loss and an optimizer of PyTorch."""
    sets = ms.WeightSets.from_layers(
        nam_training.pairs(arrays), activation="relu", additive=True, intercept=arrays[-1]
    )
    model = mst.StackedMLP.from_weight_sets(sets, set_axis=0)
    samples = torch.from_numpy(x)
    return _in_torch(lambda: model(samples)[:, :, 0], y, model.parameters())


def plain(arrays: list[np.ndarray], x: np.ndarray, y: np.ndarray, compiles: bool) -> Step:
    """Return a step of the same in PyTorch: products of batches of matrices."""
    n = N_SETS * N_FEATURES
    flat = [a.reshape(n, -1, a.shape[-1]) for a in arrays[:-1]]
    *layers, intercept = [torch.tensor(a).requires_grad_() for a in [*flat, arrays[-1]]]
    samples = torch.from_numpy(x).T[:, :, None].repeat(N_SETS, 1, 1)

    def values() -> torch.Tensor:
        h = samples
        for i in range(0, len(layers), 2):
            h = torch.baddbmm(layers[i + 1], h if i == 0 else torch.relu(h), layers[i])
        return h.reshape(N_SETS, N_FEATURES, N_SAMPLES).sum(1) + intercept

    return _in_torch(values, y, [*layers, intercept], compiles)


def _in_torch(values: Values, y: np.ndarray, parameters: Any, compiles: bool = False) -> Step:
    optimizer = torch.optim.Adam(parameters, nam_training.RATE, fused=True)
    targets = torch.from_numpy(y)[:, 0].expand(N_SETS, N_SAMPLES)
    loss = torch.nn.BCEWithLogitsLoss(reduction="sum")

    def judge() -> torch.Tensor:
        return loss(values(), targets) / N_SAMPLES

    judge = torch.compile(judge, dynamic=False) if compiles else judge

    def step() -> float:
        optimizer.zero_grad()
        total = judge()
        total.backward()
        optimizer.step()
        return total.item() / N_SETS

    return step


def main() -> None:
    """Take steps in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    n_rounds = parser.parse_args().rounds
    ms.set_backend("numba")
    x, y = np.random.default_rng(0).normal(size=(2, N_SAMPLES, N_FEATURES)).astype("f4")
    y = (y[:, :1] > 0).astype("f4")
    arrays = [*nam_training.random_layers(N_SETS, N_FEATURES), np.zeros((N_SETS, 1), "f4")]
    steps = {
        "mlp_mean_loss_and_grad, Adam in NumPy": in_numpy(arrays, x, y),
        "multisubnet.torch.StackedMLP": stacked(arrays, x, y),
        "torch.baddbmm, compiled": plain(arrays, x, y, True),
        "torch.baddbmm": plain(arrays, x, y, False),
    }
    losses: dict[str, list[float]] = {name: [step(), step()] for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _, name, _ in itertools.product(range(n_rounds), steps, range(4)):
        begin = time.perf_counter()
        losses[name].append(steps[name]())
        times[name].append(time.perf_counter() - begin)
    for name, seconds in times.items():
        print(f"{name:38}{1e3 * statistics.median(seconds):7.1f} ms, loss {losses[name][-1]:.5f}")


if __name__ == "__main__":
    main()
