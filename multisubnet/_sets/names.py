"""Names of features, outputs and sets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arrays import explanations
from multisubnet._arrays.frames import (
    check_columns,
    check_rows,
    columns_of,
    difference_of,
    is_frame,
    values_of,
)


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


def check_header(what: str, cells: tuple[str, ...], expected: tuple[str, ...] | None) -> None:
    """Check the columns of a table whose names may have spaces, and a # at first, before them."""
    found = tuple(name.strip() for name in (cells[0].lstrip("# "), *cells[1:]))
    if cells != expected and found != tuple(name.strip() for name in expected or ()):
        check_columns(what, found, expected)


def of_frames(weight: Any, bias: Any, feature_names: Any) -> tuple[Any, Any, Any]:
    """Return the parameters as arrays if they are frames, and the names of features.

    By default the features have the names of the columns; otherwise these must be the same, or
    names of their own.
    """
    operands = {"weight": weight, "bias": bias}
    check_rows(operands)
    for what, operand in operands.items():
        if is_frame(type(operand)):  # type: ignore[arg-type]
            if feature_names is None:
                feature_names = columns_of(operand)
            elif not isinstance(feature_names, str):
                feature_names = tuple(feature_names)
            expected = feature_names if isinstance(feature_names, tuple) else None
            operands[what] = values_of(what, operand, expected)
    return operands["weight"], operands["bias"], feature_names
