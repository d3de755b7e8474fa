"""The floating-point state of a thread: keeps subnormals, and suppresses warnings.

Some libraries make their thread flush subnormal numbers to zero (``-ffast-math`` at load time,
`torch.set_flush_denormal`, JAX inside its callbacks). NumPy then flushes as well.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

# A thread flushes subnormals if the product of these is zero. (They are variables, because the
# compiler of Python would fold a product of constants.)
SMALLEST = 5e-324
ONE = 1.0

_FENV_BYTES = 256  # more than sizeof(fenv_t) on any platform
_FE_DFL_ENV = ctypes.c_void_p(-1)  # in glibc and musl, on every architecture but PowerPC


@contextlib.contextmanager
def subnormals_kept() -> Iterator[None]:
    """Keep subnormals in this thread within a ``with`` block."""
    libm = _libm()
    callers = ctypes.create_string_buffer(_FENV_BYTES)
    libm.fegetenv(callers)
    libm.fesetenv(_FE_DFL_ENV)
    try:
        yield
    finally:
        libm.fesetenv(callers)


def keep_subnormals(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that its arithmetic keeps subnormals, in any thread."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if SMALLEST * ONE == 0.0:
            with subnormals_kept():
                return function(*args, **kwargs)
        return function(*args, **kwargs)

    return wrapper


@functools.cache
def _libm() -> ctypes.CDLL:
    if not sys.platform.startswith("linux"):
        raise RuntimeError(
            "this thread flushes subnormal numbers to zero: switch that off, or call from a "
            "thread that was started before it was switched on"
        )
    return ctypes.CDLL(None)


# Entering a copy of a context takes a quarter of the time of entering numpy.errstate.
_QUIET = contextvars.Context()
_QUIET.run(np.seterr, all="ignore")


def without_warnings(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to suppress all NumPy warnings in it, regardless of `numpy.seterr`.

    The function takes positional arguments only, and does not see context variables of its caller,
    such as the choice of a backend. Functions that need them use `numpy.errstate` instead.
    """
    by_position: Any = function

    @functools.wraps(by_position)
    def wrapper(*args: Any) -> Any:
        return _QUIET.copy().run(by_position, *args)

    return wrapper  # type: ignore[return-value]
