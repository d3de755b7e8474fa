"""The Dask example runs, and gives the expected results."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("options", [[], ["--cluster"]])
def test_sweep(options):
    for module in ("resource", "dask.array", "distributed", "sklearn"):
        pytest.importorskip(module)
    # Through a shell: a program's peak memory starts at that of the process that started it, and
    # this process holds other libraries.
    program = ["sh", "-c", '"$0" "$@"; exit $?', sys.executable, "examples/dask_sweep.py"]
    run = subprocess.run(
        [*program, "--quick", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    output = run.stdout
    assert re.search(r"300,000 sets, 0.07 GB of parameters", output), output
    mean, lowest = re.search(r"loss: ([\d.]+) on average, ([\d.]+) of set \d+", output).groups()
    assert float(lowest) < float(mean)
    assert f"evaluated alone: {lowest}, the same bits: True" in output
    assert int(re.search(r"at most (\d+) MB", output)[1]) < 800
