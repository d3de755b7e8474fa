"""Validation of samples, weight and bias, once per call."""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType
from typing import Any

import numpy as np

from multisubnet._arithmetic import float_mode
from multisubnet._arithmetic.activation import resolve_activation
from multisubnet._arithmetic.float_mode import ONE, SMALLEST
from multisubnet._arrays import frames, namespaces, validation
from multisubnet._arrays.dtypes import NATIVE, result_type
from multisubnet._backends.affine_call import AffineCall

REQUIRED = "samples", "weight"
ARRAYS_OF_NUMPY = {np.ndarray}
ARRAYS_OF_NUMPY_OR_NONE = {np.ndarray, type(None)}
_new = tuple.__new__


def read_call(
    samples: Any, weight: Any, bias: Any, activation: Any = None, out: Any = None
) -> tuple[ModuleType, AffineCall]:
    """Return the namespace and the validated call, with operands as arrays of that namespace."""
    xp, samples, weight, bias = as_arrays(samples, weight, bias, out)
    return xp, make_call(samples, weight, bias, activation)


def as_arrays(
    samples: Any, weight: Any, bias: Any, out: Any = None
) -> tuple[ModuleType, Any, Any, Any]:
    """Return the namespace of the operands, and the operands as its arrays."""
    operands = {"samples": samples, "weight": weight, "bias": bias}
    xp = namespaces.namespace(operands | {"out": out})
    if xp is np:
        samples, weight, bias = as_numpy_arrays(operands, REQUIRED).values()
    return xp, samples, weight, bias


def as_numpy_arrays(named: dict[str, Any], required: Collection[str]) -> dict[str, Any]:
    """Return array_likes by name as NumPy arrays; None stays None unless the name is required.

    The dtypes of operands that are already arrays are not checked.
    """
    if SMALLEST * ONE == 0.0:  # this thread flushes subnormals, and lists may mix dtypes
        with float_mode.subnormals_kept():
            return as_numpy_arrays(named, required)
    arrays = named.copy()
    for name, x in named.items():
        if type(x) is not np.ndarray and (x is not None or name in required):
            if hasattr(x, "columns") or hasattr(x, "iloc"):  # a frame, or a series of pandas
                frames.check_order(named)
            arrays[name] = validation.as_numpy(name, x)
    return arrays


def make_call(samples: Any, weight: Any, bias: Any, activation: Any = None) -> AffineCall:
    """Return the validated call for arrays of one namespace."""
    # Most calls have operands of one dtype and one N: a fast path skips the general rules.
    dtype = samples.dtype
    if not (weight.dtype is dtype and (bias is None or bias.dtype is dtype) and dtype in NATIVE):
        dtype = _common_dtype(samples, weight, bias)
    of_samples, of_weight = samples.shape, weight.shape
    if (
        len(of_samples) == len(of_weight) == 2
        and of_samples[1] == of_weight[1]
        and (bias is None or bias.shape == of_weight)
    ):
        shape = of_weight[0], of_samples[0], of_samples[1]
    else:
        shape = count_sets(samples, weight, bias), *of_samples[-2:]
    if activation is not None:
        activation, dtype = resolve_activation(activation, dtype)
    # Equivalent to AffineCall(...), in half the time.
    return _new(AffineCall, (samples, weight, bias, dtype, activation, shape))


def _common_dtype(samples: Any, weight: Any, bias: Any) -> np.dtype:
    """Return the common dtype of the operands, in native byte order."""
    dtypes = []
    for name, array in (("samples", samples), ("weight", weight), ("bias", bias)):
        if array is not None:
            validation.check_dtype(name, array)
            dtypes.append(array.dtype)
    return result_type(*dtypes)


def count_sets(samples: Any, weight: Any, bias: Any) -> int:
    """Check that all shapes agree on N and F, and return N."""
    shape = samples.shape
    if len(shape) not in (2, 3):
        raise ValueError(f"samples has shape {shape}; expected (B, F) or (N, B, F)")
    n_sets = shape[0] if len(shape) == 3 else None
    n_sets = validation.agree(n_sets, shape[-1], "weight", weight, samples=samples)
    if bias is not None:
        shared = n_sets == 1 and len(shape) == 2
        known, before = None if shared else n_sets, {"samples": samples, "weight": weight}
        n_sets = validation.agree(known, shape[-1], "bias", bias, **before)
    return n_sets
