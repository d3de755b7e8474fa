"""The public functions of networks with hidden layers, for tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

import multisubnet as ms
from multisubnet._arithmetic import names
from multisubnet._functions import mlp_vjp as _mlp_vjp
from multisubnet._functions.affine_stats import names_of
from multisubnet._functions.mlp_mean_loss import MlpLossAndGrad
from multisubnet._functions.mlp_operands import name_operands, pairs_of
from multisubnet.torch import _network_ops as ops
from multisubnet.torch._arrays import array_of, as_tensors, dtype_of_loss, tensor_of
from multisubnet.torch._custom_op import may_record, recorded
from multisubnet.torch._functions import with_out
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
    how = activation, output_activation, inputs, additive
    if out is None and recorded(*named.values()) is False:  # a fast path for small calls
        arrays = {name: array_of(name, x) for name, x in named.items()}
        result = ms.mlp(
            arrays["samples"],
            pairs_of(arrays),
            activation=activation,
            output_activation=output_activation,
            inputs=inputs,
            additive=additive,
            intercept=arrays.get("intercept"),
            set_axis=set_axis,
        )
        return tensor_of(result)
    if out is None:
        return ops.mlp(*_arguments(as_tensors(named)), ops.encode(named, *how), set_axis)
    tensors = with_out(named, out)
    ops.mlp_out(*_arguments(tensors), out, ops.encode(named, *how), set_axis)
    return out


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
    named = name_operands(samples, layers, intercept)
    networks = ops.encode(named, activation, output_activation, inputs, additive)
    operands = named | {"set_index": set_index}
    if out is None:
        tensors = as_tensors(operands)
        return ops.mlp_select(*_arguments(tensors), tensors["set_index"], networks, check)
    tensors = with_out(operands, out)
    ops.mlp_select_out(*_arguments(tensors), tensors["set_index"], out, networks, check)
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
    named = name_operands(samples, layers, intercept)
    networks = ops.encode(named, activation, output_activation, inputs, additive)
    asked = names_of(statistics)
    tensors = as_tensors(named | {"set_weight": set_weight})
    found = ops.mlp_stats(*_arguments(tensors), tensors["set_weight"], networks, join_names(asked))
    return tuple(found)


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
    networks = ops.encode(named, activation, output_activation, inputs, additive)
    asked = names.validate("wrt", wrt, _mlp_vjp.OPERANDS)
    tensors = as_tensors(named | {"cotangent": cotangent})
    found = ops.mlp_vjp(*_arguments(tensors), tensors["cotangent"], networks, join_names(asked))
    rest = iter(found)
    of_samples = next(rest) if "samples" in asked else None
    of_layers = _pairs(rest, named) if "layers" in asked else None
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
    named, others, networks = _of_loss(
        (samples, layers, intercept),
        (targets, sample_weight),
        (activation, output_activation, inputs, additive),
    )
    options = loss, per_subnetwork, dtype_of_loss(dtype)
    return ops.mlp_mean_loss(*_arguments(named), *others, networks, *options)


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
    named, others, networks = _of_loss(
        (samples, layers, intercept),
        (targets, sample_weight),
        (activation, output_activation, inputs, additive),
    )
    arguments = *_arguments(named), *others, networks, loss, per_subnetwork, dtype_of_loss(dtype)
    losses, *found = ops.mlp_mean_loss_and_grad(*arguments)
    if may_record(arguments) and ops.rounds_gradients(*arguments[:3]):
        losses = ops.mlp_mean_loss(*arguments)  # its backward pass rounds once
    rest = iter(found)
    return MlpLossAndGrad(losses, _pairs(rest, named), next(rest, None))


def _arguments(tensors: dict[str, Any]) -> tuple[Any, list[Any], Any]:
    """Return samples, the parameters of all layers, and the intercept, as operators take them."""
    parameters = [x for name, x in tensors.items() if name.startswith("layers[")]
    return tensors["samples"], parameters, tensors.get("intercept")


def _pairs(rest: Any, named: dict[str, Any]) -> tuple[tuple[Any, Any], ...]:
    """Return gradients of a list of parameters as (weight, bias) pairs."""
    return tuple((next(rest), None if bias is None else next(rest)) for _, bias in pairs_of(named))


def _of_loss(
    operands: tuple[Any, Any, Any], others: tuple[Any, Any], how: tuple[Any, Any, Any, Any]
) -> tuple[dict[str, Any], list[Any], str]:
    targets, sample_weight = others
    if targets is None:
        raise TypeError("targets is None; expected an array_like of numbers")
    named = name_operands(*operands)
    tensors = as_tensors(named | {"targets": targets, "sample_weight": sample_weight})
    others_ = [tensors.pop("targets"), tensors.pop("sample_weight")]
    return tensors, others_, ops.encode(named, *how)
