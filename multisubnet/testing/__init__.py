"""Property tests for code that uses this library: draw problems, and compare bits.

Requires Hypothesis (``pip install hypothesis``).

>>> import multisubnet as ms
>>> from hypothesis import given
>>> from multisubnet.testing import assert_same_bits, problems
>>> @given(problems(dtypes=["float32"]))
... def test_one_set_at_a_time(problem):
...     together = ms.affine(*problem)
...     for n in range(len(together)):
...         alone = ms.affine(*problem.of_set(n))
...         assert_same_bits(together[n : n + 1], alone)
>>> test_one_set_at_a_time()
"""

from multisubnet.testing._same_bits import assert_same_bits
from multisubnet.testing._strategies import (
    DTYPES,
    LAYOUTS,
    Problem,
    activations,
    arrays,
    problems,
    values,
)

__all__ = [
    "DTYPES",
    "LAYOUTS",
    "Problem",
    "activations",
    "arrays",
    "assert_same_bits",
    "problems",
    "values",
]
