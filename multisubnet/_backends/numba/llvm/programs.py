"""Programs of recipes as vector instructions."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from multisubnet._arithmetic.recipe import Program
from multisubnet._backends.numba.llvm.vectors import emit_splat

SHORT = 8  # operations of a recipe that is inlined in many copies


def emit_program(builder, program: Program, rows):
    """Emit a program for rows of named vectors, and return the results of each row.

    Each operation is done for all rows before the next, so that few of them wait for each other.
    """
    real = next(iter(rows[0].values())).type
    word = ir.IntType(8 * program.dtype.itemsize)
    bits = ir.VectorType(word, real.count)
    floating = program.dtype.kind == "f"
    signed = program.dtype.kind == "i"

    def constant(kind, value):
        if kind == "bits":
            type_, value = bits, int(value) % (1 << word.width)
        else:
            type_, value = real, program.dtype.type(value).item()
        return ir.Constant(type_, [value] * real.count)

    def compare(operator):
        if floating:
            return lambda a, b: builder.fcmp_ordered(operator, a, b)
        compare_integers = builder.icmp_signed if signed else builder.icmp_unsigned
        return lambda a, b: compare_integers(operator, a, b)

    emit = {
        ("add", "real"): builder.fadd,
        ("subtract", "real"): builder.fsub,
        ("multiply", "real"): builder.fmul,
        ("divide", "real"): builder.fdiv,
        ("less", "boolean"): compare("<"),
        ("less_equal", "boolean"): compare("<="),
        ("select", "real"): builder.select,
        ("bits", "bits"): lambda a: builder.bitcast(a, bits),
        ("from_bits", "real"): lambda a: builder.bitcast(a, real),
        ("add", "bits"): builder.add,
        ("subtract", "bits"): builder.sub,
        ("and", "bits"): builder.and_,
        ("or", "bits"): builder.or_,
        ("shift_left", "bits"): builder.shl,
        ("shift_right", "bits"): builder.lshr,
    }
    values: list[list] = [[] for _ in rows]
    for name, kind, inputs in program.operations:
        for given, done in zip(rows, values, strict=True):
            if name == "constant":
                done.append(constant(kind, *inputs))
            elif name == "input":
                done.append(given[inputs[0]])
            else:
                done.append(emit[name, kind](*(done[i] for i in inputs)))
    return [[done[result] for result in program.results] for done in values]


def recipe_function(module, program: Program, key: str, real, lanes: int, count: int):
    """Return a function in the module, from lines of numbers and the parameter to as many lines.

    Long recipes are not inlined: they are used in a dozen places, and take longer than a call.
    """
    line = ir.VectorType(real, lanes)
    name = f"multisubnet.{key}.{program.dtype.char}.{lanes}.{count}"
    if name in module.globals:
        return module.globals[name]
    results = ir.LiteralStructType([line] * count)
    function = ir.Function(module, ir.FunctionType(results, [line] * count + [real]), name)
    function.linkage = "internal"
    function.attributes.add("noinline" if program.cost > SHORT else "alwaysinline")
    builder = ir.IRBuilder(function.append_basic_block())
    *lines, parameter = function.args
    parameter = emit_splat(builder, parameter, line)
    rows = [{"x": x, "parameter": parameter} for x in lines]
    builder.ret(
        cgutils.make_anonymous_struct(
            builder, [result for (result,) in emit_program(builder, program, rows)], results
        )
    )
    return function
