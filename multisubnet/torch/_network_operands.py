"""Operands of operators of networks, and the shapes and dtypes of their results.

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

from multisubnet._arrays import dtypes, validation
from multisubnet._arrays.frameworks import known_to_compilers
from multisubnet._functions import mlp_operands, problem
from multisubnet._functions.mlp_operands import Options
from multisubnet.torch._arrays import numpy_dtype, on_arrays, tensor_dtype
from multisubnet.torch._custom_op import Described, decoded, encoded, is_dynamo_compiling
from multisubnet.torch._op_operands import is_one

OPERANDS = "Tensor samples, Tensor[] parameters, Tensor? intercept"
WORKING = torch.float32, torch.float64


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


def op_arguments(tensors: dict[str, Any], options: Options) -> tuple[Any, list[Any], Any, Any]:
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
    if is_dynamo_compiling():
        return _encode(names, options)
    return Networks(names, copy_options(options))


def copy_options(options: Options) -> Options:
    """Return options with copies of the caller's list and array, which may change later."""
    if isinstance(options.activation, list):
        options = options._replace(activation=tuple(options.activation))
    if options.inputs is not None:
        options = options._replace(inputs=options.with_array().inputs.copy())
    return options


def _encode(names: tuple[str, ...], options: Options) -> str:
    hidden, output_activation, inputs, additive = options
    if isinstance(hidden, list | tuple):
        activation: Any = tuple([encoded(one) for one in hidden])
    else:
        activation = encoded(hidden)
    shape = None  # nested lists cannot express the shape of an empty array
    if inputs is not None and not isinstance(inputs, list | tuple):
        inputs, shape = np.asarray(inputs).tolist(), np.shape(inputs)
    additive = validation.flag("additive", additive)
    return _text(names, activation, encoded(output_activation), inputs, shape, additive)


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


def result_dtype(operands: tuple[Any, ...], networks: Networks | str) -> torch.dtype:
    networks = decode(networks)
    hidden, last, _, additive = networks.options
    n_layers = len(mlp_operands.pairs_of(networks.named(*operands)))
    dtype = _dtypes(*operands)
    return tensor_dtype(mlp_operands.activations_of(hidden, last, n_layers, dtype, additive)[1])


def working_dtype(
    samples: Tensor, parameters: list[Tensor], intercept: Tensor | None
) -> torch.dtype:
    return tensor_dtype(problem.working_dtype(_dtypes(samples, parameters, intercept)))


def rounds_gradients(samples: Tensor, parameters: list[Tensor], intercept: Any) -> bool:
    """Return whether the dtype of gradients is narrower than that of their computation."""
    if any(x is None for x in (samples, *parameters)):  # the operator raises
        return False
    given = parameters if intercept is None else [*parameters, intercept]
    dtypes_ = [x.dtype for x in (samples, *given)]
    is_working = dtypes_[0] in WORKING and dtypes_.count(dtypes_[0]) == len(dtypes_)
    return not is_working and _are_narrow(*dtypes_)


@known_to_compilers
def _are_narrow(*of_operands: torch.dtype) -> bool:
    return _are_narrow_for(*of_operands)


@functools.cache
def _are_narrow_for(samples: torch.dtype, *parameters: torch.dtype) -> bool:
    common = dtypes.result_type(*(numpy_dtype("layers", x) for x in (samples, *parameters)))
    working = tensor_dtype(problem.working_dtype(common))
    return any(x.is_floating_point and x != working for x in parameters)


def count_sets(samples: Tensor, parameters: list[Tensor], intercept: Tensor | None) -> Any:
    """Return N for operands whose sizes may be symbolic."""
    of_sets = [x.shape[0] for x in (*parameters, intercept) if x is not None]
    of_sets += [samples.shape[0]] if samples.ndim == 3 else []
    return next((n for n in of_sets if not is_one(n)), 1)


def shape_of(operands: tuple[Any, ...], networks: Networks | str) -> tuple[Any, ...]:
    """Return the shape of the values of networks, (N, B, S, P) or (N, B, P)."""
    samples, parameters, _ = operands
    networks = decode(networks)
    last, _ = mlp_operands.pairs_of(networks.named(*operands))[-1]
    of_networks = () if networks.options.additive else (parameters[0].shape[1],)
    return count_sets(*operands), samples.shape[-2], *of_networks, last.shape[3]


def call(
    function: Callable[..., Any],
    operands: tuple[Any, ...],
    networks: Networks | str,
    others: dict[str, Any],
    **arguments: Any,
) -> Any:
    """Return, as tensors, the result of a function of options and of the arrays behind operands."""
    networks = decode(networks)
    named = networks.named(*operands) | others
    return on_arrays(function, named, options=networks.options, **arguments)


def flat(results: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arrays of a tuple, and of pairs in tuples in it, without None."""
    found: list[Any] = []
    for result in results:
        if isinstance(result, tuple):
            found += [x for pair in result for x in pair if x is not None]
        elif result is not None:
            found.append(result)
    return tuple(found)
