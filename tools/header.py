"""Print the recipes of the activations, or of the losses, as a CUDA header.

python tools/header.py activations > cuda/activations.cuh
python tools/header.py losses > cuda/losses.cuh
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import numpy as np

from multisubnet._arithmetic import activation_recipes as _activation_recipes
from multisubnet._arithmetic import loss_recipes as _loss_recipes
from multisubnet._arithmetic import recipe as _recipe
from multisubnet._arithmetic.activation import INPUTS, OF_INTEGERS, form_of, program_of
from multisubnet._arithmetic.recipe import Program, Real
from multisubnet._backends.cupy.launch import functor

ACTIVATIONS = """\
// The activations and their derivatives, as functions of one number: printed by tools/header.py
// from the recipes in _arithmetic/activation_recipes.py. Change those, and `make generate`.
#pragma once
#include "arithmetic.cuh"
"""
LOSSES = """\
// The losses of a prediction and a target, and their derivatives: printed by tools/header.py from
// the recipes in _arithmetic/loss_recipes.py. Change those, and `make generate`.
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
        elif name == "given":
            value = inputs[0]
        else:
            operands = [values[i] for i in inputs]
            if name.startswith("shift"):
                operands[1] = str(program.operations[inputs[1]].inputs[0])
            value = FUNCTIONS[name, kind].format(*operands)
            if uses[number] > 1 or (len(value) > WIDEST and uses[number]):
                lines.append(f"const {types[kind]} v{number} = {value};")
                value = f"v{number}"
        values.append(value)
    (result,) = program.results
    return [*lines, f"return {values[result]};"]


def function(program: Program, real: str, name: str, names: tuple[str, ...]) -> str:
    """Return a function of a functor, with arguments of these names."""
    given = {x.inputs[0] for x in program.operations if x.name == "given"}
    arguments = ", ".join(f"{real} {x}" if x in given else real for x in names)
    signature = f"DEVICE {real} {name}({arguments})"
    if real == "T":
        signature = f"template <typename T> {signature}"
    statements = "".join(f"        {line}\n" for line in body(program, real))
    return f"    {signature} {{\n{statements}    }}\n"


def activations() -> str:
    """Return the header of the activations."""
    text = ACTIVATIONS
    for key in (k for name in _activation_recipes.RECIPES for k in (name, f"{name}_derivative")):
        if key == "linear":
            continue
        text += f"\nstruct {functor(key)} {{\n"
        if key in OF_INTEGERS:
            text += function(program_of(key, np.dtype(np.int64)), "T", "of", INPUTS)
        for dtype in (np.float32, np.float64):
            real = np.dtype(dtype)
            text += function(program_of(key, real), real.name, "of", INPUTS)
        text += "};\n"
    return text


def losses() -> str:
    """Return the header of the losses."""
    text = LOSSES
    for key, recipes in _loss_recipes.RECIPES.items():
        text += f"\nstruct {functor(key)} {{\n"
        for name, recipe in (("of", recipes.value), ("derivative", recipes.derivative)):
            for dtype in (np.float32, np.float64):
                real = np.dtype(dtype)
                text += function(_program_of_loss(recipe, real), real.name, name, ("p", "t"))
        text += "};\n"
    return text


def _program_of_loss(recipe: Callable[..., Real], dtype: np.dtype) -> Program:
    form = form_of(dtype)
    return _recipe.trace(lambda p, t: (recipe(p, t, form),), dtype, ("p", "t"))


if __name__ == "__main__":
    print({"activations": activations, "losses": losses}[sys.argv[1]](), end="")
