"""Threads of this process that take pieces of a caller's work.

They are Python's own, running compiled code that has let go of the interpreter. Numba's threading
layers are not used: some abort the process when two threads call at once, others after a fork.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # slow to import: the functions do it when they need it
    from concurrent.futures import Future, ThreadPoolExecutor

_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def limit() -> int:
    """Return how many threads may work on a call: of MULTISUBNET_NUM_THREADS, Numba, the cores."""
    asked = os.environ.get("MULTISUBNET_NUM_THREADS")
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise ValueError(f"MULTISUBNET_NUM_THREADS must be 1 or more, not {asked!r}")
        return int(asked)
    # Asking Numba outright would start its own threads; only its user's set_num_threads has.
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if getattr(parallel, "_is_initialized", False):
        return parallel.get_num_threads()  # type: ignore[union-attr]
    if "numba" in sys.modules:
        return sys.modules["numba"].config.NUMBA_NUM_THREADS
    return os.cpu_count() or 1


def count(worth: int) -> int:
    """Return how many threads to put to work that is worth so many."""
    return 1 if worth <= 1 else min(limit(), worth)


def run(work: Callable[..., None], pieces: Iterable[tuple], threads: int) -> None:
    """Call ``work(*piece)`` for each piece, on this thread and others, and wait for all."""
    if threads == 1:
        for piece in pieces:
            work(*piece)
        return
    from concurrent.futures import wait

    remaining = iter(pieces)
    taking = threading.Lock()

    def take() -> tuple | None:
        with taking:
            return next(remaining, None)

    def walk() -> None:
        nonlocal remaining
        try:
            while (piece := take()) is not None:
                work(*piece)
        except BaseException:
            remaining = iter(())  # let the others stop as well
            raise

    others = _submitted(walk, threads - 1)
    try:
        walk()
    finally:
        # Those that have not begun find nothing left to do: they are not waited for.
        wait([other for other in others if not other.cancel()])
    for other in others:
        if not other.cancelled():
            other.result()


def _submitted(walk: Callable[[], None], count: int) -> list[Future[None]]:
    from concurrent.futures import ThreadPoolExecutor

    global _pool
    if count < 1:
        return []
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="multisubnet")
        pool = _pool
    try:
        return [pool.submit(walk) for _ in range(count)]
    except RuntimeError:  # the interpreter is shutting down: this thread does it all
        return []


def _forget_after_fork() -> None:
    """The child has none of its parent's threads, and the lock may be held by one of them."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
