"""Reading and writing .safetensors files from untrusted sources.

The format is simple (https://huggingface.co/docs/safetensors): the length of the header in 8 bytes,
the header in JSON, then the bytes of the arrays.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arrays import amounts, dtypes
from multisubnet._files import atomic, inputs, npy

_LENGTH = struct.Struct("<Q")
_LONGEST_HEADER = 1 << 20  # parsed, it takes about twenty times as much memory
_METADATA = "__metadata__"
_DTYPES = {
    "BOOL": "?",
    **{f"U{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
    **{f"I{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)},
    "C64": "<c8",
}
_NAMES = {np.dtype(text): name for name, text in _DTYPES.items()}
_BFLOAT16 = "BF16"


class _Tensor(NamedTuple):
    start: int  # of its bytes, relative to the end of the header
    end: int
    dtype: str
    shape: tuple[int, ...]


def read(
    path: Path, choose: Callable[[list[str]], Iterable[str]]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays that `choose` selects from all names (or raises), and the metadata."""
    with inputs.opened(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size - _LENGTH.size
        length = file.read(_LENGTH.size)
        n_header = _LENGTH.unpack(length)[0] if len(length) == _LENGTH.size else -1
        if not 0 <= n_header <= n_bytes:
            raise _damaged(path, f"it has {max(n_bytes, 0)} bytes after the length of its header")
        if n_header > _LONGEST_HEADER:
            raise _damaged(path, f"its header claims {n_header} bytes")
        try:
            header = json.loads(file.read(n_header), object_pairs_hook=_unique)
            metadata = header.pop(_METADATA, {})
            texts = [*metadata.keys(), *metadata.values()]
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(path, f"its header is not as expected: {error}") from None
        if not all(isinstance(text, str) for text in texts):
            raise _damaged(path, "its metadata are not strings")
        tensors = {name: _tensor(path, name, entry) for name, entry in header.items()}
        end = 0
        for tensor in sorted(tensors.values()):
            if tensor.start != end:
                raise _damaged(path, "its arrays do not follow each other")
            end = tensor.end
        if end != n_bytes - n_header:
            raise _damaged(path, f"arrays have {end} bytes, but there are {n_bytes - n_header}")
        chosen = {name: tensors[name] for name in choose(list(tensors))}
        amounts.check_fits(path, sum(tensor.end - tensor.start for tensor in chosen.values()))
        arrays = {}
        for name, tensor in chosen.items():
            shown = repr(name[: npy.SHOWN])
            dtype = _dtype(f"{shown} in {path}", tensor.dtype)
            if npy.size_of(path, tensor.shape, dtype) != tensor.end - tensor.start:
                raise _damaged(path, f"{shown} has the wrong size for {tensor.shape} {dtype}")
            arrays[name] = array = np.empty(tensor.shape, dtype)
            file.seek(_LENGTH.size + n_header + tensor.start)
            if not npy.fill(array, file):
                raise _damaged(path, f"{shown} is truncated")
        return arrays, metadata


def read_arrays(path: Path, choose: Callable[[list[str]], Iterable[str]]) -> dict[str, np.ndarray]:
    """Return the arrays that `choose` selects."""
    return read(path, choose)[0]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError("a name occurs twice")
    return unique


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} is not a complete .safetensors file: {why}")


def _tensor(path: Path, name: str, entry: Any) -> _Tensor:
    """Return an array's entry in the header."""
    try:
        dtype, shape, (start, end) = (entry.pop(key) for key in ("dtype", "shape", "data_offsets"))
        if entry or any(type(number) is not int for number in (*shape, start, end)):
            raise ValueError("fields other than dtype, shape and data_offsets")
        if not 0 <= start <= end:
            raise ValueError(f"bytes from {start} to {end}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, f"{name[: npy.SHOWN]!r} has {str(error)[:200]}") from None
    return _Tensor(start, end, str(dtype), tuple(shape))


def _dtype(what: str, name: str) -> np.dtype:
    """Return the dtype for its name in the format; `what` is for the message."""
    if name == _BFLOAT16:
        return dtypes.bfloat16(what)
    if name not in _DTYPES:
        raise ValueError(f"{what} has dtype {name[: npy.SHOWN]}, which NumPy lacks")
    return np.dtype(_DTYPES[name])


def write(
    path: str | os.PathLike[str], arrays: dict[str, np.ndarray], metadata: dict[str, str] | None
) -> None:
    """Write arrays to a file, completely or not at all."""
    header: dict[str, Any] = {} if metadata is None else {_METADATA: metadata}
    # Large items first, as other writers do: this keeps all arrays aligned.
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    end = 0
    for name, array in ordered:
        start, end = end, end + array.nbytes
        dtype = _name_of(path, name, array.dtype)
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic.atomic_write(path) as file:
        file.write(_LENGTH.pack(len(text)) + text)
        for _, array in ordered:
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _name_of(path: str | os.PathLike[str], name: str, dtype: np.dtype) -> str:
    """Return the format's name of a dtype in native byte order."""
    if dtypes.is_bfloat16(dtype):
        return _BFLOAT16
    if dtype not in _NAMES:
        raise ValueError(
            f"{path}: {name} has dtype {dtype}, which .safetensors files cannot hold; expected a "
            f"name that ends in .npz"
        )
    return _NAMES[dtype]
