"""An ensemble of additive models, fitted to a real table with NumPy alone.

    python examples/nam_ensemble.py             # a few seconds
    python examples/nam_ensemble.py --quick     # 8 members, 60 steps each

The model has a tiny subnetwork, tanh(weight * x + bias), for each of the ten features of the
diabetes table, and predicts the progression of the disease after a year from their sum. Each
member of the ensemble is fitted to its own bootstrap sample: a random search finds the start of
each subnetwork, then gradient steps fit the sum.

Needs scikit-learn for its table, and Matplotlib for the picture.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes

import multisubnet as ms
from multisubnet import plot

ACTIVATION = "tanh"
N_TEST = 142  # of 442 patients


class Table:
    """Standardized samples and targets, to fit to and to test on."""

    def __init__(self) -> None:
        data = load_diabetes(scaled=False)
        order = np.random.default_rng(0).permutation(len(data.target))
        fitted = order[N_TEST:]
        self.names = data.feature_names
        self.samples, self.test_samples = self._split(data.data, order, fitted)
        self.unit = data.target[fitted].std()
        self.targets, self.test_targets = self._split(data.target, order, fitted)

    def _split(self, array: np.ndarray, order: np.ndarray, fitted: np.ndarray) -> list[np.ndarray]:
        """Return the fitted and the tested part, in units of the former."""
        scaled = (array - array[fitted].mean(0)) / array[fitted].std(0)
        return [scaled[part].astype(np.float32) for part in (fitted, order[:N_TEST])]

    def error(self, predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the root mean square error, in the table's units."""
        return self.unit * np.sqrt(((predictions - targets) ** 2).mean(axis=-1))


def start(
    table: Table, counts: np.ndarray, n_random: int, rng: np.random.Generator
) -> ms.WeightSets:
    """Return the best random subnetwork for each feature: one set."""
    n_features = len(table.names)
    shape = n_random, n_features
    random = ms.WeightSets(
        rng.standard_normal(shape, dtype=np.float32),
        rng.standard_normal(shape, dtype=np.float32),
        activation=ACTIVATION,
    )
    share = table.targets / n_features  # of each subnetwork
    best, _ = random.best(1, table.samples, share, sample_weight=counts, per_feature=True)
    return best


def gradient(
    table: Table, weight: np.ndarray, bias: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of a member's loss, the mean square error of the sum over features.

    If the target of each subnetwork is the target minus the outputs of the others, its error is the
    error of the sum, and so is its gradient.
    """
    parts = ms.affine(table.samples, weight, bias, activation=ACTIVATION)[0]
    left_over = (table.targets - parts.sum(axis=1))[:, None] + parts
    _, *gradients = ms.mean_loss_and_grad(
        *(table.samples, weight, bias, left_over),
        activation=ACTIVATION,
        sample_weight=counts,
        per_feature=True,
    )
    return tuple(gradients)


def fit(table: Table, n_random: int, n_steps: int, rng: np.random.Generator) -> ms.WeightSets:
    """Return one member, fitted to a bootstrap sample by Adam (Kingma and Ba, 2015)."""
    n_samples = len(table.samples)
    counts = rng.multinomial(n_samples, np.full(n_samples, 1 / n_samples)).astype(np.float32)
    first = start(table, counts, n_random, rng)
    parameters = np.stack([first.weight, first.bias])
    mean, square = np.zeros_like(parameters), np.zeros_like(parameters)
    for step in range(1, n_steps + 1):
        slope = np.stack(gradient(table, *parameters, counts))
        mean += 0.1 * (slope - mean)
        square += 0.001 * (slope * slope - square)
        unbiased = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        parameters -= 0.02 * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    return ms.WeightSets(*parameters, activation=ACTIVATION)


def write_picture(path: Path, members: ms.WeightSets, table: Table) -> None:
    """Draw the curve of each feature: the median of the members, and a band of 90 % of them."""
    try:
        axes = plot.shape_functions(members, table.samples, names=table.names, center=True)
    except ImportError:
        print("no picture without Matplotlib: pip install matplotlib")
        return
    axes[0].figure.savefig(path)
    print(f"wrote {path}: the curve of each feature, with a band of 90 % of the members")


def main() -> None:
    """Fit, test, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=24, help="of the ensemble (24)")
    parser.add_argument("--quick", action="store_true", help="8 members, 60 steps each")
    parser.add_argument("--picture", type=Path, default="nam_ensemble.png", help="a file")
    arguments = parser.parse_args()
    n_members, n_steps = (8, 60) if arguments.quick else (arguments.members, 120)

    table = Table()
    rng = np.random.default_rng(1)
    began = time.perf_counter()
    members = ms.WeightSets.concatenate([fit(table, 500, n_steps, rng) for _ in range(n_members)])
    print(f"{n_members} members fitted in {time.perf_counter() - began:.1f} s")

    alone = members.predict(table.test_samples).sum(axis=2)  # (members, samples)
    errors = table.error(alone, table.test_targets)
    fitted = table.error(members.predict(table.samples).sum(axis=2), table.targets)
    mean, spread = ms.affine_stats(
        table.test_samples, members.weight, members.bias, activation=ACTIVATION
    )
    together = table.error(mean.sum(axis=1), table.test_targets)
    print(f"Root mean square error on {N_TEST} other patients:")
    nothing = table.error(np.zeros(N_TEST), table.test_targets)
    print(f"  {nothing:.1f} for always predicting the mean of the fitted patients")
    print(f"  {errors.mean():.1f} for a member, on average")
    print(f"  {errors[fitted.argmin()]:.1f} for the member with the least error on fitted patients")
    print(f"  {errors.min():.1f} for the best member, known only after this test")
    print(f"  {together:.1f} for the mean of the ensemble")

    print(
        "How much each feature moves the sum, and how much members disagree about it, in standard"
    )
    print("deviations of the target:")
    moved = mean.std(axis=0)
    for f in np.argsort(-moved):
        print(f"  {table.names[f]:>4}: {moved[f]:.2f}, spread {spread[:, f].mean():.2f}")
    unsure = alone.std(axis=0)
    missed = np.abs(mean.sum(axis=1) - table.test_targets)
    surest = np.argsort(unsure)
    half = len(surest) // 2
    sure, doubtful = (table.unit * missed[part].mean() for part in (surest[:half], surest[half:]))
    print(f"Mean absolute error if members agree: {sure:.1f}; if they disagree: {doubtful:.1f}")
    write_picture(arguments.picture, members, table)


if __name__ == "__main__":
    main()
