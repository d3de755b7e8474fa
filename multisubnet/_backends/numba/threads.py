"""Threads of this process that take pieces of a caller's work.

The threads are Python threads that stay in compiled code (pool.py), where pieces are passed on
without the interpreter's lock. Numba's threading layers are not used; docs/cpu.md has the figures.

To divide work, decorate the maker of a compiled piece function with `llvm.pieces.piece`, and call
`llvm.pieces.hand_out` in a function compiled by `jit.jit`::

    @piece
    def double(what):
        def double_piece(index, array, length):
            for i in range(index * length, min((index + 1) * length, array.size)):
                array[i] *= 2
        return double_piece

    def double_all(pool, n_pieces, seats, array, length):
        hand_out(pool, n_pieces, seats, "double ", (array, length))

    kind = threads.kind(array.size, "double")
    n_threads = threads.count(n_pieces, kind)
    jit(double_all, signature)(*threads.share(n_pieces, n_threads, kind), array, length)

A piece should take at least 5 microseconds, and at most some milliseconds: a call notices Ctrl-C
between pieces. A piece must not write memory that another piece reads or writes. `run` does the
same for pieces that are calls of a Python function.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextvars import ContextVar

import numpy as np

from multisubnet._backends.numba import loading, sharing

_SPIN = 200_000  # nanoseconds that an idle thread watches for work before it sleeps
_LOOKS = 40_000_000  # nanoseconds between two checks for signals in a call
_MOST_KINDS = (1 << 46) - 1

_is_alone: ContextVar[bool] = ContextVar("multisubnet_is_alone", default=False)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Use only the caller's thread inside a ``with`` block, unless the environment says otherwise.

    For callers that distribute work to all cores themselves.
    """
    token = _is_alone.set(True)
    try:
        yield
    finally:
        _is_alone.reset(token)


def limit() -> int:
    """Return how many threads may work on a call, from MULTISUBNET_NUM_THREADS, Numba and cores."""
    asked = os.environ.get("MULTISUBNET_NUM_THREADS")
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise ValueError(f"MULTISUBNET_NUM_THREADS must be 1 or more, not {asked!r}")
        return min(int(asked), _count_cores())
    if _is_alone.get():
        return 1
    # Asking Numba directly would start its threads; only a user's set_num_threads has done so.
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if getattr(parallel, "_is_initialized", False):
        return min(parallel.get_num_threads(), _count_cores())  # type: ignore[union-attr]
    # While another thread imports Numba, the module is incomplete.
    config = getattr(sys.modules.get("numba"), "config", None)
    return min(getattr(config, "NUMBA_NUM_THREADS", _count_cores()), _count_cores())


@functools.cache
def _count_cores() -> int:
    """Return how many cores this process may use; determined once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def kind(size: int, *what: Hashable) -> int:
    """Return a number for work of the same sort and about the same size, whose time is learned.

    `size` is the quantity that the time is proportional to.
    """
    length = max(size.bit_length() - 2, 0)
    return hash((what, length, size >> length)) & _MOST_KINDS


def count(worth: int, kind: int = 0) -> int:
    """Return how many threads to use for work that is worth `worth` of them.

    Sleeping helpers are woken if the time learned for such work makes it pay. They start while the
    caller still prepares the work.
    """
    # After a pause, the code and data of the steps below are no longer in the caches.
    if worth <= 1 or ((rest := _rests.get(kind)) and rest.covers(time.monotonic_ns())):
        return 1
    threads = min(limit(), worth)
    if kind and threads > 1 and not _get_pool().call_up(threads - 1, kind):
        return 1
    return threads


class _Rest:
    """The next calls of a kind of work, which go alone if they come after a pause."""

    def __init__(self, spacing: int, now: int) -> None:
        self._calls, self._spacing, self._began = sharing.ALONE_IN_A_ROW, spacing, now

    def covers(self, now: int) -> bool:
        """Return whether a call that begins now goes alone, and count it."""
        began, self._began = self._began, now
        if not self._calls or now - began < self._spacing:
            return False
        self._calls -= 1
        return True


def count_awake() -> int:
    """Return how many threads, including the caller's, can begin at once."""
    return 1 + _pool.count_awake() if _pool is not None else 1


def share(n_pieces: int, threads: int, kind: int = 0) -> tuple[int, int, int]:
    """Return the first arguments of `hand_out`: a pool, the number of pieces, and of helpers.

    If the work has a `kind`, the pool learns how long it takes.
    """
    if n_pieces <= 1:
        return 0, n_pieces, 0
    pool = _get_pool()
    helpers = min(threads, n_pieces) - 1
    if helpers:
        helpers = pool.grow(helpers)
    return pool.address, n_pieces, helpers | kind << 16


def run(work: Callable[..., None], pieces: Iterable[tuple], threads: int, kind: int = 0) -> None:
    """Call ``work(*piece)`` for each piece, on this thread and others, and wait for all."""
    pieces = list(pieces)
    threads = min(threads, len(pieces))
    if threads <= 1:
        for piece in pieces:
            work(*piece)
        return
    errors: list[BaseException] = []
    from_disk_only = loading.must_be_on_disk()

    def do_piece(index: int) -> None:
        try:
            with loading.from_disk_only(from_disk_only):
                work(*pieces[index])
        except BaseException as error:
            errors.append(error)
            raise

    with loading.lock():
        from multisubnet._backends.numba import pool

    address, n_pieces, helpers = share(len(pieces), threads, kind)
    function = pool.compile_python_piece()
    try:
        pool.compile_run_pieces()(address, function, id(do_piece), n_pieces, helpers)
    except RuntimeError:
        if errors:
            raise errors[0] from None  # the error was raised in another thread
        raise
    finally:
        errors.clear()


class _Pool:
    """The memory of a pool, and its threads."""

    def __init__(self) -> None:
        with loading.lock():
            from multisubnet._backends.numba import pool

        most = max(os.cpu_count() or 1, 8)
        self._words = np.zeros((pool.HELPERS + most * pool.HELPER) // 8 + 8, np.int64)
        # Threads may read it until the process ends, after the interpreter has freed its objects.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._words))
        self.address = -(-self._words.ctypes.data // 64) * 64
        first = (self.address - self._words.ctypes.data + pool.SLEEPERS) // 8
        self._sleepers = self._words.data[first : first + 1]
        self._most = most
        self._threads: list[threading.Thread] = []
        self._queues: list[tuple] = []
        self[pool.RUN] = pool.compile_run()
        self[pool.MAIN] = threading.main_thread().ident or 0
        self[pool.SPIN], self[pool.LOOKS] = _SPIN, _LOOKS
        self[pool.N_HELPERS] = most
        self[pool.WAKE_COST], self[pool.ARRIVAL] = pool.FIRST_WAKE_COST, pool.FIRST_ARRIVAL
        if hasattr(os, "sched_getaffinity"):
            for cpu in os.sched_getaffinity(0):
                if cpu < 64 * pool.CPU_WORDS:
                    bits = np.uint64(self[pool.CPUS + cpu // 64 * 8]) | np.uint64(1 << cpu % 64)
                    self[pool.CPUS + cpu // 64 * 8] = int(bits.astype(np.int64))
        self._module = pool
        self._serve = pool.compile_serve()
        self._call_up = pool.compile_call_up()

    def __getitem__(self, offset: int) -> np.int64:
        return self._words[(self.address - self._words.ctypes.data + offset) // 8]

    def __setitem__(self, offset: int, value: int) -> None:
        self._words[(self.address - self._words.ctypes.data + offset) // 8] = value

    def grow(self, size: int) -> int:
        """Start threads up to this number, if possible; return how many of them there are."""
        if len(self._threads) >= size:
            return size
        with _lock:
            while len(self._threads) < min(size, self._most) and not _is_exiting:
                try:
                    self._start()
                except RuntimeError:  # no more threads, or the interpreter is shutting down
                    break
        return min(len(self._threads), size)

    def call_up(self, count: int, kind: int) -> bool:
        """Return whether up to `count` threads may help with a kind of work; wake them if so."""
        answer = self._call_up(self.address, self.grow(count), kind)
        if answer < 0:
            if len(_rests) >= self._module.N_KINDS:
                _rests.clear()
            _rests[kind] = _Rest(-answer, time.monotonic_ns())
        else:
            _rests.pop(kind, None)
        return answer > 0

    def count_awake(self) -> int:
        """Return how many threads are awake."""
        return len(self._threads) - self._sleepers[0]

    def _start(self) -> None:
        number = len(self._threads)
        pool, helper = self._module, self._module.HELPERS + number * self._module.HELPER
        if not pool.FUTEX or _sleeps_in_python:
            tokens: queue.SimpleQueue[int] = queue.SimpleQueue()
            self._queues.append((tokens.get, tokens.put))
            self[helper + pool.GET], self[helper + pool.PUT] = map(id, self._queues[-1])
        thread = threading.Thread(
            target=self._serve, args=(self.address, number), name="multisubnet", daemon=True
        )
        self._threads.append(thread)  # before it starts, so that an interrupt cannot lose it
        try:
            thread.start()
        except RuntimeError:
            self._threads.remove(thread)
            raise

    def dismiss(self) -> None:
        """Make the threads return, and wait until they have."""
        self._module.compile_dismiss()(self.address)
        for thread in self._threads:
            thread.join(1.0)

    def abandon(self) -> None:
        """Make calls in this process, a fork of the threads' process, stop waiting for them."""
        self[self._module.ABANDONED] = 1


_pool: _Pool | None = None
_rests: dict[int, _Rest] = {}
_lock = threading.Lock()
_is_exiting = False
_sleeps_in_python = False  # true: sleep as without a futex, in tests


def _get_pool() -> _Pool:
    global _pool
    if (pool := _pool) is None:
        with _lock:
            if _pool is None:
                _pool = _Pool()
            pool = _pool
    return pool


@atexit.register
def _exit() -> None:
    """Remove all threads from compiled code before the interpreter shuts down."""
    global _pool, _is_exiting
    with _lock:
        _is_exiting = True
        pool = _pool
    if pool is not None:
        pool.dismiss()


def _forget_after_fork() -> None:
    """Reset the pool: a child has none of its parent's threads, and the lock may be held."""
    global _pool, _lock
    if _pool is not None:
        _pool.abandon()
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
