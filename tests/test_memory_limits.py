"""Memory limits, as the system counts: a process stays below them, or one line says why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import examples, few
from hypothesis import given, settings
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet._files import array_files

ROOT = Path(__file__).parent.parent
MIB = 1 << 20

# A small process between: pages of the process that starts a program count for the program, too.
BETWEEN = """
import json, os, subprocess, sys
process = subprocess.Popen(
    sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
)
told = process.stderr.read()
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024, told]))
"""


def run(folder, *command, **environment):
    """Run Python, and return its exit code, its peak memory and its error output."""
    done = subprocess.run(
        [sys.executable, "-c", BETWEEN, sys.executable, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def large(path, shape, order="C", dtype=np.float32):
    """Create a .npy file that begins and ends with 1, with a hole between, which takes no disk."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape, order == "F")
    array[(0,) * len(shape)] = array[(-1,) * len(shape)] = 1
    array.flush()


def predict(folder, limit, *arguments):
    """Return whether the command succeeds within a limit; if not, it must fail in one line."""
    command = ["-m", "multisubnet", "predict", *arguments, "--memory-limit", f"{limit}MiB"]
    code, peak, told = run(folder, *command)
    if code == 0:
        assert told == ""
        assert peak <= limit * MIB
    else:
        assert code == 1
        assert told.startswith("multisubnet: error: ")
        assert told.count("\n") == 1
        assert peak <= max(limit, 64) * MIB  # Python and NumPy alone take 64 MiB
    return code == 0


def save_weights(path, n_sets, n_features, order="C"):
    weight = np.ones((n_sets, n_features), np.float32, order)
    if order == "C":
        ms.WeightSets(weight, weight).save(path)
    else:
        np.savez(path, weight=weight, bias=weight)


# Samples in files in another order than the one needed.


@pytest.mark.parametrize("limit", [64, 330])
@pytest.mark.parametrize(
    ("shape", "order", "n_sets", "more"),
    few(
        [
            ((8_000, 4_000), "C", 2, []),
            ((8_000, 4_000), "F", 2, []),
            ((8_000, 4_000), "F", 2, ["--set-axis", "1"]),
            ((4_000, 4_096, 2), "C", 4_000, ["--set-axis", "1"]),
            ((4_000, 4_096, 2), "F", 4_000, []),
        ]
    ),
)
def test_samples(tmp_path, shape, order, n_sets, more, limit):
    large(tmp_path / "s.npy", shape, order)
    save_weights(tmp_path / "w.npz", n_sets, shape[-1])
    assert predict(tmp_path, limit, "s.npy", "w.npz", "-o", "o.npy", *more)
    result = np.load(tmp_path / "o.npy", mmap_mode="r")
    assert result[0, 0, 0] == result[-1, -1, -1] == 2
    assert result[0, 1, 1] == 1
    os.remove(tmp_path / "o.npy")


# Inputs that are read completely.


@pytest.mark.parametrize("end", [".npz", ".safetensors"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("limit", "fits"), [(64, False), (140, False), (240, True)])
def test_weights(tmp_path, end, order, limit, fits):
    """114 MiB of weights, which are copied only if they must be reordered."""
    if order == "F" and end == ".safetensors":
        pytest.skip("the format has one order")
    large(tmp_path / "s.npy", (2, 30))
    save_weights(tmp_path / f"w{end}", 500_000, 30, order)
    more = ["--activation", "relu"] if order == "C" else []
    done = predict(tmp_path, limit, "s.npy", f"w{end}", "-o", "o.npy", *more)
    assert done == fits
    assert os.path.exists(tmp_path / "o.npy") == fits


@pytest.mark.parametrize("end", [".npz", ".safetensors", ".csv"])
def test_samples_read_as_a_whole(tmp_path, end):
    samples = np.ones((200_000, 20) if end == ".csv" else (1_000_000, 20), np.float32)
    if end == ".csv":
        (tmp_path / "s.csv").write_text((",".join("1" * 20) + "\n") * len(samples))
    else:
        array_files.write(tmp_path / f"s{end}", samples, "samples", [], [])
    save_weights(tmp_path / "w.npz", 2, 20)
    for limit, fits in ((64, False), (150, True)):
        assert predict(tmp_path, limit, f"s{end}", "w.npz", "-o", "o.npy") == fits


@pytest.mark.parametrize("end", [".npz", ".safetensors"])
def test_results_written_as_a_whole(tmp_path, end):
    """76 MiB of results; NumPy would write them through buffers."""
    large(tmp_path / "s.npy", (500_000, 20))
    save_weights(tmp_path / "w.npz", 2, 20)
    for limit, fits in ((64, False), (100, False), (150, True)):
        assert predict(tmp_path, limit, "s.npy", "w.npz", "-o", f"o{end}") == fits


# Any action at any limit.


@settings(max_examples=examples(1 / 20))
@given(data=st.data())
def test_anything_within_any_limit(tmp_path, data):
    n_features = data.draw(st.sampled_from([1, 7, 300, 4_000]))
    n_sets = data.draw(st.sampled_from([1, 10, 1_000]))
    n_samples = max(data.draw(st.sampled_from([1, 1 << 20, 1 << 23])) // n_features // n_sets, 1)
    shape = data.draw(
        st.sampled_from([(n_samples * n_sets, n_features), (n_sets, n_samples, n_features)])
    )
    large(tmp_path / "s.npy", shape, data.draw(st.sampled_from("CF")))
    save_weights(tmp_path / "w.npz", n_sets if len(shape) == 3 else 2, n_features)
    more = ["--set-axis", data.draw(st.sampled_from("01"))]
    more += data.draw(st.sampled_from([[], ["--activation", "gelu"], ["--backend", "numpy"]]))
    out = data.draw(st.sampled_from(["o.npy", "o.npz", "o.safetensors"]))
    limit = data.draw(st.integers(50, 400))
    if predict(tmp_path, limit, "s.npy", "w.npz", "-o", out, *more):
        assert array_files.read(tmp_path / out, "any")[-1, -1, -1] > 1


# The same in Python: memory in addition to what was used before.

EXTRA = """
import os, sys
import numpy as np, multisubnet as ms
N, B, F, LIMIT = 400, 2000, 40, 24 << 20
sets = ms.WeightSets(np.ones((N, F), "f4"), np.ones((N, F), "f4"))
samples = np.ones((B, F), "f4")
if sys.argv[1] == "numba":
    ms.set_backend("numba")
    sets[:2].predict(samples)
    sets[:2].predict_stats(samples)
    for dtype in ("f4", "f8"):  # compiled once for all
        sets[:2].predict(samples, out=np.empty((F, B, 2), dtype).T)
        sets[:2].predict(samples, out=np.empty((2, B, 2 * F), dtype)[..., ::2])
else:
    ms.set_backend("numpy")
    sets[:2].predict(samples)
    sets[:2].predict(samples, out=np.empty((2, B, 2 * F), "f8")[..., ::2])

def mapped(shape, axes=(0, 1, 2), dtype="f4"):
    return np.lib.format.open_memmap("o.npy", "w+", dtype, shape).transpose(axes)

def resident(name):
    status = open("/proc/self/status").read()
    return int(status.split(name)[1].split()[0]) * 1024

out = None
ACTION
before = resident("VmRSS:")
open("/proc/self/clear_refs", "w").write("5")
CALL
extra = resident("VmHWM:") - before
print(extra, "bytes of", LIMIT, file=sys.stderr)
sys.exit(extra > LIMIT * 1.1)
"""
OUTS = [
    "mapped((N, B, F))",
    "mapped((N, B, F), dtype='f8')",
    "mapped((N, 2 * B, F))[:, ::2]",
    "mapped((2 * N, B, F))[::-2]",
    "mapped((N, B, 3 * F))[..., ::3]",
    "mapped((F, B, N), (2, 1, 0))",
    "mapped((F, B, N), (2, 1, 0), 'f8')",
    "mapped((F, N, B), (1, 2, 0))",
    "mapped((N, F, B), (0, 2, 1))",
    "mapped((B, N, F), (1, 0, 2))",
    "mapped((B, F, N), (2, 0, 1))",
]
CALLS = [
    *((f"out = {out}", "sets.predict(samples, out=out, memory_limit=LIMIT)") for out in OUTS),
    (
        "out = mapped((F, N, B), (2, 1, 0))",
        "sets.predict(samples, out=out, memory_limit=LIMIT, set_axis=1)",
    ),
    ("", "for block in sets.predict_chunks(samples, memory_limit=LIMIT): pass"),
    ("", "sets[:50].predict(samples, memory_limit=LIMIT)"),
    ("", "sets.predict_stats(samples[:200], memory_limit=LIMIT, quantiles=[0.5])"),
]


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux' counters")
@pytest.mark.parametrize(("action", "call"), few(CALLS, 4))
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_limits_in_python(tmp_path, action, call, backend):
    code = EXTRA.replace("ACTION", action).replace("CALL", call)
    code, _, told = run(tmp_path, "-c", code, backend)
    assert code == 0, told
