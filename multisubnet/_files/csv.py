"""Reading and writing tables of comma-separated numbers."""

from __future__ import annotations

import array
import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from multisubnet._files import atomic as _replace
from multisubnet._files import inputs
from multisubnet._memory import amounts as _memory

_GROWTH = 8  # a number takes at least two bytes of a file, and sixteen while its array grows


def read(path: Path) -> np.ndarray:
    """Return a table of float64, of shape (rows, columns).

    The first line is a header if none of its cells is a number.
    """
    with inputs.opened(path, "r", encoding="utf-8-sig", newline="") as file:
        _memory.check_fits(path, _GROWTH * os.fstat(file.fileno()).st_size)
        lines = csv.reader(file, strict=True)
        numbers = array.array("d")
        n_columns, header = None, None
        try:
            for row in lines:
                if not row:
                    continue
                if n_columns is None:
                    n_columns, header = len(row), lines.line_num
                    if all(_number(cell) is None for cell in row):
                        continue
                if len(row) != n_columns:
                    raise ValueError(
                        f"{path}:{lines.line_num}: {_count(len(row))}; expected {n_columns}, as in "
                        f"line {header}"
                    )
                for column, cell in enumerate(row, 1):
                    number = _number(cell)
                    if number is None:
                        raise ValueError(
                            f"{path}:{lines.line_num}: column {column} is {cell[:40]!r}; expected "
                            f"a number"
                        )
                    numbers.append(number)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}:{lines.line_num + 1}: not a table of comma-separated numbers: {error}"
            ) from None
    if n_columns is None:
        raise ValueError(f"{path} is empty; expected a table of comma-separated numbers")
    return np.asarray(numbers).reshape(-1, n_columns)


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python alone reads 1_000
    except ValueError:
        return None


def _count(n_cells: int) -> str:
    return f"{n_cells} cell" + "s" * (n_cells != 1)


def write(
    path: str | os.PathLike[str],
    result: np.ndarray,
    axes: Sequence[str],
    columns: Sequence[object],
) -> None:
    """Write an array as a table, which stands there whole or not at all.

    A line has the values along the last axis, whose columns have names; `axes` are the names of
    those before it, whose indices come first. Numbers are as short as they can be and still be read
    as the same.
    """
    if result.dtype.kind == "c":
        raise ValueError(f"{path}: tables have no complex numbers; expected .npy or .npz")
    if result.dtype.kind == "b":
        result = result.view(np.uint8)
    with _replace.replacing(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([*axes, *columns])
        for index in np.ndindex(result.shape[:-1]):
            lines.writerow([*index, *map(str, result[index])])
        text.detach()
