"""When NumPy hands work over to the CPU engine.

Loading the engine takes a process half a second, and compiling a function takes a machine seconds.
Programs that do little work should pay neither, and others should not wait. As with skis, which a
beginner rents until the rents add up to the price, NumPy works until its time, estimated from the
amount of work, adds up to the time that a start of the engine takes. Whatever a program does later,
it then loses little more than it would have lost by the better of the two choices.
"""

from __future__ import annotations

import math
import sys
from types import ModuleType
from typing import Any

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.summands import Summands
from multisubnet._backends import numpy
from multisubnet._backends.mlp_call import MlpCall
from multisubnet._backends.mlp_sums import MlpSums
from multisubnet._backends.numba import engine, loading

# Prices in nanoseconds; docs/cpu.md has the measurements.
_LOADING = 400_000_000  # of Numba and the engine, in each process
_FROM_DISK = 20_000_000  # of a function that an earlier program has compiled
_COMPILING = 1_000_000_000  # of a function; it takes longer, but later programs profit, too

# Rents in nanoseconds: the time that NumPy takes.
_PER_BYTE_OF_AFFINE = 0.25
_PER_BYTE_OF_NETWORKS = 0.2  # per operation
_PER_STEP = 1500  # of a network: a call of a NumPy function
_WORTH_COUNTING = 4000  # less than the engine takes

# By function, dtype.char and key: nanoseconds, and functions that are not on disk.
_spent: dict[tuple[Any, ...], float] = {}
_absent: set[tuple[Any, ...]] = set()


def backend(
    name: str,
    dtype: np.dtype,
    shape: tuple[int, ...],
    what: Activation | Summands | MlpCall | MlpSums | None,
) -> ModuleType:
    """Return the backend, NumPy or the engine, for a request for a result of this shape."""
    if isinstance(what, MlpCall) and what.form.code is not None:
        return engine
    kind = name, dtype.char, what and what.key
    if engine.has_code(kind):
        return engine
    if not engine.serves(dtype, dtype):
        return numpy
    rent = _nanoseconds(name, dtype, shape, what)
    if rent < _WORTH_COUNTING:
        return numpy
    spent = _spent[kind] = _spent.get(kind, 0.0) + rent
    if not _is_loaded() and sum(_spent.values()) < _LOADING:
        return numpy
    if engine.why_unavailable() is not None:
        return numpy
    if spent >= _COMPILING:
        return engine
    return numpy if spent < _FROM_DISK or kind in _absent else _EngineOnDisk(kind)


def _is_loaded() -> bool:
    """Return whether this process has already used the engine."""
    return f"{__package__}.jit" in sys.modules


def _nanoseconds(
    name: str,
    dtype: np.dtype,
    shape: tuple[int, ...],
    what: Activation | Summands | MlpCall | MlpSums | None,
) -> float:
    """Estimate how long NumPy takes."""
    if isinstance(what, MlpCall | MlpSums):
        form = what.form if isinstance(what, MlpCall) else what.call.form
        forward = form.n_operations * dtype.itemsize * _PER_BYTE_OF_NETWORKS
        if name == "mlp_select":  # one set per sample
            forward /= max(form.n_sets, 1)
        forward += form.n_steps * _PER_STEP
        return forward * (2 if isinstance(what, MlpSums) else 1)  # up to 4 with gradients
    passes = 1 if what is None else 1 + what.program(dtype).cost // 2
    return math.prod(shape) * dtype.itemsize * passes * _PER_BYTE_OF_AFFINE


class _EngineOnDisk(ModuleType):
    """The engine, as far as its code is on disk; else NumPy."""

    def __init__(self, kind: tuple[Any, ...]):
        super().__init__("numba")
        self.kind = kind

    def __getattr__(self, name: str) -> Any:
        compiled = getattr(engine, name)
        if not callable(compiled):
            return compiled

        def evaluate(*arguments: Any) -> Any:
            if self.kind not in _absent:
                try:
                    with loading.from_disk_only():
                        return compiled(*arguments)
                except loading.NotOnDisk:
                    _absent.add(self.kind)
            # The functions that NumPy lacks return False if the engine has no code for them.
            return getattr(numpy, name, lambda *_: False)(*arguments)

        return evaluate
