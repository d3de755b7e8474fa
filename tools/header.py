"""Print the recipes of the activations as a CUDA header.

python tools/header.py > cuda/activations.cuh
"""

from __future__ import annotations

import re

import numpy as np

from multisubnet._activation_recipes import RECIPES
from multisubnet._activations import OF_INTEGERS, program_of
from multisubnet._launch import functor
from multisubnet._recipe import Program

HEADING = """\
// The activations and their derivatives, as functions of one number: printed by tools/header.py
// from the recipes in multisubnet/_activation_recipes.py. Change those, and `make generate`.
#pragma once
#include "arithmetic.cuh"
"""
FUNCTIONS = {
    ("add", "real"): "add({}, {})",
    ("subtract", "real"): "sub({}, {})",
    ("multiply", "real"): "mul({}, {})",
    ("divide", "real"): "div({}, {})",
    ("less", "boolean"): "less({}, {})",
    ("less_equal", "boolean"): "less_equal({}, {})",
    ("select", "real"): "select({}, {}, {})",
    ("bits", "bits"): "bits({})",
    ("from_bits", "real"): "from_bits({})",
    ("add", "bits"): "({} + {})",
    ("subtract", "bits"): "({} - {})",
    ("and", "bits"): "({} & {})",
    ("or", "bits"): "({} | {})",
    ("shift_left", "bits"): "({} << {})",
    ("shift_right", "bits"): "({} >> {})",
}
WIDEST = 46  # characters of an expression; a longer one gets a name


def body(program: Program, real: str) -> list[str]:
    """Return the statements of a program."""
    is_float = program.dtype.kind == "f"
    types = {"real": real, "bits": f"uint{8 * program.dtype.itemsize}", "boolean": "bool"}
    uses = [0] * len(program.operations)
    for operation in program.operations:
        for i in operation.uses:
            uses[i] += 1

    def constant(kind: str, value: float) -> str:
        if kind == "bits":
            wrapped = value % (1 << 8 * program.dtype.itemsize)
            return f"{types['bits']}({wrapped:#x}{'u' if real == 'float32' else 'ull'})"
        if not is_float:
            return f"T({value})"
        number = re.sub(r"\.?0*p", "p", float(program.dtype.type(value)).hex())
        return number + "f" * (real == "float32")

    lines: list[str] = []
    values: list[str] = []
    for number, (name, kind, inputs) in enumerate(program.operations):
        if name == "constant":
            value = constant(kind, *inputs)
        elif name in ("x", "parameter"):
            value = name
        else:
            operands = [values[i] for i in inputs]
            if name.startswith("shift"):
                operands[1] = str(program.operations[inputs[1]].inputs[0])
            value = FUNCTIONS[name, kind].format(*operands)
            if uses[number] > 1 or (len(value) > WIDEST and uses[number]):
                lines.append(f"const {types[kind]} v{number} = {value};")
                value = f"v{number}"
        values.append(value)
    return [*lines, f"return {values[-1]};"]


def function(program: Program, real: str) -> str:
    """Return a function of a functor."""
    names = {operation.name for operation in program.operations}
    x = " x" * ("x" in names)
    parameter = " parameter" * ("parameter" in names)
    signature = f"DEVICE {real} of({real}{x}, {real}{parameter})"
    if real == "T":
        signature = f"template <typename T> {signature}"
    statements = "".join(f"        {line}\n" for line in body(program, real))
    return f"    {signature} {{\n{statements}    }}\n"


def header() -> str:
    """Return the text of the header."""
    text = HEADING
    for key in (key for name in RECIPES for key in (name, f"{name}_derivative")):
        if key == "linear":
            continue
        text += f"\nstruct {functor(key)} {{\n"
        if key in OF_INTEGERS:
            text += function(program_of(key, np.dtype(np.int64)), "T")
        for dtype in (np.float32, np.float64):
            text += function(program_of(key, np.dtype(dtype)), np.dtype(dtype).name)
        text += "};\n"
    return text


if __name__ == "__main__":
    print(header(), end="")
