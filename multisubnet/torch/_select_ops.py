"""`affine_select` and its gradients as PyTorch operators."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

import multisubnet as ms
from multisubnet.torch._affine_ops import fake_affine_vjp, pull_back, sum_over_sets
from multisubnet.torch._arrays import on_arrays
from multisubnet.torch._custom_op import CustomOp, decoded
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


def _affine_select(samples, weight, bias, set_index, activation, parameter, check):
    return on_arrays(
        ms.affine_select,
        named(samples, weight, bias) | {"set_index": set_index},
        activation=decoded(activation, parameter),
        check=check,
    )


def _fake_affine_select(samples, weight, bias, set_index, activation, parameter, check):
    operands = samples, weight, bias
    shape_of(*operands)
    return samples.new_empty(samples.shape, dtype=result_dtype(operands, activation, parameter))


def _save_affine_select(ctx, inputs, output):
    samples, weight, bias, set_index, *ctx.options, _ = inputs
    ctx.save_for_backward(samples, weight, bias, set_index)


def _affine_select_backward(ctx, cotangent):
    needed = ctx.needs_input_grad[:3]
    wrt = join_names(names_of_needed(needed))
    gradients = affine_select_vjp(*ctx.saved_tensors, cotangent, *ctx.options, wrt)
    return *pick(gradients, needed), None, None, None, None


affine_select = CustomOp(
    f"affine_select({OPERANDS}, Tensor set_index, {ACTIVATION}, bool? check) -> Tensor",
    _affine_select,
    _fake_affine_select,
    _save_affine_select,
    _affine_select_backward,
)


def _affine_select_out(samples, weight, bias, set_index, out, activation, parameter, check):
    on_arrays(
        ms.affine_select,
        named(samples, weight, bias) | {"set_index": set_index, "out": check_writable(out)},
        activation=decoded(activation, parameter),
        check=check,
    )


affine_select_out = CustomOp(
    f"affine_select_out({OPERANDS}, Tensor set_index, Tensor(a!) out, {ACTIVATION}, bool? check)"
    " -> ()",
    _affine_select_out,
    no_result,
)


def _affine_select_vjp(samples, weight, bias, set_index, cotangent, activation, parameter, wrt):
    """Pull back the samples of each set; sets with equal numbers of samples are batched."""
    operands = dict(zip(WRT, (samples, weight, bias), strict=True))
    n_sets = max(len(x) for x in (weight, bias) if x is not None)
    gradients = {}
    for name in split_names(wrt):
        x = operands[name]
        shape = x.shape if name == "samples" else (n_sets, *x.shape[1:])
        gradients[name] = torch.zeros_like(fake_gradient(x, (samples, weight, bias), shape))

    for sets, rows in sets_and_rows(set_index, n_sets):
        w, b = (x if x is None else x.expand(n_sets, -1)[sets] for x in (weight, bias))
        part = pull_back(samples[rows], w, b, cotangent[rows], activation, parameter, wrt)
        for name, gradient in named(*part).items():
            if name in gradients:
                gradients[name][rows if name == "samples" else sets] = gradient
    for name in {"weight", "bias"} & gradients.keys():
        if len(operands[name]) != n_sets:
            gradients[name] = sum_over_sets(gradients[name])
    return tuple(gradients.get(name) for name in WRT)


def sets_and_rows(set_index: Tensor, n_sets: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield sets with equal numbers of samples, and their samples, (sets, samples per set)."""
    # In int64, because N may exceed a narrower dtype; uint64 indices above its range are negative.
    index = set_index.to(torch.int64)
    order = torch.argsort(index, stable=True)
    for b in order[[0, -1]].tolist() if len(order) else ():
        if not 0 <= index[b] < n_sets:
            number = set_index[b].cpu().numpy()  # PyTorch cannot convert large uint64 to int
            raise IndexError(f"set_index contains {number}, but there are only {n_sets} sets")
    counts = torch.bincount(index, minlength=n_sets)
    starts = torch.cumsum(counts, 0) - counts
    for count in counts.unique().tolist():
        if count:
            (sets,) = torch.nonzero(counts == count, as_tuple=True)
            yield sets, order[starts[sets, None] + torch.arange(count, device=order.device)]


def _fake_affine_select_vjp(
    samples, weight, bias, set_index, cotangent, activation, parameter, wrt
):
    return fake_affine_vjp(samples, weight, bias, cotangent, activation, parameter, wrt)


affine_select_vjp = CustomOp(
    f"affine_select_vjp({OPERANDS}, Tensor set_index, Tensor cotangent, {ACTIVATION}, str wrt)"
    " -> (Tensor, Tensor, Tensor)",
    _affine_select_vjp,
    _fake_affine_select_vjp,
    None,
    no_second_derivative,
)
