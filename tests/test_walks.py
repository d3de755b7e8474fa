"""The number of calls and files in a call: what a reader follows, and a small call waits for."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import multisubnet as ms
from multisubnet._functions import affine_operands

PACKAGE = str(Path(ms.__file__).parent)
X = np.ones((2, 2), np.float32)
OUT = np.empty((2, 2, 2), np.float32)
SETS = ms.WeightSets(X, X)
LAYER = X[:, :, None, None], X[:, :, None]

# The maximal number of calls of the package's functions, and of the files that contain them.
WALKS = {
    "affine": (lambda: ms.affine(X, X, X), 10, 6),
    "affine, tanh, out": (lambda: ms.affine(X, X, X, activation="tanh", out=OUT), 30, 11),
    "affine_select": (lambda: ms.affine_select(X, X, X, [0, 1]), 30, 11),
    "affine_stats": (lambda: ms.affine_stats(X, X, X), 85, 14),
    "mean_loss": (lambda: ms.mean_loss(X, X, X, X, loss="absolute_error"), 37, 12),
    "mean_loss, closed form": (lambda: ms.mean_loss(X, X, X, X), 50, 16),
    "predict": (lambda: SETS.predict(X), 11, 7),
    "predict, list": (lambda: SETS.predict(X.tolist()), 60, 12),
    "predict, limit": (lambda: SETS.predict(X, memory_limit=4096), 85, 16),
    "mlp": (lambda: ms.mlp(X, [LAYER]), 42, 10),
    "mlp_mean_loss": (lambda: ms.mlp_mean_loss(X, [LAYER], X), 120, 21),
}


def walk(function):
    """Return the names of the files of the package in which functions are called, in order."""
    files = []

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            files.append(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return files


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_is_short(name):
    function, most_calls, most_files = WALKS[name]
    with ms.use_backend("numpy"):
        function()  # the first one loads and traces
        files = walk(function)
    assert 0 < len(files) <= most_calls
    assert len(set(files)) <= most_files


@pytest.mark.parametrize("set_axis", [0, 1])
def test_chunks_are_parts_of_one_call_that_was_validated_once(set_axis):
    samples = np.ones((40, 3))
    sets = ms.WeightSets(np.ones((50, 3)))
    with mock.patch.object(
        affine_operands, "make_call", side_effect=affine_operands.make_call
    ) as validate:
        chunks = list(sets.predict_chunks(samples, memory_limit=4096, set_axis=set_axis))
        assert len(chunks) > 50
        out = np.empty((50, 40, 3) if set_axis == 0 else (40, 50, 3))
        sets.predict(samples, memory_limit=4096, set_axis=set_axis, out=out)
    assert validate.call_count == 2
