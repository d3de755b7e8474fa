"""Timing of contenders on a GPU, side by side: in one process, in rounds, in a random order.

Calls are queued behind a kernel that only waits, so that all of them are there when the first one
begins, and what lies between two events is the GPU's time, not the host's. (JAX does not tell on
which stream it works: its calls are timed from outside.) Results take turns, and are together
larger than the GPU's cache: none is overwritten while it is in there.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import itertools
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from contenders import Call, forget
from gpu_contenders import GpuContender
from gpu_libraries import free, is_out_of_memory
from gpu_tasks import n_buffers
from reference import agrees
from rounds import Case, Effort, take_turns
from tasks import Task

_SAMPLE = 5e-3  # seconds that a sample of a short call takes, in as many calls as that needs
_MOST_CALLS = 200  # in a sample: what is queued has room for about a thousand kernels
_WARM_UP = 0.2  # seconds of calls before the first that is timed
_SHORT = 0.02  # seconds of a call before which another one, not timed, warms up
_LONGEST_WAIT = 0.02  # seconds for which calls are held back
_CHECKED = 1 << 22  # elements: of larger results some sets are checked,
_CHECKED_REDUCED = 1 << 21  # and of what losses are made of, in float64

_WAIT = r"""
extern "C" __global__ void wait(unsigned long long nanoseconds) {
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
    do {
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - start < nanoseconds);
}
"""


@dataclass(kw_only=True)
class GpuCase(Case):
    """A contender for a task, whose calls are queued."""

    contender: GpuContender
    turns: Iterator[Call]  # one call for each of the results, over and over
    last: float = 0.0  # seconds of a call
    queueing: float = 0.0  # seconds that the host takes to queue it
    late: int = 0  # samples whose first call began before the last was queued

    def calibrate(self) -> None:
        """Warm up, and find out how many calls a sample needs."""
        with self.contender.library.inside():
            self._time(1)
            began = time.perf_counter()
            while time.perf_counter() < began + _WARM_UP:
                self.calls = max(1, min(_MOST_CALLS, round(_SAMPLE / max(self.last, 1e-7))))
                self._time(self.calls)

    def sample(self) -> None:
        """Take one sample."""
        began = time.perf_counter()
        with self.contender.library.inside():
            if self.last < _SHORT:
                next(self.turns)()
            self.late += self._time(self.calls)
        self.samples.append(self.last)
        self.spent += time.perf_counter() - began

    def summary(self) -> dict[str, object]:
        """Return what all cases tell, and how this one was timed."""
        is_wall_time = self.contender.library.stream() is None
        return super().summary() | {
            "moves": self.contender.moves,
            "clock": "host" if is_wall_time else "events",
            "late": None if is_wall_time else self.late,
        }

    def _time(self, calls: int) -> bool:
        """Time some calls, and return whether they began before the last of them was queued."""
        stream = self.contender.library.stream()
        if stream is None:
            start = time.perf_counter()
            result = self._queue(calls)
            self.contender.library.wait(result)
            self.last = (time.perf_counter() - start) / calls
            return False

        from cupy.cuda import Event, get_elapsed_time

        start, end = Event(), Event()
        wait = min(_LONGEST_WAIT, 2 * calls * self.queueing + 5e-5)
        with stream:
            _waiting()((1,), (1,), (np.uint64(1e9 * wait),))
        start.record(stream)
        self._queue(calls)
        is_late = start.done
        end.record(stream)
        end.synchronize()
        self.last = get_elapsed_time(start, end) / 1e3 / calls
        return is_late

    def _queue(self, calls: int) -> Any:
        began = time.perf_counter()
        for call in itertools.islice(self.turns, calls):
            result = call()
        self.queueing = (time.perf_counter() - began) / calls
        return result


@functools.cache
def _waiting() -> Any:
    import cupy

    return cupy.RawKernel(_WAIT, "wait")


def measure(
    task: Task, contenders: list[GpuContender], effort: Effort, cache: int, rng: random.Random
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Check and time all contenders that compute a task, on a GPU with a cache of so many bytes.

    Return the timings, and those that are left out, with the reason.
    """
    import cupy

    operands = task.operands()
    on_gpu = tuple(map(cupy.asarray, operands))
    buffers = None
    if task.written is not None:
        n_bytes = np.dtype(task.dtype).itemsize * math.prod(task.written)
        buffers = [cupy.empty(task.written, task.dtype) for _ in range(n_buffers(n_bytes, cache))]

    cases: list[GpuCase] = []
    left_out: list[dict[str, object]] = []
    for contender in contenders:
        if not contender.computes(task):
            continue
        free()  # what one needed before it was left out
        try:
            cases.append(_case(contender, task, operands, on_gpu, buffers))
        except Exception as error:  # one that fails leaves the others to be measured
            no_memory = is_out_of_memory(error)
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            print(f"{contender.name} is left out of {task}: {why}", flush=True)
            left_out.append(
                {"task": str(task), "contender": contender.name, "why": why, "memory": no_memory}
            )

    take_turns(cases, effort, rng)
    summaries = [dataclasses.asdict(task) | case.summary() for case in cases]
    del on_gpu, buffers
    cases.clear()
    forget()
    gc.collect()
    free()
    return summaries, left_out


def _case(
    contender: GpuContender,
    task: Task,
    operands: tuple[np.ndarray, ...],
    on_gpu: tuple[Any, ...],
    buffers: list[Any] | None,
) -> GpuCase:
    library = contender.library
    with library.inside():
        outs = [None] if buffers is None else library.results(buffers)
        calls = contender.setup(task, *on_gpu, outs=outs)
        if contender.is_checked:
            if buffers is not None:
                buffers[0].fill(np.nan)
            _check(contender, task, calls[0](), operands)
    mode = "fresh" if buffers is None else "reused"
    case = GpuCase(contender=contender, mode=mode, turns=itertools.cycle(calls))
    case.calibrate()
    return case


def _check(
    contender: GpuContender, task: Task, result: Any, operands: tuple[np.ndarray, ...]
) -> None:
    """Fail where a contender computes something else; of much, look at some sets, and the last."""
    contender.library.wait(result)
    step = _checked_step(task)
    n_sets = task.size[0]
    sets = range((n_sets - 1) % step, n_sets, step)
    some = np.s_[sets.start :: step]

    def host(array: Any) -> np.ndarray:
        return contender.library.host(array[:, some] if task.set_axis else array[some])

    samples, weight, bias, *others = operands
    found = tuple(map(host, result)) if isinstance(result, (tuple, list)) else host(result)
    if not agrees(task, found, (samples, weight[some], bias[some], *others), sets):
        raise AssertionError(f"{contender.name} computes something else: {task}")


def _checked_step(task: Task) -> int:
    """Return the distance of the sets that are checked."""
    at_most = _CHECKED_REDUCED if task.written is None else _CHECKED
    return max(1, math.prod(task.size) // at_most)
