"""The bits are those that were committed."""

from __future__ import annotations

import json

import golden


def test_golden_bits(backend):
    assert golden.table(backend) == json.loads(golden.FILE.read_text())
