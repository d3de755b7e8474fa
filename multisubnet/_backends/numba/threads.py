"""Threads of this process that take pieces of a caller's work.

They are Python's own, running compiled code that has let go of the interpreter. Numba's threading
layers are not used: some abort the process when two threads call at once, others after a fork.

To wake a thread that sleeps takes as long as a small call, and on virtual machines much longer. So
threads that have nothing left to do look out for more for a moment before they sleep.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar

import numpy as np

_TURNS = 8000  # that a thread looks out for more: a tenth of a millisecond or two
_PATIENCE = 0.05  # seconds after which a caller that waits looks again
_MOST = 4 * (os.cpu_count() or 1) + 12  # threads, whatever is asked for

_is_alone: ContextVar[bool] = ContextVar("multisubnet_is_alone", default=False)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Let the caller's thread work alone inside a ``with`` block, unless the environment says how.

    For callers who give work to all cores themselves.
    """
    token = _is_alone.set(True)
    try:
        yield
    finally:
        _is_alone.reset(token)


def limit() -> int:
    """Return how many threads may work on a call: of MULTISUBNET_NUM_THREADS, Numba, the cores."""
    asked = os.environ.get("MULTISUBNET_NUM_THREADS")
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise ValueError(f"MULTISUBNET_NUM_THREADS must be 1 or more, not {asked!r}")
        return min(int(asked), _MOST)
    if _is_alone.get():
        return 1
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
    """Call ``work(*piece)`` for each piece, on this thread and others, and wait for all.

    An interrupt ends the call as soon as the pieces that were begun are done.
    """
    if threads == 1:
        for piece in pieces:
            work(*piece)
        return
    job = _Job(work, pieces)
    try:
        _offer(job, threads - 1)
        job.do_pieces()
    finally:
        try:
            job.close()
        finally:  # an interrupt can end the first attempt, even before its first line
            job.close()
    if job.error is not None:
        raise job.error


class _Job:
    """Pieces of work, and the threads that help the caller's with them.

    A signal handler can run, and raise, between any two steps of Python in the caller's thread. So
    the lock is a plain one, which ``with`` takes in one step (that of a `threading.Condition` can
    be lost), and `close` looks at the numbers again, whatever it was told.
    """

    def __init__(self, work: Callable[..., None], pieces: Iterable[tuple]):
        self.error: BaseException | None = None
        self._work, self._remaining = work, iter(pieces)
        self._is_open = True
        self._helpers = np.zeros(1, np.int64)  # how many there are at work
        self._changing = threading.Lock()
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()  # wakes the caller

    def do_pieces(self) -> None:
        """Take pieces and do them, until none is left or there was an error."""
        try:
            while (piece := self._take()) is not None:
                self._work(*piece)
        except BaseException:
            self._remaining = iter(())  # let the others stop as well
            raise

    def help(self) -> None:
        """Do the same on another thread, keeping the error."""
        with self._changing:
            if not self._is_open:
                return
            self._helpers[0] += 1
        try:
            self.do_pieces()
        except BaseException as error:
            self.error = error
        finally:
            with self._changing:
                self._helpers[0] -= 1
            self._ended.put(None)

    def close(self) -> None:
        """Let nobody begin to help, and wait for those who do, even if interrupted meanwhile."""
        interrupt = None
        while self._is_open or self._helpers[0]:
            try:
                with self._changing:
                    self._is_open = False
                self._wait()
            except BaseException as error:
                self._remaining = iter(())
                interrupt = error
        # Threads that have not taken it up yet are not to keep the arrays alive.
        self._work, self._remaining = None, iter(())  # type: ignore[assignment]
        if interrupt is not None:
            raise interrupt

    def _wait(self) -> None:
        while helpers := int(self._helpers[0]):
            if not _look_out(self._helpers, helpers):
                with contextlib.suppress(queue.Empty):
                    self._ended.get(timeout=_PATIENCE)

    def _take(self) -> tuple | None:
        with self._changing:
            return next(self._remaining, None)


class _Crew:
    """Threads that wait for jobs."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._offered = np.zeros(1, np.int64)
        self._threads: list[threading.Thread] = []

    def offer(self, job: _Job | None, count: int) -> None:
        """Let so many threads know of a job; None sends them away."""
        for _ in range(count):
            self._jobs.put(job)
        self._offered[0] += 1

    def grow(self, size: int) -> int:
        """Have at least so many threads, if there can be; return how many of these there are."""
        while len(self._threads) < size:
            thread = threading.Thread(target=self._serve, name="multisubnet", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no more, or the interpreter is shutting down
                break
            self._threads.append(thread)
        return min(len(self._threads), size)

    def dismiss(self) -> None:
        """Send the threads away, and wait until they have gone."""
        self.offer(None, len(self._threads))
        for thread in self._threads:
            thread.join(1.0)

    def _serve(self) -> None:
        while True:
            seen = int(self._offered[0])
            if self._jobs.empty():
                _look_out(self._offered, seen)
            job = self._jobs.get()
            if job is None:
                return
            job.help()
            del job


_crew: _Crew | None = None
_lock = threading.Lock()
_is_exiting = False


def _offer(job: _Job, count: int) -> None:
    global _crew
    with _lock:
        if _is_exiting:
            return  # and let the caller do it all
        if _crew is None:
            _crew = _Crew()
        _crew.offer(job, _crew.grow(count))


def _look_out(number: np.ndarray, seen: int) -> bool:
    """Return soon, or as soon as a number is not what was seen; whether it was so."""
    return _compiled_look_out()(number, seen, _TURNS)


@functools.cache
def _compiled_look_out() -> Callable[[np.ndarray, int, int], bool]:
    from multisubnet._backends.numba import spin

    return spin.compiled_look_out()


@atexit.register
def _exit() -> None:
    """Have no thread in compiled code while the interpreter takes it down."""
    global _crew, _is_exiting
    with _lock:
        crew, _crew, _is_exiting = _crew, None, True
    if crew is not None:
        crew.dismiss()


def _forget_after_fork() -> None:
    """The child has none of its parent's threads, and the lock may be held by one of them."""
    global _crew, _lock
    _crew, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
