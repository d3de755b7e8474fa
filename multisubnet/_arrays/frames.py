"""Data frames of pandas, polars and similar libraries, whose columns have names."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from multisubnet._arrays import dtypes

_SHOWN = 5  # names in a message
# Operands whose rows belong together: those of samples, and those of sets.
_SAME_ROWS = (
    ("samples", "targets", "sample_weight", "set_index"),
    ("weight", "bias", "set_weight"),
)


def difference_of(what: str, found: tuple[str, ...], expected: tuple[str, ...]) -> str:
    """Describe how names differ from those expected."""
    unknown = [name for name in found if name not in set(expected)]
    missing = [name for name in expected if name not in set(found)]
    if unknown or missing:
        parts = [f"unknown {what}: {_some(unknown)}"] * bool(unknown)
        parts += [f"missing {what}: {_some(missing)}"] * bool(missing)
        return "; ".join(parts)
    if len(found) > len(expected):
        twice = next(name for name in found if found.count(name) > 1)
        return f"{what} that stand twice: {twice!r}"
    return f"the same {what} in another order: {_some(found)}; expected {_some(expected)}"


def _some(names: Iterable[str]) -> str:
    some = list(names)
    return ", ".join(map(repr, some[:_SHOWN])) + ", ..." * (len(some) > _SHOWN)


def check_columns(what: str, found: tuple[str, ...], expected: tuple[str, ...] | None) -> None:
    """Raise ValueError unless the columns of a table have the names of features, in order.

    The columns of targets have those of predictions. Tables other than samples may have names of
    their own: none of those expected.
    """
    if expected is None or found == expected:
        return
    if what != "samples" and not set(found) & set(expected):
        return
    if what == "targets" and len(found) == 1:
        return
    kind = "those of predictions" if what == "targets" else "feature_names"
    raise ValueError(
        f"the columns of {what} do not match {kind}: {difference_of('columns', found, expected)}"
    )


@functools.cache
def is_frame(cls: type) -> bool:
    """Return whether a class is that of a data frame, without importing any library."""
    return hasattr(cls, "columns") and hasattr(cls, "to_numpy")


def columns_of(frame: Any) -> tuple[str, ...] | None:
    """Return the names of a data frame's columns; None if they have none, only numbers."""
    columns = list(frame.columns)
    return tuple(map(str, columns)) if all(isinstance(name, str) for name in columns) else None


def values_of(what: str, frame: Any, expected: tuple[str, ...] | None = None) -> np.ndarray:
    """Return the numbers of a data frame; its columns, if they have names, must be as expected."""
    columns = columns_of(frame)
    if columns is not None:
        check_columns(what, columns, expected)
    values: np.ndarray = frame.to_numpy()
    if dtypes.is_number(values.dtype):
        return values
    # The columns of a frame differ in dtype.
    arrays = []
    for i, name in enumerate(frame.columns):
        column = frame.iloc[:, i] if hasattr(frame, "iloc") else frame.to_series(i)
        array = column.to_numpy()
        if not dtypes.is_number(array.dtype):
            raise TypeError(
                f"{what} has the column {name!r} of dtype {column.dtype}; expected numbers: "
                f"convert it to floats, or drop it"
            )
        arrays.append(array)
    return np.column_stack(arrays)


def check_order(operands: Mapping[str, Any]) -> None:
    """Raise ValueError if operands have the same columns, or labels of rows, in another order."""
    frames = {name: x for name, x in operands.items() if is_frame(type(x))}  # type: ignore[arg-type]
    named = {name: columns_of(x) for name, x in frames.items()} if len(frames) > 1 else {}
    known: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {}
    for name, found in named.items():
        if found is None:
            continue
        first, expected = known.setdefault(tuple(sorted(found)), (name, found))
        if found != expected:
            raise ValueError(
                f"the columns of {name} are not those of {first}: "
                f"{difference_of('columns', found, expected)}"
            )
    check_rows(operands)


def check_rows(operands: Mapping[str, Any]) -> None:
    """Raise ValueError if the rows of two operands have the same labels in another order.

    Labels that occur twice name no row.
    """
    for names in _SAME_ROWS:
        indices: list[tuple[str, Any]] = [
            (name, getattr(operands.get(name), "index", None)) for name in names
        ]
        indices = [(name, index) for name, index in indices if hasattr(index, "equals")]
        for name, index in indices[1:]:
            first, expected = indices[0]
            if len(index) != len(expected) or index.nlevels != expected.nlevels:
                continue
            if not (index.is_unique and expected.is_unique) or index.equals(expected):
                continue
            if index.isin(expected).all():
                raise ValueError(
                    f"the index of {name} has the labels of that of {first} in another order: pass "
                    f"{name}.loc[{first}.index], or {name}.to_numpy() if rows go by position"
                )
