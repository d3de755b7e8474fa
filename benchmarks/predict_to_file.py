"""`multisubnet predict` into a file: its speed beside the disk's own, its memory, kill and resume.

Predictions of 20 GB by default, or of the sizes that options say, are written to a folder of the
disk in question, each time after dd has written as many bytes there (until they are on the disk:
conv=fdatasync), and once more dd after the last. Then a run is killed in the middle (SIGKILL) and
gone on with, and its file must be the same as that of a run straight through. One file of that size
is there at a time. Linux only: it asks the system for the peak of a process' memory.

    python benchmarks/predict_to_file.py --folder /mnt/data --memory-limit 1GiB
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import machine
import numpy as np

import multisubnet as ms
from multisubnet._memory import amounts

_DD_BLOCK = 1 << 24
_TARGET = 0.7  # of the disk's own speed


def main() -> int:
    """Measure, print, write the results; 1 if memory, speed or bytes are not as they must be."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="predict-to-file-") as folder:
        found = measure(Path(folder), options)
    if options.results:
        options.results.write_text(json.dumps(found, indent=1) + "\n")
    limit = amounts.parsed("--memory-limit", options.memory_limit)
    fails = [
        what
        for what, is_met in {
            f"the peak is above {options.memory_limit}": found["peak_bytes"] <= limit,
            f"less than {_TARGET} of the disk's speed": found["of_disk"] >= _TARGET,
            "the file of the killed run differs": found["same_bytes_after_kill"],
        }.items()
        if not is_met
    ]
    print(*(f"FAILED: {what}" for what in fails), sep="\n")
    return 1 if fails else 0


def measure(folder: Path, options: argparse.Namespace) -> dict:
    """Return what was found."""
    rng = np.random.default_rng(0)
    shape = options.sets, options.samples, options.features
    n_bytes = 4 * int(np.prod(shape, dtype=np.int64))
    np.save(folder / "samples.npy", rng.normal(size=shape[1:]).astype(np.float32))
    weight, bias = rng.normal(size=(2, shape[0], shape[2])).astype(np.float32)
    ms.WeightSets(weight, bias).save(folder / "weights.npz")
    print(f"{shape} float32, {amounts.text(n_bytes)}, limit {options.memory_limit}, in {folder}")

    dd, ours, peaks = [_dd(folder, n_bytes)], [], []
    for _ in range(options.rounds):
        seconds, peak = _finished(_start(folder, options))
        ours.append(n_bytes / seconds)
        peaks.append(peak)
        print(f"predict: {ours[-1] / 1e6:.0f} MB/s, peak {amounts.text(peak)}")
        straight = _digest(folder / "out.npy")
        (folder / "out.npy").unlink()
        dd.append(_dd(folder, n_bytes))

    killed, resumed = _kill_and_resume(folder, options, n_bytes)
    peaks.append(resumed)
    same = _digest(folder / "out.npy") == straight
    print(f"killed at {killed:.0%} and resumed: {'the same' if same else 'OTHER'} bytes")
    of_disk = statistics.median(ours) / statistics.median(dd)
    print(f"{of_disk:.2f} of the disk's own speed, peak {amounts.text(max(peaks))}")
    return {
        "date": date.today().isoformat(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "shape": shape,
        "bytes": n_bytes,
        "memory_limit": options.memory_limit,
        "dd_bytes_per_second": dd,
        "predict_bytes_per_second": ours,
        "of_disk": of_disk,
        "peak_bytes": max(peaks),
        "killed_at": killed,
        "same_bytes_after_kill": same,
    }


def _start(folder: Path, options: argparse.Namespace, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "multisubnet", "predict", "samples.npy", "weights.npz"]
    command += ["-o", "out.npy", "--memory-limit", options.memory_limit, "--no-progress", *more]
    root = str(Path(ms.__file__).parent.parent)
    return subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": root})


def _finished(process: subprocess.Popen) -> tuple[float, int]:
    """Return the seconds that a process takes from now on, and the peak of its memory."""
    start = time.perf_counter()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"multisubnet predict: exit code {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def _kill_and_resume(folder: Path, options: argparse.Namespace, n_bytes: int) -> tuple[float, int]:
    """Return how much was written when the first run was killed, and the peak of the second."""
    part = folder / "out.npy.part"
    process = _start(folder, options)
    while not part.exists() or part.stat().st_size < n_bytes // 2:
        if process.poll() is not None:
            raise SystemExit("multisubnet predict was too fast to be killed: take larger sizes")
        time.sleep(0.001)
    process.kill()
    process.wait()
    written = part.stat().st_size / n_bytes
    safe = json.loads((folder / "out.npy.part.json").read_text())["safe bytes"]
    print(f"killed with {written:.0%} written, of which {safe / n_bytes:.0%} is safe on the disk")
    if (folder / "out.npy").exists():
        raise SystemExit("a run that was killed has left a file under its final name")
    _, peak = _finished(_start(folder, options, "--resume"))
    return written, peak


def _dd(folder: Path, n_bytes: int) -> float:
    """Return the bytes per second that the disk takes of plain writes, by dd."""
    count = max(1, n_bytes // _DD_BLOCK)
    command = ["dd", "if=/dev/zero", "of=dd", f"bs={_DD_BLOCK}", f"count={count}"]
    start = time.perf_counter()
    subprocess.run([*command, "conv=fdatasync", "status=none"], cwd=folder, check=True)
    rate = count * _DD_BLOCK / (time.perf_counter() - start)
    (folder / "dd").unlink()
    print(f"dd: {rate / 1e6:.0f} MB/s")
    return rate


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=5_000)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument(
        "--rounds", type=int, default=1, help="how often it is run straight through"
    )
    parser.add_argument("--memory-limit", default="1GiB")
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write; . by default")
    parser.add_argument("--results", type=Path, metavar="FILE", help="where to write JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
