"""The affine evaluation with one set per sample."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from multisubnet._arrays import frames, namespaces, validation
from multisubnet._arrays.frameworks import adapted
from multisubnet._backends.affine_call import AffineCall
from multisubnet._functions import evaluation
from multisubnet._functions.affine_operands import REQUIRED, as_numpy_arrays, make_call
from multisubnet._functions.calls import explained

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import Array, ArrayT, HostArray, HostArrayLike


@overload
def affine_select(
    samples: HostArrayLike,
    weight: HostArrayLike,
    bias: HostArrayLike | None,
    set_index: HostArrayLike,
    *,
    activation: ActivationLike | None = ...,
    out: HostArray | None = ...,
    check: bool | None = ...,
) -> HostArray: ...
@overload
def affine_select(
    samples: ArrayT | HostArrayLike,
    weight: ArrayT | HostArrayLike,
    bias: Array | HostArrayLike | None,
    set_index: ArrayT | HostArrayLike,
    *,
    activation: ActivationLike | None = ...,
    out: ArrayT | None = ...,
    check: bool | None = ...,
) -> ArrayT: ...
@explained("affine_select")
@adapted
def affine_select(
    samples: Any,
    weight: Any,
    bias: Any,
    set_index: Any,
    *,
    activation: ActivationLike | None = None,
    out: Any = None,
    check: bool | None = None,
) -> Any:
    """Evaluate each sample with its own choice of weight set.

    For example, one adapter per customer, for a batch with samples of many customers::

        n = set_index[b]
        result[b, f] = activation(samples[b, f] * weight[n, f] + bias[n, f])

    Parameters
    ----------
    samples : array_like, shape (B, F)
        B samples of F features.
    weight : array_like, shape (N, F) or (1, F)
        One weight per set and feature; (1, F) is shared by all sets.
    bias : array_like, shape (N, F) or (1, F), or None
        One bias per set and feature. None adds nothing.
    set_index : array_like of int, shape (B,)
        The set of each sample, from 0 to N - 1. Negative indices do not count from the end.
    activation : str or Activation, optional
        As for `affine`.
    out : ndarray, shape (B, F), optional
        As for `affine`.
    check : bool, optional
        If true, an out-of-range index raises IndexError. If false, nothing is read out of bounds,
        and that row of the result is NaN, or 0 in dtypes without NaN. By default indices are
        checked if they are NumPy arrays or sequences, but not if they are CuPy arrays, because the
        check would wait for the GPU.

    Returns
    -------
    ndarray, shape (B, F)
        `out` if given, otherwise a new array. Array type, dtype and bits are those of
        ``affine(samples, weight, bias)[set_index, range(B)]``.

    Raises
    ------
    IndexError
        An index is out of range and `check` is true.
    ValueError, TypeError, BackendUnavailable
        As for `affine`; also if `set_index` has another shape or a dtype that is not an integer.

    See Also
    --------
    affine : all sets on all samples.

    Examples
    --------
    >>> import multisubnet as ms
    >>> samples = [[3, 7], [9, 4], [3, 7]]
    >>> weight = [[2, 9], [8, 6]]
    >>> bias = [[7, 5], [6, 3]]
    >>> ms.affine_select(samples, weight, bias, [0, 1, 1])
    array([[13, 68],
           [78, 27],
           [30, 45]])
    """
    xp, call, index = read_select(samples, weight, bias, set_index, activation, out, check)
    return evaluation.run(xp, call, out, set_index=index)


def read_select(
    samples: Any,
    weight: Any,
    bias: Any,
    set_index: Any,
    activation: Any,
    out: Any,
    check: bool | None,
) -> tuple[ModuleType, AffineCall, Any]:
    """Return the namespace, the validated call and the index as an array of that namespace."""
    operands = {"samples": samples, "weight": weight, "bias": bias}
    xp = namespaces.namespace({"set_index": set_index, **operands, "out": out})
    if xp is np:
        if not isinstance(set_index, np.ndarray | list):
            frames.check_rows({"samples": samples, "set_index": set_index})
        set_index = validation.as_index("set_index", set_index)
        samples, weight, bias = as_numpy_arrays(operands, REQUIRED).values()
    call = make_call(samples, weight, bias, activation)
    if call.samples.ndim != 2:
        raise ValueError(f"samples has shape {call.samples.shape}; expected (B, F)")
    check_index(set_index, *call.shape[:2], xp is np if check is None else check)
    return xp, call, set_index


def check_index(set_index: Any, n_sets: int, n_samples: int, check: bool) -> None:
    """Raise unless `set_index` has one integer per sample and, if `check`, all are in range."""
    if type(check) is not bool:
        check = validation.flag("check", check)
    if set_index is None:
        raise TypeError("set_index is None; expected an array_like of numbers")
    if set_index.shape != (n_samples,):
        raise ValueError(f"set_index has shape {set_index.shape}; expected ({n_samples},)")
    if set_index.dtype.kind not in "iu":
        raise TypeError(f"set_index has dtype {set_index.dtype}; expected an integer dtype")
    if not check:
        return
    outside = (set_index < 0) | (set_index >= n_sets)
    if outside.any():
        b = int(outside.argmax())
        raise IndexError(
            f"set_index[{b}] is {int(set_index[b])}; expected the number of a set, "
            f"0 to {n_sets - 1}"
        )
