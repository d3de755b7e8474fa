"""The GPUs of this machine, and NumPy arrays copied there with their memory layout."""

from __future__ import annotations

import ctypes

import numpy as np


def count() -> int:
    """Return the number of NVIDIA GPUs the driver finds, without CuPy; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    number = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(number)):
        return 0
    return number.value


def to_device(array: np.ndarray):
    """Return a CuPy array with the same values and strides, converted to native byte order."""
    return OnDevice(array).array


class OnDevice:
    """A CuPy array, with the memory from its first byte to its last, including gaps."""

    def __init__(self, array: np.ndarray):
        import cupy

        places = (array.__array_interface__["data"][0], *array.strides)
        if not array.dtype.isnative or any(p % array.dtype.itemsize for p in places):
            array = array.astype(array.dtype.newbyteorder("="))
        if array.size == 0:
            self.array = cupy.asarray(array)
            self.memory, self._host = cupy.empty(0, np.uint8), np.empty(0, np.uint8)
            return
        low, high = np.lib.array_utils.byte_bounds(array)
        self._host = np.frombuffer((ctypes.c_char * (high - low)).from_address(low), np.uint8)
        self.memory = cupy.asarray(self._host)
        start = array.__array_interface__["data"][0] - low
        self.array = cupy.ndarray(
            array.shape, array.dtype, memptr=self.memory.data + start, strides=array.strides
        )
        self._kept = array

    def bring_back(self, array: np.ndarray) -> None:
        """Copy the device's memory back to the array that this was made from."""
        if self._host.size:
            self._host[...] = self.memory.get()
            if self._kept is not array:
                array[...] = self._kept
