"""Hypothesis strategies for arrays, problems and activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import DTypeLike

from multisubnet._arithmetic.activation import PARAMETERS, Activation
from multisubnet._arithmetic.activation_recipes import RECIPES
from multisubnet._arrays.dtypes import is_bfloat16
from multisubnet._arrays.validation import flag
from multisubnet.testing._same_bits import _real

# The dtypes that every backend supports without another package. ``"bfloat16"`` also works once
# ml_dtypes is imported, which registers it with NumPy.
DTYPES = (
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)

# Memory layouts of arrays. ``"repeated"`` has stride 0 along an axis; ``"swapped"`` is the other
# byte order, which bfloat16 does not have; ``"unaligned"`` starts between two multiples of the
# item size.
LAYOUTS = (
    "contiguous",
    "transposed",
    "reversed",
    "every other",
    "repeated",
    "read-only",
    "swapped",
    "unaligned",
)


class Problem(NamedTuple):
    """Operands of `multisubnet.affine` with matching shapes."""

    samples: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None

    def of_set(self, n: int) -> Problem:
        """Return the problem that contains only set `n`."""

        def part(array: np.ndarray | None) -> np.ndarray | None:
            return array if array is None or len(array) == 1 else array[n : n + 1]

        samples = self.samples if self.samples.ndim == 2 else self.samples[n : n + 1]
        return Problem(samples, part(self.weight), part(self.bias))  # type: ignore[arg-type]


def values(dtype: DTypeLike, *, special_values: bool = True) -> st.SearchStrategy[Any]:
    """Draw scalars of a dtype.

    Parameters
    ----------
    dtype : dtype_like
        A bool, integer, float or complex dtype, or bfloat16.
    special_values : bool, optional
        Whether to draw NaN, infinities, -0.0, subnormals and the extremes of the dtype, and to draw
        them often. Without them, floats are finite and normal or +0.0, and integers small.

    Returns
    -------
    hypothesis.strategies.SearchStrategy
    """
    dtype, special_values = np.dtype(dtype), flag("special_values", special_values)
    if dtype.kind == "b":
        return st.booleans()
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if not special_values:
            return st.integers(max(info.min, -100), 100)
        edges: list[Any] = [0, 1, 2, info.min, info.min + 1, info.max // 2, info.max - 1, info.max]
        return st.sampled_from(edges) | st.integers(int(info.min), int(info.max))
    if dtype.kind == "c":
        part = values(_real(dtype), special_values=special_values)
        return st.builds(complex, part, part)
    if is_bfloat16(dtype):
        return _values_of_bfloat16(dtype, special_values)
    if not special_values:
        # Adding 0.0 turns -0.0 into 0.0. Wider floats represent every float32 up to 100 exactly.
        width: Literal[16, 32] = 16 if dtype.itemsize == 2 else 32
        return st.floats(-100, 100, width=width, allow_subnormal=False).map(lambda x: x + 0.0)
    finfo = np.finfo(dtype)
    edges = [dtype.type(0), dtype.type(1), 1 + finfo.eps, finfo.eps]
    edges += [finfo.tiny, finfo.smallest_subnormal, finfo.tiny / 2, finfo.tiny * 1.5]
    edges += [np.sqrt(finfo.tiny), np.sqrt(finfo.max), finfo.max, np.inf, np.nan]
    signed = [sign * edge for edge in edges for sign in (1, -1)]
    return st.sampled_from(signed) | hnp.from_dtype(dtype, allow_subnormal=True)


def _values_of_bfloat16(dtype: np.dtype, special_values: bool) -> st.SearchStrategy[Any]:
    """Draw the upper 16 bits of float32 numbers."""
    if not special_values:
        numbers = st.floats(-100, 100, width=32, allow_subnormal=False)
        return numbers.map(lambda x: dtype.type(x) + dtype.type(0))
    edges = [0x0000, 0x3F80, 0x3F81, 0x3C00]  # 0, 1, 1 + eps, eps
    edges += [0x0080, 0x0001, 0x0040, 0x00C0]  # tiny, the smallest subnormal, tiny / 2, tiny * 1.5
    edges += [0x2000, 0x5F7F, 0x7F7F, 0x7F80, 0x7FC0]  # roots of tiny and max, max, inf, nan
    signed = [sign | edge for edge in edges for sign in (0, 0x8000)]
    bits = st.sampled_from(signed) | st.integers(0, 0xFFFF)
    return bits.map(lambda x: np.array(x, np.uint16).view(dtype)[()])


@st.composite
def arrays(  # noqa: D417 (Hypothesis passes `draw`)
    draw: st.DrawFn,
    dtype: DTypeLike,
    shape: tuple[int, ...],
    *,
    layouts: Sequence[str] = LAYOUTS,
    special_values: bool = True,
) -> np.ndarray:
    """Draw an array: a few drawn values, scattered over the shape, in a drawn layout.

    `hypothesis.extra.numpy.arrays` fills most of a large array with one value. Here neighbours
    differ, so that reading from a wrong index shows.

    Parameters
    ----------
    dtype : dtype_like
        The dtype (the layout ``"swapped"`` changes its byte order).
    shape : tuple of int
        The shape.
    layouts : sequence of str, optional
        The layouts to draw from, a subset of `LAYOUTS`.
    special_values : bool, optional
        As for `values`.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of ndarray
    """
    dtype = np.dtype(dtype)
    elements = values(dtype, special_values=special_values)
    pool = draw(hnp.arrays(dtype, st.integers(1, 12), elements=elements, fill=st.nothing()))
    order = np.random.default_rng(draw(st.integers(0, 2**16)))
    array = np.asarray(pool[order.integers(len(pool), size=shape)])
    if not shape:
        return array
    return _laid_out(array, draw(st.sampled_from(layouts)), draw(st.integers(0, len(shape) - 1)))


def _laid_out(array: np.ndarray, layout: str, axis: int) -> np.ndarray:
    """Return an array with the same values (except for "repeated") in the given memory layout."""
    if layout == "transposed":
        return np.asfortranarray(array)
    if layout == "reversed":
        return np.flip(np.flip(array, axis).copy(), axis)
    if layout == "every other":
        return np.repeat(array, 2, axis)[(slice(None),) * axis + (slice(None, None, 2),)]
    if layout == "repeated" and array.size:
        return np.broadcast_to(array.take([0], axis), array.shape)
    if layout == "read-only":
        array.flags.writeable = False
    if layout == "swapped" and not is_bfloat16(array.dtype):
        return array.astype(array.dtype.newbyteorder("S"))
    if layout == "unaligned":
        buffer = np.empty(array.nbytes + 1, np.uint8)[1:]
        unaligned = buffer.view(array.dtype).reshape(array.shape)
        unaligned[...] = array
        return unaligned
    return array


@st.composite
def problems(  # noqa: D417
    draw: st.DrawFn,
    *,
    dtypes: Sequence[DTypeLike] = DTYPES,
    mixed_dtypes: bool = False,
    max_sets: int = 5,
    max_samples: int = 40,
    max_features: int = 70,
    layouts: Sequence[str] = LAYOUTS,
    special_values: bool = True,
) -> Problem:
    """Draw operands of `multisubnet.affine` with matching shapes.

    Parameters
    ----------
    dtypes : sequence of dtype_like, optional
        The dtypes to draw from; by default all that every backend supports.
    mixed_dtypes : bool, optional
        Whether the operands may differ in dtype.
    max_sets, max_samples, max_features : int, optional
        The largest N, B and F. All of them can be 0.
    layouts : sequence of str, optional
        The layouts to draw from for each operand, a subset of `LAYOUTS`.
    special_values : bool, optional
        As for `values`.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of Problem
        Named tuples ``(samples, weight, bias)``: samples (B, F) or (N, B, F), weight (N, F) or
        (1, F), bias (N, F), (1, F) or None.
    """
    n_sets = draw(st.integers(0, max_sets))
    n_samples = draw(st.integers(0, max_samples))
    n_features = draw(st.integers(0, max_features))
    dtype = st.sampled_from([np.dtype(d) for d in dtypes])
    if not flag("mixed_dtypes", mixed_dtypes):
        dtype = st.just(draw(dtype))
    shared = st.sampled_from([(n_sets, n_features), (n_sets, n_features), (1, n_features)])

    def operand(shape: tuple[int, ...]) -> np.ndarray:
        return draw(arrays(draw(dtype), shape, layouts=layouts, special_values=special_values))

    samples_shape = draw(
        st.sampled_from([(n_samples, n_features), (n_sets, n_samples, n_features)])
    )
    samples = operand(samples_shape)
    weight = operand(draw(shared))
    bias = None if draw(st.integers(0, 3)) == 0 else operand(draw(shared))
    return Problem(samples, weight, bias)


@st.composite
def activations(  # noqa: D417
    draw: st.DrawFn, *, names: Sequence[str] | None = None, derivatives: bool = True
) -> Activation:
    """Draw activations.

    Parameters
    ----------
    names : sequence of str, optional
        The names to draw from; by default all those of `multisubnet.Activation`.
    derivatives : bool, optional
        Whether derivatives may be drawn.

    Returns
    -------
    hypothesis.strategies.SearchStrategy of Activation
    """
    derivatives = flag("derivatives", derivatives)
    name = draw(st.sampled_from(sorted(RECIPES) if names is None else names))
    given = {}
    if name in PARAMETERS and draw(st.booleans()):
        parameter, _ = PARAMETERS[name]
        given[parameter] = draw(st.floats(-2, 2, width=16))
    activation = Activation(name, **given)
    return activation.derivative if derivatives and draw(st.booleans()) else activation


Problem.__module__ = "multisubnet.testing"  # where pickles look for it
