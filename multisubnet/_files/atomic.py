"""Files that stand under their names whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a new file to write to, and put it in the place of `path` once that is done.

    It stands in the same folder under a temporary name, and is on the disk before it gets its own.
    After an exception it is removed, and `path` is as it was.
    """
    final = place_of(path)
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if final.exists() and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), stat.S_IMODE(final.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename(temporary, final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def place_of(path: str | os.PathLike[str]) -> Path:
    """Return where a file is to be put: where a link points, and never over a device or a folder.

    Raises OSError where there is something that must not be replaced, or no folder.
    """
    final = Path(os.path.realpath(path))
    if final.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected the name of a file")
    if final.exists() and not final.is_file():
        raise FileExistsError(f"{path} is not a regular file, and cannot be replaced by one")
    if not final.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {final.parent}")
    return final


def rename(temporary: Path, final: Path) -> None:
    """Give a file its name, on the disk, too."""
    os.replace(temporary, final)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
