"""The public functions for tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from multisubnet._arithmetic.activation import Activation
from multisubnet._functions import affine_vjp as _affine_vjp
from multisubnet._functions.affine_stats import names_of
from multisubnet.torch import _affine_ops, _loss_ops, _select_ops
from multisubnet.torch._arrays import as_tensors, dtype_of_loss
from multisubnet.torch._custom_op import (
    are_transformed,
    encoded,
    is_dynamo_compiling,
    may_record,
    records,
)
from multisubnet.torch._op_operands import join_names, rounds_gradients


def affine(
    samples: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str | Activation | None = None,
    set_axis: int = 0,
    out: Tensor | None = None,
) -> Tensor:
    """Evaluate N sets of weights on the same samples: `multisubnet.affine` for tensors.

    The tensors are on the CPU or on one CUDA device. NumPy arrays and sequences can be mixed with
    tensors on the CPU. Memory is shared, not copied. Operands of different dtypes are promoted as
    in NumPy: float32 and int64 give float64. `out` is a tensor.

    Gradients are those of `multisubnet.affine_vjp`, with the same bits on every backend.
    Activations that are derivatives have no gradients.

    Raises
    ------
    TypeError
        As for `multisubnet.affine`; tensors are on two devices, or have a dtype that NumPy lacks;
        `out` is not a tensor.
    ImportError
        A tensor is bfloat16, and ml_dtypes is not installed.
    RuntimeError
        `out` is given, and an operand or `out` requires a gradient.
    NotImplementedError
        A second-order or forward-mode derivative is requested.

    See Also
    --------
    StackedAffine : the same as a module with its own parameters.

    Examples
    --------
    >>> import torch
    >>> from multisubnet import torch as mst
    >>> samples = torch.tensor([[3.0, 7.0], [9.0, 4.0]])
    >>> weight = torch.tensor([[2.0, 9.0], [8.0, 6.0]], requires_grad=True)
    >>> result = mst.affine(samples, weight)
    >>> result
    tensor([[[ 6., 63.],
             [18., 36.]],
    <BLANKLINE>
            [[24., 42.],
             [72., 24.]]], grad_fn=<RecordedAffineBackward>)
    >>> result.sum().backward()
    >>> weight.grad
    tensor([[12., 11.],
            [12., 11.]])
    """
    if out is None:
        return _affine_ops.evaluate(samples, weight, bias, activation, set_axis)
    operands = with_out({"samples": samples, "weight": weight, "bias": bias}, out)
    _affine_ops.affine_out(*operands.values(), *encoded(activation), set_axis)
    return out


def affine_select(
    samples: Any,
    weight: Any,
    bias: Any,
    set_index: Any,
    *,
    activation: str | Activation | None = None,
    out: Tensor | None = None,
    check: bool | None = None,
) -> Tensor:
    """Evaluate each sample with its own set: `multisubnet.affine_select` for tensors.

    As for `affine`. The gradients of a set are those that `multisubnet.affine_vjp` gives for the
    set and its samples alone, in order. For a weight or bias shared by all sets, they are then
    added. The backward pass always checks the index and raises IndexError. On CUDA it waits for the
    number of samples of each set.
    """
    options = *encoded(activation), check
    operands = {"samples": samples, "weight": weight, "bias": bias, "set_index": set_index}
    if out is None:
        return _select_ops.affine_select(*as_tensors(operands).values(), *options)
    _select_ops.affine_select_out(*with_out(operands, out).values(), *options)
    return out


def affine_vjp(
    samples: Any,
    weight: Any,
    bias: Any,
    cotangent: Any,
    *,
    activation: str | Activation | None = None,
    wrt: Sequence[str] = ("samples", "weight", "bias"),
) -> tuple[Tensor | None, ...]:
    """Compute the vector-Jacobian product: `multisubnet.affine_vjp` for tensors.

    The gradients cannot be differentiated.
    """
    asked = _affine_vjp.names_of(wrt)
    operands = {"samples": samples, "weight": weight, "bias": bias, "cotangent": cotangent}
    tensors = as_tensors(operands)
    gradients = _affine_ops.affine_vjp(*tensors.values(), *encoded(activation), join_names(asked))
    return tuple(
        gradients[i] if name in asked and tensors[name] is not None else None
        for i, name in enumerate(("samples", "weight", "bias"))
    )


def mean_loss(
    samples: Any,
    weight: Any,
    bias: Any,
    targets: Any,
    *,
    loss: str = "squared_error",
    activation: str | Activation | None = None,
    sample_weight: Any = None,
    per_feature: bool = False,
    dtype: Any = None,
) -> Tensor:
    """Compute the mean loss of each of N sets: `multisubnet.mean_loss` for tensors, with gradients.

    Weight and bias can have gradients. If another operand requires one, the backward pass raises
    NotImplementedError. `dtype` can also be a PyTorch dtype. If a gradient is required, it is
    computed together with the loss, in one pass over the data. The backward pass multiplies it by
    the cotangent in the working dtype, then rounds it.

    Examples
    --------
    >>> import torch
    >>> from multisubnet import torch as mst
    >>> samples, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([2.0, 4.0])
    >>> weight = torch.tensor([[2.0], [3.0]], requires_grad=True)
    >>> losses = mst.mean_loss(samples, weight, None, targets)
    >>> losses.sum().backward()
    >>> weight.grad
    tensor([[0.],
            [5.]])
    """
    arguments = _of_loss(samples, weight, bias, targets, sample_weight)
    options = *encoded(activation), loss, per_feature, dtype_of_loss(dtype)
    return _loss_ops.mean_loss(*arguments, *options)


def mean_loss_and_grad(
    samples: Any,
    weight: Any,
    bias: Any,
    targets: Any,
    *,
    loss: str = "squared_error",
    activation: str | Activation | None = None,
    sample_weight: Any = None,
    per_feature: bool = False,
    dtype: Any = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Compute losses and gradients: `multisubnet.mean_loss_and_grad` for tensors.

    As for `mean_loss`. `grad_weight` and `grad_bias` cannot be differentiated.
    """
    arguments = _of_loss(samples, weight, bias, targets, sample_weight)
    options = *encoded(activation), loss, per_feature, dtype_of_loss(dtype)
    losses, grad_weight, grad_bias = _loss_ops.mean_loss_and_grad(*arguments, *options)
    if may_record(arguments) and rounds_gradients(*arguments[:3]):
        losses = _loss_ops.mean_loss(*arguments, *options)  # its backward pass rounds once
    return losses, grad_weight, None if bias is None else grad_bias


def affine_stats(
    samples: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str | Activation | None = None,
    set_weight: Any = None,
    statistics: Sequence[str] = ("mean", "std"),
) -> tuple[Tensor, ...]:
    """Compute the mean and spread of an ensemble: `multisubnet.affine_stats` for tensors.

    Statistics have no gradients: the backward pass raises NotImplementedError.
    """
    operands = {"samples": samples, "weight": weight, "bias": bias, "set_weight": set_weight}
    names = names_of(statistics)
    tensors = as_tensors(operands).values()
    results = _affine_ops.affine_stats(*tensors, *encoded(activation), join_names(names))
    return tuple(results[_affine_ops.STATISTICS.index(name)] for name in names)


def _of_loss(samples: Any, weight: Any, bias: Any, targets: Any, sample_weight: Any) -> tuple:
    if targets is None:
        raise TypeError("targets is None; expected an array_like of numbers")
    operands = {"samples": samples, "weight": weight, "bias": bias, "targets": targets}
    return tuple(as_tensors(operands | {"sample_weight": sample_weight}).values())


def with_out(operands: dict[str, Any], out: Any) -> dict[str, Tensor | None]:
    """Return the operands as tensors, together with `out`, which will be written to."""
    if not isinstance(out, Tensor):
        raise TypeError(f"out must be a tensor, not {type(out).__name__}")
    tensors = as_tensors(operands | {"out": out})
    if records(tuple(tensors.values())):
        raise RuntimeError(
            "out is given, but autograd is recording: call it inside torch.no_grad(), or on "
            "tensors that do not require a gradient"
        )
    if are_transformed():
        raise RuntimeError("out cannot be used inside transforms of torch.func")
    if not is_dynamo_compiling():
        torch.autograd.graph.increment_version(out)
    return tensors
