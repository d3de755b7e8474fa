"""The affine evaluation of N stacked subnetworks."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Never, overload

import numpy as np
from numpy import ndarray

from multisubnet._arrays import frameworks, validation
from multisubnet._functions import calls
from multisubnet._functions.affine_operands import as_arrays, make_call
from multisubnet._functions.evaluation import run

_SETS_FIRST = 0

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import Array, ArrayT, HostArray, HostArrayLike, SetAxis


@overload
def affine(
    samples: HostArrayLike,
    weight: HostArrayLike,
    bias: HostArrayLike | None = ...,
    *,
    activation: ActivationLike | None = ...,
    set_axis: SetAxis = ...,
    out: HostArray | None = ...,
) -> HostArray: ...
@overload
def affine(
    samples: ArrayT | HostArrayLike,
    weight: ArrayT | HostArrayLike,
    bias: Array | HostArrayLike | None = ...,
    *,
    activation: ActivationLike | None = ...,
    set_axis: SetAxis = ...,
    out: ArrayT | None = ...,
) -> ArrayT: ...
@calls.hide_misplaced
def affine(
    samples: Any,
    weight: Any,
    bias: Any = None,
    *_misplaced: Never,
    activation: ActivationLike | None = None,
    set_axis: SetAxis = 0,
    out: Any = None,
    **_unknown: Never,
) -> Any:
    """Evaluate N sets of weights on the same samples.

    Each feature has its own weight and bias in each of the N sets::

        result[n, b, f] = activation(samples[b, f] * weight[n, f] + bias[n, f])

    Parameters
    ----------
    samples : array_like, shape (B, F) or (N, B, F)
        B samples of F features, shared by all sets; or a separate block of samples per set.
    weight : array_like, shape (N, F) or (1, F)
        One weight per set and feature; (1, F) is shared by all sets.
    bias : array_like, shape (N, F) or (1, F), optional
        One bias per set and feature. None adds nothing.
    activation : str or Activation, optional
        The function applied to each sum: one of the names that `Activation` lists, or an
        `Activation`, which can also have parameters or be a derivative. None is ``"linear"``.
    set_axis : {0, 1}, optional
        The axis of the result that runs over sets: 0 gives (N, B, F), 1 gives (B, N, F).
    out : ndarray, optional
        The array to write the result to. It needs the result's shape and a dtype to which the
        result can be cast with casting "same_kind". Its strides are arbitrary, and it may overlap
        the operands.

    Returns
    -------
    ndarray, shape (N, B, F) or (B, N, F)
        `out` if given, otherwise a new C-contiguous array: a CuPy array on the operands' device
        if they are CuPy arrays, else a NumPy array. The dtype is `numpy.result_type` of the
        operands. If that is bool or an integer, activations other than linear, relu and relu6
        give the floating dtype that `numpy.exp` gives for it.

    Raises
    ------
    ValueError
        An operand or `out` has the wrong shape (only the shapes above broadcast); the activation
        is unknown; `set_axis` is not 0 or 1; `out` is read-only or has elements that share memory;
        the address of a CuPy array is not a multiple of its item size.
    TypeError
        The dtype of an operand is not bool, integer, float or complex; `activation` is neither a
        name nor an Activation; an activation other than linear is combined with complex numbers or
        longdouble; `out` cannot hold the result; NumPy arrays (or sequences) are mixed with CuPy
        arrays, or CuPy arrays are on different devices.
    BackendUnavailable
        The backend chosen by `set_backend` or the environment cannot run here.

    See Also
    --------
    affine_select : one set per sample.
    Activation : activations with parameters, and derivatives.
    from_pairs : weight and bias from (weight, bias) pairs.
    use_backend : choose the backend.

    Notes
    -----
    The result has the same bits on every backend. The operands are first cast to the result's
    dtype. The product is rounded to that dtype, then the sum; no fused multiply-add is used.
    Subnormal numbers are kept, integers wrap, and bool uses ``and`` and ``or``. The sign and
    payload of a NaN are unspecified. If `out` has another dtype, the result is rounded once more.
    (If the operands differ in dtype, NumPy's own expression promotes them in pairs and can give
    other bits.)

    The activation is a fixed sequence of single-rounded operations in float32 or float64. Its error
    is at most 2 ulp, units in the last place (4 ulp for gelu; for derivatives, 4 ulp of the larger
    of the derivative and 1/4). For float16 and bfloat16 it is computed in float32 and rounded once.

    bfloat16, from the package ml_dtypes, stays bfloat16 when combined with bool, int8 and uint8;
    with any other dtype it is promoted like float32. Complex numbers are computed from their real
    and imaginary parts::

        re = (samples.re * weight.re - samples.im * weight.im) + bias.re
        im = (samples.re * weight.im + samples.im * weight.re) + bias.im

    No floating-point warnings are emitted, and `numpy.seterr` has no effect.

    Examples
    --------
    Two sets of weights for two features, on two samples:

    >>> import multisubnet as ms
    >>> samples = [[3, 7], [9, 4]]
    >>> weight = [[2, 9], [8, 6]]
    >>> bias = [[7, 5], [6, 3]]
    >>> ms.affine(samples, weight, bias)
    array([[[13, 68],
            [25, 41]],
    <BLANKLINE>
           [[30, 45],
            [78, 27]]])

    With ``set_axis=1`` the result has the shape of a model with N outputs per sample:

    >>> ms.affine(samples, weight, bias, set_axis=1).shape
    (2, 2, 2)
    """
    if _misplaced or _unknown:
        given = samples, weight, bias, *_misplaced
        raise calls.wrong_call("affine", affine, given, _unknown) or TypeError
    xp: ModuleType = np
    if not (
        type(samples) is type(weight) is type(weight if bias is None else bias) is ndarray
        and (out is None or type(out) is ndarray)
    ):
        adapter = frameworks.of((samples, weight, bias, out))
        if adapter is not None:
            evaluate = frameworks.function_of(adapter, "affine")
            options = {"activation": activation, "set_axis": set_axis, "out": out}
            return evaluate(samples, weight, bias, **options)
        xp, samples, weight, bias = as_arrays(samples, weight, bias, out)
    call = make_call(samples, weight, bias, activation)
    if set_axis is not _SETS_FIRST:
        set_axis = validation.axis("set_axis", set_axis)
    return run(xp, call, out, set_axis)
