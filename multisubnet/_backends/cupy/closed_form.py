"""The closed form of the mean squared error (_functions/closed_form.py) in a few kernels.

A pass over the samples takes two launches: one sums over blocks, the other derives the results. All
sets are evaluated in one launch, or two if there are many features. No arithmetic is left to CuPy's
own operations, and nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from multisubnet._arithmetic.moments import Step, steps_of
from multisubnet._arithmetic.summation_order import BLOCK
from multisubnet._backends.cupy.launch.moments import (
    count_tiles,
    plan_moment_loss,
    plan_moment_sums,
    plan_moments,
)

_FLOAT64 = np.dtype(np.float64)
_FINDS = {"data": "Means", "products": "Slopes", "rest": "Rests<1>", "signed_rest": "Rests<5>"}


class Fused:
    """The functions of _functions/closed_form.py, implemented with kernels.

    `launch(plan, arrays, *arguments)` launches a kernel. The first argument of each function is a
    `Summing`.
    """

    def __init__(self, launch: Callable[..., None]):
        self._launch = launch

    def moments(self, summing: Any, samples: Any, targets: Any, sample_weight: Any) -> Any:
        steps = steps_of(sample_weight)
        counts = None if sample_weight is None else self.total_weights(summing, sample_weight)
        known = summing.empty((2 + sum(step.adds for step in steps), samples.shape[1]))
        if summing.dtype.char == "f":
            known[:2] = 1.0
        else:
            self._find(self._sizes(summing, samples, targets, summing.dtype), known[:2], "Fits")
        data = samples, targets, sample_weight
        first = 2
        for step in steps:
            totals = self._sums(summing, step, data, known)
            found = known[first : first + step.adds]
            self._find(totals, found, _FINDS[step.terms.__name__], counts, len(samples))
            first += step.adds
        return self.settle(summing, known)

    def largest(
        self, summing: Any, samples: Any, targets: Any, dtype: np.dtype | None = None
    ) -> Any:
        totals = self._sizes(summing, samples, targets, dtype or summing.dtype)
        found = summing.empty((2, samples.shape[1]))
        self._find(totals, found, "Totals<Largest>")
        return found

    def fits(self, summing: Any, largest: Any) -> Any:
        found = summing.empty((2, largest.shape[-1]))
        if summing.dtype.char == "f":
            found[...] = 1.0
        else:
            self._find(largest[None], found, "Fits")
        return found

    def unit(self, summing: Any, largest: Any) -> Any:
        """Return 1 over the power of two of the largest value, given in an array of one element."""
        found = summing.empty((2, 1))
        self._find(largest.reshape(1, 1, 1), found, "Fits")
        return found[:1]

    def totals(
        self, summing: Any, step: Step, samples: Any, targets: Any, sample_weight: Any, moments: Any
    ) -> Any:
        totals = self._sums(summing, step, (samples, targets, sample_weight), moments)
        found = summing.empty(totals.shape[1:])
        summing.backend.finish(totals, found, 1.0, None)
        return found

    def total_weights(self, summing: Any, sample_weight: Any) -> Any:
        column = sample_weight[:, None]
        totals = self._of_blocks(summing, (column, column, None), "weights", 2, summing.dtype)
        found = summing.empty((2, 1))
        self._find(totals, found, "Totals<Sum>")
        return found

    def with_means(
        self, summing: Any, step: Step, moments: Any, totals: Any, n_samples: int, counts: Any
    ) -> Any:
        together = summing.empty((len(moments) + step.adds, totals.shape[1]))
        together[: len(moments)] = moments
        found = together[len(moments) :]
        self._find(totals[None], found, _FINDS[step.terms.__name__], counts, n_samples)
        return together

    def settle(self, summing: Any, known: Any) -> Any:
        signed = len(known) > 7
        found = summing.empty((9 if signed else 6, known.shape[1]))
        step = f"Settling<Settled, {'true' if signed else 'false'}>"
        if found.size:
            self._launch(plan_moments, (None, known, found, None), step, 0.0)
        return found

    def evaluate_losses(
        self, summing: Any, weight: Any, bias: Any, moments: Any, outs: list[Any], divisor: float
    ) -> None:
        loss, *gradients = outs
        n_sets, n_features = len(loss), weight.shape[1]
        if not n_sets:
            return
        if not n_features:
            summing.backend.finish(summing.empty((1, n_sets, 0)), loss, divisor, None)
            return
        per_feature, n_tiles = loss.ndim == 2, count_tiles(n_features)
        losses = loss if per_feature else loss[:, None]
        if not per_feature and n_tiles > 1:
            losses = summing.empty((n_sets, n_tiles))
        formula = "loss_by_moments" if len(moments) == 6 else "loss_by_signed_weights"
        arrays = weight, bias, moments, losses, *gradients, *[None] * (2 - len(gradients))
        self._launch(plan_moment_loss, arrays, formula, summing.dtype, divisor, per_feature)
        if not per_feature and n_tiles > 1:
            summing.backend.finish(losses[None], loss, divisor, None)

    def spread(self, summing: Any, square: Any, distance: Any) -> tuple[Any, Any]:
        """Return variance and standard deviation, like _functions/affine_stats.py."""
        found = summing.empty((2, *square.shape))
        if square.size:
            arrays = square.reshape(1, 1, -1), distance.reshape(1, -1), found.reshape(2, -1), None
            self._launch(plan_moments, arrays, "Spread", 0.0)
        return found[0], found[1]

    def _sums(self, summing: Any, step: Step, data: tuple[Any, ...], known: Any) -> Any:
        formula = step.terms.__name__
        taken = known[: step.takes]
        return self._of_blocks(
            summing, data, formula, step.adds, summing.dtype, taken, signed=step.signed
        )

    def _sizes(self, summing: Any, samples: Any, targets: Any, dtype: np.dtype) -> Any:
        return self._of_blocks(summing, (samples, targets, None), "sizes", 2, dtype)

    def _of_blocks(
        self,
        summing: Any,
        data: tuple[Any, ...],
        formula: str,
        outputs: int,
        dtype: np.dtype,
        known: Any = None,
        *,
        signed: bool = False,
    ) -> Any:
        """Return the values of a formula over blocks, (blocks, outputs, F)."""
        samples, targets, sample_weight = data
        n_samples, n_features = samples.shape
        totals = summing.empty((max(-(-n_samples // BLOCK), 1), outputs, n_features))
        if not samples.size:
            totals[...] = 0.0
        else:
            arrays = samples, known, None, targets, sample_weight, totals
            self._launch(plan_moment_sums, arrays, formula, signed, dtype)
        return totals

    def _find(
        self, totals: Any, found: Any, step: str, counts: Any = None, n_samples: int = 0
    ) -> None:
        if found.size:
            self._launch(plan_moments, (totals, None, found, counts), step, float(n_samples))
