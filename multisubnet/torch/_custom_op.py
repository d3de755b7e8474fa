"""PyTorch operators: a function of tensors with a gradient, callable in three ways.

- Directly, if nothing records or traces operations on tensors: the dispatcher and Python take many
  times as long as a small evaluation.
- As an autograd function, if gradients are recorded.
- As an operator in PyTorch's dispatcher, if tensors stand for values: inside torch.func transforms,
  for torch.compile and for other tracers.
"""

from __future__ import annotations

import functools
import itertools
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, is_grad_enabled
from torch._C import (
    _are_functorch_transforms_active,
    _dispatch_tls_is_dispatch_key_included,
    _is_tracing,
    _len_torch_dispatch_stack,
)
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._functorch.autograd_function import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.compiler import is_dynamo_compiling

from multisubnet._arithmetic.activation import PARAMETERS, Activation, resolve_activation

_PLAIN = frozenset([Tensor, torch.nn.Parameter])
_OPTIONS = frozenset([type(None), str, int, float, bool])
_SEQUENCES = list, tuple
_VMAP_MODE = torch._C._parse_dispatch_key("VmapMode")
_SYMBOLS = Tensor, torch.fx.Proxy  # subclasses of tensors, and placeholders of a traced graph
_LIBRARY = torch.library.Library("multisubnet", "FRAGMENT")


class Described:
    """Arguments that are not tensors, which PyTorch's dispatcher takes as one text."""

    def text(self) -> str:
        """Return the text."""
        raise NotImplementedError


class CustomOp:
    """A function of tensors that is called in the way its context requires.

    Operators made by `torch.library.custom_op` cannot be differentiated by torch.func and drop the
    tangents of forward mode. The autograd kernel is therefore our own.

    Parameters
    ----------
    schema : str
        Name, arguments and results, as a PyTorch operator schema; arguments have no defaults.
    function : callable
        The implementation for concrete tensors, the first argument being a tensor. None among its
        results is an empty tensor for PyTorch's dispatcher.
    fake : callable
        The implementation for tensors that only have a shape and a dtype.
    save, backward : callable, optional
        The gradient: ``save(ctx, inputs, output)`` and ``backward(ctx, *grads)``.
    recorded : tuple of (CustomOp, callable), optional
        The operator to call when autograd records, instead of `save` and `backward`, and a function
        that returns its arguments. Its first result is that of this operator.
    """

    def __init__(
        self,
        schema: str,
        function: Callable[..., Any],
        fake: Callable[..., Any],
        save: Callable[..., None] | None = None,
        backward: Callable[..., Any] | None = None,
        recorded: tuple[CustomOp, Callable[..., Any]] | None = None,
    ):
        name = schema.partition("(")[0]
        _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        self._operator = getattr(torch.ops.multisubnet, name).default
        # Autograd follows tensor arguments, but not tensors in lists: it gets all of them, followed
        # by the arguments as they were.
        has_lists = "Tensor[]" in schema.partition("->")[0]
        self._flattened: Callable[..., Sequence[Any]] = _flattened if has_lists else tuple
        self._function, self._fake = function, fake
        self._save, self._backward = save, backward
        self._recorded = recorded
        self._of_autograd = _autograd_function(name, self._forward, self._pull_back)
        _LIBRARY.impl(name, _filled(function), "CompositeExplicitAutograd")
        _LIBRARY.impl(name, self._autograd_kernel, "Autograd", with_keyset=True)
        if "(a!) out" in schema:
            _LIBRARY.impl(name, self._count_change_of_out, "ADInplaceOrView", with_keyset=True)
        torch.library.register_fake(f"multisubnet::{name}", _filled(fake), lib=_LIBRARY)
        if hasattr(torch.library, "register_vmap"):  # PyTorch 2.5; 2.4 uses another mechanism
            torch.library.register_vmap(f"multisubnet::{name}", self._one_by_one, lib=_LIBRARY)

    def __call__(self, *arguments: Any) -> Any:
        if is_dynamo_compiling():  # unlike is_compiling, this does not hold in other threads
            if forward_ad._current_level >= 0:  # compiled code would drop tangents
                raise NotImplementedError(_NO_FORWARD_MODE)
            return self._operator(*_with_texts(arguments))
        requires_grad = is_wrapped = False
        for argument in self._flattened(arguments):
            if type(argument) in _PLAIN:
                if not (argument.is_cpu or argument.is_cuda):
                    return self._operator(*_with_texts(arguments))
                is_wrapped = is_wrapped or is_functorch_wrapped_tensor(argument)
                requires_grad = requires_grad or argument.requires_grad
            elif type(argument) not in _OPTIONS and isinstance(argument, _SYMBOLS):
                return self._operator(*_with_texts(arguments))
        if is_wrapped or _are_followed() or _is_batched():
            return _undisturbed(self._operator)(*_with_texts(arguments))
        return self.call(requires_grad and is_grad_enabled(), *arguments)

    def call(self, is_recorded: bool | None, *arguments: Any) -> Any:
        """Call the operator, given the result of `recorded` for its tensors."""
        if is_recorded is None:
            return self(*arguments)
        if not is_recorded:
            return self._function(*arguments)
        if self._recorded is not None:
            operator, prepare = self._recorded
            return operator.call(True, *prepare(*arguments))[0]
        return self._record(arguments)

    def _record(self, arguments: tuple[Any, ...], keyset: Any = None) -> Any:
        return apply_of_one_level(self._of_autograd)(*self._flattened(arguments), arguments, keyset)

    # The autograd kernel, for one level of transforms. `keyset` holds the remaining dispatch keys.

    def _autograd_kernel(self, keyset: Any, *arguments: Any) -> Any:
        if forward_ad._current_level >= 0:
            for argument in self._flattened(arguments):
                if isinstance(argument, Tensor):
                    if forward_ad.unpack_dual(argument).tangent is not None:
                        raise NotImplementedError(_NO_FORWARD_MODE)
        if not records(arguments):
            return self._below_autograd(keyset, arguments)
        if self._recorded is not None:
            operator, prepare = self._recorded
            return operator(*prepare(*arguments))[0]
        with enable_single_level_autograd_function():
            return self._record(arguments, keyset)

    def _below_autograd(self, keyset: Any, arguments: tuple[Any, ...]) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return self._operator.redispatch(keyset & torch._C._after_autograd_keyset, *arguments)

    def _forward(self, ctx: Any, *found: Any) -> Any:
        arguments, keyset = found[-2:]
        if keyset is None:
            results = self._function(*arguments)
        else:  # lower levels record for themselves
            with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
                results = self._below_autograd(keyset, arguments)
        if self._save is not None:
            self._save(ctx, arguments, results)
        return tuple(results) if isinstance(results, list) else results  # autograd rejects lists

    def _pull_back(self, ctx: Any, *grads: Any) -> tuple[Any, ...]:
        if self._backward is None:
            raise NotImplementedError(f"{self._operator.name()} has no gradient")
        return *self._flattened(self._backward(ctx, *grads)), None, None

    def _count_change_of_out(self, keyset: Any, *arguments: Any) -> None:
        for argument, described in zip(arguments, self._operator._schema.arguments, strict=True):
            if described.name == "out":
                torch.autograd.graph.increment_version(argument)
        self._operator.redispatch(keyset & torch._C._after_ADInplaceOrView_keyset, *arguments)

    def _one_by_one(self, info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> Any:
        """Evaluate a batch for torch.func.vmap; a result is a tensor, or a tuple of them."""
        flat, axes = _flattened(arguments), _flattened(in_dims)
        of_each = [
            _nested(
                [
                    _without_axis(x, axis, i) if isinstance(axis, int) else x
                    for x, axis in zip(flat, axes, strict=True)
                ],
                _lengths(arguments),
            )
            for i in range(max(info.batch_size, 1))
        ]
        if info.batch_size:
            results = [_filled(self)(*some) for some in of_each]
        else:
            results = [_filled(self._fake)(*of_each[0])]
        if isinstance(results[0], tuple | list):
            stacked = tuple(torch.stack(x)[: info.batch_size] for x in zip(*results, strict=True))
            return stacked, (0,) * len(stacked)
        return torch.stack(results)[: info.batch_size], 0


def _filled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose results have empty tensors in place of None."""

    @functools.wraps(function)
    def filled(*arguments: Any) -> Any:
        results = function(*arguments)
        if not isinstance(results, tuple):
            return results
        return tuple(arguments[0].new_empty(0) if x is None else x for x in results)

    return filled


def _with_texts(arguments: Iterable[Any]) -> list[Any]:
    """Return the arguments as PyTorch's dispatcher takes them."""
    return [x.text() if isinstance(x, Described) else x for x in arguments]


def _flattened(arguments: Iterable[Any]) -> list[Any]:
    """Return the arguments, with lists replaced by their elements."""
    flat: list[Any] = []
    for argument in arguments:
        if isinstance(argument, _SEQUENCES):
            flat += argument
        else:
            flat.append(argument)
    return flat


def _lengths(arguments: Iterable[Any]) -> tuple[int | None, ...]:
    """Return the length of each argument that is a list, and None for the others."""
    return tuple([len(x) if isinstance(x, _SEQUENCES) else None for x in arguments])


def _nested(flat: list[Any], lengths: tuple[int | None, ...]) -> list[Any]:
    """Return the arguments before flattening."""
    rest = iter(flat)
    return [
        next(rest) if length is None else list(itertools.islice(rest, length)) for length in lengths
    ]


_NO_FORWARD_MODE = (
    "multisubnet has no forward-mode derivatives of tensors: use backward() or torch.func.vjp"
)


def _without_axis(x: Tensor, axis: int, i: int) -> Tensor:
    """Return element i of a batch; for an empty batch, a tensor with the shape of one element."""
    if x.shape[axis]:
        return x.select(axis, i)
    shape = list(x.shape)
    del shape[axis]
    return x.new_empty(shape)


def _autograd_function(name: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    # Compiled autograd traces functions, but not bound methods.
    methods = {
        "forward": staticmethod(forward),
        "backward": staticmethod(lambda *arguments: backward(*arguments)),
    }
    return types.new_class(name, (torch.autograd.Function,), exec_body=lambda x: x.update(methods))


@functools.cache
def apply_of_one_level(function: Any) -> Any:
    """Return `apply` of an autograd function, which leaves out all levels of torch.func."""
    of_base: Any = super(torch.autograd.Function, function)
    return of_base.apply


_keeps_graph: Callable[[], bool] = getattr(  # older versions do not tell
    torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True
)


def keeps_graph() -> bool:
    """Return whether the graph is kept after the current backward pass; True if unknown."""
    return is_dynamo_compiling() or _keeps_graph()


def are_transformed() -> bool:
    """Return whether the call is inside a torch.func transform."""
    return not is_dynamo_compiling() and _are_functorch_transforms_active()


def recorded(*operands: Any) -> bool | None:
    """Return whether autograd records concrete CPU tensors; operands that are None are ignored.

    Return None for other operands, or if anything but autograd follows operations on tensors.
    """
    if is_dynamo_compiling():
        return None
    requires_grad = False
    for x in operands:
        if x is not None:
            if type(x) not in _PLAIN or not x.is_cpu or is_functorch_wrapped_tensor(x):
                return None
            requires_grad = requires_grad or x.requires_grad
    return None if _are_followed() or _is_batched() else requires_grad and is_grad_enabled()


def concrete_array(cotangent: Tensor) -> np.ndarray | None:
    """Return the array behind a cotangent on the CPU, unless operations on tensors are followed.

    Return None for all other cotangents, and for dtypes that NumPy lacks.
    """
    if is_dynamo_compiling() or is_grad_enabled() or _are_followed():
        return None
    try:
        return cotangent.numpy()
    except (TypeError, RuntimeError):  # for example, a batch of is_grads_batched
        return None


def _are_followed() -> bool:
    """Return whether anything but the recording of gradients follows operations on tensors."""
    return (
        _are_functorch_transforms_active()
        or _len_torch_dispatch_stack()
        or _is_tracing()
        or forward_ad._current_level >= 0
    )


def _is_batched() -> bool:
    """Return whether tensors may be batches, of is_grads_batched."""
    return _dispatch_tls_is_dispatch_key_included(_VMAP_MODE)


def _undisturbed(operator: Callable[..., Any]) -> Callable[..., Any]:
    """Return an operator inside which Dynamo compiles nothing.

    After a graph break, Dynamo would also compile functions called by eager code, including those
    of a kernel, and would drop tangents.
    """
    dynamo: Any = sys.modules.get("torch._dynamo")
    return dynamo.disable(operator) if hasattr(dynamo, "disable") else operator


def records(arguments: tuple[Any, ...]) -> bool:
    """Return whether autograd records operations on the arguments."""
    return is_grad_enabled() and any(
        isinstance(argument, Tensor) and argument.requires_grad
        for argument in _flattened(arguments)
    )


def may_record(arguments: tuple[Any, ...]) -> bool:
    """Return whether autograd records operations on the arguments, on any level of torch.func."""
    return records(arguments) or are_transformed()


# Operators cannot take objects, so activations are passed as a key and a parameter.


def encoded(activation: Any) -> tuple[str | None, float | None]:
    """Return the key and the parameter of an activation."""
    if activation is None or isinstance(activation, str):
        return activation, None
    if isinstance(activation, Activation):
        return activation.key, activation.parameter
    resolve_activation(activation, np.dtype(np.float64))  # raises for unknown activations
    raise AssertionError


def decoded(key: str | None, parameter: float | None) -> Activation | None:
    """Return the activation of a key and a parameter."""
    if key is None:
        return None
    name = key.removesuffix("_derivative")
    if parameter is None:
        activation = _of_name(name)
    else:  # not cached, because a cache cannot tell 0.0 from -0.0
        activation = Activation(name, **{PARAMETERS[name][0]: parameter})
    return activation if key == name else activation.derivative


_of_name = functools.cache(Activation)
