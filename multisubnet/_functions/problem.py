"""Validated operands of functions that compute sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from multisubnet._arithmetic.activation import Activation, resolve_activation
from multisubnet._arithmetic.summands import Summands
from multisubnet._arrays import dtypes, namespaces, validation
from multisubnet._backends import choice
from multisubnet._functions.affine_operands import (
    ARRAYS_OF_NUMPY,
    ARRAYS_OF_NUMPY_OR_NONE,
    REQUIRED,
    as_numpy_arrays,
    make_call,
)
from multisubnet._functions.summation import Summing, normalized


class SumProblem:
    """Validated operands of functions that compute sums, and the choice of their backend.

    `others` are further operands by name; None means that an operand is absent.
    """

    activation: Activation | None = None

    def __init__(
        self, samples: Any, weight: Any, bias: Any, activation: Any, others: dict[str, Any]
    ):
        self.read(samples, weight, bias, others)
        call = make_call(self.samples, self.weight, self.bias)
        self.shape, self.dtype = call.shape, working_dtype(call.dtype)
        check_others(self.others)
        if activation is not None:
            self.activation, _ = resolve_activation(activation, self.dtype)

    def read(self, samples: Any, weight: Any, bias: Any, others: dict[str, Any]) -> None:
        """Take the operands as arrays of one namespace."""
        required, optional = (samples, weight), (bias, *others.values())
        is_usual = ARRAYS_OF_NUMPY.issuperset(map(type, required))
        if is_usual and ARRAYS_OF_NUMPY_OR_NONE.issuperset(map(type, optional)):
            self.xp, self.others = np, others
            self.samples, self.weight, self.bias = samples, weight, bias
            return
        operands = {"samples": samples, "weight": weight, "bias": bias, **others}
        self.xp = namespaces.namespace(operands)
        if self.xp is np:
            operands = as_numpy_arrays(operands, REQUIRED)
        self.samples, self.weight = operands.pop("samples"), operands.pop("weight")
        self.bias, self.others = operands.pop("bias"), operands

    def expect(self, name: str, shapes: dict[str, tuple[int, ...]]) -> None:
        """Raise unless an operand is absent or has one of the named shapes."""
        expect_shape(name, self.others[name], shapes)

    def dtype_of_gradient(self, operand: Any) -> np.dtype:
        """Return the dtype of a gradient with respect to an operand."""
        return dtype_of_gradient(operand, self.dtype)

    def expect_derivative(self) -> None:
        """Raise unless the activation has a derivative."""
        expect_derivative("activation", self.activation)

    def terms(self, loss: str, outputs: tuple[str, ...], weighted: bool = False) -> Summands:
        """Return summands with the activation of the problem."""
        key = "linear" if self.activation is None else self.activation.key
        return Summands(loss, key, outputs, weighted)

    def on_backend(self, terms: Summands, shape: tuple[int, ...] | None = None) -> Summing:
        """Choose the backend for the validated operands, and bring them there.

        `shape` is the shape of all terms if it differs from that of the problem.
        """
        backend = choice.choose("sums", self.xp, self.dtype, shape or self.shape, None, terms)
        if backend.ARRAYS != self.xp.__name__:
            move = backend.copy_from_other
            self.samples, self.weight = move(self.samples), move(self.weight)
            self.bias = None if self.bias is None else move(self.bias)
            self.others = {k: None if x is None else move(x) for k, x in self.others.items()}
        number = 0.0 if self.activation is None else self.activation.number
        return Summing(backend, self.xp, self.dtype, number)

    def normalize(self, summing: Summing, name: str) -> Any:
        """Replace weights by the result of `normalized`, and return it."""
        self.others[name] = normalized(summing, self.others[name])
        return self.others[name]

    def over_samples(self) -> dict[str, Any]:
        """Return the operands with axes (N, B, F), to be summed over the second."""
        samples = self.samples if self.samples.ndim == 3 else self.samples[None]
        bias = None if self.bias is None else self.bias[:, None]
        return {"sample": samples, "weight": self.weight[:, None], "bias": bias}

    def over_sets(self) -> dict[str, Any]:
        """Return the operands with axes (B, N, F), to be summed over the second."""
        return swapped(self.over_samples())


def check_others(others: dict[str, Any]) -> None:
    """Raise unless the dtypes of all operands given can be summed."""
    for name, array in others.items():
        if array is None:
            continue
        if array.dtype not in dtypes.NATIVE:
            validation.check_dtype(name, array)
        if array.dtype.kind == "c" or array.dtype.char == "g":
            raise TypeError(
                f"{name} has dtype {array.dtype}; expected bool, an integer, or a "
                f"floating dtype up to float64"
            )


def expect_shape(
    name: str, array: Any, shapes: dict[str, tuple[int, ...]], advice: str = ""
) -> None:
    """Raise unless an operand is absent or has one of the named shapes."""
    if array is not None and array.shape not in shapes.values():
        first = {shape: names for names, shape in reversed(shapes.items())}  # equal shapes: once
        expected = " or ".join(f"{names} = {shape}" for shape, names in reversed(first.items()))
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}{advice}")


def advice_per_set(array: Any, n_sets: int, vjp: str) -> str:
    """Return advice for targets or sample weights that seem to differ between sets, or ''."""
    if array is None or array.ndim < 2 or array.shape[0] != n_sets:
        return ""
    return (
        f"; all sets share it: if it differs between sets, pass the derivative of the loss with "
        f"respect to predictions as the cotangent to {vjp}"
    )


def expect_derivative(name: str, activation: Activation | None) -> None:
    """Raise unless an activation has a derivative."""
    if activation is not None and activation.is_derivative:
        raise TypeError(
            f"{name} is {activation!r}, which has no derivative; expected an activation that has "
            f"one"
        )


def dtype_of_gradient(operand: Any, working: np.dtype) -> np.dtype:
    """Return the dtype of a gradient with respect to an operand."""
    dtype = dtypes.native(operand.dtype)
    return dtype if dtypes.is_floating(dtype) else working


def swapped(operands: dict[str, Any]) -> dict[str, Any]:
    """Return operands with their first two axes exchanged."""
    return {name: None if x is None else x.transpose(1, 0, 2) for name, x in operands.items()}


def working_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype in which operands of this common dtype are summed."""
    if dtype.kind == "c" or dtype.char == "g":
        raise TypeError(
            f"samples, weight and bias together have dtype {dtype}; expected bool, integers or "
            f"floating dtypes up to float64"
        )
    return np.dtype(np.float32 if dtype.char in "eEf" else np.float64)
