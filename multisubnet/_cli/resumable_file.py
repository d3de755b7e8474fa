"""Predictions written to a .npy file that may be larger than memory, with resumable runs.

Until the file is complete its name is `NAME.part`. `NAME.part.json` beside it records what is being
computed, and how many bytes are safely on disk. The record is always true: data reach the disk
before the record says so, and the record is replaced atomically.

While one chunk is computed, a thread writes the previous one. It uses plain writes, not a memory
map: mapped pages count as memory of the process, and are cleared or read before they are written.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np

import multisubnet
from multisubnet._arrays import amounts
from multisubnet._files import atomic, npy
from multisubnet._files.inputs import InputChanged
from multisubnet._files.stored import StoredArray
from multisubnet._sets.prediction import Prediction

CHECKPOINT_BYTES = 1 << 30  # bytes between two checkpoints
_FORMAT = 1
_HASHED = 1 << 20  # bytes hashed at a time


def write(path: Any, prediction: Prediction, elements: int, resume: bool, progress: Any) -> None:
    """Write the result to a file, in chunks of at most `elements` elements.

    With `resume`, continue an interrupted run if there is one. If that run was for something else,
    ValueError says what differs.
    """
    npy.check_has(path, "the result", prediction.dtype)
    final = atomic.place_of(path)
    part = atomic.beside(final, ".part")
    record = _Record(part, atomic.beside(final, ".part.json"), _job(prediction))
    header = _header(prediction)
    with _locked(part) as file:
        atomic.copy_mode(final, file.fileno(), stat.S_IRUSR | stat.S_IWUSR)
        n_before = os.fstat(file.fileno()).st_size
        if n_before and not resume:
            raise FileExistsError(
                f"{part} is left from an unfinished run: continue it with --resume, or delete it "
                f"to start over"
            )
        check = getattr(prediction.samples, "check_unchanged", lambda: None)
        writing = _Writing(file, record, record.safe_bytes() if n_before else 0, check)
        try:
            _check_space(final, len(header) + prediction.n_bytes - n_before)
            writing.begin(header)
            _compute(prediction, elements, progress, len(header), writing)
            writing.checkpoint()
        except BaseException as error:
            is_changed = isinstance(error, InputChanged)
            try:
                writing.checkpoint()
            except OSError:
                pass
            except InputChanged:
                is_changed = True
            if writing.safe > len(header) and not is_changed:
                error.add_note(f"{part} is kept: repeat the command with --resume to continue")
            else:
                part.unlink()
                record.remove()
            raise
        atomic.copy_mode(final, file.fileno())
        atomic.rename(part, final)
        record.remove()


def _compute(
    prediction: Prediction, elements: int, progress: Any, n_header: int, writing: _Writing
) -> None:
    """Compute and write everything that is not on disk yet."""
    _, n_second, *axes = prediction.shape
    row, itemsize = prediction.row, prediction.dtype.itemsize
    elements = min(elements, math.prod(prediction.shape))
    buffers = [np.empty(max(elements, row), prediction.dtype) for _ in range(2)]
    pending: Future | None = None
    with ThreadPoolExecutor(1, "multisubnet-writer") as writer:
        for chunk, call in prediction.parts(elements, progress):
            first, second = chunk
            start = (first.start * n_second + second.start) * row
            shape = first.stop - first.start, second.stop - second.start, *axes
            end = start + math.prod(shape)
            if n_header + end * itemsize <= writing.safe:
                continue
            block = buffers[0][: end - start].reshape(shape)
            prediction.block(call, out=block)
            if pending is None:  # part of the first chunk may be on disk; the same bytes follow
                writing.seek(n_header + start * itemsize)
            else:
                pending.result()
            pending = writer.submit(writing.append, block)
            buffers.reverse()
        if pending is not None:
            pending.result()


class _Writing:
    """A growing file, and how much of it is safely on disk."""

    def __init__(
        self, file: io.FileIO, record: _Record, safe: int, check: Callable[[], None]
    ) -> None:
        self.safe = safe
        self._check = check  # raises if inputs changed, before anything is recorded as safe
        self._file, self._record = file, record
        self._end = safe  # end of the bytes written
        self._clean = safe  # up to here the system caches nothing of the file

    def begin(self, header: bytes) -> None:
        """Truncate the file to its safe part, or write the header."""
        self._file.truncate(self.safe)
        if not self.safe:
            self._record.write(0)
            self.append(np.frombuffer(header, np.uint8))

    def seek(self, end: int) -> None:
        self._end = self._file.seek(end)

    def append(self, block: np.ndarray) -> None:
        left = block.reshape(-1).view(np.uint8).data
        while left:
            left = left[self._file.write(left) :]
        self._end += block.nbytes
        # Start writing now; otherwise the system waits until a share of memory is dirty.
        self._drop()
        if self._end - self.safe >= CHECKPOINT_BYTES:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Wait until all bytes written are on disk, and record that."""
        self._check()
        atomic.sync(self._file.fileno())
        self.safe = self._end
        self._record.write(self.safe)
        self._drop()
        self._clean = self._end

    def _drop(self) -> None:
        """Start writing dirty pages to disk, and drop clean pages from memory."""
        length = self._end - self._clean
        with contextlib.suppress(OSError, AttributeError):  # not supported here
            os.posix_fadvise(self._file.fileno(), self._clean, length, os.POSIX_FADV_DONTNEED)


class _Record:
    """The file that records what is computed and how many bytes are safe."""

    def __init__(self, part: Path, path: Path, job: dict[str, Any]) -> None:
        self._part, self._path, self._job = part, path, job

    def write(self, safe: int) -> None:
        with atomic.atomic_write(self._path, follows_links=False) as file:
            file.write(json.dumps({"safe bytes": safe, "job": self._job}, indent=1).encode())

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def safe_bytes(self) -> int:
        """Check that an interrupted run had the same job, and return its number of safe bytes."""
        over = f"to start over, remove {self._part}"
        n_bytes = self._part.stat().st_size
        try:
            recorded = json.loads(self._path.read_bytes())
            safe, before = recorded["safe bytes"], recorded["job"]
            if type(safe) is not int or not 0 <= safe <= n_bytes:
                raise ValueError(f"{safe!r} bytes are safe, but the file has {n_bytes}")
            every = {**self._job, **before}
            others = [name for name in every if before.get(name) != self._job.get(name)]
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{self._path} does not describe {self._part} ({error}); {over}"
            ) from None
        if others:
            raise ValueError(
                f"{self._part} is left from a different run: "
                f"{_differences(self._job, before, others)}; {over}"
            )
        return safe


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[io.FileIO]:
    """Open a file for writing, locked against other processes."""
    # Links are not followed: someone else could redirect the output to any file.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if part.is_symlink():
        raise FileExistsError(f"{part} is a symbolic link, which is not followed; remove it")
    with open(os.open(part, flags, 0o666), "r+b", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FileExistsError(f"{part} is not a regular file; remove it")
        if not atomic.lock(part, file.fileno()):
            raise FileExistsError(f"{part} is being written by another process")
        yield file


def _header(prediction: Prediction) -> bytes:
    """Return the first bytes of a .npy file of the result."""
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(prediction.dtype)
    fields = {"descr": descr, "fortran_order": False, "shape": prediction.shape}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


# The description of a job.


def _job(prediction: Prediction) -> dict[str, Any]:
    """Return everything that determines the bytes of the result; chunks and backend do not."""
    parameters = prediction.parameters
    arrays = parameters.arrays
    if parameters.inputs is not None:
        arrays["inputs"] = parameters.inputs
    return {
        "format": _FORMAT,
        "version of multisubnet": multisubnet.__version__,
        "samples": _fingerprint(prediction.samples),
        **{name: _fingerprint(array) for name, array in arrays.items()},
        "activation": ", ".join(map(repr, parameters.activations)),
        "additive": parameters.additive,
        "set axis": prediction.set_axis,
        "dtype": prediction.dtype.str,
        "shape": list(prediction.shape),
    }


def _fingerprint(array: StoredArray | np.ndarray) -> dict[str, Any]:
    """Return values that identify an array."""
    hashed = hashlib.sha256()
    order: Literal["F", "C"]
    if isinstance(array, StoredArray):
        order = array.order
        for piece in array.pieces(_HASHED):
            hashed.update(piece.data)
    else:
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        flat = array.reshape(-1, order=order)
        step = max(_HASHED // array.itemsize, 1)
        for start in range(0, flat.size, step):
            hashed.update(np.ascontiguousarray(flat[start : start + step]).view(np.uint8).data)
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "order": order,
        "sha256": hashed.hexdigest(),
    }


def _differences(job: dict[str, Any], before: dict[str, Any], names: list[str]) -> str:
    """Describe how two jobs differ."""
    texts = []
    for name in names:
        then, now = before.get(name), job.get(name)
        if isinstance(then, dict) and isinstance(now, dict):
            fields = [field for field in now if then.get(field) != now[field]]
            then, now = ({field: x.get(field) for field in fields} for x in (then, now))
            if fields == ["sha256"]:
                texts.append(f"{name} has other numbers")
                continue
        texts.append(f"{name} was {then} and is {now}")
    return ", ".join(texts)


def _check_space(final: Path, n_bytes: int) -> None:
    """Raise OSError unless the disk reports enough free space."""
    try:
        usage = shutil.disk_usage(final.parent)
    except OSError:
        return
    if n_bytes > usage.free and usage.total:  # file systems without figures report zeros
        raise OSError(
            f"{final} needs {amounts.text(n_bytes)} more, but only {amounts.text(usage.free)} are "
            f"free in {final.parent}"
        )
