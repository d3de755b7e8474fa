"""The CUDA sources: their location, and how a kernel file and recipes become one text.

CuPy's kernel cache is keyed by the source text, not by the files it includes, so headers are
spliced into the text. Some headers are not files: they are generated from the recipes that a kernel
needs. In a wheel the sources are in `multisubnet/cuda`; in a clone they are next to the package.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from pathlib import Path

_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"\n', re.MULTILINE)


@functools.cache
def directory() -> Path:
    """Return the directory of the CUDA sources."""
    package = Path(__file__).resolve().parents[2]
    for place in (package / "cuda", package.parent / "cuda"):
        if (place / "affine.cu").is_file():
            return place
    raise FileNotFoundError(f"no CUDA sources in {package / 'cuda'}: reinstall multisubnet")


@functools.cache
def source(name: str, kernels: tuple[str, ...]) -> str:
    """Return the text of the kernel file `name`, with each header spliced in once.

    It includes the recipes of these kernels, which have names like "affine<float32, Tanh, ...>".
    """
    return _spliced(name, set(), set(re.findall(r"\w+", " ".join(kernels))))


def _spliced(name: str, seen: set[str], words: Collection[str]) -> str:
    from multisubnet._backends.cupy import printing

    seen.add(name)

    def splice(include: re.Match[str]) -> str:
        header = include[1]
        if header in seen:
            return "\n"
        after = text.count("\n", 0, include.end()) + 1
        return f'{_spliced(header, seen, words)}#line {after} "{name}"\n'

    printed = printing.header(name, words)
    whole = (directory() / name).read_text(encoding="utf-8") if printed is None else printed
    text = whole.replace("#pragma once\n", "\n")
    return f'#line 1 "{name}"\n{_INCLUDE.sub(splice, text)}'
