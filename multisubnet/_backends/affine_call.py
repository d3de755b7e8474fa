"""A validated call of `affine` or `affine_select`, in the form that backends read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import validation


class _Fields(NamedTuple):
    samples: Any
    """(B, F) or (N, B, F)."""
    weight: Any
    """(N, F) or (1, F)."""
    bias: Any
    """(N, F) or (1, F), or None."""
    dtype: np.dtype
    """The dtype of the arithmetic and of the result."""
    activation: Activation | None
    """The activation; None is linear."""
    shape: tuple[int, int, int]
    """The shape of the result of `affine`, (N, B, F)."""


class AffineCall(_Fields):
    """Validated operands of N sets of F subnetworks, evaluated on B samples.

    The operands are cast to `dtype`, in which everything is computed. The result is rounded to the
    dtype of the array it is written to.
    """

    __slots__ = ()

    # Attributes that all records of calls have.
    function = "affine"
    working_dtype = _Fields.dtype
    recipe = _Fields.activation

    @property
    def arrays(self) -> list[Any]:
        """All arrays of numbers, starting with samples."""
        return [x for x in (self.samples, self.weight, self.bias) if x is not None]

    @staticmethod
    def linear(samples: Any, weight: Any, dtype: np.dtype) -> AffineCall:
        """Return the call that multiplies samples (B, F) by a weight (1, F), in a dtype."""
        return AffineCall(samples, weight, None, dtype, None, (1, *samples.shape))

    def with_arrays(self, change: Callable[[Any], Any]) -> AffineCall:
        """Return the call with each of its arrays changed, in order."""
        samples, weight = change(self.samples), change(self.weight)
        bias = None if self.bias is None else change(self.bias)
        return self._replace(samples=samples, weight=weight, bias=bias)

    def with_lengths(self, n_sets: int, n_samples: int) -> AffineCall:
        """Return the call for this many sets and samples."""
        return self._replace(shape=(n_sets, n_samples, self.shape[2]))

    def with_dtype(self, dtype: np.dtype) -> AffineCall:
        """Return the call with another dtype of the result."""
        return self._replace(dtype=dtype)

    def unaliased(self, out: Any) -> AffineCall:
        """Return the call with copies of the arrays that writing to `out` could change.

        The axes of `out` are in the order (N, B, F), or (B, F). Samples are not copied if each
        element of the result has the same address as the sample it is computed from.
        """
        samples, weight, bias = self.samples, self.weight, self.bias
        if not validation.is_same(samples, out):
            samples = validation.unaliased(out, samples)
        weight = validation.unaliased(out, weight)
        bias = None if bias is None else validation.unaliased(out, bias)
        return self._replace(samples=samples, weight=weight, bias=bias)

    def part(self, sets: slice, samples: slice, features: slice) -> AffineCall:
        """Return the call for some of the sets, samples and features."""
        x, weight, bias, dtype, activation, shape = self
        x = x[samples] if x.ndim == 2 else x[sets, samples]
        weight, bias = (a if a is None or len(a) == 1 else a[sets] for a in (weight, bias))
        if features != slice(0, shape[2]):
            x, weight, bias = (None if a is None else a[..., features] for a in (x, weight, bias))
        n_sets = len(range(*sets.indices(shape[0])))
        return AffineCall(x, weight, bias, dtype, activation, (n_sets, *x.shape[-2:]))
