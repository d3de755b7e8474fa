"""Rows of float64 for the closed form, as vector instructions."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from multisubnet._arithmetic.moments import row_program
from multisubnet._backends.numba.lines import LINE
from multisubnet._backends.numba.llvm.programs import emit_program
from multisubnet._backends.numba.llvm.vectors import INT32, INT64, emit_splat

LANES = LINE // 8  # float64 in a line, and rows processed together
DOUBLE = ir.DoubleType()
DOUBLES = ir.VectorType(DOUBLE, LANES)


@intrinsic(prefer_literal=True)
def add_run(typingctx, array, places, weights, n_rows, length, what):
    """Add the sums of terms over some rows of `length` elements to rows of float64.

    `places` are the addresses of the inputs of the terms, then of the sums; `weights` is the
    address of the rows' weights. `what` is a constant: the name of a function of moments.py; for
    each of its inputs, whether it is in each row, in the dtype of `array` (a), or shared by all
    rows, in float64 (d); and "weight" or nothing.
    """
    name, inputs, last = what.literal_value.split(":")[:3]
    names, program = row_program(name, last)
    dtype = array.dtype

    def codegen(context, builder, signature, arguments):
        _, places, weights, n_rows, length, _ = arguments
        places = cgutils.unpack_tuple(builder, places)
        outs = places[len(inputs) :]
        real, itemsize = context.get_data_type(dtype), INT64(dtype.bitwidth // 8)
        row_bytes = builder.mul(length, itemsize)
        sums = [cgutils.alloca_once(builder, DOUBLES) for _ in outs]

        def emit(line):
            held = {
                key: line.load(place, DOUBLE)
                for key, kind, place in zip(names, inputs, places, strict=False)
                if kind == "d"
            }
            for total in sums:
                builder.store(ir.Constant(DOUBLES, None), total)
            with cgutils.for_range_slice(builder, INT64(0), n_rows, INT64(1), INT64) as (row, _):
                given = dict(held)
                for key, kind, place in zip(names, inputs, places, strict=False):
                    if kind == "a":
                        at = builder.add(place, builder.mul(row, row_bytes))
                        given[key] = line.load(at, real)
                if last:
                    at = builder.add(weights, builder.mul(row, itemsize))
                    of_row = builder.load(builder.inttoptr(at, real.as_pointer()), align=1)
                    if real != DOUBLE:
                        of_row = builder.fpext(of_row, DOUBLE)
                    given[last] = emit_splat(builder, of_row, DOUBLES)
                (terms,) = emit_program(builder, program, [given])
                for total, term in zip(sums, terms, strict=True):
                    builder.store(builder.fadd(builder.load(total), term), total)
            for total, out in zip(sums, outs, strict=True):
                added = builder.fadd(line.load(out, DOUBLE), builder.load(total))
                line.store(added, out, DOUBLE)

        _for_lines(builder, length, emit)
        return context.get_dummy_value()

    address = types.intp
    signature = types.void(
        *(array, types.UniTuple(address, len(places)), address, types.intp, types.intp, what),
    )
    return signature, codegen


@intrinsic(prefer_literal=True)
def map_rows(typingctx, array, places, steps, n_rows, length, divisor, what):
    """Run a program of float64 for `length` elements of at most LANES rows.

    `places` are the addresses of the first rows, and `steps` the distances to the next ones. `what`
    is a constant: the name of a function of moments.py; for each of its inputs, whether it is a row
    of float64 (d) or of the dtype of `array` (a); for each of its results, whether it is written to
    such a row, or (+) summed over the columns of a line, giving a line of float64 with one sum per
    row. All results but the first are divided by `divisor`.
    """
    name, inputs, results = what.literal_value.split(":")[:3]
    names, program = row_program(name, "divisor")
    dtype = array.dtype

    def codegen(context, builder, signature, arguments):
        _, places, steps, n_rows, length, divisor, _ = arguments
        places = cgutils.unpack_tuple(builder, places)
        steps = cgutils.unpack_tuple(builder, steps)
        element = {"a": context.get_data_type(dtype), "d": DOUBLE}
        divisor = emit_splat(builder, divisor, DOUBLES)
        last = builder.sub(n_rows, INT64(1))

        def at_row(row):
            """Return the addresses for a row, or for the last row if there are fewer."""
            there = builder.icmp_signed("<", INT64(row), last)
            row = builder.select(there, INT64(row), last)
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
            results_of_row = [emit_program(builder, program, [given])[0] for given in rows]
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
    """A line of float64 in rows, starting at column `index`; a mask marks the valid part.

    Elements of rows have a type. Invalid ones are read as 0, and not written.
    """

    def __init__(self, builder, index, mask):
        self.builder, self.index, self.mask = builder, index, mask

    def load(self, row, element):
        pointer = self._pointer(row, element)
        if self.mask is None:
            line = self.builder.load(pointer, align=1)
        else:
            line = self._masked("load", pointer, [], [ir.Constant(pointer.type.pointee, None)])
        return line if element == DOUBLE else self.builder.fpext(line, DOUBLES)

    def store(self, line, row, element):
        pointer = self._pointer(row, element)
        if element != DOUBLE:
            line = self.builder.fptrunc(line, pointer.type.pointee)
        if self.mask is None:
            self.builder.store(line, pointer, align=1)
        else:
            self._masked("store", pointer, [line], [])

    def store_sums(self, lines, row):
        """Store the sum of the columns of each of LANES lines, by a binary tree."""
        if self.mask is not None:
            nothing = ir.Constant(DOUBLES, [-0.0] * LANES)  # adding -0.0 changes no sum
            lines = [self.builder.select(self.mask, line, nothing) for line in lines]
        while len(lines) > 1:
            lines = [self._sums_of_pairs(*lines[i : i + 2]) for i in range(0, len(lines), 2)]
        self.builder.store(lines[0], self._pointer(row, DOUBLE), align=8)

    def _sums_of_pairs(self, *lines):
        which = ir.VectorType(INT32, LANES)
        halves = (
            self.builder.shuffle_vector(*lines, ir.Constant(which, list(range(k, 2 * LANES, 2))))
            for k in range(2)
        )
        return self.builder.fadd(*halves)

    def _pointer(self, row, element):
        size = 8 if element == DOUBLE else 4
        address = self.builder.add(row, self.builder.mul(self.index, INT64(size)))
        return self.builder.inttoptr(address, ir.VectorType(element, LANES).as_pointer())

    def _masked(self, name, pointer, before, after):
        line = pointer.type.pointee
        kind = f"v{LANES}f{64 if line == DOUBLES else 32}"
        arguments = [*before, pointer, INT32(1), self.mask, *after]
        result = line if name == "load" else ir.VoidType()
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(result, [argument.type for argument in arguments]),
            f"llvm.masked.{name}.{kind}.p0{kind}",
        )
        return self.builder.call(function, arguments)


def _for_lines(builder, length, emit):
    """Call `emit` with a `_Line` for the whole lines of rows of that length, and for the rest."""
    whole = builder.and_(length, INT64(-LANES))
    with cgutils.for_range_slice(builder, INT64(0), whole, INT64(LANES), INT64) as (index, _):
        emit(_Line(builder, index, None))
    rest = builder.sub(length, whole)
    with builder.if_then(builder.icmp_signed(">", rest, INT64(0))):
        columns = ir.Constant(ir.VectorType(INT64, LANES), list(range(LANES)))
        mask = builder.icmp_signed("<", columns, emit_splat(builder, rest, columns.type))
        emit(_Line(builder, whole, mask))
