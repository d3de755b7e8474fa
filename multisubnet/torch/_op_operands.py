"""Operands of PyTorch operators, and the shapes and dtypes of their results."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true

from multisubnet._arithmetic.activation import resolve_activation
from multisubnet._arrays import dtypes
from multisubnet._arrays.frameworks import known_to_compilers
from multisubnet._functions import affine_operands, problem
from multisubnet.torch._arrays import numpy_dtype, tensor_dtype
from multisubnet.torch._custom_op import decoded

OPERANDS = "Tensor samples, Tensor weight, Tensor? bias"
ACTIVATION = "str? activation, float? parameter"
WRT = "samples", "weight", "bias"


def named(samples: Tensor, weight: Tensor, bias: Tensor | None) -> dict[str, Tensor | None]:
    return {"samples": samples, "weight": weight, "bias": bias}


# Names are joined into one string: the TorchScript tracer does not accept lists of strings.


def join_names(names: Iterable[str]) -> str:
    return ",".join(names)


def split_names(names: str) -> list[str]:
    return names.split(",") if names else []


def _common_dtype(samples: Tensor, weight: Tensor, bias: Tensor | None) -> np.dtype:
    operands = named(samples, weight, bias)
    return dtypes.result_type(
        *(numpy_dtype(name, x.dtype) for name, x in operands.items() if x is not None)
    )


def result_dtype(operands: tuple[Any, ...], activation: Any, parameter: Any) -> torch.dtype:
    dtype = _common_dtype(*operands)
    if activation is not None:
        _, dtype = resolve_activation(decoded(activation, parameter), dtype)
    return tensor_dtype(dtype)


def shape_of(samples: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
    """Return (N, B, F) for operands whose sizes may be symbolic."""
    operands = [x for x in (samples, weight, bias) if x is not None]
    n_samples, n_features = samples.shape[-2:]
    if all(isinstance(n, int) or n.node.has_hint() for x in operands for n in x.shape):
        return affine_operands.count_sets(samples, weight, bias), n_samples, n_features
    of_sets = *(x.shape[0] for x in operands[1:]), *samples.shape[:-2]
    n_sets = next((n for n in of_sets if not is_one(n)), 1)
    return n_sets, n_samples, n_features


def is_one(n: Any) -> bool:
    """Return whether a size, which may be symbolic, is known to be 1."""
    return n == 1 if type(n) is int else statically_known_true(n == 1)


def working_dtype(samples: Tensor, weight: Tensor, bias: Tensor | None) -> torch.dtype:
    return tensor_dtype(problem.working_dtype(_common_dtype(samples, weight, bias)))


def rounds_gradients(samples: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Return whether the dtype of gradients is narrower than that of their computation."""
    if samples is None or weight is None:  # the operator raises
        return False
    of_bias = None if bias is None else bias.dtype
    return _is_narrow(samples.dtype, weight.dtype, of_bias)


@known_to_compilers
def _is_narrow(*of_operands: torch.dtype | None) -> bool:
    return _is_narrow_for(*of_operands)


@functools.cache
def _is_narrow_for(samples: torch.dtype, weight: torch.dtype, bias: torch.dtype | None) -> bool:
    x, w, b = (None if d is None else torch.empty(0, dtype=d) for d in (samples, weight, bias))
    return weight.is_floating_point and weight != working_dtype(x, w, b)


def fake_gradient(operand: Tensor, operands: tuple[Any, ...], shape: Any = None) -> Tensor:
    dtype = operand.dtype if operand.is_floating_point() else working_dtype(*operands)
    return operand.new_empty(operand.shape if shape is None else shape, dtype=dtype)


@functools.cache
def names_of_needed(needed: tuple[bool, ...]) -> tuple[str, ...]:
    """Return the names of the operands of `affine` whose gradients are needed."""
    return tuple([name for name, is_needed in zip(WRT, needed, strict=True) if is_needed])


def pick(gradients: Iterable[Tensor], needed: Iterable[bool]) -> list[Tensor | None]:
    """Return the gradients that are needed, and None in place of others."""
    return [x if is_needed else None for x, is_needed in zip(gradients, needed, strict=True)]


def check_writable(out: Tensor) -> Tensor:
    if out.is_conj() or out.is_neg():
        raise ValueError("out is a lazy conjugate of another tensor: pass one that is not")
    return out


def no_result(*arguments):
    return None


def no_second_derivative(*ignored):
    raise NotImplementedError(
        "multisubnet has no second derivatives: its gradients cannot be differentiated"
    )
