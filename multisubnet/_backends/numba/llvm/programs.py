"""Programs of recipes as vector instructions."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from multisubnet._arithmetic.recipe import Program
from multisubnet._backends.numba.llvm.vectors import emit_splat, has_fma

SHORT = 8  # operations of a recipe that is inlined in many copies
_LAG = 2  # operations by which a row is behind the previous one


def emit_program(builder, program: Program, rows):
    """Emit a program for rows of named vectors, and return the results of each row.

    The rows take turns, so that few operations wait for each other. Each row lags a little behind
    the previous one: neighbouring instructions then need different execution units.
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
    # LLVM removes a product if all sums that use it are fused.
    emit["multiply_exactly", "real"] = builder.fmul
    fused = _fused_products(program) if has_fma() else {}

    def emit_fused(name, inputs, product, done):
        a, b = (done[i] for i in program.operations[product].inputs)
        if product == inputs[1]:
            a, c = builder.fneg(a) if name == "subtract" else a, done[inputs[0]]
        else:
            c = done[inputs[1]]
            c = builder.fneg(c) if name == "subtract" else c
        fma = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(real, [real] * 3),
            f"llvm.fma.v{real.count}f{word.width}",
        )
        return builder.call(fma, [a, b, c])

    values: list[list] = [[] for _ in rows]
    numbers = range(len(program.operations))
    turns = sorted((n + _LAG * row, row, n) for n in numbers for row in range(len(rows)))
    for _, row, number in turns:
        name, kind, inputs = program.operations[number]
        done = values[row]
        if name == "constant":
            done.append(constant(kind, *inputs))
        elif name == "input":
            done.append(rows[row][inputs[0]])
        elif number in fused:
            done.append(emit_fused(name, inputs, fused[number], done))
        else:
            done.append(emit[name, kind](*(done[i] for i in inputs)))
    return [[done[result] for result in program.results] for done in values]


def _fused_products(program: Program) -> dict[int, int]:
    """Return, for each sum that is fused with an exact product, the number of the product.

    A product that other operations use, too, is not fused: the multiplication would remain.
    """
    exact = {n for n, x in enumerate(program.operations) if x.name == "multiply_exactly"}
    exact.difference_update(program.results)
    for operation in program.operations:
        if operation.kind != "real" or operation.name not in ("add", "subtract"):
            exact.difference_update(operation.uses)
    return {
        number: product
        for number, operation in enumerate(program.operations)
        for product in operation.uses
        if product in exact
    }


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
