"""Reading and writing .safetensors files, with the library of that name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from multisubnet._arrays import dtypes as _dtypes
from multisubnet._files import atomic as _replace
from multisubnet._memory import amounts as _memory

# Those of its dtypes that NumPy has, and the one that it has with ml_dtypes.
_DTYPES = frozenset(
    ["BOOL", "U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64", "F16", "F32", "F64", "C64"]
)
_OF_ML_DTYPES = "BF16"


def _library(path: Any) -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            f"{path}: safetensors is not installed; install it with 'pip install safetensors'"
        ) from None
    return safetensors


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return all arrays of a file by their names, and its metadata."""
    library = _library(path)
    with open(path, "rb") as file:  # the system's errors, which the library does not tell apart
        n_bytes = os.fstat(file.fileno()).st_size
    _memory.check_fits(path, n_bytes)
    try:
        with library.safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (it is no dict)
                dtype = file.get_slice(name).get_dtype()
                if dtype == _OF_ML_DTYPES:
                    _dtypes.bfloat16(f"{name!r} in {path}")
                elif dtype not in _DTYPES:
                    raise ValueError(f"{name!r} in {path} has dtype {dtype}, which NumPy has not")
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except library.SafetensorError as error:
        raise ValueError(f"{path} is not a whole .safetensors file: {error}") from None


def write(
    path: str | os.PathLike[str], arrays: dict[str, np.ndarray], metadata: dict[str, str] | None
) -> None:
    """Write arrays to a file, which stands there whole or not at all."""
    library = _library(path)
    for name, array in arrays.items():
        if array.dtype.char in "gDG":
            raise ValueError(
                f"{path}: {name} has dtype {array.dtype}, which .safetensors files have not; "
                f"expected a name that ends in .npz"
            )
    with _replace.replacing(path) as file:
        library.numpy.save_file(arrays, file.name, metadata)
