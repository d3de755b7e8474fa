"""Networks with hidden layers as PyTorch operators, with fake results and gradients.

An operator takes the weights and biases of all layers as one list of tensors, and everything that
is not a tensor (activations, inputs, which layers have a bias) as one argument: an object, or a
text if PyTorch's dispatcher calls it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import multisubnet as ms
from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arrays import dtypes
from multisubnet._arrays.frameworks import known_to_compilers
from multisubnet._functions import mlp_operands, problem
from multisubnet._functions.mlp import evaluate
from multisubnet._functions.mlp_loss_problem import NetworkLoss
from multisubnet._functions.mlp_operands import Options
from multisubnet._functions.mlp_vjp import Pullback
from multisubnet.torch._affine_ops import scale, sum_over_sets
from multisubnet.torch._arrays import numpy_dtype, on_arrays, tensor_dtype
from multisubnet.torch._custom_op import CustomOp, Described, decoded, encoded
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
_WORKING = torch.float32, torch.float64


class Networks(Described):
    """The options of `mlp`, and the names of the parameters that are given."""

    def __init__(self, names: tuple[str, ...], options: Options):
        self.names, self.options = names, options

    def text(self) -> str:
        """Return the text that `decode` decodes."""
        return _encode(self.names, self.options)

    def named(self, samples: Any, parameters: list[Any], intercept: Any) -> dict[str, Any]:
        """Return operands under the names that `mlp_operands` uses."""
        named = {"samples": samples, **dict(zip(self.names, parameters, strict=True))}
        return named if intercept is None else named | {"intercept": intercept}


def arguments(tensors: dict[str, Any], options: Options) -> tuple[Any, list[Any], Any, Any]:
    """Return samples, the parameters of all layers, intercept and networks, as operators do."""
    names, parameters = [], []
    for name, x in tensors.items():
        if name.startswith("layers["):
            names.append(name)
            parameters.append(x)
    networks = describe(tuple(names), options)
    return tensors["samples"], parameters, tensors.get("intercept"), networks


def describe(names: tuple[str, ...], options: Options) -> Networks | str:
    """Describe the options, and the parameters that are given, for operators."""
    if torch.compiler.is_compiling():
        return _encode(names, options)
    hidden, _, inputs, _ = options
    if isinstance(hidden, list):
        options = options._replace(activation=tuple(hidden))
    if inputs is not None:  # a copy: later writes to the caller's array must not change gradients
        options = options._replace(inputs=options.with_array().inputs.copy())
    return Networks(names, options)


def _encode(names: tuple[str, ...], options: Options) -> str:
    hidden, output_activation, inputs, additive = options
    if isinstance(hidden, list | tuple):
        activation: Any = tuple([encoded(one) for one in hidden])
    else:
        activation = encoded(hidden)
    shape = None  # nested lists cannot express the shape of an empty array
    if inputs is not None and not isinstance(inputs, list | tuple):
        inputs, shape = np.asarray(inputs).tolist(), np.shape(inputs)
    return _text(names, activation, encoded(output_activation), inputs, shape, bool(additive))


@known_to_compilers
def _text(
    names: Any, activation: Any, output_activation: Any, inputs: Any, shape: Any, additive: Any
) -> str:
    found = {
        "names": names,
        "activation": activation,
        "output_activation": output_activation,
        "inputs": inputs,
        "shape": shape,
        "additive": additive,
    }
    return json.dumps(found)


def decode(networks: Networks | str) -> Networks:
    """Return networks that may be given as a text."""
    return _decode(networks) if isinstance(networks, str) else networks


@functools.lru_cache(64)
def _decode(text: str) -> Networks:
    found = json.loads(text)
    activation, inputs, shape = found["activation"], found["inputs"], found["shape"]
    if not activation or isinstance(activation[0], list):
        activation = tuple(decoded(*one) for one in activation)
    else:
        activation = decoded(*activation)
    if inputs is not None:
        inputs = np.array(inputs)
        inputs = inputs if inputs.size or shape is None else np.zeros(shape, np.int64)
    output_activation = decoded(*found["output_activation"])
    options = Options(activation, output_activation, inputs, found["additive"])
    return Networks(tuple(found["names"]), options)


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


def _result_dtype(operands: tuple[Any, ...], networks: Networks | str) -> torch.dtype:
    how = decode(networks)
    hidden, last, _, additive = how.options
    n_layers = len(mlp_operands.pairs_of(how.named(*operands)))
    dtype = _dtypes(*operands)
    return tensor_dtype(mlp_operands.activations_of(hidden, last, n_layers, dtype, additive)[1])


def _working(samples: Tensor, parameters: list[Tensor], intercept: Tensor | None) -> torch.dtype:
    return tensor_dtype(problem.working_dtype(_dtypes(samples, parameters, intercept)))


def rounds_gradients(samples: Tensor, parameters: list[Tensor], intercept: Any) -> bool:
    """Return whether the dtype of gradients is narrower than that of their computation."""
    if any(x is None for x in (samples, *parameters)):  # the operator raises
        return False
    given = parameters if intercept is None else [*parameters, intercept]
    dtypes_ = [x.dtype for x in (samples, *given)]
    is_working = dtypes_[0] in _WORKING and dtypes_.count(dtypes_[0]) == len(dtypes_)
    return not is_working and _are_narrow(*dtypes_)


@known_to_compilers
def _are_narrow(*of_operands: torch.dtype) -> bool:
    return _are_narrow_for(*of_operands)


@functools.cache
def _are_narrow_for(samples: torch.dtype, *parameters: torch.dtype) -> bool:
    common = dtypes.result_type(*(numpy_dtype("layers", x) for x in (samples, *parameters)))
    working = tensor_dtype(problem.working_dtype(common))
    return any(x.is_floating_point and x != working for x in parameters)


def _count_sets(samples: Tensor, parameters: list[Tensor], intercept: Tensor | None) -> Any:
    """Return N for operands whose sizes may be symbolic."""
    of_sets = [x.shape[0] for x in (*parameters, intercept) if x is not None]
    of_sets += [samples.shape[0]] if samples.ndim == 3 else []
    return next((n for n in of_sets if not is_one(n)), 1)


def _shape(operands: tuple[Any, ...], networks: Networks | str) -> tuple[Any, ...]:
    """Return the shape of the values of networks, (N, B, S, P) or (N, B, P)."""
    samples, parameters, _ = operands
    how = decode(networks)
    last, _ = mlp_operands.pairs_of(how.named(*operands))[-1]
    of_networks = () if how.options.additive else (parameters[0].shape[1],)
    return _count_sets(*operands), samples.shape[-2], *of_networks, last.shape[3]


def _call(
    function: Callable[..., Any],
    operands: tuple[Any, ...],
    networks: Networks | str,
    others: dict[str, Any],
    **arguments: Any,
) -> Any:
    """Return, as tensors, the result of a function of options and of the arrays behind operands."""
    how = decode(networks)
    return on_arrays(function, how.named(*operands) | others, options=how.options, **arguments)


def _flat(results: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arrays of a tuple, and of pairs in tuples in it, without None."""
    found: list[Any] = []
    for result in results:
        if isinstance(result, tuple):
            found += [x for pair in result for x in pair if x is not None]
        elif result is not None:
            found.append(result)
    return tuple(found)


# mlp


def _mlp(samples, parameters, intercept, networks, set_axis):
    operands = samples, parameters, intercept
    return _call(_evaluate, operands, networks, {}, set_axis=set_axis)


def _evaluate(options, set_axis, out=None, **named):
    return evaluate(named, options, set_axis, out)


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
    _call(_evaluate, operands, networks, {"out": check_writable(out)}, set_axis=set_axis)


mlp_out = CustomOp(
    f"mlp_out({_OPERANDS}, Tensor(a!) out, str networks, int set_axis) -> ()", _mlp_out, no_result
)


def _mlp_vjp(samples, parameters, intercept, cotangent, networks, wrt):
    operands, others = (samples, parameters, intercept), {"cotangent": cotangent}
    return _call(_pull_back, operands, networks, others, wrt=split_names(wrt))


@keep_subnormals
def _pull_back(options, wrt, cotangent, **named):
    return _flat(Pullback(named, options, cotangent).gradients(wrt))


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
    return _call(_select, operands, networks, {"set_index": set_index}, check=check)


def _select(options, check, **named):
    return mlp_operands.call_by_name(ms.mlp_select, named, options, check=check)


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
    _call(_select, (samples, parameters, intercept), networks, others, check=check)


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


def _means(has_gradients, *arguments):
    *operands, targets, sample_weight, networks, loss, per_subnetwork, dtype = arguments
    others = {"targets": targets, "sample_weight": sample_weight}
    dtype = None if dtype is None else numpy_dtype("dtype", dtype)
    of_loss = loss, per_subnetwork, dtype
    return _call(
        _judge, tuple(operands), networks, others, of_loss=of_loss, has_gradients=has_gradients
    )


@keep_subnormals
def _judge(options, of_loss, has_gradients, targets, sample_weight, **named):
    others = {"targets": targets, "sample_weight": sample_weight}
    means = _flat(NetworkLoss(named, options, others, *of_loss).means(has_gradients))
    return means if has_gradients else means[0]


def _fake_mlp_mean_loss(samples, parameters, *others):
    *_, per_subnetwork, dtype = others
    n_sets = _count_sets(samples, parameters, others[0])
    shape = (n_sets, parameters[0].shape[1]) if per_subnetwork else (n_sets,)
    return samples.new_empty(shape, dtype=dtype or torch.float64)


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
    of_one_set = is_one(gradients[0].shape[0])
    ctx.are_shared = [not of_one_set and is_one(x.shape[0]) for x in given]
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
    found = scale(ctx.saved_tensors, cotangent, needed[1:], ctx.are_shared)
    of_intercept = found.pop() if ctx.has_intercept else None
    return None, found, of_intercept, *(None,) * 6


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
        working = _working(samples, parameters, intercept)
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


# mlp_stats


def _mlp_stats(samples, parameters, intercept, set_weight, networks, statistics):
    operands = samples, parameters, intercept
    others = {"set_weight": set_weight}
    return _call(_summarize, operands, networks, others, statistics=split_names(statistics))


def _summarize(options, statistics, **named):
    return mlp_operands.call_by_name(ms.mlp_stats, named, options, statistics=statistics)


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
