"""One layer: affine, affine_select, statistics and losses, by formulas of arrays that broadcast."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from tasks import LOSSES, Task

import multisubnet as ms

from .contender import CORES, CPU, ENGINE, GPU, OURS, SUMS, Library, Run, contender

_AFFINE = "affine", "affine_select"

# The limits: fills.


def _fill(kernel: str, lib: Library, task: Task, *operands: Any) -> Run:
    import limits

    shape = task.written or ()
    name = kernel if 4 * math.prod(shape) >= 1 << 10 else "plain"  # streaming needs some lines
    return lambda out=None: limits.fill(name, np.empty(shape, "f4") if out is None else out)


for _kernel in ("plain", "streaming"):
    _options: dict[str, Any] = {"functions": _AFFINE, "requires": ("numba",)}
    contender(f"{_kernel} fill", devices=CPU, is_limit=True, **_options)(partial(_fill, _kernel))


@contender("fill by a kernel", is_limit=True, devices=GPU)
def _kernel_fill(lib, task, *operands):
    return lambda out: out.fill(1)  # 0 would be a memset


@contender("fill by cudaMemsetAsync", is_limit=True, devices=GPU)
def _memset(lib, task, *operands):
    return lambda out: out.data.memset_async(0, out.nbytes)


# The library itself.


@contender("multisubnet, NumPy", devices=CPU, inside=partial(ms.use_backend, "numpy"))
@contender(OURS, functions=(*_AFFINE, *SUMS), devices=GPU)
@contender(OURS, functions=(*_AFFINE, *SUMS), **ENGINE)
def _multisubnet(lib, task, *operands):
    return partial(getattr(ms, task.function), *operands, **task.options)


@contender(OURS, functions=("predict",), reuses=False, **ENGINE)
def _predict(lib, task, samples, weight, bias):
    return partial(ms.WeightSets(weight, bias).predict, samples)


@contender("multisubnet.torch", "torch", functions=_AFFINE, **ENGINE)
def _multisubnet_torch(lib, task, *operands):
    from multisubnet import torch as mst

    return partial(getattr(mst, task.function), *operands, **task.options)


# Formulas.

# Loss, and derivative, by the error.
_VALUES: dict[str | None, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "squared_error": (lambda xp, e: e * e, lambda xp, e: 2 * e),
    "absolute_error": (lambda xp, e: xp.abs(e), lambda xp, e: xp.sign(e)),
    "huber": (
        lambda xp, e: xp.where(xp.abs(e) <= 1, 0.5 * e * e, xp.abs(e) - 0.5),
        lambda xp, e: xp.clip(e, -1, 1),
    ),
}


def _is_linear(task: Task) -> bool:
    """Whether a task has no activation."""
    return task.activation is None


def _placed(task: Task, x: Any, w: Any, b: Any, *others: Any) -> tuple[Any, ...]:
    """Return operands that broadcast, sets first or second."""
    if task.function == "affine_select":
        return x, w, b, *others
    return (x[:, None], w, b) if task.set_axis else (x, w[:, None], b[:, None], *others)


def _formula_of(lib: Library, task: Task, axis: int = 0) -> Any:
    """Return the task's function of samples, weight, bias and perhaps others, in PyTorch or JAX.

    Losses are means over the last two axes, statistics over `axis`.
    """
    activation = getattr(lib.nn, task.activation) if task.activation else lambda z: z

    def formula(x, w, b, *others):
        if task.function == "affine_select":
            w, b = w[others[0]], b[others[0]]
        z = activation(x * w + b)
        if task.function == "affine_stats":
            return z.mean(axis), z.std(axis, correction=0)
        return _VALUES[task.loss][0](lib.np, z - others[0]).mean((-2, -1)) if task.loss else z

    return formula


def _forms_of(lib: Library, task: Task, *operands: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """Return formulas and operands: as they are, and with the sets or samples last."""
    formula = _formula_of(lib, task)
    forms = [(formula, _placed(task, *operands))]
    x, w, b, *others = operands
    if task.function == "affine_stats":
        last = x[..., None], lib.transposed(w), lib.transposed(b)
        forms.append((_formula_of(lib, task, -1), last))
    if task.loss:
        x, *others = map(lib.transposed, (x, *others))
        forms.append((formula, (x, w[..., None], b[..., None], *others)))
    return forms


# NumPy and CuPy.

_SLOPES = {"tanh": lambda p: 1 - p * p, "sigmoid": lambda p: p * (1 - p)}  # by the value p


def _activated(xp: Any, activation: str | None, z: Any) -> Any:
    """Apply an activation in place."""
    if activation == "relu":
        return xp.maximum(z, 0, out=z)
    if activation == "tanh":
        return xp.tanh(z, out=z)
    if activation == "sigmoid":
        xp.exp(xp.negative(z, out=z), out=z)
        return xp.divide(1, xp.add(z, 1, out=z), out=z)
    return z


@contender("NumPy expression", devices=CPU)
@contender("CuPy expression", devices=GPU)
def _expression(lib, task, *operands):
    xp = lib.xp
    x, w, b = _placed(task, *operands)

    def run(out=None):
        if out is None and task.activation is None:
            return x * w + b
        z = xp.multiply(x, w, out=out)
        return _activated(xp, task.activation, xp.add(z, b, out=z))

    return run


@contender("NumPy expression", functions=SUMS, devices=CPU)
@contender("CuPy expression", functions=SUMS, devices=GPU)
def _sums(lib, task, samples, weight, bias, *targets):
    """Losses, with gradients or not, or statistics, in chunks of sets or of samples."""
    xp = lib.xp

    def reduced(x, w, b):
        z = x * w[:, None]
        z += b[:, None]
        predicted = _activated(xp, task.activation, z)
        if task.function == "affine_stats":
            return predicted.mean(0), predicted.std(0)
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
        if by_sample:
            results = [reduced(samples[cut], weight, bias) for cut in cuts]
        else:
            results = [reduced(samples, weight[cut], bias[cut]) for cut in cuts]
        return tuple(map(xp.concatenate, zip(*results, strict=True)))

    chunks = sorted({max(1, at_once // each) for at_once in lib.chunks})
    return lib.fastest([partial(run, chunk) for chunk in chunks])


@contender("NumPy expression", functions=("affine_select",), devices=CPU)
def _numpy_select(lib, task, samples, weight, bias, index):
    def run(out=None):
        result = np.take(weight, index, axis=0, out=out, mode="clip")
        return np.add(np.multiply(result, samples, out=result), bias[index], out=result)

    return run


@contender("NumPy loop over sets", can=_is_linear, devices=CPU)
def _loop(lib, task, samples, weight, bias):
    def run(out=None):
        result = np.empty((len(weight), *samples.shape), np.float32) if out is None else out
        for w, b, block in zip(weight, bias, result, strict=True):
            np.add(np.multiply(samples, w, out=block), b, out=block)
        return result

    return run


def _has_closed_form(task: Task) -> bool:
    return task.loss == "squared_error" and _is_linear(task)


@contender("closed form in NumPy", functions=LOSSES, can=_has_closed_form, devices=CPU)
def _closed_form(lib, task, samples, weight, bias, targets):
    def run():
        x, t = samples.astype(np.float64), targets.astype(np.float64)
        mean_x, mean_t = x.mean(0), t.mean(0)
        x, t = x - mean_x, t - mean_t
        var_x, cov = (x * x).mean(0), (x * t).mean(0)
        slope = cov / var_x  # of the best line
        tilt, shift = weight - slope, weight * mean_x + bias - mean_t
        loss = (var_x * tilt**2 + shift**2 + (t * t).mean(0) - slope * cov).mean(1)
        if task.function == "mean_loss":
            return loss
        scale = 2 / x.shape[1]
        return loss, scale * (var_x * tilt + mean_x * shift), scale * shift

    return run


@contender("numexpr", requires=("numexpr",), devices=CPU)
def _numexpr(lib, task, *operands):
    import numexpr

    of_product = {None: "{}", "relu": "where({0} > 0, {0}, 0)", "sigmoid": "1 / (1 + exp(-({})))"}
    text = of_product.get(task.activation, "tanh({})").format("x * w + b")
    # Its name for float32 is float.
    expression = numexpr.NumExpr(text, [("x", float), ("w", float), ("b", float)])
    x, w, b = _placed(task, *operands)

    def run(count, out=None):
        numexpr.set_num_threads(count)  # does nothing if that is the number already
        return expression(x[None], w, b, out=out, order="C", casting="no", ex_uses_vml=False)

    return lib.fastest([partial(run, count) for count in sorted({1, CORES})])


@contender("cupy.ElementwiseKernel", devices=GPU)
def _elementwise_kernel(lib, task, *operands):
    of_product = {None: "z", "relu": "z > T(0) ? z : T(0)", "tanh": "tanh(z)"}
    text = f"T z = x * w + b; out = {of_product[task.activation]}"
    kernel = lib.xp.ElementwiseKernel("T x, T w, T b", "T out", text, "affine_elementwise")
    operands = _placed(task, *operands)
    return lambda out: kernel(*operands, out)


# PyTorch.


@contender("torch.addcmul", "torch", functions=_AFFINE)
def _addcmul(lib, task, *operands):
    torch = lib.xp
    x, w, b, *index = _placed(task, *operands)
    if index:
        return lambda out=None: torch.addcmul(b[index[0]], x, w[index[0]], out=out)
    if task.activation is None:
        return lambda out=None: torch.addcmul(b, x, w, out=out)
    in_place = getattr(torch, f"{task.activation}_")
    return lambda out=None: in_place(torch.addcmul(b, x, w, out=out))


@contender("torch.compile", "torch", functions=(*_AFFINE, "affine_stats", "mean_loss"))
@contender("jax.jit", "jax", functions=("affine_select", "affine_stats"))
def _compiled(lib, task, *operands):
    return lib.fastest([lib.compiled(*form) for form in _forms_of(lib, task, *operands)])


def backward(lib: Library, losses: Run, parameters: Any, data: Any, n_results: int) -> Run:
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

    def losses_and_gradients(w, b):
        gradients, loss = torch.func.grad(total, (0, 1), has_aux=True)(w, b)
        return loss, *gradients

    compiled = torch.compile(losses_and_gradients, dynamic=False)

    def run():
        parts = [compiled(*some) for some in zip(w.split(chunk), b.split(chunk), strict=True)]
        return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))

    return run


@contender("torch.compile", "torch", functions=LOSSES[1:])
def _torch_gradients(lib, task, *operands):
    candidates: list[Run] = []
    for formula, (x, w, b, t) in _forms_of(lib, task, *operands):

        def losses(w, b, x, t, formula=formula):
            return formula(x, w, b, t)

        compiled = lib.xp.compile(losses, dynamic=False)
        candidates.append(backward(lib, compiled, (w, b), (x, t), 2))
        n_sets = {len(w), max(1, lib.chunks[0] // x.numel())}
        candidates += [_graph(lib, losses, n, w, b, (x, t)) for n in sorted(n_sets)]
    return lib.fastest(candidates)


# JAX.


def _with_gradients(lib: Library, task: Task, *operands: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """Return formulas, with gradients if they are asked for, and their operands."""
    forms = _forms_of(lib, task, *operands)
    if task.function != "mean_loss_and_grad":
        return forms
    return [(lib.xp.value_and_grad(formula, (1, 2)), layout) for formula, layout in forms]


@contender("jax.jit(jax.vmap)", "jax")
def _affine(lib, task, *operands):
    formula = _formula_of(lib, task)
    return lib.compiled(lib.xp.vmap(formula, (None, 0, 0), out_axes=task.set_axis), operands)


@contender("jax.jit(jax.vmap)", "jax", functions=LOSSES)
def _losses(lib, task, *operands):
    of_sets = partial(lib.xp.vmap, in_axes=(None, 0, 0, None))
    forms = _with_gradients(lib, task, *operands)
    return lib.fastest([lib.compiled(of_sets(of_set), layout) for of_set, layout in forms])


@contender("jax.jit(jax.lax.map)", "jax", functions=SUMS, devices=CPU)
def _map(lib, task, *operands):
    lax, forms = lib.xp.lax, _with_gradients(lib, task, *operands)
    if task.function == "affine_stats":
        formula, (x, w, b) = forms[0]
        rows = partial(lax.map, lambda row: formula(row, w[:, 0], b[:, 0]))
        return lib.compiled(rows, (x,))

    def over_sets(of_set, batch_size, x, w, b, t):
        return lax.map(lambda pair: of_set(x, *pair, t), (w, b), batch_size=batch_size)

    sizes = None, max(1, lib.chunks[0] // operands[0].size)
    return lib.fastest(
        [lib.compiled(partial(over_sets, f, n), layout) for f, layout in forms for n in sizes]
    )


# Keras on the CPU; KERAS_BACKEND says on which backend.


def _broadcasting(n_sets: int, n_features: int) -> tuple[Any, Any]:
    """Return a model (B, N, F) of a layer that broadcasts, and the layer."""
    import keras

    class Affine(keras.layers.Layer):
        def build(self, _):
            self.kernel = self.add_weight(shape=(n_sets, n_features))
            self.bias = self.add_weight(shape=(n_sets, n_features))

        def call(self, inputs):
            return inputs[:, None] * self.kernel + self.bias

    inputs, layer = keras.Input((n_features,)), Affine()
    return keras.Model(inputs, layer(inputs)), layer


def _few_sets(task: Task) -> bool:
    return _is_linear(task) and task.size[0] <= 1000  # a call for one takes some 30 ms


_KERAS: dict[str, Any] = {"devices": CPU, "requires": ("keras",), "reuses": False}
_KERAS["arranged"] = lambda task, result: result.swapaxes(0, 1)


@contender("Keras predict per set", functions=("affine", "predict"), can=_few_sets, **_KERAS)
def _per_set(lib, task, samples, weight, bias):
    model, layer = _broadcasting(1, weight.shape[1])
    batch_size = len(samples) if task.function == "affine" else None  # 32

    def one(n):
        layer.set_weights([weight[n : n + 1], bias[n : n + 1]])
        return model.predict(samples, batch_size=batch_size, verbose=0)

    return lambda: np.concatenate([one(n) for n in range(len(weight))], axis=1)


@contender("layer that broadcasts", functions=("predict",), **_KERAS)
def _all_sets(lib, task, samples, weight, bias):
    model, layer = _broadcasting(*weight.shape)
    layer.set_weights([weight, bias])
    return partial(model.predict, samples, verbose=0)


@contender("StackedAffine", functions=("predict",), **_KERAS)
def _stacked_affine(lib, task, samples, weight, bias):
    import keras

    from multisubnet.keras import StackedAffine

    layer = StackedAffine.from_weight_sets(ms.WeightSets(weight, bias))
    inputs = keras.Input((weight.shape[1],))
    return partial(keras.Model(inputs, layer(inputs)).predict, samples, verbose=0)
