"""Timing of contenders side by side: in one process, in rounds, each in a random order.

On a GPU calls are queued behind a kernel that only waits, so that all of them are there when the
first one begins, and what lies between two events is the GPU's time, not the host's. (JAX does not
tell on which stream it works: its calls are timed from outside.) Results take turns, and are
together larger than the GPU's cache: none is overwritten while it is in there.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import gc
import itertools
import math
import random
import re
import statistics
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from contenders.contender import Contender, Library, forget, free, get_library, is_out_of_memory
from tasks import Task, agree, expected, mapped, results_of

_SAMPLE = 4e-3  # seconds that a sample of a short call takes, in as many calls as that needs
_SHORT = 0.1  # seconds of a call before which another one, not timed, warms the caches
_LONG = 1.0  # seconds of a call that is timed once
_REST = 3e-3  # seconds in which threads of the contender before stop spinning
_FEWEST = 3  # samples
_QUEUED = 200  # calls, at most: a GPU's queue has room for about a thousand kernels
_LONGEST_WAIT = 0.02  # seconds for which a GPU's calls are held back
_MOST_BUFFERS = 1024

_WAIT = r"""
extern "C" __global__ void wait(unsigned long long nanoseconds) {
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
    do {
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - start < nanoseconds);
}
"""


@dataclass
class Effort:
    """How long to measure: rounds, seconds after which a contender leaves some out; and by what."""

    rounds: int
    seconds: float
    clock: Callable[[], float] = time.perf_counter


@dataclass(kw_only=True)
class Case:
    """A contender for a task, with a result that is reused or fresh, and its times so far."""

    contender: Contender
    library: Library
    mode: str
    turns: Iterator[Callable[[], Any]]  # the next call, over and over
    context: Callable[[], AbstractContextManager]  # around all calls
    effort: Effort
    calls: int = 1  # in a sample
    last: float = 0.0  # seconds of a call
    spent: float = 0.0
    extra_peak: int | None = None  # bytes
    samples: list[float] = field(default_factory=list)  # seconds of a call
    most_calls: int = 1_000_000

    def calibrate(self) -> None:
        """Warm up, and find out what memory a call takes and how many calls a sample needs."""
        if self.library.device == "cpu":
            self.extra_peak = extra_peak(lambda: self._time(1))
        else:
            self._time(1)
        if self.last > _LONG:
            self.samples, self.spent = [self.last], math.inf
        elif not self.contender.pause:
            end = time.perf_counter() + self.effort.seconds / 3
            while self.calls < self.most_calls and (
                time.perf_counter() < end or self.calls * self.last < _SAMPLE / 3
            ):
                self._time(self.calls)
                wanted = round(_SAMPLE / max(self.last, 1e-8))
                self.calls = max(1, min(wanted, 2 * self.calls, self.most_calls))

    def sample(self) -> None:
        """Take one sample."""
        began = time.perf_counter()
        if self.last < _SHORT:
            time.sleep(_REST)
            self.library.wait(next(self.turns)())
        if self.contender.pause:
            time.sleep(self.contender.pause)
        self._time(self.calls)
        self.samples.append(self.last)
        self.spent += time.perf_counter() - began

    def is_due(self, fraction: float) -> bool:
        """Whether to take part in the round that follows this fraction of them."""
        has_time = self.spent <= self.effort.seconds * fraction
        return has_time or (self.spent < math.inf and len(self.samples) <= _FEWEST * fraction)

    def summary(self) -> dict[str, Any]:
        """Return the median and quartiles, in seconds, and the memory, in bytes."""
        quartiles = self.samples * 3
        if len(self.samples) > 1:
            quartiles = statistics.quantiles(self.samples, n=4, method="inclusive")
        return {
            "mode": self.mode,
            "contender": self.contender.name,
            "median": quartiles[1],
            "quartiles": [quartiles[0], quartiles[2]],
            "samples": len(self.samples),
            "calls": self.calls,
            "extra_peak": self.extra_peak,
            "is_limit": self.contender.is_limit,
        }

    def _time(self, calls: int) -> None:
        call = run = next(self.turns)
        if self.library.returns_early:
            call = lambda: self.library.wait(run())  # noqa: E731
        self.last = timeit.Timer(call, timer=self.effort.clock).timeit(calls) / calls


@dataclass(kw_only=True)
class GpuCase(Case):
    """A case whose calls are queued."""

    most_calls: int = _QUEUED
    queueing: float = 0.0  # seconds that the host takes to queue a call
    late: int = 0  # samples whose first call began before the last was queued

    def summary(self) -> dict[str, Any]:
        """Return what all cases tell, and how this one was timed."""
        clock = "host" if self.library.stream() is None else "events"
        return super().summary() | {"clock": clock, "late": self.late, "host": self.queueing}

    def _time(self, calls: int) -> None:
        stream = self.library.stream()
        if stream is None:
            start = time.perf_counter()
            self.library.wait(self._queue(calls))
            self.last = (time.perf_counter() - start) / calls
            return
        from cupy.cuda import Event, get_elapsed_time

        start, end = Event(), Event()
        wait = min(_LONGEST_WAIT, 2 * calls * self.queueing + 5e-5)
        with stream:
            waiting_kernel()((1,), (1,), (np.uint64(1e9 * wait),))
        start.record(stream)
        self._queue(calls)
        self.late += bool(start.done)
        end.record(stream)
        end.synchronize()
        self.last = get_elapsed_time(start, end) / 1e3 / calls

    def _queue(self, calls: int) -> Any:
        began = time.perf_counter()
        for call in itertools.islice(self.turns, calls):
            result = call()
        self.queueing = (time.perf_counter() - began) / calls
        return result


@functools.cache
def waiting_kernel() -> Any:
    """Return a kernel that waits for so many nanoseconds."""
    import cupy

    return cupy.RawKernel(_WAIT, "wait")


def measure(
    task: Task,
    device: str,
    contenders: Sequence[Contender],
    effort: Effort,
    rng: random.Random,
    cache: int = 0,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Check and time all contenders that compute a task, on a GPU with a cache of so many bytes.

    Return the timings, and those that are left out, with the reason.
    """
    gc.collect()
    forget()  # what the task before needed
    xp = get_library("arrays", device).xp
    cases: list[Case] = []
    others: list[dict[str, Any]] = []
    buffers = []
    try:
        operands = mapped(xp.asarray, task.operands())
        if task.written is not None:
            n_bytes = np.dtype(task.dtype).itemsize * math.prod(task.written)
            buffers = [xp.zeros(task.written, task.dtype) for _ in range(n_buffers(n_bytes, cache))]
    except Exception as error:
        return [], [left_out(task, None, error)]
    for contender in contenders:
        if task.function in contender.functions and contender.can(task):
            free()  # what one needed before it was left out
            try:
                cases += _cases_of(contender, task, device, operands, buffers, effort)
            except Exception as error:  # one that fails leaves the others to be measured
                others.append(left_out(task, contender, error))
    gc.collect()
    gc.disable()
    for done in range(effort.rounds):
        for case in rng.sample(cases, len(cases)):
            if case.is_due(done / effort.rounds):
                with case.context():
                    case.sample()
    gc.enable()
    return [dataclasses.asdict(task) | case.summary() for case in cases], others


def left_out(task: Task, contender: Contender | None, error: Exception | str) -> dict[str, Any]:
    """Say that a contender, or all of them, did not compute a task."""
    failed = isinstance(error, Exception) and not is_out_of_memory(error)
    why = f"{type(error).__name__}: " * (error != str(error)) + " ".join(str(error).split())[:300]
    name = contender.name if contender else None
    print(f"{name or 'all'} left out of {task}: {why}", flush=True)
    return {"task": str(task), "contender": name, "why": why, "failed": failed}


def _cases_of(
    contender: Contender, task: Task, device: str, operands: Any, buffers: list[Any], effort: Effort
) -> Iterator[Case]:
    """Yield cases that are checked and ready to be timed."""
    library = get_library(contender.library, device)
    context = functools.partial(_context, contender, library, task)
    common = {"contender": contender, "library": library, "context": context, "effort": effort}
    with context():
        run = contender.setup(library, task, *mapped(library.adopt, operands))
        modes: dict[str, list[Callable[[], Any]]] = {"fresh": [run]}
        if buffers and contender.reuses:
            buffers[0].fill(np.nan)
            into = [functools.partial(run, out=library.out_of(buffer)) for buffer in buffers]
            modes = {"reused": into} | (modes if device == "cpu" else {})
        for mode, calls in modes.items():
            result = calls[0]()
            if not contender.is_limit:
                check(contender, task, library, result)
            case_of = GpuCase if device == "gpu" else Case
            case = case_of(mode=mode, turns=itertools.cycle(calls), **common)
            case.calibrate()
            yield case


@contextlib.contextmanager
def _context(contender: Contender, library: Library, task: Task) -> Iterator[None]:
    """Enter the contexts of a library and of a contender."""
    with library.inside("grad" in task.function), contender.inside():
        yield


def n_buffers(n_bytes: int, cache: int) -> int:
    """Return how many results take turns, so that none is in a cache still when it comes again.

    Together they are larger than twice the cache; very small ones stay in it all the same.
    """
    return min(_MOST_BUFFERS, max(2, 2 * cache // max(1, n_bytes) + 1)) if cache else 1


def check(contender: Contender, task: Task, library: Library, result: Any) -> None:
    """Raise if a contender computes something else."""
    library.wait(result)
    some, wanted = expected(task)
    if contender.is_additive:
        wanted = tuple(array.sum(2) for array in wanted)
    found = []
    for array, like in zip(results_of(task, result), wanted, strict=True):
        part = contender.arranged(task, array.swapaxes(0, 1) if task.set_axis else array)[some]
        host = library.host(part)
        found.append(host.reshape(like.shape) if host.size == like.size else host)
    if not agree(task, tuple(found), wanted):
        raise AssertionError("it computes something else")


def extra_peak(call: Callable[[], Any]) -> int | None:
    """Return how far a call's peak, its result included, is above the memory before, in bytes.

    Memory that the C library keeps of earlier calls is handed back first, so that it counts if the
    call takes it again; what it keeps of other threads, in pieces below 32 MiB, is not. None if the
    system does not tell.
    """

    def resident(name: str) -> int:
        found = re.search(rf"^{name}:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
        return 1024 * int(found[1]) if found else 0

    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # glibc's
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
        before = resident("VmRSS")
    except OSError:
        before = 0
    call()
    return max(0, resident("VmHWM") - before) if before else None
