"""Atomic operations and calls by address, for Numba. Addresses are plain integers."""

from __future__ import annotations

import sys
import time

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from multisubnet._backends.numba.llvm.memory import emit_call
from multisubnet._backends.numba.llvm.vectors import INT32, INT64, is_x86


def _pointer(builder, address):
    return builder.inttoptr(address, INT64.as_pointer())


@intrinsic
def load(typingctx, address):
    """Return a word with acquire semantics: earlier stores of its writer are visible."""

    def codegen(context, builder, signature, arguments):
        return builder.load_atomic(_pointer(builder, *arguments), "seq_cst", 8)

    return types.intp(types.intp), codegen


@intrinsic
def store(typingctx, address, value):
    """Store a word with release semantics: a thread that loads it sees all earlier stores."""

    def codegen(context, builder, signature, arguments):
        address, value = arguments
        builder.store_atomic(value, _pointer(builder, address), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@intrinsic
def add(typingctx, address, value):
    """Add to a word, and return its previous value."""

    def codegen(context, builder, signature, arguments):
        address, value = arguments
        return builder.atomic_rmw("add", _pointer(builder, address), value, "seq_cst")

    return types.intp(types.intp, types.intp), codegen


@intrinsic
def replace(typingctx, address, old, new):
    """Store `new` in a word if it equals `old`; return whether it did."""

    def codegen(context, builder, signature, arguments):
        address, old, new = arguments
        pointer = _pointer(builder, address)
        result = builder.cmpxchg(pointer, old, new, "seq_cst", "seq_cst")
        return builder.extract_value(result, 1)

    return types.boolean(types.intp, types.intp, types.intp), codegen


@intrinsic
def pause(typingctx):
    """Tell the processor that this thread is spinning."""

    def codegen(context, builder, signature, arguments):
        if is_x86():
            emit_call(builder, "llvm.x86.sse2.pause")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def call_piece(typingctx, function, arguments, index, worker):
    """Call the C function ``int function(void *arguments, intptr_t index, intptr_t worker)``."""

    def codegen(context, builder, signature, values):
        address, *given = values
        function = ir.FunctionType(INT32, [INT64] * 3)
        result = builder.call(builder.inttoptr(address, function.as_pointer()), given)
        return builder.sext(result, INT64)

    return types.intp(*[types.intp] * 4), codegen


@intrinsic
def call_with(typingctx, function, arguments):
    """Call a C function that takes words and floats, a tuple, and returns an int, ignored."""

    def codegen(context, builder, signature, values):
        address, given = values
        kinds = [context.get_value_type(kind) for kind in arguments]
        function = ir.FunctionType(INT32, kinds)
        given = cgutils.unpack_tuple(builder, given)
        builder.call(builder.inttoptr(address, function.as_pointer()), given)
        return context.get_dummy_value()

    return types.void(types.intp, arguments), codegen


@intrinsic
def now(typingctx):
    """Return the nanoseconds of a monotonic clock."""

    def codegen(context, builder, signature, arguments):
        two = ir.ArrayType(INT64, 2)
        place = cgutils.alloca_once(builder, two)
        if sys.platform == "win32":
            kind, name = ir.FunctionType(INT32, [two.as_pointer()]), "QueryPerformanceCounter"
            clock = cgutils.get_or_insert_function(builder.module, kind, name)
            builder.call(clock, [place])
            ticks = builder.load(cgutils.gep_inbounds(builder, place, 0, 0))
            return builder.mul(ticks, INT64(100))  # of 10 MHz, in all current Windows versions
        kind, name = ir.FunctionType(INT32, [INT32, two.as_pointer()]), "clock_gettime"
        clock = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(clock, [INT32(time.CLOCK_MONOTONIC), place])
        seconds, rest = (builder.load(cgutils.gep_inbounds(builder, place, 0, i)) for i in range(2))
        return builder.add(builder.mul(seconds, INT64(1_000_000_000)), rest)

    return types.intp(), codegen
