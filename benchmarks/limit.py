"""How fast this machine can write: fills of a float32 array by all cores, with nothing to compute.

The work is cut into pieces and given to threads as the library does it. The fills write a number
whose bytes are all the same, so that it can be a memset, and not zero: some processors write lines
of zeros three times as fast as any other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from multisubnet._backends.numba import engine
from multisubnet._backends.numba.lines import LINE
from multisubnet._backends.numba.llvm.memory import fence, stream_line
from multisubnet._backends.numba.threads import count, run

_FLOATS = LINE // 4
_VALUE = float(np.frombuffer(b"????", np.float32)[0])


@njit(nogil=True)
def plain(flat: np.ndarray, start: int, stop: int) -> None:
    """Fill elements start to stop through the cache; LLVM makes a memset of it."""
    flat[start:stop] = _VALUE


@njit(nogil=True)
def streaming(flat: np.ndarray, start: int, stop: int) -> None:
    """Fill elements start to stop, at least two lines of them, past the cache."""
    address = flat.ctypes.data
    source = -(-(address + 4 * start) // LINE) * LINE
    end = (address + 4 * stop) // LINE * LINE
    flat[start : (source - address) // 4 + _FLOATS] = _VALUE  # to the end of the first whole line
    for line in range(source + LINE, end, LINE):
        stream_line(line, source)
    flat[(end - address) // 4 : stop] = _VALUE
    fence()


def fill(kernel: Callable[..., None], out: np.ndarray) -> np.ndarray:
    """Fill `out`, by `plain` or `streaming`, on as many threads as it is worth."""
    flat = out.reshape(-1)
    threads = count(out.nbytes >> 19)
    if threads == 1:
        kernel(flat, 0, flat.size)
        return out
    step = -(-flat.size // (threads * engine._PIECES))
    pieces = ((start, min(start + step, flat.size)) for start in range(0, flat.size, step))
    run(lambda start, stop: kernel(flat, start, stop), pieces, threads)
    return out
