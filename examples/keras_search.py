"""A genetic search for the weights of a Keras model: from the model to N sets, and back.

    python examples/keras_search.py                        # some seconds
    python examples/keras_search.py --picture search.svg   # the losses of all generations

The model multiplies each feature by a weight and adds a bias. A genetic search wants the loss of
each of 10,000 sets of weights in each generation; `set_weights` and `predict` for each take
minutes. Here the model's weights become sets, all are judged in one call, and the winner goes back
into the model. The Keras backend is that of the environment variable KERAS_BACKEND.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import keras
import numpy as np

import multisubnet as ms

N_FEATURES, N_SAMPLES, N_SETS, N_PARENTS, N_GENERATIONS = 8, 200, 10_000, 200, 25


def new_model() -> keras.Model:
    """Return a model of one weight and one bias for each feature."""
    layer = keras.layers.EinsumDense("ab,b->ab", output_shape=N_FEATURES, bias_axes="b")
    model = keras.Sequential([keras.Input((N_FEATURES,)), layer])
    model.compile(loss="mae")
    return model


def children(parents: ms.WeightSets, rng: np.random.Generator, size: float) -> ms.WeightSets:
    """Return the parents, and sets of which each feature's subnetwork is some parent's, changed."""
    columns = np.arange(N_FEATURES)
    chosen = rng.integers(len(parents), size=(N_SETS - len(parents), N_FEATURES))
    genes = [
        array[chosen, columns] + size * rng.standard_normal(chosen.shape, np.float32)
        for array in (parents.weight, parents.bias)
    ]
    young = ms.WeightSets(*(gene.astype(np.float32) for gene in genes))
    return ms.WeightSets.concatenate([parents, young])


def write_picture(path: Path, losses: list[np.ndarray]) -> None:
    """Draw the losses of the parents of each generation, on a logarithmic scale."""
    width, height, gap = 480, 240, 40
    logs = np.log10(losses)
    low, high = logs.min(), logs.max()
    x = gap + np.linspace(0, width, len(logs))
    parts = [f'<rect x="{gap}" y="{gap}" width="{width}" height="{height}" fill="#f6f6f6"/>']
    for column, color in [(0, "#b03a2e"), (-1, "#3b6ea5")]:
        y = gap + height * (high - logs[:, column]) / (high - low)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        parts.append(f'<polyline fill="none" stroke="{color}" stroke-width="2" points="{points}"/>')
    title = f"mean absolute error, {10**high:.2g} to {10**low:.2g}: the best, and the last parent"
    parts.append(f'<text x="{gap}" y="{gap - 8}" font-size="13">{title}</text>')
    size = f"{width + 2 * gap} {height + 2 * gap}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}">'
    path.write_text("\n".join([head, *parts, "</svg>\n"]), encoding="utf-8")


def main() -> None:
    """Search, and put the winner into the model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--picture", type=Path, help="an .svg file for the losses")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(N_SAMPLES, N_FEATURES)).astype("float32")
    true_weight, true_bias = rng.normal(size=(2, N_FEATURES))
    noise = 0.01 * rng.normal(size=samples.shape)
    targets = (samples * true_weight + true_bias + noise).astype("float32")

    model = new_model()
    before = model.evaluate(samples, targets, verbose=0)
    parents = ms.WeightSets.from_models([model])
    losses, seconds, size = [], 0.0, 1.0
    for _ in range(N_GENERATIONS):
        sets = children(parents, rng, size)
        start = time.perf_counter()
        parents, found, index = sets.best(
            N_PARENTS, samples, targets, loss="absolute_error", return_index=True
        )
        seconds += time.perf_counter() - start
        losses.append(found)
        if index[0] == 0:  # no child is better than the best parent
            size /= 2
    each = seconds / (N_SETS * N_GENERATIONS)

    model.predict(samples, verbose=0)  # by which it is compiled
    start = time.perf_counter()
    model.predict(samples, verbose=0)
    one_predict = time.perf_counter() - start
    model.layers[-1].set_weights([parents.weight[0], parents.bias[0]])
    after = model.evaluate(samples, targets, verbose=0)
    print(f"{N_GENERATIONS} generations of {N_SETS:,} sets: {1e6 * each:.1f} us for each set")
    print(f"one predict of the model: {1e6 * one_predict:.0f} us")
    print(f"mean absolute error of the model: {before:.4f} before, {after:.4f} after")
    print(f"that of the winner among the sets: {losses[-1][0]:.4f}")
    if options.picture is not None:
        write_picture(options.picture, losses)
        print(f"losses: {options.picture}")


if __name__ == "__main__":
    main()
