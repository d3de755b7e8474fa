"""What a small call costs the host, which does not wait for the GPU."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from contenders import OURS, Call, Contender
from report import quantity
from rounds import Case, Effort, take_turns
from tasks import Task

import multisubnet as ms

UFUNC = "cupy.multiply"

_CALLS = 200  # in a sample: what is queued has room for about a thousand kernels
_WARM_UP = 1000
_TITLES = {"reused": "with out", "fresh": "without"}


@dataclass(kw_only=True)
class HostCase(Case):
    """A call whose work is queued, before and after which nothing is."""

    call: Call
    calls: int = _CALLS

    def sample(self) -> None:
        """Take one sample."""
        import cupy

        began = time.perf_counter()
        call = self.call
        for _ in range(10):
            call()
        cupy.cuda.get_current_stream().synchronize()
        start = time.perf_counter()
        for _ in range(self.calls):
            call()
        seconds = time.perf_counter() - start
        cupy.cuda.get_current_stream().synchronize()
        self.samples.append(seconds / self.calls)
        self.spent += time.perf_counter() - began


def _multiply(samples, weight, bias, out):
    import cupy

    return partial(cupy.multiply, samples, weight[:, None], out=out)


def _expression(samples, weight, bias, out):
    import cupy

    weight, bias = weight[:, None], bias[:, None]
    if out is None:
        return lambda: samples * weight + bias

    def into():
        cupy.multiply(samples, weight, out=out)
        return cupy.add(out, bias, out=out)

    return into


def _ours(samples, weight, bias, out):
    return partial(ms.affine, samples, weight, bias, out=out)


_SETUPS: dict[str, Callable[..., Call]] = {
    OURS: _ours,
    UFUNC: _multiply,
    "CuPy expression": _expression,
}


def measure(task: Task, effort: Effort, rng: random.Random) -> list[dict[str, object]]:
    """Time calls of the library, of one ufunc, and of the expression, on the same arrays."""
    import cupy

    operands = tuple(map(cupy.asarray, task.operands()))
    cases = []
    for name, setup in _SETUPS.items():
        for mode in _TITLES:
            out = cupy.empty(task.written, task.dtype) if mode == "reused" else None
            call = setup(*operands, out)
            for _ in range(_WARM_UP):
                call()
            cases.append(HostCase(contender=Contender(name, setup), mode=mode, call=call))
    take_turns(cases, effort, rng)
    return [dataclasses.asdict(task) | case.summary() for case in cases]


def table(task: Task, timings: list[dict[str, Any]]) -> str:
    """Return a table of what the host takes for a call."""
    lines = [f"\nhost time of a call, {task.size}"]
    lines.append(f"{'':27}" + "".join(f"| {title:^27} " for title in _TITLES.values()))
    lines.append(f"{'':27}" + f"| {'time':>10} {'of ' + UFUNC:>16} " * len(_TITLES))
    medians = {(t["contender"], t["mode"]): t["median"] for t in timings}
    for name in _SETUPS:
        cells = ""
        for mode in _TITLES:
            seconds = medians[name, mode]
            cells += f"| {quantity(seconds, 's'):>10} {seconds / medians[UFUNC, mode]:16.2f} "
        lines.append(f"{name:27}{cells}")
    return "\n".join(lines)
