"""Files that are written completely or not at all.

Some file systems lack locks, syncing of folders, long names or permissions. Nothing here requires
them; where they are missing, files are written as safely as the system allows.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LONGEST_NAME = 255  # bytes, if the folder does not report a limit
_TOKEN = 8  # hexadecimal digits that distinguish temporary files
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, follows_links: bool = True) -> Iterator[BinaryIO]:
    """Open a new file for writing, and move it to `path` when the context ends.

    The file has a temporary name in the same folder, and is synced to disk before it is renamed.
    After an exception it is removed, and `path` is unchanged. If `path` is a symbolic link, its
    target is replaced or, without `follows_links`, the link itself.
    """
    final = place_of(path) if follows_links else Path(path)
    _remove_left(final)
    temporary, file = _temporary(final)
    try:
        with file:
            if follows_links:
                copy_mode(final, file.fileno())
            yield file
            file.flush()
            sync(file.fileno())
            if os.name != "posix":  # Windows cannot rename an open file
                file.close()
            rename(temporary, final)  # still locked, so that nobody removes it as a leftover
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def place_of(path: str | os.PathLike[str]) -> Path:
    """Return the path to write a file to: links are resolved, devices and folders refused.

    Raises OSError if `path` must not be replaced, or if its folder does not exist.
    """
    final = Path(os.path.realpath(path))
    if final.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected the name of a file")
    if final.exists() and not final.is_file():
        raise FileExistsError(f"{path} is not a regular file, and cannot be replaced by one")
    if not final.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {final.parent}")
    return final


def beside(final: Path, end: str, start: str = "") -> Path:
    """Return the path of a companion of `final`: its name with text added at both ends.

    Names longer than the file system allows are cut, and made unique by a digest.
    """
    try:
        longest = os.pathconf(final.parent, "PC_NAME_MAX")
    except (AttributeError, ValueError, OSError):  # Windows, or a system without the limit
        longest = _LONGEST_NAME
    name, encoded = final.name, os.fsencode(final.name)
    if len(start) + len(encoded) + len(end) > longest:
        digest = f"-{hashlib.sha256(encoded).hexdigest()[:8]}"
        kept = longest - len(start) - len(digest) - len(end)
        name = encoded[:kept].decode(errors="ignore") + digest
    return final.with_name(f"{start}{name}{end}")


def copy_mode(final: Path, fd: int, more: int = 0) -> None:
    """Give an open file the permissions of the file it replaces, if there is one, and `more`."""
    with contextlib.suppress(OSError, AttributeError):  # no such file, or no permissions here
        os.fchmod(fd, stat.S_IMODE(os.stat(final).st_mode) | more)


def sync(fd: int) -> None:
    """Wait until an open file or folder is on disk, if the file system supports it."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def rename(temporary: Path, final: Path) -> None:
    """Rename a file, and wait until the new name is on disk."""
    os.replace(temporary, final)
    if os.name != "posix":  # folders cannot be opened
        return
    try:
        folder = os.open(final.parent, os.O_RDONLY)
    except PermissionError:  # the folder is writable but not readable
        return
    try:
        sync(folder)
    finally:
        os.close(folder)


def lock(path: Path, fd: int) -> bool:
    """Lock an open file against other processes until it is closed; return whether that worked.

    False means that another process holds the lock, or that `path` is now another file. On a file
    system without locks, assume that no other process has the file.
    """
    has_lock = _has_lock(fd)
    if not has_lock:
        return has_lock is None
    try:
        # A previous holder of the lock may have renamed or removed the file after it was opened.
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _has_lock(fd: int) -> bool | None:
    """Lock an open file; return whether that worked, or None if there are no locks here."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _temporary(final: Path) -> tuple[Path, BinaryIO]:
    """Return the path of a new file beside `final`, and the file, open and locked."""
    while True:
        path = beside(final, f".{secrets.token_hex(_TOKEN // 2)}.tmp", start=".")
        file = open(path, "xb")  # noqa: SIM115 (the caller closes it)
        if lock(path, file.fileno()):
            return path, file
        file.close()  # another process took it for a leftover and removes it


def _remove_left(final: Path) -> None:
    """Remove temporary files of killed processes: those that nobody has locked."""
    start = beside(final, f".{'0' * _TOKEN}.tmp", start=".").name[: -_TOKEN - len(".tmp")]
    ours = re.compile(re.escape(start) + rf"[0-9a-f]{{{_TOKEN}}}\.tmp")
    with contextlib.suppress(OSError):  # the folder may not be readable
        for path in [
            Path(entry) for entry in os.scandir(final.parent) if ours.fullmatch(entry.name)
        ]:
            with contextlib.suppress(OSError):  # a link, someone else's file, or already removed
                fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if _has_lock(fd):
                        path.unlink()
                finally:
                    os.close(fd)
