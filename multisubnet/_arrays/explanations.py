"""Error messages for operands that are not arrays of numbers, with advice on what to pass."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_EXPECTED = "expected bool, an integer, float or complex dtype"
_SHOWN = 40  # characters of an element


def not_numbers(name: str, operand: Any, dtype: np.dtype) -> TypeError:
    """Return the error for an operand that NumPy converts to a dtype that is not numeric.

    The message names the column, element or class responsible, if it can be determined.
    """
    if operand is None:
        return TypeError(f"{name} is None; expected an array_like of numbers")
    advice = _of_classes(name, operand)
    if advice is not None:
        kind = type(operand).__name__
        return TypeError(f"{name} is a {kind}; expected an array_like of numbers: {advice}")
    return TypeError(f"{name} has dtype {dtype}; {_EXPECTED}{_of_contents(name, operand, dtype)}")


def not_an_array(name: str, operand: Any, error: Exception) -> ValueError:
    """Return the error for an operand that NumPy cannot convert to an array."""
    found = _uneven(name, operand) or str(error)
    return ValueError(f"{name} is not an array_like of numbers: {found}")


def _of_classes(name: str, operand: Any) -> str | None:
    """Return advice for an object that is neither an array nor a sequence, or None."""
    if isinstance(operand, str | bytes):
        return "pass options by name, such as activation='tanh'"
    if isinstance(operand, Mapping):
        return f"pass numpy.stack(list({name}.values()), axis=-1)"
    for method in ("toarray", "to_dense", "todense"):  # SciPy, PyTorch, sparse
        if hasattr(operand, method):
            return f"pass a dense array, {name}.{method}()"
    is_iterable = isinstance(operand, Iterable) and not isinstance(operand, Sequence)
    if is_iterable and not hasattr(operand, "dtype") and not hasattr(operand, "__array__"):
        return f"pass list({name})"
    return None


def _of_contents(name: str, operand: Any, dtype: np.dtype) -> str:
    """Name the column or element that is not a number, or a number without a NumPy dtype."""
    if hasattr(operand, "columns") and hasattr(operand, "dtypes"):  # a data frame
        for column, of_column in zip(operand.columns, operand.dtypes, strict=False):
            if not (isinstance(of_column, np.dtype) and of_column.kind in "iuf"):
                return (
                    f". Its column {column!r} has dtype {of_column}: pass {name}.to_numpy(float) "
                    f"if its values are numbers, otherwise drop or encode the column"
                )
    if hasattr(operand, "to_numpy"):
        return f": pass {name}.to_numpy(float)"
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
    return f". It contains numbers as objects ({first}): pass numpy.asarray({name}, float)"


def _uneven(name: str, operand: Any) -> str | None:
    """Describe nested sequences whose rows differ in length."""
    if not isinstance(operand, list | tuple) or not operand:
        return None
    lengths = [len(item) if hasattr(item, "__len__") else None for item in operand]
    for i, length in enumerate(lengths):
        if length != lengths[0]:
            first, other = ("no items" if n is None else f"{n} items" for n in (lengths[0], length))
            return f"{name}[0] has {first}, but {name}[{i}] has {other}"
    for i, item in enumerate(operand):
        found = _uneven(f"{name}[{i}]", item)
        if found is not None:
            return found
    return None
