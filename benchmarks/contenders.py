"""What is timed: this library, and what else computes the same, as a skilled user would write it.

A contender's setup gets NumPy arrays, samples (B, F), weight and bias (N, F), converts them to
whatever it works on, and returns a call without arguments that computes

    result[n, b, f] = activation(samples[b, f] * weight[n, f] + bias[n, f])

and waits for it. The call writes into `out` where an array is given, and makes a new result where
`out` is None. A contender that has activations is told which one to compute. Libraries are imported
by the setup that needs them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

import multisubnet as ms

CORES = os.cpu_count() or 1

ACTIVATIONS = "relu", "sigmoid", "tanh"

OURS = "multisubnet"
NUMPY = "NumPy expression"

Call = Callable[[], Any]


@dataclass(frozen=True)
class Contender:
    """One way to compute the result, or (where `is_limit`) only to write as many bytes."""

    name: str
    setup: Callable[..., Call]
    requires: tuple[str, ...] = ()  # modules without which it is left out
    reuses: bool = True  # whether it can write into a result that is given
    set_axis: int = 0  # where N stands in the shape of its result
    at_most_sets: int | None = None  # how many sets are timed, to extrapolate to all of them
    inside: Callable[[], AbstractContextManager] = contextlib.nullcontext  # around all its calls
    is_limit: bool = False
    activates: bool = False  # whether it can compute ACTIVATIONS as well


CONTENDERS: list[Contender] = []


def contender(name: str, **options: Any) -> Callable[[Callable[..., Call]], Callable[..., Call]]:
    """Decorate a setup to add it to the contenders."""

    def add(setup: Callable[..., Call]) -> Callable[..., Call]:
        CONTENDERS.append(Contender(name, setup, **options))
        return setup

    return add


def forget() -> None:
    """Drop what libraries keep of the functions they compiled: each size compiles its own."""
    if "torch" in sys.modules:
        sys.modules["torch"]._dynamo.reset()
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


def _fastest(candidates: list[Call]) -> Call:
    """Return the fastest of some calls."""

    def seconds(call: Call) -> float:
        call()
        times = []
        for _ in range(5):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    return min(candidates, key=seconds)


# The limit: a fill, of the same array or of a new one.


@contender("plain fill", requires=("numba",), is_limit=True, activates=True)
def _plain_fill(samples, weight, bias, out, activation=None):
    from limit import fill, plain

    shape = len(weight), *samples.shape
    return lambda: fill(plain, np.empty(shape, np.float32) if out is None else out)


@contender("streaming fill", requires=("numba",), is_limit=True, activates=True)
def _streaming_fill(samples, weight, bias, out, activation=None):
    from limit import fill, streaming

    shape = len(weight), *samples.shape
    if len(weight) * samples.nbytes < 1 << 10:  # it needs some lines
        return _plain_fill(samples, weight, bias, out)
    return lambda: fill(streaming, np.empty(shape, np.float32) if out is None else out)


# This library.


@contender(OURS, requires=("numba",), activates=True)
def _multisubnet(samples, weight, bias, out, activation=None):
    with ms.use_backend("numba"):  # from then on the engine is there, and chosen without asking
        ms.affine(samples, weight, bias, activation=activation, out=out)
    if activation is None:
        return lambda: ms.affine(samples, weight, bias, out=out)
    return lambda: ms.affine(samples, weight, bias, activation=activation, out=out)


@contextlib.contextmanager
def _without_engine() -> Iterator[None]:
    ms.set_backend("numpy")
    yield
    ms.set_backend(None)


@contender("multisubnet, NumPy alone", inside=_without_engine, activates=True)
def _multisubnet_numpy(samples, weight, bias, out, activation=None):
    if activation is None:
        return lambda: ms.affine(samples, weight, bias, out=out)
    return lambda: ms.affine(samples, weight, bias, activation=activation, out=out)


# NumPy and numexpr.


def _numpy_activation(activation, z):
    if activation == "relu":
        return np.maximum(z, 0, out=z)
    if activation == "tanh":
        return np.tanh(z, out=z)
    np.exp(np.negative(z, out=z), out=z)
    return np.divide(1, np.add(z, 1, out=z), out=z)


@contender(NUMPY, activates=True)
def _numpy_expression(samples, weight, bias, out, activation=None):
    weight, bias = weight[:, None], bias[:, None]
    if activation is not None:

        def activated():
            z = np.multiply(samples, weight, out=out)
            return _numpy_activation(activation, np.add(z, bias, out=z))

        return activated
    if out is None:
        return lambda: samples * weight + bias

    def call():
        np.multiply(samples, weight, out=out)
        return np.add(out, bias, out=out)

    return call


@contender("NumPy loop over sets")
def _numpy_loop(samples, weight, bias, out):
    def call():
        result = np.empty((len(weight), *samples.shape), np.float32) if out is None else out
        for w, b, block in zip(weight, bias, result, strict=True):
            np.multiply(samples, w, out=block)
            np.add(block, b, out=block)
        return result

    return call


_NUMEXPR = {
    None: "x * w + b",
    "relu": "where(x * w + b > 0, x * w + b, 0)",
    "sigmoid": "1 / (1 + exp(-(x * w + b)))",
    "tanh": "tanh(x * w + b)",
}


@contender("numexpr", requires=("numexpr",), activates=True)
def _numexpr(samples, weight, bias, out, activation=None):
    import numexpr

    operands = samples[None], weight[:, None], bias[:, None]
    # Its name for float32 is float.
    operands_of = [("x", float), ("w", float), ("b", float)]
    expression = numexpr.NumExpr(_NUMEXPR[activation], operands_of)

    def with_threads(count):
        def call():
            numexpr.set_num_threads(count)  # does nothing where that is the number already
            return expression(*operands, out=out, order="C", casting="no", ex_uses_vml=False)

        return call

    return _fastest([with_threads(count) for count in sorted({1, CORES})])


# PyTorch.


def _inference() -> AbstractContextManager:
    import torch

    return torch.inference_mode()


def _tensors(*arrays):
    import torch

    torch.set_num_threads(CORES)
    return (None if array is None else torch.from_numpy(array) for array in arrays)


_on_torch = {"requires": ("torch",), "inside": _inference}
_on_tabm = {"requires": ("tabm",), "inside": _inference}


@contender("torch.addcmul", activates=True, **_on_torch)
def _torch_addcmul(samples, weight, bias, out, activation=None):
    import torch

    samples, weight, bias, out = _tensors(samples, weight[:, None], bias[:, None], out)
    if activation is None:
        return lambda: torch.addcmul(bias, samples, weight, out=out)
    in_place = getattr(torch, f"{activation}_")
    return lambda: in_place(torch.addcmul(bias, samples, weight, out=out))


@contender("torch.func.vmap", reuses=False, **_on_torch)
def _torch_vmap(samples, weight, bias, out):
    import torch

    samples, weight, bias = _tensors(samples, weight, bias)
    over_sets = torch.func.vmap(lambda w, b: torch.addcmul(b, samples, w))
    return lambda: over_sets(weight, bias)


@contender("torch.compile", activates=True, **_on_torch)
def _torch_compile(samples, weight, bias, out, activation=None):
    import torch

    samples, weight, bias, out = _tensors(samples, weight[:, None], bias[:, None], out)

    function = getattr(torch, activation) if activation else None

    def new(x, w, b):
        return function(x * w + b) if function else x * w + b

    def into(x, w, b, result):
        return result.copy_(new(x, w, b)) if function else torch.add(x * w, b, out=result)

    if out is None:
        compiled = torch.compile(new, dynamic=False)
        return lambda: compiled(samples, weight, bias)
    compiled_into = torch.compile(into, dynamic=False)
    return lambda: compiled_into(samples, weight, bias, out)


@contender("tabm ElementwiseAffine", set_axis=1, reuses=False, **_on_tabm)
def _tabm(samples, weight, bias, out):
    import tabm

    samples, weight, bias = _tensors(samples, weight, bias)
    layer = tabm.ElementwiseAffine(weight.shape, bias=True, scaling_init="ones").eval()
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    samples = samples[:, None].expand(-1, len(weight), -1)
    return lambda: layer(samples)


# JAX and Keras.


@contender("jax.jit(jax.vmap)", requires=("jax",), activates=True)
def _jax(samples, weight, bias, out, activation=None):
    import jax

    function = getattr(jax.nn, activation) if activation else lambda z: z

    def over_sets(x, w, b):
        return jax.vmap(lambda w, b: function(x * w + b))(w, b)

    operands = tuple(map(jax.numpy.asarray, (samples, weight, bias)))
    if out is None:
        compiled = jax.jit(over_sets)
        return lambda: compiled(*operands).block_until_ready()

    # JAX reuses memory by taking an array's place: what is donated is what the result is put in.
    def replacing(_, x, w, b):
        return over_sets(x, w, b)

    compiled = jax.jit(replacing, donate_argnums=0, keep_unused=True)
    result = jax.numpy.zeros(out.shape, out.dtype)

    def call():
        nonlocal result
        result = compiled(result, *operands).block_until_ready()
        return result

    return call


_on_keras = {"requires": ("keras", "jax"), "reuses": False}


def _keras_model(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return a model of one affine layer, and the layer; its weights may be those of N sets."""
    import keras

    class Affine(keras.layers.Layer):
        def build(self, _):
            self.kernel = self.add_weight(shape=shape)
            self.bias = self.add_weight(shape=shape)

        def call(self, inputs):
            if len(shape) == 2:
                inputs = inputs[:, None]
            return inputs * self.kernel + self.bias

    inputs = keras.Input((shape[-1],))
    layer = Affine()
    return keras.Model(inputs, layer(inputs)), layer


@contender("Keras predict per set", at_most_sets=20, **_on_keras)
def _keras_predict(samples, weight, bias, out):
    import jax

    model, layer = _keras_model(weight.shape[1:])
    x = jax.numpy.asarray(samples)

    def one(w, b):
        layer.kernel.assign(w)
        layer.bias.assign(b)
        return model.predict(x, batch_size=len(samples), verbose=0)

    return lambda: [one(w, b) for w, b in zip(weight, bias, strict=True)]


@contender("Keras stacked layer", set_axis=1, **_on_keras)
def _keras_stacked(samples, weight, bias, out):
    import jax

    model, layer = _keras_model(weight.shape)
    layer.kernel.assign(weight)
    layer.bias.assign(bias)
    x, *variables = map(jax.numpy.asarray, (samples, weight, bias))
    compiled = jax.jit(lambda variables, x: model.stateless_call(variables, [], x)[0])
    return _fastest(
        [
            lambda: model.predict_on_batch(samples),
            lambda: compiled(variables, x).block_until_ready(),
        ]
    )
