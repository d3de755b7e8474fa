"""A first look: one call for all sets compared with a loop over sets, and a search for the best.

Each line is printed at once, even into a pipe.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import itertools
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from multisubnet._backends.choice import use_backend, why_unavailable
from multisubnet._cli.compiling import announced
from multisubnet._functions.affine import affine
from multisubnet._functions.mlp import mlp
from multisubnet._functions.mlp_mean_loss import mlp_mean_loss
from multisubnet._sets.weight_sets import WeightSets

PICTURE = "multisubnet-demo.png"
_LOOP_SECONDS = 3.0  # a loop is measured for this long, and the rest extrapolated

print = functools.partial(print, flush=True)
Layers = list[tuple[np.ndarray, np.ndarray]]


class _Table(NamedTuple):
    """Standardized samples and labels of 0 and 1."""

    name: str
    samples: np.ndarray
    diagnoses: np.ndarray
    feature_names: list[str] | None = None


class _Loop(NamedTuple):
    """The usual way: a function that predicts with one set, given its number."""

    name: str
    predict: Callable[[int], np.ndarray]


def demo() -> None:
    """Run the comparison and the search, and draw the plot; see the module."""
    print("Many sets of weights of one small model: a loop over sets, and one call\n")
    table = _table()
    n_samples, n_features = table.samples.shape
    rng = np.random.default_rng(0)

    def draw(n_sets: int, *widths: int) -> Layers:
        """Return random layers of one network per feature."""
        sizes = itertools.pairwise((1, *widths))
        return [
            (
                rng.normal(0, ins**-0.5, (n_sets, n_features, ins, outs)).astype("f4"),
                rng.normal(0, 0.5, (n_sets, n_features, outs)).astype("f4"),
            )
            for ins, outs in sizes
        ]

    print(f"{table.name}: {n_samples} samples of {n_features} features\n")
    # Use the engine from the first call; by default it is loaded only when it pays off.
    with use_backend("numba" if why_unavailable()["numba"] is None else None):
        _compare_and_search(table, draw)
    _print_backends()


def _compare_and_search(table: _Table, draw: Callable[..., Layers]) -> None:
    samples, diagnoses = table.samples, table.diagnoses
    n_features = samples.shape[1]
    layers = draw(1000, 1)
    weight, bias = (array.reshape(1000, n_features) for array in layers[0])
    print("1,000 sets of one weight and one bias per feature")
    _compare(samples, layers, "affine", lambda: affine(samples, weight, bias)[..., None])
    # NumPy alone is many times slower; fewer sets keep the demo within a minute.
    n_sets, n_searched = (1000, 10_000) if why_unavailable()["numba"] is None else (200, 2000)
    layers = draw(n_sets, 16, 1)
    print(
        f"\n{n_sets:,} sets of small networks, one per feature: 1 input, 16 hidden units, 1 output"
    )
    _compare(samples, layers, "mlp", lambda: mlp(samples, layers))

    layers = draw(n_searched, 4, 1)
    print(
        f"\nThe best of {n_searched:,} random additive models, by the cross-entropy of the labels"
    )
    options: dict[str, Any] = {"loss": "binary_crossentropy_from_logits", "additive": True}
    two_sets = [(weight[:2], bias[:2]) for weight, bias in layers]
    with _announced():
        mlp_mean_loss(samples, two_sets, diagnoses, **options)
    start = time.perf_counter()
    losses = mlp_mean_loss(samples, layers, diagnoses, **options)
    seconds = time.perf_counter() - start
    best = int(losses.argmin())
    sets = WeightSets.from_layers(layers, additive=True, feature_names=table.feature_names)
    right = np.mean((sets[best].predict(samples)[0, :, 0] > 0) == diagnoses)
    print(
        f"  all losses in {_text(seconds)}; the lowest is {losses[best]:.3f}, of set {best}, which "
        f"classifies {right:.0%} of the samples correctly"
    )
    print(f"  {_draw(sets, losses, samples)}\n")


def _table() -> _Table:
    """Return the breast-cancer table of scikit-learn, or random numbers without scikit-learn."""
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError:
        rng = np.random.default_rng(1)
        samples = rng.normal(size=(569, 30)).astype("f4")
        return _Table("Random numbers", samples, (samples.sum(axis=1) > 0).astype("f4"))
    data = load_breast_cancer()
    samples = (data.data - data.data.mean(0)) / data.data.std(0)
    return _Table(
        "The breast-cancer table",
        samples.astype("f4"),
        data.target.astype("f4"),
        [str(name) for name in data.feature_names],
    )


def _compare(
    samples: np.ndarray, layers: Layers, function: str, at_once: Callable[[], np.ndarray]
) -> None:
    """Time a loop over sets and one call, and check that they agree."""
    loop = _loop(samples, layers)
    n_sets = len(layers[0][0])
    loop.predict(0)
    values: list[np.ndarray] = []
    start = time.perf_counter()
    while len(values) < n_sets and time.perf_counter() - start < _LOOP_SECONDS:
        values.append(loop.predict(len(values)))
    looped = (time.perf_counter() - start) * n_sets / len(values)
    measured = "" if len(values) == n_sets else f"   ({len(values)} sets measured)"

    with _announced():
        together = at_once()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        at_once()
        times.append(time.perf_counter() - start)
    once = min(times)
    np.testing.assert_allclose(
        np.reshape(values, together[: len(values)].shape),
        together[: len(values)],
        rtol=1e-3,
        atol=1e-4,
    )
    print(f"  {loop.name:<34}{_text(looped):>10}{measured}")
    print(f"  {'one call of multisubnet.' + function:<34}{_text(once):>10}", end="")
    ratio = looped / once
    if ratio < 1:
        without = ", without Numba" if why_unavailable()["numba"] is not None else ""
        print(f"   {1 / ratio:.1f} times as long{without}")
    else:
        print(f"   {ratio:,.0f} times as fast" if ratio >= 10 else f"   {ratio:.1f} times as fast")


def _announced() -> contextlib.AbstractContextManager[None]:
    """Print a message if a call compiles; such calls are not timed."""
    return announced(lambda text: print(f"  ({text})"))


def _loop(samples: np.ndarray, layers: Layers) -> _Loop:
    """Return the usual loop, in Keras or PyTorch if installed, else in NumPy."""
    for make in (_keras_loop, _torch_loop):
        try:
            return make(samples, layers)
        except ImportError:
            pass

    def predict(n: int) -> np.ndarray:
        h = samples[:, :, None]
        for i, (weight, bias) in enumerate(layers):
            h = np.maximum(h, 0) if i else h
            h = np.einsum("bsi,sio->bso", h, weight[n]) + bias[n]
        return h

    return _Loop("a loop over sets in NumPy", predict)


def _keras_loop(samples: np.ndarray, layers: Layers) -> _Loop:
    if "KERAS_BACKEND" not in os.environ:
        backends = [name for name in ("tensorflow", "torch", "jax") if _is_installed(name)]
        if not backends:
            raise ImportError("Keras has no backend")
        os.environ["KERAS_BACKEND"] = backends[0]
    import keras

    n_features = samples.shape[1]
    model = keras.Sequential([keras.Input((n_features,)), keras.layers.Reshape((n_features, 1))])
    for i, (weight, _) in enumerate(layers):
        activation = None if i == len(layers) - 1 else "relu"
        shape = n_features, weight.shape[-1]
        model.add(
            keras.layers.EinsumDense("bsi,sio->bso", shape, activation=activation, bias_axes="so")
        )

    def predict(n: int) -> np.ndarray:
        model.set_weights([array[n] for layer in layers for array in layer])
        values: np.ndarray = model.predict(samples, batch_size=len(samples), verbose=0)
        return values

    return _Loop("a loop over Keras' predict", predict)


def _torch_loop(samples: np.ndarray, layers: Layers) -> _Loop:
    import torch

    x = torch.from_numpy(samples)
    tensors = [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in layers]

    @torch.no_grad()
    def predict(n: int) -> np.ndarray:
        h = x[:, :, None]
        for i, (weight, bias) in enumerate(tensors):
            h = torch.relu(h) if i else h
            h = torch.einsum("bsi,sio->bso", h, weight[n]) + bias[n]
        return h.numpy()

    return _Loop("a loop over sets in PyTorch", predict)


def _draw(sets: WeightSets, losses: np.ndarray, samples: np.ndarray) -> str:
    """Write the picture, and return a line about it."""
    if not _is_installed("matplotlib"):
        return "no picture without Matplotlib: pip install 'multisubnet[plot]'"
    from matplotlib.figure import Figure

    from multisubnet import plot

    figure = Figure(figsize=(10, 6), layout="constrained")
    ((left, right),) = figure.subfigures(1, 2, squeeze=False, width_ratios=(2, 3))
    plot.losses(losses, best=50, ax=left.subplots())
    best = np.argsort(losses)[:50]
    axes = right.subplots(3, 3).ravel()
    plot.shape_functions(sets[best], samples, networks=range(9), ax=axes)
    left.suptitle(f"Losses of {len(sets):,} models")
    right.suptitle("Curves of 9 features: median and band of the 50 best models")
    figure.savefig(PICTURE, dpi=120)
    return f"wrote {PICTURE}: the losses of all models, and curves of the 50 best ones"


def _print_backends() -> None:
    reasons = why_unavailable()
    ready = [backend for backend, reason in reasons.items() if reason is None]
    print(f"Backends that can run here: {', '.join(ready)}.", end="")
    if reasons.get("numba") is not None:
        print(
            " With Numba (pip install 'multisubnet[cpu]'), the same calls run as compiled code "
            "on all cores and give the same bits.",
            end="",
        )
    print(" See `multisubnet info` for details.")
    print("To use your own data: help(multisubnet.WeightSets), or docs/tutorials in a clone.")


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _text(seconds: float) -> str:
    if seconds < 0.1:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"
