"""The documentation is complete: examples run, every public name is there, links are valid.

Examples are doctests, and commands after a ``$`` in ```console blocks, with their output.
"""

from __future__ import annotations

import ast
import doctest
import html
import importlib.util
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import multisubnet as ms
from multisubnet import plot, testing
from multisubnet._arithmetic.activation import ALIASES as ACTIVATIONS
from multisubnet._functions.loss_problem import ALIASES as LOSSES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FRAMEWORKS = "dask", "jax", "keras", "torch"
# Modules that examples may import, and that may not be installed.
OF_FRAMEWORKS = "array_api_strict", "evosax", "h5py", "jax", "keras", "torch", "zarr"
OPTIONAL = "cma", "dask", "matplotlib", "scipy", "sklearn", *OF_FRAMEWORKS
IMPORTED_BY = {"matplotlib": "plot"}  # the module of ours that imports it
COMMAND = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ |```).*\n)*)", re.M)


def stem(page):
    return page.stem


def filtered(condition):
    return [page for page in PAGES if condition(page)]


def text_of(page):
    return page.read_text(encoding="utf-8")


def examples_of(page):
    """Return the examples and the commands of a page, in order."""
    text = text_of(page)
    examples = doctest.DocTestParser().get_examples(text, page.name)
    for block in re.finditer(r"^```console\n(.*?)^```$", text, re.M | re.S):
        for match in COMMAND.finditer(text, block.start(1), block.end(1)):
            line = text.count("\n", 0, match.start())
            call = f"shell({match['command']!r})"
            examples.append(doctest.Example(call, match["output"], lineno=line))
    return sorted(examples, key=lambda example: example.lineno)


def shell(command):
    """Run ``multisubnet`` of this checkout, check its exit code, and print its output."""
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
    run.check_returncode()


def first_import(examples, modules):
    """Return a place where examples import one of these modules, or our module for it, or None."""
    places = rf"(?:import|from) (?:multisubnet\.|multisubnet import )?(?:{'|'.join(modules)})\b"
    found = (i for i, example in enumerate(examples) if re.match(places, example.source))
    return next(found, None)


def run(examples, page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    test = doctest.DocTest(examples, {"shell": shell}, page.name, str(page), 0, None)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST)
    report = io.StringIO()
    result = runner.run(test, out=report.write)
    assert not result.failed, report.getvalue()


def of_frameworks(page):
    return first_import(examples_of(page), OF_FRAMEWORKS) is not None


@pytest.mark.filterwarnings("ignore:Could not import matplotlib:UserWarning")  # from cma
@pytest.mark.parametrize(
    "page", filtered(lambda page: examples_of(page) and not of_frameworks(page)), ids=stem
)
def test_examples(page, monkeypatch, tmp_path):
    check_examples(page, monkeypatch, tmp_path)


@pytest.mark.filterwarnings("ignore:Could not import matplotlib:UserWarning")
@pytest.mark.parametrize("page", filtered(of_frameworks), ids=stem)
def test_examples_of_frameworks(page, monkeypatch, tmp_path):
    check_examples(page, monkeypatch, tmp_path)


def check_examples(page, monkeypatch, tmp_path):
    examples = examples_of(page)[: first_import(examples_of(page), ["cupy"])]
    missing = [name for name in OPTIONAL if not importlib.util.find_spec(name)]
    missing += [IMPORTED_BY[name] for name in missing if name in IMPORTED_BY]
    stop = first_import(examples, missing) if missing else None
    run(examples[:stop], page, monkeypatch, tmp_path)
    if stop is not None:
        example = examples[stop]
        pytest.skip(f"{page.name}, from line {example.lineno + 1} on: {example.source.strip()}")


@pytest.mark.gpu
@pytest.mark.parametrize("page", filtered(lambda page: "import cupy" in text_of(page)), ids=stem)
def test_examples_on_gpu(page, monkeypatch, tmp_path):
    run(examples_of(page), page, monkeypatch, tmp_path)


def test_commands_are_found():
    for page in PAGES:
        found = [example for example in examples_of(page) if example.source.startswith("shell(")]
        assert len(found) == text_of(page).count("\n$ ")


def documented(page, directive):
    return re.findall(rf"^ *\.\. {directive}:: (\w+)$", text_of(DOCS / "reference" / page), re.M)


def test_reference_has_every_name():
    others = {f"{name}.rst" for name in ("testing", "plot", *FRAMEWORKS)}
    pages = {page.name for page in DOCS.glob("reference/*.rst")} - others
    names = [name for page in pages for name in documented(page, r"auto(?!method)\w+")]
    assert sorted(names) == ms.__all__
    for module in (plot, testing):
        page = f"{module.__name__.rpartition('.')[2]}.rst"
        assert sorted(documented(page, r"auto(?!module)\w+")) == module.__all__


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_reference_has_every_name_for_a_framework(name):
    face = ast.parse(text_of(ROOT / "multisubnet" / name / "__init__.py"))
    (public,) = (
        ast.literal_eval(node.value)
        for node in face.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    )
    assert sorted(documented(f"{name}.rst", r"auto(?!module|method)\w+")) == sorted(public)


def test_reference_has_every_method():
    public = {name: getattr(ms.WeightSets, name) for name in dir(ms.WeightSets) if name[0] != "_"}
    methods = [name for name, value in public.items() if callable(value)]
    assert sorted(documented("weight-sets.rst", "automethod")) == sorted(methods)


def test_the_guide_has_every_name_of_others():
    text = text_of(DOCS / "guide" / "coming-from.md").lower()
    for alias, name in (ACTIVATIONS | LOSSES).items():
        assert {f"`{alias.lower()}`", f"`{name}`"} <= set(re.findall("`[a-z0-9_]+`", text)), alias


def loaded_tables():
    spec = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    return tables


def test_figures_are_those_of_committed_results():
    tables = loaded_tables()
    written = []
    for page in tables.PAGES:
        assert tables.updated(text_of(page)) == text_of(page), "run docs/tables.py"
        written += re.findall(r"<!-- (\w+) -->\n(?:.*\n)+<!-- /\1 -->", text_of(page))
    assert sorted(written) == sorted([*tables.WRITTEN, "speed"])  # the README has it, too
    for name in ("speed.svg", "_static/speed-dark.svg"):
        picture = html.unescape(text_of(DOCS / name))
        assert tables.speed_table() in picture, "run docs/pictures.py"


def test_figures_come_from_the_newest_run_alone(tmp_path, monkeypatch):
    tables = loaded_tables()
    monkeypatch.setattr(tables, "RESULTS", tmp_path)

    def write(name, date, **content):
        (tmp_path / name).write_text(json.dumps({"date": date} | content), encoding="utf-8")

    def timings(**medians):
        usual = {"activation": None, "loss": None, "mode": "fresh", "size": [1000, 569, 30]}
        return [usual | {"contender": name, "median": s} for name, s in medians.items()]

    # The older run, by whose name it is the last, has the shortest time of one contender.
    fill = {"contender": "fill", "is_limit": True, "median": 0.9}
    new = timings(multisubnet=1.0) + [timings(fill=0)[0] | fill]
    write("cpu-a.json", "2026-12-02", timings=new)
    write("cpu-z.json", "2026-12-01", timings=timings(multisubnet=0.1, **{"NumPy expression": 0.5}))
    assert "0.90 to 0.90 of this limit" in tables.limit()
    assert tables.rows()[0] == (next(iter(tables.ROWS)), 1.0, {})

    names = "multisubnet", "layer that broadcasts", "StackedAffine", "Keras predict per set"
    for machine, date, factor in (("a", "2026-12-02", 2.0), ("z", "2026-12-01", 3.0)):
        medians = dict.fromkeys(names, factor) | {"multisubnet": 1.0}
        write(f"cpu-keras-jax-{machine}.json", date, timings=timings(**medians))
    assert "| 2.0x |" in tables.keras()

    sizes = [(16, 5), (256, 2), (256, 4), (512, 3)]
    results = [
        {"size": [1, 1, 1, [1, width, 1]], "seconds": {"multisubnet": 1, "JAX": seconds}}
        for width, seconds in sizes
    ]
    write("networks-sweep.json", "2026-12-01", results=results)
    assert "256 to 512 units, the faster of the two took 2.00 to 4.00" in tables.sweep()


def test_errors_are_those_of_committed_results():
    results = json.loads(text_of(ROOT / "accuracy" / "results" / "errors.json"))["rows"]
    worst = {
        (row["activation"], row["derivative"], row["dtype"]): f"{abs(row['normal']['ulp']):.2f}"
        for row in results
    }
    parts = text_of(DOCS / "same-bits.md").split("Errors of derivatives")
    for is_derivative, part, columns in zip((False, True), parts, ((1, 2), (0, 2)), strict=True):
        rows = re.findall(r"^\| `(\w+)` \| ([-\d].*) \|$", part, re.M)
        assert len(rows) > 10
        for name, cells in rows:
            for dtype, column in zip(("float32", "float64"), columns, strict=True):
                cell = cells.split(" | ")[column]
                assert cell == worst[name, is_derivative, dtype], f"{name}, {dtype}"


def test_the_readme_is_short():
    assert len(text_of(ROOT / "README.md").split()) <= 700


def anchors(page):
    """Return the anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    """One test of all pages, because `make test` takes a part of the cases of others."""
    for page in [*ROOT.glob("*.md"), *PAGES]:
        links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?[^)]*\)", text_of(page))
        links += re.findall(r'\bsrc(?:set)?="([^"]+)()"', text_of(page))
        for target, anchor in links:
            # Sphinx checks names such as #multisubnet.affine.
            if "://" in target or anchor.startswith("multisubnet."):
                continue
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(file), f"{page.name}: {target}#{anchor}"


def test_readme_names_only_files():
    """GitHub and PyPI do not know Sphinx's names of functions."""
    assert "](#multisubnet" not in text_of(ROOT / "README.md")
