"""The formulas in NumPy, and whether a result agrees with them."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
from tasks import Task

_BLOCK = 1 << 18  # elements that are checked at once
_FAR = 1e-4  # of the length of a vector of losses, gradients or statistics


def activated(activation: str | None, z: np.ndarray) -> np.ndarray:
    """Apply an activation in place."""
    if activation == "relu":
        return np.maximum(z, 0, out=z)
    if activation == "tanh":
        return np.tanh(z, out=z)
    if activation == "sigmoid":
        np.exp(np.negative(z, out=z), out=z)
        return np.divide(1, np.add(z, 1, out=z), out=z)
    return z


# The derivative of an activation, by its value p.
_DERIVATIVES = {"tanh": lambda p: 1 - p * p, "sigmoid": lambda p: p * (1 - p)}


def _clipped(error: np.ndarray) -> np.ndarray:
    return np.clip(error, -1, 1)


# Loss, and derivative, by the error.
_LOSSES = {
    "squared_error": (np.square, lambda error: 2 * error),
    "absolute_error": (np.abs, np.sign),
    "huber": (lambda error: _clipped(error) * (error - _clipped(error) / 2), _clipped),
}


def reduced(
    task: Task, samples: np.ndarray, weight: np.ndarray, bias: np.ndarray, *targets: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return the losses, with gradients or not, or the statistics, in the operands' dtype."""
    z = samples * weight[:, None]
    z += bias[:, None]
    predicted = activated(task.activation, z)
    if task.function == "affine_stats":
        return predicted.mean(0), predicted.std(0)
    value, derivative = _LOSSES[task.loss]
    if task.function == "mean_loss":
        predicted -= targets[0]
        return (value(predicted).mean((1, 2)),)
    error = predicted - targets[0]
    slope = derivative(error)
    if task.activation is not None:
        slope *= _DERIVATIVES[task.activation](predicted)
    slope /= samples.size
    grad_weight = np.einsum("nbf,bf->nf", slope, samples)
    return value(error).mean((1, 2)), grad_weight, slope.sum(1)


def agrees(
    task: Task, result: object, operands: tuple[np.ndarray, ...], sets: range | None = None
) -> bool:
    """Whether a result is wrong by no more than roundings can explain.

    It may be that of some sets: then weight and bias are of those only, which are the task's first
    ones, or else have the numbers `sets`.
    """
    if task.written is None:
        return _agrees_reduced(task, result, sets or range(len(operands[1])))
    result = np.asarray(result)
    if task.set_axis:
        result = result.swapaxes(0, 1)
    shape = len(operands[1]), *task.size[1:]
    blocks = _blocks
    if task.function == "affine_select":
        shape, blocks = task.written, _selected_blocks
    if result.shape != shape or result.dtype != task.dtype:
        return False
    return all(_is_close(task.activation, result[at], *block) for at, *block in blocks(*operands))


def _blocks(samples, weight, bias) -> Iterator[tuple]:
    """Cut the result of affine: places, and the samples, weight and bias there."""
    sets = max(1, _BLOCK // samples.size)
    rows = max(1, _BLOCK // samples.shape[1])
    for n in range(0, len(weight), sets):
        for b in range(0, len(samples), rows):
            some = np.s_[n : n + sets, None]
            yield np.s_[n : n + sets, b : b + rows], samples[b : b + rows], weight[some], bias[some]


def _selected_blocks(samples, weight, bias, set_index) -> Iterator[tuple]:
    """Cut the result of affine_select in the same way."""
    rows = max(1, _BLOCK // samples.shape[1])
    for b in range(0, len(samples), rows):
        at = np.s_[b : b + rows]
        yield at, samples[at], weight[set_index[at]], bias[set_index[at]]


def _is_close(activation, result, samples, weight, bias) -> bool:
    """Whether a result is within what a fused operation may round otherwise.

    Activations of other libraries are allowed 64 ulp of 1.
    """
    limits = np.finfo(result.dtype)
    if result.dtype == np.float16:  # whose own roundings are no part of what is allowed
        arrays = result, samples, weight, bias
        result, samples, weight, bias = (array.astype(np.float32) for array in arrays)
    product = samples * weight
    error = np.abs(result - activated(activation, product + bias))
    allowed = 2 * limits.eps * (np.abs(product) + np.abs(bias))
    allowed += limits.tiny * limits.eps  # the distance of subnormal numbers
    if activation is not None:
        allowed += 64 * limits.eps
    return bool((error <= allowed).all())


def _agrees_reduced(task: Task, result: object, sets: range) -> bool:
    """Whether losses, gradients or statistics agree with those in float64.

    The distance is that of all of them, since the gradient of the absolute error may jump between
    one rounding and another.
    """
    expected = _expected(task, sets)
    found = [np.asarray(r) for r in (result if isinstance(result, (tuple, list)) else (result,))]
    if [f.shape for f in found] != [e.shape for e in expected]:
        return False
    return all(
        np.linalg.norm(f - e) <= _FAR * np.linalg.norm(e)
        for f, e in zip(found, expected, strict=True)
    )


@functools.lru_cache(maxsize=2)
def _expected(task: Task, sets: range) -> tuple[np.ndarray, ...]:
    """Return `reduced` in float64, for some of the sets, in parts that fit into memory."""
    samples, weight, bias, *targets = (array.astype(np.float64) for array in task.operands())
    weight, bias = (array[sets.start : sets.stop : sets.step] for array in (weight, bias))
    parts = math.ceil(len(sets) * samples.size / _BLOCK)

    def cut(array: np.ndarray) -> list[np.ndarray]:
        return np.array_split(array, min(parts, len(array)))

    if task.function == "affine_stats":
        results = [reduced(task, some, weight, bias) for some in cut(samples)]
    else:
        pairs = zip(cut(weight), cut(bias), strict=True)
        results = [reduced(task, samples, *pair, *targets) for pair in pairs]
    return tuple(map(np.concatenate, zip(*results, strict=True)))
