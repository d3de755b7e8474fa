"""The breakages of `make mutants` still match the code."""

from __future__ import annotations

import mutants
import pytest


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.what)
def test_the_place_of_a_mutant_is_there_once(mutant):
    # If a change moves the code, the mutant must move with it.
    text = (mutants.ROOT / mutant.file).read_text()
    assert text.count(mutant.old) == 1
