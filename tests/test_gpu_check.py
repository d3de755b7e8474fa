"""The GPU check, tools/gpu_check.sh, as far as it can be tested without a GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "tools" / "gpu_check.sh"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the script is for Linux")

TIMINGS = {
    "date": "2026-01-01",
    "machine": {"gpu": {"name": "A GPU"}},
    "versions": {"cupy-cuda12x": "14.2.0"},
    "timings": [
        {"function": "affine", "size": [1000, 569, 30], "loss": None, "activation": None}
        | {"dtype": "float32", "set_axis": 0, "contender": contender, "median": median}
        for contender, median in (("multisubnet", 25e-6), ("fill by a kernel", 20e-6))
    ],
    "left_out": [],
}

NETWORKS = TIMINGS | {
    "timings": [
        {"function": "mlp", "size": [100, 569, 30], "loss": None, "activation": None}
        | {"dtype": "float32", "set_axis": 0, "widths": [1, 16, 16, 1]}
        | {"contender": contender, "median": median}
        for contender, median in (("multisubnet", 1e-4), ("torch.baddbmm, compiled", 2e-3))
    ]
}

# Replaces python3: imitates each step of the script.
PYTHON = """#!/bin/bash
case "$*" in
    *table.py*) exec {python} "$@" ;;
    *first_contact*) {first_contact} ;;
    *"import xdist"*) exit 1 ;;
    *run_tests.py*test_jax*) echo "5 skipped in 0.1s" ;;
    *run_tests.py*) echo "3 passed, 1 skipped in 0.1s" ;;
    *gpu.py*--only?networks*) echo '{networks}' > "$(mkdir -p "$5"; echo "$5")/gpu.json" ;;
    *gpu.py*--only*) {peers} ;;
    *gpu.py*) echo '{timings}' > "$(mkdir -p "$5"; echo "$5")/gpu.json" ;;
esac
"""


def start(tmp_path, *, first_contact="exit 0", peers="exit 0", **environment):
    """Start the script, with a `python3` that behaves as given."""
    python = tmp_path / "python"
    text = PYTHON.format(
        python=sys.executable,
        first_contact=first_contact,
        peers=peers,
        timings=json.dumps(TIMINGS),
        networks=json.dumps(NETWORKS),
    )
    python.write_text(text)
    python.chmod(0o755)
    given = {"PYTHON": str(python), "GPU_CHECK_OUT": str(tmp_path / "out")}
    given |= {"GPU_CHECK_PARTS": "ABCE"}  # without D, which needs ncu
    given |= {"TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        ["bash", SCRIPT],
        env=os.environ | given | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(tmp_path, **options):
    """Return the exit status, the output, and the seconds taken."""
    began = time.perf_counter()
    process = start(tmp_path, **options)
    printed, errors = process.communicate(timeout=60)
    assert errors == ""
    assert not list(tmp_path.glob("tmp.*"))
    return process.returncode, printed, time.perf_counter() - began


def is_running(text):
    """Return whether there is a process whose command contains this."""
    return text in subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True).stdout


def test_syntax():
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0


def test_a_dry_run_prints_the_steps_and_runs_none(tmp_path):
    status, printed, _ = run(
        tmp_path, first_contact="touch ran", GPU_CHECK_DRY="1", GPU_CHECK_PARTS="ABCDE"
    )
    assert status == 0
    steps = [line.split(",")[0] for line in printed.splitlines()]
    expected = "first_contact tests pytorch jax memcheck racecheck initcheck synccheck"
    assert sorted(steps) == sorted(
        [*expected.split(), "timings", "networks", "ncu", "peers", "large"]
    )
    assert not (ROOT / "ran").exists()
    assert list((tmp_path / "out").iterdir()) == []


def test_all_steps_and_the_table(tmp_path):
    status, printed, _ = run(tmp_path)
    assert status == 0, printed
    assert "tests: 3 passed, 1 skipped in 0.1s" in printed
    assert "no test ran" in next(x for x in printed.splitlines() if x.startswith("jax "))
    row = next(line for line in printed.splitlines() if line.startswith("affine 1000x569x30"))
    assert row.split()[2:] == ["25.0", "us", "2731", "GB/s", "0.80"]
    row = next(line for line in printed.splitlines() if line.startswith("mlp 100x569x30 1-16-16-1"))
    assert row.split()[3:] == ["100.0", "us", "17", "Ge/s", "20.00"]
    files = list((tmp_path / "out").iterdir())
    assert len(files) <= 8
    (results,) = (file for file in files if file.suffix == ".json")
    assert results.name == "gpu-check-a-gpu-2026-01-01.json"
    found = json.loads(results.read_text())
    assert found["versions"] == TIMINGS["versions"]
    assert {step["name"]: step["status"] for step in found["steps"]}["tests"] == "passed"


def test_a_step_that_fails_stops_no_other(tmp_path):
    status, printed, _ = run(tmp_path, first_contact="exit 1", peers="exit 2")
    assert status == 1
    assert "failed (1)" in printed
    assert "failed (2)" in printed
    assert "tests: 3 passed" in printed


def test_without_a_gpu(tmp_path):
    status, printed, _ = run(tmp_path, first_contact="echo no GPU: there is none; exit 3")
    assert status == 3
    assert printed.endswith("no GPU: there is none\n")
    assert "tests" not in printed


def test_time_limits_hold(tmp_path):
    # All processes of a hanging step end, and the table is still printed in time.
    hang = f"(sleep 50; touch {tmp_path}/late) & sleep 60"
    status, printed, seconds = run(
        tmp_path, peers=hang, GPU_CHECK_SECONDS="26", GPU_CHECK_PARTS="CE"
    )
    assert seconds < 26
    assert status == 1
    assert "cut after" in next(x for x in printed.splitlines() if x.startswith("peers "))
    assert "no time left" in next(x for x in printed.splitlines() if x.startswith("large "))
    assert "affine 1000x569x30" in printed
    assert not is_running(f"{tmp_path}/late")


def test_tests_that_are_cut_say_what_failed(tmp_path):
    (tmp_path / "test_slow.py").write_text(
        "import time\ndef test_wrong(): assert 0\ndef test_slow(): time.sleep(60)\n"
    )
    command = [sys.executable, SCRIPT.parent / "gpu_check" / "run_tests.py", "-q"]
    ignoring = ["bash", "-c", 'timeout -s INT -k 20 4 "$@" & wait $!', "bash", *command, "-o"]
    done = subprocess.run(
        [*ignoring, "addopts=", tmp_path], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 124
    assert "FAILED test_slow.py::test_wrong" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_check_leaves_nothing_running(tmp_path, number):
    if signal.getsignal(number) is signal.SIG_IGN:  # as for SIGHUP under nohup
        pytest.skip("the signal is ignored here, and a shell cannot trap what it inherits so")
    (tmp_path / "hang").write_text("sleep 60")
    process = start(tmp_path, first_contact=f"bash {tmp_path}/hang", GPU_CHECK_PARTS="A")
    while not is_running(f"{tmp_path}/hang"):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    process.communicate(timeout=40)
    for _ in range(50):
        if not is_running(f"{tmp_path}/hang"):
            break
        time.sleep(0.1)
    assert not is_running(f"{tmp_path}/hang")
    assert not list(tmp_path.glob("tmp.*"))
