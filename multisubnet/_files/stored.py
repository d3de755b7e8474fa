"""An array in a .npy file, read in parts when they are needed.

It uses plain reads, not a memory map: mapped pages count as memory of the process, and so do
neighbouring pages that the system maps. If a mapped file is truncated, the process is killed.
"""

from __future__ import annotations

import errno
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from multisubnet._arrays import amounts
from multisubnet._files import inputs, npy


class StoredArray:
    """An array whose parts, selected by slices, are read into one buffer.

    A part is valid until the next one is read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (see close)
        try:
            self._unchanged = inputs.Unchanged(path, self._file)
            header = npy.read_header(path, self._file)
        except BaseException:
            self.close()
            raise
        self._offset = self._file.tell()
        self.shape, self.dtype, self.order = header
        self.ndim = len(self.shape)
        self.nbytes = header.n_bytes
        self._buffer = np.empty(0, np.uint8)

    def close(self) -> None:
        self._file.close()

    def __getitem__(self, slices: Any) -> np.ndarray:
        """Return a part of the array, read-only."""
        slices = slices if isinstance(slices, tuple) else (slices,)
        slices += (slice(None),) * (self.ndim - len(slices))
        ranges = [range(*s.indices(n)) for s, n in zip(slices, self.shape, strict=True)]
        if self.order == "F":  # read in the order of the elements in the file
            return self._part(ranges[::-1], self.shape[::-1]).T
        return self._part(ranges, self.shape)

    def _part(self, ranges: list[range], shape: tuple[int, ...]) -> np.ndarray:
        """Read a part of an array in C order: contiguous runs, one after the other."""
        n_bytes = math.prod(map(len, ranges)) * self.dtype.itemsize
        if n_bytes > self._buffer.size:
            self._buffer = np.empty(0, np.uint8)  # frees the old buffer before the new one
            self._buffer = np.empty(n_bytes, np.uint8)
        part = self._buffer[:n_bytes]
        n_outer = len(shape)  # axes from here on are complete, except the first of them
        while n_outer and (n_outer == len(shape) or len(ranges[n_outer]) == shape[n_outer]):
            n_outer -= 1
        strides = [math.prod(shape[axis + 1 :]) * self.dtype.itemsize for axis in range(len(shape))]
        first = sum(r.start * s for r, s in zip(ranges[n_outer:], strides[n_outer:], strict=True))
        run = math.prod(map(len, ranges[n_outer:])) * self.dtype.itemsize
        if n_bytes:
            for number, index in enumerate(itertools.product(*ranges[:n_outer])):
                offset = first + sum(i * s for i, s in zip(index, strides, strict=False))
                self._read(offset, part[number * run : (number + 1) * run])
        part = part.view(self.dtype).reshape(*map(len, ranges))
        part.flags.writeable = False
        return part

    def pieces(self, n_bytes: int) -> Iterator[np.ndarray]:
        """Yield the bytes of the array in file order, `n_bytes` at a time."""
        buffer = np.empty(min(n_bytes, self.nbytes), np.uint8)
        for start in range(0, self.nbytes, n_bytes):
            piece = buffer[: self.nbytes - start]
            self._read(start, piece)
            yield piece

    def _read(self, offset: int, target: np.ndarray) -> None:
        self._file.seek(self._offset + offset)
        left = target.data
        while left:
            n_read = self._file.readinto(left)
            if not n_read:
                raise inputs.InputChanged(f"{self._path} was truncated while it was read")
            left = left[n_read:]

    def whole(self) -> np.ndarray:
        """Return the whole array, read-only; its pages are read when needed."""
        if not self.nbytes:
            return np.empty(self.shape, self.dtype)
        order: Any = self.order
        try:
            return np.memmap(self._file, self.dtype, "r", self._offset, self.shape, order)
        except OSError as error:
            if error.errno != errno.ENODEV:  # the file system does not support mappings
                raise
        amounts.check_fits(self._path, self.nbytes)
        array = np.empty(self.shape, self.dtype, order)
        self._read(0, array.reshape(-1, order="A").view(np.uint8))
        return array

    def check_unchanged(self) -> None:
        """Raise InputChanged if the file was modified since it was opened."""
        self._unchanged.check()
