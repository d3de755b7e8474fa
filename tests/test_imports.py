"""The folder cuda/ must not hide NVIDIA's namespace of that name."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

from multisubnet._backends.cupy import sources

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("module", ["cuda.pathfinder", "cupy"])
def test_imports_from_the_repository_root(module):
    pytest.importorskip("cupy")
    command = [sys.executable, "-c", f"import multisubnet, {module}; print({module}.__file__)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "site-packages" in done.stdout


def test_cuda_is_not_a_package_of_its_own():
    assert not (sources.directory() / "__init__.py").exists()


def test_a_source_has_each_header_once_with_line_numbers():
    text = sources.source("affine.cu", ("affine<float32, Tanh, Converting<float32>>",))
    assert "#include" not in text
    assert "#pragma once" not in text
    assert text.count("struct boolean") == 1
    assert re.findall(r"struct (\w*(?:Tanh|Sigmoid)\w*)", text) == ["Tanh"]  # no other recipe
    lines = text.splitlines()
    name, number = "", 0
    for line in lines:
        if line.startswith("#line"):
            number, name = int(line.split()[1]), line.split('"')[1]
            continue
        if line and name != "activations.cuh":
            there = (sources.directory() / name).read_text().splitlines()[number - 1]
            assert line == there
        number += 1


def test_messages_name_extras_that_exist():
    root = Path(__file__).parent.parent
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg")
    text = "".join(path.read_text("utf-8") for path in (root / "multisubnet").rglob("*.py"))
    found = set(re.findall(r"pip install 'multisubnet\[(\w+)\]'", text))
    libraries = {"cpu", "cuda12", "dask", "jax", "keras", "plot", "progress", "torch"}
    assert found == libraries <= set(config["options.extras_require"])


def test_modules_of_tests_have_names_of_their_own():
    """pytest would collect only the first of two modules with the same name."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names))
