"""What an operator of PyTorch is here: a function of tensors with a gradient, and two ways to it.

Where something follows what is done to tensors (torch.compile, transforms
of torch.func, fake tensors), it is a custom operator in PyTorch's dispatcher, which knows shapes
and gradients but not what is inside. Everywhere else it is called at once, for the way through the
dispatcher and Python takes many times as long as a small evaluation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from multisubnet import _activations
from multisubnet._activations import Activation

_PLAIN = frozenset([Tensor, torch.nn.Parameter])


class Operator:
    """A function of tensors, called as what is around it asks for.

    Parameters
    ----------
    schema : str
        Name, arguments and results, in PyTorch's language of operators.
    function : callable
        What it does to tensors of numbers.
    fake : callable
        The same for tensors that only have a shape and a dtype.
    save, backward : callable, optional
        Its gradient: ``save(ctx, inputs, output)`` and ``backward(ctx, *grads)``.
    """

    def __init__(
        self,
        schema: str,
        function: Callable[..., Any],
        fake: Callable[..., Any],
        save: Callable[..., None] | None = None,
        backward: Callable[..., Any] | None = None,
    ):
        name, arguments = schema.split("(", 1)
        mutates = ("out",) if "(a!) out" in schema else ()
        operator = torch.library.custom_op(
            f"multisubnet::{name}", function, mutates_args=mutates, schema="(" + arguments
        )
        operator.register_fake(fake)
        if backward is not None:
            operator.register_autograd(backward, setup_context=save)
            methods = {"forward": function, "setup_context": save, "backward": backward}
            methods = {key: staticmethod(method) for key, method in methods.items()}
            self._with_graph = type(name, (torch.autograd.Function,), methods).apply  # type: ignore[attr-defined]
        self._operator = operator
        self._function = function
        self._is_differentiable = backward is not None

    def __call__(self, *arguments: Any) -> Any:
        if not _is_by_itself(arguments):
            return self._operator(*arguments)
        if self._is_differentiable and records(arguments):
            return self._with_graph(*arguments)
        return self._function(*arguments)


def _is_by_itself(arguments: tuple[Any, ...]) -> bool:
    """Whether nothing follows what is done to the tensors among the arguments."""
    if torch.compiler.is_compiling():
        return False
    for argument in arguments:
        if isinstance(argument, Tensor):
            if type(argument) not in _PLAIN or not (argument.is_cpu or argument.is_cuda):
                return False
    if forward_ad._current_level >= 0:
        _expect_no_tangents(arguments)
    return not (
        torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or torch.jit.is_tracing()
    )


def _expect_no_tangents(arguments: tuple[Any, ...]) -> None:
    for argument in arguments:
        if isinstance(argument, Tensor) and forward_ad.unpack_dual(argument).tangent is not None:
            raise NotImplementedError(
                "multisubnet has no forward-mode derivatives: use torch.func.vjp or backward()"
            )


def records(arguments: tuple[Any, ...]) -> bool:
    """Whether autograd records what is done to the arguments."""
    return torch.is_grad_enabled() and any(
        isinstance(argument, Tensor) and argument.requires_grad for argument in arguments
    )


# Activations travel as a key and a parameter: operators take no objects.


def encoded(activation: Any) -> tuple[str | None, float | None]:
    """Return the key and the parameter of an activation."""
    if activation is None or isinstance(activation, str):
        return activation, None
    if isinstance(activation, Activation):
        return activation.key, activation.parameter
    _activations.applied(activation, np.dtype(np.float64))  # says what is wrong
    raise AssertionError


@functools.cache
def decoded(key: str | None, parameter: float | None) -> Activation | None:
    if key is None:
        return None
    name = key.removesuffix("_derivative")
    parameters = {} if parameter is None else {_activations.PARAMETERS[name][0]: parameter}
    activation = Activation(name, **parameters)
    return activation if key == name else activation.derivative
