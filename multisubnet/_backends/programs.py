"""Programs of recipes, run on NumPy arrays."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

if TYPE_CHECKING:
    from multisubnet._arithmetic.recipe import Program

P = ParamSpec("P")

_LARGE = 1 << 17  # bytes


class _Local(threading.local):
    spare: dict[tuple[np.dtype, tuple[int, ...]], list[np.ndarray]] | None = None


_local = _Local()


def reuses_memory(function: Callable[P, None]) -> Callable[P, None]:
    """Let the programs that a function runs share their memory."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        outer, _local.spare = _local.spare, {}
        try:
            function(*args, **kwargs)
        finally:
            _local.spare = outer

    return call


def _select(condition: Any, yes: Any, no: Any, out: np.ndarray | None = None) -> Any:
    if out is None:
        return np.where(condition, yes, no)
    np.copyto(out, no)
    np.copyto(out, yes, where=condition)
    return out


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "multiply_exactly": np.multiply,
    "divide": np.divide,
    "less": np.less,
    "less_equal": np.less_equal,
    "select": _select,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "shift_left": np.left_shift,
    "shift_right": np.right_shift,
}


def run_program(program: Program, given: dict[str, Any]) -> list[np.ndarray]:
    """Return the results of a program; those that depend on no input may be scalars.

    Large values take the memory of earlier ones that are no longer needed, also of earlier programs
    in a function that `reuses_memory`: the system may take freed memory back and clear it for the
    next value, which takes longer than the arithmetic.
    """
    spare = {} if _local.spare is None else _local.spare
    of_kind = {"real": program.dtype, "bits": np.dtype(f"u{program.dtype.itemsize}")}
    of_kind["boolean"] = np.dtype(bool)
    values: list[Any] = []
    viewed: set[int] = set()  # values whose memory others use, too
    for number, (name, kind, inputs) in enumerate(program.operations):
        if name == "constant":
            value = of_kind[kind].type(*inputs)
        elif name == "input":
            value = np.asarray(given[inputs[0]], program.dtype)
            viewed.add(number)
        else:
            operands = list(map(values.__getitem__, inputs))
            if name in ("bits", "from_bits"):
                value = operands[0].view(of_kind[kind])
                viewed.update((number, *inputs))
            else:
                buffers = spare and spare.get((of_kind[kind], np.broadcast(*operands).shape))
                value = _FUNCTIONS[name](*operands, out=buffers.pop() if buffers else None)
            for i in inputs:
                if program.last_uses[i] == number:
                    dead, values[i] = values[i], None
                    if i not in viewed and getattr(dead, "nbytes", 0) >= _LARGE:
                        spare.setdefault((dead.dtype, dead.shape), []).append(dead)
        values.append(value)
    return [values[result] for result in program.results]
