"""The bits are those that were committed."""

from __future__ import annotations

import json

import golden
import pytest
from conftest import few


@pytest.fixture
def committed(backend, monkeypatch):
    """The committed hashes; compiled backends draw some of the activations."""
    some = golden.ACTIVATIONS if backend.name == "numpy" else few(golden.ACTIVATIONS, 12)
    left_out = tuple(f" {x!r}" for x in golden.ACTIVATIONS if x not in some)
    monkeypatch.setattr(golden, "ACTIVATIONS", some)
    hashes = json.loads(golden.FILE.read_text())
    return {k: v for k, v in hashes.items() if not k.removesuffix(" bfloat16").endswith(left_out)}


def test_golden_bits(backend, committed):
    assert golden.table(backend) == {k: v for k, v in committed.items() if "bfloat16" not in k}


def test_golden_bits_of_bfloat16(backend, committed):
    pytest.importorskip("ml_dtypes")
    found = golden.table_of_bfloat16(backend)
    assert found == {k: v for k, v in committed.items() if "bfloat16" in k}
