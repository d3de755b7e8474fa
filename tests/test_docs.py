"""The documentation is whole: every public name, and no link to what is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import multisubnet as ms
from multisubnet import testing

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def documented(page, directive):
    return re.findall(rf"^ *\.\. {directive}:: (\w+)$", page.read_text(encoding="utf-8"), re.M)


def test_reference_has_every_name():
    pages = [page for page in REFERENCE.glob("*.rst") if page.name != "testing.rst"]
    names = [name for page in pages for name in documented(page, r"auto(?!method)\w+")]
    assert sorted(names) == ms.__all__
    names = documented(REFERENCE / "testing.rst", r"auto(?!module)\w+")
    assert sorted(names) == testing.__all__


def test_reference_has_every_method():
    names = documented(REFERENCE / "weight-sets.rst", "automethod")
    public = [name for name in vars(ms.WeightSets) if not name.startswith("_")]
    assert sorted(names) == sorted(n for n in public if callable(getattr(ms.WeightSets, n)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
