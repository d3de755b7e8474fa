"""The machine's limits: how fast it can write, and how fast it can multiply and add.

The work is cut into pieces and given to threads as the library does it. Fills write a number whose
bytes are all the same, so that it can be a memset, and not zero: some processors write lines of
zeros three times as fast as any other.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from multisubnet._backends.numba import mlp_engine, threads
from multisubnet._backends.numba.lines import LINE
from multisubnet._backends.numba.llvm.memory import fence, stream_line
from multisubnet._backends.numba.llvm.vectors import INT64, emit_splat

_VALUE = float(np.frombuffer(b"????", np.float32)[0])
_CHAINS = 12  # of products and of sums
_LANES = mlp_engine._lanes(np.dtype(np.float32))


@njit(nogil=True)
def _plain(flat: np.ndarray, start: int, stop: int) -> None:
    flat[start:stop] = _VALUE  # LLVM makes a memset of it


@njit(nogil=True)
def _streaming(flat: np.ndarray, start: int, stop: int) -> None:
    address = flat.ctypes.data
    source = -(-(address + 4 * start) // LINE) * LINE
    end = (address + 4 * stop) // LINE * LINE
    flat[start : (source + LINE - address) // 4] = _VALUE  # to the end of the first whole line
    for line in range(source + LINE, end, LINE):
        stream_line(line, source)
    flat[(end - address) // 4 : stop] = _VALUE
    fence()


def fill(kernel: str, out: np.ndarray) -> np.ndarray:
    """Fill `out`, through the cache or past it, on as many threads as it is worth."""
    flat, fill_part = out.reshape(-1), {"plain": _plain, "streaming": _streaming}[kernel]
    n_threads = threads.count(out.nbytes >> 19)
    if n_threads == 1:
        fill_part(flat, 0, flat.size)
    else:
        step = -(-flat.size // (n_threads * 16))
        pieces = ((start, min(start + step, flat.size)) for start in range(0, flat.size, step))
        threads.run(lambda *piece: fill_part(flat, *piece), pieces, n_threads)
    return out


@intrinsic
def _multiply_and_add(typingctx, out, turns):
    def codegen(context, builder, signature, arguments):
        address, turns = arguments
        vector = ir.VectorType(ir.FloatType(), _LANES)
        factor = builder.load(builder.inttoptr(address, ir.FloatType().as_pointer()))
        factor = emit_splat(builder, factor, vector)
        products, sums = (
            [cgutils.alloca_once_value(builder, factor) for _ in range(_CHAINS)] for _ in range(2)
        )
        with cgutils.for_range(builder, turns):
            for product, total in zip(products, sums, strict=True):
                value = builder.fmul(builder.load(product), factor)
                builder.store(value, product)
                builder.store(builder.fadd(builder.load(total), value), total)
        total = builder.load(sums[0])
        for other in sums[1:]:
            total = builder.fadd(total, builder.load(other))
        place = builder.inttoptr(builder.add(address, INT64(64)), vector.as_pointer())
        builder.store(total, place, align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@njit(nogil=True)
def _turn(memory, turns):
    _multiply_and_add(memory.ctypes.data, turns)


def multiply_and_add(n_products: int) -> None:
    """Add so many float32 products to sums in registers, on as many threads as it is worth."""
    n_threads = threads.count(n_products >> 20)
    turns = -(-n_products // (n_threads * _CHAINS * _LANES))
    memory = np.ones((n_threads, 64), np.float32)
    pieces = ((i,) for i in range(n_threads))
    threads.run(lambda i: _turn(memory[i], turns), pieces, n_threads)
