"""Networks in PyTorch modules: a module is called on numbered values, operation by operation."""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._sets.chains import (
    Chain,
    NoDenseLayer,
    NotAChain,
    Source,
    Values,
    added,
    as_array,
    joined,
)

_ACTIVATIONS = (  # functions without parameters, by names that `Activation` knows
    *("relu", "relu6", "selu", "softsign", "hardsigmoid", "hardtanh", "sigmoid", "tanh"),
    *("softplus", "silu"),
)
_PASSING = {
    *("dropout", "dropout1d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"),
    *("to", "type", "type_as", "float", "double", "half", "bfloat16"),
    *("contiguous", "clone", "detach", "cpu", "cuda", "requires_grad"),
}


def chain_of_module(module: Any) -> Chain:
    """Return the networks of a module, or raise NotAChain."""
    evaluated = copy.deepcopy(module).eval() if module.training else module
    parameters = list(module.parameters())
    own = dict(zip(map(id, evaluated.parameters()), parameters, strict=True))
    refusals: list[tuple[int, NotAChain]] = []
    shapes, tried = [*_input_shapes(parameters)], set()
    while shapes:
        shape = shapes.pop(0)
        tried.add(shape)
        tracer = _Tracer(own)
        try:
            values = tracer.values_of(evaluated, shape)
            # With too few features, some modules do not use all of their weights.
            if any(x.ndim > 1 and id(x) not in tracer.used for x in parameters):
                raise NotAChain("with weights that it does not use")
            chain = values.chain(int(np.prod(shape)), _prediction(evaluated, parameters[0], shape))
        except NotAChain as error:
            refusals.append((tracer.n_operations, error))
            continue
        needed = (int(chain.inputs.max(initial=0)) + 1,)
        if len(shape) > 1 or needed in tried:
            return chain
        shapes = [needed, shape]  # the features used may be all there are
    if not refusals:
        raise NoDenseLayer("without dense layers")
    raise max(refusals, key=lambda refusal: refusal[0])[1]


def _prediction(module: Any, like: Any, shape: tuple[int, ...]) -> Callable[[np.ndarray], Any]:
    return lambda samples: module(like.new_tensor(samples.reshape(len(samples), *shape)))


def _input_shapes(parameters: list[Any]) -> Iterator[tuple[int, ...]]:
    """Yield possible shapes of a module's samples, likely ones first.

    A module does not declare its number of features. A layer sees all of them, or some.
    """
    weights = [tuple(x.shape) for x in parameters if x.ndim > 1]
    if not weights:
        return
    n_outputs, n_inputs, *space = weights[0]
    if not space:  # all features, or those of one of several branches
        some = [n * n_inputs for n in _divisors(len(weights))]
        for n_features in dict.fromkeys([n_inputs, *some, n_outputs]):
            yield (n_features,)
        return
    for groups in _divisors(n_outputs):  # groups of a convolution
        yield (groups * n_inputs, *space)
        yield (groups * n_inputs,)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


class _Tracer:
    """Calls a module on numbered values, and records the operations that it consists of.

    `parameters` maps the ids of tensors used in the computation to parameters of the module.
    """

    def __init__(self, parameters: dict[int, Any]):
        self._parameters = parameters
        self._torch = sys.modules["torch"]
        self._tensors = _tensor_class(self._torch)
        self.n_operations = 0
        self.used: set[int] = set()
        """The ids of the parameters that the module uses."""

    def values_of(self, module: Any, shape: tuple[int, ...]) -> Values:
        """Return a module's values for samples of a shape."""
        like = next(iter(module.parameters()))
        self._device = like.device
        try:
            with self._torch.no_grad():
                outputs = module(self._tensor(Values.of_features(*shape)))
        except NotAChain:
            raise
        except Exception as error:  # a module may raise anything
            raise NotAChain(
                f"that cannot be called on samples of shape {shape} "
                f"({type(error).__name__}: {error})"
            ) from error
        every = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        if not every or not all(isinstance(each, self._tensors) for each in every):
            raise NotAChain("whose outputs do not depend on its inputs alone")
        values = [each.values for each in every]
        if len(values) == 1:
            return values[0]
        return joined(
            "outputs", values, lambda xs: np.concatenate([x.reshape(2, -1) for x in xs], axis=1)
        )

    def _tensor(self, values: Values) -> Any:
        numbers = values.place + 0.5
        rows = self._torch.as_tensor(np.stack([numbers, -numbers]), device=self._device)
        tensor = rows.as_subclass(self._tensors)
        tensor.values, tensor.tracer = values, self
        return tensor

    def call(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Return the result of a PyTorch function."""
        name = function.__name__
        name = name if name.startswith("__get") else name.strip("_")
        self.n_operations += 1
        read = _OPERATIONS.get(name)
        result = NotImplemented if read is None else read(self, name, *args, **kwargs)
        if result is NotImplemented:
            return self._moved(name, function, args, kwargs)
        return self._tensor(result)

    def _moved(self, name: str, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Return the result of a function that moves values, or queries the shape of a tensor."""
        found = _found((args, kwargs), self._tensors)
        if _found((args, kwargs), self._torch.nn.Parameter):
            raise NotAChain(f"with {name}, which is neither a dense layer nor an activation")

        def of_rows(rows: Iterable[Any]) -> Any:
            arrays = iter(rows)
            plain = _replaced((args, kwargs), self._tensors, lambda _: next(arrays))
            return function(*plain[0], **plain[1])

        results = of_rows([tensor.as_subclass(self._torch.Tensor) for tensor in found])
        every = list(results) if isinstance(results, list | tuple) else [results]
        if not every or not all(isinstance(each, self._torch.Tensor) for each in every):
            return results

        def moved(number: int) -> Any:
            def of_arrays(arrays: list[np.ndarray]) -> np.ndarray:
                given = of_rows([self._torch.as_tensor(x, device=self._device) for x in arrays])
                return as_array(given[number] if isinstance(results, list | tuple) else given)

            return self._tensor(joined(name, [tensor.values for tensor in found], of_arrays))

        tensors = [moved(number) for number in range(len(every))]
        return type(results)(tensors) if isinstance(results, list | tuple) else tensors[0]

    def _source(self, weight: Any, bias: Any) -> Source:
        for of in (weight, bias):
            if isinstance(of, self._tensors):
                raise NotAChain("with weights that depend on its inputs")
        own = [self._parameters.get(id(of)) for of in (weight, bias)]
        self.used |= set(map(id, own))

        def assign(*arrays: np.ndarray | None) -> None:
            for parameter, used, array in zip(own, (weight, bias), arrays, strict=True):
                if used is None:
                    continue
                if parameter is None:
                    raise ValueError("model computes its weights from others; expected parameters")
                parameter.detach().copy_(parameter.new_tensor(array))

        of_bias = None if bias is None else np.asarray(as_array(bias))
        return Source(np.asarray(as_array(weight)), of_bias, assign)

    # Results of operations; NotImplemented if an operation may only move values.

    def _linear(self, name: str, input: Any, weight: Any, bias: Any = None) -> Values:
        source = self._source(weight, bias)
        return self._values(input).linear("Linear", "...i,oi->...o", source)

    def _einsum(self, name: str, equation: Any, *operands: Any) -> Any:
        if len(operands) != 2 or not isinstance(operands[0], self._tensors):
            return NotImplemented
        source = self._source(operands[1], None)
        return operands[0].values.linear(name, equation, source)

    def _convolution(
        self,
        name: str,
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Values:
        """Return the weighted sums of a convolution whose kernel covers its input."""
        values, source = self._values(input), self._source(weight, bias)
        n_out, n_in, *space = source.kernel.shape
        if values.place.shape != (groups * n_in, *space) or np.any(padding):
            raise NotAChain(
                f"with {name} of values of shape {values.place.shape}, where a dense "
                f"layer is expected"
            )
        kernel = source.kernel.reshape(groups, n_out // groups, n_in, -1)
        of_bias = None if source.bias is None else source.bias.reshape(groups, -1)

        def assign(kernel: np.ndarray, bias: np.ndarray | None) -> None:
            whole = None if bias is None else bias.reshape(-1)
            source.assign(kernel.reshape(source.kernel.shape), whole)

        grouped = values._replace(place=values.place.reshape(groups, n_in, -1))
        found = grouped.linear(name, "bgip,goip->bgo", Source(kernel, of_bias, assign))
        return found._replace(place=found.place.reshape(-1, *(1 for _ in space)))

    def _passing(self, name: str, input: Any, *args: Any, **kwargs: Any) -> Values:
        return self._values(input)

    def _sum(self, name: str, input: Any, dim: Any = None, keepdim: bool = False) -> Any:
        dims = dim if isinstance(dim, list | tuple) else [dim]
        if len(dims) != 1 or dims[0] is None or dims[0] % input.dim() == 0:
            return NotImplemented
        return self._values(input).summed(dims[0] % input.dim() - 1, keepdim)

    def _add(self, name: str, one: Any, other: Any, **options: Any) -> Any:
        for a, b in ((one, other), (other, one)):
            if isinstance(a, int) and a == 0 and not options:  # the initial value of sum()
                return self._values(b)
            if isinstance(a, self._torch.nn.Parameter) and not options:
                return self._values(b).plus(name, self._source(a, None))
        if options or not all(isinstance(each, self._tensors) for each in (one, other)):
            return NotImplemented
        return added(name, [one.values, other.values])

    def _softmax(self, name: str, input: Any, dim: Any = None, *args: Any, **kwargs: Any) -> Values:
        return self._values(input).softmax()

    def _activation(self, name: str, input: Any, *args: Any, **kwargs: Any) -> Values:
        return self._values(input).activated(name, _activation_of(name, *args, **kwargs))

    def _values(self, tensor: Any) -> Values:
        if not isinstance(tensor, self._tensors):
            raise NotAChain("with weights that depend on its inputs")
        return tensor.values


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "linear": _Tracer._linear,
    "einsum": _Tracer._einsum,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _Tracer._convolution),
    **dict.fromkeys(_PASSING, _Tracer._passing),
    "sum": _Tracer._sum,
    **dict.fromkeys(("add", "radd", "iadd"), _Tracer._add),
    "softmax": _Tracer._softmax,
    **dict.fromkeys((*_ACTIVATIONS, "leaky_relu", "elu", "gelu"), _Tracer._activation),
}


def _activation_of(
    name: str,
    negative_slope: float = 0.01,
    *args: Any,
    alpha: float = 1.0,
    approximate: str = "none",
    **kwargs: Any,
) -> Activation:
    if name == "leaky_relu":
        return Activation(name, negative_slope=float(negative_slope))
    if name == "elu":
        return Activation(name, alpha=float(alpha))
    if name == "gelu":
        return Activation("gelu_tanh" if approximate == "tanh" else "gelu")
    return Activation(name)


@functools.cache
def _tensor_class(torch: Any) -> Any:
    """Return a tensor class whose operations a tracer records."""

    class Traced(torch.Tensor):
        @classmethod
        def __torch_function__(
            cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            first = _found((args, kwargs), cls)[0]
            with torch._C.DisableTorchFunctionSubclass():
                return first.tracer.call(function, args, kwargs or {})

    return Traced


def _found(value: Any, kind: type) -> list[Any]:
    """Return all tensors of a class among arguments."""
    found: list[Any] = []

    def keep(tensor: Any) -> Any:
        found.append(tensor)
        return tensor

    _replaced(value, kind, keep)
    return found


def _replaced(value: Any, kind: type, replace: Callable[[Any], Any]) -> Any:
    """Return arguments with tensors of a class replaced."""
    if isinstance(value, kind):
        return replace(value)
    if isinstance(value, list | tuple):
        each = [_replaced(x, kind, replace) for x in value]
        return type(value)(*each) if hasattr(value, "_fields") else type(value)(each)
    if isinstance(value, dict):
        return {key: _replaced(x, kind, replace) for key, x in value.items()}
    return value
