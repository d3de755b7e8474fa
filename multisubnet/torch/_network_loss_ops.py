"""`mlp_mean_loss` and `mlp_mean_loss_and_grad` as PyTorch operators."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._functions.mlp_loss_problem import NetworkLoss
from multisubnet.torch._affine_ops import scale
from multisubnet.torch._arrays import array_of, numpy_dtype, tensor_of
from multisubnet.torch._custom_op import CustomOp, keeps_graph
from multisubnet.torch._network_operands import (
    OPERANDS,
    WORKING,
    call,
    count_sets,
    flat,
    rounds_gradients,
    working_dtype,
)
from multisubnet.torch._op_operands import is_one, no_second_derivative

_LOSS = (
    f"{OPERANDS}, Tensor targets, Tensor? sample_weight, str networks, str loss, "
    "bool per_subnetwork, ScalarType? dtype"
)


def _means(has_gradients, *arguments):
    *operands, targets, sample_weight, networks, loss, per_subnetwork, dtype = arguments
    others = {"targets": targets, "sample_weight": sample_weight}
    of_loss = loss, per_subnetwork, dtype
    return call(
        _judge, tuple(operands), networks, others, of_loss=of_loss, has_gradients=has_gradients
    )


@keep_subnormals
def _judge(options, of_loss, has_gradients, targets, sample_weight, **named):
    others = {"targets": targets, "sample_weight": sample_weight}
    loss, per_subnetwork, dtype = of_loss
    dtype = None if dtype is None else numpy_dtype("dtype", dtype)
    found = NetworkLoss(named, options, others, loss, per_subnetwork, dtype).means(has_gradients)
    means = flat(found)
    return means if has_gradients else means[0]


def _fake_mlp_mean_loss(samples, parameters, *others):
    *_, per_subnetwork, dtype = others
    n_sets = count_sets(samples, parameters, others[0])
    shape = (n_sets, parameters[0].shape[1]) if per_subnetwork else (n_sets,)
    return samples.new_empty(shape, dtype=dtype or torch.float64)


def _fake_mlp_mean_loss_and_grad(*arguments):
    samples, parameters, intercept = arguments[:3]
    loss = _fake_mlp_mean_loss(*arguments)
    n_sets = count_sets(samples, parameters, intercept)
    working = working_dtype(samples, parameters, intercept)
    return [loss] + [
        x.new_empty((n_sets, *x.shape[1:]), dtype=x.dtype if x.is_floating_point() else working)
        for x in (*parameters, intercept)
        if x is not None
    ]


def _save_mlp_mean_loss(ctx, inputs, output):
    _, *gradients = output
    _, parameters, intercept = inputs[:3]
    given = [x for x in (*parameters, intercept) if x is not None]
    ctx.save_for_backward(*gradients)
    ctx.n_parameters, ctx.has_intercept = len(parameters), intercept is not None
    of_one_set = is_one(gradients[0].shape[0])
    ctx.are_shared = [not of_one_set and is_one(x.shape[0]) for x in given]
    ctx.set_materialize_grads(False)


def _mlp_mean_loss_backward(ctx, cotangent, *of_gradients):
    if any(x is not None for x in of_gradients):
        no_second_derivative()
    needed = ctx.needs_input_grad
    after = 1 + ctx.n_parameters
    _expect_constants(needed[0], *needed[after + 1 : after + 3])
    found = scale(ctx.saved_tensors, cotangent, needed[1:], ctx.are_shared)
    of_intercept = found.pop() if ctx.has_intercept else None
    return None, found, of_intercept, *(None,) * 6


def _expect_constants(*needed: bool) -> None:
    """Raise if gradients of samples, targets or sample_weight are needed."""
    for is_needed, name in zip(needed, ("samples", "targets", "sample_weight"), strict=True):
        if is_needed:
            raise NotImplementedError(
                f"mlp_mean_loss has gradients of layers and intercept only, but {name} requires "
                f"one: pass {name}.detach(), or apply a PyTorch loss to the result of mlp"
            )


mlp_mean_loss_and_grad = CustomOp(
    f"mlp_mean_loss_and_grad({_LOSS}) -> Tensor[]",
    functools.partial(_means, True),
    _fake_mlp_mean_loss_and_grad,
    _save_mlp_mean_loss,
    _mlp_mean_loss_backward,
)


def _with_working_parameters(samples, parameters, intercept, *others):
    # Gradients stay in the working dtype, and are rounded after multiplication by the cotangent.
    if rounds_gradients(samples, parameters, intercept):
        working = working_dtype(samples, parameters, intercept)
        parameters = [x.to(working) if x.is_floating_point() else x for x in parameters]
        if intercept is not None and intercept.is_floating_point():
            intercept = intercept.to(working)
    return samples, parameters, intercept, *others


mlp_mean_loss = CustomOp(
    f"mlp_mean_loss({_LOSS}) -> Tensor",
    functools.partial(_means, False),
    _fake_mlp_mean_loss,
    recorded=(mlp_mean_loss_and_grad, _with_working_parameters),
)


class RecordedLoss(torch.autograd.Function):
    """`mlp_mean_loss` of concrete tensors on the CPU, if autograd records.

    The operator returns gradients as tensors of the graph, which users may hold. Here only the
    graph holds them; the last backward pass returns them without a copy.
    """

    @staticmethod
    def forward(ctx, names, options, of_loss, *tensors):
        arrays = {
            name: None if x is None else array_of(name, x)
            for name, x in zip(names, tensors, strict=True)
        }
        loss, *gradients = _judge(options, of_loss, True, **arrays)
        _, *parameters, _, _ = tensors
        ctx.save_for_backward(*map(tensor_of, gradients), *parameters)
        ctx.are_shared = [len(x) != len(loss) for x in parameters]
        ctx.set_materialize_grads(False)
        return tensor_of(loss)

    @staticmethod
    def backward(ctx, cotangent):
        of_samples, *needed, of_targets, of_weight = ctx.needs_input_grad[3:]
        if of_samples or of_targets or of_weight:
            _expect_constants(of_samples, of_targets, of_weight)
        saved = ctx.saved_tensors
        if cotangent is None:  # nothing that follows depends on the loss
            return (None,) * len(ctx.needs_input_grad)
        gradients = saved[: len(needed)]
        if torch.is_grad_enabled():
            gradients = _OfParameters.apply(len(needed), *saved)
        found = scale(gradients, cotangent, needed, ctx.are_shared, is_last_use=not keeps_graph())
        return *(None,) * 4, *found, None, None


class _OfParameters(torch.autograd.Function):
    """Gradients that depend on parameters, with derivatives that do not exist."""

    @staticmethod
    def forward(ctx, n_gradients, *tensors):
        return tuple([x.view_as(x) for x in tensors[:n_gradients]])

    @staticmethod
    def backward(ctx, *grads):
        no_second_derivative()


def keeps_dtype(operands: dict[str, Tensor | None]) -> bool:
    """Return whether gradients have the dtype of their computation, for all of these operands."""
    samples, *parameters, _, _ = operands.values()
    if samples is None or samples.dtype not in WORKING:
        return False
    return all(x is not None and x.dtype == samples.dtype for x in parameters)
