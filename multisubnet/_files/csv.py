"""Reading and writing tables of comma-separated numbers."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from multisubnet._arrays import amounts
from multisubnet._arrays.explanations import count
from multisubnet._files import atomic, inputs

_GROWTH = 6  # reading a file takes at most this many times its size
_LONGEST_LINE = 1 << 20  # characters; parsing a line takes about twenty times its size
_NO_NAMES = frozenset(["na", "n/a", "nan", "nil", "none", "null", "missing", "true", "false"])


class _Lines:
    """The lines of a file; remembers the last one read."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.number, self.last = 0, ""

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(_LONGEST_LINE):
            self.number, self.last = self.number + 1, line
            if len(line) == _LONGEST_LINE:
                raise ValueError(f"a line of {_LONGEST_LINE} characters or more")
            yield line


def read(
    path: Path,
    has_header: bool | None = None,
    check_names: Callable[[tuple[str, ...]], None] | None = None,
) -> np.ndarray:
    """Return a table as float64 of shape (rows, columns).

    `check_names` takes the cells of the header, if there is one, and raises ValueError if they are
    wrong. The names 0, 1, 2, ... of unnamed pandas columns are not checked.

    The first line is a header if all its cells are words, which begin with a letter; a # may
    precede them. It is data if all cells are numbers, unless these count up in equal steps, as
    automatic column names do. Anything else needs `has_header`: True means that the first line is a
    header in any case; False, that it is data unless all cells are words.
    """
    with inputs.opened(path, "r", encoding="utf-8-sig", newline="") as file:
        amounts.check_fits(path, _GROWTH * os.fstat(file.fileno()).st_size)
        lines = _Lines(file)
        rest = iter(lines)
        try:
            first = next(filter(None, csv.reader(rest, strict=True)), None)
            if first is None:
                raise ValueError("empty; expected a table of comma-separated numbers")
            if not _is_header(first, has_header):
                rest = itertools.chain([lines.last], rest)
            else:
                if check_names is not None and first != [str(i) for i in range(len(first))]:
                    check_names(tuple(first))
                rest = _with_cells(rest, len(first))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about tables without rows
                table = np.loadtxt(
                    rest, delimiter=",", quotechar='"', comments=None, ndmin=2, dtype=np.float64
                )
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}:{lines.number + 1}: not a table of comma-separated numbers: {error}"
            ) from None
        except ValueError as error:
            # NumPy does not count the header and blank lines as rows.
            text = re.sub(r" at row \d+(, column \d+)?.*", r"\1", " ".join(str(error).split()))
            change = re.match(r"the number of columns changed from (\d+) to (\d+)", text)
            if change is not None:
                text = f"{count(int(change[2]), 'cell')}; expected {change[1]}, as in the first row"
            advice = _advice(lines.last, lines.number)
            raise ValueError(f"{path}:{max(lines.number, 1)}: {text[:300]}{advice}") from None
    return table if len(table) else np.empty((0, len(first)))


def _with_cells(lines: Iterator[str], expected: int) -> Iterator[str]:
    """Return the lines; raise ValueError unless the first has as many cells as the header."""
    first = next((line for line in lines if line.strip("\r\n")), None)
    if first is None:
        return iter(())
    found = len(next(csv.reader([first])))
    if found != expected:
        commas = "; decimals have a point, not a comma" * (found == 2 * expected)
        raise ValueError(f"{count(found, 'cell')}; expected {expected}, as in the header{commas}")
    return itertools.chain([first], lines)


def _advice(line: str, number: int) -> str:
    """Return advice for a line that cannot be read: for tables of a spreadsheet or of pandas."""
    for separator in ";\t":
        if separator in line:
            return f"; cells are separated by commas, not by {separator!r}"
    if number == 1 and line.startswith((",", '"",')):
        return "; write the table without its index: to_csv(path, index=False)"
    if line.strip() and re.search(r"(^|,)\s*(,|$)", line):
        return "; write missing values as nan: to_csv(path, na_rep='nan')"
    return ""


def _is_header(row: list[str], has_header: bool | None) -> bool:
    """Return whether the first row of a table is a header; raise ValueError if ambiguous."""
    if not has_header and len(row) == 1 and re.search("[;\t]", row[0]):
        raise ValueError("1 cell; expected numbers or names (--header accepts any names)")
    if has_header or all(map(_is_word, [row[0].lstrip("# "), *row[1:]])):
        return True
    numbers = list(map(_is_number, row))
    if has_header is False or (all(numbers) and not _count_up(row)):
        return False
    if all(numbers):
        raise ValueError(
            f"{','.join(row)[:40]} may be names or numbers; use --header or --no-header"
        )
    cell = row[numbers.index(False)]
    raise ValueError(
        f"column {numbers.index(False) + 1} is {cell[:40]!r}; expected numbers, or names that "
        f"begin with letters, in all columns (--header accepts any names)"
    )


def _is_word(cell: str) -> bool:
    cell = cell.strip()
    is_name = cell[:1].isalpha() or cell[:1] == "_"
    return is_name and cell.lower() not in _NO_NAMES and not _is_number(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # only Python reads 1_000 as a number


def _count_up(row: list[str]) -> bool:
    """Return whether numbers look like 0,1,2, the names pandas gives, or 2019,2020, or 400,410."""
    if not all(cell.strip().isdecimal() for cell in row):
        return False
    numbers = [int(cell) for cell in row]
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    if len(row) < 3:
        return steps == {1} or numbers == [0]
    return len(steps) == 1 and min(steps) > 0


def write(
    path: str | os.PathLike[str],
    result: np.ndarray,
    axes: Sequence[str],
    columns: Sequence[object],
    labels: Mapping[str, Sequence[object]],
) -> None:
    """Write an array as a table, completely or not at all.

    Each line has the values along the last axis, which the columns name. The indices of the other
    axes, or the `labels` in their place, come first, in columns named by `axes`. Numbers are
    written with the fewest digits that read back exactly.
    """
    if result.dtype.kind == "c":
        raise ValueError(f"{path}: tables cannot hold complex numbers; expected .npy or .npz")
    if result.dtype.kind == "b":
        result = result.view(np.uint8)
    with atomic.atomic_write(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([*axes, *columns])
        named = [labels.get(axis) for axis in axes]
        for index in np.ndindex(result.shape[:-1]):
            first = [
                i if names is None else names[i] for i, names in itertools.zip_longest(index, named)
            ]
            lines.writerow([*first, *map(str, result[index])])
        text.detach()
