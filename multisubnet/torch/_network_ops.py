"""Networks with hidden layers as PyTorch operators, with fake results and gradients."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

import multisubnet as ms
from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._functions import mlp_operands
from multisubnet._functions.mlp import evaluate
from multisubnet._functions.mlp_vjp import Pullback
from multisubnet.torch._affine_ops import sum_over_sets
from multisubnet.torch._arrays import array_of, tensor_of
from multisubnet.torch._custom_op import CustomOp, concrete_array
from multisubnet.torch._network_operands import (
    OPERANDS,
    call,
    count_sets,
    flat,
    op_arguments,
    result_dtype,
    shape_of,
    working_dtype,
)
from multisubnet.torch._op_operands import (
    check_writable,
    join_names,
    no_result,
    no_second_derivative,
    split_names,
)
from multisubnet.torch._select_ops import sets_and_rows

_WRT = "samples", "layers", "intercept"


# mlp


def _mlp(samples, parameters, intercept, networks, set_axis):
    operands = samples, parameters, intercept
    return call(_evaluate, operands, networks, {}, set_axis=set_axis)


def _evaluate(options, set_axis, out=None, **named):
    return evaluate(named, options, set_axis, out)


def _fake_mlp(samples, parameters, intercept, networks, set_axis):
    operands = samples, parameters, intercept
    n_sets, n_samples, *rest = shape_of(operands, networks)
    first = (n_samples, n_sets) if set_axis else (n_sets, n_samples)
    return samples.new_empty((*first, *rest), dtype=result_dtype(operands, networks))


def _save_mlp(ctx, inputs, output):
    samples, parameters, intercept, ctx.networks, ctx.set_axis = inputs
    ctx.save_for_backward(samples, *parameters, intercept)


def _mlp_backward(ctx, cotangent):
    samples, *parameters, intercept = ctx.saved_tensors
    wrt, are_computed = _wrt_of_operator(ctx, len(parameters))
    operands = samples, parameters, intercept
    found = _pull_back_by_operator(*operands, ctx.networks, cotangent, ctx.set_axis, wrt)
    return *_spread(found, are_computed), None, None


def _pull_back_by_operator(samples, parameters, intercept, networks, cotangent, set_axis, wrt):
    cotangent = cotangent.transpose(0, 1) if set_axis else cotangent
    return mlp_vjp(samples, parameters, intercept, cotangent, networks, join_names(wrt))


def _wrt_of_operator(ctx: Any, n_parameters: int) -> tuple[list[str], list[bool]]:
    """Return `_wrt_of` for an operator whose operands come first, as in `OPERANDS`."""
    names = "samples", *["layers"] * n_parameters, "intercept"
    return _wrt_of(names, ctx.needs_input_grad[: len(names)])


@functools.cache
def _wrt_of(names: tuple[str, ...], needed: tuple[bool, ...]) -> tuple[list[str], list[bool]]:
    """Return the names in `_WRT` whose gradients are needed, and which operands they cover."""
    groups = [name.partition("[")[0] for name in names]
    found = {group for group, is_needed in zip(groups, needed, strict=True) if is_needed}
    return [name for name in _WRT if name in found], [group in found for group in groups]


def _spread(found: Iterable[Tensor], are_computed: list[bool]) -> list[Tensor | None]:
    """Return the gradients found, and None for operands without one."""
    rest = iter(found)
    return [next(rest) if is_computed else None for is_computed in are_computed]


class RecordedMlp(torch.autograd.Function):
    """`mlp` of concrete tensors on the CPU, if autograd records."""

    @staticmethod
    def forward(ctx, names, options, set_axis, *tensors):
        ctx.save_for_backward(*tensors)
        ctx.names, ctx.options, ctx.set_axis = names, options, set_axis
        arrays = {name: array_of(name, x) for name, x in zip(names, tensors, strict=True)}
        return tensor_of(evaluate(arrays, options, set_axis, None))

    @staticmethod
    def backward(ctx, cotangent):
        wrt, are_computed = _wrt_of(ctx.names, ctx.needs_input_grad[3:])
        named = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        array = concrete_array(cotangent)
        if array is None:
            arguments = op_arguments(named, ctx.options)
            found = _pull_back_by_operator(*arguments, cotangent, ctx.set_axis, wrt)
        else:
            arrays = {name: array_of(name, x) for name, x in named.items()}
            array = array.swapaxes(0, 1) if ctx.set_axis else array
            found = map(tensor_of, _pull_back(ctx.options, wrt, array, **arrays))
        return *(None,) * 3, *_spread(found, are_computed)


mlp = CustomOp(
    f"mlp({OPERANDS}, str networks, int set_axis) -> Tensor",
    _mlp,
    _fake_mlp,
    _save_mlp,
    _mlp_backward,
)


def _mlp_out(samples, parameters, intercept, out, networks, set_axis):
    operands = samples, parameters, intercept
    call(_evaluate, operands, networks, {"out": check_writable(out)}, set_axis=set_axis)


mlp_out = CustomOp(
    f"mlp_out({OPERANDS}, Tensor(a!) out, str networks, int set_axis) -> ()", _mlp_out, no_result
)


def _mlp_vjp(samples, parameters, intercept, cotangent, networks, wrt):
    operands, others = (samples, parameters, intercept), {"cotangent": cotangent}
    return call(_pull_back, operands, networks, others, wrt=split_names(wrt))


@keep_subnormals
def _pull_back(options, wrt, cotangent, **named):
    return flat(Pullback(named, options, cotangent).gradients(wrt))


def _fake_mlp_vjp(samples, parameters, intercept, cotangent, networks, wrt):
    operands = {"samples": [samples], "layers": parameters, "intercept": [intercept]}
    working = working_dtype(samples, parameters, intercept)
    return [
        x.new_empty(x.shape, dtype=x.dtype if x.is_floating_point() else working)
        for name in _WRT
        if name in split_names(wrt)
        for x in operands[name]
        if x is not None
    ]


mlp_vjp = CustomOp(
    f"mlp_vjp({OPERANDS}, Tensor cotangent, str networks, str wrt) -> Tensor[]",
    _mlp_vjp,
    _fake_mlp_vjp,
    None,
    no_second_derivative,
)


# mlp_select


def _mlp_select(samples, parameters, intercept, set_index, networks, check):
    operands = samples, parameters, intercept
    return call(_select, operands, networks, {"set_index": set_index}, check=check)


def _select(options, check, **named):
    return mlp_operands.call_by_name(ms.mlp_select, named, options, check=check)


def _fake_mlp_select(samples, parameters, intercept, set_index, networks, check):
    operands = samples, parameters, intercept
    _, *shape = shape_of(operands, networks)
    return samples.new_empty(shape, dtype=result_dtype(operands, networks))


def _save_mlp_select(ctx, inputs, output):
    samples, parameters, intercept, set_index, ctx.networks, _ = inputs
    ctx.save_for_backward(samples, *parameters, intercept, set_index)


def _mlp_select_backward(ctx, cotangent):
    samples, *parameters, intercept, set_index = ctx.saved_tensors
    wrt, are_computed = _wrt_of_operator(ctx, len(parameters))
    operands = samples, parameters, intercept
    found = mlp_select_vjp(*operands, set_index, cotangent, ctx.networks, join_names(wrt))
    return *_spread(found, are_computed), None, None, None


mlp_select = CustomOp(
    f"mlp_select({OPERANDS}, Tensor set_index, str networks, bool? check) -> Tensor",
    _mlp_select,
    _fake_mlp_select,
    _save_mlp_select,
    _mlp_select_backward,
)


def _mlp_select_out(samples, parameters, intercept, set_index, out, networks, check):
    others = {"set_index": set_index, "out": check_writable(out)}
    call(_select, (samples, parameters, intercept), networks, others, check=check)


mlp_select_out = CustomOp(
    f"mlp_select_out({OPERANDS}, Tensor set_index, Tensor(a!) out, str networks, bool? check)"
    " -> ()",
    _mlp_select_out,
    no_result,
)


def _mlp_select_vjp(samples, parameters, intercept, set_index, cotangent, networks, wrt):
    """Pull back the samples of each set; sets with equal numbers of samples are batched."""
    asked, n_sets = split_names(wrt), count_sets(samples, parameters, intercept)
    operands = {"samples": [samples], "layers": parameters, "intercept": [intercept]}
    given = [x for name in _WRT if name in asked for x in operands[name] if x is not None]
    working = working_dtype(samples, parameters, intercept)
    gradients = [
        x.new_zeros(
            x.shape if x is samples else (n_sets, *x.shape[1:]),
            dtype=x.dtype if x.is_floating_point() else working,
        )
        for x in given
    ]

    def chosen(x: Tensor | None, sets: Tensor) -> Tensor | None:
        return None if x is None else x.expand(n_sets, *x.shape[1:])[sets]

    for sets, rows in sets_and_rows(set_index, n_sets):
        part = [chosen(x, sets) for x in (*parameters, intercept)]
        found = _mlp_vjp(samples[rows], part[:-1], part[-1], cotangent[rows], networks, wrt)
        for x, gradient, of_part in zip(given, gradients, found, strict=True):
            gradient[rows if x is samples else sets] = of_part
    return [
        gradient if x is samples or len(x) == n_sets else sum_over_sets(gradient)
        for x, gradient in zip(given, gradients, strict=True)
    ]


def _fake_mlp_select_vjp(samples, parameters, intercept, set_index, cotangent, networks, wrt):
    return _fake_mlp_vjp(samples, parameters, intercept, cotangent, networks, wrt)


mlp_select_vjp = CustomOp(
    f"mlp_select_vjp({OPERANDS}, Tensor set_index, Tensor cotangent, str networks, str wrt)"
    " -> Tensor[]",
    _mlp_select_vjp,
    _fake_mlp_select_vjp,
    None,
    no_second_derivative,
)


# mlp_stats


def _mlp_stats(samples, parameters, intercept, set_weight, networks, statistics):
    operands = samples, parameters, intercept
    others = {"set_weight": set_weight}
    return call(_summarize, operands, networks, others, statistics=split_names(statistics))


def _summarize(options, statistics, **named):
    return mlp_operands.call_by_name(ms.mlp_stats, named, options, statistics=statistics)


def _fake_mlp_stats(samples, parameters, intercept, set_weight, networks, statistics):
    _, *shape = shape_of((samples, parameters, intercept), networks)
    return [samples.new_empty(shape, dtype=torch.float64) for _ in split_names(statistics)]


def _no_statistics_backward(ctx, *grads):
    raise NotImplementedError(
        "mlp_stats has no gradients: call it inside torch.no_grad(), or compute mean and spread "
        "from the result of mlp"
    )


mlp_stats = CustomOp(
    f"mlp_stats({OPERANDS}, Tensor? set_weight, str networks, str statistics) -> Tensor[]",
    _mlp_stats,
    _fake_mlp_stats,
    None,
    _no_statistics_backward,
)
