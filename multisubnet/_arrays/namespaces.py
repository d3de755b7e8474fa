"""The array namespace of operands: NumPy or CuPy.

The type of the operands decides the type of the result. CuPy is never imported to find out:
arguments cannot contain arrays of a library that has not been imported.
"""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType
from typing import Any

import numpy as np

_NOTHING = contextlib.nullcontext()


def cupy() -> Any:
    """Return the module cupy, or None if it has not been imported (completely)."""
    module = sys.modules.get("cupy")
    return module if hasattr(module, "ndarray") else None


def is_cupy(array: Any) -> bool:
    """Return whether this is a CuPy array."""
    return is_class_of_cupy(type(array))


def is_class_of_cupy(cls: type) -> bool:
    """Return whether this is the class of CuPy arrays."""
    module = cupy()
    return module is not None and issubclass(cls, module.ndarray)


def on_host(array: Any) -> np.ndarray:
    """Return an array as a NumPy array; a CuPy array is copied once its value is computed."""
    return array.get() if is_cupy(array) else array


def device_of(array: Any) -> contextlib.AbstractContextManager:
    """Return a context in which a CuPy array's device is current (usually it already is)."""
    if type(array) is np.ndarray or not is_cupy(array) or is_on_current_device(array):
        return _NOTHING
    return array.device


def is_on_current_device(array: Any) -> bool:
    """Return whether a CuPy array's device is the current device."""
    return cupy().cuda.runtime.getDevice() == array.data.device_id


def namespace(operands: dict[str, Any]) -> ModuleType:
    """Return the module, numpy or cupy, of the named operands; None is ignored.

    Raises TypeError if host and device arrays, or arrays of two devices, are mixed.
    """
    module = cupy()
    if module is None:
        return np
    on_gpu = {name: a for name, a in operands.items() if isinstance(a, module.ndarray)}
    if not on_gpu:
        return np
    for name, array in operands.items():
        if name not in on_gpu and array is not None:
            there = next(iter(on_gpu))
            raise TypeError(
                f"{there} is on the GPU and {name} ({type(array).__name__}) is not: move one of "
                f"them, with cupy.asarray({name}) or cupy.asnumpy({there})"
            )
    (first, device), *others = ((name, a.data.device_id) for name, a in on_gpu.items())
    for name, other in others:
        if other != device:
            raise TypeError(
                f"{first} is on GPU {device} but {name} is on GPU {other}: move one of them, with "
                f"cupy.asarray({name}) inside 'with cupy.cuda.Device({device})'"
            )
    return module
