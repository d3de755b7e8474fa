"""Fifty MLPs of scikit-learn as one ensemble: mean and spread of what they predict.

    python examples/mlp_ensemble.py                        # some ten seconds, most of it training
    python examples/mlp_ensemble.py --quick                # ten members
    python examples/mlp_ensemble.py --picture ensemble.svg

Each member is fitted to a bootstrap sample of noisy points of a curve, with a gap in the middle.
`WeightSets.from_models` takes the fitted models; one call gives the predictions of all, and
`predict_stats` their mean and spread without keeping any.

Needs scikit-learn.
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


def write_picture(
    path: Path, grid: np.ndarray, mean: np.ndarray, std: np.ndarray, data: list[np.ndarray]
) -> None:
    """Draw the points, and the mean with two spreads around it."""
    width, height, gap = 480, 240, 20
    x, y = data

    def place(a: np.ndarray, b: np.ndarray) -> list[str]:
        left = gap + (a + 3) / 6 * width
        top = gap + (2.5 - np.clip(b, -2.5, 2.5)) / 5 * height
        return [f"{i:.1f},{j:.1f}" for i, j in zip(left, top, strict=True)]

    band = place(grid, mean + 2 * std) + place(grid, mean - 2 * std)[::-1]
    parts = [f'<polygon fill="#3b6ea5" fill-opacity="0.25" points="{" ".join(band)}"/>']
    line = " ".join(place(grid, mean))
    parts.append(f'<polyline fill="none" stroke="#3b6ea5" stroke-width="2" points="{line}"/>')
    for point in place(x, y):
        left, top = point.split(",")
        parts.append(f'<circle cx="{left}" cy="{top}" r="2" fill="#b03a2e"/>')
    size = f"{width + 2 * gap} {height + 2 * gap}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}">'
    path.write_text("\n".join([head, *parts, "</svg>\n"]), encoding="utf-8")


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
    parser.add_argument("--picture", type=Path, help="an .svg file for mean and spread")
    options = parser.parse_args()
    if "numba" in ms.available_backends():
        ms.set_backend("numba")  # at once, and not when NumPy has done enough
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
        f"at most {abs(values - each).max():.1e} apart"
    )
    stats = ensemble.predict_stats(grid)
    mean, std = stats.mean[:, 0, 0], stats.std[:, 0, 0]
    in_gap = (grid[:, 0] > -0.3) & (grid[:, 0] < 0.8)
    beside = (abs(grid[:, 0]) < 2.8) & ((grid[:, 0] < -0.6) | (grid[:, 0] > 1.1))
    print(f"spread: {std[in_gap].mean():.3f} in the gap, {std[beside].mean():.3f} beside it")
    if options.picture is not None:
        write_picture(options.picture, grid[:, 0], mean, std, [x[:, 0], y])
        print(f"mean and spread: {options.picture}")


if __name__ == "__main__":
    main()
