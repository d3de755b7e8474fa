"""A way for code that XLA has compiled to call this package on its own memory, on the CPU.

The handler is Python behind XLA's C interface for foreign functions (xla/ffi/api/c_api.h, which
keeps its layout for old handlers). `jax.pure_callback` would do with less, but hands over large
arguments as copies that threads of XLA's pool are still making. In the callback, which holds up one
of these threads, waiting for them never ends where the pool has no other thread
(https://github.com/jax-ml/jax/issues/24255).

What is to be called is written into the compiled code, which thus may be cached on disk.
"""

from __future__ import annotations

import ast
import ctypes
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import multisubnet as ms
from multisubnet import _activations, _dtypes
from multisubnet._activations import Activation
from multisubnet._subnormals import keeping_subnormals

_TARGET = "multisubnet"
_INTO_OUT = ("affine", "affine_select")  # these write into `out`
_METADATA = 1  # the type of the extension by which XLA asks for what a handler is
_VERSION = 0, 1  # of the interface, whose structs these are
_INTERNAL = 13  # a code of an error

# XLA_FFI_DataType
_DTYPES = {
    **{1: "bool", 2: "int8", 3: "int16", 4: "int32", 5: "int64"},
    **{6: "uint8", 7: "uint16", 8: "uint32", 9: "uint64"},
    **{10: "float16", 11: "float32", 12: "float64", 15: "complex64", 16: "bfloat16"},
    18: "complex128",
}


def call(name: str, operands: dict[str, Any], results: tuple[Any, ...], **options: Any) -> Any:
    """Call a function of this package on operands by name, once compiled code gets there.

    `results` has the shape and dtype of all that it returns, or None where it returns that.
    """
    given = {name: x for name, x in operands.items() if x is not None}
    written = {name: _written(x) for name, x in options.items()}
    what = repr((name, tuple(given), tuple(operands.keys() - given), written))
    asked = [x for x in results if x is not None]
    found = iter(_target()(asked, *given.values(), call=what))
    return tuple(x if x is None else next(found) for x in results)


@functools.cache
def _target() -> Callable[..., Any]:
    """Return what puts a call into the code, having told XLA of the handler."""
    address = ctypes.cast(_handle, ctypes.c_void_p)
    jax.ffi.register_ffi_target(_TARGET, jax.ffi.pycapsule(address), platform="cpu")

    def put(results: Any, *operands: Any, call: str) -> Any:
        return jax.ffi.ffi_call(_TARGET, results, vmap_method="sequential")(*operands, call=call)

    return put


def _written(option: Any) -> Any:
    """Return an option as something that `ast.literal_eval` reads."""
    if isinstance(option, Activation):
        return {"activation": option._state()}
    return option.name if isinstance(option, np.dtype) else option


@functools.cache
def _read(what: bytes) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """Return the name of a function, those of its operands, and all other arguments."""
    name, given, absent, written = ast.literal_eval(what.decode())
    options = dict.fromkeys(absent) | {
        key: _activations._restored(*option["activation"]) if isinstance(option, dict) else option
        for key, option in written.items()
    }
    return name, given, options


@keeping_subnormals
def _call(what: bytes, operands: list[np.ndarray], results: list[np.ndarray]) -> None:
    name, given, options = _read(what)
    arguments = dict(zip(given, operands, strict=True)) | options
    if name in _INTO_OUT:
        getattr(ms, name)(**arguments, out=results[0])
        return
    answers = getattr(ms, name)(**arguments)
    answers = [x for x in (answers if isinstance(answers, tuple) else [answers]) if x is not None]
    for result, answer in zip(results, answers, strict=True):
        _dtypes.copyto(result, answer)


class _Struct(ctypes.Structure):
    """What all structs of the interface begin with."""

    _fields_ = [("struct_size", ctypes.c_size_t), ("extension", ctypes.c_void_p)]


def _struct(name: str, **fields: Any) -> type[_Struct]:
    return type(name, (_Struct,), {"_fields_": list(fields.items())})


_Buffer: Any = _struct(
    "Buffer",
    dtype=ctypes.c_int,
    data=ctypes.c_void_p,
    rank=ctypes.c_int64,
    dims=ctypes.POINTER(ctypes.c_int64),
)
_Buffers: Any = _struct(
    "Buffers",
    size=ctypes.c_int64,
    types=ctypes.c_void_p,
    buffers=ctypes.POINTER(ctypes.POINTER(_Buffer)),
)


class _ByteSpan(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("length", ctypes.c_size_t)]


_Attributes: Any = _struct(
    "Attributes",
    size=ctypes.c_int64,
    types=ctypes.c_void_p,
    names=ctypes.c_void_p,
    values=ctypes.POINTER(ctypes.POINTER(_ByteSpan)),
)
_Version: Any = _struct("Version", major=ctypes.c_int, minor=ctypes.c_int)
_Error: Any = _struct("Error", message=ctypes.c_char_p, code=ctypes.c_int)
_Api: Any = _struct(
    "Api",
    version=_Version,
    internal=ctypes.c_void_p,
    create_error=ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Error)),
)
_CallFrame: Any = _struct(
    "CallFrame",
    api=ctypes.POINTER(_Api),
    context=ctypes.c_void_p,
    stage=ctypes.c_int,
    operands=_Buffers,
    results=_Buffers,
    attributes=_Attributes,
)


class _Metadata(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("version", _Version)]


class _Extension(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("metadata", ctypes.POINTER(_Metadata)),
    ]


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_CallFrame))
def _handle(pointer: Any) -> int | None:
    """Do what a call frame of XLA's asks for; return the address of an error, or None."""
    frame = pointer.contents
    if frame.extension:
        extension = _Extension.from_address(frame.extension)
        if extension.type == _METADATA:
            version = extension.metadata.contents.version
            version.major, version.minor = _VERSION
            return None
    try:
        what = frame.attributes.values[0].contents
        _call(
            ctypes.string_at(what.start, what.length),
            _arrays(frame.operands),
            _arrays(frame.results),
        )
    except BaseException as error:
        message = f"{type(error).__name__}: {error}".encode()
        described = _Error(ctypes.sizeof(_Error), None, message, _INTERNAL)
        return frame.api.contents.create_error(described)
    return None


def _arrays(buffers: Any) -> list[np.ndarray]:
    """Return XLA's buffers as arrays."""
    return [_array(buffers.buffers[i].contents) for i in range(buffers.size)]


def _array(buffer: Any) -> np.ndarray:
    shape = tuple(buffer.dims[: buffer.rank])
    dtype = np.dtype(_DTYPES[buffer.dtype])
    n_bytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if not n_bytes:
        return np.empty(shape, dtype)
    memory: Any = (ctypes.c_char * n_bytes).from_address(buffer.data)
    return np.frombuffer(memory, dtype).reshape(shape)
