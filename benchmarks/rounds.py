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
import os
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from contenders import Contender, get_library
from libraries import Library, Run, forget, free, is_out_of_memory
from tasks import Task, agree, expected, mapped, results_of

MODES = "reused", "fresh"

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


@dataclass(frozen=True)
class Condition:
    """What a call meets: a number of threads, a caller that pauses, a busy core."""

    threads: int
    pause: float  # seconds
    beside: str | None = None  # "a busy process"

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Let this library and PyTorch use so many threads."""
        torch = sys.modules.get("torch")
        before = torch.get_num_threads() if torch else 0
        os.environ["MULTISUBNET_NUM_THREADS"] = str(self.threads)
        if torch:
            torch.set_num_threads(self.threads)
        yield
        del os.environ["MULTISUBNET_NUM_THREADS"]
        if torch:
            torch.set_num_threads(before)


@dataclass(kw_only=True)
class Case:
    """A contender for a task, with a result that is reused or fresh, and what it took so far."""

    contender: Contender
    library: Library
    mode: str
    turns: Iterator[Callable[[], Any]]  # the next call, over and over
    effort: Effort
    contexts: tuple[Callable[[], Any], ...]  # around all calls
    condition: Condition | None = None
    of_host: bool = False  # whether the time to queue calls on a GPU counts
    scale: float = 1.0  # all sets, over the sets that a call computes
    calls: int = 1  # in a sample
    last: float = 0.0  # seconds of a call
    spent: float = 0.0
    extra_peak: int | None = None  # bytes
    samples: list[float] = field(default_factory=list)  # seconds for a call on all sets
    most_calls: int = 1_000_000

    def calibrate(self) -> None:
        """Warm up, and find out what memory a call takes and how many calls a sample needs."""
        with self.inside():
            if self.contender.is_limit or self.condition:
                next(self.turns)()  # nothing has called it so, and compiled it
            if self.library.device == "cpu":
                self.extra_peak = extra_peak(lambda: self._time(1))
            else:
                self._time(1)
            if self.last > _LONG:
                self.samples, self.spent = [self.last * self.scale], math.inf
                return
            end = time.perf_counter() + self.effort.seconds / 3
            while time.perf_counter() < end or self.calls * self.last < _SAMPLE / 3:
                self._time(self.calls)
                wanted = round(_SAMPLE / max(self.last, 1e-8))
                self.calls = max(1, min(wanted, 2 * self.calls, self.most_calls))
                if self.calls == self.most_calls:
                    break
            self.calls = 1 if self.condition and self.condition.pause else self.calls

    def sample(self) -> None:
        """Take one sample."""
        began = time.perf_counter()
        with self.inside():
            if self.last < _SHORT:
                time.sleep(_REST)
                self.library.wait(next(self.turns)())
            if self.condition and self.condition.pause:
                time.sleep(self.condition.pause)
            self._time(self.calls)
        self.samples.append(self.last * self.scale)
        self.spent += time.perf_counter() - began

    def is_due(self, fraction: float) -> bool:
        """Whether to take part in the round that follows this fraction of them."""
        if self.spent == math.inf:
            return False
        return self.spent <= self.effort.seconds * fraction or (
            len(self.samples) <= _FEWEST * fraction
        )

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Enter all contexts."""
        with contextlib.ExitStack() as stack:
            for context in self.contexts:
                stack.enter_context(context())
            yield

    def summary(self) -> dict[str, Any]:
        """Return the median and quartiles, in seconds, and the memory, in bytes."""
        quartiles = self.samples * 3
        if len(self.samples) > 1:
            quartiles = statistics.quantiles(self.samples, n=4, method="inclusive")
        peak = self.extra_peak
        return {
            "mode": self.mode,
            "contender": self.contender.name,
            "median": quartiles[1],
            "quartiles": [quartiles[0], quartiles[2]],
            "samples": len(self.samples),
            "calls": self.calls,
            "extra_peak": None if peak is None else round(peak * self.scale),
            "extrapolated": self.scale != 1,
            "is_limit": self.contender.is_limit,
        } | (dataclasses.asdict(self.condition) if self.condition else {})

    def _time(self, calls: int) -> None:
        call, wait = next(self.turns), self.library.wait
        start = self.effort.clock()
        if self.library.module == "jax":
            for _ in range(calls):
                wait(call())
        else:
            for _ in range(calls):
                call()
        self.last = (self.effort.clock() - start) / calls


@dataclass(kw_only=True)
class GpuCase(Case):
    """A case whose calls are queued."""

    most_calls: int = _QUEUED
    queueing: float = 0.0  # seconds that this takes for a call
    late: int = 0  # samples whose first call began before the last was queued

    def summary(self) -> dict[str, Any]:
        """Return what all cases tell, and how this one was timed."""
        has_events = self.library.stream() is not None and not self.of_host
        return super().summary() | {
            "moves": self.contender.moves,
            "clock": "events" if has_events else "host",
            "late": self.late if has_events else None,
        }

    def _time(self, calls: int) -> None:
        stream = self.library.stream()
        if self.of_host or stream is None:
            start = time.perf_counter()
            result = self._queue(calls)
            if not self.of_host:
                self.library.wait(result)
            self.last = (time.perf_counter() - start) / calls
            self.library.wait(result)
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
    conditions: Sequence[Condition | None] = (None,),
    cache: int = 0,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Check and time all contenders that compute a task, on a GPU with a cache of so many bytes.

    Return the timings, and those that are left out, with the reason.
    """
    gc.collect()
    forget()  # what the task before needed
    xp = get_library("arrays", device).xp
    operands = mapped(xp.asarray, task.operands())
    buffers = []
    if task.written is not None:
        n_bytes = np.dtype(task.dtype).itemsize * math.prod(task.written)
        buffers = [xp.zeros(task.written, task.dtype) for _ in range(n_buffers(n_bytes, cache))]

    def turns_of(contender: Contender, n_sets: int) -> Iterator[tuple[str, list[Run]]]:
        """Give modes, and the calls that take turns."""
        library = get_library(contender.library, device)
        some = operands if n_sets == task.size[0] else task.of_sets(operands, slice(n_sets))
        run = contender.setup(library, task, *mapped(library.adopt, some))
        if buffers and contender.reuses and conditions[0] is None:
            buffers[0].fill(np.nan)
            outs = library.outs(buffers)
            if contender.moves > 1:
                pairs = zip(outs, outs[1:] + outs[:1], strict=True)
                yield "reused", [functools.partial(run, *pair) for pair in pairs]
            else:
                yield "reused", [functools.partial(run, out=out) for out in outs]
            if device == "gpu" and task.function != "host":
                return
        yield "fresh", [run]

    def cases_of(contender: Contender) -> Iterator[Case]:
        """Give what has been checked, and is ready to be timed."""
        library = get_library(contender.library, device)
        n_sets = min(task.size[0], contender.at_most_sets or task.size[0])
        contexts = functools.partial(library.inside, "grad" in task.function), contender.inside
        with contexts[0](), contexts[1]():
            for mode, turns in turns_of(contender, n_sets):
                if contender.is_checked:
                    check(contender, task, library, turns[0](), n_sets)
                for condition in conditions:
                    case = (GpuCase if device == "gpu" else Case)(
                        contender=contender,
                        library=library,
                        mode=mode,
                        turns=itertools.cycle(turns),
                        effort=effort,
                        contexts=(*contexts, *([condition.inside] if condition else [])),
                        condition=condition,
                        scale=task.size[0] / n_sets,
                        of_host=task.function == "host",
                    )
                    case.calibrate()
                    yield case

    cases: list[Case] = []
    left_out: list[dict[str, Any]] = []
    for contender in contenders:
        if not contender.computes(task, device):
            continue
        free()  # what one needed before it was left out
        try:
            cases += cases_of(contender)
        except Exception as error:  # one that fails leaves the others to be measured
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            print(f"{contender.name} is left out of {task}: {why}", flush=True)
            of = {"task": str(task), "contender": contender.name, "why": why}
            left_out.append(of | {"memory": is_out_of_memory(error)})
    gc.collect()
    gc.disable()
    for done in range(effort.rounds):
        for case in rng.sample(cases, len(cases)):
            if case.is_due(done / effort.rounds):
                case.sample()
    gc.enable()
    summaries = [dataclasses.asdict(task) | case.summary() for case in cases]
    return summaries, left_out


def n_buffers(n_bytes: int, cache: int) -> int:
    """Return how many results take turns, so that none is in a cache still when it comes again.

    Together they are larger than twice the cache; very small ones stay in it all the same.
    """
    return min(_MOST_BUFFERS, max(2, 2 * cache // max(1, n_bytes) + 1)) if cache else 1


def check(contender: Contender, task: Task, library: Library, result: Any, n_sets: int) -> None:
    """Fail where a contender computes something else."""
    library.wait(result)
    some, wanted = expected(task, n_sets)
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
    """Return by how many bytes a call's peak, its result included, is above what was there before.

    Memory that the C library keeps of earlier calls is handed back first, so that it counts where
    the call takes it again. (What it keeps for other threads than this one it does not hand back:
    arrays of less than 32 MiB that those make may be missed.) None where the system does not tell.
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
