"""Programs of recipes, run on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from multisubnet._arithmetic.recipe import Program


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "less": np.less,
    "less_equal": np.less_equal,
    "select": np.where,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "shift_left": np.left_shift,
    "shift_right": np.right_shift,
}


def run_program(program: Program, given: dict[str, Any]) -> list[np.ndarray]:
    """Return the results of a program; those that depend on no input may be scalars."""
    of_kind = {"real": program.dtype, "bits": np.dtype(f"u{program.dtype.itemsize}")}
    values: list[Any] = []
    for number, (name, kind, inputs) in enumerate(program.operations):
        if name == "constant":
            value = of_kind[kind].type(*inputs)
        elif name == "input":
            value = np.asarray(given[inputs[0]], program.dtype)
        else:
            operands = list(map(values.__getitem__, inputs))
            if name in ("bits", "from_bits"):
                value = operands[0].view(of_kind[kind])
            else:
                value = _FUNCTIONS[name](*operands)
            for i in inputs:
                if program.last_uses[i] == number:
                    values[i] = None  # frees its memory, still in a cache, for the next value
        values.append(value)
    return [values[result] for result in program.results]
