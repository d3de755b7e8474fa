"""The imports between files of the package, for tests of its layout."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import multisubnet

PACKAGE = Path(multisubnet.__file__).parent


def files() -> list[Path]:
    """Return all files of code of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def imports_of(file: Path) -> set[Path]:
    """Return the files of the package that a file imports, anywhere in it, except itself.

    Imports for type checkers do not count.
    """
    found = set()
    for node in _nodes(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found.update(_file_of(name) for name in names if name.split(".")[0] == "multisubnet")
    return found - {file}


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _nodes(child)


def _file_of(name: str) -> Path:
    """Return the file of a module, or of the module that defines a name."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    if path.is_dir():
        return path / "__init__.py"
    return _file_of(name.rpartition(".")[0])
