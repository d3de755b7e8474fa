"""Which backend does the work. The array type, which decides on the result, is another question."""

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
from multisubnet._backends.numba import engine

# The module of each backend. Each has:
#   NAME                  its own name, a key here
#   ARRAYS                the name of the namespace, numpy or cupy, of the arrays that it works on
#   why_unavailable()     a sentence, or None where it can run
#   serves(dtype, out)    whether it has code for this working dtype and dtype of the result
#   empty(shape, dtype=float64)
#                         a new C-contiguous array
#   copy_from_other(array)
#                         a copy of an array of the other namespace
#   affine(call, out)     a validated call, into out of shape (N, B, F)
#   affine_select(call, set_index, out)
#                         the same, into out of shape (B, F)
#   mlp(call, out)        networks with hidden layers, into out of call.shape
#   mlp_select(call, set_index, out)
#                         the same, into out of call.shape[1:]
#   mlp_sums, mlp_sample_sums, mlp_judge
#                         their losses and gradients: see mlp_sums.py
#   sums(terms, operands, dtype, parameter, length, totals)
#                         the sums of terms over each block of a summed axis
#   finish(totals, out, divisor, divisor_array)
#                         the sums of those, divided, into out
_MODULES = {
    "numpy": "multisubnet._backends.numpy",
    "numba": "multisubnet._backends.numba.engine",
    "cupy": "multisubnet._backends.cupy.engine",
}


_context_choice: ContextVar[str | None] = ContextVar("multisubnet_backend", default=None)
_process_choice: str | None = None
_environment_choice = os.environ.get("MULTISUBNET_BACKEND") or None


class BackendUnavailable(RuntimeError):
    """A backend that was asked for by name cannot run here."""


def choice() -> str | None:
    """Return the name of the backend that was asked for, or None."""
    return _context_choice.get() or _process_choice or _environment_choice


def choose(
    function: str,
    xp: ModuleType,
    dtype: np.dtype,
    shape: tuple[int, ...],
    out: Any,
    recipe: Activation | Summands | MlpCall | MlpSums | None,
) -> ModuleType:
    """Return the backend on which a function is to run.

    That depends on the arrays' module, the working dtype, the shape of what is evaluated, `out` or
    None, and on the recipe.
    """
    chosen = _context_choice.get() or _process_choice or _environment_choice
    if chosen is None:
        if xp is np:
            return engine if engine.gains(function, dtype, shape, recipe) else numpy
        chosen = xp.__name__
    backend = load(chosen)
    if backend is numpy:
        return numpy
    return backend if backend.serves(dtype, dtype if out is None else out.dtype) else numpy


@functools.cache
def load(name: str) -> ModuleType:
    """Return the module of the backend `name`, which can run here, or raise BackendUnavailable."""
    backend = backend_module(name)
    why = backend.why_unavailable()
    if why is not None:
        raise BackendUnavailable(f"the backend {name!r} cannot run here: {why}")
    return backend


def backend_module(name: str) -> ModuleType:
    """Return the module of the backend `name`, whether or not it can run here."""
    if name not in _MODULES:
        raise names.unknown("backend", name, _MODULES)
    return importlib.import_module(_MODULES[name])


def why_unavailable() -> dict[str, str | None]:
    """Return, for each backend, why it cannot run here, or None."""
    return {name: backend_module(name).why_unavailable() for name in _MODULES}


def available_backends() -> list[str]:
    """Return the names of the backends that can run here.

    Finding out imports Numba and CuPy, where they are installed.

    Returns
    -------
    list of str
        Some of ``"numpy"`` (always there), ``"numba"`` and ``"cupy"``.

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
    name : {"numpy", "numba", "cupy"} or None
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
    name : {"numpy", "numba", "cupy"} or None
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


BackendUnavailable.__module__ = "multisubnet"  # where pickles look for it
