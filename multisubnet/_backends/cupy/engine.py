"""The GPU backend: the kernels of cuda/, compiled by NVRTC on first use."""

from __future__ import annotations

import functools
import math
import operator
import struct
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.summands import OPERANDS, Summands
from multisubnet._backends.affine_call import AffineCall
from multisubnet._backends.cupy import sources
from multisubnet._backends.cupy.closed_form import Fused
from multisubnet._backends.cupy.launch import geometry
from multisubnet._backends.cupy.launch import operands as _operands
from multisubnet._backends.cupy.launch.affine import plan_affine, plan_affine_select
from multisubnet._backends.cupy.launch.operands import SECTOR, Launch
from multisubnet._backends.cupy.launch.sums import plan_finish, plan_sums
from multisubnet._backends.cupy.network_sums import NetworkSums
from multisubnet._backends.cupy.networks import Networks

NAME = "cupy"
ARRAYS = "cupy"

serves = _operands.serves

_ADDRESS = struct.Struct("<Q")

# CuPy copies host arrays through pinned memory, rounded up to a power of two bytes, and keeps it.
PINNED_BYTES = 1 << 25

# CuPy 14.0 and 14.1 recompile each template in each process, and 14.1 does not find its name.
_OLDEST = 14, 2


@functools.cache
def why_unavailable() -> str | None:
    """Return why no GPU can be used, or None if one can."""
    try:
        cupy = _import_cupy()
    except ImportError as error:
        return (
            f"CuPy cannot be imported ({error}); for a driver of CUDA 12, "
            f"pip install 'multisubnet[cuda12]', or cuda13 for CUDA 13"
        )
    except Exception as error:  # a broken CUDA installation fails in many ways
        return f"importing CuPy failed: {type(error).__name__}: {error}"
    if tuple(map(int, cupy.__version__.split(".")[:2])) < _OLDEST:
        return f"CuPy has version {cupy.__version__}; expected 14.2 or later"
    try:
        if cupy.cuda.runtime.getDeviceCount() > 0:
            return None
        return "CuPy found no GPU"
    except Exception as error:
        return f"CuPy found no usable GPU or driver: {error}"


def _import_cupy() -> Any:
    """Return the module cupy, imported with Python's default warning filters.

    If filters turned warnings into errors, a warning on import would hide the GPU.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
            warnings.simplefilter("ignore", category)
        import cupy
    return cupy


def empty(shape: tuple[int, ...], dtype: Any = np.float64) -> Any:
    """Return a new C-contiguous array, on the current device."""
    import cupy

    return cupy.empty(shape, dtype)


def copy_from_other(array: np.ndarray) -> Any:
    """Return a copy of a NumPy array, on the current device."""
    import cupy

    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.nbytes <= PINNED_BYTES:
        return cupy.asarray(array)
    copy = cupy.empty(array.shape, array.dtype)
    copy.set(array)
    # The array itself may be pinned, and is then read until the copy is done.
    cupy.cuda.get_current_stream().synchronize()
    return copy


def affine(call: AffineCall, out: Any) -> None:
    """Write activation(samples * weight + bias) to `out` of shape (N, B, F)."""
    if out.size:
        samples, weight, bias, dtype, activation, _ = call
        _run_planned(plan_affine, (samples, weight, bias, out), dtype, activation)


def affine_select(call: AffineCall, set_index: Any, out: Any) -> None:
    """Write `affine` of set `set_index[b]` for each sample b to `out` of shape (B, F)."""
    if out.size:
        samples, weight, bias, dtype, activation, (n_sets, _, _) = call
        arrays = samples, weight, bias, set_index, out
        _run_planned(plan_affine_select, arrays, dtype, activation, n_sets)


def sums(
    terms: Summands,
    operands: dict[str, Any],
    dtype: np.dtype,
    parameter: float,
    length: int,
    totals: Any,
) -> None:
    """Write the sums of terms over each block of `length` to `totals`, like `numpy.sums`."""
    arrays = *(operands.get(name) for name in OPERANDS), totals
    _run_planned(plan_sums, arrays, terms, dtype, parameter, length)


def finish(totals: Any, out: Any, divisor: float, divisor_array: Any) -> None:
    """Write the divided sums of block totals to `out`, like `numpy.finish`."""
    if not out.size:
        return
    if out.ndim == 1 and len(totals) > 1:
        _run_planned(plan_finish, (totals, totals[0], None), 1.0)
        totals = totals[:1]
    _run_planned(plan_finish, (totals, out, divisor_array), divisor)


class _Layout(NamedTuple):
    """The properties of an array that a launch depends on; of the address, only its remainder."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    address: int


def _run_planned(plan: Callable[..., Launch], arrays: tuple[Any, ...], *what: Any) -> None:
    """Launch the kernel planned for arrays of this layout; most calls find a cached plan."""
    layouts = tuple(
        None if x is None else _Layout(x.shape, x.strides, x.dtype, x.data.ptr % SECTOR)
        for x in arrays
    )
    signs = tuple(math.copysign(1.0, x) for x in what if isinstance(x, float))
    launch = _planned(plan, layouts, (*what, _card()), signs)
    argument = bytearray(launch.argument)
    for number, array in enumerate(arrays):
        if array is not None:
            _ADDRESS.pack_into(argument, number * launch.array_bytes, array.data.ptr)
    _run(launch._replace(argument=argument))


@functools.lru_cache(maxsize=1024)
def _planned(
    plan: Callable[..., Launch],
    layouts: tuple[_Layout | None, ...],
    what: tuple[Any, ...],
    signs: tuple[float, ...],
) -> Launch:
    """Return the launch. `signs` are the signs of numbers in `what`, to tell 0.0 from -0.0."""
    return plan(*layouts, *what, operator.attrgetter("address"))


def _card() -> geometry.Card:
    """Return the properties of the current device."""
    import cupy

    return _card_of(cupy.cuda.runtime.getDevice())


@functools.cache
def _card_of(device: int) -> geometry.Card:
    import cupy

    attributes = cupy.cuda.Device(device).attributes
    names = "MultiProcessorCount", "MaxThreadsPerMultiProcessor"
    return geometry.Card(*(attributes[name] for name in names))


def _run(launch: Launch) -> None:
    """Launch a kernel on the current stream of the current device, without waiting for it."""
    argument = np.frombuffer(launch.argument, np.dtype((np.void, len(launch.argument))))
    kernel = _kernel(launch.kernel)
    kernel(launch.grid, launch.block, (argument,), shared_mem=launch.shared_bytes)


@functools.cache
def _kernel(name: str) -> Any:
    import cupy

    file = name.split("<")[0] + ".cu"
    module = cupy.RawModule(
        code=sources.source(file, (name,)), options=("-std=c++17",), name_expressions=(name,)
    )
    return module.get_function(name)


def _upload(array: np.ndarray) -> Any:
    """Return a copy of a NumPy array on the current device, shared by all equal arrays.

    Copies are kept as long as the process lives, because a captured graph may read them.
    """
    import cupy

    return _uploaded(cupy.cuda.runtime.getDevice(), array.shape, array.tobytes(), array.dtype)


@functools.cache
def _uploaded(device: int, shape: tuple[int, ...], data: bytes, dtype: np.dtype) -> Any:
    import cupy

    copy = copy_from_other(np.frombuffer(data, dtype).reshape(shape))
    cupy.cuda.get_current_stream().synchronize()  # other streams will read it
    return copy


closed_form = Fused(_run_planned)
_networks = Networks(_run_planned, empty, _upload)
mlp, mlp_select = _networks.mlp, _networks.mlp_select
_network_sums = NetworkSums(_run_planned, empty, _upload)
mlp_sums, mlp_output_loss = _network_sums.mlp_sums, _network_sums.mlp_output_loss
mlp_sample_sums = _network_sums.mlp_sample_sums
