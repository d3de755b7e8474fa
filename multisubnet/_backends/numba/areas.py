"""Memory of threads: areas of one array, each claimed by one piece of work at a time.

jit.py lists this file, and the modules of loops compile its functions. An area begins with a line
for a flag, which is not 0 while a piece uses the area.
"""

from __future__ import annotations

from multisubnet._backends.numba.lines import LINE
from multisubnet._backends.numba.llvm.atomics import load, replace, store


def clear(memory, size):
    """Make all areas of `size` bytes free, before the work is handed out."""
    begin = (memory.ctypes.data + LINE - 1) // LINE * LINE
    for i in range(len(memory) // size):
        store(begin + i * size, 0)


def claim(memory, size, worker):
    """Claim an area; return the address of its data. There must be one per thread.

    A worker starts to look at its own area, which is in its core's cache.
    """
    begin = (memory.ctypes.data + LINE - 1) // LINE * LINE
    n_areas = len(memory) // size
    i = worker % n_areas
    while load(begin + i * size) or not replace(begin + i * size, 0, 1):
        i = (i + 1) % n_areas
    return begin + i * size + LINE


def leave(address):
    """Release the area whose data is at an address."""
    store(address - LINE, 0)
