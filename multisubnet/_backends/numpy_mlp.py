"""The reference for networks with hidden layers, on validated operands.

The values of a layer are in an array whose last axis is long: the samples of a block, or its sets
if there are more of these. The product with one input's weights is then a single NumPy call for all
units of the layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arrays import dtypes
from multisubnet._backends.mlp_call import MlpCall
from multisubnet._backends.programs import reuses_memory, run_program

_VALUES = 1 << 16  # values of the widest layer in a block
_LONG = 1 << 10  # the most samples or sets along the last axis
_GATHERED = 1 << 16  # weights gathered for a block of samples


@without_warnings
@reuses_memory
def mlp(call: MlpCall, out: np.ndarray) -> None:
    """Write the values of all networks to `out`, of shape (N, B, S, P), or (N, B, P)."""
    n_sets, n_samples, n_subnets = call.n_sets, call.n_samples, call.n_subnets
    most = max(_VALUES // max(call.sizes), 1)
    if n_samples >= n_sets or n_samples >= 128:
        samples = min(n_samples, _LONG, most)
        sets = min(n_sets, max(most // max(samples, 1), 1))
    else:
        sets = min(n_sets, _LONG, most)
        samples = min(n_samples, max(most // max(sets, 1), 1))
    subnets = 1 if call.additive else max(most // max(sets * samples, 1), 1)
    for n in range(0, n_sets, max(sets, 1)):
        for b in range(0, n_samples, max(samples, 1)):
            block = slice(n, min(n + sets, n_sets)), slice(b, min(b + samples, n_samples))
            if call.additive:
                _write_sums(call, block, out[block])
                continue
            for s in range(0, n_subnets, subnets):
                those = slice(s, min(s + subnets, n_subnets))
                values = _values(call.part(*block, those))
                rounded = _rounded(values.transpose(2, 3, 0, 1), call.dtype)
                dtypes.copyto(out[*block, those], rounded)


@without_warnings
def mlp_select(call: MlpCall, set_index: np.ndarray, out: np.ndarray) -> None:
    """Write the values of set `set_index[b]` for each sample b to `out`, (B, S, P) or (B, P).

    An out-of-range index gives NaN, or 0 in dtypes without NaN.
    """
    n_weights = sum(weight[:1].size for weight, _ in call.layers)
    rows = min(max(_GATHERED // max(n_weights, 1), 1), _LONG)
    for start in range(0, call.n_samples, rows):
        block = slice(start, start + rows)
        index = set_index[block]
        exists = (index >= 0) & (index < call.n_sets)
        index = np.where(exists, index, 0).astype(np.intp)
        if call.n_sets:
            mlp(call.each_with_its_set(block, index), out[block][:, None])
        if not exists.all():
            out[block][~exists] = 0 if out.dtype.kind in "biu" else np.nan


def _write_sums(call: MlpCall, block: tuple[slice, slice], out: np.ndarray) -> None:
    """Write sums over networks to `out`."""
    total = np.zeros(out.shape)
    if call.intercept is not None:
        intercept = call.intercept
        intercept = intercept if len(intercept) == 1 else intercept[block[0]]
        total[...] = intercept[:, None].astype(call.working_dtype)
    for s in range(call.n_subnets):
        values = _values(call.part(*block, slice(s, s + 1)))
        total += values[0].transpose(1, 2, 0)
    dtypes.copyto(out, _rounded(total, call.dtype))


def _values(call: MlpCall) -> np.ndarray:
    """Return the values of the last layer, of shape (S, P, N, B)."""
    *_, (_, values) = forward(call, call.n_samples >= call.n_sets)
    return values


def forward(call: MlpCall, samples_last: bool) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
    """Yield the sums and the values of each layer, of shape (S, K, N, B), inputs first.

    In memory, the last axis is that of samples or else of sets.
    """
    dtype = call.working_dtype

    def ordered(array: np.ndarray) -> np.ndarray:
        """Return an array (S, K, N, B) with this memory order."""
        if samples_last:
            return np.ascontiguousarray(array, dtype)
        return np.ascontiguousarray(array.swapaxes(2, 3), dtype).swapaxes(2, 3)

    x = call.samples[..., call.wiring]  # (B, S, d) or (N, B, S, d)
    x = x if x.ndim == 4 else x[None]
    h = ordered(x.transpose(2, 3, 0, 1))
    yield None, h
    for (weight, bias), activation in zip(call.layers, call.activations, strict=True):
        w = weight.transpose(1, 2, 3, 0)
        w = w.astype(dtype, order="K" if samples_last else "C", copy=False)[..., None]
        z = ordered(np.empty((*w.shape[:1], w.shape[2], call.n_sets, call.n_samples), dtype))
        if bias is None:
            np.multiply(h[:, 0, None], w[:, 0], z)
        else:
            z[...] = bias.transpose(1, 2, 0)[..., None]
        products = np.empty_like(z)
        for i in range(bias is None, w.shape[1]):
            np.multiply(h[:, i, None], w[:, i], products)
            np.add(z, products, z)
        h = z
        if activation is not None:
            program = activation.program(dtype)
            (h,) = run_program(program, {"x": z, "parameter": activation.number})
        yield z, h


def _rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return values rounded to a dtype once."""
    if values.dtype == dtype:
        return values
    rounded: Any = np.empty(values.shape, dtype)
    dtypes.copyto(rounded, values)
    return rounded
