"""Files that stand under their names whole, or not at all.

File systems lack what others have: locks, syncing of folders, long names, permissions. Nothing
here needs those; where they are missing, a file is written as safely as the system allows.
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

_LONGEST_NAME = 255  # bytes, if a folder does not tell
_TOKEN = 8  # hexadecimal digits that tell temporary files apart
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, follows_links: bool = True) -> Iterator[BinaryIO]:
    """Give a new file to write to, and put it in the place of `path` once that is done.

    It stands in the same folder under a temporary name, and is on the disk before it gets its own.
    After an exception it is removed, and `path` is as it was. If `path` is a symbolic link, the
    file that it points to is replaced or, without `follows_links`, the link itself.
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
            if os.name != "posix":  # there an open file cannot get another name
                file.close()
            rename(temporary, final)  # while it is locked, so that nobody takes it for one left
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


def beside(final: Path, end: str, start: str = "") -> Path:
    """Return the path of a file that belongs to `final`: its name with more at both ends.

    A name longer than the file system allows is cut, and told from others by a digest.
    """
    try:
        longest = os.pathconf(final.parent, "PC_NAME_MAX")
    except (AttributeError, ValueError, OSError):  # Windows; systems that do not tell
        longest = _LONGEST_NAME
    name, encoded = final.name, os.fsencode(final.name)
    if len(start) + len(encoded) + len(end) > longest:
        digest = f"-{hashlib.sha256(encoded).hexdigest()[:8]}"
        kept = longest - len(start) - len(digest) - len(end)
        name = encoded[:kept].decode(errors="ignore") + digest
    return final.with_name(f"{start}{name}{end}")


def copy_mode(final: Path, fd: int, more: int = 0) -> None:
    """Give an open file the permissions of that whose place it takes, if there is one, and more."""
    with contextlib.suppress(OSError, AttributeError):  # none there; or a system without them
        os.fchmod(fd, stat.S_IMODE(os.stat(final).st_mode) | more)


def sync(fd: int) -> None:
    """Wait until an open file or folder is on the disk, if the file system can say so."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def rename(temporary: Path, final: Path) -> None:
    """Give a file its name, on the disk, too."""
    os.replace(temporary, final)
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    try:
        folder = os.open(final.parent, os.O_RDONLY)
    except PermissionError:  # a folder that may be written to, and not read
        return
    try:
        sync(folder)
    finally:
        os.close(folder)


def lock(path: Path, fd: int) -> bool:
    """Lock an open file against other processes, until it is closed; return whether that was done.

    False: another process has it, or `path` is another file by now. A file system without locks
    is taken for one on which nobody else has the file.
    """
    has_lock = _has_lock(fd)
    if not has_lock:
        return has_lock is None
    try:
        # The process that had the lock may have renamed or removed the file since it was opened.
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _has_lock(fd: int) -> bool | None:
    """Lock an open file; return whether that was done, or None if the file system has no locks."""
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
        file.close()  # another process took it for one that was left, and removes it


def _remove_left(final: Path) -> None:
    """Remove temporary files of processes that were killed: those that nobody has locked."""
    start = beside(final, f".{'0' * _TOKEN}.tmp", start=".").name[: -_TOKEN - len(".tmp")]
    ours = re.compile(re.escape(start) + rf"[0-9a-f]{{{_TOKEN}}}\.tmp")
    with contextlib.suppress(OSError):  # a folder that may not be read
        for path in [
            Path(entry) for entry in os.scandir(final.parent) if ours.fullmatch(entry.name)
        ]:
            with contextlib.suppress(OSError):  # a link; somebody else's file; one that is gone
                fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if _has_lock(fd):
                        path.unlink()
                finally:
                    os.close(fd)
