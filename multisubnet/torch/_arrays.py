"""Conversion between tensors and the arrays that share their memory, without copies."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multisubnet._arrays import dtypes, explanations, namespaces, validation
from multisubnet._backends import choice
from multisubnet._functions import loss_problem
from multisubnet.torch._custom_op import is_dynamo_compiling

_DTYPES = {
    getattr(torch, name): np.dtype(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}
_TENSOR_DTYPES = {dtype: of_tensor for of_tensor, dtype in _DTYPES.items()}

Operands = dict[str, "Tensor | None"]


def numpy_dtype(name: str, dtype: torch.dtype) -> np.dtype:
    """Return the PyTorch dtype of a named operand as a NumPy dtype."""
    if dtype == torch.bfloat16:
        return dtypes.bfloat16(name)
    if dtype not in _DTYPES:
        raise TypeError(
            f"{name} has dtype {dtype}; expected bool, an integer, float16, bfloat16, float32, "
            f"float64, complex64 or complex128"
        )
    return _DTYPES[dtype]


def tensor_dtype(dtype: np.dtype) -> torch.dtype:
    """Return a NumPy dtype as a PyTorch dtype."""
    return torch.bfloat16 if dtypes.is_bfloat16(dtype) else _TENSOR_DTYPES[dtype]


def dtype_of_loss(dtype: Any) -> torch.dtype | None:
    """Return a PyTorch or NumPy dtype, or the name of one, as a PyTorch dtype."""
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    return (
        getattr(torch, dtype)
        if dtype == "bfloat16"
        else tensor_dtype(loss_problem.validate_loss_dtype(dtype))
    )


def as_tensors(operands: dict[str, Any]) -> Operands:
    """Return operands as tensors on one device: NumPy arrays and sequences become tensors."""
    there, device = "", torch.device("cpu")
    for name, operand in operands.items():
        if isinstance(operand, Tensor):
            if there and operand.device != device:
                raise TypeError(
                    f"{there} is on {device} and {name} on {operand.device}: move one of them, "
                    f"with {name}.to({str(device)!r})"
                )
            there, device = name, operand.device
    tensors = dict(operands)
    for name, operand in operands.items():
        if operand is not None and not isinstance(operand, Tensor | torch.fx.Proxy):
            if device.type != "cpu":
                raise TypeError(
                    f"{there} is on {device} and {name} ({type(operand).__name__}) is not: move "
                    f"it, with torch.as_tensor({name}, device={str(device)!r})"
                )
            if name == "set_index":
                operand = validation.as_index(name, operand)
            tensors[name] = _as_tensor(name, operand)
    return tensors


def _as_tensor(name: str, operand: Any) -> Tensor:
    if is_dynamo_compiling():
        return torch.as_tensor(np.asarray(operand))  # lists of numbers become float64, as in NumPy
    array = validation.as_numpy(name, operand)
    validation.check_dtype(name, array)
    # Copy arrays that a tensor cannot view, because of their strides, dtype or read-only memory.
    if (
        not (array.flags.writeable and array.flags.aligned and array.dtype.isnative)
        or min(array.strides, default=0) < 0
        or any(stride % array.itemsize for stride in array.strides)
    ):
        array = np.array(array, dtype=dtypes.native(array.dtype))
    return tensor_of(array)


def on_arrays(function: Callable[..., Any], operands: Operands, **options: Any) -> Any:
    """Return, as tensors, the result of a function of the arrays behind the operands."""
    arrays = _on_cpu(operands)
    if arrays is None:
        return _apply_on_cuda(lambda **found: _tensors_of(function(**found)), operands, options)
    return _tensors_of(function(**arrays, **options))


def apply(function: Callable[..., Any], operands: Operands, **options: Any) -> Any:
    """Return the result of a function of the arrays behind the operands."""
    arrays = _on_cpu(operands)
    if arrays is None:
        return _apply_on_cuda(function, operands, options)
    return function(**arrays, **options)


def _on_cpu(operands: Operands) -> dict[str, np.ndarray | None] | None:
    """Return the arrays behind operands on the CPU, or None if an operand is elsewhere."""
    arrays = {}
    for name, x in operands.items():
        if x is not None and not x.is_cpu:
            return None
        arrays[name] = None if x is None else array_of(name, x)
    return arrays


def _tensors_of(results: Any) -> Any:
    """Return an array, or the arrays and None of a tuple, as tensors."""
    if type(results) is not tuple:
        return tensor_of(results)
    return tuple([None if x is None else tensor_of(x) for x in results])


def tensor_of(array: Any) -> Tensor:
    """Return a tensor that shares the memory of a NumPy or CuPy array."""
    if type(array) is np.ndarray and array.dtype in _TENSOR_DTYPES:
        return torch.from_numpy(array)
    if namespaces.is_cupy(array) and hasattr(array.data.mem, "tensor"):
        return _as_part(array.data.mem.tensor, array)
    if dtypes.is_bfloat16(array.dtype):  # PyTorch can only read it as integers
        return tensor_of(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else torch.from_dlpack(array)


def array_of(name: str, tensor: Tensor) -> np.ndarray:
    """Return the NumPy array that shares a tensor's memory."""
    try:
        return tensor.numpy()
    except (AttributeError, TypeError, RuntimeError):
        return _array_of_any(name, tensor, Tensor.numpy)


def _array_of_any(name: str, tensor: Tensor, read: Callable[[Tensor], Any]) -> Any:
    """Return `read` of a tensor that may require a gradient; raise for None."""
    if tensor is None:
        raise explanations.not_numbers(name, None, np.dtype(object))
    if tensor.layout != torch.strided:
        raise TypeError(
            f"{name} is a tensor of layout {tensor.layout}; expected a dense one: pass "
            f"{name}.to_dense()"
        )
    dtype = numpy_dtype(name, tensor.dtype)
    plain = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        return read(plain.view(torch.int16)).view(dtype)
    return read(plain)


# CUDA. CuPy accesses operands through DLPack. Its allocations are tensors, so that PyTorch keeps
# track of them: `record_stream` has no effect on memory imported through DLPack.


def _apply_on_cuda(function: Callable[..., Any], operands: Operands, options: Any) -> Any:
    device = next(tensor.device for tensor in operands.values() if tensor is not None)
    if device.type != "cuda":
        raise TypeError(f"tensors are on {device}; expected the CPU or a CUDA device")
    with _working_as_pytorch(device) as cupy:
        arrays = {
            name: None if x is None else _array_of_any(name, x, cupy.from_dlpack)
            for name, x in operands.items()
        }
        return function(**arrays, **options)


@contextlib.contextmanager
def _working_as_pytorch(device: torch.device) -> Iterator[Any]:
    """Yield CuPy set up to use PyTorch's current stream and PyTorch's allocator on a device."""
    choice.load("cupy")
    import cupy

    stream = cupy.cuda.Stream.from_external(_Stream(torch.cuda.current_stream(device).cuda_stream))
    with (
        torch.cuda.device(device),
        cupy.cuda.Device(device.index),
        stream,
        cupy.cuda.using_allocator(functools.partial(_allocate, device)),
    ):
        yield cupy


class _Stream:
    """A stream given by its address, in the protocol for exchanging streams between libraries."""

    def __init__(self, address: int):
        self.address = address

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.address


@functools.cache
def _memory_class() -> Any:
    """Return a subclass of CuPy's memory whose memory belongs to a tensor."""
    import cupy

    class TensorMemory(cupy.cuda.UnownedMemory):
        def __init__(self, tensor: Tensor):
            super().__init__(tensor.data_ptr(), tensor.nbytes, tensor, tensor.device.index or 0)
            self.tensor = tensor

    return TensorMemory


def _allocate(device: torch.device, size: int) -> Any:
    """Allocate bytes in a new tensor, as a CuPy allocator."""
    import cupy

    memory = _memory_class()(torch.empty(size, dtype=torch.uint8, device=device))
    return cupy.cuda.MemoryPointer(memory, 0)


def _as_part(allocated: Tensor, array: Any) -> Tensor:
    """Return a CuPy array in a tensor's memory as a tensor that is not a view of that tensor."""
    itemsize = array.dtype.itemsize
    start = (array.data.ptr - allocated.data_ptr()) // itemsize if array.size else 0
    strides = tuple(stride // itemsize for stride in array.strides)
    tensor = torch.empty(0, dtype=tensor_dtype(array.dtype), device=allocated.device)
    return tensor.set_(allocated.untyped_storage(), start, array.shape, strides)
