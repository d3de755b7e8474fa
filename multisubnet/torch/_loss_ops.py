"""`mean_loss` and `mean_loss_and_grad` as PyTorch operators."""

from __future__ import annotations

import torch

import multisubnet as ms
from multisubnet.torch._affine_ops import scale
from multisubnet.torch._arrays import numpy_dtype, on_arrays
from multisubnet.torch._custom_op import CustomOp, decoded
from multisubnet.torch._op_operands import (
    ACTIVATION,
    OPERANDS,
    fake_gradient,
    is_one,
    named,
    no_second_derivative,
    rounds_gradients,
    shape_of,
    working_dtype,
)

_LOSS = (
    f"{OPERANDS}, Tensor targets, Tensor? sample_weight, {ACTIVATION}, str loss, "
    "bool per_feature, ScalarType? dtype"
)


def _on_loss(function, *arguments):
    samples, weight, bias, targets, sample_weight, activation, parameter, *options = arguments
    loss, per_feature, dtype = options
    return on_arrays(
        function,
        named(samples, weight, bias) | {"targets": targets, "sample_weight": sample_weight},
        activation=decoded(activation, parameter),
        loss=loss,
        per_feature=per_feature,
        dtype=None if dtype is None else numpy_dtype("dtype", dtype),
    )


def _mean_loss(*arguments):
    return _on_loss(ms.mean_loss, *arguments)


def _fake_mean_loss(*arguments):
    samples, weight, bias, *_, per_feature, dtype = arguments
    n_sets, _, n_features = shape_of(samples, weight, bias)
    shape = (n_sets, n_features) if per_feature else (n_sets,)
    return samples.new_empty(shape, dtype=dtype or torch.float64)


def _mean_loss_and_grad(*arguments):
    return _on_loss(ms.mean_loss_and_grad, *arguments)


def _fake_mean_loss_and_grad(*arguments):
    operands = _, weight, bias = arguments[:3]
    loss = _fake_mean_loss(*arguments)
    n_sets, _, n_features = shape_of(*operands)
    shape = n_sets, n_features
    grad_bias = None if bias is None else fake_gradient(weight, operands, shape)
    return loss, fake_gradient(weight, operands, shape), grad_bias


def _save_mean_loss(ctx, inputs, output):
    _, *gradients = output
    _, *parameters = inputs[:3]
    ctx.save_for_backward(*gradients)
    n_sets = gradients[0].shape[0]
    ctx.are_shared = [
        x is not None and is_one(x.shape[0]) and not is_one(n_sets) for x in parameters
    ]
    ctx.set_materialize_grads(False)


def _mean_loss_backward(ctx, cotangent, *of_gradients):
    if any(x is not None for x in of_gradients):
        no_second_derivative()
    for i, name in ((0, "samples"), (3, "targets"), (4, "sample_weight")):
        if ctx.needs_input_grad[i]:
            raise NotImplementedError(
                f"mean_loss has gradients of weight and bias only, but {name} requires one: pass "
                f"{name}.detach(), or apply a PyTorch loss to the result of affine"
            )
    found = scale(ctx.saved_tensors, cotangent, ctx.needs_input_grad[1:], ctx.are_shared)
    return None, *found, *(None,) * 7


mean_loss_and_grad = CustomOp(
    f"mean_loss_and_grad({_LOSS}) -> (Tensor, Tensor, Tensor)",
    _mean_loss_and_grad,
    _fake_mean_loss_and_grad,
    _save_mean_loss,
    _mean_loss_backward,
)


def _with_working_weight(samples, weight, bias, *others):
    # Gradients stay in the working dtype, and are rounded after multiplication by the cotangent.
    if rounds_gradients(samples, weight, bias):
        weight = weight.to(working_dtype(samples, weight, bias))
    return samples, weight, bias, *others


mean_loss = CustomOp(
    f"mean_loss({_LOSS}) -> Tensor",
    _mean_loss,
    _fake_mean_loss,
    recorded=(mean_loss_and_grad, _with_working_weight),
)
