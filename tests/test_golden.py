"""The bits are those that were committed."""

from __future__ import annotations

import json

import golden
import pytest
from conftest import few

COMMITTED = json.loads(golden.FILE.read_text())
FUNCTIONS = sorted({name.split()[0] for name in COMMITTED})


def drawn(names):
    """Return some of the cases, as compiled backends have to compile each."""
    return few(names, max(len(names) // 16, 3))


def test_all_cases_are_committed():
    pytest.importorskip("ml_dtypes")
    assert golden.table() | golden.table_of_bfloat16() == COMMITTED


@pytest.mark.parametrize("function", FUNCTIONS)
def test_golden_bits(backend, function):
    names = [x for x in COMMITTED if x.split()[0] == function and "bfloat16" not in x]
    some = {name: COMMITTED[name] for name in drawn(names)}
    assert golden.table(backend, some) == some


def test_golden_bits_of_bfloat16(backend):
    pytest.importorskip("ml_dtypes")
    some = {name: COMMITTED[name] for name in drawn([x for x in COMMITTED if "bfloat16" in x])}
    assert golden.table_of_bfloat16(backend, some) == some
