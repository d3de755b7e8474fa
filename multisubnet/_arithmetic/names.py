"""Names that users give, and what they may have meant by one that there is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def some(what: str, given: Any, names: Sequence[str]) -> list[str]:
    """Return a name, or names, of which there are these, as a list."""
    if not isinstance(given, Iterable):
        raise TypeError(f"{what} is {given!r}; expected some of {', '.join(names)}")
    found = [given] if isinstance(given, str) else list(given)
    for name in found:
        if name not in names:
            hint = _hint(name, names)
            raise ValueError(f"{what} has {name!r}; expected some of {', '.join(names)}{hint}")
    return found


def unknown(what: str, name: object, names: Iterable[str]) -> ValueError:
    """Return the error of a name that is none of some names."""
    names = list(names)
    hint = _hint(name, names)
    return ValueError(f"{what} must be one of {', '.join(names)}, not {name!r}{hint}")


def _hint(name: object, names: Iterable[str]) -> str:
    import difflib

    lower = {other.lower(): other for other in names}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1)
    return f" (did you mean {lower[near[0]]!r}?)" if near else ""
