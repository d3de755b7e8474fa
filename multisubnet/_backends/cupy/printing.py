"""Recipes printed as CUDA C++: those that a kernel's name requires go into its source."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection

import numpy as np

from multisubnet._arithmetic import activation_recipes, loss_recipes, moments
from multisubnet._arithmetic.activation import INPUTS, OF_INTEGERS, form_of, program_of
from multisubnet._arithmetic.output_loss import CATEGORICAL, OutputLoss
from multisubnet._arithmetic.recipe import Program, Real, trace
from multisubnet._backends.cupy.launch.operands import functor

_FUNCTIONS = {
    ("add", "real"): "add({}, {})",
    ("subtract", "real"): "sub({}, {})",
    ("multiply", "real"): "mul({}, {})",
    ("multiply_exactly", "real"): "mul({}, {})",
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
_WIDEST = 46  # characters of an expression; longer ones get a name


def _body(program: Program, real: str, given: Callable[[str], str] = str) -> list[str]:
    """Return the statements of a program, followed by its results.

    `given` turns the name of an input into an expression.
    """
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
        elif name == "input":
            value = given(inputs[0])
        else:
            operands = [values[i] for i in inputs]
            if name.startswith("shift"):
                operands[1] = str(program.operations[inputs[1]].inputs[0])
            value = _FUNCTIONS[name, kind].format(*operands)
            if uses[number] > 1 or (len(value) > _WIDEST and uses[number]):
                lines.append(f"const {types[kind]} v{number} = {value};")
                value = f"v{number}"
        values.append(value)
    return lines + [values[result] for result in program.results]


def _function(program: Program, real: str, name: str, names: tuple[str, ...]) -> str:
    """Return a member function of a functor, with arguments of these names."""
    given = {x.inputs[0] for x in program.operations if x.name == "input"}
    arguments = ", ".join(f"{real} {x}" if x in given else real for x in names)
    signature = f"DEVICE {real} {name}({arguments})"
    if real == "T":
        signature = f"template <typename T> {signature}"
    *lines, result = _body(program, real)
    return _block(signature, [*lines, f"return {result};"])


def _block(signature: str, statements: list[str]) -> str:
    lines = "".join(f"        {line}\n" for line in statements)
    return f"    {signature} {{\n{lines}    }}\n"


def _activation(key: str) -> str:
    """Return the functions of the activation with this key."""
    text = ""
    if key in OF_INTEGERS:
        text += _function(program_of(key, np.dtype(np.int64)), "T", "of", INPUTS)
    for real in map(np.dtype, (np.float32, np.float64)):
        text += _function(program_of(key, real), real.name, "of", INPUTS)
    return text


def _loss(key: str) -> str:
    """Return the functions of a loss of a prediction and a target, and of its derivative."""
    recipes = loss_recipes.RECIPES[key]
    text = ""
    for name, recipe in (("of", recipes.value), ("derivative", recipes.derivative)):
        for real in map(np.dtype, (np.float32, np.float64)):
            text += _function(_program_of_loss(recipe, real), real.name, name, ("p", "t"))
    return text


def _loss_of_all(n_outputs: int) -> str:
    """Return the function of the loss of all outputs, and of its slopes."""
    text = ""
    for real in map(np.dtype, (np.float32, np.float64)):
        program = OutputLoss(CATEGORICAL, "linear", n_outputs).program(real)
        lines = _body(program, real.name, lambda x: "t" if x == "target" else f"z[{x[1:]}]")
        first = len(lines) - 1 - n_outputs
        lines[first:] = [f"out[{i}] = {x};" for i, x in enumerate(lines[first:])]
        signature = f"DEVICE void of(const {real.name} *z, {real.name} t, {real.name} *out)"
        text += _block(signature, lines)
    return text


def _program_of_loss(recipe: Callable[..., Real], dtype: np.dtype) -> Program:
    form = form_of(dtype)
    return trace(lambda p, t: (recipe(p, t, form),), dtype, ("p", "t"))


def _moment(name: str) -> str:
    """Return a function of the closed form, from an array of float64 to another."""
    names, program = moments.row_program(name, "")
    lines = _body(program, "float64", lambda x: f"in[{names.index(x)}]")
    n_results = len(program.results)
    lines[-n_results:] = [f"out[{i}] = {x};" for i, x in enumerate(lines[-n_results:])]
    sizes = "    typedef struct Sum Join;\n"
    sizes += f"    static constexpr int TAKES = {len(names)}, GIVES = {n_results};\n"
    return sizes + _block("DEVICE void of(const float64 *in, float64 *out)", lines)


_ACTIVATIONS = [k for x in activation_recipes.RECIPES for k in (x, f"{x}_derivative")]
# Generated headers by name: the keys that have a functor, and the function that prints one.
_HEADERS: dict[str, tuple[Collection[str], Callable[[str], str]]] = {
    "activations.cuh": ([k for k in _ACTIVATIONS if k != "linear"], _activation),
    "losses.cuh": (loss_recipes.RECIPES, _loss),
    "moments.cuh": (moments.FUNCTIONS, _moment),
}


def header(name: str, words: Collection[str]) -> str | None:
    """Return the text of a generated header, with the functors named in `words`.

    None for a header that was written by hand and is a file.
    """
    if name not in _HEADERS:
        return None
    keys, _ = _HEADERS[name]
    functors = "".join(_printed(name, key) for key in keys if functor(key) in words)
    if name == "losses.cuh":
        for word in words:
            if match := re.fullmatch(rf"({functor(CATEGORICAL)})_(\d+)", word):
                functors += f"\nstruct {word} {{\n{_loss_of_all(int(match[2]))}}};\n"
    return '#pragma once\n#include "arithmetic.cuh"\n' + functors


@functools.cache
def _printed(name: str, key: str) -> str:
    _, functions = _HEADERS[name]
    return f"\nstruct {functor(key)} {{\n{functions(key)}}};\n"
