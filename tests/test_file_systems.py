"""File systems with missing features, folders shared with other users, and killed runs."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import multisubnet as ms
from multisubnet._cli.main import main

ROOT = Path(__file__).parent.parent
SETS = ms.WeightSets(np.ones((4, 2), np.float32))
SAMPLES = np.ones((3, 2), np.float32)
PREDICT = ["predict", "x.npy", "w.npz", "-o"]
INPUTS = {"x.npy", "y.npy", "w.npz"}


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """A folder with inputs, as the current directory."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", SAMPLES)
    np.save("y.npy", SAMPLES)
    SETS.save("w.npz")


def save(name):
    SETS.save(name)


def predict(name):
    assert main([*PREDICT, name]) == 0


def judge(name):
    assert main(["loss", "x.npy", "w.npz", "y.npy", "-o", name]) == 0


WRITERS = [
    (save, ".npz"),
    (save, ".safetensors"),
    *((function, end) for function in (predict, judge) for end in (".npy", ".npz", ".csv")),
]
all_writers = pytest.mark.parametrize(("write", "end"), WRITERS)


def left():
    """Return the files other than the inputs."""
    return set(os.listdir()) - INPUTS


# File systems with missing features.


def refusing(code):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    return refuse


def of_files_only(function, code):
    def call(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(code, os.strerror(code))
        function(fd)

    return call


@all_writers
@pytest.mark.parametrize(
    ("owner", "name", "codes"),
    [
        (os, "fsync", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP]),
        (os, "fdatasync", [errno.EINVAL]),
        (os, "fchmod", [errno.EPERM, errno.ENOSYS]),
        (os, "posix_fadvise", [errno.EINVAL, errno.ENOSYS]),
        (os, "statvfs", [errno.ENOSYS]),
        (fcntl, "flock", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL]),
    ],
)
def test_missing_features_of_file_systems(monkeypatch, write, end, owner, name, codes):
    """The file is written as with NumPy; twice, because the second time it exists."""
    for code in codes:
        monkeypatch.setattr(owner, name, refusing(code))
        write(f"out{end}")
        write(f"out{end}")
        assert left() == {f"out{end}"}


@all_writers
def test_folders_that_cannot_be_synced(monkeypatch, write, end):
    for code in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
        monkeypatch.setattr(os, "fsync", of_files_only(os.fsync, code))
        write(f"out{end}")
    assert left() == {f"out{end}"}


@all_writers
def test_a_folder_that_cannot_be_read(monkeypatch, write, end):
    """Mode 0300 allows creating files. (For root, who may read it, the system is simulated.)"""
    of_os = os.open

    def unreadable(path, flags, *more):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return of_os(path, flags, *more)

    monkeypatch.setattr(os, "open", unreadable)
    monkeypatch.setattr(os, "scandir", refusing(errno.EACCES))
    write(f"out{end}")


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_errors_of_a_folder_are_reported(monkeypatch, code):
    monkeypatch.setattr(os, "fsync", of_files_only(os.fsync, code))
    with pytest.raises(OSError, match=os.strerror(code)):
        SETS.save("out.npz")
    assert main([*PREDICT, "out.npy"]) == 1


def test_a_file_system_without_figures_of_free_space(monkeypatch):
    nothing = shutil.disk_usage(".")._replace(total=0, used=0, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: nothing)
    predict("out.npy")
    assert left() == {"out.npy"}


@all_writers
@pytest.mark.parametrize("stem", ["x" * 243, "\u91cd" * 81, "\u91cd" * 80 + "xx"])
def test_names_as_long_as_they_can_be(write, end, stem):
    """The longest name has 255 bytes; a companion file needs a shorter one."""
    name = stem[: 255 - len(end)] + end
    write(name)
    write(name)
    assert left() == {name}
    with pytest.raises(OSError, match="File name too long"):
        SETS.save("x" * 300 + ".npz")


@pytest.mark.parametrize("stem", ["x" * 251, "\u91cd" * 83])
def test_a_long_name_does_not_hide_an_interrupted_run(monkeypatch, stem):
    other = f"{stem[:-1]}y.npy"
    name = f"{stem}.npy"
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails_for(".npy"))
        assert main([*PREDICT, name]) == 1
    parts = left()
    assert len(parts) == 2
    predict(other)  # its part would have the same name if names were only cut
    assert left() == parts | {other}
    assert main([*PREDICT, name]) == 1
    assert main([*PREDICT, name, "--resume"]) == 0
    assert left() == {name, other}


def fails_for(end):
    replace = os.replace

    def call(source, target):
        if str(target).endswith(end):
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    return call


# Folders shared with other users.


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("end", [".part", ".part.json"])
@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_nothing_is_written_through_a_link(tmp_path_factory, end, is_there, more):
    """Anyone can create a link in /tmp that points to a file of yours."""
    victim = tmp_path_factory.mktemp("home") / "victim"
    if is_there:
        victim.write_bytes(b"")
    os.symlink(victim, f"out.npy{end}")
    code = main([*PREDICT, "out.npy", *more])
    assert victim.exists() == is_there
    if is_there:
        assert victim.read_bytes() == b""
    assert code == (end == ".part")
    assert os.path.lexists("out.npy") == (code == 0)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_part_that_is_not_a_file(capsys, make):
    make("out.npy.part")
    assert main([*PREDICT, "out.npy"]) == 1
    assert "out.npy.part" in capsys.readouterr().err
    assert left() == {"out.npy.part"}


@all_writers
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o400])
def test_a_file_keeps_its_mode(write, end, mode):
    name = f"out{end}"
    write(name)
    os.chmod(name, mode)
    write(name)
    assert stat.S_IMODE(os.stat(name).st_mode) == mode


def test_a_private_file_is_private_while_it_is_written(monkeypatch):
    predict("out.npy")
    os.chmod("out.npy", 0o600)
    modes = []
    sync = os.fsync

    def look(fd):
        if os.path.exists("out.npy.part"):
            modes.append(stat.S_IMODE(os.stat("out.npy.part").st_mode))
        sync(fd)

    monkeypatch.setattr(os, "fsync", look)
    predict("out.npy")
    assert set(modes) == {0o600}


# After killed runs.

KILLED = """
import os, signal, sys
import multisubnet as ms
if len(sys.argv) > 2:
    os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)
ms.WeightSets([[1.0]]).save(sys.argv[1])
"""


def save_elsewhere(name, *more):
    command = [sys.executable, "-c", KILLED, name, *more]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)


@pytest.mark.parametrize("name", ["out.npz", "x" * 251 + ".npz"])
def test_leftovers_of_killed_runs_are_removed(name):
    for _ in range(2):
        assert save_elsewhere(name, "killed").returncode == -signal.SIGKILL
        assert len(left()) == 1  # the file of the previous run was removed
    (temporary,) = left()
    with open(temporary, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as if it was still being written
        SETS.save(name)
        assert left() == {name, temporary}
    SETS.save("other.npz")
    assert left() == {name, temporary, "other.npz"}
    SETS.save(name)
    assert left() == {name, "other.npz"}
    assert ms.WeightSets.load(name) == SETS


def test_without_locks_no_file_counts_as_leftover(monkeypatch):
    assert save_elsewhere("out.npz", "killed").returncode == -signal.SIGKILL
    before = left()
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    SETS.save("out.npz")
    assert left() == before | {"out.npz"}


def test_files_of_others_do_not_count_as_leftovers():
    names = {".out.npz.tmp", ".out.npz.1234.tmp", ".out.npz.1234abcd.tmpx", "out.npz.1234abcd.tmp"}
    for name in names:
        Path(name).touch()
    os.symlink("x.npy", ".out.npz.0000abcd.tmp")
    SETS.save("out.npz")
    assert left() == names | {"out.npz", ".out.npz.0000abcd.tmp"}


def test_many_processes_that_save_at_once():
    """A file that was created but is not locked yet may look like a leftover."""
    code = "import sys, multisubnet as ms\nfor i in range(100):\n    "
    code += (
        "ms.WeightSets([[float(sys.argv[1])]] * 2).save('out.npz'); ms.WeightSets.load('out.npz')"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(number)], env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        for number in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert left() == {"out.npz"}
