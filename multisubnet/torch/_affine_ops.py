"""`affine`, its gradients and `affine_stats` as PyTorch operators.

Each has a fake implementation (``_fake...``), which gives the shape and dtype of its results, and
its gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import multisubnet as ms
from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arrays import validation
from multisubnet._functions.affine_vjp import gradients, problem_of
from multisubnet.torch._arrays import array_of, as_tensors, on_arrays, tensor_of
from multisubnet.torch._custom_op import (
    CustomOp,
    apply_of_one_level,
    concrete_array,
    decoded,
    encoded,
    recorded,
)
from multisubnet.torch._op_operands import (
    ACTIVATION,
    OPERANDS,
    WRT,
    check_writable,
    fake_gradient,
    join_names,
    named,
    names_of_needed,
    no_result,
    no_second_derivative,
    pick,
    result_dtype,
    shape_of,
    split_names,
)


def _affine(samples, weight, bias, activation, parameter, set_axis):
    return on_arrays(
        ms.affine,
        named(samples, weight, bias),
        activation=decoded(activation, parameter),
        set_axis=set_axis,
    )


def _fake_affine(samples, weight, bias, activation, parameter, set_axis):
    n_sets, n_samples, n_features = shape_of(samples, weight, bias)
    set_axis = validation.axis("set_axis", set_axis)
    shape = (n_samples, n_sets, n_features) if set_axis else (n_sets, n_samples, n_features)
    dtype = result_dtype((samples, weight, bias), activation, parameter)
    return samples.new_empty(shape, dtype=dtype)


def _save_affine(ctx, inputs, output):
    samples, weight, bias, *ctx.options, ctx.set_axis = inputs
    ctx.save_for_backward(samples, weight, bias)


def _affine_backward(ctx, cotangent):
    if ctx.set_axis:
        cotangent = cotangent.transpose(0, 1)
    needed = ctx.needs_input_grad[:3]
    wrt = join_names(names_of_needed(needed))
    found = affine_vjp(*ctx.saved_tensors, cotangent, *ctx.options, wrt)
    return *pick(found, needed), None, None, None


affine = CustomOp(
    f"affine({OPERANDS}, {ACTIVATION}, int set_axis) -> Tensor",
    _affine,
    _fake_affine,
    _save_affine,
    _affine_backward,
)


def evaluate(samples: Any, weight: Any, bias: Any, activation: Any, set_axis: Any) -> Tensor:
    """Return the result of `affine` for any operands that a user may pass."""
    is_recorded = recorded(samples, weight, bias)
    if is_recorded:
        record = apply_of_one_level(RecordedAffine)
        return record(samples, weight, bias, activation, set_axis)
    if is_recorded is False:
        return _of_concrete(samples, weight, bias, activation, set_axis)
    operands = as_tensors(named(samples, weight, bias)).values()
    return affine(*operands, *encoded(activation), set_axis)


def _of_concrete(samples, weight, bias, activation, set_axis):
    """Return the result of `affine` for concrete tensors on the CPU."""
    bias = None if bias is None else array_of("bias", bias)
    arrays = array_of("samples", samples), array_of("weight", weight), bias
    return tensor_of(ms.affine(*arrays, activation=activation, set_axis=set_axis))


class RecordedAffine(torch.autograd.Function):
    """`affine` of concrete tensors on the CPU, if autograd records."""

    @staticmethod
    def forward(ctx, samples, weight, bias, activation, set_axis):
        ctx.save_for_backward(samples, weight, bias)
        ctx.activation, ctx.set_axis = activation, set_axis
        return _of_concrete(samples, weight, bias, activation, set_axis)

    @staticmethod
    def backward(ctx, cotangent):
        array = concrete_array(cotangent)
        if array is None:
            ctx.options = encoded(ctx.activation)
            return _affine_backward(ctx, cotangent)[:-1]
        samples, weight, bias = ctx.saved_tensors
        bias = None if bias is None else array_of("bias", bias)
        operands = array_of("samples", samples), array_of("weight", weight), bias
        cotangent = array.swapaxes(0, 1) if ctx.set_axis else array
        wrt = names_of_needed(ctx.needs_input_grad[:3])
        found = _gradients(*operands, cotangent, ctx.activation, wrt)
        return *[None if x is None else tensor_of(x) for x in found], None, None


@keep_subnormals
def _gradients(samples, weight, bias, cotangent, activation, wrt):
    problem = problem_of(samples, weight, bias, cotangent, activation=activation)
    return gradients(problem, wrt)


def _affine_out(samples, weight, bias, out, activation, parameter, set_axis):
    on_arrays(
        ms.affine,
        named(samples, weight, bias) | {"out": check_writable(out)},
        activation=decoded(activation, parameter),
        set_axis=set_axis,
    )


affine_out = CustomOp(
    f"affine_out({OPERANDS}, Tensor(a!) out, {ACTIVATION}, int set_axis) -> ()",
    _affine_out,
    no_result,
)


def pull_back(samples, weight, bias, cotangent, activation, parameter, wrt):
    return on_arrays(
        ms.affine_vjp,
        {"samples": samples, "weight": weight, "bias": bias, "cotangent": cotangent},
        activation=decoded(activation, parameter),
        wrt=split_names(wrt),
    )


def fake_affine_vjp(samples, weight, bias, cotangent, activation, parameter, wrt):
    operands = samples, weight, bias
    return tuple(
        None if x is None or name not in split_names(wrt) else fake_gradient(x, operands)
        for name, x in zip(WRT, operands, strict=True)
    )


affine_vjp = CustomOp(
    f"affine_vjp({OPERANDS}, Tensor cotangent, {ACTIVATION}, str wrt) -> (Tensor, Tensor, Tensor)",
    pull_back,
    fake_affine_vjp,
    None,
    no_second_derivative,
)


def sum_over_sets(gradient: Tensor) -> Tensor:
    """Return the sum of gradients (N, ...) as (1, ...), in the order of `affine_vjp`."""
    rows = gradient.flatten(1)[:, None]
    ones = gradient.new_ones((1, rows.shape[2]))
    samples = ones.expand(gradient.shape[0], 1, -1)
    _, _, total = affine_vjp(samples, ones, ones, rows, None, None, "bias")
    return total.reshape(1, *gradient.shape[1:])


def scale(
    gradients: Sequence[Tensor | None],
    cotangent: Tensor | None,
    needed: Sequence[bool],
    are_shared: Sequence[bool],
    is_last_use: bool = False,
) -> list[Tensor | None]:
    """Return the gradients (N, ...) of losses, times the cotangent of the losses.

    Those of shared parameters are summed over sets. Gradients that are not needed are None. With
    `is_last_use`, a result may be one of the `gradients` itself.
    """
    found: list[Tensor | None] = [None] * len(gradients)
    if cotangent is None:
        return found
    is_of_sum = _is_of_sum(concrete_array(cotangent))
    for i, gradient in enumerate(gradients):
        if needed[i] and gradient is not None:
            if is_of_sum:
                product = gradient if is_last_use else gradient.clone()
            else:
                factor = cotangent.reshape(
                    *cotangent.shape, *[1] * (gradient.ndim - cotangent.ndim)
                )
                product = (gradient * factor).to(gradient.dtype)
            found[i] = sum_over_sets(product) if are_shared[i] else product
    return found


def _is_of_sum(cotangent: np.ndarray | None) -> bool:
    """Return whether this is the cotangent of ``losses.sum()``, one 1 that stands for all."""
    if cotangent is None or not cotangent.size or any(cotangent.strides):
        return False
    return cotangent.item(0) == 1


STATISTICS = "mean", "var", "std"


def _affine_stats(samples, weight, bias, set_weight, activation, parameter, statistics):
    asked = list(dict.fromkeys(split_names(statistics)))
    results = on_arrays(
        ms.affine_stats,
        named(samples, weight, bias) | {"set_weight": set_weight},
        activation=decoded(activation, parameter),
        statistics=asked,
    )
    found = dict(zip(asked, results, strict=True))
    return tuple(found.get(name) for name in STATISTICS)


def _fake_affine_stats(samples, weight, bias, set_weight, activation, parameter, statistics):
    _, *shape = shape_of(samples, weight, bias)
    return tuple(
        samples.new_empty(shape, dtype=torch.float64) if name in split_names(statistics) else None
        for name in STATISTICS
    )


def _no_statistics_backward(ctx, *grads):
    raise NotImplementedError(
        "affine_stats has no gradients: call it inside torch.no_grad(), or compute mean and spread "
        "from the result of affine"
    )


affine_stats = CustomOp(
    f"affine_stats({OPERANDS}, Tensor? set_weight, {ACTIVATION}, str statistics)"
    " -> (Tensor, Tensor, Tensor)",
    _affine_stats,
    _fake_affine_stats,
    None,
    _no_statistics_backward,
)
