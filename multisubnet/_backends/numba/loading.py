"""Loading and compiling: the lock that is held meanwhile, and threads that may not compile.

The lock prevents a fork of the process meanwhile. Otherwise the child could wait forever for a lock
of the interpreter's imports, of Numba or of LLVM, held by a thread that the child does not have.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator

_lock = threading.RLock()
_in_thread = threading.local()  # not a ContextVar, because NumPy's functions run in another context


class NotOnDisk(Exception):
    """Code would have to be compiled."""


@contextlib.contextmanager
def from_disk_only(only: bool = True) -> Iterator[None]:
    """Raise NotOnDisk in this thread, rather than compile."""
    before = must_be_on_disk()
    _in_thread.must_be_on_disk = only
    try:
        yield
    finally:
        _in_thread.must_be_on_disk = before


def must_be_on_disk() -> bool:
    """Return whether code may not be compiled now."""
    return getattr(_in_thread, "must_be_on_disk", False)


def lock() -> threading.RLock:
    """Return the lock."""
    _register()
    return _lock


@functools.cache
def _register() -> None:
    # A fork takes the most recently registered lock first. The lock of logging, which imports and
    # compilers need, must be taken after this one.
    import logging  # noqa: F401

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
        )
