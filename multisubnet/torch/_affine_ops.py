"""The functions of this library as operators of PyTorch, with what is known of their results before
they are computed (``_fake...``) and their gradients.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true

import multisubnet as ms
from multisubnet._arithmetic.activation import resolve_activation
from multisubnet._arrays import dtypes, validation
from multisubnet._arrays.frameworks import known_to_compilers
from multisubnet._functions import affine_operands, problem
from multisubnet.torch._arrays import (
    array_of,
    as_tensors,
    numpy_dtype,
    on_arrays,
    tensor_dtype,
    tensor_of,
)
from multisubnet.torch._custom_op import CustomOp, are_numbers, decoded, encoded

_OPERANDS = "Tensor samples, Tensor weight, Tensor? bias"
_ACTIVATION = "str? activation, float? parameter"


def _named(samples: Tensor, weight: Tensor, bias: Tensor | None) -> dict[str, Tensor | None]:
    return {"samples": samples, "weight": weight, "bias": bias}


# Names travel as one string: the tracer of TorchScript takes no list of them.


def joined(names: Iterable[str]) -> str:
    return ",".join(names)


def split(names: str) -> list[str]:
    return names.split(",") if names else []


def _common_dtype(samples: Tensor, weight: Tensor, bias: Tensor | None) -> np.dtype:
    operands = _named(samples, weight, bias)
    return dtypes.result_type(
        *(numpy_dtype(name, x.dtype) for name, x in operands.items() if x is not None)
    )


def _result_dtype(operands: tuple[Any, ...], activation: Any, parameter: Any) -> torch.dtype:
    dtype = _common_dtype(*operands)
    if activation is not None:
        _, dtype = resolve_activation(decoded(activation, parameter), dtype)
    return tensor_dtype(dtype)


def _shape(samples: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
    """Return (N, B, F) of operands that may have sizes which nobody knows before they are there."""
    operands = [x for x in (samples, weight, bias) if x is not None]
    n_samples, n_features = samples.shape[-2:]
    if all(isinstance(n, int) or n.node.has_hint() for x in operands for n in x.shape):
        return affine_operands.count_sets(samples, weight, bias), n_samples, n_features
    of_sets = *(x.shape[0] for x in operands[1:]), *samples.shape[:-2]
    n_sets = next((n for n in of_sets if not statically_known_true(n == 1)), 1)
    return n_sets, n_samples, n_features


def _working(samples: Tensor, weight: Tensor, bias: Tensor | None) -> torch.dtype:
    return tensor_dtype(problem.working_dtype(_common_dtype(samples, weight, bias)))


def rounds_gradients(samples: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether gradients are of a narrower dtype than that in which they are computed."""
    of_bias = None if bias is None else bias.dtype
    return _is_narrow(samples.dtype, weight.dtype, of_bias)


@known_to_compilers
def _is_narrow(samples: torch.dtype, weight: torch.dtype, bias: torch.dtype | None) -> bool:
    x, w, b = (None if d is None else torch.empty(0, dtype=d) for d in (samples, weight, bias))
    return weight.is_floating_point and weight != _working(x, w, b)


def _fake_gradient(operand: Tensor, operands: tuple[Any, ...], shape: Any = None) -> Tensor:
    dtype = operand.dtype if operand.is_floating_point() else _working(*operands)
    return operand.new_empty(operand.shape if shape is None else shape, dtype=dtype)


def _nothing(tensor: Tensor) -> Tensor:
    """Return what stands for a result that is not there: operators return tensors only."""
    return tensor.new_empty(0)


# affine


def _affine(samples, weight, bias, activation, parameter, set_axis):
    return on_arrays(
        ms.affine,
        _named(samples, weight, bias),
        activation=decoded(activation, parameter),
        set_axis=set_axis,
    )


def _fake_affine(samples, weight, bias, activation, parameter, set_axis):
    n_sets, n_samples, n_features = _shape(samples, weight, bias)
    set_axis = validation.axis("set_axis", set_axis)
    shape = (n_samples, n_sets, n_features) if set_axis else (n_sets, n_samples, n_features)
    dtype = _result_dtype((samples, weight, bias), activation, parameter)
    return samples.new_empty(shape, dtype=dtype)


def _save_affine(ctx, inputs, output):
    samples, weight, bias, *ctx.options, ctx.set_axis = inputs
    ctx.save_for_backward(samples, weight, bias)


def _affine_backward(ctx, cotangent):
    if ctx.set_axis:
        cotangent = cotangent.transpose(0, 1)
    wrt = _wanted(ctx)
    gradients = affine_vjp(*ctx.saved_tensors, cotangent, *ctx.options, wrt)
    return *_those(gradients, wrt), None, None, None


_WRT = "samples", "weight", "bias"


def _wanted(ctx: Any) -> str:
    needed = zip(_WRT, ctx.needs_input_grad, strict=False)
    return joined([name for name, is_needed in needed if is_needed])


def _those(gradients: tuple[Tensor, ...], wrt: str) -> list[Tensor | None]:
    names = split(wrt)
    return [x if name in names else None for name, x in zip(_WRT, gradients, strict=True)]


affine = CustomOp(
    f"affine({_OPERANDS}, {_ACTIVATION}, int set_axis) -> Tensor",
    _affine,
    _fake_affine,
    _save_affine,
    _affine_backward,
)


def evaluate(samples: Any, weight: Any, bias: Any, activation: Any, set_axis: Any) -> Tensor:
    """Return what `affine` gives for any operands that a user may have."""
    if are_numbers(samples, weight, bias):  # small calls are not to wait for all the rest
        bias = None if bias is None else array_of("bias", bias)
        operands = array_of("samples", samples), array_of("weight", weight), bias
        return tensor_of(ms.affine(*operands, activation=activation, set_axis=set_axis))
    tensors = as_tensors(_named(samples, weight, bias)).values()
    return affine(*tensors, *encoded(activation), set_axis)


def _affine_out(samples, weight, bias, out, activation, parameter, set_axis):
    on_arrays(
        ms.affine,
        _named(samples, weight, bias) | {"out": _written(out)},
        activation=decoded(activation, parameter),
        set_axis=set_axis,
    )


def _written(out: Tensor) -> Tensor:
    if out.is_conj() or out.is_neg():
        raise ValueError("out is the conjugate of another tensor: give one that is not")
    return out


def _no_result(*arguments):
    return None


affine_out = CustomOp(
    f"affine_out({_OPERANDS}, Tensor(a!) out, {_ACTIVATION}, int set_axis) -> ()",
    _affine_out,
    _no_result,
)


def _affine_vjp(samples, weight, bias, cotangent, activation, parameter, wrt):
    gradients = on_arrays(
        ms.affine_vjp,
        _named(samples, weight, bias) | {"cotangent": cotangent},
        activation=decoded(activation, parameter),
        wrt=split(wrt),
    )
    return tuple(_nothing(cotangent) if x is None else x for x in gradients)


def _fake_affine_vjp(samples, weight, bias, cotangent, activation, parameter, wrt):
    operands = samples, weight, bias
    return tuple(
        _nothing(cotangent) if x is None or name not in split(wrt) else _fake_gradient(x, operands)
        for name, x in zip(_WRT, operands, strict=True)
    )


def _no_second_derivative(*ignored):
    raise NotImplementedError(
        "multisubnet has no second derivatives: its gradients cannot be differentiated"
    )


affine_vjp = CustomOp(
    f"affine_vjp({_OPERANDS}, Tensor cotangent, {_ACTIVATION}, str wrt)"
    " -> (Tensor, Tensor, Tensor)",
    _affine_vjp,
    _fake_affine_vjp,
    None,
    _no_second_derivative,
)


# affine_select


def _affine_select(samples, weight, bias, set_index, activation, parameter, check):
    return on_arrays(
        ms.affine_select,
        _named(samples, weight, bias) | {"set_index": set_index},
        activation=decoded(activation, parameter),
        check=check,
    )


def _fake_affine_select(samples, weight, bias, set_index, activation, parameter, check):
    operands = samples, weight, bias
    _shape(*operands)
    return samples.new_empty(samples.shape, dtype=_result_dtype(operands, activation, parameter))


def _save_affine_select(ctx, inputs, output):
    samples, weight, bias, set_index, *ctx.options, _ = inputs
    ctx.save_for_backward(samples, weight, bias, set_index)


def _affine_select_backward(ctx, cotangent):
    wrt = _wanted(ctx)
    gradients = affine_select_vjp(*ctx.saved_tensors, cotangent, *ctx.options, wrt)
    return *_those(gradients, wrt), None, None, None, None


affine_select = CustomOp(
    f"affine_select({_OPERANDS}, Tensor set_index, {_ACTIVATION}, bool? check) -> Tensor",
    _affine_select,
    _fake_affine_select,
    _save_affine_select,
    _affine_select_backward,
)


def _affine_select_out(samples, weight, bias, set_index, out, activation, parameter, check):
    on_arrays(
        ms.affine_select,
        _named(samples, weight, bias) | {"set_index": set_index, "out": _written(out)},
        activation=decoded(activation, parameter),
        check=check,
    )


affine_select_out = CustomOp(
    f"affine_select_out({_OPERANDS}, Tensor set_index, Tensor(a!) out, {_ACTIVATION}, bool? check)"
    " -> ()",
    _affine_select_out,
    _no_result,
)


def _affine_select_vjp(samples, weight, bias, set_index, cotangent, activation, parameter, wrt):
    """Pull back the samples of each set by themselves; sets of equal numbers of them together."""
    operands = dict(zip(_WRT, (samples, weight, bias), strict=True))
    n_sets = max(len(x) for x in (weight, bias) if x is not None)
    gradients = {}
    for name in split(wrt):
        x = operands[name]
        shape = x.shape if name == "samples" else (n_sets, *x.shape[1:])
        gradients[name] = torch.zeros_like(_fake_gradient(x, (samples, weight, bias), shape))

    # In 64 bits, since N need not fit a narrower index; of uint64, what int64 lacks is negative.
    index = set_index.to(torch.int64)
    order = torch.argsort(index, stable=True)
    for b in order[[0, -1]].tolist() if len(order) else ():
        if not 0 <= index[b] < n_sets:
            raise IndexError(f"set_index has {int(set_index[b])}, which is none of {n_sets} sets")
    counts = torch.bincount(index, minlength=n_sets)
    starts = torch.cumsum(counts, 0) - counts
    for count in counts.unique().tolist():
        if count == 0:
            continue
        (sets,) = torch.nonzero(counts == count, as_tuple=True)
        rows = order[starts[sets, None] + torch.arange(count, device=order.device)]  # (sets, count)
        w, b = (x if x is None else x.expand(n_sets, -1)[sets] for x in (weight, bias))
        part = _affine_vjp(samples[rows], w, b, cotangent[rows], activation, parameter, wrt)
        for name, gradient in _named(*part).items():
            if name in gradients:
                gradients[name][rows if name == "samples" else sets] = gradient
    for name in {"weight", "bias"} & gradients.keys():
        if len(operands[name]) != n_sets:
            gradients[name] = _sum_over_sets(gradients[name])
    return tuple(gradients.get(name, _nothing(cotangent)) for name in _WRT)


def _fake_affine_select_vjp(
    samples, weight, bias, set_index, cotangent, activation, parameter, wrt
):
    return _fake_affine_vjp(samples, weight, bias, cotangent, activation, parameter, wrt)


def _sum_over_sets(gradient: Tensor) -> Tensor:
    """Return the sum of gradients (N, F) as (1, F), in the order that `affine_vjp` gives it."""
    ones = gradient.new_ones((1, gradient.shape[1]))
    samples = ones.expand(gradient.shape[0], 1, -1)
    _, _, total = affine_vjp(samples, ones, ones, gradient[:, None], None, None, "bias")
    return total


affine_select_vjp = CustomOp(
    f"affine_select_vjp({_OPERANDS}, Tensor set_index, Tensor cotangent, {_ACTIVATION}, str wrt)"
    " -> (Tensor, Tensor, Tensor)",
    _affine_select_vjp,
    _fake_affine_select_vjp,
    None,
    _no_second_derivative,
)


# mean_loss

_LOSS = (
    f"{_OPERANDS}, Tensor targets, Tensor? sample_weight, {_ACTIVATION}, str loss, "
    "bool per_feature, ScalarType? dtype"
)


def _on_loss(function, *arguments):
    samples, weight, bias, targets, sample_weight, activation, parameter, *options = arguments
    loss, per_feature, dtype = options
    return on_arrays(
        function,
        _named(samples, weight, bias) | {"targets": targets, "sample_weight": sample_weight},
        activation=decoded(activation, parameter),
        loss=loss,
        per_feature=per_feature,
        dtype=None if dtype is None else numpy_dtype("dtype", dtype),
    )


def _mean_loss(*arguments):
    return _on_loss(ms.mean_loss, *arguments)


def _fake_mean_loss(*arguments):
    samples, weight, bias, *_, per_feature, dtype = arguments
    n_sets, _, n_features = _shape(samples, weight, bias)
    shape = (n_sets, n_features) if per_feature else (n_sets,)
    return samples.new_empty(shape, dtype=dtype or torch.float64)


def _recorded_mean_loss(samples, weight, bias, *others):
    # Gradients in the working dtype are rounded after they are multiplied by the cotangent.
    if weight.is_floating_point():
        weight = weight.to(_working(samples, weight, bias))
    return mean_loss_and_grad(samples, weight, bias, *others)[0]


mean_loss = CustomOp(
    f"mean_loss({_LOSS}) -> Tensor", _mean_loss, _fake_mean_loss, recorded=_recorded_mean_loss
)


def _mean_loss_and_grad(*arguments):
    loss, grad_weight, grad_bias = _on_loss(ms.mean_loss_and_grad, *arguments)
    return loss, grad_weight, _nothing(loss) if grad_bias is None else grad_bias


def _fake_mean_loss_and_grad(*arguments):
    operands = _, weight, bias = arguments[:3]
    loss = _fake_mean_loss(*arguments)
    n_sets, _, n_features = _shape(*operands)
    shape = n_sets, n_features
    grad_bias = _nothing(loss) if bias is None else _fake_gradient(weight, operands, shape)
    return loss, _fake_gradient(weight, operands, shape), grad_bias


def _save_mean_loss(ctx, inputs, output):
    _, *gradients = output
    _, *parameters = inputs[:3]
    ctx.save_for_backward(*gradients)
    n_sets = gradients[0].shape[0]
    ctx.are_shared = [x is not None and _is_one(x.shape[0], n_sets) for x in parameters]
    ctx.set_materialize_grads(False)


def _is_one(n: Any, n_sets: Any) -> bool:
    """Whether what has n rows is shared by several sets, as far as that is known."""
    return statically_known_true(n == 1) and not statically_known_true(n_sets == 1)


def _mean_loss_backward(ctx, cotangent, *of_gradients):
    if any(x is not None for x in of_gradients):
        _no_second_derivative()
    for i, name in ((0, "samples"), (3, "targets"), (4, "sample_weight")):
        if ctx.needs_input_grad[i]:
            raise NotImplementedError(
                f"mean_loss has gradients of weight and bias only, and {name} requires one: give "
                f"{name}.detach(), or take a loss of PyTorch of what affine returns"
            )
    found: list[Tensor | None] = [None, None]
    for i, (gradient, is_shared) in enumerate(zip(ctx.saved_tensors, ctx.are_shared, strict=True)):
        if ctx.needs_input_grad[1 + i] and cotangent is not None:
            factor = cotangent if cotangent.ndim == 2 else cotangent[:, None]
            product = (gradient * factor).to(gradient.dtype)
            found[i] = _sum_over_sets(product) if is_shared else product
    return None, *found, *(None,) * 7


mean_loss_and_grad = CustomOp(
    f"mean_loss_and_grad({_LOSS}) -> (Tensor, Tensor, Tensor)",
    _mean_loss_and_grad,
    _fake_mean_loss_and_grad,
    _save_mean_loss,
    _mean_loss_backward,
)


# affine_stats


STATISTICS = "mean", "var", "std"


def _affine_stats(samples, weight, bias, set_weight, activation, parameter, statistics):
    asked = list(dict.fromkeys(split(statistics)))
    results = on_arrays(
        ms.affine_stats,
        _named(samples, weight, bias) | {"set_weight": set_weight},
        activation=decoded(activation, parameter),
        statistics=asked,
    )
    found = dict(zip(asked, results, strict=True))
    return tuple(found[name] if name in found else _nothing(samples) for name in STATISTICS)


def _fake_affine_stats(samples, weight, bias, set_weight, activation, parameter, statistics):
    _, *shape = _shape(samples, weight, bias)
    return tuple(
        samples.new_empty(shape, dtype=torch.float64)
        if name in split(statistics)
        else _nothing(samples)
        for name in STATISTICS
    )


def _no_statistics_backward(ctx, *grads):
    raise NotImplementedError(
        "affine_stats has no gradients: call it inside torch.no_grad(), or take mean and spread "
        "of what affine returns"
    )


affine_stats = CustomOp(
    f"affine_stats({_OPERANDS}, Tensor? set_weight, {_ACTIVATION}, str statistics)"
    " -> (Tensor, Tensor, Tensor)",
    _affine_stats,
    _fake_affine_stats,
    None,
    _no_statistics_backward,
)
