"""Vector instructions for Numba: an affine row with its activation, and what is needed around it.

Numba leaves it to LLVM whether a loop is vectorized, and LLVM does not vectorize the non-temporal
stores with which large results are written past the cache. So the innermost loop is written as
LLVM vectors of 64 bytes (a cache line; LLVM splits them on lesser processors). Its operations carry
no fast-math flags, so that nothing is contracted or reassociated. Addresses are plain integers.
"""

from __future__ import annotations

import platform

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from multisubnet._activations import program_of
from multisubnet._recipe import Program

LINE = 64  # bytes
_UNROLLED = 4  # lines in the innermost loop
_SHORT = 8  # operations of a recipe of which that many copies are made
_INT8, _INT32, _INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _affine(builder, dtype, x, y, z):
    """Emit x * y + z, or x * y where z is None: each operation rounded once, integers wrapping."""
    if isinstance(dtype, types.Float):
        product = builder.fmul(x, y)
        return product if z is None else builder.fadd(product, z)
    if isinstance(dtype, types.Boolean):
        product = builder.and_(_truth(builder, x), _truth(builder, y))
        result = product if z is None else builder.or_(product, _truth(builder, z))
        return builder.zext(result, x.type)
    product = builder.mul(x, y)
    return product if z is None else builder.add(product, z)


def _truth(builder, x):
    return builder.icmp_unsigned("!=", x, ir.Constant(x.type, None))


def _activated(builder, program: Program, x, parameter):
    """Emit a recipe's operations for vectors x and parameter."""
    real = x.type
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
    given = {"x": x, "parameter": parameter}
    values = []
    for name, kind, inputs in program.operations:
        if name == "constant":
            values.append(constant(kind, *inputs))
        elif name in given:
            values.append(given[name])
        else:
            values.append(emit[name, kind](*(values[i] for i in inputs)))
    return values[-1]


def _recipe_function(module, program: Program, key: str, real, lanes: int):
    """Return a function of the module, from a line of numbers and the parameter to a line.

    Long recipes are not inlined: they are needed in a dozen places, and take longer than a call.
    """
    line = ir.VectorType(real, lanes)
    name = f"multisubnet.{key}.{program.dtype.char}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(line, [line, real]), name)
    function.linkage = "internal"
    function.attributes.add("noinline" if program.cost > _SHORT else "alwaysinline")
    builder = ir.IRBuilder(function.append_basic_block())
    x, parameter = function.args
    parameter = builder.insert_element(ir.Constant(line, ir.Undefined), parameter, _INT32(0))
    first = ir.Constant(ir.VectorType(_INT32, lanes), [0] * lanes)
    parameter = builder.shuffle_vector(parameter, parameter, first)
    builder.ret(_activated(builder, program, x, parameter))
    return function


def _resized(builder, vector, n: int):
    """Emit a vector of n numbers, of which those that the given one does not have are 0."""
    count = vector.type.count
    which = [min(i, count) for i in range(n)]
    zeros = ir.Constant(vector.type, None)
    return builder.shuffle_vector(vector, zeros, ir.Constant(ir.VectorType(_INT32, n), which))


@intrinsic(prefer_literal=True)
def affine_row(typingctx, out, target, x, y, z, length, has_z, streaming, activation, parameter):
    """Write activation(x * y + z), or of x * y, for `length` elements of the dtype of `out`.

    They are written at `target`, which may lie exactly over an operand. With `streaming` it starts
    at a line and has whole lines, and is written past the cache; `fence` must follow before others
    read it. `activation` is a constant that begins with the key of a recipe.
    """
    dtype = out.dtype
    itemsize = 1 if isinstance(dtype, types.Boolean) else dtype.bitwidth // 8
    lanes = LINE // itemsize
    key = activation.literal_value.split()[0]
    program = program_of(key, as_dtype(dtype)) if key != "linear" else None

    def codegen(context, builder, signature, arguments):
        _, target, x, y, z, length, has_z, streaming, _, parameter = arguments
        scalar = context.get_data_type(dtype)
        nontemporal = builder.module.add_metadata([_INT32(1)])
        if not isinstance(dtype, types.Boolean):
            parameter = context.cast(builder, parameter, types.float64, dtype)

        def emit(i, n, with_z, streams):
            kind = ir.VectorType(scalar, n)

            def at(address):
                offset = builder.mul(i, _INT64(itemsize))
                return builder.inttoptr(builder.add(address, offset), kind.as_pointer())

            # Numba can take an unaligned array for an aligned one.
            operands = [builder.load(at(a), align=1) for a in (x, y)]
            operands.append(builder.load(at(z), align=1) if with_z else None)
            result = _affine(builder, dtype, *operands)
            if program is not None:
                function = _recipe_function(builder.module, program, key, scalar, lanes)
                line = result if n == lanes else _resized(builder, result, lanes)
                line = builder.call(function, [line, parameter])
                result = line if n == lanes else _resized(builder, line, n)
            store = builder.store(result, at(target), align=LINE if streams else 1)
            if streams:
                store.set_metadata("nontemporal", nontemporal)

        def lines(start, stop, count, with_z, streams):
            step = _INT64(count * lanes)
            with cgutils.for_range_slice(builder, start, stop, step, _INT64) as (i, _):
                for k in range(count):
                    emit(builder.add(i, _INT64(k * lanes)), lanes, with_z, streams)

        def row(with_z, streams):
            unrolled = builder.and_(length, _INT64(-_UNROLLED * lanes))
            whole = builder.and_(length, _INT64(-lanes))
            lines(_INT64(0), unrolled, _UNROLLED, with_z, streams)
            lines(unrolled, whole, 1, with_z, streams)
            if streams:
                return
            # What is left over is fewer lanes than a line's: a half, a quarter, and so on of them.
            n = lanes // 2
            while n:
                rest = builder.and_(length, _INT64(n))
                with builder.if_then(builder.icmp_unsigned("!=", rest, _INT64(0))):
                    emit(builder.and_(length, _INT64(-2 * n)), n, with_z, False)
                n //= 2

        with builder.if_else(has_z) as (then, otherwise):
            for branch, with_z in ((then, True), (otherwise, False)):
                with branch, builder.if_else(streaming) as (streams, plain):
                    with streams:
                        row(with_z, True)
                    with plain:
                        row(with_z, False)
        return context.get_dummy_value()

    address = types.intp
    signature = types.void(
        *(out, address, address, address, address, types.intp, types.boolean, types.boolean),
        *(activation, types.float64),
    )
    return signature, codegen


@intrinsic
def copy(typingctx, target, source, n_bytes):
    """Copy bytes that do not overlap."""

    def codegen(context, builder, signature, arguments):
        target, source, n_bytes = arguments
        pointers = (builder.inttoptr(a, _INT8.as_pointer()) for a in (target, source))
        cgutils.raw_memcpy(builder, *pointers, n_bytes, 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


@intrinsic
def splat(typingctx, target, source, step, n_bytes):
    """Write the line at `source` at every `step` of `n_bytes`, the later over the earlier."""

    def codegen(context, builder, signature, arguments):
        target, source, step, n_bytes = arguments
        kind = ir.VectorType(_INT64, LINE // 8)
        line = builder.load(builder.inttoptr(source, kind.as_pointer()), align=1)
        with cgutils.for_range_slice(builder, _INT64(0), n_bytes, step, _INT64) as (i, _):
            builder.store(
                line, builder.inttoptr(builder.add(target, i), kind.as_pointer()), align=1
            )
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def stream_line(typingctx, target, source):
    """Copy one line past the cache; both addresses are multiples of LINE."""

    def codegen(context, builder, signature, arguments):
        line = ir.VectorType(_INT64, LINE // 8)
        target, source = (builder.inttoptr(a, line.as_pointer()) for a in arguments)
        store = builder.store(builder.load(source, align=LINE), target, align=LINE)
        store.set_metadata("nontemporal", builder.module.add_metadata([_INT32(1)]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@intrinsic
def fence(typingctx):
    """Make streamed lines visible before whatever is stored after them."""

    def codegen(context, builder, signature, arguments):
        if platform.machine().lower() in ("x86_64", "amd64"):
            function = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse.sfence"
            builder.call(cgutils.get_or_insert_function(builder.module, function, name), [])
        else:
            builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


def stack(n_bytes):
    """Return a function for compiled code: the address of that many bytes of its stack frame."""

    @intrinsic
    def on_stack(typingctx):
        def codegen(context, builder, signature, arguments):
            with builder.goto_entry_block():
                memory = builder.alloca(ir.ArrayType(_INT8, n_bytes))
                memory.align = LINE
            return builder.ptrtoint(memory, _INT64)

        return types.intp(), codegen

    return on_stack
