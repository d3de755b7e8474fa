"""Sums of runs of summands, as vector instructions."""

from __future__ import annotations

from itertools import islice

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from multisubnet._arithmetic.summands import EACH, HELD, OPERANDS, SCALAR, STREAMED, Summands
from multisubnet._arithmetic.summation_order import RUN
from multisubnet._backends.numba.lines import LINE
from multisubnet._backends.numba.llvm.programs import SHORT, emit_program
from multisubnet._backends.numba.llvm.vectors import INT64, emit_splat

# Recipes of up to this many operations are evaluated for two summed indices at once. Longer ones
# have more values than registers already. docs/cpu.md has the measurements.
_MEDIUM = 64
_AT_ONCE_OF_ONE = 4  # summed indices at once for a single row


def _count_at_once(n_rows: int, cost: int) -> int:
    """Return how many summed indices to evaluate at once, so that few operations wait."""
    if cost <= SHORT:
        return 1
    if n_rows == 1:
        return _AT_ONCE_OF_ONE
    return 2 if cost <= _MEDIUM else 1


@intrinsic(prefer_literal=True)
def add_runs(typingctx, array, places, begins, steps, out, start, stop, parameter, what):
    """Add the sums of runs of terms to the float64 totals of a tile: rows of a line of columns.

    `places` are the addresses of the operands, in the order of OPERANDS, and `begins` the offsets
    of the tile from there, in held, streamed and other operands. `steps` lead to the next row of a
    held operand, to the next summed index of a streamed one, and to the next row and index of
    others; `out` has the address of the first row's totals, the step to the next row and the step
    to the next output. All are in bytes. The summed indices are start to stop, where start begins a
    run. `what` is a constant: the rows, the dependence of each operand, and the key of the terms.
    """
    dtype = array.dtype
    count, kinds, key = what.literal_value.split(":")[:3]
    n_rows = int(count)
    kind_of = dict(zip(OPERANDS, kinds, strict=True))
    program = Summands.of_key(key).program(as_dtype(dtype))
    at_once = _count_at_once(n_rows, program.cost)

    def codegen(context, builder, signature, arguments):
        _, places, begins, steps, out, start, stop, parameter, _ = arguments
        real = context.get_data_type(dtype)
        line = ir.VectorType(real, LINE * 8 // dtype.bitwidth)
        wide = ir.VectorType(ir.DoubleType(), line.count)
        mask = ir.VectorType(ir.IntType(1), line.count)
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
        parameter = emit_splat(builder, parameter, line)
        held = {
            name: [load(moved(place[name], (INT64(row), held_row)), line) for row in range(n_rows)]
            for name in OPERANDS
            if kind_of[name] == HELD
        }

        def rows_at(index):
            """Emit the loads of the operands of all rows at a summed index."""
            given = {"parameter": parameter}
            for name, kind in kind_of.items():
                if kind == STREAMED:
                    given[name] = load(moved(place[name], (index, streamed_index)), line)
                elif kind == SCALAR:
                    at = moved(place[name], (index, INT64(dtype.bitwidth // 8)))
                    given[name] = emit_splat(builder, load(at, real), line)
            rows = [dict(given) for _ in range(n_rows)]
            for row, given in enumerate(rows):
                for name, kind in kind_of.items():
                    if kind == HELD:
                        given[name] = held[name][row]
                    elif kind == EACH:
                        at = moved(place[name], (INT64(row), each_row), (index, each_index))
                        given[name] = load(at, line)
            return rows

        sums = [
            [cgutils.alloca_once(builder, line) for _ in program.results] for _ in range(n_rows)
        ]
        with cgutils.for_range_slice(builder, start, stop, INT64(RUN), INT64) as (first, _):
            end = builder.add(first, INT64(RUN))
            end = builder.select(builder.icmp_signed("<", end, stop), end, stop)
            for sums_of_row in sums:
                for total in sums_of_row:
                    builder.store(ir.Constant(line, None), total)
            with cgutils.for_range_slice(builder, first, end, INT64(at_once), INT64) as (index, _):
                rows, exists = rows_at(index), [None]
                for ahead in range(1, at_once):
                    following = builder.add(index, INT64(ahead))
                    exists.append(builder.icmp_signed("<", following, end))
                    rows += rows_at(builder.select(exists[ahead], following, index))
                terms_of_rows = iter(emit_program(builder, program, rows))
                for in_run in exists:
                    for totals, terms in zip(sums, islice(terms_of_rows, n_rows), strict=True):
                        for total, term in zip(totals, terms, strict=True):
                            known = builder.load(total)
                            more = builder.fadd(known, term)
                            if in_run is not None:
                                more = builder.select(
                                    emit_splat(builder, in_run, mask), more, known
                                )
                            builder.store(more, total)
            for row in range(n_rows):
                for number, total in enumerate(sums[row]):
                    of_run = builder.load(total)
                    if wide != line:
                        of_run = builder.fpext(of_run, wide)
                    at = moved(out, (INT64(row), out_row), (INT64(number), out_output))
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
