"""A row of affine values with their activation, as vector instructions."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from multisubnet._arithmetic.activation import program_of
from multisubnet._backends.numba.lines import LINE
from multisubnet._backends.numba.llvm.programs import recipe_function
from multisubnet._backends.numba.llvm.vectors import INT32, INT64

_UNROLLED = 4  # lines in the innermost loop


def _affine(builder, dtype, x, y, z):
    """Emit x * y + z, or x * y if z is None: each operation rounded once, integers wrapping."""
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


def _resized(builder, vector, n: int):
    """Emit a vector of n numbers; those missing in the given one are 0."""
    count = vector.type.count
    which = [min(i, count) for i in range(n)]
    zeros = ir.Constant(vector.type, None)
    return builder.shuffle_vector(vector, zeros, ir.Constant(ir.VectorType(INT32, n), which))


@intrinsic(prefer_literal=True)
def affine_row(typingctx, out, target, x, y, z, length, has_z, streaming, activation, parameter):
    """Write activation(x * y + z), or activation(x * y), for `length` elements.

    They have the dtype of `out` and are written at `target`, which may coincide with an operand.
    With `streaming`, the result starts at a line, consists of whole lines and bypasses the cache;
    `fence` must follow before others read it. `activation` is a constant that begins with the key
    of a recipe.
    """
    dtype = out.dtype
    itemsize = 1 if isinstance(dtype, types.Boolean) else dtype.bitwidth // 8
    lanes = LINE // itemsize
    key = activation.literal_value.split()[0]
    program = program_of(key, as_dtype(dtype)) if key != "linear" else None

    def codegen(context, builder, signature, arguments):
        _, target, x, y, z, length, has_z, streaming, _, parameter = arguments
        scalar = context.get_data_type(dtype)
        nontemporal = builder.module.add_metadata([INT32(1)])
        if not isinstance(dtype, types.Boolean):
            parameter = context.cast(builder, parameter, types.float64, dtype)

        def emit(places, n, with_z, streams):
            kind = ir.VectorType(scalar, n)

            def at(address, i):
                offset = builder.mul(i, INT64(itemsize))
                return builder.inttoptr(builder.add(address, offset), kind.as_pointer())

            results = []
            for i in places:
                # Numba may treat an unaligned array as aligned.
                operands = [builder.load(at(a, i), align=1) for a in (x, y)]
                operands.append(builder.load(at(z, i), align=1) if with_z else None)
                results.append(_affine(builder, dtype, *operands))
            if program is not None:
                count = len(places)
                function = recipe_function(builder.module, program, key, scalar, lanes, count)
                whole = results if n == lanes else [_resized(builder, x, lanes) for x in results]
                whole = builder.call(function, [*whole, parameter])
                whole = [builder.extract_value(whole, k) for k in range(count)]
                results = whole if n == lanes else [_resized(builder, x, n) for x in whole]
            for i, result in zip(places, results, strict=True):
                store = builder.store(result, at(target, i), align=LINE if streams else 1)
                if streams:
                    store.set_metadata("nontemporal", nontemporal)

        def lines(start, stop, count, with_z, streams):
            step = INT64(count * lanes)
            with cgutils.for_range_slice(builder, start, stop, step, INT64) as (i, _):
                places = [builder.add(i, INT64(k * lanes)) for k in range(count)]
                emit(places, lanes, with_z, streams)

        def row(with_z, streams):
            unrolled = builder.and_(length, INT64(-_UNROLLED * lanes))
            whole = builder.and_(length, INT64(-lanes))
            lines(INT64(0), unrolled, _UNROLLED, with_z, streams)
            lines(unrolled, whole, 1, with_z, streams)
            if streams:
                return
            # The rest has fewer lanes than a line: emit a half, a quarter and so on.
            n = lanes // 2
            while n:
                rest = builder.and_(length, INT64(n))
                with builder.if_then(builder.icmp_unsigned("!=", rest, INT64(0))):
                    emit([builder.and_(length, INT64(-2 * n))], n, with_z, False)
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
