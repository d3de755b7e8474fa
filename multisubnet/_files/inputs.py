"""Input files that must not change while they are read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


class InputChanged(ValueError):
    """A file was modified while it was read, so results computed from it are invalid."""


class Unchanged:
    """The state of an open file when it was opened."""

    def __init__(self, path: Path, file: IO[Any]) -> None:
        self._path, self._file = path, file
        self._before = self._state()

    def check(self) -> None:
        """Raise InputChanged if size or time show that the file was modified since."""
        if self._state() != self._before:
            raise InputChanged(f"{self._path} was changed while it was read")

    def _state(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def opened(path: Path, mode: str = "rb", **keywords: Any) -> Iterator[IO[Any]]:
    """Open a file to be read completely; raise InputChanged if it changes meanwhile."""
    with open(path, mode, **keywords) as file:
        unchanged = Unchanged(path, file)
        yield file
        unchanged.check()
