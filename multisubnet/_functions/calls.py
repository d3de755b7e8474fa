"""Errors for calls with wrong arguments; the messages name the arguments of the function."""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from multisubnet._arithmetic import names
from multisubnet._arithmetic.float_mode import ONE, SMALLEST
from multisubnet._arrays import explanations
from multisubnet._arrays.frameworks import USUAL

P = ParamSpec("P")
R = TypeVar("R")


def explained(called: str, **elsewhere: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that explains wrong calls of the public function `called`.

    `elsewhere` has advice for options that belong to other functions. The decorators below this one
    are skipped if they have nothing to do: `adapted` and `keep_subnormals`.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        direct: Callable[P, R] = inspect.unwrap(function)
        parameters = inspect.signature(function).parameters.values()
        takes_any = any(p.kind is p.VAR_KEYWORD and p.name[0] != "_" for p in parameters)

        @functools.wraps(function)
        def wrapper(*args: P.args, **given: P.kwargs) -> R:
            try:
                arguments = *args, *given.values()
                if USUAL.issuperset(map(type, arguments)) and SMALLEST * ONE != 0.0:
                    return direct(*args, **given)
                return function(*args, **given)
            except TypeError as error:
                wrong = wrong_call(called, function, args, given, given if takes_any else ())
                if wrong is None:
                    raise
                advice = [text for name, text in elsewhere.items() if name in given]
                raise TypeError("; ".join([str(wrong), *advice])) from error.__cause__

        return wrapper

    return decorated


def hide_misplaced(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function whose `_misplaced` and `_unknown` collect arguments for `wrong_call`.

    Hides them from signatures. The wrapper of `explained` would make small calls slower.
    """
    signature = inspect.signature(function)
    shown = [p for p in signature.parameters.values() if not p.name.startswith("_")]
    function.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    return function


def wrong_call(
    called: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    given: Iterable[str],
    others: Iterable[str] = (),
) -> TypeError | None:
    """Return the error for arguments that do not fit a function, or None if they fit.

    `others` are options that the function passes on.
    """
    parameters = [*inspect.signature(function).parameters.values()]
    parameters = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    if parameters[0].name in ("self", "cls"):
        parameters, args = parameters[1:], args[1:]
    by_position = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = ", ".join(f"{p.name}=" for p in parameters if p.kind is p.KEYWORD_ONLY)
    taken = ", ".join(p.name for p in by_position) or "nothing"
    if len(args) > len(by_position):
        found = args[len(by_position)]
        options = f"; pass options by name: {by_name}" if by_name else ""
        return TypeError(
            f"{called} takes {taken} by position, but got {len(args)} positional arguments; the "
            f"first extra one is {explanations.shown(found)}{options}"
        )
    wrong = names.unknown_keyword(called, given, [*others, *(p.name for p in parameters)])
    by_order = [p.name for p in by_position[: len(args)]]
    required = [p.name for p in by_position if p.default is p.empty]
    missing = [name for name in required[len(args) :] if name not in given]
    if wrong is not None or not missing or set(by_order) & set(given):
        return wrong
    said = f"{called} takes {taken}, but {missing[0]} is missing"
    for p, arg in zip(by_position, args, strict=False):
        advice = explanations.advice_for_models(arg)
        if advice is not None:
            return TypeError(f"{said}; {p.name} is {explanations.a(arg)}: {advice}")
    if "bias" in required:
        said += "; pass None for bias if there is none"
    return TypeError(said)


def warn(message: str, category: type[Warning], caller: FrameType | None = None) -> None:
    """Warn about the line that called this package, or about that of another caller."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and (
        str(frame.f_globals.get("__name__")).startswith("multisubnet.")
        if caller is None
        else frame is not caller
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
