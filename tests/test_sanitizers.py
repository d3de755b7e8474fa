"""The kernels on the host again, with sanitizers that check each access and operation.

AddressSanitizer must be loaded before NumPy allocates, so the tests use a separate process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cuda_on_host
import pytest
from conftest import ALL_PARAMETERS, EXAMPLES, few, takes_long

ROOT = Path(__file__).parent.parent
FEW = min(EXAMPLES, 3)
MANY = EXAMPLES >= ALL_PARAMETERS  # each needs its own kernels, which take a second to compile
pytestmark = pytest.mark.skipif(
    cuda_on_host.why_unavailable() is not None or not sys.platform.startswith("linux"),
    reason="needs g++ on Linux",
)


def run(build, *arguments, **environment):
    """Run Python with a build of the kernels."""
    environment |= {"MULTISUBNET_TEST_HOST_BUILD": build}
    if build == "sanitized":
        command = ["g++", "-print-file-name=libasan.so"]
        found = subprocess.run(command, capture_output=True, text=True)
        environment |= {"LD_PRELOAD": found.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )


def sanitized(*arguments, examples=FEW):
    """Run pytest on the sanitized build of the kernels."""
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return run("sanitized", *command, MULTISUBNET_TEST_EXAMPLES=str(examples))


@takes_long
def test_the_agreement_tests_under_sanitizers():
    examples = 100 if MANY else FEW
    done = sanitized("test_agreement.py", "-k", "host and not 32_bit", examples=examples)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@takes_long
def test_the_agreement_tests_of_sums_under_sanitizers():
    files = [f"test_{name}.py" for name in ("losses", "closed_form", "vjp", "stats", "launch")]
    examples = 20 if MANY else FEW
    done = sanitized(*files, "-k", "host and agreement_ or each_term", examples=examples)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@takes_long
def test_the_agreement_tests_of_networks_under_sanitizers():
    chosen = "host and (agreement_of or select_on_many)" if MANY else "host and agreement_of"
    files = "test_mlp.py", "test_mlp_kernels.py", "test_mlp_sum_kernels.py"
    done = sanitized(*files, "-k", chosen)  # one kernel per network
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


OVERRUN_OF_SHARED_MEMORY = """
import cuda_on_host
import numpy as np

from multisubnet._backends.cupy.launch import mlp


def test_overrun():
    # Less of the weights finds room than a block copies.
    x, out = np.ones((3, 1), "f4"), np.ones((2, 3, 1, 1), "f4")
    layers = np.ones((2, 1, 1, 5), "f4"), None, np.ones((2, 1, 5, 1), "f4"), None
    plan = mlp.Networks((1, 5, 1), (None, None), (False, False), False, x.dtype, x.dtype, 1, 2)
    given = *layers, plan, cuda_on_host.CARD, cuda_on_host.address
    launch = mlp.plan_mlp(x, out, None, None, None, *given)
    cuda_on_host.run(launch)
    cuda_on_host.run(launch._replace(shared_bytes=launch.shared_bytes - 32))
"""


def test_an_overrun_of_shared_memory_is_reported(tmp_path):
    assert "heap-buffer-overflow" in errors(tmp_path, OVERRUN_OF_SHARED_MEMORY)


OVERRUN = """
import struct

import cuda_on_host
import numpy as np

from multisubnet._backends.cupy.launch import affine


def test_overrun():
    samples, out = np.ones((1, 100)), np.ones((1, 1, 100))
    given = samples, samples, None, out, out.dtype, None, cuda_on_host.CARD
    launch = affine.plan_affine(*given, cuda_on_host.address)
    *sizes, n_features, period, rows_of_period, n_vectors = struct.unpack(
        "<6q", launch.argument[-48:]
    )
    assert (n_features, n_vectors) == (100, 50)
    longer = struct.pack("<6q", *sizes, 102, period, rows_of_period, 51)
    cuda_on_host.run(launch._replace(argument=launch.argument[:-48] + longer))
"""
OVERRUN_OF_SUMS = """
import struct

import cuda_on_host
import numpy as np
from test_launch import SUM, launched_sums


def test_overrun():
    shape = 2, {length}, 3
    operands = {{"sample": np.ones(shape)}}
    launch, totals = launched_sums(SUM, operands, "f8", shape)
    assert launch.block == (8, {in_y})
    assert launch.argument.endswith(struct.pack("<3q", *shape))
    argument = launch.argument[:-24] + struct.pack("<3q", *{wrong})
    cuda_on_host.run(launch._replace(argument=argument, block={block}))
"""


def errors(tmp_path, code):
    """Return the sanitizers' output for a test that must fail."""
    (tmp_path / "test_overrun.py").write_text(code)
    done = sanitized(
        "-s", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), str(tmp_path)
    )
    assert done.returncode != 0
    return done.stderr + done.stdout


def test_the_sanitizers_are_active(tmp_path):
    assert "heap-buffer-overflow" in errors(tmp_path, OVERRUN)


@pytest.mark.parametrize(
    ("length", "in_y", "wrong", "block", "error"),
    few(
        [
            (20, 1, (2, 22, 3), (8, 1), "heap-buffer-overflow"),
            (100, 4, (2, 102, 3), (8, 4), "heap-buffer-overflow"),  # of threads that take turns
            (100, 4, (3, 100, 3), (8, 4), "heap-buffer-overflow"),
            (100, 4, (2, 100, 3), (128, 4), "out of bounds"),  # of the shared memory of a block
        ],
        2,
    ),
)
def test_an_overrun_of_sums_is_reported(tmp_path, length, in_y, wrong, block, error):
    code = OVERRUN_OF_SUMS.format(length=length, in_y=in_y, wrong=wrong, block=block)
    assert error in errors(tmp_path, code)


# Each thread of a block passes a number to the previous one, several times.
TURNS = """
struct Turns {{ int *out; }};

template <bool> __global__ void turns(const Turns p) {{
    __shared__ int given[8];
    const int place = threadIdx.y * blockDim.x + threadIdx.x;
    for (int time = 0; time < 3; ++time) {{
        given[place] = 8 * time + place;
        {first}
        p.out[8 * time + place] = given[(place + 1) % 8];
        {second}
    }}
}}
"""
RUN_TURNS = """
import sys
sys.path[:0] = sys.argv[1:3]
import cuda_on_host, numpy as np
from multisubnet._backends.cupy.launch import operands
from multisubnet._backends.cupy import sources as _sources
_sources.source = lambda *_: sys.argv[3]
out = np.zeros((3, 8), np.int32)
argument = cuda_on_host.address(out).to_bytes(8, "little")
cuda_on_host.run(operands.Launch("turns<true>", (2, 2), (4, 2), argument))
print((out == np.roll(np.arange(24).reshape(3, 8), -1, axis=1)).all())
"""
WAIT = "__syncthreads();"


@pytest.mark.parametrize("build", cuda_on_host.BUILDS)
@pytest.mark.parametrize(
    ("first", "second", "seen"),
    few(
        [
            (WAIT, WAIT, "True"),
            ("", WAIT, "False"),
            (WAIT, "", "False"),
            (f"if (threadIdx.y) return; {WAIT}", WAIT, "threads wait for one that is done"),
            (f"if (place != 5) {WAIT}", WAIT, "threads wait for one that is done"),
        ]
    ),
)
def test_threads_wait_for_each_other(build, first, second, seen):
    kernel = TURNS.format(first=first, second=second)
    done = run(build, "-c", RUN_TURNS, str(ROOT), str(ROOT / "tests"), kernel)
    assert seen in done.stdout + done.stderr
