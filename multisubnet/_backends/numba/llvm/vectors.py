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

from multisubnet._arithmetic.activation import program_of
from multisubnet._arithmetic.recipe import Program
from multisubnet._arithmetic.summands import EACH, HELD, OPERANDS, RUN, SCALAR, STREAMED, Terms
from multisubnet._backends.numba.sum_layout import LINE
from multisubnet._functions.closed_form import row_program

_UNROLLED = 4  # lines in the innermost loop
_SHORT = 8  # operations of a recipe of which that many copies are made
_INT8, _INT32, _INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)

LANES = LINE // 8  # of float64 in a line, and rows that are done at once
_DOUBLE = ir.DoubleType()
_DOUBLES = ir.VectorType(_DOUBLE, LANES)


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
def add_run(typingctx, array, places, weights, n_rows, length, what):
    """Add the sums of terms over some rows of `length` elements to rows of float64.

    `places` are the addresses of what the terms depend on, then of the sums; `weights` is that of
    the rows' weights. `what` is a constant: the name of a function of closed_form.py; for each of
    its inputs whether it is in each row, in the dtype of `array` (a), or one for all rows, in
    float64 (d); and "weight" or nothing.
    """
    name, inputs, last = what.literal_value.split(":")[:3]
    names, program = row_program(name, last)
    dtype = array.dtype

    def codegen(context, builder, signature, arguments):
        _, places, weights, n_rows, length, _ = arguments
        places = cgutils.unpack_tuple(builder, places)
        outs = places[len(inputs) :]
        real, itemsize = context.get_data_type(dtype), _INT64(dtype.bitwidth // 8)
        row_bytes = builder.mul(length, itemsize)
        sums = [cgutils.alloca_once(builder, _DOUBLES) for _ in outs]

        def emit(line):
            held = {
                key: line.load(place, _DOUBLE)
                for key, kind, place in zip(names, inputs, places, strict=False)
                if kind == "d"
            }
            for total in sums:
                builder.store(ir.Constant(_DOUBLES, None), total)
            with cgutils.for_range_slice(builder, _INT64(0), n_rows, _INT64(1), _INT64) as (row, _):
                given = dict(held)
                for key, kind, place in zip(names, inputs, places, strict=False):
                    if kind == "a":
                        at = builder.add(place, builder.mul(row, row_bytes))
                        given[key] = line.load(at, real)
                if last:
                    at = builder.add(weights, builder.mul(row, itemsize))
                    of_row = builder.load(builder.inttoptr(at, real.as_pointer()), align=1)
                    if real != _DOUBLE:
                        of_row = builder.fpext(of_row, _DOUBLE)
                    given[last] = _splat(builder, of_row, _DOUBLES)
                (terms,) = _carried_out(builder, program, [given])
                for total, term in zip(sums, terms, strict=True):
                    builder.store(builder.fadd(builder.load(total), term), total)
            for total, out in zip(sums, outs, strict=True):
                added = builder.fadd(line.load(out, _DOUBLE), builder.load(total))
                line.store(added, out, _DOUBLE)

        _for_lines(builder, length, emit)
        return context.get_dummy_value()

    address = types.intp
    signature = types.void(
        *(array, types.UniTuple(address, len(places)), address, types.intp, types.intp, what),
    )
    return signature, codegen


@intrinsic(prefer_literal=True)
def map_rows(typingctx, array, places, steps, n_rows, length, divisor, what):
    """Do a program of float64 for `length` elements of a few rows, at most LANES.

    `places` are the addresses of the first rows, and `steps` lead from there to the next ones.
    `what` is a constant: the name of a function of closed_form.py; for each of its inputs whether
    it is a row of float64 (d) or of the dtype of `array` (a); for each of its results whether it is
    written to such a row, or (+) the sums of a line's columns are, for each row one, to a line of
    float64. All results but the first one are divided by `divisor`.
    """
    name, inputs, results = what.literal_value.split(":")[:3]
    names, program = row_program(name, "divisor")
    dtype = array.dtype

    def codegen(context, builder, signature, arguments):
        _, places, steps, n_rows, length, divisor, _ = arguments
        places = cgutils.unpack_tuple(builder, places)
        steps = cgutils.unpack_tuple(builder, steps)
        element = {"a": context.get_data_type(dtype), "d": _DOUBLE}
        divisor = _splat(builder, divisor, _DOUBLES)
        last = builder.sub(n_rows, _INT64(1))

        def at_row(row):
            """Return the addresses for a row, or for the last one there is."""
            there = builder.icmp_signed("<", _INT64(row), last)
            row = builder.select(there, _INT64(row), last)
            return [
                builder.add(place, builder.mul(row, step))
                for place, step in zip(places, steps, strict=True)
            ]

        places_of_row = [at_row(row) for row in range(LANES)]

        def emit(line):
            rows = []
            for places in places_of_row:
                loaded = [
                    line.load(place, element[kind])
                    for kind, place in zip(inputs, places, strict=False)
                ]
                rows.append(dict(zip(names, [*loaded, divisor], strict=True)))
            results_of_row = [_carried_out(builder, program, [given])[0] for given in rows]
            for i, kind in enumerate(results):
                values = [found[i] for found in results_of_row]
                outs = [places[len(inputs) + i] for places in places_of_row]
                if kind == "+":
                    line.store_sums(values, outs[0])
                    continue
                for value, out in zip(values, outs, strict=True):
                    line.store(value, out, element[kind])

        _for_lines(builder, length, emit)
        return context.get_dummy_value()

    address = types.UniTuple(types.intp, len(places))
    signature = types.void(
        *(array, address, address, types.intp, types.intp, types.float64, what),
    )
    return signature, codegen


class _Line:
    """A line of float64 in rows, from the column `index` on; with a mask, not all of it is there.

    Elements of rows have a type; what is not there is read as 0, and not written.
    """

    def __init__(self, builder, index, mask):
        self.builder, self.index, self.mask = builder, index, mask

    def load(self, row, element):
        pointer = self._pointer(row, element)
        if self.mask is None:
            line = self.builder.load(pointer, align=1)
        else:
            line = self._masked("load", pointer, [], [ir.Constant(pointer.type.pointee, None)])
        return line if element == _DOUBLE else self.builder.fpext(line, _DOUBLES)

    def store(self, line, row, element):
        pointer = self._pointer(row, element)
        if element != _DOUBLE:
            line = self.builder.fptrunc(line, pointer.type.pointee)
        if self.mask is None:
            self.builder.store(line, pointer, align=1)
        else:
            self._masked("store", pointer, [line], [])

    def store_sums(self, lines, row):
        """Store for each of LANES lines the sum of its columns, by a binary tree."""
        if self.mask is not None:
            nothing = ir.Constant(_DOUBLES, [-0.0] * LANES)  # which changes no sum
            lines = [self.builder.select(self.mask, line, nothing) for line in lines]
        while len(lines) > 1:
            lines = [self._sums_of_pairs(*lines[i : i + 2]) for i in range(0, len(lines), 2)]
        self.builder.store(lines[0], self._pointer(row, _DOUBLE), align=8)

    def _sums_of_pairs(self, *lines):
        which = ir.VectorType(_INT32, LANES)
        halves = (
            self.builder.shuffle_vector(*lines, ir.Constant(which, list(range(k, 2 * LANES, 2))))
            for k in range(2)
        )
        return self.builder.fadd(*halves)

    def _pointer(self, row, element):
        size = 8 if element == _DOUBLE else 4
        address = self.builder.add(row, self.builder.mul(self.index, _INT64(size)))
        return self.builder.inttoptr(address, ir.VectorType(element, LANES).as_pointer())

    def _masked(self, name, pointer, before, after):
        line = pointer.type.pointee
        kind = f"v{LANES}f{64 if line == _DOUBLES else 32}"
        arguments = [*before, pointer, _INT32(1), self.mask, *after]
        result = line if name == "load" else ir.VoidType()
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(result, [argument.type for argument in arguments]),
            f"llvm.masked.{name}.{kind}.p0{kind}",
        )
        return self.builder.call(function, arguments)


def _for_lines(builder, length, emit):
    """Call `emit` with a `_Line` for the whole lines of rows of that length, and for their rest."""
    whole = builder.and_(length, _INT64(-LANES))
    with cgutils.for_range_slice(builder, _INT64(0), whole, _INT64(LANES), _INT64) as (index, _):
        emit(_Line(builder, index, None))
    rest = builder.sub(length, whole)
    with builder.if_then(builder.icmp_signed(">", rest, _INT64(0))):
        columns = ir.Constant(ir.VectorType(_INT64, LANES), list(range(LANES)))
        mask = builder.icmp_signed("<", columns, _splat(builder, rest, columns.type))
        emit(_Line(builder, whole, mask))


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
        if _is_x86():
            _call(builder, "llvm.x86.sse.sfence")
        else:
            builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


def _call(builder, name):
    """Emit an instruction without operands."""
    function = ir.FunctionType(ir.VoidType(), [])
    builder.call(cgutils.get_or_insert_function(builder.module, function, name), [])


@intrinsic
def look_out(typingctx, address, seen, turns):
    """Return whether an int64 is not what was seen, having waited for it so many turns at most."""

    def codegen(context, builder, signature, arguments):
        address, seen, turns = arguments
        pointer = builder.inttoptr(address, _INT64.as_pointer())
        changed = cgutils.alloca_once_value(builder, cgutils.false_bit)
        with cgutils.for_range(builder, turns) as loop:
            now = builder.load_atomic(pointer, "acquire", 8)
            is_new = builder.icmp_signed("!=", now, seen)
            builder.store(is_new, changed)
            with builder.if_then(is_new):
                loop.do_break()
            if _is_x86():
                _call(builder, "llvm.x86.sse2.pause")
        return builder.load(changed)

    return types.boolean(types.intp, types.intp, types.intp), codegen


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
