"""The layout of the package: rooms import only rooms below them, and imports have no cycles."""

from __future__ import annotations

import ast
import configparser
from graphlib import CycleError, TopologicalSorter

import pytest
import rooms

BELOW = {
    "_arithmetic": "",
    "_arrays": "",
    "_files": "_arithmetic _arrays",
    "_backends": "_arithmetic _arrays",
    "_functions": "_backends _arithmetic _arrays",
    "_sets": "_functions _files _backends _arithmetic _arrays",
    "testing": "_arithmetic _arrays",
    "__init__.py": "_functions _sets _backends _arithmetic",
    **dict.fromkeys(
        ("torch", "jax", "keras", "dask"),
        "__init__.py _functions _sets _backends _arithmetic _arrays",
    ),
    "_cli": "__init__.py plot.py _functions _sets _files _backends _arithmetic _arrays",
    "plot.py": "_functions _sets _arrays",
    "__main__.py": "_cli",
}


def room_of(file):
    return file.relative_to(rooms.PACKAGE).parts[0]


@pytest.mark.parametrize(
    "file", rooms.files(), ids=lambda file: str(file.relative_to(rooms.PACKAGE))
)
def test_a_room_imports_only_rooms_below(file):
    room = room_of(file)
    above = {room_of(other) for other in rooms.imports_of(file)} - {room, *BELOW[room].split()}
    assert not above, f"{file.relative_to(rooms.PACKAGE)} imports {', '.join(sorted(above))}"


def test_no_files_import_each_other_in_a_circle():
    graph = {file: rooms.imports_of(file) for file in rooms.files()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = [str(file.relative_to(rooms.PACKAGE)) for file in error.args[1]]
        pytest.fail(" imports ".join(reversed(circle)))


def test_the_package_fits_on_a_screen():
    shown = {entry.name for entry in rooms.PACKAGE.iterdir()} - {"__pycache__"}
    assert len(shown) <= 16, sorted(shown)
    lengths = {str(f): len(f.read_text(encoding="utf-8").splitlines()) for f in rooms.files()}
    assert not {name: length for name, length in lengths.items() if length > 650}


def test_private_packages_are_empty():
    """A file then loads only what it imports."""
    for file in rooms.PACKAGE.glob("_*/**/__init__.py"):
        (docstring,) = ast.parse(file.read_text(encoding="utf-8")).body
        assert isinstance(docstring.value, ast.Constant)


def test_every_room_is_installed():
    config = configparser.ConfigParser()
    config.read(rooms.PACKAGE.parent / "setup.cfg")
    listed = set(config["options"]["packages"].split()) - {"multisubnet.cuda"}
    folders = {file.parent.relative_to(rooms.PACKAGE.parent) for file in rooms.files()}
    assert listed == {".".join(folder.parts) for folder in folders}
