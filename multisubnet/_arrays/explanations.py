"""Words of error messages, and the messages for operands that are not arrays of numbers."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_EXPECTED = "expected bool, an integer, float or complex dtype"
_SHOWN = 40  # characters of an element


def a(thing: Any) -> str:
    """Return the class of an object with an article: a list, an ndarray."""
    name = type(thing).__name__
    is_spelled = name[:2].isupper() and name[0] in "FLMNRSX"  # an MLP
    sounds_like_vowel = is_spelled or name[0] in "aeioAEIO" or name.startswith("nd")
    return f"an {name}" if sounds_like_vowel else f"a {name}"


def count(number: int, noun: str) -> str:
    """Return a number of things: 1 input, 2 inputs."""
    return f"{number} {noun}" + "s" * (number != 1)


def shown(value: Any) -> str:
    """Return a value as a short text."""
    if getattr(value, "ndim", 0):
        return f"an array of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= _SHOWN and "\n" not in text else a(value)


def advice_for_models(operand: Any) -> str | None:
    """Return what to do with weight sets, or with a model, instead of passing them as an array."""
    if hasattr(operand, "predict_chunks"):
        return (
            "use its methods, such as predict(samples) and mean_loss(samples, targets), or pass "
            "its arrays: weight and bias, or layers"
        )
    if hasattr(operand, "to_weight_sets"):  # our layers and modules
        return "use its to_weight_sets()"
    if any(hasattr(operand, name) for name in ("get_weights", "named_parameters", "get_params")):
        return "use WeightSets.from_models([model]) and its methods"
    return None


def not_numbers(name: str, operand: Any, dtype: np.dtype) -> TypeError:
    """Return the error for an operand that NumPy converts to a dtype that is not numeric.

    The message names the column, element or class responsible, if it can be determined.
    """
    if operand is None:
        return TypeError(f"{name} is None; expected an array_like of numbers")
    advice = _of_classes(name, operand)
    if advice is not None:
        return TypeError(f"{name} is {a(operand)}; expected an array_like of numbers: {advice}")
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
        return f"pass numpy.column_stack(list({name}.values()))"
    of_models = advice_for_models(operand)
    if of_models is not None:
        return of_models
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
            text = repr(element)
            text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
            return f". {place} is {text}, {a(element)}"
    first = type(next(iter(array.flat), None)).__name__
    return f". It contains numbers as objects ({first}): pass numpy.asarray({name}, float)"


def _uneven(name: str, operand: Any) -> str | None:
    """Describe nested sequences whose rows differ in length."""
    if not isinstance(operand, list | tuple) or not operand:
        return None
    if all(getattr(item, "ndim", 0) for item in operand):
        sizes = [f"shape {tuple(item.shape)}" for item in operand]
    else:
        lengths = [len(item) if hasattr(item, "__len__") else None for item in operand]
        sizes = ["no items" if n is None else count(n, "item") for n in lengths]
    for i, size in enumerate(sizes):
        if size != sizes[0]:
            return f"{name}[0] has {sizes[0]}, but {name}[{i}] has {size}{_of_parts(name, operand)}"
    for i, item in enumerate(operand):
        found = _uneven(f"{name}[{i}]", item)
        if found is not None:
            return found
    return None


def _of_parts(name: str, operand: list[Any] | tuple[Any, ...]) -> str:
    """Return advice for a sequence of arrays that may be layers, or parts of the features."""
    n_axes = [getattr(item, "ndim", 0) for item in operand]
    if name.startswith("weight") and max(n_axes) > 2:
        return "; pass the layers of networks to mlp or WeightSets.from_layers"
    if name == "samples" and set(n_axes) == {2} and len({len(item) for item in operand}) == 1:
        return f"; to join features, pass numpy.column_stack({name})"
    return ""
