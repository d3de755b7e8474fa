"""The documentation is whole: its examples run, it has every public name, its links lead somewhere.

Examples are those of doctest, and commands after a ``$`` in ```console blocks, with their output.
"""

from __future__ import annotations

import doctest
import importlib.util
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import multisubnet as ms
from multisubnet import _dispatch, testing

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
COMMAND = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ |```).*\n)*)", re.M)


def text_of(page):
    return page.read_text(encoding="utf-8")


def examples_of(page):
    """Return the examples and the commands of a page in their order."""
    text = text_of(page)
    examples = doctest.DocTestParser().get_examples(text, page.name)
    for block in re.finditer(r"^```console\n(.*?)^```$", text, re.M | re.S):
        for match in COMMAND.finditer(text, block.start(1), block.end(1)):
            line = text.count("\n", 0, match.start())
            call, options = f"shell({match['command']!r})", {doctest.ELLIPSIS: True}
            examples.append(doctest.Example(call, match["output"], lineno=line, options=options))
    return sorted(examples, key=lambda example: example.lineno)


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


def why_missing(example):
    """Say why an example cannot import what it does, or return None."""
    imported = re.match(r"(?:import|from) (\w+)", example.source)
    if imported is None:
        return None
    if imported[1] == "cupy":
        return _dispatch.why_unavailable()["cupy"]
    return None if importlib.util.find_spec(imported[1]) else f"{imported[1]} is not installed"


@pytest.mark.parametrize("page", list(filter(examples_of, PAGES)), ids=lambda page: page.stem)
def test_examples(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    examples = examples_of(page)
    missing = [(example, why) for example in examples if (why := why_missing(example))]
    if missing:
        del examples[examples.index(missing[0][0]) :]
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST)
    test = doctest.DocTest(examples, {"shell": shell}, page.name, str(page), 0, None)
    result = runner.run(test, out=report.write)
    assert not result.failed, report.getvalue()
    if missing:
        example, why = missing[0]
        pytest.skip(f"{page.name} from line {example.lineno + 1} on: {why}")


def test_commands_are_found():
    for page in PAGES:
        found = [example for example in examples_of(page) if example.source.startswith("shell(")]
        assert len(found) == text_of(page).count("\n$ ")


def documented(page, directive):
    return re.findall(rf"^ *\.\. {directive}:: (\w+)$", text_of(DOCS / "reference" / page), re.M)


def test_reference_has_every_name():
    pages = {page.name for page in DOCS.glob("reference/*.rst")} - {"testing.rst"}
    names = [name for page in pages for name in documented(page, r"auto(?!method)\w+")]
    assert sorted(names) == ms.__all__
    assert sorted(documented("testing.rst", r"auto(?!module)\w+")) == testing.__all__


def test_reference_has_every_method():
    public = {name: getattr(ms.WeightSets, name) for name in vars(ms.WeightSets) if name[0] != "_"}
    methods = [name for name, value in public.items() if callable(value)]
    assert sorted(documented("weight-sets.rst", "automethod")) == sorted(methods)


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *PAGES], ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(page)):
        assert (page.parent / target).exists(), target
