"""Conversion between JAX arrays and the arrays that this package computes with, without copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from multisubnet._arrays import namespaces, validation
from multisubnet._arrays.dtypes import is_bfloat16, is_number, native
from multisubnet._backends import choice
from multisubnet._functions import evaluation
from multisubnet._functions.problem import SumProblem

_SYMBOLIC = 100_003  # replaces the first unknown size
_ALIGNMENT = 64  # XLA uses NumPy memory in place at such an address, and copies it otherwise


class Place(NamedTuple):
    """Where results go: a device, and whether JAX may move them elsewhere."""

    device: Any
    committed: bool


def read(**operands: Any) -> dict[str, Any]:
    """Return the operands; those that are not JAX arrays become NumPy arrays of JAX dtypes.

    An index keeps its dtype: integers that its JAX dtype cannot hold are out of range.
    """
    for name, x in operands.items():
        if isinstance(x, jax.Array) and not _is_number(x.dtype):
            raise TypeError(
                f"{name} has dtype {x.dtype}, which multisubnet does not support: cast it, for "
                f"example with {name}.astype('float32')"
            )
    return {
        name: x if x is None or isinstance(x, jax.Array) else _as_jax_would(name, x)
        for name, x in operands.items()
    }


def is_traced(operands: dict[str, Any]) -> bool:
    """Return whether any operand is a tracer, inside a transformation such as `jax.jit`."""
    return any(isinstance(x, jax.core.Tracer) for x in operands.values())


def stand_ins(operands: dict[str, Any]) -> dict[str, Any]:
    """Return NumPy arrays with the operands' shapes and dtypes but without memory, for validation.

    Symbolic sizes, used by jax.export, become numbers that are unlikely as sizes.
    """
    symbols: dict[Any, int] = {}

    def known(n: Any) -> int:
        return n if isinstance(n, int) else symbols.setdefault(n, _SYMBOLIC + len(symbols))

    return {
        name: None
        if x is None
        else np.broadcast_to(np.zeros((), x.dtype), tuple(map(known, x.shape)))
        for name, x in operands.items()
    }


def traced(operands: dict[str, Any]) -> list[Any]:
    """Return the operands as JAX arrays."""
    return [None if x is None else jnp.asarray(_within(x)) for x in operands.values()]


def _within(x: Any) -> Any:
    """Return an array whose integers do not wrap in JAX's dtype; only an index can have them."""
    if isinstance(x, np.ndarray) and canonical(x.dtype) != x.dtype and x.dtype.kind in "iu":
        limits = np.iinfo(canonical(x.dtype))
        return x.clip(limits.min, limits.max)
    return x


def refuse_out(out: Any) -> None:
    """Raise TypeError if `out` is given."""
    if out is not None:
        raise TypeError(
            "out is given, but JAX arrays are immutable: use the result that is returned"
        )


def canonical(dtype: Any) -> np.dtype:
    """Return a dtype as JAX uses it: 32 bits instead of 64 unless `jax_enable_x64` is on."""
    return np.dtype(jax.dtypes.canonicalize_dtype(dtype))


def dtype_of_gradient(problem: SumProblem, operand: Any) -> np.dtype:
    """Return the dtype of a gradient with respect to an operand."""
    return canonical(problem.dtype_of_gradient(operand))


def evaluate(
    function: Callable, operands: dict[str, Any], dtype: np.dtype | None = None, **options: Any
) -> Any:
    """Call a function of this package on concrete arrays, and return JAX arrays.

    If `dtype` is given, the first result is rounded to it.
    """
    arrays, place = _native(operands)
    results = function(**arrays, **options)
    if not isinstance(results, tuple):
        return _returned(results, place, dtype)
    dtypes = [dtype] + [None] * (len(results) - 1)
    return tuple(
        None if x is None else _returned(x, place, dtype)
        for x, dtype in zip(results, dtypes, strict=True)
    )


def evaluate_into(
    function: Callable,
    operands: dict[str, Any],
    shape: tuple[int, ...],
    dtype: np.dtype,
    **options: Any,
) -> Any:
    """Do the same with a function that has `out`, for a result of this shape and dtype."""
    arrays, place = _native(operands)
    if place.device.platform == "cpu":
        options["out"] = _empty(shape, dtype)
    return _returned(function(**arrays, **options), place)


def _as_jax_would(name: str, operand: Any) -> np.ndarray:
    if name == "set_index":
        return validation.as_index(name, operand)
    array = validation.as_numpy(name, operand)
    dtype = canonical(native(array.dtype))
    if array.dtype.kind in "iu" and dtype.itemsize < array.dtype.itemsize and array.size:
        least, largest, limits = array.min(), array.max(), np.iinfo(dtype)
        if least < limits.min or largest > limits.max:
            raise OverflowError(
                f"{name} has integers from {least} to {largest}, which {dtype} cannot hold: turn "
                f"on jax_enable_x64 for {array.dtype}; or cast {name}, for example with "
                f"{name}.astype('float32')"
            )
    if name in ("sample_weight", "set_weight") and array.dtype.itemsize > dtype.itemsize:
        # Only the ratios of weights matter, and float32 cannot hold 1e-60.
        _, exponent = np.frexp(abs(array).max(initial=0))
        array = np.ldexp(array, -exponent)
    return array.astype(dtype, copy=False)


def _native(operands: dict[str, Any]) -> tuple[dict[str, Any], Place]:
    """Return operands as NumPy arrays, or as CuPy arrays if they are on a GPU, and their place.

    The results share memory with JAX arrays. With JAX arrays on a GPU, NumPy arrays are copied.
    """
    place = _place_of(operands)
    on_cpu = place.device.platform == "cpu"
    take = _on_cpu if on_cpu else _on_gpu
    arrays: dict[str, Any] = {
        name: take(x) if isinstance(x, jax.Array) else x for name, x in operands.items()
    }
    if not on_cpu:
        backend = choice.load("cupy")
        there = next(x for x in arrays.values() if namespaces.is_cupy(x))
        with namespaces.device_of(there):
            for name, x in arrays.items():
                if x is not None and not namespaces.is_cupy(x):
                    arrays[name] = backend.copy_from_other(x)
    return arrays, place


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return a new array that JAX can use in place."""
    n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


def _returned(array: Any, place: Place, dtype: np.dtype | None = None) -> Any:
    """Return a new NumPy or CuPy array, which nothing else uses, as a JAX array."""
    array = evaluation.cast(array, canonical(array.dtype) if dtype is None else dtype)
    if not namespaces.is_cupy(array):
        device = place.device if place.committed else None
        return jax.device_put(array, device, may_alias=True)
    with array.device:
        # JAX does not know that CuPy's stream reads the operands, and may reuse their memory after
        # this call. All work must therefore be done before it returns.
        namespaces.cupy().cuda.get_current_stream().synchronize()
    return jax.dlpack.from_dlpack(array)


def _is_number(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and is_number(dtype)


def _place_of(operands: dict[str, Any]) -> Place:
    """Return the place of the JAX arrays, which must be on one device."""
    place, there = None, ""
    for name, x in operands.items():
        if not isinstance(x, jax.Array):
            continue
        if x.is_deleted():
            raise RuntimeError(
                f"{name} has been deleted, or donated to a jax.jit function: its memory may "
                f"hold another array"
            )
        devices = x.devices()
        if len(devices) > 1:
            raise TypeError(
                f"{name} is spread over {len(devices)} devices: gather it with "
                f"jax.device_put({name}, device), or call this function inside jax.jit, in JAX's "
                f"own arithmetic"
            )
        (device,) = devices
        if device.platform not in ("cpu", "gpu"):
            raise TypeError(
                f"{name} is on {device}; expected a CPU or a GPU: move it with jax.device_put, or "
                f"call this function inside jax.jit, in JAX's own arithmetic"
            )
        if place is not None and place.device != device:
            raise TypeError(
                f"{there} is on {place.device} and {name} on {device}: move one of them with "
                f"jax.device_put"
            )
        place, there = Place(device, x.committed or (place is not None and place.committed)), name
    if place is None:
        raise TypeError("none of the operands is a JAX array: call multisubnet's own function")
    return place


def _on_cpu(x: Any) -> np.ndarray:
    if is_bfloat16(x.dtype):  # NumPy cannot import it through DLPack
        return np.asarray(x)
    return np.from_dlpack(x.block_until_ready())


def _on_gpu(x: Any) -> Any:
    if is_bfloat16(x.dtype):
        raise TypeError(
            "an operand is bfloat16 on a GPU, which cannot be passed on: cast it, for example "
            "with .astype('float32'), or call this function inside jax.jit, in JAX's own "
            "arithmetic"
        )
    choice.load("cupy")  # or raise an error that says what is missing
    return namespaces.cupy().from_dlpack(x)  # makes CuPy's current stream wait for x
