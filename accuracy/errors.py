"""The errors of the library's activations, as judged by reference.cpp."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import multisubnet as ms
from multisubnet._arithmetic.activation import PARAMETERS
from multisubnet._arithmetic.activation_recipes import RECIPES

ACTIVATIONS = {
    name: {PARAMETERS[name][0]: PARAMETERS[name][1]} if name in PARAMETERS else {}
    for name in RECIPES
}
_FLAGS = ["-std=gnu++17", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-shared", "-fPIC"]
_HERE = Path(__file__).parent


class Error(ctypes.Structure):
    """The error in ulp of a result y at x."""

    _fields_ = [("ulp", ctypes.c_double), ("x", ctypes.c_double), ("y", ctypes.c_double)]


class Result(ctypes.Structure):
    """The largest errors, the first result that is wrong in kind, how many were and were judged."""

    _fields_ = [
        ("normal", Error),
        ("subnormal", Error),
        ("wrong", Error),
        ("n_wrong", ctypes.c_int64),
        ("n", ctypes.c_int64),
    ]

    @property
    def largest(self) -> Error:
        """The largest error, whether the true result is subnormal or not."""
        return _largest([self.normal, self.subnormal])


def bound(name: str, derivative: bool) -> int:
    """Return how many ulp an activation or its derivative may be off."""
    return 4 if derivative or name in ("gelu", "gelu_tanh") else 2


def measure(name: str, derivative: bool, x: np.ndarray) -> Result:
    """Return how far the library is from the truth at some points."""
    activation = ms.Activation(name, **ACTIVATIONS[name])
    return judged(name, derivative, x, activation.derivative if derivative else activation)


def judged(name: str, derivative: bool, x: np.ndarray, activation: ms.Activation) -> Result:
    """Return how far an activation is from the truth of that name."""
    y = ms.affine(x[:, None], np.ones((1, 1), x.dtype), activation=activation)[0, :, 0]
    judge = getattr(library(), f"judge_{x.dtype}")
    parameter = next(iter(ACTIVATIONS[name].values()), 0.0)
    result = Result()
    assert judge(name.encode(), derivative, parameter, x, y, len(x), result), f"no truth of {name}"
    return result


def merge(results: Iterable[Result]) -> Result:
    """Return what holds for the points of all results together."""
    results = list(results)
    return Result(
        _largest([result.normal for result in results]),
        _largest([result.subnormal for result in results]),
        next((result.wrong for result in results if result.n_wrong), Error()),
        sum(result.n_wrong for result in results),
        sum(result.n for result in results),
    )


def _largest(errors: list[Error]) -> Error:
    return max(errors, key=lambda error: abs(error.ulp))


@functools.cache
def library() -> ctypes.CDLL:
    """Compile reference.cpp, or find it compiled."""
    source = _HERE / "reference.cpp"
    key = hashlib.sha256("\0".join([source.read_text(), *_FLAGS]).encode()).hexdigest()[:16]
    path = _HERE.parent / "build" / f"reference-{key}.so"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        subprocess.run(["g++", *_FLAGS, source, "-lquadmath", "-o", partial], check=True)
        partial.rename(path)
    library = ctypes.CDLL(str(path))
    for dtype, real in (("float32", ctypes.c_float), ("float64", ctypes.c_double)):
        array = np.ctypeslib.ndpointer(dtype, ndim=1, flags="C_CONTIGUOUS")
        judge = getattr(library, f"judge_{dtype}")
        judge.restype = ctypes.c_bool
        judge.argtypes = [ctypes.c_char_p, ctypes.c_bool, real, array, array, ctypes.c_int64]
        judge.argtypes += [ctypes.POINTER(Result)]
    return library
