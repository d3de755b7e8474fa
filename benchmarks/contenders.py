"""What is timed: this library, and what else computes the same, as a skilled user would write it.

A contender's setup gets a task and its operands, NumPy arrays: samples (B, F), weight and bias
(N, F), and set_index (B,) or targets (B, F) where the task has them. It converts them to whatever
it works on, and returns a call without arguments that computes what the library's function does,
here `affine` and `affine_select` (reductions.py has the others), and waits for it. Contenders that
can write into a result that is given get `out`, too, which is None where a new one is to be made.
Libraries are imported by the setup that needs them.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from reference import activated
from tasks import FUNCTIONS, Task

import multisubnet as ms

CORES = os.cpu_count() or 1

OURS = "multisubnet"
NUMPY = "NumPy expression"

Call = Callable[[], Any]


@dataclass(frozen=True)
class Contender:
    """One way to compute the result, or (where `is_limit`) only to write as many bytes."""

    name: str
    setup: Callable[..., Call]
    functions: tuple[str, ...] = ("affine",)  # those of the library that it can stand in for
    can: Callable[[Task], bool] = lambda task: True  # which tasks of theirs
    requires: tuple[str, ...] = ()  # modules without which it is left out
    reuses: bool = True  # whether it can write into a result that is given
    set_axis: int = 0  # where N stands in the shape of its result
    at_most_sets: int | None = None  # how many sets are timed, to extrapolate to all of them
    inside: Callable[[], AbstractContextManager] = contextlib.nullcontext  # around all its calls
    is_limit: bool = False

    def computes(self, task: Task) -> bool:
        """Whether it takes part in a task."""
        return task.function in self.functions and self.can(task)


CONTENDERS: list[Contender] = []


def contender(name: str, **options: Any) -> Callable[[Callable[..., Call]], Callable[..., Call]]:
    """Decorate a setup to add it to the contenders."""

    def add(setup: Callable[..., Call]) -> Callable[..., Call]:
        CONTENDERS.append(Contender(name, setup, **options))
        return setup

    return add


def is_there(contender: Contender) -> bool:
    """Whether what a contender requires can be imported; says so where it cannot."""
    for name in contender.requires:
        try:
            importlib.import_module(name)
        except Exception as error:  # installed, but broken in one of many ways, is not there either
            print(f"{contender.name} is left out: importing {name} failed ({error})")
            return False
    return True


def forget() -> None:
    """Drop what libraries keep of the functions they compiled: each size compiles its own."""
    if "torch" in sys.modules:
        sys.modules["torch"]._dynamo.reset()
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


def is_linear(task: Task) -> bool:
    """Whether a task has no activation."""
    return task.activation is None


def fastest(candidates: list[Call], wait: Callable[[Any], Any] = lambda result: None) -> Call:
    """Return the fastest of some calls, which are tried in turn.

    `wait` gets what a call returned before its work was done.
    """
    for call in candidates:
        wait(call())
    best = [math.inf] * len(candidates)
    rounds, spent = 0, 0.0
    while rounds < 5 and spent < 0.3 * len(candidates):
        for i, call in enumerate(candidates):
            start = time.perf_counter()
            wait(call())
            seconds = time.perf_counter() - start
            best[i] = min(best[i], seconds)
            spent += seconds
        rounds += 1
    return candidates[best.index(min(best))]


# The limit: a fill, of the same array or of a new one.

_is_limit = {
    "functions": ("affine", "affine_select"),
    "requires": ("numba",),
    "is_limit": True,
}


@contender("plain fill", **_is_limit)
def _plain_fill(task, *operands, out):
    from limit import fill, plain

    return lambda: fill(plain, np.empty(task.written, np.float32) if out is None else out)


@contender("streaming fill", **_is_limit)
def _streaming_fill(task, *operands, out):
    from limit import fill, streaming

    if 4 * math.prod(task.written) < 1 << 10:  # it needs some lines
        return _plain_fill(task, *operands, out=out)
    return lambda: fill(streaming, np.empty(task.written, np.float32) if out is None else out)


# This library.


@contender(OURS, functions=FUNCTIONS, requires=("numba",))
def _multisubnet(task, *operands, **out):
    call = partial(getattr(ms, task.function), *operands, **task.options, **out)
    with ms.use_backend("numba"):  # from then on the engine is there, and chosen without asking
        call()
    return call


@contextlib.contextmanager
def _without_engine() -> Iterator[None]:
    ms.set_backend("numpy")
    yield
    ms.set_backend(None)


@contender("multisubnet, NumPy alone", inside=_without_engine)
def _multisubnet_numpy(task, *operands, out):
    return partial(ms.affine, *operands, **task.options, out=out)


# NumPy and numexpr.


@contender(NUMPY)
def _numpy_expression(task, samples, weight, bias, out):
    weight, bias = weight[:, None], bias[:, None]
    if task.activation is not None:

        def activated_call():
            z = np.multiply(samples, weight, out=out)
            return activated(task.activation, np.add(z, bias, out=z))

        return activated_call
    if out is None:
        return lambda: samples * weight + bias

    def call():
        np.multiply(samples, weight, out=out)
        return np.add(out, bias, out=out)

    return call


@contender("NumPy loop over sets", can=is_linear)
def _numpy_loop(task, samples, weight, bias, out):
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


@contender("numexpr", requires=("numexpr",))
def _numexpr(task, samples, weight, bias, out):
    import numexpr

    operands = samples[None], weight[:, None], bias[:, None]
    # Its name for float32 is float.
    operands_of = [("x", float), ("w", float), ("b", float)]
    expression = numexpr.NumExpr(_NUMEXPR[task.activation], operands_of)

    def with_threads(count):
        def call():
            numexpr.set_num_threads(count)  # does nothing where that is the number already
            return expression(*operands, out=out, order="C", casting="no", ex_uses_vml=False)

        return call

    return fastest([with_threads(count) for count in sorted({1, CORES})])


# PyTorch.


def _inference() -> AbstractContextManager:
    import torch

    return torch.inference_mode()


def tensors(*arrays: np.ndarray | None) -> Iterator[Any]:
    """Return arrays as tensors that share their memory, for PyTorch on all cores."""
    import torch

    torch.set_num_threads(CORES)
    return (None if array is None else torch.from_numpy(array) for array in arrays)


on_torch = {"requires": ("torch",), "inside": _inference}
_on_tabm = {"can": is_linear, "requires": ("tabm",), "inside": _inference}


@contender("torch.addcmul", **on_torch)
def _torch_addcmul(task, samples, weight, bias, out):
    import torch

    samples, weight, bias, out = tensors(samples, weight[:, None], bias[:, None], out)
    if task.activation is None:
        return lambda: torch.addcmul(bias, samples, weight, out=out)
    in_place = getattr(torch, f"{task.activation}_")
    return lambda: in_place(torch.addcmul(bias, samples, weight, out=out))


@contender("multisubnet.torch", functions=("affine", "affine_select"), **on_torch)
def _multisubnet_torch(task, *operands, out):
    from multisubnet import torch as mst

    _multisubnet(task, *operands, out=out)  # loads the engine
    *operands, out = tensors(*operands, out)
    return partial(getattr(mst, task.function), *operands, **task.options, out=out)


@contender("torch.func.vmap", can=is_linear, reuses=False, **on_torch)
def _torch_vmap(task, samples, weight, bias):
    import torch

    samples, weight, bias = tensors(samples, weight, bias)
    over_sets = torch.func.vmap(lambda w, b: torch.addcmul(b, samples, w))
    return lambda: over_sets(weight, bias)


@contender("torch.compile", **on_torch)
def _torch_compile(task, samples, weight, bias, out):
    import torch

    samples, weight, bias, out = tensors(samples, weight[:, None], bias[:, None], out)

    function = getattr(torch, task.activation) if task.activation else None

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
def _tabm(task, samples, weight, bias):
    import tabm

    samples, weight, bias = tensors(samples, weight, bias)
    layer = tabm.ElementwiseAffine(weight.shape, bias=True, scaling_init="ones").eval()
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    samples = samples[:, None].expand(-1, len(weight), -1)
    return lambda: layer(samples)


# JAX and Keras.


def _jitted(function: Callable[..., Any], operands: tuple, out: np.ndarray | None) -> Call:
    import jax

    operands = tuple(map(jax.numpy.asarray, operands))
    if out is None:
        compiled = jax.jit(function)
        return lambda: compiled(*operands).block_until_ready()

    # JAX reuses memory by taking an array's place: what is donated is what the result is put in.
    def replacing(_, *operands):
        return function(*operands)

    compiled = jax.jit(replacing, donate_argnums=0, keep_unused=True)
    result = jax.numpy.zeros(out.shape, out.dtype)

    def call():
        nonlocal result
        result = compiled(result, *operands).block_until_ready()
        return result

    return call


@contender("jax.jit(jax.vmap)", requires=("jax",))
def _jax(task, *operands, out):
    import jax

    function = getattr(jax.nn, task.activation) if task.activation else lambda z: z

    def over_sets(x, w, b):
        return jax.vmap(lambda w, b: function(x * w + b))(w, b)

    return _jitted(over_sets, operands, out)


_on_keras = {"can": is_linear, "requires": ("keras", "jax"), "reuses": False}


def keras_model(shape: tuple[int, ...]) -> tuple[Any, Any]:
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
def _keras_predict(task, samples, weight, bias):
    import jax

    model, layer = keras_model(weight.shape[1:])
    x = jax.numpy.asarray(samples)

    def one(w, b):
        layer.kernel.assign(w)
        layer.bias.assign(b)
        return model.predict(x, batch_size=len(samples), verbose=0)

    return lambda: [one(w, b) for w, b in zip(weight, bias, strict=True)]


@contender("Keras stacked layer", set_axis=1, **_on_keras)
def _keras_stacked(task, samples, weight, bias):
    import jax

    model, layer = keras_model(weight.shape)
    layer.kernel.assign(weight)
    layer.bias.assign(bias)
    x, *variables = map(jax.numpy.asarray, (samples, weight, bias))
    compiled = jax.jit(lambda variables, x: model.stateless_call(variables, [], x)[0])
    return fastest(
        [
            lambda: model.predict_on_batch(samples),
            lambda: compiled(variables, x).block_until_ready(),
        ]
    )


# One set for each sample.

_selects = {"functions": ("affine_select",), "can": is_linear}


@contender(NUMPY, **_selects)
def _numpy_select(task, samples, weight, bias, set_index, out):
    def call():
        result = np.take(weight, set_index, axis=0, out=out, mode="clip")
        np.multiply(result, samples, out=result)
        return np.add(result, bias[set_index], out=result)

    return call


@contender("torch.addcmul", **_selects, **on_torch)
def _torch_addcmul_select(task, *operands, out):
    import torch

    samples, weight, bias, index, out = tensors(*operands, out)
    return lambda: torch.addcmul(bias[index], samples, weight[index], out=out)


@contender("torch.compile", **_selects, **on_torch)
def _torch_compile_select(task, *operands, out):
    import torch

    *operands, out = tensors(*operands, out)

    def new(x, w, b, index):
        return x * w[index] + b[index]

    def into(x, w, b, index, result):
        return torch.add(x * w[index], b[index], out=result)

    if out is None:
        return partial(torch.compile(new, dynamic=False), *operands)
    return partial(torch.compile(into, dynamic=False), *operands, out)


@contender("jax.jit", requires=("jax",), **_selects)
def _jax_select(task, *operands, out):
    def of_samples(x, w, b, index):
        w, b = (of_sets.at[index].get(mode="promise_in_bounds") for of_sets in (w, b))
        return x * w + b

    return _jitted(of_samples, operands, out)
