"""Sums over samples or sets, in the order that all backends share.

The summands are computed from samples, weight and bias on the fly; the array of all sets times all
samples is never allocated.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arithmetic.summands import Summands
from multisubnet._arithmetic.summation_order import BLOCK
from multisubnet._arrays import namespaces
from multisubnet._backends import choice
from multisubnet._backends.affine_call import AffineCall

_LEAST_BYTES, _MOST_BYTES = 1 << 20, 1 << 23  # for block totals held at once

# Of float64:
_EXPONENT = np.uint64(0x7FF << 52)
_EXPONENT_OF_1 = np.uint64(0x3FF << 52)
_LEAST_EXPONENT = np.uint64(1 << 52)

SUM = Summands("product", "linear", ("loss",), False)


class Summing:
    """A backend that sums in one dtype, and the conversion of results for the caller."""

    def __init__(self, backend: ModuleType, xp: ModuleType, dtype: np.dtype, parameter: float):
        self.backend, self.xp, self.dtype, self.parameter = backend, xp, dtype, parameter
        self.empty = backend.empty

    @classmethod
    def where(
        cls,
        array: Any,
        dtype: np.dtype,
        shape: tuple[int, ...] | None = None,
        terms: Summands | None = None,
    ) -> Summing:
        """Choose the backend for the device of an array.

        With the summands and the shape of all terms, backends that must be loaded can be chosen.
        """
        xp = namespaces.namespace({"array": array})
        backend = choice.load(xp.__name__)
        if terms is not None and shape is not None:
            chosen = choice.choose("sums", xp, dtype, shape, None, terms)
            backend = chosen if chosen.ARRAYS == xp.__name__ else backend
        return cls(backend, xp, dtype, 0.0)

    def returned(self, result: Any) -> Any:
        """Return a result as an array of the caller's type."""
        if self.backend.ARRAYS == self.xp.__name__:
            return result
        return choice.load(self.xp.__name__).copy_from_other(result)

    def write(
        self,
        terms: Summands,
        operands: dict[str, Any],
        shape: tuple[int, int, int],
        outs: list[Any],
        divisor: float = 1.0,
        divisor_array: Any = None,
    ) -> None:
        """Write the divided sums of terms to arrays of shape (kept, F), or (kept,) if also over F.

        `shape` is (kept, summed, F), the shape of the operands.
        """
        n_kept, length, n_features = shape
        n_blocks = max(-(-length // BLOCK), 1)
        step, of_each = max(n_kept, 1), 8 * n_blocks * len(outs) * n_features
        if n_kept * of_each > _LEAST_BYTES:
            of_the_array = self.dtype.itemsize * n_kept * length * n_features
            # Many totals keep a GPU busy; fewer stay in the caches of a CPU.
            least = _MOST_BYTES if self.backend.ARRAYS == "cupy" else _LEAST_BYTES
            held = min(max(of_the_array // 64, least), _MOST_BYTES)
            step = max(held // of_each, 1)
        for start in range(0, n_kept, step):
            part = slice(start, min(start + step, n_kept))
            of_part = operands
            if step < n_kept:
                of_part = {
                    name: x if x is None or len(x) == 1 else x[part] for name, x in operands.items()
                }
            totals = self.empty((n_blocks, len(outs), part.stop - start, n_features))
            if length and n_features:
                self.backend.sums(terms, of_part, self.dtype, self.parameter, length, totals)
            else:
                totals[...] = 0.0
            for i, out in enumerate(outs):
                self.backend.finish(totals[:, i], out[part], divisor, divisor_array)

    def totals(self, terms: Summands, operands: dict[str, Any], shape: tuple[int, int, int]) -> Any:
        """Return the sums of terms, float64 (outputs, kept, F).

        The operands may be a part of longer ones that starts at a multiple of BLOCK times a power
        of two and has that number of blocks (fewer at the end). The sums are then nodes of the
        tree over all blocks, and `added` computes its root from them.
        """
        n_kept, _, n_features = shape
        totals = self.empty((len(terms.outputs), n_kept, n_features))
        self.write(terms, operands, shape, list(totals))
        return totals

    def added(self, nodes: Any) -> Any:
        """Return the sum of neighbouring nodes of the tree, of shape (nodes, outputs, kept, F).

        The sum is itself a node if their number is a power of two, or if they are the last ones.
        The sum of no nodes is 0.
        """
        if len(nodes) == 1:
            return nodes[0]
        total = self.empty(nodes.shape[1:])
        if not len(nodes):
            total[...] = 0.0
            return total
        for output, out in enumerate(total):
            self.backend.finish(nodes[:, output], out, 1.0, None)
        return total

    def total(self, array: Any) -> Any:
        """Return the sum of an operand (1, n, F) along its second axis, float64 (F,)."""
        return self.totals(SUM, {"sample": array}, array.shape)[0, 0]


def normalized(summing: Summing, weights: Any, largest: Any = None) -> Any:
    """Scale weights (n,) of a mean by the power of two that brings the largest between 1 and 2.

    Only their ratios matter, and the range of their dtype can differ from the working dtype's.
    `largest` is an array of one element; give it if these are only some of the weights.
    """
    if largest is None:
        largest = largest_of(summing, weights)
    fused = getattr(summing.backend, "closed_form", None)
    if fused is not None:
        out = summing.empty((len(weights), 1))
        unit = fused.unit(summing, largest)
        call = AffineCall.linear(weights[:, None], unit, np.dtype(np.float64))
        summing.backend.affine(call, out[None])
        return out[:, 0]
    return _wide(weights) * (1.0 / power_of_two(largest))


def largest_of(summing: Summing, weights: Any) -> Any:
    """Return the largest absolute value of weights (n,), an array of one element."""
    fused = getattr(summing.backend, "closed_form", None)
    if fused is not None:
        column = weights[:, None]
        return fused.largest(summing, column, column, np.dtype(np.float64))[0]
    if not len(weights):
        return abs(summing.total(weights[None, :, None]))
    return abs(_wide(weights)).max(keepdims=True)


@without_warnings
def _wide(weights: np.ndarray) -> np.ndarray:
    return weights.astype(np.float64)


def power_of_two(sizes: Any) -> Any:
    """Return the largest normal power of two up to each float64 number, or 1 if there is none."""
    bits = sizes.view(np.uint64) & _EXPONENT
    bits[bits == 0] = _LEAST_EXPONENT
    bits[bits == _EXPONENT] = _EXPONENT_OF_1
    return bits.view(np.float64)


def in_float64(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round a NumPy array to a dtype, and return it in float64."""
    return array.astype(dtype, copy=False).astype(np.float64)
