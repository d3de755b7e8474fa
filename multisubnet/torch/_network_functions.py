"""The public functions of networks with hidden layers, for tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from multisubnet._arithmetic import names
from multisubnet._functions import mlp_vjp as _mlp_vjp
from multisubnet._functions.affine_stats import names_of
from multisubnet._functions.mlp import evaluate
from multisubnet._functions.mlp_mean_loss import MlpLossAndGrad
from multisubnet._functions.mlp_operands import Options, name_operands, pairs_of
from multisubnet.torch import _network_loss_ops as loss_ops
from multisubnet.torch import _network_ops as ops
from multisubnet.torch._arrays import array_of, as_tensors, dtype_of_loss, tensor_of
from multisubnet.torch._custom_op import apply_of_one_level, may_record, recorded
from multisubnet.torch._functions import with_out
from multisubnet.torch._network_operands import copy_options, op_arguments, rounds_gradients
from multisubnet.torch._op_operands import join_names

if TYPE_CHECKING:
    from multisubnet._arrays.types import SetAxis


def mlp(
    samples: Any,
    layers: Sequence[Any],
    *,
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    set_axis: SetAxis = 0,
    out: Tensor | None = None,
) -> Tensor:
    """Evaluate N sets of small networks: `multisubnet.mlp` for tensors.

    As for `affine`. Gradients of samples, layers and the intercept are those of
    `multisubnet.mlp_vjp`. In compiled code, `inputs` is a list.

    See Also
    --------
    StackedMLP : the same as a module with its own parameters.

    Examples
    --------
    >>> import torch
    >>> from multisubnet import torch as mst
    >>> hidden = torch.tensor([[1.0, -1.0], [2.0, 1.0]]).reshape(2, 1, 1, 2).requires_grad_()
    >>> last = torch.ones(1, 1, 2, 1)
    >>> values = mst.mlp(torch.tensor([[3.0], [9.0]]), [(hidden, None), (last, None)])
    >>> values.ravel()
    tensor([ 3.,  9.,  9., 27.], grad_fn=<ViewBackward0>)
    >>> values.sum().backward()
    >>> hidden.grad.ravel()
    tensor([12.,  0., 12., 12.])
    """
    named = name_operands(samples, layers, intercept)
    options = Options(activation, output_activation, inputs, additive)
    if out is not None:
        *operands, networks = op_arguments(with_out(named, out), options)
        ops.mlp_out(*operands, out, networks, set_axis)
        return out
    is_recorded = recorded(*named.values())
    if is_recorded:
        record = apply_of_one_level(ops.RecordedMlp)
        return record(tuple(named), copy_options(options), set_axis, *named.values())
    if is_recorded is False:  # a fast path for small calls
        arrays = {name: array_of(name, x) for name, x in named.items()}
        return tensor_of(evaluate(arrays, options.with_array(), set_axis, None))
    return ops.mlp(*op_arguments(as_tensors(named), options), set_axis)


def mlp_select(
    samples: Any,
    layers: Sequence[Any],
    set_index: Any,
    *,
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    out: Tensor | None = None,
    check: bool | None = None,
) -> Tensor:
    """Evaluate each sample with the networks of one set: `multisubnet.mlp_select` for tensors.

    As for `mlp` and `affine_select`.
    """
    named = name_operands(samples, layers, intercept) | {"set_index": set_index}
    tensors = as_tensors(named) if out is None else with_out(named, out)
    options = Options(activation, output_activation, inputs, additive)
    *operands, networks = op_arguments(tensors, options)
    if out is None:
        return ops.mlp_select(*operands, tensors["set_index"], networks, check)
    ops.mlp_select_out(*operands, tensors["set_index"], out, networks, check)
    return out


def mlp_stats(
    samples: Any,
    layers: Sequence[Any],
    *,
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    set_weight: Any = None,
    statistics: Sequence[str] = ("mean", "std"),
) -> tuple[Tensor, ...]:
    """Compute the mean and spread of an ensemble: `multisubnet.mlp_stats` for tensors.

    Statistics have no gradients: the backward pass raises NotImplementedError.
    """
    named = name_operands(samples, layers, intercept) | {"set_weight": set_weight}
    asked, tensors = names_of(statistics), as_tensors(named)
    options = Options(activation, output_activation, inputs, additive)
    *operands, networks = op_arguments(tensors, options)
    return tuple(ops.mlp_stats(*operands, tensors["set_weight"], networks, join_names(asked)))


def mlp_vjp(
    samples: Any,
    layers: Sequence[Any],
    cotangent: Any,
    *,
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    wrt: Sequence[str] = ("samples", "layers", "intercept"),
) -> _mlp_vjp.MlpVjp:
    """Compute the vector-Jacobian product: `multisubnet.mlp_vjp` for tensors.

    The gradients cannot be differentiated.
    """
    named = name_operands(samples, layers, intercept)
    asked = names.validate("wrt", wrt, _mlp_vjp.OPERANDS)
    tensors = as_tensors(named | {"cotangent": cotangent})
    options = Options(activation, output_activation, inputs, additive)
    *operands, networks = op_arguments(tensors, options)
    rest = iter(ops.mlp_vjp(*operands, tensors["cotangent"], networks, join_names(asked)))
    of_samples = next(rest) if "samples" in asked else None
    of_layers = _pairs(rest, pairs_of(named)) if "layers" in asked else None
    has_intercept = intercept is not None and "intercept" in asked
    return _mlp_vjp.MlpVjp(of_samples, of_layers, next(rest) if has_intercept else None)


def mlp_mean_loss(
    samples: Any,
    layers: Sequence[Any],
    targets: Any,
    *,
    loss: str = "squared_error",
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    sample_weight: Any = None,
    per_subnetwork: bool = False,
    dtype: Any = None,
) -> Tensor:
    """Compute the mean loss of each of N sets: `multisubnet.mlp_mean_loss`, with gradients.

    As for `mean_loss`: layers and the intercept can have gradients.
    """
    operands = _of_loss(samples, layers, intercept, targets, sample_weight)
    options = activation, output_activation, inputs, additive
    of_loss = loss, per_subnetwork, None if dtype is None else dtype_of_loss(dtype)
    is_recorded = recorded(*operands.values())
    if is_recorded and loss_ops.keeps_dtype(operands):
        record = apply_of_one_level(loss_ops.RecordedLoss)
        return record(tuple(operands), options, of_loss, *operands.values())
    arguments = _loss_arguments(operands, Options(*options), is_recorded)
    return loss_ops.mlp_mean_loss.call(is_recorded, *arguments, *of_loss)


def mlp_mean_loss_and_grad(
    samples: Any,
    layers: Sequence[Any],
    targets: Any,
    *,
    loss: str = "squared_error",
    activation: Any = "relu",
    output_activation: Any = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    sample_weight: Any = None,
    per_subnetwork: bool = False,
    dtype: Any = None,
) -> MlpLossAndGrad:
    """Compute losses and gradients: `multisubnet.mlp_mean_loss_and_grad` for tensors.

    As for `mlp_mean_loss`. The gradients cannot be differentiated.
    """
    operands = _of_loss(samples, layers, intercept, targets, sample_weight)
    options = Options(activation, output_activation, inputs, additive)
    is_recorded = recorded(*operands.values())
    arguments = _loss_arguments(operands, options, is_recorded)
    arguments += loss, per_subnetwork, dtype_of_loss(dtype)
    losses, *found = loss_ops.mlp_mean_loss_and_grad.call(is_recorded, *arguments)
    if may_record(tuple(arguments)) and rounds_gradients(*arguments[:3]):
        # The backward pass of this operator rounds once.
        losses = loss_ops.mlp_mean_loss.call(is_recorded, *arguments)
    rest, pairs = iter(found), pairs_of(name_operands(samples, layers, intercept))
    return MlpLossAndGrad(losses, _pairs(rest, pairs), next(rest, None))


def _pairs(rest: Any, pairs: tuple[tuple[Any, Any], ...]) -> tuple[tuple[Any, Any], ...]:
    """Return gradients of a list of parameters as (weight, bias) pairs."""
    return tuple((next(rest), None if bias is None else next(rest)) for _, bias in pairs)


def _of_loss(
    samples: Any, layers: Any, intercept: Any, targets: Any, sample_weight: Any
) -> dict[str, Any]:
    """Return the operands of a loss by name."""
    if targets is None:
        raise TypeError("targets is None; expected an array_like of numbers")
    operands = name_operands(samples, layers, intercept)
    return operands | {"targets": targets, "sample_weight": sample_weight}


def _loss_arguments(
    operands: dict[str, Any], options: Options, is_recorded: bool | None
) -> list[Any]:
    """Return the arguments of an operator up to the networks."""
    tensors = operands if is_recorded is not None else as_tensors(operands)
    *found, networks = op_arguments(tensors, options)
    return [*found, tensors["targets"], tensors["sample_weight"], networks]
