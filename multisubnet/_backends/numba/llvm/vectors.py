"""Vector instructions for Numba, and why the loops consist of them.

Numba leaves vectorization to LLVM, and LLVM does not vectorize the non-temporal stores with which
large results bypass the cache. The innermost loop is therefore written with LLVM vectors of 64
bytes (a cache line; LLVM splits them on processors with shorter vectors). Its operations have no
fast-math flags, so nothing is contracted or reassociated. Addresses are plain integers.
"""

from __future__ import annotations

import functools
import platform

from llvmlite import binding, ir
from numba.core.registry import cpu_target

INT8, INT32, INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def emit_splat(builder, value, line):
    """Emit a vector of one number."""
    vector = builder.insert_element(ir.Constant(line, ir.Undefined), value, INT32(0))
    first = ir.Constant(ir.VectorType(INT32, line.count), [0] * line.count)
    return builder.shuffle_vector(vector, vector, first)


def emit_load_splat(builder, address, offset: int, vector, itemsize: int):
    """Emit a vector of the number at an address plus a constant offset in bytes.

    Several instructions load a number and broadcast it to 64 bytes. Zen 4 executes those of the
    floating-point domain in the pipes that add and multiply, and those of the integer domain beside
    them. LLVM always uses the former, so the instruction is written out. Memory read in this way is
    not written by the same function.
    """
    if vector.count * itemsize == 64 and is_x86():
        binding.initialize_native_asmparser()
        name = "vpbroadcastd" if itemsize == 4 else "vpbroadcastq"
        kind = ir.FunctionType(vector, [INT64, INT64])
        load = ir.InlineAsm(kind, f"{name} ${{2:c}}($1), $0", "=v,r,i")
        return builder.call(load, [address, INT64(offset)], attrs=("nounwind", "readonly"))
    pointer = builder.inttoptr(builder.add(address, INT64(offset)), vector.element.as_pointer())
    return emit_splat(builder, builder.load(pointer, align=itemsize), vector)


def is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


@functools.cache
def has_fma() -> bool:
    """Return whether the target has fused multiply-adds; else LLVM calls a function for each."""
    features = cpu_target.target_context.codegen()._tm_features
    return "+fma," in f"{features}," or platform.machine().lower() in ("aarch64", "arm64")
