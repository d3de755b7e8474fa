"""The command line: its results, and its error messages."""

from __future__ import annotations

import csv
import itertools
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet._arrays import amounts
from multisubnet._cli import commands
from multisubnet._cli.main import _parser, main
from multisubnet._files import array_files
from multisubnet._files import stored as _stored
from multisubnet._sets import chunks
from multisubnet._sets.weight_sets import CAUSES_OF_NAN
from multisubnet.testing import assert_same_bits

ROOT = Path(__file__).parent.parent
SAMPLES = np.array([[3.0, 7.0], [9.0, 4.0], [0.5, -1.0]], np.float32)
SETS = ms.WeightSets(
    np.array([[2, 9], [8, 6], [-1, 1], [0, 0]], np.float32), np.ones((4, 2), np.float32), "tanh"
)
TARGETS = np.array([[1, 0], [0, 1], [1, 1]], np.float32)

PREDICT = ["predict", "x.npy", "w.npz", "-o", "out.npy"]


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """A folder with inputs, as the current directory."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", SAMPLES)
    np.save("y.npy", TARGETS)
    SETS.save("w.npz")


def program(*arguments, **keywords):
    command = [sys.executable, "-m", "multisubnet", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | keywords
    return subprocess.run(command, env=environment, text=True, **keywords)


# Predictions.


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize("set_axis", [0, 1])
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("backend", [None, "numpy"])
def test_predict(suffix, set_axis, activation, backend):
    more = [] if activation is None else ["--activation", activation]
    more += [] if backend is None else ["--backend", backend]
    out = f"out{suffix}"
    assert main(["predict", "x.npy", "w.npz", "-o", out, "--set-axis", str(set_axis), *more]) == 0
    expected = ms.affine(
        SAMPLES, SETS.weight, SETS.bias, activation=activation or "tanh", set_axis=set_axis
    )
    assert_same_bits(np.array(array_files.read(out, "predictions")), expected)
    assert len(os.listdir()) == 4


def test_predict_a_table():
    Path("x.csv").write_text("a,b\n3,7\n9,4\n")
    assert main(["predict", "x.csv", "w.npz", "-o", "out.csv", "--activation", "linear"]) == 0
    lines = Path("out.csv").read_text().splitlines()
    assert lines[:3] == ["set,sample,f0,f1", "0,0,7.0,64.0", "0,1,19.0,37.0"]
    assert len(lines) == 9
    assert main(["predict", "x.csv", "w.npz", "-o", "out.csv", "--set-axis", "1"]) == 0
    assert Path("out.csv").read_text().startswith("sample,set,f0,f1\n0,0,")


def test_sets_with_names_in_outputs(capsys):
    def outputs(set_names):
        sets = ms.WeightSets(SETS.weight, SETS.bias, "tanh", set_names=set_names)
        sets.save("w.npz")
        losses = np.sort(sets.mean_loss(SAMPLES, TARGETS))
        assert main(["predict", "x.npy", "w.npz", "-o", "p.csv"]) == 0
        assert main(["predict", "x.npy", "w.npz", "-o", "q.csv", "--set-axis", "1"]) == 0
        capsys.readouterr()
        assert main(["loss", "x.npy", "w.npz", "y.npy", "--best", "4", "-o", "l.csv"]) == 0
        printed = list(csv.reader(capsys.readouterr().out.splitlines(), "excel-tab"))
        assert [float(loss) for _, loss in printed] == losses.tolist()
        tables = {}
        for name in "pql":
            with open(f"{name}.csv", newline="") as file:
                tables[name] = list(csv.DictReader(file))
        p, q, loss = tables.values()
        n_samples = len(SAMPLES)
        assert [row["set"] for row in p[::n_samples]] == [row["set"] for row in q[:4]]
        assert [row["sample"] for row in p[:n_samples]] == [str(b) for b in range(n_samples)]
        assert {row["set"]: float(row["loss"]) for row in loss} == {
            name: float(loss) for name, loss in printed
        }
        return [row["set"] for row in q[:4]]

    names = ["plain", "höhe", 'a, b\t\'"c"', "two words"]
    assert outputs(names) == names
    assert outputs(None) == outputs(["twice", "b", "twice", "d"]) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(("option", "first"), [("--header", 0), ("--no-header", 2019)])
def test_a_header_of_numbers(capsys, option, first):
    Path("x.csv").write_text("2019,2020\n3,7\n")
    Path("y.csv").write_text("0\n1\n")
    command = ["predict", "x.csv", "w.npz", "-o", "out.npy", "--activation", "linear"]
    assert main(command) == 1
    assert main([*command, option]) == 0
    rows = [[3.0, 7.0]] if option == "--header" else [[2019.0, 2020.0], [3.0, 7.0]]
    assert_same_bits(np.load("out.npy"), ms.affine(rows, SETS.weight, SETS.bias))
    assert main(["loss", "x.csv", "w.npz", "y.csv"]) == 1
    assert main(["loss", "x.csv", "w.npz", "y.csv", option]) == 0


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".safetensors", ".npy"])
@pytest.mark.parametrize("is_3d", [False, True])
def test_samples_of_any_format(suffix, is_3d):
    samples = np.stack([SAMPLES] * 4) if is_3d and suffix != ".csv" else SAMPLES
    if suffix == ".csv":
        np.savetxt("x.csv", samples, delimiter=",", header="a,b", comments="")
    else:
        array_files.write(f"x{suffix}", samples, "samples", [], [])
    assert main(["predict", f"x{suffix}", "w.npz", "-o", "out.npy"]) == 0
    read = samples.astype(np.float64) if suffix == ".csv" else samples
    assert_same_bits(np.load("out.npy"), SETS.predict(read))


def named_sets():
    named = ms.WeightSets(SETS.weight, SETS.bias, feature_names=["age", "height"])
    named.save("w.npz")
    return named


@pytest.mark.parametrize("header", ["age,height", "# age, height", '"age","height"', "0,1"])
def test_the_header_of_a_table_may_name_the_features(header):
    Path("x.csv").write_text(f"{header}\n3,7\n9,4\n")
    assert main(["predict", "x.csv", "w.npz", "-o", "p.npy", "--header"]) == 0  # sets without names
    named = named_sets()
    assert main(["predict", "x.csv", "w.npz", "-o", "p.npy", "--header"]) == 0
    assert_same_bits(np.load("p.npy"), named.predict(np.array([[3.0, 7.0], [9.0, 4.0]])))


@pytest.mark.parametrize("names", [["# of rooms", "area"], ["a", " b"], ["a ", "b"]])
def test_spaces_and_signs_of_names_in_a_header(names):
    sets = ms.WeightSets(SETS.weight, SETS.bias, feature_names=names)
    sets.save("w.npz")
    for header in (",".join(names), ",".join(name.strip() for name in names)):
        Path("x.csv").write_text(f"{header}\n3,7\n")
        assert main(["predict", "x.csv", "w.npz", "-o", "p.npy", "--header"]) == 0
        assert_same_bits(np.load("p.npy"), sets.predict(np.array([[3.0, 7.0]])))


@pytest.mark.parametrize(
    ("header", "difference"),
    [
        ("age,height,height", "columns that stand twice: 'height'"),
        (
            "height,age",
            "the same columns in another order: 'height', 'age'; expected 'age', 'height'",
        ),
        ("age,weight", "unknown columns: 'weight'; missing columns: 'height'"),
        ("age,height,id", "unknown columns: 'id'"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "loss"])
def test_a_table_with_other_columns(capsys, header, difference, command):
    named_sets()
    Path("x.csv").write_text(f"{header}\n{','.join('123'[: header.count(',') + 1])}\n")
    more = ["-o", "p.npy"] if command == "predict" else ["y.npy"]
    assert main([command, "x.csv", "w.npz", *more]) == 1
    assert capsys.readouterr().err == (
        "multisubnet: error: x.csv:1: the columns of samples do not match feature_names: "
        f"{difference}\n"
    )
    assert not Path("p.npy").exists()


@pytest.mark.parametrize(("header", "code"), [("age,height", 0), ("y,z", 0), ("height,age", 1)])
def test_the_header_of_targets_may_name_the_features(capsys, header, code):
    named_sets()
    Path("y.csv").write_text(f"{header}\n1,0\n0,1\n1,1\n")
    assert main(["loss", "x.npy", "w.npz", "y.csv"]) == code
    found = capsys.readouterr().err
    assert code == 0 or "y.csv:1: the columns of targets do not match those of pred" in found


def test_an_existing_result_is_replaced():
    Path("out.npy").write_text("before")
    assert main(PREDICT) == 0
    assert_same_bits(np.load("out.npy"), SETS.predict(SAMPLES))


def test_compiling_is_announced_at_a_terminal(capsys, monkeypatch):
    inputs, logger = commands._inputs, logging.getLogger("multisubnet")

    def compiling(*arguments):
        for name in ("affine", "run"):
            logger.getChild("_backends.numba.jit").info("compiling %s", name)
        return inputs(*arguments)

    monkeypatch.setattr(commands, "_inputs", compiling)
    before = logger.level, list(logger.handlers)
    for command in ([*PREDICT, "--no-progress"], ["loss", "x.npy", "w.npz", "y.npy"]):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
        assert main(command) == 0
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert main(command) == 0
        assert capsys.readouterr().err.count("multisubnet: compiling code for this machine") == 1
    assert (logger.level, logger.handlers) == before


@pytest.mark.parametrize("out", ["out.npy", "out.npz"])
def test_progress(capsys, monkeypatch, out):
    command = ["predict", "x.npy", "w.npz", "-o", out]
    assert main([*command, "--progress"]) == 0
    assert "4.00/4.00" in capsys.readouterr().err
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(command) == 0
    assert "4.00/4.00" in capsys.readouterr().err
    assert main([*command, "--no-progress"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    assert main([*command, "--progress"]) == 1
    assert "--progress needs tqdm: pip install 'multisubnet[progress]'" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["out.npy", "out.csv"])
def test_predict_reports_its_output(capsys, out):
    assert main(["predict", "x.npy", "w.npz", "-o", out]) == 0
    told = capsys.readouterr().out
    shape = str(SETS.predict(SAMPLES).shape)
    size = Path(out).stat().st_size if out.endswith("csv") else SETS.predict(SAMPLES).nbytes
    dtype = SETS.predict(SAMPLES).dtype
    assert told == f"wrote {out}: shape {shape}, {dtype}, {size} bytes\n"


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".csv"])
def test_statistics_over_sets(capsys, suffix):
    networks = ms.WeightSets.from_layers([np.arange(24.0).reshape(3, 2, 1, 4)])
    for sets, shape in ((SETS, (4, 3, 2)), (networks, (4, 3, 2, 4))):
        sets.save("w.npz")
        assert main(["predict", "x.npy", "w.npz", "-o", f"out{suffix}", "--stats"]) == 0
        assert f"wrote out{suffix}: shape {shape}, float64, " in capsys.readouterr().out
        found = sets.predict_stats(SAMPLES)
        expected = np.stack([found.mean, found.std, found.min, found.max])
        if suffix == ".csv":
            header, *lines = csv.reader(Path("out.csv").read_text().splitlines())
            assert header[:2] == ["statistic", "sample"]
            names = [tuple(line[:2]) for line in lines]
            assert names == [*itertools.product(("mean", "std", "min", "max"), "012")]
            assert_same_bits(np.array([x[2:] for x in lines], float), expected.reshape(12, -1))
        else:
            assert_same_bits(np.array(array_files.read(f"out{suffix}", "statistics")), expected)


@pytest.mark.parametrize("option", [["--resume"], ["--chunk", "1"], ["--set-axis", "1"]])
def test_options_that_statistics_do_not_have(capsys, option):
    with pytest.raises(SystemExit):
        main([*PREDICT, "--stats", *option])
    assert "--stats cannot be combined with --resume, --chunk or --set" in capsys.readouterr().err


def test_statistics_that_do_not_fit_in_memory(capsys, monkeypatch):
    monkeypatch.setattr(commands, "_free_bytes", lambda limit, engine: 2 * 4 * SAMPLES.size * 8)
    assert main([*PREDICT, "--stats"]) == 1
    told = capsys.readouterr().err
    assert "statistics of shape (4, 3, 2) do not fit in 360 bytes" in told  # with 24 of samples
    assert not Path("out.npy").exists()


# Losses.


@pytest.mark.parametrize(
    ("alias", "name"), [("mse", "squared_error"), ("L1LOSS", "absolute_error")]
)
def test_other_names_of_losses(capsys, alias, name):
    for loss in (alias, name):
        options = ["--activation", "swish", "--loss", loss]
        assert main(["loss", "x.npy", "w.npz", "y.npy", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[:4] == lines[4:]


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_loss(capsys, loss):
    assert main(["loss", "x.npy", "w.npz", "y.npy", "--loss", loss]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    expected = SETS.mean_loss(SAMPLES, TARGETS, loss=loss)
    assert [int(number) for number, _ in lines] == [0, 1, 2, 3]
    printed = np.array([value for _, value in lines], expected.dtype)
    assert_same_bits(printed, expected)


def test_losses_that_do_not_fit_labels(capsys):
    SETS._activated("sigmoid").save("w.npz")
    np.savetxt("y.csv", TARGETS, delimiter=",")
    command = ["loss", "x.npy", "w.npz", "y.csv"]
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.out.count("\n") == 4
    assert told.err.startswith("multisubnet: warning: targets look like the labels 0 and 1, and p")
    advice = "pass --loss binary_crossentropy; otherwise, pass --loss squared_error\n"
    assert told.err.endswith(advice)
    assert main([*command, "--loss", "binary_crossentropy_from_logits"]) == 0
    assert "warning: binary_crossentropy_from_logits applies a sigm" in capsys.readouterr().err
    for loss in ("squared_error", "binary_crossentropy"):
        assert main([*command, "--loss", loss]) == 0
        assert capsys.readouterr().err == ""
    np.savetxt("y.csv", np.where(TARGETS == 1, np.nan, TARGETS), delimiter=",")
    assert main(command) == 0
    assert "warning" not in capsys.readouterr().err


def test_losses_that_are_all_nan(capsys):
    np.save("x.npy", np.where(SAMPLES == 7, np.nan, SAMPLES))
    assert main(["loss", "x.npy", "w.npz", "y.npy", "--best", "1"]) == 0
    told = capsys.readouterr()
    assert told.out == "0\tnan\n"
    assert told.err == f"multisubnet: all losses are NaN: {CAUSES_OF_NAN}\n"


def test_the_best_come_first_and_nan_last(capsys):
    weight = np.array([[np.nan], [2], [1], [2], [5]])
    ms.WeightSets(weight).save("w.npz")
    np.save("x.npy", np.ones((1, 1)))
    np.save("y.npy", np.ones((1, 1)))
    assert main(["loss", "x.npy", "w.npz", "y.npy", "--best", "5"]) == 0
    numbers = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert numbers == ["2", "1", "3", "4", "0"]
    assert main(["loss", "x.npy", "w.npz", "y.npy", "--best", "1"]) == 0
    assert capsys.readouterr().out == "2\t0.0\n"
    assert main(["loss", "x.npy", "w.npz", "y.npy", "--best", "6"]) == 1
    assert "--best is 6, but w.npz has only 5 sets" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".csv"])
@pytest.mark.parametrize("best", [0, 2])
def test_losses_in_a_file(capsys, suffix, best):
    more = ["--best", str(best)] if best else []
    assert main(["loss", "x.npy", "w.npz", "y.npy", "-o", f"out{suffix}", *more]) == 0
    assert capsys.readouterr().out.count("\n") == best
    losses = array_files.read(f"out{suffix}", "losses")
    expected = SETS.mean_loss(SAMPLES, TARGETS)
    if suffix == ".csv":
        assert Path("out.csv").read_text().startswith("set,loss\n0,")
        losses = losses[:, 1].astype(expected.dtype)
    assert_same_bits(np.array(losses), expected)


# Errors.


def errors(arguments, capsys):
    """Return the single line of an error message."""
    before = sorted(os.listdir())
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("multisubnet: error: ")
    assert told.err.endswith("\n")
    assert told.err.count("\n") == 1
    assert sorted(os.listdir()) == before
    return told.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("predict none.npy w.npz -o out.npy", "none.npy: No such file or directory"),
        ("predict x.npy none.npz -o out.npy", "none.npz: No such file or directory"),
        ("predict folder.npy w.npz -o out.npy", "folder.npy: Is a directory"),
        ("predict x.txt w.npz -o out.npy", "x.txt must end in one of .npy, .npz, .csv"),
        ("predict x.npy w.npy -o out.npy", "w.npy must end in .npz or .safetensors"),
        ("predict w.npz w.npz -o out.npy", "w.npz has the arrays activation, bias, format_v"),
        ("predict x.npy w.npz -o out.txt", "out.txt must end in one of"),
        ("predict x.npy w.npz -o none/out.npy", "there is no folder"),
        ("predict x.npy w.npz -o none/out.npz", "there is no folder"),
        ("predict x.npy w.npz -o folder.npy", "folder.npy is a folder; expected the name of a"),
        ("predict x.npy w.npz -o /proc/out.npy", "/proc/out.npy.part: "),
        ("predict x.npy w.npz -o link.npy", "link.npy is not a regular file, and cannot be"),
        ("predict x.npy w.npz -o ./x.npy", "./x.npy is both the output and the input x.npy"),
        ("predict three.npy w.npz -o out.npy", "weight has shape (4, 2); expected (N, F)"),
        ("predict three.npy w.npz -o out.npy", "; samples from three.npy, weights from w"),
        ("loss x.npy w.npz three.npy", "weights from w.npz, targets from three.npy"),
        ("predict three.npy w.npz -o out.npz", "weight has shape (4, 2); expected (N, F)"),
        ("predict complex.npy w.npz -o out.npy", "Activation('tanh') is not defined for results"),
        ("predict cut.npy w.npz -o out.npy", "cut.npy is truncated"),
        ("predict x.npy cut.npz -o out.npy", "cut.npz is not a complete .npz file"),
        ("predict bad.csv w.npz -o out.npy", "bad.csv:2: could not convert string 'x'"),
        ("predict years.csv w.npz -o out.npy", "2019,2020 may be names or numbers; use --h"),
        ("predict x.npy w.npz -o out.npy --memory-limit 1MiB", "expected at least"),
        ("predict x.npy w.npz -o out.npy --memory-limit 150MiB --backend numba", "may take"),
        ("loss x.npy w.npz none.npy", "none.npy: No such file or directory"),
        ("loss x.npy w.npz three.npy", "targets has shape (1, 3)"),
        ("loss x.npy w.npz y.npy -o y.npy", "y.npy is both the output and the input y.npy"),
        ("loss x.npy w.npz y.npy -o out.txt", "out.txt must end in one of"),
        ("loss x.npy w.npz y.npy -o none/out.csv", "there is no folder"),
    ],
)
def test_an_error_is_one_line(capsys, arguments, message):
    os.mkdir("folder.npy")
    Path("x.txt").touch()
    Path("link.npy").symlink_to("/dev/null")
    Path("bad.csv").write_text("3,2\nx,2\n")
    Path("years.csv").write_text("2019,2020\n1,2\n")
    np.save("three.npy", np.ones((1, 3)))
    np.save("complex.npy", np.ones((1, 2), complex))
    for name in ("x.npy", "w.npz"):
        Path(f"cut.{name[2:]}").write_bytes(Path(name).read_bytes()[:-3])
    assert message in errors(arguments.split(), capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_permission_denied(capsys):
    os.chmod("x.npy", 0)
    assert "x.npy: Permission denied" in errors(PREDICT, capsys)
    os.chmod("x.npy", 0o400)
    os.chmod(".", 0o500)
    assert "Permission denied" in errors(PREDICT, capsys)


def test_a_missing_backend(capsys, monkeypatch):
    monkeypatch.setitem(ms._backends.choice._MODULES, "cupy", "no_backend")
    missing = type(sys)("no_backend")
    missing.why_unavailable = lambda: "there is no GPU"
    monkeypatch.setitem(sys.modules, "no_backend", missing)
    ms._backends.choice.load.cache_clear()
    told = errors([*PREDICT, "--backend", "cupy"], capsys)
    ms._backends.choice.load.cache_clear()
    assert "the backend 'cupy' cannot run here: there is no GPU" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "arguments are required: COMMAND"),
        ("predictt", "invalid choice: 'predictt'"),
        ("predict x.npy w.npz", "required: -o/--out"),
        ("predict x.npy w.npz -o out.npy --set-axis 2", "invalid choice: 2"),
        ("predict x.npy w.npz -o out.npy --memory-limit 2XB", "number of bytes, or a text like"),
        ("predict x.npy w.npz -o out.npy --memory-limit 0", "must be a positive number of bytes"),
        ("predict x.npy w.npz -o out.npy --chunk 0", "expected a positive integer, not '0'"),
        ("predict x.npy w.npz -o out.npy --chunk x", "expected a positive integer, not 'x'"),
        ("predict x.npy w.npz -o out.npy --activation relv", "activation must be one of"),
        ("predict x.npy w.npz -o out.npy --backend torch", "invalid choice: 'torch'"),
        ("predict x.npy w.npz -o out.npz --resume", "are for an OUT that ends in .npy"),
        ("predict x.npy w.npz -o out.csv --chunk 3", "are for an OUT that ends in .npy"),
        ("loss x.npy w.npz", "required: TARGETS"),
        ("loss x.npy w.npz y.npy --loss mea", "did you mean 'mae'"),
        ("loss x.npy w.npz y.npy --activation swosh", "did you mean 'swish'"),
        ("loss x.npy w.npz y.npy --best 0", "expected a positive integer"),
    ],
)
def test_wrong_usage(capsys, arguments, message):
    before = sorted(os.listdir())
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert sorted(os.listdir()) == before


# Memory.


def test_a_result_that_does_not_fit(capsys, monkeypatch):
    monkeypatch.setattr(commands, "_free_bytes", lambda *limits: 90)
    for out in ("out.npz", "out.csv", "out.safetensors"):
        told = errors(["predict", "x.npy", "w.npz", "-o", out], capsys)
        assert "predictions of shape (4, 3, 2) have 96 bytes, but only 90 bytes" in told
        assert "write them to a .npy file, or give a larger --memory-limit" in told
    assert "do not fit" in errors(PREDICT, capsys)
    monkeypatch.setattr(commands, "_free_bytes", lambda *limits: 900)
    assert "--chunk is 4, which takes 192 bytes" in errors([*PREDICT, "--chunk", "4"], capsys)
    assert main(PREDICT) == 0
    assert_same_bits(np.load("out.npy"), SETS.predict(SAMPLES))


GIB = 1 << 30


@pytest.mark.parametrize(
    ("machine", "group", "limit"),
    [(16 * GIB, None, GIB), (2 * GIB, None, GIB // 2), (16 * GIB, 3 * GIB, 3 * GIB // 4)],
)
def test_the_default_memory_limit(tmp_path, monkeypatch, machine, group, limit):
    """A quarter of the available memory, also in a container, and at most 1 GiB."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(f"MemAvailable: {machine // 1024} kB\n")
    (tmp_path / "proc/self/statm").write_text("9999 10000 999 0 0 0 0\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
    if group is not None:
        job = tmp_path / "sys/fs/cgroup/job"
        job.mkdir(parents=True)
        (job / "memory.max").write_text(f"{group + 5000}\n")
        (job / "memory.current").write_text("6000\n")
        (job / "memory.stat").write_text("anon 5000\ninactive_file 1000\n")
    monkeypatch.setattr(amounts, "_SYSTEM", tmp_path)
    held = 10000 * os.sysconf("SC_PAGE_SIZE") + commands._PROGRAM_BYTES
    for engine in (0, commands._ENGINE_BYTES):
        assert commands._free_bytes(None, engine) == limit - held - engine
        assert commands._free_bytes(2 * GIB, engine) == 2 * GIB - held - engine
        with pytest.raises(ValueError, match="--memory-limit is 1 bytes, but the program"):
            commands._free_bytes(1, engine)


def test_a_small_machine_works(monkeypatch):
    monkeypatch.setattr(amounts, "available", lambda: 1000)
    assert commands._free_bytes(None, 0) == commands._LEAST_BYTES
    monkeypatch.setattr(amounts, "available", lambda: None)
    monkeypatch.setattr(amounts, "resident", lambda: 0)
    assert commands._free_bytes(None, 1 << 28) == GIB - (1 << 28) - commands._PROGRAM_BYTES


@settings(max_examples=50)
@given(
    shape=st.tuples(st.integers(1, 1000), st.integers(1, 10**6), st.integers(1, 1000)),
    free=st.integers(1 << 21, 1 << 31),
    dtype=st.sampled_from(["int8", "float32", "float64"]),
)
def test_chunks_fit_beside_their_samples(shape, free, dtype):
    n_sets, n_samples, n_features = shape
    samples = np.broadcast_to(np.zeros((), dtype), (n_samples, n_features))
    stored = object.__new__(_stored.StoredArray)
    stored.nbytes = samples.nbytes
    weight = np.broadcast_to(np.zeros((), dtype), (n_sets, n_features))
    prediction = ms.WeightSets(weight)._prediction(samples, 0).with_samples(stored)
    elements = commands._elements(prediction, free, None)
    itemsize = samples.itemsize
    for chunk in itertools.islice(chunks.chunks(prediction.shape, elements), 2):
        sets, those = (part.stop - part.start for part in chunk)
        block, read = sets * those * n_features, those * n_features
        assert (2 * block + read) * itemsize <= free
        assert block * itemsize <= max(commands._BUFFER_BYTES, n_features * itemsize)


# The program.


def test_the_program():
    assert program("--version").stdout == f"multisubnet {ms.__version__}\n"
    for command in ("predict", "loss"):
        text = program(command, "--help").stdout
        assert "example:" in text
        example = text.split("example:\n")[1].split()
        parsed = _parser().parse_args(example[1:])
        assert parsed.samples == "samples.npy"
    assert "predict" in program("--help").stdout
    done = program("predict", "x.npy", "none.npz", "-o", "out.npy")
    assert done.returncode == 1
    assert done.stderr == "multisubnet: error: none.npz: No such file or directory\n"


def test_a_closed_output_pipe():
    ms.WeightSets(np.ones((50_000, 2))).save("w.npz")
    command = [sys.executable, "-m", "multisubnet", "loss", "x.npy", "w.npz", "y.npy"]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline().startswith(b"0\t")
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


CLOSED = [">&-", "2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("predict x.npy w.npz -o out.npy", 0),
        ("loss x.npy w.npz y.npy", 0),
        ("info", 0),
        ("--help", 0),
        ("predict x.npy none.npz -o out.npy", 1),
        ("nothing", 2),
    ],
)
def test_closed_streams(closed, command, code):
    """As started by cron and daemons: output goes nowhere."""
    line = f"exec '{sys.executable}' -m multisubnet {command} {closed}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stdout == ""
        assert done.stderr.count("\n") == ("2>&-" not in closed)
    if command == " ".join(PREDICT):
        assert_same_bits(np.load("out.npy"), SETS.predict(SAMPLES))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("command", ["loss x.npy w.npz y.npy", "info"])
def test_output_to_a_full_disk(command):
    with open("/dev/full", "w") as full:
        done = program(*command.split(), stdout=full)
    assert done.returncode == 1
    assert done.stderr == "multisubnet: error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("command", ["nothing", "predict x.npy none.npz -o out.npy"])
def test_a_closed_error_pipe(command):
    reading, writing = os.pipe()
    os.close(reading)
    done = program(*command.split(), stderr=writing)
    os.close(writing)
    assert done.returncode == (2 if command == "nothing" else 1)
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["info", "--help", "--version"])
def test_a_reader_that_left_before(command):
    reading, writing = os.pipe()
    os.close(reading)
    done = program(command, stdout=writing)
    os.close(writing)
    assert done.returncode in (0, 141)
    assert done.stderr == ""


DIGITS = "1" + "0" * 400


@pytest.mark.parametrize("digits", [DIGITS, "0" * 400 + "8", "9" * 5000])
def test_numbers_of_many_digits(digits):
    assert main([*PREDICT, "--memory-limit", f"{digits}GiB", "--chunk", digits]) == 0
    assert_same_bits(np.load("out.npy"), SETS.predict(SAMPLES))
    for limit in (f"{DIGITS} MiB", DIGITS, 10**400):
        assert_same_bits(SETS.predict(SAMPLES, memory_limit=limit), SETS.predict(SAMPLES))
        assert SETS.predict_stats(SAMPLES, memory_limit=limit).min.shape == SAMPLES.shape


@pytest.mark.parametrize("best", [DIGITS, "9" * 5000])
def test_a_number_of_sets_of_many_digits(capsys, best):
    assert main(["loss", "x.npy", "w.npz", "y.npy", "--best", best]) == 1
    assert "but w.npz has only 4 sets" in capsys.readouterr().err


@pytest.mark.parametrize("upper", [str.upper, str.title])
def test_ends_of_names_in_upper_case(upper):
    """As written by cameras, old systems and Windows."""
    for end in (".npz", ".safetensors"):
        SETS.save(f"sets{upper(end)}")
        assert ms.WeightSets.load(f"sets{upper(end)}") == SETS
    for end in (".npy", ".npz", ".safetensors", ".csv"):
        out = f"out{upper(end)}"
        assert main(["predict", "x.npy", f"sets{upper('.npz')}", "-o", out]) == 0
        assert main(["loss", "x.npy", "w.npz", "y.npy", "-o", f"loss{upper(end)}"]) == 0
        if end != ".csv":
            expected = SETS.predict(SAMPLES)
            assert_same_bits(np.array(array_files.read(out, "samples")), expected)
    assert Path(f"loss{upper('.csv')}").read_text().startswith("set,loss\n0,")


def test_main_in_a_thread():
    """A thread cannot install signal handlers."""
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(PREDICT)))
    thread.start()
    thread.join()
    assert codes == [0]
