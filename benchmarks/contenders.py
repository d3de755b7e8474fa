"""What is timed: this library, and what else computes the same, as a skilled user would write it.

A contender is a function of a library on a device, a task and its operands, arrays of that library:
samples (B, F); weight and bias (N, F) or the layers of networks; and set_index (B,) or targets if
the task has them. It returns a call that computes what the library's function does, perhaps into
`out`, and need not wait for it. What its result looks like, if not like ours, `arranged` knows.

Sets are judged apart, so that the gradient of the sum of their losses has the gradient of each.
What is fastest depends on task and library: whether samples and targets are transposed, so that the
innermost axis is the long one; whether sets are evaluated at once or in chunks, which stay in a
cache. Where a user would try several forms, the fastest is timed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import libraries
import numpy as np
from libraries import CORES, Library, Run
from tasks import LOSSES, NETWORK_LOSSES, Task, mapped

import multisubnet as ms

OURS = "multisubnet"
NUMPY = "NumPy expression"
UFUNC = "cupy.multiply"
_NETWORKS = "mlp", *NETWORK_LOSSES
_FORMULAS = "affine", "affine_select", "affine_stats", *LOSSES  # of one layer
_CPU, _GPU = ("cpu",), ("gpu",)


@dataclass(frozen=True)
class Contender:
    """One way to compute the result, or (`is_limit`, `moves`) only to write, or copy, its bytes."""

    name: str
    setup: Callable[..., Run]
    library: str = "arrays"  # of NumPy or CuPy
    functions: tuple[str, ...] = ("affine",)  # of the library, that it can stand in for
    can: Callable[[Task], bool] = lambda task: True  # which tasks of theirs
    devices: tuple[str, ...] = ("cpu", "gpu")
    requires: tuple[str, ...] = ()  # modules without which it is left out
    reuses: bool = True  # whether it can write into a result that is given
    arranged: Callable[[Task, Any], Any] = lambda task, result: result
    is_additive: bool = False  # sums over networks
    at_most_sets: int | None = None  # how many sets are timed, to extrapolate to all of them
    inside: Callable[[], AbstractContextManager] = contextlib.nullcontext  # around all its calls
    is_limit: bool = False
    moves: int = 1  # times the bytes of the result that are read or written

    @property
    def is_checked(self) -> bool:
        """Whether it computes the result."""
        return not self.is_limit and self.moves == 1 and self.name != UFUNC

    def computes(self, task: Task, device: str) -> bool:
        """Whether it takes part in a task."""
        return device in self.devices and task.function in self.functions and self.can(task)

    def why_missing(self, device: str) -> str | None:
        """Return why it cannot take part, or None."""
        try:
            for name in self.requires:
                importlib.import_module(name)
            return get_library(self.library, device).why_unusable()
        except Exception as error:  # a broken installation fails in many ways
            return f"{type(error).__name__}: {' '.join(str(error).split())}"


CONTENDERS: list[Contender] = []
get_library = functools.cache(lambda name, device: libraries.LIBRARIES[name](device))


def contender(name: str, library: str = "arrays", **options: Any) -> Callable[[Any], Any]:
    """Decorate a setup to add it to the contenders."""

    def add(setup: Callable[..., Run]) -> Callable[..., Run]:
        CONTENDERS.append(Contender(name, setup, library, **options))
        return setup

    return add


def _is_linear(task: Task) -> bool:
    return task.activation is None


# The limits: fills and copies.


def _fill(kernel: str, lib: Library, task: Task, *operands: Any) -> Run:
    import limits

    n_bytes = 4 * math.prod(task.written)
    name = kernel if n_bytes >= 1 << 10 else "plain"  # streaming needs some lines
    return lambda out=None: limits.fill(name, np.empty(task.written, "f4") if out is None else out)


for _kernel in ("plain", "streaming"):
    _options = {"functions": _FORMULAS[:2], "requires": ("numba",), "is_limit": True}
    contender(f"{_kernel} fill", devices=_CPU, **_options)(partial(_fill, _kernel))


@contender("fill by a kernel", is_limit=True, devices=_GPU)
def _kernel_fill(lib, task, *operands):
    return lambda out: out.fill(1)  # 0 would be a memset


@contender("fill by cudaMemsetAsync", is_limit=True, devices=_GPU)
def _memset(lib, task, *operands):
    return lambda out: out.data.memset_async(0, out.nbytes)


@contender("copy, read and written", moves=2, devices=_GPU)
def _copy(lib, task, *operands):
    return lambda out, source: out.data.copy_from_device_async(source.data, out.nbytes)


# This library.

_engine = {"requires": ("numba",), "devices": _CPU, "inside": partial(ms.use_backend, "numba")}
_numpy_alone = {"devices": _CPU, "inside": partial(ms.use_backend, "numpy")}


@contender("multisubnet, NumPy", functions=_NETWORKS, **_numpy_alone)
@contender("multisubnet, NumPy alone", **_numpy_alone)
@contender(OURS, functions=("host", *_FORMULAS, *_NETWORKS), devices=_GPU)
@contender(OURS, functions=(*_FORMULAS, "predict", *_NETWORKS), **_engine)
def _multisubnet(lib, task, *operands):
    if task.function == "predict":
        samples, *parameters = operands
        return partial(ms.WeightSets(*parameters).predict, samples)
    return partial(getattr(ms, task.of_library), *operands, **task.options)


@contender("multisubnet, additive", functions=("mlp",), is_additive=True, **_engine)
def _additive(lib, task, *operands):
    return partial(ms.mlp, *operands, additive=True)


@contender("multisubnet.torch", "torch", functions=_FORMULAS[:2], **_engine)
def _multisubnet_torch(lib, task, *operands):
    from multisubnet import torch as mst

    return partial(getattr(mst, task.function), *operands, **task.options)


# One layer: the formula of a task, on arrays that broadcast, in each library.

# Loss, and derivative, by the error; derivative of an activation, by its value p.
_VALUES: dict[str | None, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "squared_error": (lambda xp, e: e * e, lambda xp, e: 2 * e),
    "absolute_error": (lambda xp, e: xp.abs(e), lambda xp, e: xp.sign(e)),
    "huber": (
        lambda xp, e: xp.where(xp.abs(e) <= 1, 0.5 * e * e, xp.abs(e) - 0.5),
        lambda xp, e: xp.clip(e, -1, 1),
    ),
}
_SLOPES = {"tanh": lambda p: 1 - p * p, "sigmoid": lambda p: p * (1 - p)}


def _activated(xp: Any, activation: str | None, z: Any) -> Any:
    """Apply an activation of NumPy or CuPy in place."""
    if activation == "relu":
        return xp.maximum(z, 0, out=z)
    if activation == "tanh":
        return xp.tanh(z, out=z)
    if activation == "sigmoid":
        xp.exp(xp.negative(z, out=z), out=z)
        return xp.divide(1, xp.add(z, 1, out=z), out=z)
    return z


def _formula(lib: Library, task: Task, axis: int = 0) -> Callable[..., Any]:
    """Return the task's function of samples, weight, bias and perhaps others, in PyTorch or JAX.

    Losses are means over the last two axes, statistics over `axis`.
    """
    is_jax = lib.module == "jax"
    xp, namespace = (lib.xp.numpy, lib.xp.nn) if is_jax else (lib.xp, lib.xp)
    activation = getattr(namespace, task.activation) if task.activation else lambda z: z

    def formula(x, w, b, *others):
        if task.function == "affine_select":
            w, b = (lib.rows(array, others[0]) for array in (w, b))
        z = activation(x * w + b)
        if task.function == "affine_stats":
            return lib.spread(z, axis)
        return _VALUES[task.loss][0](xp, z - others[0]).mean((-2, -1)) if task.loss else z

    return formula


def _placed(task: Task, x: Any, w: Any, b: Any, *others: Any) -> tuple[Any, ...]:
    """Return operands that broadcast, sets first or second."""
    if task.function == "affine_select":
        return x, w, b, *others
    return (x[:, None], w, b) if task.set_axis else (x, w[:, None], b[:, None], *others)


def _forms(lib: Library, task: Task, *operands: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """Return formulas and operands: as they are, and with the sets or samples last."""
    forms = [(_formula(lib, task), _placed(task, *operands))]
    x, w, b, *others = operands
    if task.function == "affine_stats":
        last = x[..., None], lib.copied(w.T), lib.copied(b.T)
        forms.append((_formula(lib, task, -1), last))
    if task.loss:
        data = (lib.copied(array.T) for array in (x, *others))
        forms.append((forms[0][0], (next(data), w[..., None], b[..., None], *data)))
    return forms


def _expression(lib: Library, task: Task, *operands: Any) -> Run:
    """Evaluate an expression of NumPy or CuPy."""
    xp = lib.xp
    x, w, b = _placed(task, *operands)

    def run(out=None):
        if out is None and task.activation is None:
            return x * w + b
        z = xp.multiply(x, w, out=out)
        return _activated(xp, task.activation, xp.add(z, b, out=z))

    return run


def _sums(lib: Library, task: Task, samples: Any, weight: Any, bias: Any, *targets: Any) -> Run:
    """Evaluate losses, with gradients or not, or statistics, by expressions, in chunks."""
    xp = lib.xp

    def reduced(x, w, b):
        z = x * w[:, None]
        z += b[:, None]
        predicted = _activated(xp, task.activation, z)
        if task.function == "affine_stats":
            return lib.spread(predicted, 0)
        error = predicted - targets[0]
        value, derivative = _VALUES[task.loss]
        loss = value(xp, error).mean((1, 2))
        if task.function == "mean_loss":
            return (loss,)
        slope = derivative(xp, error) / x.size
        if task.activation is not None:
            slope *= _SLOPES[task.activation](predicted)
        return loss, xp.einsum("nbf,bf->nf", slope, x), slope.sum(1)

    by_sample = task.function == "affine_stats"
    length, each = (len(samples), weight.size) if by_sample else (len(weight), samples.size)

    def run(chunk):
        cuts = [slice(start, start + chunk) for start in range(0, length, chunk)]
        results = (
            reduced(samples[cut], weight, bias)
            if by_sample
            else reduced(samples, weight[cut], bias[cut])
            for cut in cuts
        )
        return tuple(map(xp.concatenate, zip(*results, strict=True)))

    chunks = sorted({max(1, at_once // each) for at_once in lib.chunks})
    return lib.fastest([partial(run, chunk) for chunk in chunks])


for _device, _name in ("cpu", NUMPY), ("gpu", "CuPy expression"):
    contender(_name, functions=("affine", "host"), devices=(_device,))(_expression)
    _options = {"functions": _FORMULAS[2:], "devices": (_device,), "reuses": False}
    contender(_name, **_options)(_sums)


@contender(NUMPY, functions=("affine_select",), can=_is_linear, devices=_CPU)
def _numpy_select(lib, task, samples, weight, bias, index):
    def run(out=None):
        result = np.take(weight, index, axis=0, out=out, mode="clip")
        return np.add(np.multiply(result, samples, out=result), bias[index], out=result)

    return run


@contender("NumPy loop over sets", can=_is_linear, devices=_CPU)
def _loop(lib, task, samples, weight, bias):
    def run(out=None):
        result = np.empty((len(weight), *samples.shape), np.float32) if out is None else out
        for w, b, block in zip(weight, bias, result, strict=True):
            np.add(np.multiply(samples, w, out=block), b, out=block)
        return result

    return run


def _has_closed_form(task: Task) -> bool:
    return task.loss == "squared_error" and _is_linear(task)


@contender(
    "closed form in NumPy", functions=LOSSES, can=_has_closed_form, reuses=False, devices=_CPU
)
def _closed_form(lib, task, samples, weight, bias, targets):
    def run():
        x, t = samples.astype(np.float64), targets.astype(np.float64)
        mean_x, mean_t = x.mean(0), t.mean(0)
        x, t = x - mean_x, t - mean_t
        var_x, cov = (x * x).mean(0), (x * t).mean(0)
        slope = cov / var_x  # of the best line, and what that leaves
        tilt, shift = weight - slope, weight * mean_x + bias - mean_t
        loss = (var_x * tilt**2 + shift**2 + (t * t).mean(0) - slope * cov).mean(1)
        if task.function == "mean_loss":
            return loss
        scale = 2 / x.shape[1]
        return loss, scale * (var_x * tilt + mean_x * shift), scale * shift

    return run


@contender("numexpr", requires=("numexpr",), devices=_CPU)
def _numexpr(lib, task, *operands):
    import numexpr

    of_product = {None: "{}", "relu": "where({0} > 0, {0}, 0)", "sigmoid": "1 / (1 + exp(-({})))"}
    text = of_product.get(task.activation, "tanh({})").format("x * w + b")
    # Its name for float32 is float.
    expression = numexpr.NumExpr(text, [("x", float), ("w", float), ("b", float)])
    x, w, b = _placed(task, *operands)

    def run(count, out=None):
        numexpr.set_num_threads(count)  # does nothing where that is the number already
        return expression(x[None], w, b, out=out, order="C", casting="no", ex_uses_vml=False)

    return lib.fastest([partial(run, count) for count in sorted({1, CORES})])


@contender("cupy.ElementwiseKernel", devices=_GPU)
def _elementwise_kernel(lib, task, *operands):
    of_product = {None: "z", "relu": "z > T(0) ? z : T(0)", "tanh": "tanh(z)"}
    text = f"T z = x * w + b; out = {of_product[task.activation]}"
    kernel = lib.xp.ElementwiseKernel("T x, T w, T b", "T out", text, "affine_elementwise")
    operands = _placed(task, *operands)
    return lambda out: kernel(*operands, out)


@contender(UFUNC, functions=("host",), devices=_GPU)
def _multiply(lib, task, samples, weight, bias):
    weight = weight[:, None]
    return lambda out=None: lib.xp.multiply(samples, weight, out=out)


@contender("torch.addcmul", "torch", functions=_FORMULAS[:2])
def _addcmul(lib, task, *operands):
    torch = lib.xp
    x, w, b, *index = _placed(task, *operands)
    if index:
        return lambda out=None: torch.addcmul(b[index[0]], x, w[index[0]], out=out)
    if task.activation is None:
        return lambda out=None: torch.addcmul(b, x, w, out=out)
    in_place = getattr(torch, f"{task.activation}_")
    return lambda out=None: in_place(torch.addcmul(b, x, w, out=out))


@contender("torch.compile", "torch", functions=_FORMULAS[:2])
def _torch_compile(lib, task, *operands):
    torch = lib.xp
    formula, operands = _forms(lib, task, *operands)[0]
    new = torch.compile(formula, dynamic=False)

    @partial(torch.compile, dynamic=False)
    def into(out, x, w, b, *index):
        if task.activation:
            return out.copy_(formula(x, w, b, *index))
        w, b = (array[index[0]] if index else array for array in (w, b))
        return torch.add(x * w, b, out=out)

    return lambda out=None: new(*operands) if out is None else into(out, *operands)


def _backward(lib: Library, losses: Run, parameters: Any, data: Any, n_results: int) -> Run:
    """Return a call that has losses from a forward, gradients from a backward pass."""
    parameters = [tensor.detach().requires_grad_() for tensor in parameters]

    def run():
        loss = losses(*parameters, *data)
        return loss.detach(), *lib.xp.autograd.grad(loss.sum(), parameters)[:n_results]

    return run


def _graph(lib: Library, losses: Run, chunk: int, w: Any, b: Any, data: Any) -> Run:
    """Return a call that has losses and gradients from one graph, for `chunk` sets at a time."""
    torch = lib.xp

    def total(w, b):
        loss = losses(w, b, *data)
        return loss.sum(), loss

    @partial(torch.compile, dynamic=False)
    def compiled(w, b):
        gradients, loss = torch.func.grad(total, (0, 1), has_aux=True)(w, b)
        return loss, *gradients

    def run():
        parts = [compiled(*some) for some in zip(w.split(chunk), b.split(chunk), strict=True)]
        return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))

    return run


@contender("torch.compile", "torch", functions=_FORMULAS[2:], reuses=False)
def _torch_sums(lib, task, *operands):
    candidates: list[Run] = []
    for formula, (x, w, b, *targets) in _forms(lib, task, *operands):
        if task.function != "mean_loss_and_grad":
            candidates.append(partial(lib.xp.compile(formula, dynamic=False), x, w, b, *targets))
            continue

        def losses(w, b, *data, formula=formula):
            return formula(data[0], w, b, data[1])

        data = x, *targets
        candidates.append(_backward(lib, lib.xp.compile(losses, dynamic=False), (w, b), data, 2))
        n_sets = {len(w), max(1, lib.chunks[0] // x.numel())}
        candidates += [_graph(lib, losses, n, w, b, data) for n in sorted(n_sets)]
    return lib.fastest(candidates)


def _jax_of_sets(lib: Library, task: Task, *operands: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """Return functions of one set, with gradients if they are asked for, and their operands."""
    forms = _forms(lib, task, *operands)
    if task.function != "mean_loss_and_grad":
        return forms
    return [(lib.xp.value_and_grad(formula, (1, 2)), layout) for formula, layout in forms]


@contender("jax.jit(jax.vmap)", "jax")
def _jax_vmap(lib, task, samples, weight, bias):
    formula, jax = _formula(lib, task), lib.xp
    function = jax.vmap(formula, (None, 0, 0), out_axes=task.set_axis)
    return lib.jitted(function, (samples, weight, bias))


@contender("jax.jit", "jax", functions=("affine_select",), can=_is_linear)
def _jax_select(lib, task, *operands):
    return lib.jitted(*_forms(lib, task, *operands)[0])


@contender("jax.jit", "jax", functions=("affine_stats",), reuses=False)
def _jax_stats(lib, task, *operands):
    forms = _forms(lib, task, *operands)
    return lib.fastest([lib.jitted(*form) for form in forms])


@contender("jax.jit(jax.vmap)", "jax", functions=LOSSES, reuses=False)
def _jax_losses(lib, task, *operands):
    axes = None, 0, 0, None
    forms = _jax_of_sets(lib, task, *operands)
    return lib.fastest([lib.jitted(lib.xp.vmap(f, axes), layout) for f, layout in forms])


@contender("jax.jit(jax.lax.map)", "jax", functions=_FORMULAS[2:], reuses=False, devices=_CPU)
def _jax_map(lib, task, *operands):
    lax = lib.xp.lax
    forms = _jax_of_sets(lib, task, *operands)
    if task.function == "affine_stats":
        formula, (x, w, b) = forms[0]
        rows = partial(lax.map, lambda row: formula(row, w[:, 0], b[:, 0]))
        return lib.jitted(rows, (x,))

    def over_sets(of_set, batch_size, x, w, b, t):
        return lax.map(lambda pair: of_set(x, *pair, t), (w, b), batch_size=batch_size)

    sizes = None, max(1, lib.chunks[0] // operands[0].size)
    return lib.fastest(
        [lib.jitted(partial(over_sets, f, n), layout) for f, layout in forms for n in sizes]
    )


# Keras, whose backend an option says; `predict` takes a batch of 32 samples at a time.

_keras = {"devices": _CPU, "can": _is_linear, "requires": ("keras",), "reuses": False}
_keras_predict = {"functions": ("predict",), **_keras}


def _sets_second(task: Task, result: Any) -> Any:
    return result.swapaxes(0, 1)


def _keras_affine(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return a model of one affine layer, and the layer; its weights may be those of N sets."""
    import keras

    class Affine(keras.layers.Layer):
        def build(self, _):
            self.kernel = self.add_weight(shape=shape)
            self.bias = self.add_weight(shape=shape)

        def call(self, inputs):
            inputs = inputs[:, None] if len(shape) == 2 else inputs
            return inputs * self.kernel + self.bias

    inputs = keras.Input((shape[-1],))
    layer = Affine()
    return keras.Model(inputs, layer(inputs)), layer


@contender("Keras predict per set", at_most_sets=20, **_keras)  # in one batch
@contender("predict for each set", at_most_sets=20, **_keras_predict)
def _keras_per_set(lib, task, samples, weight, bias):
    model, layer = _keras_affine(weight.shape[1:])
    batch_size = len(samples) if task.function == "affine" else None

    def one(w, b):
        layer.set_weights([w, b])
        return model.predict(samples, batch_size=batch_size, verbose=0)

    return lambda: np.stack([one(w, b) for w, b in zip(weight, bias, strict=True)])


@contender("layer that broadcasts", arranged=_sets_second, **_keras_predict)
def _broadcasting(lib, task, samples, weight, bias):
    model, layer = _keras_affine(weight.shape)
    layer.set_weights([weight, bias])
    return partial(model.predict, samples, verbose=0)


@contender("StackedAffine", arranged=_sets_second, **_keras_predict)
def _stacked_affine(lib, task, samples, weight, bias):
    import keras

    from multisubnet.keras import StackedAffine

    layer = StackedAffine.from_weight_sets(ms.WeightSets(weight, bias))
    inputs = keras.Input((weight.shape[1],))
    return partial(keras.Model(inputs, layer(inputs)).predict, samples, verbose=0)


# Networks: (N, B, S, K), mean squared errors (N,), and the gradient of the first layer's weight.


def _networks_first(task: Task, result: Any) -> Any:
    """Return (N, B, S, K) of what has all networks of all sets before samples and outputs.

    Of losses and gradients return rows, one for each set.
    """
    n_sets, n_samples, _ = task.size
    if task.function != "mlp":
        return result.reshape(n_sets, -1)
    return result.reshape(n_sets, task.n_subnets, n_samples, -1).swapaxes(1, 2)


_networks = {"functions": ("mlp",), "reuses": False, "arranged": _networks_first}
_with_losses = {**_networks, "functions": _NETWORKS}


def _per_network(samples: Any, layers: Any) -> Any:
    """Return samples as (S, B, inputs)."""
    n_subnets, n_inputs = layers[0][0].shape[1:3]
    return samples.reshape(len(samples), n_subnets, n_inputs).swapaxes(0, 1)


def _batched(
    compiles: bool, lib: Library, task: Task, samples: Any, layers: Any, *targets: Any
) -> Run:
    """Return batched products of matrices in PyTorch, compiled or not, or losses of them."""
    torch, n_sets = lib.xp, task.size[0]
    x = _per_network(samples, layers).contiguous().repeat(n_sets, 1, 1)
    wanted = [array.swapaxes(0, 1).contiguous().repeat(n_sets, 1, 1) for array in targets]
    flat = [
        array.reshape(n_sets * task.n_subnets, *rest)
        for weight, bias in layers
        for array, rest in ((weight, weight.shape[2:]), (bias, (1, bias.shape[2])))
    ]

    def evaluate(*flat):
        h = x
        for i in range(0, len(flat), 2):
            h = torch.baddbmm(flat[i + 1], torch.relu(h) if i else h, flat[i])
        return (h - wanted[0]).square().reshape(n_sets, -1).mean(1) if wanted else h

    function = torch.compile(evaluate, dynamic=False) if compiles else evaluate
    if task.function == "mlp_mean_loss_and_grad":
        return _backward(lib, function, flat, (), 1)
    return partial(function, *flat)


contender("torch.baddbmm", "torch", **_with_losses)(partial(_batched, False))
contender("torch.baddbmm, compiled", "torch", **_with_losses)(partial(_batched, True))


@contender("torch.conv1d, grouped", "torch", **_networks)
def _grouped(lib, task, samples, layers):
    """Grouped convolutions of length 1, a group for each network."""
    torch = lib.xp
    groups = task.size[0] * task.n_subnets
    x = samples.T.contiguous().repeat(task.size[0], 1)[None]
    flat = [
        (weight.swapaxes(2, 3).reshape(-1, weight.shape[2], 1).contiguous(), bias.reshape(-1))
        for weight, bias in layers
    ]

    def run():
        h = x
        for number, (weight, bias) in enumerate(flat):
            h = torch.conv1d(torch.relu(h) if number else h, weight, bias, groups=groups)
        return h.reshape(groups, -1, len(samples)).transpose(1, 2)

    return run


def _stack(lib: Library, linear: Callable[..., Any], layers: Any) -> Any:
    """Return a torch module of linear layers and relus with these weights and biases."""
    modules: list[Any] = []
    for weight, bias in layers:
        module = linear(*weight.shape[-2:])
        module.weight.data, module.bias.data = weight, bias
        modules += [module, lib.xp.nn.ReLU()]
    return lib.xp.nn.Sequential(*modules[:-1])


def _few_networks(task: Task) -> bool:
    return task.size[0] * task.n_subnets <= 10_000


@contender("torch loop over modules", "torch", can=_few_networks, **_networks)
def _modules(lib, task, samples, layers):
    torch, inputs = lib.xp, lib.copied(_per_network(samples, layers))
    pairs = []
    for n, s in np.ndindex(task.size[0], task.n_subnets):
        own = [(weight[n, s], bias[n, s].clone()) for weight, bias in layers]
        module = _stack(lib, torch.nn.Linear, own)
        for layer in module[::2]:
            layer.weight.data = lib.copied(layer.weight.data.T)
        pairs.append((module, inputs[s]))
    return lambda: torch.stack([module(x) for module, x in pairs])


@contender("tabm.LinearEnsemble", "torch", requires=("tabm",), **_networks)
def _tabm(lib, task, samples, layers):
    """TabM's layers for ensembles, of which all networks of all sets are members."""
    import tabm

    k = task.size[0] * task.n_subnets
    flat = mapped(lambda array: array.reshape(k, *array.shape[2:]), layers)
    model = _stack(lib, partial(tabm.LinearEnsemble, k=k), flat)
    x = _per_network(samples, layers).swapaxes(0, 1).repeat(1, task.size[0], 1)
    return lambda: model(x).transpose(0, 1)


def _jax_networks(lib: Library, task: Task, samples: Any, layers: Any, *targets: Any) -> Run:
    """Return a network of one sample, mapped over samples, networks and sets, compiled."""
    jax, jnp = lib.xp, lib.xp.numpy

    def network(x, layers):
        h = x
        for number, (weight, bias) in enumerate(layers):
            h = (jnp.maximum(h, 0) if number else h) @ weight + bias
        return h

    over_subnets = jax.vmap(jax.vmap(network, (0, None)))

    def judge(layers, x, wanted):
        return jnp.mean((over_subnets(x, layers) - wanted) ** 2)

    x = lib.copied(_per_network(samples, layers))
    if not targets:
        return lib.jitted(jax.vmap(over_subnets, (None, 0)), (x, layers))
    wanted = lib.copied(targets[0].swapaxes(0, 1))
    of_set = jax.value_and_grad(judge) if task.function == NETWORK_LOSSES[1] else judge
    return lib.jitted(jax.vmap(of_set, (0, None, None)), (layers, x, wanted))


contender("jax.jit(vmap(vmap(vmap)))", "jax", **_networks)(_jax_networks)
_options = {**_networks, "functions": NETWORK_LOSSES}
contender("jax.jit(vmap(value_and_grad))", "jax", **_options)(_jax_networks)


def _few_sets(task: Task) -> bool:
    return task.size[0] <= 100  # each call takes some 30 ms


@contender("Keras predict per set", **_networks | _keras | {"can": _few_sets})
def _keras_networks(lib, task, samples, layers):
    import keras

    model = keras.Sequential([keras.Input((task.n_subnets, layers[0][0].shape[2]))])
    for number, (weight, _) in enumerate(layers):
        activation = "relu" if number + 1 < len(layers) else None
        shape = task.n_subnets, weight.shape[3]
        options = {"activation": activation, "bias_axes": "sk"}
        model.add(keras.layers.EinsumDense("bsi,sik->bsk", shape, **options))
    x = lib.copied(_per_network(samples, layers).swapaxes(0, 1))

    def one(n):
        model.set_weights([array[n] for layer in layers for array in layer])
        return model.predict(x, batch_size=1024, verbose=0)

    return lambda: np.stack([one(n) for n in range(task.size[0])]).swapaxes(1, 2)
