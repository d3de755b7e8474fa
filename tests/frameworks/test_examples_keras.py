"""The Keras examples run, and give the expected results."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras", exc_type=ImportError)  # or its backend is missing

ROOT = Path(__file__).parents[2]


def test_keras_forum():
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "keras_forum.py"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "w1 alone, 4 parameters: [[13.0, 68.0], [25.0, 41.0]]",
        "w2 alone, 4 parameters: [[30.0, 45.0], [78.0, 27.0]]",
        "both, 8 parameters, one call of predict:",
        "  w1: [[13.0, 68.0], [25.0, 41.0]]",
        "  w2: [[30.0, 45.0], [78.0, 27.0]]",
        "WeightSets(N=2, F=2, float32 with bias on cpu, 32 bytes) predicts the same, without Keras",
    ]


def test_keras_search(tmp_path):
    picture = tmp_path / "search.png"
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "keras_search.py", "--picture", picture],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    before, after = re.search(r"([\d.]+) before, ([\d.]+) after", run.stdout).groups()
    assert float(after) < 0.05 < float(before)
    assert f"among the sets: {after}" in run.stdout
    assert picture.exists() == bool(importlib.util.find_spec("matplotlib"))
    assert ("no picture without Matplotlib" in run.stdout) != picture.exists()
