"""A hundred neural additive models, trained at once, and what they learned of each feature.

    python examples/nam_training.py             # half a minute, with PyTorch
    python examples/nam_training.py --quick     # few models and steps

A neural additive model has one small network per feature, here 1-16-16-1, and adds up their
outputs, so a curve per feature (its shape function) describes it completely. One model gives one
curve, and no idea of how certain it is. Here 100 models start from different weights and take each
step of Adam together: one call returns the losses and the gradients of all. If their curves
disagree, the table says little about that feature.

With PyTorch, one of the models is also trained alone, for comparison. Needs scikit-learn for its
table, and Matplotlib for the picture.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

import multisubnet as ms
from multisubnet import plot

SIZES = 1, 16, 16, 1
N_TEST = 169  # of 569 patients
LOSS = "binary_crossentropy_from_logits"
RATE = 0.01
SHOWN = 6  # features in the picture


def standardized_table() -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return samples and targets, to fit to and to test on, and the names of the features."""
    data = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(data.target))
    fitted, tested = order[N_TEST:], order[:N_TEST]
    x = (data.data - data.data[fitted].mean(0)) / data.data[fitted].std(0)
    x = np.clip(x, -3, 3).astype(np.float32)
    y = data.target[:, None].astype(np.float32)
    return [x[fitted], y[fitted]], [x[tested], y[tested]], data.feature_names


def random_layers(n_sets: int, n_features: int, seed: int = 1) -> list[np.ndarray]:
    """Return weights and biases, layer after layer, with the spread that He et al. give."""
    rng = np.random.default_rng(seed)
    arrays = []
    for before, after in itertools.pairwise(SIZES):
        weight = rng.normal(0, np.sqrt(2 / before), (n_sets, n_features, before, after))
        bias = rng.uniform(-0.5, 0.5, (n_sets, n_features, after))
        arrays += [weight.astype(np.float32), bias.astype(np.float32)]
    arrays[-2] *= np.float32(0.1)
    return arrays


def pairs(arrays: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the layers as `mlp` takes them."""
    return list(zip(arrays[:-1:2], arrays[1:-1:2], strict=True))


class Adam:
    """Adam (Kingma and Ba, 2015) on arrays that it changes."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays, self.steps = arrays, 0
        self.means = [np.zeros_like(x) for x in arrays]
        self.squares = [np.zeros_like(x) for x in arrays]

    def step(self, gradients: list[np.ndarray]) -> None:
        """Go one step down."""
        self.steps += 1
        rate = RATE * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for x, g, mean, square in zip(
            self.arrays, gradients, self.means, self.squares, strict=True
        ):
            mean += np.float32(0.1) * (g - mean)
            square += np.float32(0.001) * (g * g - square)
            x -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))


def train(arrays: list[np.ndarray], data: list[np.ndarray], n_steps: int) -> np.ndarray:
    """Train all sets of layers at once, and return the losses after each step."""
    x, y = data
    optimizer, losses = Adam(arrays), []
    for _ in range(n_steps):
        loss, grad_layers, grad_intercept = ms.mlp_mean_loss_and_grad(
            x, pairs(arrays), y, loss=LOSS, additive=True, intercept=arrays[-1]
        )
        optimizer.step([g for layer in grad_layers for g in layer] + [grad_intercept])
        losses.append(loss)
    return np.array(losses)


def train_in_torch(arrays: list[np.ndarray], data: list[np.ndarray], n_steps: int) -> float | None:
    """Train one set of layers with PyTorch, and return its loss; None if PyTorch is not there."""
    try:
        import torch
    except ImportError:
        return None
    x, y = map(torch.tensor, data)
    parameters = [torch.tensor(a[0]).requires_grad_() for a in arrays]
    optimizer = torch.optim.Adam(parameters, RATE)

    def loss() -> torch.Tensor:
        h = x.T[:, :, None]  # (features, samples, 1)
        for number in range(3):
            h = torch.baddbmm(parameters[2 * number + 1][:, None], h, parameters[2 * number])
            h = torch.relu(h) if number < 2 else h
        logits = h.sum(0) + parameters[-1]
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, y)

    for _ in range(n_steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    return float(loss().detach())


def write_picture(path: Path, sets: ms.WeightSets, x: np.ndarray, chosen: np.ndarray) -> None:
    """Draw the curves of some features: the median of the models, and a band of 90 % of them."""
    try:
        axes = plot.shape_functions(sets, x, networks=chosen)
    except ImportError:
        print("  no picture without Matplotlib: pip install matplotlib")
        return
    axes[0].figure.savefig(path)
    print(f"  wrote {path}: curves of the {len(chosen)} features that matter most")


def main() -> None:
    """Train, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few models and steps")
    parser.add_argument("--picture", type=Path, default="nam.png", help="a file (nam.png)")
    options = parser.parse_args()
    if "numba" in ms.available_backends():
        ms.set_backend("numba")  # from the first call on
    n_sets, n_steps = (10, 40) if options.quick else (100, 200)

    fitted, tested, names = standardized_table()
    n_features = fitted[0].shape[1]
    arrays = [*random_layers(n_sets, n_features), np.zeros((n_sets, 1), np.float32)]
    started = [a.copy() for a in arrays]
    train([a.copy() for a in arrays], fitted, 2)  # compiles, once per installation
    before = time.perf_counter()
    losses = train(arrays, fitted, n_steps)
    seconds = time.perf_counter() - before
    print(f"{n_sets} additive models of {n_features} networks 1-16-16-1, {n_steps} steps of Adam:")
    print(
        f"  {seconds:.1f} s, mean loss {losses[0].mean():.3f} before, {losses[-1].mean():.3f} after"
    )

    train_in_torch([a[:1] for a in started], fitted, 2)  # imports PyTorch
    before = time.perf_counter()
    alone = train_in_torch([a[:1] for a in started], fitted, n_steps)
    if alone is None:
        print("  no comparison without PyTorch")
    else:
        one_by_one = n_sets * (time.perf_counter() - before)
        print(f"  one by one in PyTorch: {one_by_one:.0f} s (one model timed, loss {alone:.3f})")

    sets = ms.WeightSets.from_layers(
        pairs(arrays), intercept=arrays[-1], additive=True, feature_names=map(str, names)
    )
    logits = sets.predict(tested[0])[..., 0]
    right = (logits > 0) == (tested[1][:, 0] > 0.5)
    together = ((logits.mean(axis=0) > 0) == (tested[1][:, 0] > 0.5)).mean()
    print(f"  accuracy on other patients: {right.mean():.3f} of members, {together:.3f} together")

    curves = ms.mlp(fitted[0], pairs(arrays))[..., 0]  # models, patients, features
    curves -= curves.mean(axis=1, keepdims=True)
    moved, spread = curves.mean(axis=0).std(axis=0), curves.std(axis=0).mean(axis=0)
    chosen = np.argsort(-moved)[:SHOWN]
    for feature in chosen:
        print(f"  {names[feature]}: moves the logit by {moved[feature]:.2f}", end="")
        print(f", models differ by {spread[feature]:.2f}")
    write_picture(options.picture, sets, fitted[0], chosen)


if __name__ == "__main__":
    main()
