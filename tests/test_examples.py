"""The examples run, and give the expected results."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import takes_long

ROOT = Path(__file__).parents[1]


def check_picture(picture, output):
    """Check that a picture is there, or that the last line says what it needs."""
    last = output.splitlines()[-1].strip()
    if importlib.util.find_spec("matplotlib"):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert last.startswith(f"wrote {picture}: ")
    else:
        assert last == "no picture without Matplotlib: pip install matplotlib"


def test_search():
    for module in ("resource", "scipy", "sklearn"):
        pytest.importorskip(module)
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "search.py", "--quick"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    output = run.stdout
    assert re.search(r"10,000 random sets.*\n  evaluated in .* sets per second\n", output), output
    assert int(re.search(r"process: (\d+) MB", output)[1]) < 1000
    losses_found = [float(x) for x in re.findall(r"^  loss ([\d.]+), accuracy", output, re.M)]
    random, put_together, *searched = losses_found
    assert put_together < random, output

    parts = re.split(r"^(.*), one call per generation:\n", output, flags=re.M)[1:]
    assert parts[::2] == ["SciPy's differential_evolution", "pycma"]
    parts = [part for part in parts[1::2] if "skipped: No module named 'cma'" not in part]
    for part, found in zip(parts, searched, strict=True):
        progress = [float(x) for x in re.findall(r"best loss ([\d.]+)", part)]
        assert len(progress) >= 2, part
        assert progress == sorted(progress, reverse=True), part
        assert found == progress[-1] < progress[0], part
        assert found < random, output


def test_nam_ensemble(tmp_path):
    pytest.importorskip("sklearn")
    picture = tmp_path / "curves.png"
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "nam_ensemble.py", "--quick", "--picture", picture],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    output = run.stdout
    nothing, member, fits_best, best, together = [
        float(re.search(rf"([\d.]+) {what}", output)[1])
        for what in ("for always", "for a member", "for the member", "for the best", "for the mean")
    ]
    assert best <= fits_best < nothing
    assert together < member < 0.8 * nothing, output
    features = re.findall(r"^ +(\w+): ([\d.]+), spread [\d.]+$", output, re.M)
    assert len(features) == 10
    assert {"bmi", "s5"} == {name for name, _ in features[:2]}, output
    sure, doubtful = re.search(r"agree: ([\d.]+); if they disagree: ([\d.]+)", output).groups()
    assert float(sure) < float(doubtful)
    check_picture(picture, output)


@takes_long
def test_nam_training(tmp_path):
    pytest.importorskip("sklearn")
    picture = tmp_path / "nam.png"
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "nam_training.py", "--quick", "--picture", picture],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    first, last = (float(re.search(rf"([\d.]+) {w}", run.stdout)[1]) for w in ("before", "after"))
    assert last < 0.2 < first
    members, together = re.search(r"([\d.]+) of members, ([\d.]+) together", run.stdout).groups()
    assert min(float(members), float(together)) > 0.9
    assert len(re.findall(r"moves the logit by [\d.]+, models differ by [\d.]+", run.stdout)) == 6
    check_picture(picture, run.stdout)


def test_policies(tmp_path):
    pytest.importorskip("cma")
    picture = tmp_path / "policies.png"
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "policies.py", "--quick", "--picture", picture],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    progress = [float(x) for x in re.findall(r"of 3 s, ([\d.]+) s on average", run.stdout)]
    assert len(progress) == 6
    assert progress[-1] > 1.3 * progress[0]
    assert "100 calls, with the same forces" in run.stdout
    check_picture(picture, run.stdout)


@pytest.mark.parametrize("with_matplotlib", [True, False])
def test_mlp_ensemble(tmp_path, with_matplotlib):
    pytest.importorskip("sklearn")
    picture = tmp_path / "ensemble.png"
    if not with_matplotlib:
        (tmp_path / "matplotlib.py").write_text("raise ImportError")
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "mlp_ensemble.py", "--quick", "--picture", picture],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert "N=10" in run.stdout
    assert float(re.search(r"differences up to (\S+)", run.stdout)[1]) < 1e-10
    in_gap, beside = re.search(r"([\d.]+) in the gap, ([\d.]+) beside", run.stdout).groups()
    assert float(in_gap) > 3 * float(beside)
    if with_matplotlib:
        check_picture(picture, run.stdout)
    else:
        assert run.stdout.endswith("\nno picture without Matplotlib: pip install matplotlib\n")
        assert not picture.exists()
