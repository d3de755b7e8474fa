"""What public functions do first: make arrays of their operands and check them, once."""

from __future__ import annotations

import itertools
import operator
from types import ModuleType
from typing import Any

import numpy as np

from multisubnet._arrays import namespaces, validation
from multisubnet._arrays.dtypes import BUILT_IN, can_cast, is_number, result_type
from multisubnet._arrays.types import SetAxis


def read(
    samples: Any, weight: Any, bias: Any, out: Any
) -> tuple[ModuleType, Any, Any, Any, np.dtype, tuple[int, int, int]]:
    """Return the namespace, the operands as its arrays, the working dtype, (N, B, F)."""
    xp: ModuleType = np
    if not (
        type(samples) is type(weight) is np.ndarray
        and (bias is None or type(bias) is np.ndarray)
        and (out is None or type(out) is np.ndarray)
    ):
        xp = namespaces.namespace({"samples": samples, "weight": weight, "bias": bias, "out": out})
        if xp is np:
            samples = as_numpy("samples", samples)
            weight = as_numpy("weight", weight)
            bias = None if bias is None else as_numpy("bias", bias)

    # Most calls have operands of one dtype and one N: they are not to wait for the general rules.
    dtype = samples.dtype
    if not (
        weight.dtype is dtype
        and (bias is None or bias.dtype is dtype)
        and dtype.num in BUILT_IN
        and dtype.isnative
    ):
        dtype = _working_dtype(samples, weight, bias)
    shape, of_weight = samples.shape, weight.shape
    if (
        len(shape) == len(of_weight) == 2
        and shape[1] == of_weight[1]
        and (bias is None or bias.shape == of_weight)
    ):
        return xp, samples, weight, bias, dtype, (of_weight[0], *shape)
    n_sets = count_sets(samples, weight, bias)
    return xp, samples, weight, bias, dtype, (n_sets, *shape[-2:])


def as_numpy(name: str, operand: Any) -> np.ndarray:
    """Return an array_like as a NumPy array, without a copy where it is one."""
    if _is_masked(operand):
        raise TypeError(f"{name} is a masked array, and its mask would be lost: fill it first")
    try:
        array = np.asarray(operand)
    except ValueError as error:
        from multisubnet._arrays import explanations

        raise explanations.not_an_array(name, operand, error) from None
    check_dtype(name, array, operand)
    return array


def as_index(name: str, operand: Any) -> np.ndarray:
    """Return an array_like of integers as a NumPy array; of an empty list NumPy makes floats."""
    if isinstance(operand, list | tuple) and not operand:
        return np.empty(0, np.intp)
    return as_numpy(name, operand)


def _is_masked(operand: Any) -> bool:
    """Whether this is a masked array, or a nested sequence with one in it."""
    if not isinstance(operand, list | tuple):
        return isinstance(operand, np.ma.MaskedArray)
    some = (list, tuple, np.ma.MaskedArray)
    if not any(issubclass(cls, some) for cls in set(map(type, operand))):
        return False
    return any(map(_is_masked, operand))


def check_dtype(name: str, array: Any, operand: Any = None) -> None:
    """Raise unless an array, that was made of an operand, has a dtype of numbers."""
    if not is_number(array.dtype):
        from multisubnet._arrays import explanations

        operand = array if operand is None and array.ndim else operand
        raise explanations.not_numbers(name, operand, array.dtype)


def _working_dtype(samples: Any, weight: Any, bias: Any) -> np.dtype:
    """Return the dtype that the operands have in common, in native byte order."""
    dtypes = []
    for name, array in (("samples", samples), ("weight", weight), ("bias", bias)):
        if array is not None:
            check_dtype(name, array)
            dtypes.append(array.dtype)
    return result_type(*dtypes)


def count_sets(samples: Any, weight: Any, bias: Any) -> int:
    """Return N, having checked that all shapes agree on it and on F."""
    shape = samples.shape
    if len(shape) not in (2, 3):
        raise ValueError(f"samples has shape {shape}; expected (B, F) or (N, B, F)")
    n_sets = shape[0] if len(shape) == 3 else None
    n_sets = agree(n_sets, shape[-1], "weight", weight)
    if bias is not None:
        shared = n_sets == 1 and len(shape) == 2
        n_sets = agree(None if shared else n_sets, shape[-1], "bias", bias)
    return n_sets


def agree(n_sets: int | None, n_features: int, name: str, parameter: Any) -> int:
    """Return N, having checked that a weight or bias has the shape (N, F) or (1, F).

    `n_sets` is None where nothing has said yet what N is.
    """
    shape = parameter.shape
    if len(shape) == 2 and shape[1] == n_features:
        if n_sets is None or shape[0] == n_sets:
            return shape[0]
        if shape[0] == 1:
            return n_sets
    known = f"F = {n_features}" if n_sets is None else f"N = {n_sets} and F = {n_features}"
    raise ValueError(
        f"{name} has shape {shape}; expected (N, F), or (1, F) for all sets, with {known} "
        f"as in the operands before it"
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
    """Whether two elements of an array have a byte in common."""
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
        return False  # each axis steps over all of those before
    # Two elements are apart by a multiple of each stride, less often than the axis is long. For all
    # multiples of the others, that of the longest axis which brings them nearest to 0 is known.
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
    """Return the error of an `out` to whose dtype results of this one cannot be cast."""
    return TypeError(
        f"out has dtype {out.dtype}, to which results of dtype {dtype} cannot be cast "
        f"with casting 'same_kind'"
    )


def as_int(value: Any) -> int | None:
    """Return an integer, or an array of one without axes, as an int; None for anything else."""
    if isinstance(value, bool) or getattr(value, "ndim", 0) != 0:
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def axis(name: str, value: Any) -> SetAxis:
    """Return 0 or 1."""
    index = int(value) if isinstance(value, bool) else as_int(value)
    if index is not None and index in (0, 1):
        return 1 if index else 0
    raise ValueError(f"{name} must be 0 or 1, not {value!r}")


def apart_from(out: Any, operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the operands, samples first, copied where writing to `out` could change them.

    `out` has its axes in the order of (N, B, F).
    """
    samples, *others = operands
    if not _is_same(samples, out):
        samples = apart(out, samples)
    return samples, *(None if x is None else apart(out, x) for x in others)


def apart(out: Any, array: Any) -> Any:
    """Return an operand, copied if writing to `out` could change it."""
    if not isinstance(out, np.ndarray):
        return array.copy() if namespaces.cupy().may_share_memory(array, out) else array
    if array.flags.owndata and out.flags.owndata and array is not out:
        return array
    try:
        return array.copy() if np.shares_memory(array, out, max_work=1000) else array  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return array.copy()


def _is_same(array: Any, out: Any) -> bool:
    """Whether each element of the result lies where the sample lies that it is computed from."""
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
        raise ValueError(f"weight has shape {weight.shape}; expected (N, F)")
    n_sets, n_features = weight.shape
    if bias is not None:
        validation.check_dtype("bias", bias)
        n_sets = validation.agree(None if n_sets == 1 else n_sets, n_features, "bias", bias)
    return xp, weight, bias, (n_sets, n_features)
