"""More contenders: for the mean losses, their gradients, and the statistics over sets.

Importing this adds them to the list. Losses come as (N,), gradients as (N, F) each, after the
losses; mean and standard deviation as (B, F).

All sets are judged apart, so that the gradient of the sum of their losses has the gradient of each.
What is fastest depends on task and library: whether samples and targets are transposed, so that the
innermost axis is the long one; whether sets are evaluated at once or some after the other, so that
what lies between stays in a cache. Where a user would try several forms, the fastest is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from contenders import NUMPY, Call, contender, fastest, is_linear, on_torch, tensors
from reference import reduced
from tasks import MEAN_LOSSES, Task

_CACHED = 1 << 18  # elements that may lie between two passes

_LOSSES = {
    "squared_error": lambda xp, error: error * error,
    "absolute_error": lambda xp, error: xp.abs(error),
    "huber": lambda xp, error: xp.where(
        xp.abs(error) <= 1, 0.5 * error * error, xp.abs(error) - 0.5
    ),
}


def _chunk(samples: np.ndarray) -> int:
    """Return of how many sets the results fit into the cache."""
    return max(1, _CACHED // samples.size)


# NumPy.


@contender(NUMPY, functions=(*MEAN_LOSSES, "affine_stats"), reuses=False, at_most_sets=100)
def _numpy(task, *operands):
    return partial(reduced, task, *operands)


def _has_closed_form(task: Task) -> bool:
    return task.loss == "squared_error" and is_linear(task)


@contender("closed form in NumPy", functions=MEAN_LOSSES, can=_has_closed_form, reuses=False)
def _closed_form(task, samples, weight, bias, targets):
    def call():
        x, t = samples.astype(np.float64), targets.astype(np.float64)
        mean_x, mean_t = x.mean(0), t.mean(0)
        x -= mean_x
        t -= mean_t
        var_x, cov = (x * x).mean(0), (x * t).mean(0)
        slope = cov / var_x  # of the best line, and what that leaves
        rest = (t * t).mean(0) - slope * cov
        tilt = weight - slope
        shift = weight * mean_x + bias - mean_t
        loss = (var_x * tilt**2 + shift**2 + rest).mean(1)
        if task.function == "mean_loss":
            return loss
        scale = 2 / x.shape[1]
        return loss, scale * (var_x * tilt + mean_x * shift), scale * shift

    return call


# PyTorch and JAX.


def _mean_losses(task: Task, xp: Any, activation: Callable, place: Any) -> Callable:
    """Return the loss as a function of weight and bias, which `place` broadcasts, and the data."""

    def mean_losses(w, b, x, t):
        predicted = activation(x * w[place] + b[place])
        return _LOSSES[task.loss](xp, predicted - t).mean((-2, -1))

    return mean_losses


def _activation(task: Task, namespace: Any) -> Callable:
    return getattr(namespace, task.activation) if task.activation else lambda z: z


def _layouts(samples, weight, bias, *targets) -> Iterator[tuple[np.ndarray, ...]]:
    """Give weight and bias, and samples and targets as they are; then with those transposed."""
    yield weight, bias, samples, *targets
    yield weight, bias, *(array.T.copy() for array in (samples, *targets))


_TORCH_PLACES = np.s_[:, None], np.s_[:, :, None]


def torch_forms(
    task: Task, operands: tuple, adopt: Callable = tensors
) -> Iterator[tuple[Callable, tuple]]:
    """Give functions of weight, bias and data, and the tensors that they take."""
    import torch

    for place, layout in zip(_TORCH_PLACES, _layouts(*operands), strict=True):
        yield _mean_losses(task, torch, _activation(task, torch), place), tuple(adopt(*layout))


@contender("torch.compile", functions=("mean_loss",), reuses=False, **on_torch)
def _torch_losses(task, *operands):
    import torch

    forms = torch_forms(task, operands)
    return fastest(
        [partial(torch.compile(losses, dynamic=False), *layout) for losses, layout in forms]
    )


@contender("torch.compile", functions=("mean_loss_and_grad",), requires=("torch",), reuses=False)
def _torch_gradients(task, *operands):
    candidates: list[Call] = []
    for losses, layout in torch_forms(task, operands):
        candidates += [
            torch_backward(losses, *layout),
            torch_in_one_graph(losses, len(operands[1]), *layout),
            torch_in_one_graph(losses, _chunk(operands[0]), *layout),
        ]
    return fastest(candidates)


def torch_backward(losses: Callable, weight, bias, *data) -> Call:
    """Return a call that has losses from a forward pass, and gradients from a backward one."""
    import torch

    compiled = torch.compile(losses, dynamic=False)
    parameters = [tensor.clone().requires_grad_() for tensor in (weight, bias)]

    def call():
        loss = compiled(*parameters, *data)
        return loss.detach(), *torch.autograd.grad(loss.sum(), parameters)

    return call


def torch_in_one_graph(losses: Callable, chunk: int, weight, bias, *data) -> Call:
    """Return a call that has losses and gradients from one graph, for `chunk` sets at a time."""
    import torch

    def total(w, b, *data):
        loss = losses(w, b, *data)
        return loss.sum(), loss

    @partial(torch.compile, dynamic=False)
    def compiled(w, b, *data):
        gradients, loss = torch.func.grad(total, (0, 1), has_aux=True)(w, b, *data)
        return loss, *gradients

    if chunk >= len(weight):
        return partial(compiled, weight, bias, *data)
    chunks = list(zip(weight.split(chunk), bias.split(chunk), strict=True))

    def call():
        parts = [compiled(*some, *data) for some in chunks]
        return tuple(map(torch.cat, zip(*parts, strict=True)))

    return call


_JAX_PLACES = np.s_[...], np.s_[:, None]  # of one set


def jax_forms(task: Task, operands: tuple) -> Iterator[tuple[Callable, tuple]]:
    """Give functions of one set, and what they take for all of them."""
    import jax

    for place, layout in zip(_JAX_PLACES, _layouts(*operands), strict=True):
        of_set = _mean_losses(task, jax.numpy, _activation(task, jax.nn), place)
        yield of_set if task.function == "mean_loss" else _with_gradients(of_set), layout


def _with_gradients(of_set: Callable) -> Callable:
    import jax

    with_gradients = jax.value_and_grad(of_set, (0, 1))

    def flat(*operands):
        loss, gradients = with_gradients(*operands)
        return loss, *gradients

    return flat


def _jitted(function: Callable, *operands) -> Call:
    import jax

    compiled = jax.jit(function)
    operands = tuple(map(jax.numpy.asarray, operands))
    return lambda: jax.block_until_ready(compiled(*operands))


_on_jax = {"functions": MEAN_LOSSES, "requires": ("jax",), "reuses": False}


@contender("jax.jit(jax.vmap)", **_on_jax)
def _jax_vmap(task, *operands):
    import jax

    return fastest(
        [
            _jitted(jax.vmap(of_set, (0, 0, None, None)), *layout)
            for of_set, layout in jax_forms(task, operands)
        ]
    )


@contender("jax.jit(jax.lax.map)", **_on_jax)
def _jax_map(task, *operands):
    import jax

    def over_sets(of_set, batch_size, w, b, *data):
        return jax.lax.map(lambda pair: of_set(*pair, *data), (w, b), batch_size=batch_size)

    return fastest(
        [
            _jitted(partial(over_sets, of_set, batch_size), *layout)
            for of_set, layout in jax_forms(task, operands)
            for batch_size in (None, _chunk(operands[0]))
        ]
    )


# Statistics. The sets are the first axis, or the last.


@contender("torch.compile", functions=("affine_stats",), reuses=False, **on_torch)
def _torch_stats(task, samples, weight, bias):
    import torch

    activation = _activation(task, torch)

    @partial(torch.compile, dynamic=False)
    def spread(x, w, b, axis):
        std, mean = torch.std_mean(activation(x * w + b), axis, correction=0)
        return mean, std

    samples, weight, bias = tensors(samples, weight, bias)
    first = samples, weight[:, None], bias[:, None]
    last = samples[..., None], weight.T.contiguous(), bias.T.contiguous()
    return fastest([partial(spread, *first, 0), partial(spread, *last, -1)])


def _jax_spread(task: Task, axis: int) -> Callable:
    import jax

    activation = _activation(task, jax.nn)

    def spread(x, w, b):
        z = activation(x * w + b)
        return z.mean(axis), z.std(axis)

    return spread


_stats_on_jax = {"functions": ("affine_stats",), "requires": ("jax",), "reuses": False}


@contender("jax.jit", **_stats_on_jax)
def _jax_stats(task, samples, weight, bias):
    last = samples[..., None], weight.T.copy(), bias.T.copy()
    return fastest(
        [
            _jitted(_jax_spread(task, 0), samples, weight[:, None], bias[:, None]),
            _jitted(_jax_spread(task, -1), *last),
        ]
    )


@contender("jax.jit(jax.lax.map)", **_stats_on_jax)
def _jax_stats_map(task, *operands):
    import jax

    def over_samples(x, w, b):
        return jax.lax.map(lambda row: _jax_spread(task, 0)(row, w, b), x)

    return _jitted(over_samples, *operands)
