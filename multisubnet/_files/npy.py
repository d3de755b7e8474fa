"""Reading .npy and .npz files from untrusted sources: nothing in them is ever executed.

NumPy's own reader works for valid files. For damaged ones it allocates whatever the header asks
for, and raises the exceptions of lower layers.
"""

from __future__ import annotations

import io
import math
import os
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
from numpy.lib import format as npy

from multisubnet._arrays import amounts, dtypes, validation
from multisubnet._files import inputs

_CHUNK_BYTES = 1 << 20  # that are read at once
_LONGEST_HEADER = 10_000  # bytes; NumPy's own limit for untrusted files
_DEFLATED = 1032  # the largest compression ratio (RFC 1951: 258 bytes take two bits)
_LONGEST_TEXT = 1 << 12
_MOST_AXES = 32
_SUFFIX = ".npy"
SHOWN = 80  # characters of a name shown in a message


# Exceptions of zipfile for damaged archives.
_OF_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    UnicodeError,
)

# For each version of the format: the length of the header, and the function that parses it.
_LENGTHS = {
    (1, 0): (struct.Struct("<H"), npy.read_array_header_1_0),
    (2, 0): (struct.Struct("<I"), npy.read_array_header_2_0),
}


class Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype
    order: Literal["C", "F"]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(path: Path, file: IO[bytes]) -> Header:
    """Read the header of a .npy file; the array begins where reading ends."""
    header = _header(path, file, "")
    if header.dtype.kind == "U":
        raise ValueError(f"{path} contains text; expected an array of numbers")
    offset = file.tell()
    _check_size(path, "", header, file.seek(0, 2) - offset)
    file.seek(offset)
    return header


def members(path: Path, choose: Callable[[list[str]], Iterable[str]]) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file that `choose` selects from all names; it may also raise.

    Texts are included.
    """
    with inputs.opened(path) as file, _as_value_error(path), zipfile.ZipFile(file) as archive:
        entries = {_name(path, entry): entry for entry in archive.infolist()}
        if len(entries) < len(archive.infolist()):
            raise ValueError(f"{path} has several arrays of the same name")
        chosen = {name: entries[name] for name in choose(list(entries))}
        amounts.check_fits(path, sum(entry.file_size for entry in chosen.values()))
        return {name: _member(path, archive, entry) for name, entry in chosen.items()}


def _name(path: Path, entry: zipfile.ZipInfo) -> str:
    """Return the name of an array, after checking that NumPy could have written its entry."""
    name = entry.filename.removesuffix(_SUFFIX)
    shown = repr(name[:SHOWN])
    # A comment may be a damaged length field that hides the entries that follow.
    if name == entry.filename or entry.comment:
        raise ValueError(f"{path} has an entry {shown}, which is not an array")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{shown} in {path} uses a compression that NumPy does not write")
    if entry.flag_bits & 1:
        raise ValueError(f"{shown} in {path} is encrypted")
    if entry.file_size > _DEFLATED * entry.compress_size:
        raise ValueError(
            f"{shown} in {path} is damaged: it claims to have {entry.file_size} bytes, but "
            f"{entry.compress_size} bytes in the file cannot hold them"
        )
    return name


def _member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Return the array of one entry."""
    what = f"{entry.filename.removesuffix(_SUFFIX)[:SHOWN]!r} in "
    with archive.open(entry) as file:
        header = _header(path, file, what)
        _check_size(path, what, header, entry.file_size - file.tell())
        array = np.empty(header.shape, header.dtype, header.order)
        if not fill(array, file):
            raise ValueError(f"{what}{path} is truncated")
        if file.read(1):  # also verifies the checksum
            raise ValueError(f"{what}{path} is longer than its header says")
    return array


def fill(array: np.ndarray, file: IO[bytes]) -> bool:
    """Read the bytes of a contiguous array from a file; return whether there were enough."""
    raw = array.reshape(-1, order="A").view(np.uint8)
    for start in range(0, raw.size, _CHUNK_BYTES):
        piece = raw[start : start + _CHUNK_BYTES]
        read = file.read(piece.size)
        if len(read) < piece.size:
            return False
        piece[:] = np.frombuffer(read, np.uint8)
    return True


def size_of(what: object, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Return the size of an array in a file in bytes, or raise ValueError if it is impossible."""
    bytes_of_any = math.prod(max(length, 1) for length in shape) * dtype.itemsize
    if any(type(length) is not int for length in shape):  # Python accepts True as 1, NumPy does not
        raise ValueError(f"{what} has an array of shape {str(shape)[:SHOWN]}")
    if len(shape) > _MOST_AXES or min(shape, default=0) < 0 or bytes_of_any > sys.maxsize:
        raise ValueError(f"{what} has an array of shape {str(shape)[:SHOWN]}")
    return math.prod(shape) * dtype.itemsize


def _header(path: Path, file: IO[bytes], what: str) -> Header:
    """Read the header of an array."""
    try:
        # Parsing old and foreign headers warns, but the warnings do not concern the array.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = npy.read_magic(file)
            if version not in _LENGTHS:  # the other version is for records
                raise ValueError(f"an array in version {version} of the format")
            length, parse = _LENGTHS[version]
            begin = file.read(length.size)
            n_bytes = length.unpack(begin)[0] if len(begin) == length.size else 0
            if n_bytes > _LONGEST_HEADER:  # otherwise it would be read before it is refused
                raise ValueError(f"its header claims {n_bytes} bytes")
            shape, is_fortran, dtype = parse(io.BytesIO(begin + file.read(n_bytes)))
        size_of("the header", shape, dtype)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError):
        raise
    except Exception as error:  # the exceptions for foreign headers are not documented
        raise ValueError(f"{what}{path} is not a NumPy array: {_line(error)}") from None
    if dtype.hasobject:
        raise ValueError(f"{what}{path} contains Python objects, which are never read")
    if dtype.kind == "U" and shape == () and 0 < dtype.itemsize <= _LONGEST_TEXT:
        return Header(shape, dtype, "C")
    try:
        validation.check_dtype(f"{what}{path}", np.empty(0, dtype))
    except TypeError as error:
        raise ValueError(str(error)) from None
    return Header(shape, dtype, "F" if is_fortran else "C")


def write_members(file: IO[bytes], arrays: dict[str, np.ndarray]) -> None:
    """Write a .npz file as `numpy.savez` does, but each array in a single write."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            fields = npy.header_data_from_array_1_0(array)
            flat = np.ascontiguousarray(array.T if fields["fortran_order"] else array).reshape(-1)
            with archive.open(name + _SUFFIX, "w", force_zip64=True) as entry:
                npy.write_array_header_1_0(entry, fields)
                entry.write(flat.view(np.uint8).data)


def check_has(path: str | os.PathLike[str], name: str, dtype: np.dtype) -> None:
    """Raise unless .npy and .npz files support the dtype of a named array."""
    if dtypes.is_bfloat16(dtype):
        raise ValueError(
            f"{path}: {name} has dtype {dtype}, which .npy and .npz files cannot hold; expected a "
            f"name that ends in .safetensors, or another dtype"
        )


def _check_size(path: Path, what: str, header: Header, n_bytes: int) -> None:
    """Raise unless the header is followed by exactly the bytes it announces."""
    if header.n_bytes != n_bytes:
        state = "truncated" if n_bytes < header.n_bytes else "damaged"
        raise ValueError(
            f"{what}{path} is {state}: an array of shape {header.shape} and dtype {header.dtype} "
            f"has {header.n_bytes} bytes, but there are {n_bytes}"
        )


@contextmanager
def _as_value_error(path: Path) -> Iterator[None]:
    """Convert the exceptions of zipfile for damaged archives to ValueError."""
    try:
        yield
    except _OF_DAMAGED as error:
        raise ValueError(f"{path} is not a complete .npz file: {_line(error)}") from None


def _line(error: Exception) -> str:
    """Return the message of an error on one line of bounded length."""
    return " ".join(str(error).split())[:200] or type(error).__name__
