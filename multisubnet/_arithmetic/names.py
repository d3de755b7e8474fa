"""Validation of names given by users, with suggestions for unknown ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Vocabulary(NamedTuple):
    """The names of one kind of thing; case does not matter."""

    what: str
    aliases: Mapping[str, str]
    """Names of the same functions in other libraries, and ours for each."""
    different: Mapping[str, str]
    """Names of similar functions in other libraries, in lower case, and advice for each."""

    def canonical(self, name: str, names: Sequence[str]) -> str:
        """Return the one of our `names` that a name stands for, or raise ValueError."""
        known = {ours.lower(): ours for ours in names}
        known |= {alias.lower(): ours for alias, ours in self.aliases.items() if ours in names}
        if name.lower() in known:
            return known[name.lower()]
        error = unknown(self.what, name, names, self.aliases)
        if name.lower() in self.different:
            error = ValueError(f"{self.what} {name!r}: {self.different[name.lower()]}")
        raise error


def validate(what: str, given: Any, names: Sequence[str]) -> list[str]:
    """Return one or several names as a list, or raise if any is unknown."""
    if not isinstance(given, Iterable):
        raise TypeError(f"{what} is {given!r}; expected some of {', '.join(names)}")
    found = [given] if isinstance(given, str) else list(given)
    for name in found:
        if name not in names:
            hint = _hint(name, names)
            raise ValueError(f"{what} has {name!r}; expected some of {', '.join(names)}{hint}")
    return found


def unknown(
    what: str, name: object, names: Iterable[str], aliases: Iterable[str] = ()
) -> ValueError:
    """Return the error for an unknown name, with a suggestion from names and aliases."""
    names = list(names)
    hint = _hint(name, [*aliases, *names])
    return ValueError(f"{what} must be one of {', '.join(names)}, not {name!r}{hint}")


# `mlp_mean_loss` and `mean_loss` name the same option differently.
_SYNONYMS = {"per_feature": "per_subnetwork", "per_subnetwork": "per_feature"}


def unknown_keyword(function: str, given: Iterable[str], names: Iterable[str]) -> TypeError | None:
    """Return the error for the first keyword argument that is none of `names`, if any."""
    names = list(names)
    for name in given:
        if name not in names:
            hint = (
                _hint(_SYNONYMS.get(name, name), names) or f"; expected some of {', '.join(names)}"
            )
            return TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")
    return None


def _hint(name: object, names: Iterable[str]) -> str:
    import difflib

    lower, given = {other.lower(): other for other in names}, str(name).lower()
    near = difflib.get_close_matches(given, lower, n=1, cutoff=0.7)
    if not near and len(given) > 2:  # letters in another order, or the beginning of a name
        near = [x for x in lower if sorted(x) == sorted(given)]
        near += [x for x in lower if x.startswith(given)]
    return f" (did you mean {lower[near[0]]!r}?)" if near else ""
