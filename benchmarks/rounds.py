"""Timing of contenders side by side: in one process, in rounds, each in a random order."""

from __future__ import annotations

import gc
import random
import statistics
import time
from dataclasses import dataclass, field

import numpy as np
from contenders import Call, Contender, forget

MODES = "reused", "fresh"

_SAMPLE = 4e-3  # seconds that a sample of a short call takes, in as many calls as that needs
_SHORT = 0.1  # seconds of a call before which another one, not timed, warms the caches
_REST = 3e-3  # seconds in which threads of the contender before stop spinning
_FEWEST = 3  # samples
_BLOCK = 1 << 18  # elements that are checked at once
_EPS = np.finfo(np.float32).eps


_ACTIVATIONS = {
    None: lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
}


@dataclass
class Effort:
    """How long to measure: rounds, and seconds after which a contender leaves some out."""

    rounds: int
    seconds: float


@dataclass
class Case:
    """A contender at one size, with a result that is reused or fresh."""

    contender: Contender
    mode: str
    call: Call
    scale: float  # all sets, over the sets that a call computes
    calls: int = 1  # in a sample
    spent: float = 0.0
    samples: list[float] = field(default_factory=list)  # seconds for a call on all sets

    def calibrate(self) -> None:
        """Warm up, and find out how many calls a sample needs."""
        with self.contender.inside():
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

    def is_due(self, effort: Effort, fraction: float) -> bool:
        """Whether to take part in the round that follows this fraction of them."""
        return self.spent <= effort.seconds * fraction or len(self.samples) <= _FEWEST * fraction

    def _seconds(self, calls: int) -> float:
        call = self.call
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start

    def summary(self, size: tuple[int, int, int]) -> dict[str, object]:
        """Return the median and quartiles, in seconds."""
        low, median, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return {
            "size": list(size),
            "mode": self.mode,
            "contender": self.contender.name,
            "median": median,
            "quartiles": [low, high],
            "samples": len(self.samples),
            "calls": self.calls,
            "extrapolated": self.scale != 1,
            "is_limit": self.contender.is_limit,
        }


def measure(
    size: tuple[int, int, int],
    activation: str | None,
    contenders: list[Contender],
    effort: Effort,
    rng: random.Random,
) -> list[dict[str, object]]:
    """Check and time all contenders that have an activation, at one size."""
    n_sets, n_samples, n_features = size
    draw = np.random.default_rng(0).standard_normal
    samples = draw((n_samples, n_features), np.float32)
    weight, bias = (draw((n_sets, n_features), np.float32) for _ in range(2))
    out = np.zeros(size, np.float32)

    contenders = [c for c in contenders if activation is None or c.activates]
    chosen = () if activation is None else (activation,)
    cases = []
    for contender in contenders:
        sets = slice(contender.at_most_sets)
        for mode in MODES:
            if mode == "reused" and not contender.reuses:
                continue
            target = out[sets] if mode == "reused" else None
            operands = samples, weight[sets], bias[sets]
            with contender.inside():
                call = contender.setup(*operands, target, *chosen)
                if not contender.is_limit:
                    out.fill(np.nan)
                    check(contender, call(), *operands, activation)
            case = Case(contender, mode, call, n_sets / len(weight[sets]))
            case.calibrate()
            cases.append(case)

    gc.collect()
    gc.disable()
    for done in range(effort.rounds):
        for case in rng.sample(cases, len(cases)):
            if case.is_due(effort, done / effort.rounds):
                case.sample()
    gc.enable()
    summaries = [{"activation": activation} | case.summary(size) for case in cases]
    cases.clear()
    forget()
    gc.collect()
    return summaries


def check(
    contender: Contender,
    result: object,
    samples: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    activation: str | None,
) -> None:
    """Fail where a result is wrong by more than roundings, or a fused one, can explain.

    Activations of other libraries are allowed 64 ulp of 1.
    """
    result = np.asarray(result)
    if contender.set_axis == 1:
        result = result.transpose(1, 0, 2)
    shape = len(weight), *samples.shape
    if result.shape != shape or result.dtype != np.float32:
        raise AssertionError(f"{contender.name}: {result.dtype} {result.shape}, not {shape}")
    step = max(1, _BLOCK // samples.size)
    rows = max(1, _BLOCK // samples.shape[1])
    for n in range(0, len(weight), step):
        for b in range(0, len(samples), rows):
            product = samples[b : b + rows] * weight[n : n + step, None]
            offset = bias[n : n + step, None]
            expected = _ACTIVATIONS[activation](product + offset)
            error = np.abs(result[n : n + step, b : b + rows] - expected)
            allowed = 2 * _EPS * (np.abs(product) + np.abs(offset))
            if activation is not None:
                allowed += 64 * _EPS
            if not (error <= allowed).all():
                raise AssertionError(f"{contender.name} computes something else at {shape}")
