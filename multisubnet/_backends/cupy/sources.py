"""The CUDA sources: where they are, and how a kernel file becomes one text.

CuPy's kernel cache keys on the source text and not on the files it includes, so the headers are
spliced into the text. In a wheel the sources are `multisubnet/cuda`, in a checkout they stand
beside the package.
"""

from __future__ import annotations

import functools
import re
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
def source(name: str) -> str:
    """Return the text of the kernel file `name`, each header spliced in once."""
    return _spliced(name, set())


def _spliced(name: str, seen: set[str]) -> str:
    seen.add(name)

    def splice(include: re.Match[str]) -> str:
        header = include[1]
        if header in seen:
            return "\n"
        after = text.count("\n", 0, include.end()) + 1
        return f'{_spliced(header, seen)}#line {after} "{name}"\n'

    text = (directory() / name).read_text(encoding="utf-8").replace("#pragma once\n", "\n")
    return f'#line 1 "{name}"\n{_INCLUDE.sub(splice, text)}'
