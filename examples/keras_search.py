"""A genetic search for the weights of a Keras model: from the model to N sets, and back.

    python examples/keras_search.py     # a few seconds

The model multiplies each feature by a weight and adds a bias. A genetic search needs the losses of
10,000 sets of weights per generation, and a loop over `set_weights` and `predict` takes minutes.
Here the model's weights become sets, one call computes all losses, and the winner goes back into
the model. The environment variable KERAS_BACKEND chooses the backend of Keras. Needs Matplotlib
for the picture.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import keras
import numpy as np

import multisubnet as ms
from multisubnet import plot

N_FEATURES, N_SAMPLES, N_SETS, N_PARENTS, N_GENERATIONS = 8, 200, 10_000, 200, 25


def new_model() -> keras.Model:
    """Return a model of one weight and one bias for each feature."""
    layer = keras.layers.EinsumDense("ab,b->ab", output_shape=N_FEATURES, bias_axes="b")
    model = keras.Sequential([keras.Input((N_FEATURES,)), layer])
    model.compile(loss="mae")
    return model


def children(parents: ms.WeightSets, rng: np.random.Generator, size: float) -> ms.WeightSets:
    """Return the parents and their children: each subnetwork is a random parent's, plus noise."""
    columns = np.arange(N_FEATURES)
    chosen = rng.integers(len(parents), size=(N_SETS - len(parents), N_FEATURES))
    genes = [
        array[chosen, columns] + size * rng.standard_normal(chosen.shape, np.float32)
        for array in (parents.weight, parents.bias)
    ]
    young = ms.WeightSets(*(gene.astype(np.float32) for gene in genes))
    return ms.WeightSets.concatenate([parents, young])


def write_picture(path: Path, losses: list[np.ndarray]) -> None:
    """Draw the sorted losses of the parents of the first and the last generation."""
    try:
        axes = plot.losses(losses[0])
    except ImportError:
        print("no picture without Matplotlib: pip install matplotlib")
        return
    plot.losses(losses[-1], ax=axes)
    axes.legend(axes.lines[::2], ["generation 1", f"generation {len(losses)}"])
    axes.set(ylabel="mean absolute error")
    axes.figure.savefig(path)
    print(f"wrote {path}: the parents of the first and the last generation, by loss")


def main() -> None:
    """Search, and put the winner into the model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--picture", type=Path, default="search.png", help="a file (search.png)")
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

    model.predict(samples, verbose=0)  # compiles
    start = time.perf_counter()
    model.predict(samples, verbose=0)
    one_predict = time.perf_counter() - start
    model.layers[-1].set_weights([parents.weight[0], parents.bias[0]])
    after = model.evaluate(samples, targets, verbose=0)
    print(f"{N_GENERATIONS} generations of {N_SETS:,} sets: {1e6 * each:.1f} us for each set")
    print(f"one predict of the model: {1e6 * one_predict:.0f} us")
    print(f"mean absolute error of the model: {before:.4f} before, {after:.4f} after")
    print(f"loss of the winner among the sets: {losses[-1][0]:.4f}")
    write_picture(options.picture, losses)


if __name__ == "__main__":
    main()
