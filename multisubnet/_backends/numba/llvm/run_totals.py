"""Vector instructions for Numba: adding the sums of runs to totals in float64."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from multisubnet._backends.numba.llvm.transposes import square_of
from multisubnet._backends.numba.llvm.vectors import INT64

_DOUBLE = ir.DoubleType()


@intrinsic(prefer_literal=True)
def take_sums(typingctx, array, sums, totals, count, lanes):
    """Add `count` vectors of sums, of the dtype of `array`, to totals in float64; clear them."""
    dtype, n_lanes = array.dtype, lanes.literal_value

    def codegen(context, builder, signature, arguments):
        _, sums, totals, count, _ = arguments
        vector = ir.VectorType(context.get_data_type(dtype), n_lanes)
        wide = ir.VectorType(_DOUBLE, n_lanes)
        sums = builder.inttoptr(sums, vector.as_pointer())
        totals = builder.inttoptr(totals, wide.as_pointer())
        with cgutils.for_range(builder, count) as loop:
            place = builder.gep(sums, [loop.index])
            value = builder.load(place, align=8)
            builder.store(ir.Constant(vector, None), place, align=8)
            value = value if wide == vector else builder.fpext(value, wide)
            place = builder.gep(totals, [loop.index])
            builder.store(builder.fadd(builder.load(place, align=8), value), place, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, lanes), codegen


@intrinsic(prefer_literal=True)
def take_sums_of_runs(typingctx, array, sums, totals, count, n_runs, lanes):
    """Add vectors of the sums of some runs, one after the other, to totals; clear the sums.

    Sums and totals are read and written up to a multiple of `lanes`.
    """
    dtype, n_lanes = array.dtype, lanes.literal_value

    def codegen(context, builder, signature, arguments):
        _, sums, totals, count, n_runs, _ = arguments
        square = square_of(context, builder, dtype, n_lanes)
        wide = ir.VectorType(_DOUBLE, n_lanes)
        row = INT64(n_lanes * square.itemsize)
        of_runs = cgutils.alloca_once(builder, square.vector, n_lanes)
        with square.for_squares(count) as (first, _):
            vectors = []
            for i in range(n_lanes):
                at = square.at(sums, builder.add(first, INT64(i)), row)
                vectors.append(square.load(at))
                square.store(ir.Constant(square.vector, None), at)
            for i, vector in enumerate(square.interleaved(vectors)):
                builder.store(vector, builder.gep(of_runs, [INT64(i)]))
            at = builder.add(totals, builder.mul(first, INT64(8)))
            place = builder.inttoptr(at, wide.as_pointer())
            total = cgutils.alloca_once_value(builder, builder.load(place, align=8))
            with cgutils.for_range(builder, n_runs) as loop:
                value = builder.load(builder.gep(of_runs, [loop.index]))
                value = value if wide == square.vector else builder.fpext(value, wide)
                builder.store(builder.fadd(builder.load(total), value), total)
            builder.store(builder.load(total), place, align=8)
        return context.get_dummy_value()

    return types.void(array, *[types.intp] * 4, lanes), codegen
