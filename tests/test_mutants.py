"""The breakages of `make mutants` still have their place in the code."""

from __future__ import annotations

import mutants
import pytest


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.what)
def test_the_place_of_a_mutant_is_there_once(mutant):
    # Where a change moved the code, the mutant has to move with it.
    text = (mutants.ROOT / mutant.file).read_text()
    assert text.count(mutant.old) == 1
