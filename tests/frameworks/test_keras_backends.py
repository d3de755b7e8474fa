"""The tests of Keras' layers with each Keras backend, each in a separate process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ALL_PARAMETERS, EXAMPLES

ROOT = Path(__file__).parents[2]
NAMES = (
    *("test_keras", "test_networks_keras", "test_metrics_keras"),
    *("test_stacking_keras", "test_early_stopping_keras"),
)
# Without many examples, each test runs, with some of its parameters: the tests themselves run with
# more of them on another backend.
SOME = {} if ALL_PARAMETERS <= EXAMPLES else {"MULTISUBNET_TEST_EXAMPLES": "2"}
TESTS = [Path(__file__).with_name(f"{name}.py") for name in NAMES]


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow", "numpy"])
def test_on_backend(backend):
    pytest.importorskip("keras", exc_type=ImportError)
    if backend == os.environ.get("KERAS_BACKEND"):
        pytest.skip("the tests themselves run on it")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"} | SOME,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr
    assert " passed" in run.stdout
