"""What an operator of PyTorch is here: a function of tensors with a gradient, and three ways to it.

- By itself, where nothing follows what is done to tensors: the way through the dispatcher and
  Python takes many times as long as a small evaluation.
- As an autograd function, where gradients are recorded, and inside transforms of torch.func.
- As a custom operator in PyTorch's dispatcher, where tensors are no numbers but stand for them, as
  they do for torch.compile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from multisubnet._arithmetic import activation as _activations
from multisubnet._arithmetic.activation import Activation

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
        self._operator = torch.library.custom_op(
            f"multisubnet::{name}", function, mutates_args=mutates, schema="(" + arguments
        )
        self._operator.register_fake(fake)
        save = save or _save_nothing
        methods = {}
        if backward is not None:
            self._operator.register_autograd(backward, setup_context=save)
            methods["backward"] = backward

        def recorded(ctx: Any, *arguments: Any) -> Any:
            results = function(*arguments)
            save(ctx, arguments, results)
            return results

        # The form that transforms ask for takes four times as long.
        in_transforms = {"forward": self, "setup_context": save, "vmap": self._one_by_one}
        self._function = function
        self._recorded = _autograd_function(name, methods | {"forward": recorded})
        self._transformed = _autograd_function(name, methods | in_transforms)

    def __call__(self, *arguments: Any) -> Any:
        if torch.compiler.is_compiling():
            return self._operator(*arguments)
        requires_grad = False
        for argument in arguments:
            if isinstance(argument, Tensor):
                if type(argument) not in _PLAIN or not (argument.is_cpu or argument.is_cuda):
                    return self._operator(*arguments)
                requires_grad = requires_grad or argument.requires_grad
        if torch._C._len_torch_dispatch_stack() or torch._C._is_tracing():
            return self._operator(*arguments)
        if forward_ad._current_level >= 0:
            _expect_no_tangents(arguments)
        if are_transformed():
            return self._transformed(*arguments)
        if requires_grad and torch.is_grad_enabled():
            return self._recorded(*arguments)
        return self._function(*arguments)

    def _one_by_one(self, info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> Any:
        """Evaluate a batch for torch.func.vmap; a result is a tensor, or a tuple of them."""
        results = [
            self(
                *(
                    x.select(d, i) if isinstance(d, int) else x
                    for x, d in zip(arguments, in_dims, strict=True)
                )
            )
            for i in range(info.batch_size)
        ]
        if isinstance(results[0], tuple):
            return tuple(map(torch.stack, zip(*results, strict=True))), (0,) * len(results[0])
        return torch.stack(results), 0


def _autograd_function(name: str, methods: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    static = {key: staticmethod(method) for key, method in methods.items()}
    return type(name, (torch.autograd.Function,), static).apply  # type: ignore[attr-defined]


def _save_nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    pass


def are_transformed() -> bool:
    """Whether the call is inside a transform of torch.func."""
    return torch._C._are_functorch_transforms_active()


def are_numbers(*operands: Any) -> bool:
    """Whether operands (None is no operand) are tensors on the CPU which nothing follows."""
    if torch.compiler.is_compiling():
        return False
    for x in operands:
        if x is not None:
            if type(x) not in _PLAIN or not x.is_cpu:
                return False
            if x.requires_grad and torch.is_grad_enabled():
                return False
    return not (
        torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._is_tracing()
        or forward_ad._current_level >= 0
    )


def _expect_no_tangents(arguments: tuple[Any, ...]) -> None:
    for argument in arguments:
        if isinstance(argument, Tensor) and forward_ad.unpack_dual(argument).tangent is not None:
            raise NotImplementedError(
                "multisubnet has no forward-mode derivatives: use backward() or torch.func.vjp"
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
