"""Vector instructions for Numba, and why the loops are made of them.

Numba leaves it to LLVM whether a loop is vectorized, and LLVM does not vectorize the non-temporal
stores with which large results are written past the cache. So the innermost loop is written as
LLVM vectors of 64 bytes (a cache line; LLVM splits them on lesser processors). Its operations carry
no fast-math flags, so that nothing is contracted or reassociated. Addresses are plain integers.
"""

from __future__ import annotations

from llvmlite import ir

INT8, INT32, INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def emit_splat(builder, value, line):
    """Emit a vector of one number."""
    vector = builder.insert_element(ir.Constant(line, ir.Undefined), value, INT32(0))
    first = ir.Constant(ir.VectorType(INT32, line.count), [0] * line.count)
    return builder.shuffle_vector(vector, vector, first)
