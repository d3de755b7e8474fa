"""Copies, stores that bypass the cache, fences, and scratch memory on the stack."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from multisubnet._backends.numba.lines import LINE
from multisubnet._backends.numba.llvm.vectors import INT8, INT32, INT64, is_x86


@intrinsic
def copy(typingctx, target, source, n_bytes):
    """Copy bytes that do not overlap."""

    def codegen(context, builder, signature, arguments):
        target, source, n_bytes = arguments
        pointers = (builder.inttoptr(a, INT8.as_pointer()) for a in (target, source))
        cgutils.raw_memcpy(builder, *pointers, n_bytes, 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


@intrinsic
def splat(typingctx, target, source, step, n_bytes):
    """Write the line at `source` at every `step` of `n_bytes`; later lines overwrite earlier."""

    def codegen(context, builder, signature, arguments):
        target, source, step, n_bytes = arguments
        kind = ir.VectorType(INT64, LINE // 8)
        line = builder.load(builder.inttoptr(source, kind.as_pointer()), align=1)
        with cgutils.for_range_slice(builder, INT64(0), n_bytes, step, INT64) as (i, _):
            builder.store(
                line, builder.inttoptr(builder.add(target, i), kind.as_pointer()), align=1
            )
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def stream_line(typingctx, target, source):
    """Copy one line, bypassing the cache; both addresses are multiples of LINE."""

    def codegen(context, builder, signature, arguments):
        line = ir.VectorType(INT64, LINE // 8)
        target, source = (builder.inttoptr(a, line.as_pointer()) for a in arguments)
        store = builder.store(builder.load(source, align=LINE), target, align=LINE)
        store.set_metadata("nontemporal", builder.module.add_metadata([INT32(1)]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@intrinsic
def fence(typingctx):
    """Make streamed lines visible before anything stored later."""

    def codegen(context, builder, signature, arguments):
        if is_x86():
            emit_call(builder, "llvm.x86.sse.sfence")
        else:
            builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


def emit_call(builder, name):
    """Emit an instruction without operands."""
    function = ir.FunctionType(ir.VoidType(), [])
    builder.call(cgutils.get_or_insert_function(builder.module, function, name), [])


@intrinsic
def numbers_at(typingctx, address, count, array):
    """Return `count` numbers at an address, of the dtype of an array, as an array."""
    kind = types.Array(array.dtype, 1, "C")

    def codegen(context, builder, signature, arguments):
        address, count, _ = arguments
        real = context.get_data_type(kind.dtype)
        itemsize = INT64(context.get_abi_sizeof(real))
        found = context.make_array(kind)(context, builder)
        populate_array(
            found,
            data=builder.inttoptr(address, real.as_pointer()),
            shape=[count],
            strides=[itemsize],
            itemsize=itemsize,
            meminfo=None,
        )
        return found._getvalue()

    return kind(types.intp, types.intp, array), codegen


def stack(n_bytes):
    """Return a function for compiled code that returns the address of this many stack bytes."""

    @intrinsic
    def on_stack(typingctx):
        def codegen(context, builder, signature, arguments):
            with builder.goto_entry_block():
                memory = builder.alloca(ir.ArrayType(INT8, n_bytes))
                memory.align = LINE
            return builder.ptrtoint(memory, INT64)

        return types.intp(), codegen

    return on_stack
