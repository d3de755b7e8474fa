"""A validated call of `mlp`, in the form that backends read."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import validation

_FLOAT32 = np.dtype(np.float32)

_Key = tuple[tuple[int, ...], tuple[Activation | None, ...], tuple[bool, ...], bool]


class MlpForm:
    """The shapes, dtype and activations of N sets of S networks.

    Calls with the same shapes share one form, so that derived values are computed once.
    """

    FIELDS = (
        *("activations", "biased", "additive", "dtype", "sizes"),
        *("n_sets", "n_samples", "n_subnets"),
    )

    def __init__(
        self,
        activations: tuple[Activation | None, ...],
        biased: tuple[bool, ...],
        additive: bool,
        dtype: np.dtype,
        sizes: tuple[int, ...],
        n_sets: int,
        n_samples: int,
        n_subnets: int,
    ):
        self.activations = activations
        """The activation of each layer; None is linear."""
        self.biased = biased
        """Whether each layer has a bias."""
        self.additive = additive
        self.dtype = dtype
        """The dtype of the result."""
        self.working_dtype = _FLOAT32 if dtype.char in "eE" else dtype
        """The dtype of the arithmetic: float32 for float16 and bfloat16, else the result's."""
        self.sizes = sizes
        """The number of inputs of a network, then the number of outputs of each layer."""
        self.n_sets, self.n_samples, self.n_subnets = n_sets, n_samples, n_subnets
        self.shape = (n_sets, n_samples, *(() if additive else (n_subnets,)), sizes[-1])
        """The shape of the result: (N, B, S, P), or (N, B, P) if `additive`."""
        self.key = sizes, activations, biased, additive
        """The key of the generated code, without the dtype."""
        products = sum(a * b for a, b in itertools.pairwise(sizes))
        self.n_products = n_sets * n_samples * n_subnets * products
        """The number of products in all networks."""
        self.code: Any = None
        """Data that a backend keeps for calls of this form."""

        sizes_of_call = n_sets, n_samples, n_subnets
        self._values = activations, biased, additive, dtype, sizes, sizes_of_call
        self._hash = hash(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MlpForm) and self._values == other._values

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def n_operations(self) -> int:
        """The number of NumPy passes over numbers: products, and operations of activations."""
        steps = sum(a * b for a, b in zip(self.sizes[1:], self._costs(), strict=True))
        return self.n_products + math.prod((self.n_sets, self.n_samples, self.n_subnets, steps))

    @functools.cached_property
    def n_steps(self) -> int:
        """The number of NumPy's function calls for a block of samples and sets."""
        return 2 * sum(self.sizes[:-1]) + sum(self._costs())

    def _costs(self) -> list[int]:
        """Return the number of operations of each layer's activation."""
        dtype = self.working_dtype
        return [0 if x is None else x.program(dtype).cost for x in self.activations]

    def replace(self, **changes: Any) -> MlpForm:
        """Return a form with some fields changed."""
        return MlpForm(**({name: getattr(self, name) for name in self.FIELDS} | changes))


class _Fields(NamedTuple):
    samples: Any
    """(B, F) or (N, B, F)."""
    layers: tuple[tuple[Any, Any], ...]
    """Weight (N or 1, S, inputs, outputs) and bias (N or 1, S, outputs) or None."""
    inputs: np.ndarray | None
    """(S, d), int64, contiguous, on the host: the features that networks see. None: s * d + i."""
    intercept: Any
    """(N or 1, P) or None."""
    form: MlpForm


def _of_form(name: str) -> Any:
    return property(operator.attrgetter(f"form.{name}"))


class MlpCall(_Fields):
    """Validated operands of N sets of S networks.

    With W, c and act the weight, bias and activation of layer l, and h the inputs or the values of
    the previous layer::

        z[k] = c[n, s, k] + h[0] * W[n, s, 0, k] + h[1] * W[n, s, 1, k] + ...,   h'[k] = act(z[k])

    from left to right; without a bias the sum starts with the first product. The operands are cast
    to `working_dtype`, in which everything is computed, and the result is rounded to `dtype` once.
    With `additive`, values of the last layer are converted to float64 and added to the intercept,
    or to +0.0, in the order of s; that sum is rounded to `dtype` once.
    """

    __slots__ = ()

    # The name of the function in backends.
    function = "mlp"

    activations: tuple[Activation | None, ...] = _of_form("activations")
    additive: bool = _of_form("additive")
    dtype: np.dtype = _of_form("dtype")
    working_dtype: np.dtype = _of_form("working_dtype")
    sizes: tuple[int, ...] = _of_form("sizes")
    n_sets: int = _of_form("n_sets")
    n_samples: int = _of_form("n_samples")
    n_subnets: int = _of_form("n_subnets")
    shape: tuple[int, ...] = _of_form("shape")
    key: _Key = _of_form("key")
    n_products: int = _of_form("n_products")
    n_operations: int = _of_form("n_operations")

    @property
    def recipe(self) -> MlpCall:
        """The argument by which backends choose code."""
        return self

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
        return self.with_form(n_sets=n_sets, n_samples=n_samples)

    def with_dtype(self, dtype: np.dtype) -> MlpCall:
        """Return the call with another dtype of the result."""
        return self if dtype == self.form.dtype else self.with_form(dtype=dtype)

    def with_form(self, **changes: Any) -> MlpCall:
        """Return the call with some fields of its form changed."""
        return self._replace(form=self.form.replace(**changes))

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
            form=self.form.replace(n_sets=n_sets, n_samples=n_samples, n_subnets=n_subnets),
        )

    def each_with_its_set(self, samples: slice, set_index: np.ndarray) -> MlpCall:
        """Return the call for some samples, each as a set of one sample, with its own set."""

        def chosen(x: Any) -> Any:
            return x if x is None or len(x) == 1 else x[set_index]

        return self._replace(
            samples=self.samples[samples][:, None],
            layers=tuple((chosen(weight), chosen(bias)) for weight, bias in self.layers),
            intercept=chosen(self.intercept),
            form=self.form.replace(n_sets=len(set_index), n_samples=1),
        )

    @property
    def wiring(self) -> np.ndarray:
        """The features that networks see, as an array even if `inputs` is None."""
        if self.inputs is not None:
            return self.inputs
        return features_in_turn(self.n_subnets, self.sizes[0])


@functools.lru_cache(64)
def features_in_turn(n_subnets: int, n_inputs: int) -> np.ndarray:
    """Return the numbers s * n_inputs + i."""
    numbers = np.arange(n_subnets * n_inputs).reshape(n_subnets, n_inputs)
    numbers.flags.writeable = False
    return numbers
