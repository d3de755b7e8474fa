"""Operands and results of any library with the array API standard or DLPack.

Operands are read in place on the CPU. Results are arrays of the operands' library. Neither is
copied if the library allows it. If a library has DLPack but no array namespace, results are NumPy
arrays.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from multisubnet._arrays.frameworks import is_foreign, library_of
from multisubnet._functions import affine as _affine
from multisubnet._functions import affine_select as _affine_select
from multisubnet._functions import affine_stats as _affine_stats
from multisubnet._functions import affine_vjp as _affine_vjp
from multisubnet._functions import mean_loss as _mean_loss
from multisubnet._functions import mlp as _mlp
from multisubnet._functions import mlp_mean_loss as _mlp_mean_loss
from multisubnet._functions import mlp_vjp as _mlp_vjp
from multisubnet._functions import pairs, theta

P = ParamSpec("P")
R = TypeVar("R")

_ON_HOST = 1, 3  # DLPack's device types: the CPU, and host memory pinned by CUDA


def _on_numpy(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function of NumPy arrays as a function of another library's arrays."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        out = bound.arguments.get("out")
        example: Any = None

        def converted(name: str, argument: Any) -> Any:
            nonlocal example
            if name.startswith("layers") and isinstance(argument, list | tuple):
                return tuple(converted(f"{name}[{i}]", x) for i, x in enumerate(argument))
            if not is_foreign(type(argument)):  # type: ignore[arg-type]
                return argument
            if example is None:
                example = argument
            else:
                _check_alike(name, argument, example)
            return _as_numpy(name, argument)

        for name, argument in bound.arguments.items():
            bound.arguments[name] = converted(name, argument)
        result = function(*bound.args, **bound.kwargs)
        return out if out is not None else _returned(result, example)

    return wrapper


def _namespace_of(array: Any) -> Any:
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    return library_of(type(array))


def _as_numpy(name: str, array: Any) -> np.ndarray:
    """Return an array on the CPU as a NumPy array that shares its memory."""
    kind, number = array.__dlpack_device__()
    if kind not in _ON_HOST:
        raise TypeError(
            f"{name} ({type(array).__name__}) is not on the CPU, but on device {number} of kind "
            f"{int(kind)} (DLPack's numbers): pass a CuPy array, cupy.from_dlpack({name}), or move "
            f"it to the CPU"
        )
    try:
        return np.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{name} ({type(array).__name__}) cannot be read by DLPack: {error}"
        ) from error


def _check_alike(name: str, array: Any, example: Any) -> None:
    """Raise unless two arrays belong to the same library and device."""
    if _namespace_of(array) is not _namespace_of(example):
        raise TypeError(
            f"{name} is a {type(array).__module__}.{type(array).__name__}, but an operand before "
            f"it is a {type(example).__module__}.{type(example).__name__}: convert one of them"
        )
    here, there = (getattr(x, "device", None) for x in (array, example))
    if here != there:
        raise TypeError(
            f"{name} is on {here}, but an operand before it is on {there}: move one of them"
        )


def _returned(result: Any, example: Any) -> Any:
    """Convert NumPy arrays, or a tuple of them, to the library and device of `example`."""
    if isinstance(result, tuple):
        returned = (_returned(x, example) for x in result)
        return type(result)(*returned) if hasattr(result, "_fields") else tuple(returned)
    xp = _namespace_of(example)
    if result is None or xp is None:
        return result
    array = xp.from_dlpack(result) if hasattr(xp, "from_dlpack") else xp.asarray(result)
    device = getattr(example, "device", None)
    return array if getattr(array, "device", None) == device else array.to_device(device)


affine = _on_numpy(_affine.affine)
affine_select = _on_numpy(_affine_select.affine_select)
affine_stats = _on_numpy(_affine_stats.affine_stats)
affine_vjp = _on_numpy(_affine_vjp.affine_vjp)
from_pairs = _on_numpy(pairs.from_pairs)
from_theta = _on_numpy(theta.from_theta)
mean_loss = _on_numpy(_mean_loss.mean_loss)
mean_loss_and_grad = _on_numpy(_mean_loss.mean_loss_and_grad)
mlp = _on_numpy(_mlp.mlp)
mlp_mean_loss = _on_numpy(_mlp_mean_loss.mlp_mean_loss)
mlp_mean_loss_and_grad = _on_numpy(_mlp_mean_loss.mlp_mean_loss_and_grad)
mlp_select = _on_numpy(_mlp.mlp_select)
mlp_stats = _on_numpy(_mlp.mlp_stats)
mlp_vjp = _on_numpy(_mlp_vjp.mlp_vjp)
to_pairs = _on_numpy(pairs.to_pairs)
to_theta = _on_numpy(theta.to_theta)
