"""Timing of contenders side by side: in one process, in rounds, each in a random order."""

from __future__ import annotations

import dataclasses
import gc
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from contenders import Call, Contender, forget
from memory import extra_peak
from reference import agrees
from tasks import Task

MODES = "reused", "fresh"

_SAMPLE = 4e-3  # seconds that a sample of a short call takes, in as many calls as that needs
_WARM_UP = 0.3  # seconds of calls before the first that is timed: some libraries compile by then
_SHORT = 0.1  # seconds of a call before which another one, not timed, warms the caches
_REST = 3e-3  # seconds in which threads of the contender before stop spinning
_FEWEST = 3  # samples


@dataclass
class Effort:
    """How long to measure: rounds, and seconds after which a contender leaves some out."""

    rounds: int
    seconds: float


@dataclass(kw_only=True)
class Case:
    """A contender for a task, with a result that is reused or fresh, and what it took so far."""

    contender: Contender
    mode: str
    scale: float = 1.0  # all sets, over the sets that a call computes
    calls: int = 1  # in a sample
    spent: float = 0.0
    extra_peak: int | None = None  # bytes
    samples: list[float] = field(default_factory=list)  # seconds for a call on all sets

    def sample(self) -> None:
        """Take one sample."""
        raise NotImplementedError

    def is_due(self, effort: Effort, fraction: float) -> bool:
        """Whether to take part in the round that follows this fraction of them."""
        return self.spent <= effort.seconds * fraction or len(self.samples) <= _FEWEST * fraction

    def summary(self) -> dict[str, object]:
        """Return the median and quartiles, in seconds, and the memory, in bytes."""
        low, median, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        peak = self.extra_peak
        return {
            "mode": self.mode,
            "contender": self.contender.name,
            "median": median,
            "quartiles": [low, high],
            "samples": len(self.samples),
            "calls": self.calls,
            "extra_peak": None if peak is None else round(peak * self.scale),
            "extrapolated": self.scale != 1,
            "is_limit": self.contender.is_limit,
        }


@dataclass(kw_only=True)
class HostCase(Case):
    """A case whose calls come back when their work is done."""

    call: Call

    def calibrate(self) -> None:
        """Warm up, and find out what memory a call takes and how many calls a sample needs."""
        with self.contender.inside():
            self.call()
            self.extra_peak = extra_peak(self.call)
            began = time.perf_counter()
            while time.perf_counter() < began + _WARM_UP:
                self.call()
            seconds = min(self._seconds(1) for _ in range(3))
            if seconds < _SAMPLE:
                self.calls = max(1, round(_SAMPLE / seconds))
                seconds = self._seconds(self.calls) / self.calls
                self.calls = max(1, round(_SAMPLE / seconds))
        self._last = seconds

    def sample(self) -> None:
        """Take one sample."""
        began = time.perf_counter()
        time.sleep(_REST)
        with self.contender.inside():
            if self._last < _SHORT:
                self.call()
            self._last = self._seconds(self.calls) / self.calls
        self.samples.append(self._last * self.scale)
        self.spent += time.perf_counter() - began

    def _seconds(self, calls: int) -> float:
        call = self.call
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start


def take_turns(cases: Sequence[Case], effort: Effort, rng: random.Random) -> None:
    """Take the samples of all cases, in rounds, each in a random order."""
    gc.collect()
    gc.disable()
    for done in range(effort.rounds):
        for case in rng.sample(cases, len(cases)):
            if case.is_due(effort, done / effort.rounds):
                case.sample()
    gc.enable()


def measure(
    task: Task, contenders: list[Contender], effort: Effort, rng: random.Random
) -> list[dict[str, object]]:
    """Check and time all contenders that compute a task."""
    samples, weight, bias, *others = task.operands()
    out = None if task.written is None else np.zeros(task.written, np.float32)

    cases = []
    for contender in contenders:
        if not contender.computes(task):
            continue
        sets = slice(contender.at_most_sets)
        operands = samples, weight[sets], bias[sets], *others
        for mode in MODES:
            if mode == "reused" and (out is None or not contender.reuses):
                continue
            options = {}
            if out is not None and contender.reuses:
                options["out"] = out[sets] if mode == "reused" else None
            with contender.inside():
                call = contender.setup(task, *operands, **options)
                if not contender.is_limit:
                    if out is not None:
                        out.fill(np.nan)
                    check(contender, task, call(), operands)
            scale = len(weight) / len(weight[sets])
            case = HostCase(contender=contender, mode=mode, call=call, scale=scale)
            case.calibrate()
            cases.append(case)

    take_turns(cases, effort, rng)
    summaries = [dataclasses.asdict(task) | case.summary() for case in cases]
    cases.clear()
    forget()
    gc.collect()
    return summaries


def check(contender: Contender, task: Task, result: Any, operands: tuple[np.ndarray, ...]) -> None:
    """Fail where a contender computes something else."""
    if contender.set_axis == 1:
        result = np.asarray(result).transpose(1, 0, 2)
    if not agrees(task, result, operands):
        raise AssertionError(f"{contender.name} computes something else: {task}")
