"""Evaluation of a validated call: allocates the result and calls the backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from multisubnet._arithmetic import float_mode
from multisubnet._arithmetic.float_mode import ONE, SMALLEST
from multisubnet._arrays import dtypes, namespaces, validation
from multisubnet._backends.affine_call import AffineCall
from multisubnet._backends.choice import choose, load
from multisubnet._backends.mlp_call import MlpCall

_CACHED_BYTES = 1 << 21  # of values that a CPU reads several times ...
_LEAST_ROWS = 16  # ... but weights are read again for each block of samples
_LINE = 16  # samples whose values fill whole cache lines


def run(
    xp: ModuleType,
    call: AffineCall | MlpCall,
    out: Any = None,
    sets_second: int = 0,
    set_index: Any = None,
) -> Any:
    """Return the result of a call, in `out` if given.

    The operands, `out` and the result are arrays of `xp`. `sets_second` exchanges the first two
    axes of the result. `set_index` gives one set per sample; the result then has no set axis.
    """
    if SMALLEST * ONE == 0.0:  # this thread flushes subnormals
        with float_mode.subnormals_kept():
            return run(xp, call, out, sets_second, set_index)
    if xp is not np and not namespaces.is_on_current_device(call.samples):
        with call.samples.device:
            return run(xp, call, out, sets_second, set_index)

    name, shape = call.function, call.shape
    if set_index is not None:
        name, shape = name + "_select", shape[1:]
    if sets_second:
        shape = shape[1], shape[0], *shape[2:]
    if out is not None:
        validation.check_out(xp, out, shape, call.dtype)
    backend = choose(name, xp, call.working_dtype, shape, out, call.recipe)
    evaluate: Any
    try:
        evaluate = getattr(backend, name)
    except AttributeError:
        backend = load("numpy")
        evaluate = getattr(backend, name)
    moves = backend.ARRAYS != ("numpy" if xp is np else xp.__name__)
    if moves and xp is np and set_index is None:
        from multisubnet._backends.cupy import host_arrays

        evaluate, moves = getattr(host_arrays, name), False
    if moves:
        call = call.with_arrays(backend.copy_from_other)
        set_index = None if set_index is None else backend.copy_from_other(set_index)
    if out is None:
        result = (backend if moves else xp).empty(shape, call.dtype)
    elif moves:
        # The backend rounds to the dtype of `out`; the rest only moves bytes.
        result = backend.empty(shape, dtypes.native(out.dtype))
    else:
        result = np.asarray(out) if xp is np else out
    ordered = result.swapaxes(0, 1) if sets_second else result
    if out is not None and not moves:
        call = call.unaliased(ordered)
        set_index = None if set_index is None else validation.unaliased(ordered, set_index)
    if set_index is None:
        evaluate(call, ordered)
    else:
        evaluate(call, set_index, ordered)
    if moves:
        result = load(xp.__name__).copy_from_other(result)
        if out is not None:
            out[...] = result
    return result if out is None else out


def run_again(xp: ModuleType, call: AffineCall | MlpCall, last: Any) -> Any:
    """Return the result of a call, in the memory of the last result if that has its shape.

    If each result were a new array, the system would take its memory back and clear it each time.
    """
    return run(xp, call, last if last is not None and last.shape == call.shape else None)


def columns_in_cache(columns: int, column_bytes: int, width: int) -> int:
    """Return how many of some columns to compute at once on a CPU, so that its cache holds them.

    A column has the values of all sets; a sample has `width` columns.
    """
    return min(columns, max(_CACHED_BYTES // column_bytes, _LEAST_ROWS * width, 1))


def in_whole_lines(rows: int, n_rows: int) -> int:
    """Return how many of `n_rows` samples to compute at once, at most `rows`."""
    return rows - rows % _LINE if _LINE < rows < n_rows else rows


def cast(array: Any, dtype: np.dtype) -> Any:
    """Return a NumPy or CuPy array in another dtype, each element rounded once.

    On the GPU this package's own kernel converts, because CuPy's flush float32 subnormals to zero.
    """
    if array.dtype == dtype:
        return array
    xp = namespaces.namespace({"array": array})
    if xp is np:
        rounded = np.empty(array.shape, dtype)
        dtypes.copyto(rounded, array)
        return rounded
    backend = load("cupy")
    with namespaces.device_of(array):
        result = backend.empty(array.shape, dtype)
        one = backend.copy_from_other(np.ones((1, 1), array.dtype))
        call = AffineCall.linear(array.reshape(-1, 1), one, array.dtype)
        backend.affine(call, result.reshape(1, -1, 1))
    return result
