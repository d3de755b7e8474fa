"""Networks with hidden layers as PyTorch operators, with fake results and gradients.

An operator takes the weights and biases of all layers as one list of tensors, and everything that
is not a tensor (activations, inputs, which layers have a bias) as one text.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import multisubnet as ms
from multisubnet._arrays import dtypes
from multisubnet._arrays.frameworks import known_to_compilers
from multisubnet._functions import mlp_operands, problem
from multisubnet.torch._affine_ops import sum_over_sets
from multisubnet.torch._arrays import numpy_dtype, on_arrays, tensor_dtype
from multisubnet.torch._custom_op import CustomOp, decoded, encoded
from multisubnet.torch._op_operands import (
    check_writable,
    is_one,
    no_result,
    no_second_derivative,
    split_names,
)
from multisubnet.torch._select_ops import sets_and_rows

_OPERANDS = "Tensor samples, Tensor[] parameters, Tensor? intercept"
_WRT = "samples", "layers", "intercept"


class Networks(NamedTuple):
    """The arguments of `mlp` that are not tensors."""

    biased: tuple[bool, ...]
    """Whether each layer has a bias."""
    options: dict[str, Any]
    """The options activation, output_activation, inputs and additive."""

    def named(self, samples: Any, parameters: list[Any], intercept: Any) -> dict[str, Any]:
        """Return operands under the names that `mlp_operands` uses."""
        rest = iter(parameters)
        layers = [(next(rest), next(rest) if has_bias else None) for has_bias in self.biased]
        return mlp_operands.name_operands(samples, layers, intercept)


def encode(
    named: dict[str, Any], activation: Any, output_activation: Any, inputs: Any, additive: Any
) -> str:
    """Encode options, and which named operands are present, as a text."""
    if isinstance(activation, list | tuple):
        hidden: Any = tuple([encoded(one) for one in activation])
    else:
        hidden = encoded(activation)
    shape = None  # nested lists cannot express the shape of an empty array
    if inputs is not None and not isinstance(inputs, list | tuple):
        inputs, shape = np.asarray(inputs).tolist(), np.shape(inputs)
    biased = tuple([bias is not None for _, bias in mlp_operands.pairs_of(named)])
    return _text(biased, hidden, encoded(output_activation), inputs, shape, bool(additive))


@known_to_compilers
def _text(
    biased: Any, activation: Any, output_activation: Any, inputs: Any, shape: Any, additive: Any
) -> str:
    found = {
        "biased": biased,
        "activation": activation,
        "output_activation": output_activation,
        "inputs": inputs,
        "shape": shape,
        "additive": additive,
    }
    return json.dumps(found)


@functools.lru_cache(64)
def decode(text: str) -> Networks:
    """Return the value that `encode` encoded."""
    found = json.loads(text)
    activation = found.pop("activation")
    if not activation or isinstance(activation[0], list):
        activation = tuple(decoded(*one) for one in activation)
    else:
        activation = decoded(*activation)
    shape = found.pop("shape")
    if found["inputs"] is not None:
        inputs = np.array(found["inputs"])
        found["inputs"] = inputs if inputs.size or shape is None else np.zeros(shape, np.int64)
    biased = tuple(found.pop("biased"))
    output_activation = decoded(*found.pop("output_activation"))
    return Networks(
        biased, found | {"activation": activation, "output_activation": output_activation}
    )


def _dtypes(samples: Tensor, parameters: list[Tensor], intercept: Tensor | None) -> np.dtype:
    """Return the common dtype of the operands."""
    operands = {"samples": samples, "layers": parameters, "intercept": intercept}
    return dtypes.result_type(
        *(
            numpy_dtype(name, x.dtype)
            for name, tensors in operands.items()
            for x in (tensors if isinstance(tensors, list | tuple) else [tensors])
            if x is not None
        )
    )


def _result_dtype(operands: tuple[Any, ...], networks: str) -> torch.dtype:
    biased, options = decode(networks)
    _, dtype = mlp_operands.activations_of(
        options["activation"],
        options["output_activation"],
        len(biased),
        _dtypes(*operands),
        options["additive"],
    )
    return tensor_dtype(dtype)


def _working(samples: Tensor, parameters: list[Tensor], intercept: Tensor | None) -> torch.dtype:
    return tensor_dtype(problem.working_dtype(_dtypes(samples, parameters, intercept)))


def rounds_gradients(samples: Tensor, parameters: list[Tensor], intercept: Any) -> bool:
    """Return whether the dtype of gradients is narrower than that of their computation."""
    return _are_narrow(samples.dtype, *(x.dtype for x in (*parameters, intercept) if x is not None))


@known_to_compilers
def _are_narrow(samples: torch.dtype, *parameters: torch.dtype) -> bool:
    common = dtypes.result_type(*(numpy_dtype("layers", x) for x in (samples, *parameters)))
    working = tensor_dtype(problem.working_dtype(common))
    return any(x.is_floating_point and x != working for x in parameters)


def _count_sets(samples: Tensor, parameters: list[Tensor], intercept: Tensor | None) -> Any:
    """Return N for operands whose sizes may be symbolic."""
    of_sets = [x.shape[0] for x in (*parameters, intercept) if x is not None]
    of_sets += [samples.shape[0]] if samples.ndim == 3 else []
    return next((n for n in of_sets if not is_one(n)), 1)


def _shape(operands: tuple[Any, ...], networks: str) -> tuple[Any, ...]:
    """Return the shape of the values of networks, (N, B, S, P) or (N, B, P)."""
    samples, parameters, _ = operands
    biased, options = decode(networks)
    first, last = parameters[0], parameters[-2 if biased[-1] else -1]
    of_networks = () if options["additive"] else (first.shape[1],)
    return _count_sets(*operands), samples.shape[-2], *of_networks, last.shape[3]


def _call(
    function: Callable[..., Any],
    operands: tuple[Any, ...],
    networks: str,
    others: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Return, as tensors, the result of a function for the arrays behind the operands.

    Gradients of layers become gradients of the parameter list; None is left out.
    """
    kind = decode(networks)

    def on_names(**arguments: Any) -> Any:
        layers = mlp_operands.pairs_of(arguments)
        rest = {name: x for name, x in arguments.items() if "[" not in name}
        results = function(rest.pop("samples"), layers, **rest, **kind.options, **options)
        if not isinstance(results, tuple):
            return results
        found: list[Any] = []
        for result in results:
            if isinstance(result, tuple):
                found += [x for pair in result for x in pair if x is not None]
            elif result is not None:
                found.append(result)
        return tuple(found)

    results = on_arrays(on_names, kind.named(*operands) | (others or {}))
    return list(results) if isinstance(results, tuple) else results


# mlp


def _mlp(samples, parameters, intercept, networks, set_axis):
    return _call(ms.mlp, (samples, parameters, intercept), networks, set_axis=set_axis)


def _fake_mlp(samples, parameters, intercept, networks, set_axis):
    operands = samples, parameters, intercept
    n_sets, n_samples, *rest = _shape(operands, networks)
    first = (n_samples, n_sets) if set_axis else (n_sets, n_samples)
    return samples.new_empty((*first, *rest), dtype=_result_dtype(operands, networks))


def _save_mlp(ctx, inputs, output):
    samples, parameters, intercept, ctx.networks, ctx.set_axis = inputs
    ctx.save_for_backward(samples, *parameters, intercept)


def _wanted(ctx: Any, n_parameters: int) -> str:
    """Return the names in `_WRT` whose gradients are needed, as a text."""
    needed = ctx.needs_input_grad
    found = needed[0], any(needed[1 : 1 + n_parameters]), needed[1 + n_parameters]
    return ",".join(name for name, is_needed in zip(_WRT, found, strict=True) if is_needed)


def _mlp_backward(ctx, cotangent):
    samples, *parameters, intercept = ctx.saved_tensors
    if ctx.set_axis:
        cotangent = cotangent.transpose(0, 1)
    wrt = _wanted(ctx, len(parameters))
    found = mlp_vjp(samples, parameters, intercept, cotangent, ctx.networks, wrt)
    return *_by_operand(found, wrt, len(parameters)), None, None


def _by_operand(found: list[Tensor], wrt: str, n_parameters: int) -> tuple[Any, ...]:
    """Return gradients of samples, parameters and the intercept; None if not needed."""
    rest = iter(found)
    of_samples = next(rest) if "samples" in wrt else None
    layers = [next(rest) if "layers" in wrt else None for _ in range(n_parameters)]
    return of_samples, layers, next(rest) if "intercept" in wrt else None


mlp = CustomOp(
    f"mlp({_OPERANDS}, str networks, int set_axis) -> Tensor",
    _mlp,
    _fake_mlp,
    _save_mlp,
    _mlp_backward,
)


def _mlp_out(samples, parameters, intercept, out, networks, set_axis):
    operands = samples, parameters, intercept
    _call(ms.mlp, operands, networks, {"out": check_writable(out)}, set_axis=set_axis)


mlp_out = CustomOp(
    f"mlp_out({_OPERANDS}, Tensor(a!) out, str networks, int set_axis) -> ()", _mlp_out, no_result
)


def _mlp_vjp(samples, parameters, intercept, cotangent, networks, wrt):
    operands = samples, parameters, intercept
    return _call(ms.mlp_vjp, operands, networks, {"cotangent": cotangent}, wrt=split_names(wrt))


def _fake_mlp_vjp(samples, parameters, intercept, cotangent, networks, wrt):
    operands = {"samples": [samples], "layers": parameters, "intercept": [intercept]}
    working = _working(samples, parameters, intercept)
    return [
        x.new_empty(x.shape, dtype=x.dtype if x.is_floating_point() else working)
        for name in _WRT
        if name in split_names(wrt)
        for x in operands[name]
        if x is not None
    ]


mlp_vjp = CustomOp(
    f"mlp_vjp({_OPERANDS}, Tensor cotangent, str networks, str wrt) -> Tensor[]",
    _mlp_vjp,
    _fake_mlp_vjp,
    None,
    no_second_derivative,
)


# mlp_select


def _mlp_select(samples, parameters, intercept, set_index, networks, check):
    operands = samples, parameters, intercept
    return _call(ms.mlp_select, operands, networks, {"set_index": set_index}, check=check)


def _fake_mlp_select(samples, parameters, intercept, set_index, networks, check):
    operands = samples, parameters, intercept
    _, *shape = _shape(operands, networks)
    return samples.new_empty(shape, dtype=_result_dtype(operands, networks))


def _save_mlp_select(ctx, inputs, output):
    samples, parameters, intercept, set_index, ctx.networks, _ = inputs
    ctx.save_for_backward(samples, *parameters, intercept, set_index)


def _mlp_select_backward(ctx, cotangent):
    samples, *parameters, intercept, set_index = ctx.saved_tensors
    wrt = _wanted(ctx, len(parameters))
    operands = samples, parameters, intercept
    found = mlp_select_vjp(*operands, set_index, cotangent, ctx.networks, wrt)
    return *_by_operand(found, wrt, len(parameters)), None, None, None


mlp_select = CustomOp(
    f"mlp_select({_OPERANDS}, Tensor set_index, str networks, bool? check) -> Tensor",
    _mlp_select,
    _fake_mlp_select,
    _save_mlp_select,
    _mlp_select_backward,
)


def _mlp_select_out(samples, parameters, intercept, set_index, out, networks, check):
    others = {"set_index": set_index, "out": check_writable(out)}
    _call(ms.mlp_select, (samples, parameters, intercept), networks, others, check=check)


mlp_select_out = CustomOp(
    f"mlp_select_out({_OPERANDS}, Tensor set_index, Tensor(a!) out, str networks, bool? check)"
    " -> ()",
    _mlp_select_out,
    no_result,
)


def _mlp_select_vjp(samples, parameters, intercept, set_index, cotangent, networks, wrt):
    """Pull back the samples of each set; sets with equal numbers of samples are batched."""
    asked, n_sets = split_names(wrt), _count_sets(samples, parameters, intercept)
    operands = {"samples": [samples], "layers": parameters, "intercept": [intercept]}
    given = [x for name in _WRT if name in asked for x in operands[name] if x is not None]
    working = _working(samples, parameters, intercept)
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
    f"mlp_select_vjp({_OPERANDS}, Tensor set_index, Tensor cotangent, str networks, str wrt)"
    " -> Tensor[]",
    _mlp_select_vjp,
    _fake_mlp_select_vjp,
    None,
    no_second_derivative,
)


# mlp_mean_loss

_LOSS = (
    f"{_OPERANDS}, Tensor targets, Tensor? sample_weight, str networks, str loss, "
    "bool per_subnetwork, ScalarType? dtype"
)


def _on_loss(function, samples, parameters, intercept, targets, sample_weight, networks, *options):
    loss, per_subnetwork, dtype = options
    return _call(
        function,
        (samples, parameters, intercept),
        networks,
        {"targets": targets, "sample_weight": sample_weight},
        loss=loss,
        per_subnetwork=per_subnetwork,
        dtype=None if dtype is None else numpy_dtype("dtype", dtype),
    )


def _mlp_mean_loss(*arguments):
    return _on_loss(ms.mlp_mean_loss, *arguments)


def _fake_mlp_mean_loss(samples, parameters, *others):
    *_, per_subnetwork, dtype = others
    n_sets = _count_sets(samples, parameters, others[0])
    shape = (n_sets, parameters[0].shape[1]) if per_subnetwork else (n_sets,)
    return samples.new_empty(shape, dtype=dtype or torch.float64)


def _recorded_mlp_mean_loss(samples, parameters, intercept, *others):
    # Gradients stay in the working dtype, and are rounded after multiplication by the cotangent.
    working = _working(samples, parameters, intercept)
    parameters = [x.to(working) if x.is_floating_point() else x for x in parameters]
    if intercept is not None and intercept.is_floating_point():
        intercept = intercept.to(working)
    return mlp_mean_loss_and_grad(samples, parameters, intercept, *others)[0]


mlp_mean_loss = CustomOp(
    f"mlp_mean_loss({_LOSS}) -> Tensor",
    _mlp_mean_loss,
    _fake_mlp_mean_loss,
    recorded=_recorded_mlp_mean_loss,
)


def _mlp_mean_loss_and_grad(*arguments):
    return _on_loss(ms.mlp_mean_loss_and_grad, *arguments)


def _fake_mlp_mean_loss_and_grad(*arguments):
    samples, parameters, intercept = arguments[:3]
    loss = _fake_mlp_mean_loss(*arguments)
    n_sets = _count_sets(samples, parameters, intercept)
    working = _working(samples, parameters, intercept)
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
    ctx.are_shared = [
        is_one(x.shape[0]) and not is_one(gradient.shape[0])
        for x, gradient in zip(given, gradients, strict=True)
    ]
    ctx.set_materialize_grads(False)


def _mlp_mean_loss_backward(ctx, cotangent, *of_gradients):
    if any(x is not None for x in of_gradients):
        no_second_derivative()
    needed = ctx.needs_input_grad
    after = 1 + ctx.n_parameters
    for i, name in ((0, "samples"), (after + 1, "targets"), (after + 2, "sample_weight")):
        if needed[i]:
            raise NotImplementedError(
                f"mlp_mean_loss has gradients of layers and intercept only, but {name} requires "
                f"one: pass {name}.detach(), or apply a PyTorch loss to the result of mlp"
            )
    found = [
        _times(gradient, cotangent, is_shared) if needs and cotangent is not None else None
        for gradient, is_shared, needs in zip(
            ctx.saved_tensors, ctx.are_shared, needed[1:], strict=False
        )
    ]
    of_intercept = found.pop() if ctx.has_intercept else None
    return None, found, of_intercept, *(None,) * 6


def _times(gradient: Tensor, cotangent: Tensor, is_shared: bool) -> Tensor:
    factor = cotangent.reshape(*cotangent.shape, *[1] * (gradient.ndim - cotangent.ndim))
    product = (gradient * factor).to(gradient.dtype)
    return sum_over_sets(product) if is_shared else product


mlp_mean_loss_and_grad = CustomOp(
    f"mlp_mean_loss_and_grad({_LOSS}) -> Tensor[]",
    _mlp_mean_loss_and_grad,
    _fake_mlp_mean_loss_and_grad,
    _save_mlp_mean_loss,
    _mlp_mean_loss_backward,
)


# mlp_stats


def _mlp_stats(samples, parameters, intercept, set_weight, networks, statistics):
    operands = samples, parameters, intercept
    others = {"set_weight": set_weight}
    return _call(ms.mlp_stats, operands, networks, others, statistics=split_names(statistics))


def _fake_mlp_stats(samples, parameters, intercept, set_weight, networks, statistics):
    _, *shape = _shape((samples, parameters, intercept), networks)
    return [samples.new_empty(shape, dtype=torch.float64) for _ in split_names(statistics)]


def _no_statistics_backward(ctx, *grads):
    raise NotImplementedError(
        "mlp_stats has no gradients: call it inside torch.no_grad(), or compute mean and spread "
        "from the result of mlp"
    )


mlp_stats = CustomOp(
    f"mlp_stats({_OPERANDS}, Tensor? set_weight, str networks, str statistics) -> Tensor[]",
    _mlp_stats,
    _fake_mlp_stats,
    None,
    _no_statistics_backward,
)
