"""A validated call of `mlp`, in the form that backends read."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import validation

_FLOAT32 = np.dtype(np.float32)


class MlpCall(NamedTuple):
    """Validated operands of N sets of S networks.

    With W, c and act the weight, bias and activation of layer l, and h the inputs or the values of
    the previous layer::

        z[k] = c[n, s, k] + h[0] * W[n, s, 0, k] + h[1] * W[n, s, 1, k] + ...,   h'[k] = act(z[k])

    from left to right; without a bias the sum starts with the first product. The operands are cast
    to `working_dtype`, in which everything is computed, and the result is rounded to `dtype` once.
    With `additive`, values of the last layer are converted to float64 and added to the intercept,
    or to +0.0, in the order of s; that sum is rounded to `dtype` once.
    """

    samples: Any
    """(B, F) or (N, B, F)."""
    layers: tuple[tuple[Any, Any], ...]
    """Weight (N or 1, S, inputs, outputs) and bias (N or 1, S, outputs) or None."""
    activations: tuple[Activation | None, ...]
    """The activation of each layer; None is linear."""
    inputs: np.ndarray | None
    """(S, d), int64, contiguous, on the host: the features that networks see. None: s * d + i."""
    additive: bool
    intercept: Any
    """(N or 1, P) or None."""
    dtype: np.dtype
    """The dtype of the result."""
    sizes: tuple[int, ...]
    """The number of inputs of a network, then the number of outputs of each layer."""
    n_sets: int
    n_samples: int
    n_subnets: int

    @property
    def function(self) -> str:
        """The name of the function in backends."""
        return "mlp"

    @property
    def recipe(self) -> MlpCall:
        """The argument by which backends choose code."""
        return self

    @property
    def key(self) -> tuple[Any, ...]:
        """The key of the generated code, without the dtype."""
        biased = tuple([bias is not None for _, bias in self.layers])
        return self.sizes, self.activations, biased, self.additive

    @property
    def working_dtype(self) -> np.dtype:
        """The dtype of the arithmetic: float32 for float16 and bfloat16, else the result's."""
        return _FLOAT32 if self.dtype.char in "eE" else self.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result: (N, B, S, P), or (N, B, P) if `additive`."""
        n_outputs = self.sizes[-1]
        if self.additive:
            return self.n_sets, self.n_samples, n_outputs
        return self.n_sets, self.n_samples, self.n_subnets, n_outputs

    @property
    def n_products(self) -> int:
        """The number of products in all networks."""
        return self.n_sets * self.n_samples * self.n_subnets * _count_products(self.sizes)

    @property
    def n_operations(self) -> int:
        """The number of NumPy passes over numbers: products, and operations of activations."""
        steps = sum(
            n_units * (activation.program(self.working_dtype).cost if activation else 0)
            for n_units, activation in zip(self.sizes[1:], self.activations, strict=True)
        )
        return self.n_products + math.prod((self.n_sets, self.n_samples, self.n_subnets, steps))

    @property
    def arrays(self) -> list[Any]:
        """All arrays of numbers, starting with samples."""
        every = [self.samples, *itertools.chain(*self.layers), self.intercept]
        return [x for x in every if x is not None]

    def with_arrays(self, change: Callable[[Any], Any]) -> MlpCall:
        """Return the call with each of its arrays of numbers changed, in order."""

        def changed(x: Any) -> Any:
            return None if x is None else change(x)

        samples = change(self.samples)
        layers = tuple((change(weight), changed(bias)) for weight, bias in self.layers)
        intercept = changed(self.intercept)
        return self._replace(samples=samples, layers=layers, intercept=intercept)

    def with_lengths(self, n_sets: int, n_samples: int) -> MlpCall:
        """Return the call for this many sets and samples."""
        return self._replace(n_sets=n_sets, n_samples=n_samples)

    def unaliased(self, out: Any) -> MlpCall:
        """Return the call with copies of the arrays that writing to `out` could change."""
        return self.with_arrays(functools.partial(validation.unaliased, out))

    def part(self, sets: slice, samples: slice, subnets: slice) -> MlpCall:
        """Return the call for some of the sets, samples and networks."""
        n_sets, n_samples, n_subnets = (
            len(range(*cut.indices(length)))
            for cut, length in zip(
                (sets, samples, subnets),
                (self.n_sets, self.n_samples, self.n_subnets),
                strict=True,
            )
        )

        def of_sets(x: Any) -> Any:
            return x if len(x) == 1 else x[sets]

        inputs, x = self.inputs, self.samples
        if inputs is not None:
            inputs = inputs[subnets]
        elif n_subnets < self.n_subnets:
            first, d = subnets.indices(self.n_subnets)[0], self.sizes[0]
            x = x[..., first * d : (first + n_subnets) * d]
        return self._replace(
            samples=x[samples] if x.ndim == 2 else x[sets, samples],
            layers=tuple(
                (of_sets(weight)[:, subnets], None if bias is None else of_sets(bias)[:, subnets])
                for weight, bias in self.layers
            ),
            inputs=inputs,
            intercept=None if self.intercept is None else of_sets(self.intercept),
            n_sets=n_sets,
            n_samples=n_samples,
            n_subnets=n_subnets,
        )

    def each_with_its_set(self, samples: slice, set_index: np.ndarray) -> MlpCall:
        """Return the call for some samples, each as a set of one sample, with its own set."""

        def chosen(x: Any) -> Any:
            return x if x is None or len(x) == 1 else x[set_index]

        return self._replace(
            samples=self.samples[samples][:, None],
            layers=tuple((chosen(weight), chosen(bias)) for weight, bias in self.layers),
            intercept=chosen(self.intercept),
            n_sets=len(set_index),
            n_samples=1,
        )

    @property
    def wiring(self) -> np.ndarray:
        """The features that networks see, as an array even if `inputs` is None."""
        if self.inputs is not None:
            return self.inputs
        return _features_in_turn(self.n_subnets, self.sizes[0])


@functools.lru_cache(256)
def _count_products(sizes: tuple[int, ...]) -> int:
    """Return the number of products that a network computes per sample."""
    return sum(a * b for a, b in itertools.pairwise(sizes))


@functools.lru_cache(64)
def _features_in_turn(n_subnets: int, n_inputs: int) -> np.ndarray:
    """Return the numbers s * n_inputs + i."""
    numbers = np.arange(n_subnets * n_inputs).reshape(n_subnets, n_inputs)
    numbers.flags.writeable = False
    return numbers
