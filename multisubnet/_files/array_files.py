"""Arrays in files of several formats, chosen by file name suffix."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from multisubnet._files import atomic, csv, npy, safetensors
from multisubnet._files.stored import StoredArray

SUFFIXES = (".npy", ".npz", ".csv", ".safetensors")


def suffix(path: str | os.PathLike[str]) -> str:
    """Return the suffix of a name, one of SUFFIXES, in lower case."""
    end = Path(path).suffix.lower()
    if end not in SUFFIXES:
        raise ValueError(f"{path} must end in one of {', '.join(SUFFIXES)}")
    return end


def read(
    path: str | os.PathLike[str],
    name: str,
    has_header: bool | None = None,
    check_columns: Callable[[tuple[str, ...]], None] | None = None,
) -> np.ndarray:
    """Return an array of numbers from a file; arrays of .npy files are mapped and read-only.

    A file that can contain several arrays must contain exactly one, or one of that name. `csv.read`
    describes `has_header`, and calls `check_columns` with the names in the header.
    """
    end, place = suffix(path), Path(path)
    if end == ".csv":
        return csv.read(place, has_header, check_columns)
    if end == ".npy":
        with contextlib.closing(StoredArray(place)) as stored:
            return stored.whole()

    def choose(names: list[str]) -> list[str]:
        if name not in names and len(names) != 1:
            shown = ", ".join(sorted(names))[:200] or "none"
            raise ValueError(f"{path} has the arrays {shown}; expected exactly one, or {name}")
        return [name] if name in names else names

    read = npy.members if end == ".npz" else safetensors.read_arrays
    (array,) = read(place, choose).values()
    if array.dtype.kind == "U":
        raise ValueError(f"{path} contains text; expected an array of numbers")
    return array


@contextlib.contextmanager
def opened(
    path: str | os.PathLike[str],
    name: str,
    has_header: bool | None = None,
    check_columns: Callable[[tuple[str, ...]], None] | None = None,
) -> Iterator[StoredArray | np.ndarray]:
    """Return the array of a file; for a .npy file, one whose parts are read when needed."""
    if suffix(path) == ".npy":
        with contextlib.closing(StoredArray(Path(path))) as stored:
            yield stored
    else:
        yield read(path, name, has_header, check_columns)


def write(
    path: str | os.PathLike[str],
    array: np.ndarray,
    name: str,
    axes: Sequence[str],
    columns: Sequence[object],
    labels: Mapping[str, Sequence[object]] = {},
) -> None:
    """Write an array to a file, completely or not at all.

    `axes`, `columns` and `labels` are for tables: see `csv.write`.
    """
    end = suffix(path)
    if end == ".csv":
        csv.write(path, array, axes, columns, labels)
    elif end == ".safetensors":
        safetensors.write(path, {name: array}, None)
    else:
        npy.check_has(path, name, array.dtype)
        with atomic.atomic_write(path) as file:
            if end == ".npy":
                np.save(file, array, allow_pickle=False)
            else:
                npy.write_members(file, {name: array})
