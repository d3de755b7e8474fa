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
from multisubnet._closed_form import row_program
from multisubnet._numba_sums import LINE
from multisubnet._recipe import Program
from multisubnet._terms import EACH, HELD, OPERANDS, RUN, SCALAR, STREAMED, Terms

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


def _carried_out(builder, program: Program, rows):
    """Emit a program's operations on rows of named vectors, and return the results of each row.

    Each operation is done for all rows before the next: few of them wait for each other.
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
            elif name == "given":
                done.append(given[inputs[0]])
            else:
                done.append(emit[name, kind](*(done[i] for i in inputs)))
    return [[done[result] for result in program.results] for done in values]


def _recipe_function(module, program: Program, key: str, real, lanes: int, count: int):
    """Return a function of the module, from lines of numbers and the parameter to as many lines.

    Long recipes are not inlined: they are needed in a dozen places, and take longer than a call.
    """
    line = ir.VectorType(real, lanes)
    name = f"multisubnet.{key}.{program.dtype.char}.{count}"
    if name in module.globals:
        return module.globals[name]
    results = ir.LiteralStructType([line] * count)
    function = ir.Function(module, ir.FunctionType(results, [line] * count + [real]), name)
    function.linkage = "internal"
    function.attributes.add("noinline" if program.cost > _SHORT else "alwaysinline")
    builder = ir.IRBuilder(function.append_basic_block())
    *lines, parameter = function.args
    parameter = _splat(builder, parameter, line)
    rows = [{"x": x, "parameter": parameter} for x in lines]
    builder.ret(
        cgutils.make_anonymous_struct(
            builder, [result for (result,) in _carried_out(builder, program, rows)], results
        )
    )
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

        def emit(places, n, with_z, streams):
            kind = ir.VectorType(scalar, n)

            def at(address, i):
                offset = builder.mul(i, _INT64(itemsize))
                return builder.inttoptr(builder.add(address, offset), kind.as_pointer())

            results = []
            for i in places:
                # Numba can take an unaligned array for an aligned one.
                operands = [builder.load(at(a, i), align=1) for a in (x, y)]
                operands.append(builder.load(at(z, i), align=1) if with_z else None)
                results.append(_affine(builder, dtype, *operands))
            if program is not None:
                count = len(places)
                function = _recipe_function(builder.module, program, key, scalar, lanes, count)
                whole = results if n == lanes else [_resized(builder, x, lanes) for x in results]
                whole = builder.call(function, [*whole, parameter])
                whole = [builder.extract_value(whole, k) for k in range(count)]
                results = whole if n == lanes else [_resized(builder, x, n) for x in whole]
            for i, result in zip(places, results, strict=True):
                store = builder.store(result, at(target, i), align=LINE if streams else 1)
                if streams:
                    store.set_metadata("nontemporal", nontemporal)

        def lines(start, stop, count, with_z, streams):
            step = _INT64(count * lanes)
            with cgutils.for_range_slice(builder, start, stop, step, _INT64) as (i, _):
                places = [builder.add(i, _INT64(k * lanes)) for k in range(count)]
                emit(places, lanes, with_z, streams)

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
                    emit([builder.and_(length, _INT64(-2 * n))], n, with_z, False)
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


@intrinsic(prefer_literal=True)
def add_runs(typingctx, array, places, begins, steps, out, start, stop, parameter, what):
    """Add the sums of runs of terms to the float64 totals of a tile: rows of a line of columns.

    `places` are the addresses of the operands, in the order of OPERANDS, and `begins` how far from
    there the tile is, in held, streamed and other operands. `steps` lead to the next row of a held
    operand, to the next summed index of a streamed one, to the next row and index of others; `out`
    has the address of the first row's totals, the step to the next row and that to the next output.
    All are in bytes. The summed indices are start to stop, start being the beginning of a run.
    `what` is a constant: the rows, for each operand what it depends on, and the key of the terms.
    """
    dtype = array.dtype
    count, kinds, key = what.literal_value.split(":")[:3]
    n_rows = int(count)
    kind_of = dict(zip(OPERANDS, kinds, strict=True))
    program = Terms.of_key(key).program(as_dtype(dtype))

    def codegen(context, builder, signature, arguments):
        _, places, begins, steps, out, start, stop, parameter, _ = arguments
        real = context.get_data_type(dtype)
        line = ir.VectorType(real, LINE * 8 // dtype.bitwidth)
        wide = ir.VectorType(ir.DoubleType(), line.count)
        begin = dict(
            zip((HELD, STREAMED, EACH), cgutils.unpack_tuple(builder, begins), strict=True)
        )
        place = {
            name: builder.add(address, begin[kind]) if kind in begin else address
            for (name, kind), address in zip(
                kind_of.items(), cgutils.unpack_tuple(builder, places), strict=True
            )
        }
        held_row, streamed_index, each_row, each_index = cgutils.unpack_tuple(builder, steps)
        out, out_row, out_output = cgutils.unpack_tuple(builder, out)

        def load(address, kind):
            return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)

        def moved(address, *pairs):
            for count, step in pairs:
                address = builder.add(address, builder.mul(count, step))
            return address

        if isinstance(dtype, types.Float) and dtype.bitwidth == 32:
            parameter = builder.fptrunc(parameter, real)
        parameter = _splat(builder, parameter, line)
        held = {
            name: [load(moved(place[name], (_INT64(row), held_row)), line) for row in range(n_rows)]
            for name in OPERANDS
            if kind_of[name] == HELD
        }
        sums = [
            [cgutils.alloca_once(builder, line) for _ in program.results] for _ in range(n_rows)
        ]
        with cgutils.for_range_slice(builder, start, stop, _INT64(RUN), _INT64) as (first, _):
            end = builder.add(first, _INT64(RUN))
            end = builder.select(builder.icmp_signed("<", end, stop), end, stop)
            for sums_of_row in sums:
                for total in sums_of_row:
                    builder.store(ir.Constant(line, None), total)
            with cgutils.for_range_slice(builder, first, end, _INT64(1), _INT64) as (index, _):
                given = {"parameter": parameter}
                for name, kind in kind_of.items():
                    if kind == STREAMED:
                        given[name] = load(moved(place[name], (index, streamed_index)), line)
                    elif kind == SCALAR:
                        at = moved(place[name], (index, _INT64(dtype.bitwidth // 8)))
                        given[name] = _splat(builder, load(at, real), line)
                rows = [dict(given) for _ in range(n_rows)]
                for row, given in enumerate(rows):
                    for name, kind in kind_of.items():
                        if kind == HELD:
                            given[name] = held[name][row]
                        elif kind == EACH:
                            at = moved(place[name], (_INT64(row), each_row), (index, each_index))
                            given[name] = load(at, line)
                for sums_of_row, terms in zip(
                    sums, _carried_out(builder, program, rows), strict=True
                ):
                    for total, term in zip(sums_of_row, terms, strict=True):
                        builder.store(builder.fadd(builder.load(total), term), total)
            for row in range(n_rows):
                for number, total in enumerate(sums[row]):
                    of_run = builder.load(total)
                    if wide != line:
                        of_run = builder.fpext(of_run, wide)
                    at = moved(out, (_INT64(row), out_row), (_INT64(number), out_output))
                    at = builder.inttoptr(at, wide.as_pointer())
                    builder.store(builder.fadd(builder.load(at, align=8), of_run), at, align=8)
        return context.get_dummy_value()

    address = types.intp
    signature = types.void(
        *(array, types.UniTuple(address, len(OPERANDS)), types.UniTuple(address, 3)),
        *(types.UniTuple(address, 4), types.UniTuple(address, 3), address, address),
        *(types.float64, what),
    )
    return signature, codegen


@intrinsic(prefer_literal=True)
def map_row(typingctx, array, places, length, number, what):
    """Do a program of float64 for `length` elements of rows, of which `places` are the addresses.

    `what` is a constant: the name of a function of _closed_form.py; for each of its inputs whether
    it is a row of float64 (d), a row of the dtype of `array` (a), or `number` (n); for each of its
    results, whether it is written to a row of float64 (d) or of that dtype (a), or added to a row
    of float64 (+). Rows of results come last among the places.
    """
    name, inputs, results = what.literal_value.split(":")[:3]
    names, program = row_program(name)
    dtype = array.dtype

    def codegen(context, builder, signature, arguments):
        _, places, length, number, _ = arguments
        places = cgutils.unpack_tuple(builder, places)
        real, double = context.get_data_type(dtype), ir.DoubleType()

        def emit(index, lanes):
            def at(place, kind):
                element = real if kind == "a" else double
                size = _INT64(dtype.bitwidth // 8 if kind == "a" else 8)
                address = builder.add(place, builder.mul(index, size))
                return builder.inttoptr(address, ir.VectorType(element, lanes).as_pointer())

            line = ir.VectorType(double, lanes)
            given = {}
            for key, kind, place in zip(names[:-1], inputs, places, strict=False):
                value = builder.load(at(place, kind), align=1)
                given[key] = value if value.type == line else builder.fpext(value, line)
            given[names[-1]] = _splat(builder, number, line)
            (values,) = _carried_out(builder, program, [given])
            outs = places[len(inputs) :]
            for value, kind, place in zip(values, results, outs, strict=False):
                pointer = at(place, kind)
                if kind == "+":
                    value = builder.fadd(builder.load(pointer, align=1), value)
                elif pointer.type.pointee != line:
                    value = builder.fptrunc(value, pointer.type.pointee)
                builder.store(value, pointer, align=1)

        _in_lines(builder, length, LINE // 8, emit)
        return context.get_dummy_value()

    places = types.UniTuple(types.intp, len(places))
    return types.void(array, places, types.intp, types.float64, what), codegen


@intrinsic
def add_pairs(typingctx, target, source, count):
    """Write the sums of pairs of neighbouring float64, perhaps over the first of these."""

    def codegen(context, builder, signature, arguments):
        target, source, count = arguments
        double = ir.DoubleType()

        def emit(index, lanes):
            def load(offset):
                place = builder.add(index, index)
                place = builder.add(source, builder.mul(place, _INT64(8)))
                place = builder.add(place, _INT64(offset * 8 * lanes))
                return builder.load(builder.inttoptr(place, line.as_pointer()), align=8)

            line = ir.VectorType(double, lanes)
            pairs = load(0), load(1)
            even, odd = (
                builder.shuffle_vector(
                    *pairs, ir.Constant(ir.VectorType(_INT32, lanes), list(range(k, 2 * lanes, 2)))
                )
                for k in range(2)
            )
            place = builder.add(target, builder.mul(index, _INT64(8)))
            place = builder.inttoptr(place, line.as_pointer())
            builder.store(builder.fadd(even, odd), place, align=8)

        _in_lines(builder, count, LINE // 8, emit)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


def _in_lines(builder, length, lanes, emit):
    """Call `emit(index, lanes)` for whole lines, then for half a line and so on."""
    whole = builder.and_(length, _INT64(-lanes))
    with cgutils.for_range_slice(builder, _INT64(0), whole, _INT64(lanes), _INT64) as (i, _):
        emit(i, lanes)
    while lanes > 1:
        lanes //= 2
        rest = builder.and_(length, _INT64(lanes))
        with builder.if_then(builder.icmp_unsigned("!=", rest, _INT64(0))):
            emit(builder.and_(length, _INT64(-2 * lanes)), lanes)


def _splat(builder, value, line):
    """Emit a vector of one number."""
    vector = builder.insert_element(ir.Constant(line, ir.Undefined), value, _INT32(0))
    first = ir.Constant(ir.VectorType(_INT32, line.count), [0] * line.count)
    return builder.shuffle_vector(vector, vector, first)


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
