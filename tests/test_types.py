"""Type checkers accept correct uses, and find mistakes, without running them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import multisubnet as ms
from multisubnet._arithmetic import activation
from multisubnet._arithmetic.activation_recipes import RECIPES
from multisubnet._arithmetic.output_loss import CATEGORICAL
from multisubnet._functions import loss_problem
from multisubnet._functions.mlp_mean_loss import MlpLossName

ROOT = Path(__file__).parent.parent
FILES = ROOT / "tests" / "typing"
CHECKED = str(FILES / "right.py"), str(FILES / "wrong.py")


def _output(*command: str) -> str:
    if shutil.which(command[0], path=str(Path(sys.executable).parent)) is None:
        pytest.skip(f"{command[0]} is not installed")
    program = str(Path(sys.executable).with_name(command[0]))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # this package, not an installed one
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode not in (0, 1):  # for example if pyright cannot load its own files
        pytest.skip(f"{command[0]} does not run here: {done.stderr.strip()[-200:]}")
    return done.stdout


@functools.cache  # one run for all tests
def _mypy() -> set[tuple[str, int]]:
    """Return the names of files, and the numbers of lines with errors."""
    command = ["mypy", "--strict", "--follow-imports=silent", "--config-file=", *CHECKED]
    lines = _output(*command).splitlines()
    found = (line.split(":", 2) for line in lines if ": error:" in line)
    return {(Path(file).name, int(number)) for file, number, _ in found}


@functools.cache
def _pyright() -> set[tuple[str, int]]:
    output = json.loads(_output("pyright", "--outputjson", *CHECKED))
    found = (d for d in output["generalDiagnostics"] if d["severity"] == "error")
    return {(Path(d["file"]).name, d["range"]["start"]["line"] + 1) for d in found}


@pytest.mark.parametrize("errors", [_mypy, _pyright])
def test_right_uses_have_no_errors(errors):
    assert not [line for name, line in errors() if name == "right.py"]


@pytest.mark.parametrize("errors", [_mypy, _pyright])
def test_each_wrong_use_is_an_error(errors):
    lines = enumerate((FILES / "wrong.py").read_text().splitlines(), 1)
    wrong = {number: line for number, line in lines if "# wrong" in line}
    expected = {n for n, line in wrong.items() if errors is _pyright or line.endswith("# wrong")}
    assert {line for name, line in errors() if name == "wrong.py"} == expected


def test_the_public_interface_has_types():
    command = ["pyright", "--verifytypes", "multisubnet", "--ignoreexternal", "--outputjson"]
    complete = json.loads(_output(*command))["typeCompleteness"]
    unknown = [s["name"] for s in complete["symbols"] if not s["isTypeKnown"]]
    assert complete["completenessScore"] >= 0.95, unknown


def test_type_checkers_know_all_names():
    assert set(get_args(activation.ActivationName)) == {*RECIPES, *activation.ALIASES}
    losses = {*loss_problem.LOSSES, *loss_problem.ALIASES}
    of_outputs = {name for name in losses if loss_problem.ALIASES.get(name) == CATEGORICAL}
    assert set(get_args(loss_problem.LossName)) == losses - of_outputs
    of_networks = {name for part in get_args(MlpLossName) for name in get_args(part)}
    assert of_networks == {*losses, CATEGORICAL}


def test_sets_are_generic_in_their_arrays():
    assert ms.WeightSets[list].__origin__ is ms.WeightSets
