"""The choice of the backend; the type of the arrays alone decides the type of the result."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from multisubnet._arithmetic import names
from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.summands import Summands
from multisubnet._backends import numpy
from multisubnet._backends.mlp_call import MlpCall
from multisubnet._backends.mlp_sums import MlpSums
from multisubnet._backends.numba import handover

# The module of each backend. Each has:
#   NAME                  its own name, a key here
#   ARRAYS                the namespace of the arrays that it works on, numpy or cupy
#   why_unavailable()     a sentence, or None if it can run here
#   serves(dtype, out)    whether it supports this working dtype and dtype of the result
#   empty(shape, dtype=float64)
#                         a new C-contiguous array
#   copy_from_other(array)
#                         a copy of an array of the other namespace
#   affine(call, out)     writes a validated call to out, of shape (N, B, F)
#   affine_select(call, set_index, out)
#                         the same, to out of shape (B, F)
#   mlp(call, out)        networks with hidden layers, to out of call.shape
#   mlp_select(call, set_index, out)
#                         the same, to out of call.shape[1:]
#   mlp_sums, mlp_gradients, mlp_sample_sums, mlp_output_loss
#                         their losses and gradients: see mlp_sums.py
#   sums(terms, operands, dtype, parameter, length, totals)
#                         the sums of terms over each block of a summed axis
#   finish(totals, out, divisor, divisor_array)
#                         writes the divided sums of these totals to out
_MODULES = {
    "numpy": "multisubnet._backends.numpy",
    "numba": "multisubnet._backends.numba.engine",
    "cupy": "multisubnet._backends.cupy.engine",
}


_context_choice: ContextVar[str | None] = ContextVar("multisubnet_backend", default=None)
_process_choice: str | None = None
_environment_choice = os.environ.get("MULTISUBNET_BACKEND") or None


class BackendUnavailable(RuntimeError):
    """A backend that was requested by name cannot run here."""


def choice() -> str | None:
    """Return the name of the requested backend, or None."""
    return _context_choice.get() or _process_choice or _environment_choice


def choose(
    function: str,
    xp: ModuleType,
    dtype: np.dtype,
    shape: tuple[int, ...],
    out: Any,
    recipe: Activation | Summands | MlpCall | MlpSums | None,
) -> ModuleType:
    """Return the backend that runs a function.

    It depends on the namespace of the arrays, the working dtype, the shape of the computation, the
    recipe, and `out`, which may be None.
    """
    chosen = _context_choice.get() or _process_choice or _environment_choice
    if chosen is None:
        if xp is np:
            return handover.backend(function, dtype, shape, recipe)
        chosen = xp.__name__
    backend = load(chosen)
    if backend is numpy:
        return numpy
    return backend if backend.serves(dtype, dtype if out is None else out.dtype) else numpy


@functools.cache
def load(name: str) -> ModuleType:
    """Return the module of the backend `name`, or raise BackendUnavailable."""
    backend = backend_module(name)
    why = backend.why_unavailable()
    if why is not None:
        raise BackendUnavailable(f"the backend {name!r} cannot run here: {why}")
    return backend


def backend_module(name: str) -> ModuleType:
    """Return the module of the backend `name`, even if it cannot run here."""
    if name not in _MODULES:
        raise names.unknown("backend", name, _MODULES)
    return importlib.import_module(_MODULES[name])


def why_unavailable() -> dict[str, str | None]:
    """Return why each backend cannot run here, or None if it can."""
    return {name: backend_module(name).why_unavailable() for name in _MODULES}


def available_backends() -> list[str]:
    """Return the names of the backends that can run here.

    This imports Numba and CuPy, if installed.

    Returns
    -------
    list of str
        ``"numpy"``, and possibly ``"numba"`` and ``"cupy"``.

    Examples
    --------
    >>> import multisubnet
    >>> "numpy" in multisubnet.available_backends()
    True
    """
    return [name for name, why in why_unavailable().items() if why is None]


def use_backend(name: str | None) -> contextlib.AbstractContextManager[None]:
    """Use one backend for all computations of this library inside a ``with`` block.

    It applies to the current thread or task, and takes precedence over `set_backend` and the
    environment variable ``MULTISUBNET_BACKEND``. The type of results does not change: NumPy arrays
    give NumPy arrays, even if the GPU computes.

    Parameters
    ----------
    name : {"numpy", "numba", "cupy"} or None
        The backend. None chooses by the type of the arrays, unless `set_backend` or the environment
        variable selects one.

    Raises
    ------
    ValueError
        The name is unknown.
    BackendUnavailable
        The backend cannot run here; the message says why.

    Notes
    -----
    ``"numpy"`` computes dtypes that the backend does not support, such as longdouble on the GPU.

    Examples
    --------
    >>> import multisubnet as ms
    >>> with ms.use_backend("numpy"):
    ...     ms.affine([[3, 7]], [[2, 9]])
    array([[[ 6, 63]]])
    """
    if name is not None:
        load(name)  # raises here, even if the `with` is forgotten
    return _used(name)


@contextlib.contextmanager
def _used(name: str | None) -> Iterator[None]:
    token = _context_choice.set(name)
    try:
        yield
    finally:
        _context_choice.reset(token)


def set_backend(name: str | None) -> None:
    """Use one backend for all further computations of this library, in the whole process.

    It takes precedence over the environment variable ``MULTISUBNET_BACKEND``, and `use_backend`
    takes precedence over it.

    Parameters
    ----------
    name : {"numpy", "numba", "cupy"} or None
        The backend. None returns to the environment variable or, without one, to choosing by the
        type of the arrays.

    Raises
    ------
    ValueError
        The name is unknown.
    BackendUnavailable
        The backend cannot run here; the message says why.

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


BackendUnavailable.__module__ = "multisubnet"  # where pickles look for it
