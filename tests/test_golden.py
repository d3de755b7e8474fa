"""The bits are those that were committed."""

from __future__ import annotations

import json

import golden
import pytest


def test_golden_bits(backend):
    committed = json.loads(golden.FILE.read_text())
    assert golden.table(backend) == {k: v for k, v in committed.items() if "bfloat16" not in k}


def test_golden_bits_of_bfloat16(backend):
    pytest.importorskip("ml_dtypes")
    committed = json.loads(golden.FILE.read_text())
    found = golden.table_of_bfloat16(backend)
    assert found == {k: v for k, v in committed.items() if "bfloat16" in k}
