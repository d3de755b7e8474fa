"""The affine evaluation of one subnetwork set for each sample."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from multisubnet._arithmetic import float_mode
from multisubnet._arithmetic.activation import Activation, resolve_activation
from multisubnet._arrays import namespaces, validation
from multisubnet._arrays.frameworks import adapted
from multisubnet._backends import choice
from multisubnet._functions import evaluation

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
@adapted
@float_mode.keep_subnormals
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
    """Evaluate each sample with a set of weights of its own choice.

    One adapter for each customer, in one batch of samples of many customers::

        n = set_index[b]
        result[b, f] = activation(samples[b, f] * weight[n, f] + bias[n, f])

    Parameters
    ----------
    samples : array_like, shape (B, F)
        B samples of F features.
    weight : array_like, shape (N, F) or (1, F)
        A weight for each set and feature; (1, F) is shared by all sets.
    bias : array_like, shape (N, F) or (1, F), or None
        A bias for each set and feature. None adds nothing.
    set_index : array_like of int, shape (B,)
        The set, from 0 to N - 1, of each sample. Negative indices do not count from the end.
    activation : str or Activation, optional
        As for `affine`.
    out : ndarray, shape (B, F), optional
        As for `affine`.
    check : bool, optional
        Whether an index that is out of range is an IndexError. Otherwise nothing is read out of
        bounds, and the row of the result is NaN, or 0 in a dtype that has none. None checks where
        that costs no waiting: NumPy arrays and sequences, and not CuPy arrays, for which True
        waits for the GPU.

    Returns
    -------
    ndarray, shape (B, F)
        `out` where it was given, else a new array. Its array type and dtype, and its bits, are
        those that `affine` gives: ``affine(samples, weight, bias)[set_index, range(B)]``.

    Raises
    ------
    IndexError
        An index is out of range, where that is checked.
    ValueError, TypeError, BackendUnavailable
        As for `affine`; and where `set_index` has another shape, or is not of integers.

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
    xp, operands, dtype, activation, sizes = checked(
        samples, weight, bias, set_index, activation, out, check
    )
    n_sets, shape = sizes[0], sizes[1:]
    if out is not None:
        validation.check_out(xp, out, shape, dtype)
    backend = choice.choose("affine_select", xp, dtype, shape, out, activation)
    arguments = dtype, activation, n_sets
    if xp is not np or backend.ARRAYS != "numpy":
        return evaluation.run(
            "affine_select", backend, xp, operands, out, shape, (0, 1), *arguments
        )
    result = np.empty(shape, dtype) if out is None else np.asarray(out)
    if out is not None:
        operands = validation.apart_from(result, operands)
    backend.affine_select(*operands, result, *arguments)
    return result if out is None else out


def checked(
    samples: Any,
    weight: Any,
    bias: Any,
    set_index: Any,
    activation: Any,
    out: Any,
    check: bool | None,
) -> tuple[ModuleType, tuple[Any, ...], np.dtype, Activation | None, tuple[int, int, int]]:
    """Return the namespace, the operands as its arrays, the dtype, the activation, (N, B, F)."""
    others = {
        "set_index": set_index,
        "samples": samples,
        "weight": weight,
        "bias": bias,
        "out": out,
    }
    xp = namespaces.namespace(others)
    if xp is np:
        set_index = validation.as_index("set_index", set_index)
    xp, samples, weight, bias, dtype, sizes = validation.read(samples, weight, bias, out)
    if samples.ndim != 2:
        raise ValueError(f"samples has shape {samples.shape}; expected (B, F)")
    if activation is not None:
        activation, dtype = resolve_activation(activation, dtype)
    check_index(set_index, sizes[0], sizes[1], xp is np if check is None else check)
    return xp, (samples, weight, bias, set_index), dtype, activation, sizes


def check_index(set_index: Any, n_sets: int, n_samples: int, check: bool) -> None:
    """Raise unless `set_index` has an integer for each sample, and (if asked) that of a set."""
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
