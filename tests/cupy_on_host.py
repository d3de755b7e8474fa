"""A replacement for CuPy in tests: arrays in host memory, and kernels compiled by g++.

The code around the kernels (adapters of other libraries, Dask's tasks) runs here without a GPU. The
replacement enforces the rules that hold on one:

- CuPy's own kernels flush float32 subnormals to zero. A CuPy operation that rounds to, or computes
  in, a floating dtype narrower than float64 raises AssertionError. Moving bytes is allowed.
- Operations that need a number on the host, such as the truth value of an array or the places of a
  mask, wait for the GPU (and cannot be captured in a graph). They raise AssertionError.
- Host and device arrays cannot be mixed.

`computed` lists the CuPy operations that are implemented.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import types
from typing import ClassVar
from unittest import mock

import cuda_on_host
import numpy as np

from multisubnet._backends import choice
from multisubnet._backends.cupy import engine

_local = threading.local()
per_thread_default_stream = False


computed = []


def _wait(self, *_):
    raise AssertionError("that waits for the GPU")


def _is_mask(key):
    keys = key if isinstance(key, tuple) else (key,)
    return any(isinstance(x, np.ndarray) and x.dtype == bool for x in keys)


def _refuse(what, *dtypes):
    for dtype in map(np.dtype, dtypes):
        if dtype.kind in "fcV" and dtype not in (np.float64, np.complex128):
            raise AssertionError(f"CuPy's {what} of {dtype} takes subnormals for zeros")


class ndarray(np.ndarray):
    def __array_finalize__(self, other):
        self._memory = getattr(other, "_memory", None)

    @property
    def data(self):
        address = self.__array_interface__["data"][0]
        return MemoryPointer(self._memory, address - self._memory.ptr if self.size else 0)

    @property
    def device(self):
        return Device(0)

    __bool__ = __int__ = __float__ = __index__ = __complex__ = item = tolist = nonzero = _wait

    def __getitem__(self, key):
        if _is_mask(key):
            _wait(self)
        keys = key if isinstance(key, tuple) else (key,)
        if not any(x is ... for x in keys):
            keys = *keys, ...  # an element is also an array
        return super().__getitem__(keys)

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        for x in (*inputs, *out):
            assert isinstance(x, ndarray) or np.ndim(x) == 0, f"{ufunc} of a host array"
        computed.append(ufunc.__name__)
        arrays = [_host(x) for x in inputs]
        result = getattr(ufunc, method)(*arrays, out=tuple(map(_host, out)) or None, **options)
        _refuse(ufunc.__name__, result.dtype, *(x.dtype for x in inputs if isinstance(x, ndarray)))
        return out[0] if out else asarray(result)

    def __array_function__(self, function, types, arguments, options):
        own = globals().get(function.__name__)
        assert own is not None, f"numpy.{function.__name__} of an array on a GPU"
        return own(*arguments, **options)

    def __setitem__(self, key, value):
        if _is_mask(key):
            _wait(self)
        if isinstance(value, np.ndarray):
            assert isinstance(value, ndarray), "a host array is written to one on a GPU"
            if value.dtype != self.dtype:
                _refuse("assignment", self.dtype, value.dtype)
        _host(self)[key] = _host(value)

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if self.dtype != dtype:
            _refuse("astype", self.dtype, dtype)
        elif not copy:
            return self
        return asarray(_host(self).astype(dtype, order))

    def copy(self, order="C"):
        return asarray(_host(self).copy(order))

    def get(self, stream=None, order="C", out=None, blocking=True):
        if out is None:
            return _host(self).copy(order)
        assert out.dtype == self.dtype
        out[...] = _host(self)
        return out


def _host(x):
    return x.view(np.ndarray) if isinstance(x, ndarray) else x


class BaseMemory:
    ptr, size, device_id = 0, 0, 0


class Memory(BaseMemory):
    def __init__(self, size):
        self._buffer = np.empty(size + 512, np.uint8)
        self.size = size
        self.ptr = -(-self._buffer.ctypes.data // 512) * 512


class UnownedMemory(BaseMemory):
    def __init__(self, ptr, size, owner, device_id=-1):
        self.ptr, self.size, self._owner = ptr, size, owner


class MemoryPointer:
    device_id = 0

    def __init__(self, mem, offset):
        self.mem, self.ptr = mem, mem.ptr + offset


def _allocate(size):
    return MemoryPointer(Memory(size), 0)


def get_allocator():
    return getattr(_local, "allocator", _allocate)


@contextlib.contextmanager
def using_allocator(allocator):
    before, _local.allocator = get_allocator(), allocator
    yield
    _local.allocator = before


def empty(shape, dtype=float):
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return _array(np.empty(shape, dtype).strides, shape, dtype, get_allocator()(n_bytes))


def _array(strides, shape, dtype, pointer):
    size = 0 if 0 in shape else sum((n - 1) * abs(s) for n, s in zip(shape, strides, strict=True))
    buffer = (ctypes.c_char * (size + dtype.itemsize)).from_address(pointer.ptr) if size else b""
    if not size:  # a single element, or none
        buffer = (ctypes.c_char * dtype.itemsize).from_address(pointer.ptr or id(pointer))
    array = np.ndarray.__new__(ndarray, shape, dtype, buffer, 0, strides)
    array._memory = pointer.mem
    return array


def asarray(x, dtype=None):
    if isinstance(x, ndarray):
        return x
    host = np.asarray(x, dtype)
    array = empty(host.shape, host.dtype)
    _host(array)[...] = host
    return array


def ascontiguousarray(x):
    return x if x.flags.c_contiguous else x.copy()


def concatenate(arrays, axis=0, dtype=None):
    dtypes = {x.dtype for x in arrays} | ({np.dtype(dtype)} if dtype else set())
    if len(dtypes) > 1:
        _refuse("concatenate", *dtypes)
    return asarray(np.concatenate([_host(x) for x in arrays], axis, dtype=dtype))


def where(condition, x, y):
    computed.append("where")
    result = np.where(*map(_host, (condition, x, y)))
    _refuse("where", result.dtype)
    return asarray(result)


def from_dlpack(x):
    host = np.from_dlpack(x)
    pointer = MemoryPointer(UnownedMemory(host.ctypes.data, host.nbytes, x), 0)
    return _array(host.strides, host.shape, host.dtype, pointer)


def may_share_memory(a, b):
    return np.may_share_memory(_host(a), _host(b))


class Device:
    attributes: ClassVar = {"MultiProcessorCount": 132, "MaxThreadsPerMultiProcessor": 2048}

    def __init__(self, device=0):
        self.id = device

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Stream:
    def __init__(self, null=False, non_blocking=False, ptr=0):
        self.ptr = ptr or (0 if null else id(self))

    @classmethod
    def from_external(cls, stream):
        return cls(ptr=stream.__cuda_stream__()[1])

    def __enter__(self):
        _streams().append(self)
        return self

    def __exit__(self, *_):
        _streams().pop()

    def synchronize(self):
        pass


Stream.null = Stream(null=True)
Stream.ptds = Stream(ptr=2)


def _streams():
    if not hasattr(_local, "streams"):
        _local.streams = []
    return _local.streams


def get_current_stream():
    default = Stream.ptds if per_thread_default_stream else Stream.null
    return _streams()[-1] if _streams() else default


def _module(name, **contents):
    module = types.ModuleType(name)
    vars(module).update(contents)
    return module


def _cupy():
    runtime = _module(
        "runtime",
        getDevice=lambda: 0,
        getDeviceCount=lambda: 1,
        streamLegacy=1,
        streamPerThread=2,
    )
    here = globals()
    of_cuda = ("Device", "MemoryPointer", "Stream", "UnownedMemory", "get_allocator")
    of_cuda += ("get_current_stream", "using_allocator")
    of_cupy = ("asarray", "ascontiguousarray", "concatenate", "empty", "from_dlpack")
    of_cupy += ("may_share_memory", "ndarray", "where")
    cuda = _module("cupy.cuda", runtime=runtime, **{name: here[name] for name in of_cuda})
    return _module(
        "cupy", __version__="14.2.0", cuda=cuda, **{name: here[name] for name in of_cupy}
    )


@contextlib.contextmanager
def installed():
    """Install the replacement, and record the streams of all launches in the given list."""
    streams = []

    def run(launch):
        streams.append(get_current_stream().ptr)
        cuda_on_host.run(launch._replace(argument=bytes(launch.argument)))

    def forget():
        engine.why_unavailable.cache_clear()
        choice.load.cache_clear()

    forget()
    with mock.patch.dict(sys.modules, cupy=_cupy()), mock.patch.object(engine, "_run", run):
        yield streams
    forget()
