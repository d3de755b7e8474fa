"""What is wrong with an operand that is no array of numbers, and what to give instead."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_EXPECTED = "expected bool, an integer, float or complex dtype"
_SHOWN = 40  # characters of an element


def not_numbers(name: str, operand: Any, dtype: np.dtype) -> TypeError:
    """Return the error of an operand of which NumPy makes an array of another dtype than numbers.

    It says which column, element or class is to blame, as far as that can be told.
    """
    if operand is None:
        return TypeError(f"{name} is None; expected an array_like of numbers")
    advice = _of_classes(name, operand)
    if advice is not None:
        kind = type(operand).__name__
        return TypeError(f"{name} is a {kind}; expected an array_like of numbers: {advice}")
    return TypeError(f"{name} has dtype {dtype}; {_EXPECTED}{_of_contents(name, operand, dtype)}")


def not_an_array(name: str, operand: Any, error: Exception) -> ValueError:
    """Return the error of an operand of which NumPy makes no array at all."""
    found = _uneven(name, operand) or str(error)
    return ValueError(f"{name} is not an array_like of numbers: {found}")


def _of_classes(name: str, operand: Any) -> str | None:
    """Return what to do with an object that is no array and no sequence."""
    if isinstance(operand, str | bytes):
        return "give options by their names, such as activation='tanh'"
    if isinstance(operand, Mapping):
        return f"give numpy.stack(list({name}.values()), axis=-1)"
    for method in ("toarray", "to_dense", "todense"):  # SciPy, PyTorch, sparse
        if hasattr(operand, method):
            return f"give a dense array, {name}.{method}()"
    is_iterable = isinstance(operand, Iterable) and not isinstance(operand, Sequence)
    if is_iterable and not hasattr(operand, "dtype") and not hasattr(operand, "__array__"):
        return f"give list({name})"
    return None


def _of_contents(name: str, operand: Any, dtype: np.dtype) -> str:
    """Return which column or element is no number, or is one that NumPy has no dtype for."""
    if hasattr(operand, "columns") and hasattr(operand, "dtypes"):  # of pandas and its like
        for column, of_column in zip(operand.columns, operand.dtypes, strict=False):
            if not (isinstance(of_column, np.dtype) and of_column.kind in "iuf"):
                return (
                    f". Its column {column!r} has dtype {of_column}: give {name}.to_numpy(float), "
                    f"if its values are numbers, or else leave the column out or encode it"
                )
    if hasattr(operand, "to_numpy"):
        return f": give {name}.to_numpy(float)"
    array = np.asarray(operand)
    if dtype.kind != "O":
        return ""
    for index in np.ndindex(array.shape):
        element = array[index]
        if not isinstance(element, numbers.Number):
            place = f"{name}[{', '.join(map(str, index))}]" if index else name
            shown = repr(element)
            shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
            return f". {place} is {shown}, a {type(element).__name__}"
    first = type(next(iter(array.flat), None)).__name__
    return f". It has numbers as objects ({first}): give numpy.asarray({name}, float)"


def _uneven(name: str, operand: Any) -> str | None:
    """Return which of the rows in nested sequences have several lengths."""
    if not isinstance(operand, list | tuple) or not operand:
        return None
    lengths = [len(item) if hasattr(item, "__len__") else None for item in operand]
    for i, length in enumerate(lengths):
        if length != lengths[0]:
            first, other = ("no items" if n is None else f"{n} items" for n in (lengths[0], length))
            return f"{name}[0] has {first}, and {name}[{i}] has {other}"
    for i, item in enumerate(operand):
        found = _uneven(f"{name}[{i}]", item)
        if found is not None:
            return found
    return None
