"""Conversion and validation of operands, once per call of a public function."""

from __future__ import annotations

import itertools
import operator
from types import ModuleType
from typing import Any

import numpy as np

from multisubnet._arrays import namespaces, validation
from multisubnet._arrays.dtypes import can_cast, is_number
from multisubnet._arrays.types import SetAxis


def as_numpy(name: str, operand: Any) -> np.ndarray:
    """Return an array_like as a NumPy array, without a copy if it already is one."""
    if _is_masked(operand):
        raise TypeError(f"{name} is a masked array, whose mask would be lost: fill it first")
    try:
        array = np.asarray(operand)
    except ValueError as error:
        from multisubnet._arrays import explanations

        raise explanations.not_an_array(name, operand, error) from None
    check_dtype(name, array, operand)
    return array


def as_index(name: str, operand: Any) -> np.ndarray:
    """Return an array_like of integers as a NumPy array, also if it is an empty list."""
    if isinstance(operand, list | tuple) and not operand:
        return np.empty(0, np.intp)
    return as_numpy(name, operand)


def _is_masked(operand: Any) -> bool:
    """Return whether this is a masked array, or a nested sequence that contains one."""
    if not isinstance(operand, list | tuple):
        return isinstance(operand, np.ma.MaskedArray)
    some = (list, tuple, np.ma.MaskedArray)
    if not any(issubclass(cls, some) for cls in set(map(type, operand))):
        return False
    return any(map(_is_masked, operand))


def check_dtype(name: str, array: Any, operand: Any = None) -> None:
    """Raise unless an array, made from `operand`, has a numeric dtype."""
    if not is_number(array.dtype):
        from multisubnet._arrays import explanations

        operand = array if operand is None and array.ndim else operand
        raise explanations.not_numbers(name, operand, array.dtype)


def agree(n_sets: int | None, n_features: int, name: str, parameter: Any, **before: Any) -> int:
    """Check that a weight or bias has the shape (N, F) or (1, F), and return N.

    `n_sets` is None if no operand has determined N yet; `before` has the operands checked so far.
    """
    shape = parameter.shape
    if len(shape) == 2 and shape[1] == n_features:
        if n_sets is None or shape[0] == n_sets:
            return shape[0]
        if shape[0] == 1:
            return n_sets
    known = f"F = {n_features}" if n_sets is None else f"N = {n_sets} and F = {n_features}"
    given = " and ".join(f"{name} of shape {array.shape}" for name, array in before.items())
    raise ValueError(
        f"{name} has shape {shape}; expected (N, F), or (1, F) for all sets, with {known} "
        f"from {given}"
    )


def check_out(xp: ModuleType, out: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise unless a result of this shape and dtype can be written to `out`."""
    if not isinstance(out, xp.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out must be a {xp.__name__}.ndarray, not {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}; expected {shape}")
    if out.dtype is not dtype and not (is_number(out.dtype) and can_cast(dtype, out.dtype)):
        raise cannot_hold(out, dtype)
    if xp is np and not out.flags.writeable:
        raise ValueError("out is read-only")
    if not out.flags.c_contiguous and overlaps_itself(out.shape, out.strides, out.itemsize):
        raise ValueError(f"out has elements that share memory: its strides are {out.strides}")


def overlaps_itself(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> bool:
    """Return whether two elements of an array share a byte."""
    if 0 in shape:
        return False
    axes = sorted((abs(stride), n) for stride, n in zip(strides, shape, strict=True) if n > 1)
    if axes and axes[0][0] == 0:
        return True
    extent = itemsize
    for stride, n in axes:
        if stride < extent:
            break
        extent += stride * (n - 1)
    else:
        return False  # the step of each axis skips all smaller axes
    # The distance of two elements is a sum of multiples of the strides, limited by the lengths of
    # the axes. Given the other multiples, the best multiple for the longest axis is known.
    longest = max(range(len(axes)), key=lambda axis: axes[axis][1])
    step, most = axes.pop(longest)
    if not axes:
        return step < itemsize
    *outer, (stride, n) = axes
    inner = stride * np.arange(1 - n, n)
    for multiples in itertools.product(*(range(n) for _, n in outer)):
        apart = inner + sum(m * stride for m, (stride, _) in zip(multiples, outer, strict=True))
        for times in (-(apart // step), -(apart // step) - 1):
            near = abs(apart + times * step) < itemsize
            same = (inner == 0) & (times == 0) & (not any(multiples))
            if (near & (abs(times) < most) & ~same).any():
                return True
    return False


def cannot_hold(out: Any, dtype: np.dtype) -> TypeError:
    """Return the error for an `out` to whose dtype the result cannot be cast."""
    return TypeError(
        f"out has dtype {out.dtype}, to which results of dtype {dtype} cannot be cast "
        f"with casting 'same_kind'"
    )


def as_int(value: Any) -> int | None:
    """Return an integer or 0-d integer array as an int; None for anything else."""
    if isinstance(value, bool) or getattr(value, "ndim", 0) != 0:
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def flag(name: str, value: Any) -> bool:
    """Return an option that is true or false as a bool, or raise; as in NumPy, 0 and 1 are bools.

    A text such as ``"no"`` would count as true.
    """
    if type(value) is bool:
        return value
    if isinstance(value, np.bool_) or as_int(value) in (0, 1):
        return bool(value)
    from multisubnet._arrays import explanations

    raise TypeError(f"{name} is {explanations.shown(value)}; expected True or False")


def axis(name: str, value: Any) -> SetAxis:
    """Return an axis, 0 or 1, as an int, or raise."""
    index = int(value) if isinstance(value, bool) else as_int(value)
    if index is not None and index in (0, 1):
        return 1 if index else 0
    from multisubnet._arrays import explanations

    raise ValueError(f"{name} must be 0 or 1, not {explanations.shown(value)}")


def unaliased(out: Any, array: Any) -> Any:
    """Return an operand, copied if writing to `out` could change it."""
    if not isinstance(out, np.ndarray):
        return array.copy() if namespaces.cupy().may_share_memory(array, out) else array
    if array.flags.owndata and out.flags.owndata and array is not out:
        return array
    try:
        return array.copy() if np.shares_memory(array, out, max_work=1000) else array  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return array.copy()


def is_same(array: Any, out: Any) -> bool:
    """Return whether each element of the result has the same address as the sample it uses."""
    if array.shape != out.shape or array.strides != out.strides or array.dtype != out.dtype:
        return False
    if isinstance(out, np.ndarray):
        return array.__array_interface__["data"] == out.__array_interface__["data"]
    return array.data.ptr == out.data.ptr


def read_parameters(weight: Any, bias: Any) -> tuple[ModuleType, Any, Any, tuple[int, int]]:
    """Return the namespace, weight and bias as its arrays, and (N, F); bias may be None."""
    xp = namespaces.namespace({"weight": weight, "bias": bias})
    if xp is np:
        weight = validation.as_numpy("weight", weight)
        bias = None if bias is None else validation.as_numpy("bias", bias)
    validation.check_dtype("weight", weight)
    if weight.ndim != 2:
        advice = "; WeightSets.from_layers takes layers of networks" * (weight.ndim == 4)
        raise ValueError(f"weight has shape {weight.shape}; expected (N, F){advice}")
    n_sets, n_features = weight.shape
    if bias is not None:
        validation.check_dtype("bias", bias)
        n_sets = validation.agree(
            None if n_sets == 1 else n_sets, n_features, "bias", bias, weight=weight
        )
    return xp, weight, bias, (n_sets, n_features)
