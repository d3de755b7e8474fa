"""Compilation by Numba, with its cache on disk."""

from __future__ import annotations

import functools
import inspect
import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import cfunc, njit

from multisubnet._arithmetic import (
    moments,
    names,
    output_loss,
    recipe,
    summands,
    summation_order,
)
from multisubnet._backends.numba import areas, lines, llvm, loading, sharing

# Machine code depends on these modules, in addition to the file of the function. Programs of
# recipes differ between functions, and each function adds its own to the fingerprint.
_MODULES = areas, lines, moments, names, output_loss, recipe, sharing, summands, summation_order
FILES = [
    *(Path(inspect.getfile(module)) for module in _MODULES),
    *sorted(Path(inspect.getfile(llvm)).parent.glob("*.py")),
]


def fingerprint(*programs: Any) -> int:
    """Return a number that changes with FILES and with programs.

    Numba's disk cache checks only the file of the function. As part of a constant of the function,
    the fingerprint becomes part of the cache key.
    """
    return zlib.crc32(repr(programs).encode(), _fingerprint_of_files())


@functools.cache
def _fingerprint_of_files() -> int:
    return zlib.crc32(b"".join(file.read_bytes() for file in FILES))


def jit(function: Callable[..., Any], signature: Any, **options: Any) -> Any:
    """Return a function compiled for a signature, cached on disk by Numba."""
    compiler = functools.partial(njit, [signature], nogil=True, no_cfunc_wrapper=True, **options)
    return _compile(compiler, function, signature)


def inner(function: Callable[..., Any], **options: Any) -> Any:
    """Return a function for calls in compiled code only.

    Compiling it takes less time, because Python and C cannot call it.
    """
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)


def address_of(function: Callable[..., Any], signature: Any) -> int:
    """Compile a C function, and return its address, which is valid as long as the process lives."""
    compiled = _compile(functools.partial(cfunc, signature), function, signature)
    _kept.append(compiled)
    return compiled.address


def _compile(decorator: Callable[..., Any], function: Callable[..., Any], signature: Any) -> Any:
    """Compile a function.

    Numba names cache files after the function. If two processes add to one file at the same time,
    it can end up with the code of one under the key of the other. Each function is therefore named
    after its constants and its signature, and has its own file.
    """
    constants = [cell.cell_contents for cell in function.__closure__ or ()]
    named = signature, [x for x in constants if isinstance(x, str | int)]
    function.__qualname__ += f"_{zlib.crc32(repr(named).encode()):08x}"
    with loading.lock():
        if not _is_on_disk(function):
            if loading.must_be_on_disk():
                raise loading.NotOnDisk(function.__name__)
            _log.info("compiling %s, once per installation", function.__name__)
        try:
            return decorator(cache=True)(function)
        except Exception as error:  # no writable cache, or a damaged one; the types vary
            _log.debug("compiling without Numba's cache: %r", error)
            return decorator()(function)


def _is_on_disk(function: Callable[..., Any]) -> bool:
    """Return whether Numba's cache seems to have the code of a function.

    The index file of another processor or version of Numba looks the same.
    """
    try:
        folder = Path(njit(cache=True)(function).stats.cache_path)
    except Exception:  # no writable cache
        return False
    return any(folder.glob(f"*{function.__qualname__.rpartition('.')[2]}-*.nbi"))


_log = logging.getLogger(__name__)
_kept: list[Any] = []
