"""Which array type was given, and which backend does the work.

Two questions that stay apart. The array type (`namespace`) decides what the caller gets back; the
backend (`select`) decides where the work runs. CuPy is never imported to answer the first: arrays
of a library that nobody imported cannot be among the arguments.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

# The module of each backend. Each has:
#   xp                    the namespace of the arrays that it works on
#   why_unavailable()     a sentence, or None where it can run
#   serves(dtype)         whether it has kernels for this dtype
#   affine(samples, weight, bias, out, dtype)    on validated arrays, into out of shape (N, B, F)
_MODULES = {"numpy": "multisubnet._numpy", "cupy": "multisubnet._cupy"}

_context_choice: ContextVar[str | None] = ContextVar("multisubnet_backend", default=None)
_process_choice: str | None = None
_environment_choice = os.environ.get("MULTISUBNET_BACKEND") or None


class BackendUnavailable(RuntimeError):
    """A backend that was asked for by name cannot run here."""


@functools.cache
def _is_cupy(array_type: type) -> bool:
    cupy = sys.modules.get("cupy")
    return cupy is not None and issubclass(array_type, cupy.ndarray)


def namespace(**operands: Any) -> ModuleType:
    """Return the module, numpy or cupy, of the arrays among the operands that are not None.

    Raises TypeError where host and device arrays, or the arrays of two devices, are mixed.
    """
    operands = {name: array for name, array in operands.items() if array is not None}
    on_gpu = {name: array for name, array in operands.items() if _is_cupy(type(array))}  # type: ignore[arg-type]
    if not on_gpu:
        return np
    for name, array in operands.items():
        if name not in on_gpu:
            there = next(iter(on_gpu))
            raise TypeError(
                f"{there} is on the GPU and {name} ({type(array).__name__}) is not: move one of "
                f"them, with cupy.asarray({name}) or cupy.asnumpy({there})"
            )
    (first, device), *others = ((name, array.device.id) for name, array in on_gpu.items())
    for name, other in others:
        if other != device:
            raise TypeError(
                f"{first} is on GPU {device} and {name} on GPU {other}: move one of them, with "
                f"cupy.asarray({name}) inside 'with cupy.cuda.Device({device})'"
            )
    return sys.modules["cupy"]


def choice() -> str | None:
    """Return the name of the backend that was asked for, or None."""
    return _context_choice.get() or _process_choice or _environment_choice


def select(xp: ModuleType, dtype: np.dtype) -> ModuleType:
    """Return the backend that serves arrays of the namespace `xp` in the working dtype."""
    backend = load(choice() or xp.__name__)
    return backend if backend.serves(dtype) else load("numpy")


@functools.cache
def load(name: str) -> ModuleType:
    """Return the module of the backend `name`, which can run here, or raise BackendUnavailable."""
    backend = module(name)
    why = backend.why_unavailable()
    if why is not None:
        raise BackendUnavailable(f"the backend {name!r} cannot run here: {why}")
    return backend


def module(name: str) -> ModuleType:
    """Return the module of the backend `name`, whether or not it can run here."""
    if name not in _MODULES:
        raise ValueError(f"backend must be one of {', '.join(map(repr, _MODULES))}, not {name!r}")
    return importlib.import_module(_MODULES[name])


def why_unavailable() -> dict[str, str | None]:
    """Return, for each backend, why it cannot run here, or None."""
    return {name: module(name).why_unavailable() for name in _MODULES}


def available_backends() -> list[str]:
    """Return the names of the backends that can run here.

    Asking for CuPy's imports CuPy.

    Returns
    -------
    list of str
        Some of ``"numpy"`` (always there) and ``"cupy"``.

    Examples
    --------
    >>> import multisubnet
    >>> "numpy" in multisubnet.available_backends()
    True
    """
    return [name for name, why in why_unavailable().items() if why is None]


@contextlib.contextmanager
def use_backend(name: str | None) -> Iterator[None]:
    """Run the work of this library on one backend inside a ``with`` block.

    It holds for the current thread or task, and takes precedence over `set_backend` and over the
    environment variable ``MULTISUBNET_BACKEND``. What the functions return does not change: NumPy
    arrays in, NumPy arrays out, also where the work runs on the GPU.

    Parameters
    ----------
    name : {"numpy", "cupy"} or None
        The backend. None goes back to choosing by the type of the arrays, unless `set_backend` or
        the environment says otherwise.

    Raises
    ------
    ValueError
        There is no backend of that name.
    BackendUnavailable
        It cannot run here; the message says what is missing.

    Notes
    -----
    A dtype that the backend does not have (longdouble on the GPU) is computed by ``"numpy"``.

    Examples
    --------
    >>> import multisubnet as ms
    >>> with ms.use_backend("numpy"):
    ...     ms.affine([[3, 7]], [[2, 9]])
    array([[[ 6, 63]]])
    """
    if name is not None:
        load(name)
    token = _context_choice.set(name)
    try:
        yield
    finally:
        _context_choice.reset(token)


def set_backend(name: str | None) -> None:
    """Run the work of this library on one backend from now on, in the whole process.

    It takes precedence over the environment variable ``MULTISUBNET_BACKEND``; `use_backend` takes
    precedence over it.

    Parameters
    ----------
    name : {"numpy", "cupy"} or None
        The backend. None goes back to what the environment says, or else to choosing by the type
        of the arrays.

    Raises
    ------
    ValueError
        There is no backend of that name.
    BackendUnavailable
        It cannot run here; the message says what is missing.

    Examples
    --------
    >>> import multisubnet
    >>> multisubnet.set_backend("numpy")
    >>> multisubnet.set_backend(None)
    """
    global _process_choice
    if name is not None:
        load(name)
    _process_choice = name
