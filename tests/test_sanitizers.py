"""The kernels on the host once more, each access and operation checked by sanitizers.

AddressSanitizer must be in the process before NumPy allocates, hence a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cuda_on_host
import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(
    cuda_on_host.why_unavailable() is not None or not sys.platform.startswith("linux"),
    reason="needs g++ on Linux",
)


def sanitized(*arguments, examples=100):
    """Run pytest on the sanitized build of the kernels."""
    found = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True)
    environment = os.environ | {
        "LD_PRELOAD": found.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "MULTISUBNET_TEST_HOST_BUILD": "sanitized",
        "MULTISUBNET_TEST_EXAMPLES": str(examples),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, env=environment, cwd=Path(__file__).parent, capture_output=True, text=True
    )


def test_the_agreement_tests_under_sanitizers():
    done = sanitized("test_agreement.py", "-k", "host and not 32_bit")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


OVERRUN = """
import cuda_on_host
import numpy as np

from multisubnet import _launch


def test_overrun():
    samples, out = np.ones((1, 100)), np.ones((1, 1, 100))
    launch = _launch.affine(samples, samples, None, out, out.dtype, None, cuda_on_host.address)
    assert launch.argument.endswith((100).to_bytes(8, "little"))
    longer = launch.argument[:-8] + (102).to_bytes(8, "little")
    cuda_on_host.run(launch._replace(argument=longer))
"""


def test_that_the_sanitizers_are_awake(tmp_path):
    (tmp_path / "test_overrun.py").write_text(OVERRUN)
    done = sanitized(
        "-s", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), str(tmp_path)
    )
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr + done.stdout
