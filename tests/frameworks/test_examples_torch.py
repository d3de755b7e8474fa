"""The PyTorch examples run, and give the expected results."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def output_of(example):
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / example, "--quick"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_torch_many_sets():
    for module in ("torch", "sklearn"):
        pytest.importorskip(module)
    output = output_of("torch_many_sets.py")
    worst = [float(x) for x in re.findall(r"step +\d+: losses [\d.]+ to ([\d.]+)", output)]
    assert len(worst) >= 4, output
    assert worst == sorted(worst, reverse=True), output
    assert float(re.search(r"differ by at most (\S+)\.", output)[1]) < 1e-5, output


def test_tabm_ensemble():
    for module in ("torch", "tabm", "sklearn"):
        pytest.importorskip(module)
    output = output_of("tabm_ensemble.py")
    assert "have the same bits: yes" in output
    one, other = (float(x) for x in re.findall(r"mean squared error ([\d.]+)", output))
    assert abs(one - other) < 1e-3, output
    assert float(re.search(r"differ by at most (\S+)\.", output)[1]) < 1e-5, output
