"""Fifty MLPs of scikit-learn as one ensemble: mean and spread of their predictions.

    python examples/mlp_ensemble.py             # about ten seconds, most of it training
    python examples/mlp_ensemble.py --quick     # ten members

Each member is fitted to a bootstrap sample of noisy points on a curve, with a gap in the middle.
`WeightSets.from_models` takes the fitted models. One call returns the predictions of all of them,
and `predict_stats` their mean and spread without storing the predictions.

Needs scikit-learn, and Matplotlib for the picture.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

import multisubnet as ms
from multisubnet import plot

warnings.filterwarnings("ignore", category=ConvergenceWarning)


def fitted(x: np.ndarray, y: np.ndarray, seed: int) -> MLPRegressor:
    """Return a network 1-16-1, fitted to a bootstrap sample."""
    chosen = np.random.default_rng(seed).integers(len(x), size=len(x))
    model = MLPRegressor(
        hidden_layer_sizes=(16,),
        activation="tanh",
        solver="lbfgs",
        max_iter=100,
        random_state=seed,
    )
    return model.fit(x[chosen], y[chosen])


def write_picture(path: Path, ensemble: ms.WeightSets, x: np.ndarray, y: np.ndarray) -> None:
    """Draw the points, the median of the members, and a band of 90 % of them."""
    try:
        (axes,) = plot.shape_functions(ensemble, x, names=["x"])
    except ImportError:
        print("no picture without Matplotlib: pip install matplotlib")
        return
    axes.plot(x, y, ".", markersize=3)
    axes.figure.savefig(path)
    print(f"wrote {path}: the points, the median of the members, and a band of 90 % of them")


def timed(predict: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """Return predictions, and the shortest time that they took."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        values = predict()
        seconds.append(time.perf_counter() - start)
    return values, min(seconds)


def main() -> None:
    """Fit, predict with all members, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="ten members")
    parser.add_argument(
        "--picture", type=Path, default="ensemble.png", help="a file (ensemble.png)"
    )
    options = parser.parse_args()
    if "numba" in ms.available_backends():
        ms.set_backend("numba")  # from the first call on
    n_members = 10 if options.quick else 50

    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-3, -0.5, 60), rng.uniform(1, 3, 60)])[:, None]
    y = np.sin(2 * x[:, 0]) + 0.3 * x[:, 0] + 0.1 * rng.normal(size=len(x))
    models = [fitted(x, y, seed) for seed in range(n_members)]
    ensemble = ms.WeightSets.from_models(models)
    print(ensemble)

    grid = np.linspace(-3, 3, 201)[:, None]
    values, together = timed(lambda: ensemble.predict(grid)[:, :, 0, 0])
    each, one_by_one = timed(lambda: np.array([model.predict(grid) for model in models]))
    print(
        f"predictions: {1e3 * together:.2f} ms in one call, {1e3 * one_by_one:.1f} ms one by one, "
        f"with differences up to {abs(values - each).max():.1e}"
    )
    stats = ensemble.predict_stats(grid)
    std = stats.std[:, 0, 0]
    in_gap = (grid[:, 0] > -0.3) & (grid[:, 0] < 0.8)
    beside = (abs(grid[:, 0]) < 2.8) & ((grid[:, 0] < -0.6) | (grid[:, 0] > 1.1))
    print(f"spread: {std[in_gap].mean():.3f} in the gap, {std[beside].mean():.3f} beside it")
    write_picture(options.picture, ensemble, x, y)


if __name__ == "__main__":
    main()
