"""Files that are read, and must not change meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


class InputChanged(ValueError):
    """A file was written to while it was read: what was computed of it is no result."""


class Unchanged:
    """What an open file was like when it was opened."""

    def __init__(self, path: Path, file: IO[Any]) -> None:
        self._path, self._file = path, file
        self._before = self._state()

    def check(self) -> None:
        """Raise InputChanged if the file was written to since, as far as size and time tell."""
        if self._state() != self._before:
            raise InputChanged(f"{self._path} was changed while it was read")

    def _state(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def opened(path: Path, mode: str = "rb", **keywords: Any) -> Iterator[IO[Any]]:
    """Open a file that is read whole; InputChanged says that it changed before that was done."""
    with open(path, mode, **keywords) as file:
        unchanged = Unchanged(path, file)
        yield file
        unchanged.check()
