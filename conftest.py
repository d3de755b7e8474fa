"""The examples of README.md and docs/: what doctest finds there, and the commands of consoles."""

import doctest
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
COMMAND = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ |```).*\n)*)", re.M)


def is_page(item):
    """Whether a test is the examples of a Markdown page."""
    return isinstance(item, pytest.DoctestItem) and item.path.suffix == ".md"


def pytest_collection_modifyitems(items):
    """Put the commands of pages among their examples; skip from where something is missing."""
    for item in filter(is_page, items):
        examples = item.dtest.examples
        examples += commands(item.path.read_text(encoding="utf-8"))
        examples.sort(key=lambda example: example.lineno)
        for i, example in enumerate(examples):
            imported = re.match(r"(?:import|from) (\w+)", example.source)
            if why := imported and why_missing(imported[1]):
                reason = f"from line {example.lineno + 1} on: {why}"
                skip = f"import pytest; pytest.skip({reason!r})"
                examples.insert(i, doctest.Example(skip, "", lineno=example.lineno))
                break


def commands(page):
    """Return what stands behind ``$`` in the ```console blocks of a page, as examples."""
    found = []
    for block in re.finditer(r"^```console\n(.*?)^```$", page, re.M | re.S):
        for match in COMMAND.finditer(page, block.start(1), block.end(1)):
            call, options = f"shell({match['command']!r})", {doctest.ELLIPSIS: True}
            line = page.count("\n", 0, match.start())
            found.append(doctest.Example(call, match["output"], lineno=line, options=options))
    assert len(found) == page.count("\n$ "), "a command stands outside of a console"
    return found


def why_missing(module):
    """Say why a page cannot import a module, or return None."""
    if module == "cupy":
        from multisubnet import _dispatch

        return _dispatch.why_unavailable()["cupy"]
    return None if importlib.util.find_spec(module) else f"{module} is not installed"


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(request):
    """Run a page where it may leave files behind."""
    if is_page(request.node):
        monkeypatch = request.getfixturevalue("monkeypatch")
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        request.getfixturevalue("doctest_namespace")["shell"] = shell


def shell(command):
    """Run ``multisubnet`` of this checkout, and print what it says."""
    program, *arguments = shlex.split(command)
    assert program == "multisubnet", command
    run = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    print(run.stdout, end="")
