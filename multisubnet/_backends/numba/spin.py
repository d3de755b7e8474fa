"""A look-out for a number that another thread changes, in compiled code."""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic

from multisubnet._backends.numba.jit import fingerprint, jit
from multisubnet._backends.numba.llvm.memory import emit_call
from multisubnet._backends.numba.llvm.vectors import INT64, is_x86


@intrinsic
def _look_out(typingctx, address, seen, turns):
    """Return whether an int64 is not what was seen, having waited for it so many turns at most."""

    def codegen(context, builder, signature, arguments):
        address, seen, turns = arguments
        pointer = builder.inttoptr(address, INT64.as_pointer())
        changed = cgutils.alloca_once_value(builder, cgutils.false_bit)
        with cgutils.for_range(builder, turns) as loop:
            now = builder.load_atomic(pointer, "acquire", 8)
            is_new = builder.icmp_signed("!=", now, seen)
            builder.store(is_new, changed)
            with builder.if_then(is_new):
                loop.do_break()
            if is_x86():
                emit_call(builder, "llvm.x86.sse2.pause")
        return builder.load(changed)

    return types.boolean(types.intp, types.intp, types.intp), codegen


def _specialized(fingerprint: int):
    def look_out(number, seen, turns):
        """Return whether the number is not what was seen, soon or as soon as that is so."""
        _ = fingerprint
        return _look_out(number.ctypes.data, seen, turns)

    return look_out


def compiled_look_out() -> Any:
    """Return a function of an array of one int64, what was seen in it, and a number of turns."""
    signature = types.boolean(types.Array(types.int64, 1, "C"), types.intp, types.intp)
    return jit(_specialized(fingerprint()), signature)
