"""Predictions in files: the same bytes however often a run is interrupted."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet._arrays import amounts
from multisubnet._cli import resumable_file
from multisubnet._cli.main import main
from multisubnet._files import array_files
from multisubnet._sets import prediction as _prediction
from multisubnet.testing import activations, problems

ROOT = Path(__file__).parent.parent
N_SETS, N_SAMPLES, N_FEATURES = 40, 50, 3  # 48,128 bytes in float64, with the header


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with inputs, as the current directory, and the expected result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resumable_file, "CHECKPOINT_BYTES", 5_000)
    monkeypatch.setattr(resumable_file, "_HASHED", 64)
    return make_inputs(tmp_path)


def make_inputs(folder):
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(N_SAMPLES, N_FEATURES))
    sets = ms.WeightSets(*rng.normal(size=(2, N_SETS, N_FEATURES)), activation="tanh")
    np.save(folder / "samples.npy", samples)
    sets.save(folder / "weights.npz")
    np.save(folder / "expected.npy", sets.predict(samples))
    return (folder / "expected.npy").read_bytes()


INPUTS = ["predict", "samples.npy", "weights.npz", "-o", "out.npy"]
PREDICT = [*INPUTS, "--chunk", "2"]


def left(folder="."):
    """Return the files other than the inputs."""
    return sorted(set(os.listdir(folder)) - {"samples.npy", "weights.npz", "expected.npy"})


@settings(max_examples=examples(1 / 4))  # each example waits for the disk
@given(
    problem=problems(dtypes=["bool", "int16", "float16", "float32", "float64", "complex64"]),
    activation=st.none() | activations(),
    set_axis=st.integers(0, 1),
    elements=st.integers(1, 100),
)
def test_the_file_is_what_numpy_would_save(tmp_path, problem, activation, set_axis, elements):
    is_real = np.result_type(*(x for x in problem if x is not None)).kind != "c"
    sets = ms.WeightSets(problem.weight, problem.bias, activation if is_real else None)
    prediction = sets._prediction(problem.samples, set_axis)
    resumable_file.write(tmp_path / "out.npy", prediction, elements, False, False)
    np.save(tmp_path / "expected.npy", sets.predict(problem.samples, set_axis=set_axis))
    written, expected = (np.load(tmp_path / f"{name}.npy") for name in ("out", "expected"))
    assert written.dtype == expected.dtype
    assert written.shape == expected.shape
    both = np.array_equal(written, expected, equal_nan=written.dtype.kind in "fc")
    assert both
    assert sorted(os.listdir(tmp_path)) == ["expected.npy", "out.npy"]


class Failing:
    """A function that fails at one of its calls."""

    def __init__(self, function, call, error):
        self.function, self.left, self.error = function, call, error

    def __call__(self, *arguments, **keywords):
        self.left -= 1
        if self.left == 0:
            raise self.error
        return self.function(*arguments, **keywords)


@settings(max_examples=examples(1 / 4))
@given(data=st.data())
def test_a_failed_run_is_resumed(files, data):
    """At any call, several times, with other chunk sizes each time."""
    computed = []
    of_block = _prediction.Prediction.block

    def block(self, operands, out=None):
        computed.append(out.shape[0])
        return of_block(self, operands, out)

    def run(failing=None, call=0):
        chunk = str(data.draw(st.integers(1, 9)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_prediction.Prediction, "block", block)
            if failing is not None:
                owner, name = failing
                fails = Failing(getattr(owner, name), call, OSError(28, "No space left on device"))
                patch.setattr(owner, name, lambda *a, **k: fails(*a, **k))
            return main([*INPUTS, "--chunk", chunk, "--resume"])

    for name in left():
        os.remove(name)
    places = [
        (os, "fsync"),
        (os, "replace"),
        (resumable_file._Writing, "append"),
        (_prediction.Prediction, "block"),
    ]
    for _ in range(data.draw(st.integers(1, 3))):
        code = run(data.draw(st.sampled_from(places)), data.draw(st.integers(1, 25)))
        assert code == (not os.path.exists("out.npy"))
        if code == 0:
            break
        assert left() in ([], ["out.npy.part", "out.npy.part.json"])
    computed.clear()
    safe = 0
    if os.path.exists("out.npy.part"):
        safe = json.loads(Path("out.npy.part.json").read_text())["safe bytes"]
    assert run() == 0
    assert Path("out.npy").read_bytes() == files
    assert left() == ["out.npy"]
    rows_safe = max(safe - 128, 0) // (8 * N_SAMPLES * N_FEATURES)
    assert N_SETS - rows_safe <= sum(computed) <= N_SETS - rows_safe + 9


# A process that kills itself at one of the calls that write to disk.
KILLED = """
import os, signal, sys
from multisubnet._cli import resumable_file
from multisubnet._cli.main import main

number, arguments = int(sys.argv[1]), sys.argv[2:]
calls = 0

def killing(function):
    def call(*arguments, **keywords):
        global calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGNAL)
        return function(*arguments, **keywords)
    return call

resumable_file.CHECKPOINT_BYTES = 5_000
resumable_file._Writing.append = killing(resumable_file._Writing.append)
for name in ("fsync", "replace", "open"):
    setattr(os, name, killing(getattr(os, name)))
code = main(arguments)
if number < 0:
    print(calls)
sys.exit(code)
"""


def run(folder, number, *arguments, signal="SIGKILL"):
    command = [sys.executable, "-c", KILLED.replace("SIGNAL", signal), str(number), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MULTISUBNET_BACKEND": "numpy"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_killed_run_is_resumed(tmp_path):
    expected = make_inputs(tmp_path)
    calls = int(run(tmp_path, -1, *PREDICT).stdout.split()[-1])
    assert calls > 60
    os.remove(tmp_path / "out.npy")
    draw = random.Random(0)
    for number in [*draw.sample(range(1, calls), 4), calls]:
        for again in (number, draw.randrange(1, calls)):
            if run(tmp_path, again, *PREDICT, "--resume").returncode == -9:
                is_whole = (tmp_path / "out.npy").exists()  # killed after its last step but one
                assert not is_whole or (tmp_path / "out.npy").read_bytes() == expected
        done = run(tmp_path, -1, *PREDICT, "--resume")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "out.npy").read_bytes() == expected
        assert left(tmp_path) == ["out.npy"]
        os.remove(tmp_path / "out.npy")


def test_killed_between_its_two_last_steps(files):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resumable_file._Record, "remove", lambda self: None)
        assert main(PREDICT) == 0
    assert left() == ["out.npy", "out.npy.part.json"]
    os.remove("out.npy")  # the record says that everything is safe, but there is no file
    assert main([*PREDICT, "--resume"]) == 0
    assert Path("out.npy").read_bytes() == files
    assert left() == ["out.npy"]


def test_recorded_bytes_are_on_disk(files, monkeypatch):
    """A power failure must not lose anything that is recorded as safe."""
    on_disk, recorded = [0], []
    fsync, replace = os.fsync, os.replace

    def synced(fd):
        fsync(fd)
        is_of_part = os.path.exists("out.npy.part") and os.path.samestat(
            os.fstat(fd), os.stat("out.npy.part")
        )
        if is_of_part:
            on_disk.append(os.fstat(fd).st_size)

    def replaced(source, target):
        if str(target).endswith(".json"):
            recorded.append(json.loads(Path(source).read_text())["safe bytes"])
            assert recorded[-1] <= on_disk[-1]
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    assert main(PREDICT) == 0
    assert recorded == on_disk
    assert recorded[-1] == len(files)
    assert len(recorded) == 2 + len(files) // (2 * 8 * N_SAMPLES * N_FEATURES * 3)


def test_the_next_chunk_is_computed_while_one_is_written(files, monkeypatch):
    computed, write = threading.Semaphore(0), resumable_file._Writing.append
    of_block = _prediction.Prediction.block

    def block(self, operands, out=None):
        of_block(self, operands, out)
        computed.release()

    def append(self, block):
        is_header, is_last = block.ndim == 1, self._end + block.nbytes == len(files)
        if not is_header:
            assert computed.acquire(timeout=20)
            if not is_last:  # the next chunk must not have overwritten the one being written
                assert computed.acquire(timeout=20)
                computed.release()
        write(self, block)

    monkeypatch.setattr(_prediction.Prediction, "block", block)
    monkeypatch.setattr(resumable_file._Writing, "append", append)
    assert main(PREDICT) == 0
    assert Path("out.npy").read_bytes() == files


def test_the_system_is_not_left_with_pages_to_keep(files, monkeypatch):
    advised = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda fd, start, length, advice: advised.append((start, length))
    )
    assert main(PREDICT) == 0
    ends = [start + length for start, length in advised]
    assert ends == sorted(ends)
    assert ends[-1] == len(files)
    reached = 0  # end of the bytes that were on disk before
    for start, length in advised:
        assert start <= reached
        reached = max(reached, start + length)


# Runs that must not be continued.


@pytest.fixture
def interrupted(files, monkeypatch, capsys):
    """A run that was interrupted in the middle; returns the state of its files."""
    with pytest.MonkeyPatch.context() as patch:
        fails = Failing(resumable_file._Writing.append, 9, OSError(28, "No space left on device"))
        patch.setattr(resumable_file._Writing, "append", lambda *a: fails(*a))
        assert main(PREDICT) == 1
    message = capsys.readouterr().err
    assert "No space left on device" in message
    assert "out.npy.part is kept: repeat the command with --resume to continue" in message
    return {name: Path(name).read_bytes() for name in left()}


def other_samples():
    samples = np.load("samples.npy")
    samples[-1, -1] = np.nextafter(samples[-1, -1], 9)
    np.save("samples.npy", samples)


def fewer_samples():
    np.save("samples.npy", np.load("samples.npy")[1:])


def other_weights():
    sets = ms.WeightSets.load("weights.npz")
    ms.WeightSets(sets.weight * 2, sets.bias, "tanh").save("weights.npz")


def no_bias():
    ms.WeightSets(ms.WeightSets.load("weights.npz").weight, activation="tanh").save("weights.npz")


def other_version():
    text = Path("out.npy.part.json").read_text()
    Path("out.npy.part.json").write_text(text.replace(f'"{ms.__version__}"', '"0.0.1"'))


def shorter_part():
    os.truncate("out.npy.part", 200)


def damaged(*contents):
    def damage():
        Path("out.npy.part.json").write_bytes(contents[0])

    return damage


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (
            other_samples,
            [],
            "is left from a different run: samples has other numbers; to start over",
        ),
        (fewer_samples, [], "samples was {'shape': [50, 3], 'sha256'"),
        (other_weights, [], "weight has other numbers"),
        (no_bias, [], "bias was {'dtype': '<f8'"),
        (None, ["--activation", "relu"], "activation was Activation('tanh') and is Activation('re"),
        (None, ["--set-axis", "1"], "set axis was 0 and is 1"),
        (other_version, [], f"version of multisubnet was 0.0.1 and is {ms.__version__}"),
        (shorter_part, [], "bytes are safe, but the file has 200); to start over, remove"),
        (damaged(b'{"safe bytes": 3'), [], "out.npy.part.json does not describe"),
        (damaged(b'{"safe bytes": -1, "job": {}}'), [], "does not describe"),
        (damaged(b'{"safe bytes": 3, "job": []}'), [], "does not describe"),
        (damaged(b"[]"), [], "does not describe"),
        (damaged(b"\xff"), [], "does not describe"),
        (lambda: os.remove("out.npy.part.json"), [], "does not describe"),
    ],
)
def test_a_run_that_differs_is_refused(interrupted, capsys, change, more, message):
    if change is not None:
        change()
    before = Path("out.npy.part").read_bytes()
    assert main([*PREDICT, *more, "--resume"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "remove" in error
    assert error.count("\n") == 1
    assert Path("out.npy.part").read_bytes() == before
    assert not os.path.exists("out.npy")


def changing(call, change):
    """A method that changes an input at one of its calls, and then does its work."""

    def do(self, *arguments, **keywords):
        nonlocal call
        call -= 1
        if call == 0:
            change()
        return method(self, *arguments, **keywords)

    method = _prediction.Prediction.block
    return do


def in_place(content):
    def change():
        with open("samples.npy", "r+b") as file:
            file.write(content)
        status = os.stat("samples.npy")
        os.utime("samples.npy", ns=(status.st_atime_ns, status.st_mtime_ns + 10**7))

    return change


@pytest.mark.parametrize(
    "change", [in_place(b"\x93NUMPY"), lambda: os.truncate("samples.npy", 300)]
)
@pytest.mark.parametrize("out", ["out.npy", "out.npz"])
@settings(max_examples=examples(1 / 10))
@given(call=st.integers(1, 19))
def test_an_input_that_changes(files, change, out, call):
    """A result that mixes old and new samples is invalid, and nothing is left to resume."""
    make_inputs(Path())
    command = ["predict", "samples.npy", "weights.npz", "-o", out]
    command += ["--chunk", "2"] if out == "out.npy" else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            _prediction.Prediction,
            "block",
            changing(min(call, 1 + 18 * (out == "out.npy")), change),
        )
        assert main(command) == 1
    assert left() == []
    make_inputs(Path())
    assert main(command) == 0
    os.remove(out)


def test_an_input_that_changes_before_an_interrupt(files):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_prediction.Prediction, "block", changing(9, in_place(b"\x93NUMPY")))
        fails = Failing(resumable_file._Writing.append, 9, KeyboardInterrupt())
        patch.setattr(resumable_file._Writing, "append", lambda *a: fails(*a))
        assert main(PREDICT) == 130
    assert left() == []


@pytest.mark.parametrize("name", ["samples.npy", "expected.npy"])
def test_an_input_of_losses_that_changes(files, monkeypatch, capsys, name):
    np.save("expected.npy", np.load("samples.npy"))
    mean_loss = ms.WeightSets.mean_loss

    def changed(*arguments, **keywords):
        os.utime(name, ns=(0, 0))
        return mean_loss(*arguments, **keywords)

    monkeypatch.setattr(ms.WeightSets, "mean_loss", changed)
    assert main(["loss", "samples.npy", "weights.npz", "expected.npy"]) == 1
    told = capsys.readouterr()
    assert told.err == f"multisubnet: error: {name} was changed while it was read\n"
    assert told.out == ""


@pytest.mark.parametrize("end", [".npz", ".safetensors", ".csv"])
def test_an_input_that_changes_while_it_is_read_whole(files, monkeypatch, end):
    samples = np.load("samples.npy")
    array_files.write(f"s{end}", samples, "samples", ["i"], "abc")
    check_fits = amounts.check_fits

    def changed(what, n_bytes):
        os.utime(what, ns=(0, 0))
        check_fits(what, n_bytes)

    monkeypatch.setattr(amounts, "check_fits", changed)
    with pytest.raises(ValueError, match=rf"s{end} was changed while it was read"):
        array_files.read(f"s{end}", "samples")


def test_a_replaced_file_stays_readable(files, monkeypatch):
    """Editors, and this program, replace files: an open file stays unchanged."""

    def replace():
        np.save("other.npy", np.zeros((N_SAMPLES, N_FEATURES)))
        os.replace("other.npy", "samples.npy")

    monkeypatch.setattr(_prediction.Prediction, "block", changing(9, replace))
    assert main(PREDICT) == 0
    assert Path("out.npy").read_bytes() == files


@given(data=st.data())
def test_parts_of_a_stored_array(tmp_path, data):
    shape = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))
    dtype = data.draw(st.sampled_from(["<f4", ">f8", "i1", "<c16"]))
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    np.save(tmp_path / "a.npy", np.asarray(array, order=data.draw(st.sampled_from("CF"))))
    with array_files.opened(tmp_path / "a.npy", "") as stored:
        for _ in range(3):
            bounds = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in shape]
            part = tuple(slice(*bound) for bound in bounds)[: data.draw(st.integers(1, len(shape)))]
            read = stored[part] if len(part) > 1 else stored[part[0]]
            assert read.dtype == array.dtype
            np.testing.assert_array_equal(read, array[part])
        assert b"".join(map(bytes, stored.pieces(7))) == stored.whole().tobytes("A")


def test_other_chunks_and_backends_are_no_difference(interrupted, files):
    assert main([*INPUTS, "--chunk", "7", "--backend", "numpy", "--resume"]) == 0
    assert Path("out.npy").read_bytes() == files


def test_without_resume_a_part_is_refused(interrupted, capsys):
    assert main(PREDICT) == 1
    error = capsys.readouterr().err
    assert "out.npy.part is left from an unfinished run" in error
    assert "continue it with --resume, or delete it to start over" in error
    assert {name: Path(name).read_bytes() for name in left()} == interrupted


def test_resume_starts_a_new_run(files):
    assert main([*PREDICT, "--resume"]) == 0
    assert Path("out.npy").read_bytes() == files


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_two_runs_at_once(interrupted, capsys, more):
    with open("out.npy.part", "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main([*PREDICT, *more]) == 1
    assert "out.npy.part is being written by another process" in capsys.readouterr().err
    assert {name: Path(name).read_bytes() for name in left()} == interrupted


# Disk space, and existing files.


def test_no_room_on_the_disk(files, monkeypatch, capsys):
    usage = shutil.disk_usage(".")._replace(free=40_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert main(PREDICT) == 1
    error = capsys.readouterr().err
    assert "out.npy needs 47 KiB more, but only 39.1 KiB are free in" in error
    assert left() == []


def test_room_for_the_rest_is_enough(interrupted, files, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=len(files) - len(interrupted["out.npy.part"]))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert main([*PREDICT, "--resume"]) == 0
    assert Path("out.npy").read_bytes() == files


@pytest.mark.parametrize(("limit", "is_kept"), [(200, False), (4_000, True), (30_000, True)])
def test_a_disk_that_fills_up(tmp_path, limit, is_kept):
    expected = make_inputs(tmp_path)
    (tmp_path / "out.npy").write_text("before")
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    full = subprocess.run(
        [sys.executable, "-c", code + KILLED, "-1", *PREDICT],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MULTISUBNET_BACKEND": "numpy"},
        capture_output=True,
        text=True,
    )
    assert full.returncode == 1
    assert full.stderr.startswith("multisubnet: error: [Errno 27] File too large")
    assert full.stderr.count("\n") == 1
    assert (tmp_path / "out.npy").read_text() == "before"
    kept = ["out.npy.part", "out.npy.part.json"] if is_kept else []
    assert left(tmp_path) == ["out.npy", *kept]
    assert run(tmp_path, -1, *PREDICT, "--resume").returncode == 0
    assert (tmp_path / "out.npy").read_bytes() == expected


@pytest.mark.parametrize(
    ("signal", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")]
)
def test_signals(tmp_path, signal, code, word):
    expected = make_inputs(tmp_path)
    done = run(tmp_path, 40, *PREDICT, signal=signal)
    assert done.returncode == code
    assert done.stderr.startswith(f"multisubnet: {word}; ")
    assert "out.npy.part is kept: repeat the command with --resume to continue\n" in done.stderr
    assert done.stderr.count("\n") == 1
    assert left(tmp_path) == ["out.npy.part", "out.npy.part.json"]
    early = run(tmp_path, -1, *PREDICT, "--resume")
    assert early.returncode == 0
    assert (tmp_path / "out.npy").read_bytes() == expected


def test_a_signal_before_the_first_checkpoint(tmp_path):
    make_inputs(tmp_path)
    done = run(tmp_path, 5, *PREDICT, signal="SIGINT")
    assert done.returncode == 130
    assert done.stderr == "multisubnet: interrupted\n"
    assert left(tmp_path) == []


def test_a_limit_that_leaves_nothing(files, capsys):
    assert main([*INPUTS, "--memory-limit", "15M"]) == 1
    error = capsys.readouterr().err
    assert "--memory-limit is 15 MiB, but the program with its inputs may take" in error


@pytest.mark.parametrize("shape", [(70, 100_000, 10), (1, 100_000_000, 1)])
def test_memory_stays_within_the_limit(tmp_path, shape):
    """The peak memory of the process, as the system counts it, with Numba if installed.

    It includes pages of mapped samples.
    """
    n_sets, *of_samples = shape
    samples = np.lib.format.open_memmap(
        tmp_path / "samples.npy", "w+", np.float32, tuple(of_samples)
    )
    samples[-1] = 1
    samples.flush()
    ms.WeightSets(np.ones((n_sets, shape[2]), np.float32)).save(tmp_path / "weights.npz")
    command = [sys.executable, "-m", "multisubnet", *INPUTS, "--memory-limit", "400M"]
    # A small process between: the memory of this one would count until the program begins.
    between = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    between += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    done = subprocess.run(
        [sys.executable, "-c", between, *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    result = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert result.shape == shape
    assert result[-1, -1, -1] == 1
    assert 50 << 20 < int(done.stdout.split()[-1]) < 400 << 20
    for name in ("out.npy", "samples.npy"):
        os.remove(tmp_path / name)
