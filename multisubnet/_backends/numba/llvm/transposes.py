"""Vector instructions for Numba: transposes between rows of samples and rows of features."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from multisubnet._backends.numba.llvm.vectors import INT32, INT64, emit_splat

_DOUBLE = ir.DoubleType()


class _Square:
    """Emits operations on squares with as many rows as a vector has lanes."""

    def __init__(self, builder, real, itemsize: int, lanes: int):
        self.builder, self.itemsize, self.lanes = builder, itemsize, lanes
        self.vector = ir.VectorType(real, lanes)

    def at(self, address, row, step, column=None):
        """Return the address of an element, where rows are `step` bytes apart."""
        address = self.builder.add(address, self.builder.mul(row, step))
        if column is None:
            return address
        return self.builder.add(address, self.builder.mul(column, INT64(self.itemsize)))

    def load(self, address):
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        return self.builder.load(pointer, align=self.itemsize)

    def store(self, vector, address):
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        self.builder.store(vector, pointer, align=self.itemsize)

    def mask(self, count):
        """Return a mask of the first `count` lanes."""
        kind = ir.VectorType(INT64, self.lanes)
        numbers = ir.Constant(kind, list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, emit_splat(self.builder, count, kind))

    def load_first(self, address, mask):
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        nothing = ir.Constant(self.vector, None)
        return self._masked("load", self.vector, [pointer], [mask, nothing])

    def store_first(self, vector, address, mask):
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        self._masked("store", ir.VoidType(), [vector, pointer], [mask])

    def _masked(self, name, result, before, after):
        kind = f"v{self.lanes}f{8 * self.itemsize}"
        arguments = [*before, INT32(self.itemsize), *after]
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(result, [argument.type for argument in arguments]),
            f"llvm.masked.{name}.{kind}.p0{kind}",
        )
        return self.builder.call(function, arguments)

    def interleaved(self, vectors):
        """Return vectors in which the elements of the given ones alternate.

        If there are as many vectors as lanes, that is the transpose.
        """
        numbers = list(range(self.lanes))
        kind = ir.VectorType(INT32, self.lanes)
        halves = [numbers[: self.lanes // 2], numbers[self.lanes // 2 :]]
        orders = [
            ir.Constant(kind, [x for i in half for x in (i, i + self.lanes)]) for half in halves
        ]
        for _ in range(len(vectors).bit_length() - 1):
            pairs = zip(vectors[: len(vectors) // 2], vectors[len(vectors) // 2 :], strict=True)
            vectors = [
                self.builder.shuffle_vector(one, other, order)
                for one, other in pairs
                for order in orders
            ]
        return vectors

    def for_squares(self, length):
        """Loop over the beginnings of squares along an axis."""
        step = INT64(self.lanes)
        return cgutils.for_range_slice(self.builder, INT64(0), length, step, INT64)


def square_of(context, builder, dtype, lanes) -> _Square:
    return _Square(builder, context.get_data_type(dtype), dtype.bitwidth // 8, lanes)


@intrinsic(prefer_literal=True)
def columns_of(typingctx, array, source, step, n_rows, n_columns, out, row, lanes):
    """Write the columns of rows, `step` bytes apart, to rows of `row` bytes at `out`.

    Rows and columns are written up to a multiple of `lanes`.
    """
    dtype, n_lanes = array.dtype, lanes.literal_value

    def codegen(context, builder, signature, arguments):
        _, source, step, n_rows, n_columns, out, row, _ = arguments
        square = square_of(context, builder, dtype, n_lanes)
        last = builder.sub(n_rows, INT64(1))
        with square.for_squares(n_columns) as (column, _):
            rest = builder.sub(n_columns, column)
            mask = square.mask(rest)
            with square.for_squares(n_rows) as (first, _):
                vectors = []
                for i in range(n_lanes):
                    number = builder.add(first, INT64(i))
                    number = builder.select(builder.icmp_signed("<", number, last), number, last)
                    at = square.at(source, number, step, column)
                    vectors.append(square.load_first(at, mask))
                for i, vector in enumerate(square.interleaved(vectors)):
                    at = square.at(out, builder.add(column, INT64(i)), row, first)
                    square.store(vector, at)
        return context.get_dummy_value()

    address = types.intp
    signature = types.void(
        array, address, address, types.intp, types.intp, address, types.intp, lanes
    )
    return signature, codegen


@intrinsic(prefer_literal=True)
def write_columns(typingctx, array, source, row, n_rows, n_columns, out, step, lanes):
    """Write the columns of rows of `row` bytes to rows at `out` that are `step` bytes apart.

    Rows and columns are read, but not written, up to a multiple of `lanes`.
    """
    dtype, n_lanes = array.dtype, lanes.literal_value

    def codegen(context, builder, signature, arguments):
        _, source, row, n_rows, n_columns, out, step, _ = arguments
        square = square_of(context, builder, dtype, n_lanes)
        row_bytes = builder.mul(n_rows, INT64(square.itemsize))
        dense = builder.icmp_signed("==", row_bytes, step)

        def alternate(count):
            """Emit the values that form contiguous rows without gaps."""
            with square.for_squares(n_columns) as (column, _):
                vectors = [
                    square.load(square.at(source, INT64(i), row, column)) for i in range(count)
                ]
                vectors = square.interleaved(vectors)
                at = square.at(out, column, step)
                rest = builder.mul(builder.sub(n_columns, column), INT64(count))
                whole = builder.icmp_signed(">=", rest, INT64(count * n_lanes))
                with builder.if_else(whole) as (then, otherwise):
                    with then:
                        for i, vector in enumerate(vectors):
                            offset = INT64(i * n_lanes * square.itemsize)
                            square.store(vector, builder.add(at, offset))
                    with otherwise:
                        for i, vector in enumerate(vectors):
                            offset = INT64(i * n_lanes * square.itemsize)
                            mask = square.mask(builder.sub(rest, INT64(i * n_lanes)))
                            square.store_first(vector, builder.add(at, offset), mask)

        def squares():
            scratch = cgutils.alloca_once(builder, square.vector, n_lanes)
            with square.for_squares(n_rows) as (first, _):
                mask = square.mask(builder.sub(n_rows, first))
                with square.for_squares(n_columns) as (column, _):
                    vectors = [
                        square.load(square.at(source, builder.add(first, INT64(i)), row, column))
                        for i in range(n_lanes)
                    ]
                    vectors = square.interleaved(vectors)
                    count = builder.sub(n_columns, column)
                    whole = builder.icmp_signed(">=", count, INT64(n_lanes))
                    with builder.if_else(whole) as (then, otherwise):
                        with then:
                            for i, vector in enumerate(vectors):
                                at = square.at(out, builder.add(column, INT64(i)), step, first)
                                square.store_first(vector, at, mask)
                        with otherwise:
                            for i, vector in enumerate(vectors):
                                builder.store(vector, builder.gep(scratch, [INT32(i)]))
                            with cgutils.for_range(builder, count) as loop:
                                vector = builder.load(builder.gep(scratch, [loop.index]))
                                number = builder.add(column, loop.index)
                                at = square.at(out, number, step, first)
                                square.store_first(vector, at, mask)

        def choose(counts):
            if not counts:
                return squares()
            count, *others = counts
            same = builder.and_(dense, builder.icmp_signed("==", n_rows, INT64(count)))
            with builder.if_else(same) as (then, otherwise):
                with then:
                    alternate(count)
                with otherwise:
                    choose(others)

        choose([count for count in (1, 2, 4, 8) if count < n_lanes])
        return context.get_dummy_value()

    address = types.intp
    signature = types.void(
        array, address, types.intp, types.intp, types.intp, address, types.intp, lanes
    )
    return signature, codegen


@intrinsic(prefer_literal=True)
def fill(typingctx, address, value, count):
    """Write a float64 `count` times."""

    def codegen(context, builder, signature, arguments):
        address, value, count = arguments
        start = builder.inttoptr(address, _DOUBLE.as_pointer())
        with cgutils.for_range(builder, count) as loop:
            builder.store(value, builder.gep(start, [loop.index]), align=8)
        return context.get_dummy_value()

    return types.void(types.intp, types.float64, types.intp), codegen


@intrinsic(prefer_literal=True)
def narrow(typingctx, array, source, out, count):
    """Round `count` float64 at `source` to the dtype of `array`, and write them to `out`."""
    dtype = array.dtype

    def codegen(context, builder, signature, arguments):
        _, source, out, count = arguments
        real = context.get_data_type(dtype)
        source = builder.inttoptr(source, _DOUBLE.as_pointer())
        out = builder.inttoptr(out, real.as_pointer())
        with cgutils.for_range(builder, count) as loop:
            value = builder.load(builder.gep(source, [loop.index]), align=8)
            if real != _DOUBLE:
                value = builder.fptrunc(value, real)
            builder.store(value, builder.gep(out, [loop.index]), align=dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp), codegen


@intrinsic
def places_of(typingctx, arrays, n, s):
    """Return the addresses of set n and network s in arrays (N or 1, S, ...)."""

    def codegen(context, builder, signature, arguments):
        found = emit_places(context, builder, arrays, *arguments)
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.intp, len(arrays))(arrays, types.intp, types.intp), codegen


def emit_places(context, builder, arrays, given, n, s):
    """Emit the addresses of set n and network s in a tuple `given` of arrays."""
    found = []
    for kind, value in zip(arrays, cgutils.unpack_tuple(builder, given), strict=True):
        array = context.make_array(kind)(context, builder, value)
        shape = cgutils.unpack_tuple(builder, array.shape)
        strides = cgutils.unpack_tuple(builder, array.strides)
        shared = builder.icmp_signed("==", shape[0], INT64(1))
        at = builder.ptrtoint(array.data, INT64)
        step = builder.select(shared, INT64(0), strides[0])
        at = builder.add(at, builder.mul(n, step))
        found.append(builder.add(at, builder.mul(s, strides[1])))
    return found
