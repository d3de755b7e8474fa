"""Names of features, outputs and sets, and data frames whose columns have names."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arrays import dtypes, explanations

_SHOWN = 5  # names in a message


class Names(NamedTuple):
    """The names of sets; None if they have none."""

    features: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    sets: tuple[str, ...] | None = None

    @classmethod
    def read(
        cls, features: Any, outputs: Any, sets: Any, sizes: tuple[int, int, int], longer: bool
    ) -> Names:
        """Return names given by a user, for the numbers of features, outputs and sets in `sizes`.

        More features may be named if samples may have more.
        """
        n_features, n_outputs, n_sets = sizes
        return cls(
            _read("feature_names", features, n_features, at_least=longer, distinct=True),
            _read("output_names", outputs, n_outputs, distinct=True),
            _read("set_names", sets, n_sets),
        )

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The names in the form stored in files: JSON lists as bytes."""
        return {
            f"{kind[:-1]}_names": np.frombuffer(json.dumps(names).encode(), np.uint8)
            for kind, names in self._asdict().items()
            if names is not None
        }

    @staticmethod
    def pop_from(arrays: dict[str, np.ndarray]) -> tuple[Any, Any, Any]:
        """Remove the names from a file's arrays, and return those of features, outputs and sets."""
        features, outputs, sets = (
            _from_json(key, arrays.pop(key, None))
            for key in ("feature_names", "output_names", "set_names")
        )
        return features, outputs, sets

    @property
    def distinct_sets(self) -> tuple[str, ...] | None:
        """The names of the sets if no two are the same, otherwise None."""
        return self.sets if len(set(self.sets or ())) == len(self.sets or ()) else None

    def of_sets(self, index: Any) -> Names:
        """Return the names of some sets, given by a slice or an array of indices."""
        if self.sets is None:
            return self
        chosen = self.sets[index] if isinstance(index, slice) else [self.sets[i] for i in index]
        return self._replace(sets=tuple(chosen))

    @classmethod
    def joined(cls, what: str, every: list[Names]) -> Names:
        """Return the names of concatenated sets.

        Features and outputs get the names that any of them have; sets keep theirs if all have some.
        """
        common: dict[str, Any] = {}
        for kind in ("features", "outputs"):
            known = [(i, getattr(one, kind)) for i, one in enumerate(every)]
            known = [(i, names) for i, names in known if names is not None]
            for i, names in known:
                if names != known[0][1]:
                    difference = difference_of(kind, names, known[0][1])
                    raise ValueError(
                        f"{what}[{i}] has other {kind[:-1]}_names than {what}[{known[0][0]}]: "
                        f"{difference}"
                    )
            common[kind] = known[0][1] if known else None
        if all(one.sets is not None for one in every):
            common["sets"] = tuple(name for one in every for name in one.sets or ())
        return cls(**common)


def _read(
    what: str, names: Any, count: int, *, at_least: bool = False, distinct: bool = False
) -> tuple[str, ...] | None:
    """Return names as a tuple of `count` strings, or None."""
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"{what} must be a sequence of strings, not {names!r}")
    found = tuple(names)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{what} contains {name!r}; expected strings")
    if len(found) < count or (len(found) > count and not at_least):
        least = "at least " * at_least
        raise ValueError(
            f"{what} has {explanations.count(len(found), 'name')}; expected {least}{count}"
        )
    if distinct and len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise ValueError(f"{what} contains {twice!r} twice")
    return tuple(map(str, found))  # plain strings, not subclasses like numpy.str_


def _from_json(what: str, array: np.ndarray | None) -> list[str] | None:
    """Return the names stored in a file."""
    if array is None:
        return None
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError(f"{what} has shape {array.shape} and dtype {array.dtype}")
    try:
        names = json.loads(array.tobytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is not a list in JSON: {error}") from None
    if not isinstance(names, list):
        raise ValueError(f"{what} is not a list in JSON")
    return names


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

    The columns of targets have those of predictions, or names of their own.
    """
    if expected is None or found == expected:
        return
    if what == "targets" and (len(found) == 1 or not set(found) & set(expected)):
        return
    kind = "those of predictions" if what == "targets" else "feature_names"
    raise ValueError(
        f"the columns of {what} do not match {kind}: {difference_of('columns', found, expected)}"
    )


def check_header(what: str, cells: tuple[str, ...], expected: tuple[str, ...] | None) -> None:
    """Check the columns of a table whose names may have spaces, and a # at first, before them."""
    found = tuple(name.strip() for name in (cells[0].lstrip("# "), *cells[1:]))
    if cells != expected and found != tuple(name.strip() for name in expected or ()):
        check_columns(what, found, expected)


# Data frames of pandas, polars and similar libraries.


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


def of_frames(weight: Any, bias: Any, feature_names: Any) -> tuple[Any, Any, Any]:
    """Return the parameters as arrays if they are frames, and the names of features.

    By default the features have the names of the columns; otherwise these must be the same.
    """
    operands = {"weight": weight, "bias": bias}
    for what, operand in operands.items():
        if is_frame(type(operand)):  # type: ignore[arg-type]
            if feature_names is None:
                feature_names = columns_of(operand)
            elif not isinstance(feature_names, str):
                feature_names = tuple(feature_names)
            expected = feature_names if isinstance(feature_names, tuple) else None
            operands[what] = values_of(what, operand, expected)
    return operands["weight"], operands["bias"], feature_names
