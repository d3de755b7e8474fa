"""The affine evaluation of N stacked subnetworks."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Never, overload

import numpy as np
from numpy import ndarray

from multisubnet._arrays import frameworks, validation
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
@frameworks.hide_misplaced
def affine(
    samples: Any,
    weight: Any,
    bias: Any = None,
    *_misplaced: Never,
    activation: ActivationLike | None = None,
    set_axis: SetAxis = 0,
    out: Any = None,
) -> Any:
    """Evaluate N sets of weights on the same samples.

    Each feature has a weight and a bias of its own, in each of N sets::

        result[n, b, f] = activation(samples[b, f] * weight[n, f] + bias[n, f])

    Parameters
    ----------
    samples : array_like, shape (B, F) or (N, B, F)
        B samples of F features, shared by all sets; or a block of samples for each set.
    weight : array_like, shape (N, F) or (1, F)
        A weight for each set and feature; (1, F) is shared by all sets.
    bias : array_like, shape (N, F) or (1, F), optional
        A bias for each set and feature. None adds nothing.
    activation : str or Activation, optional
        The function applied to each sum: one of the names that `Activation` lists, which has the
        parameters and derivatives, too. None is ``"linear"``.
    set_axis : {0, 1}, optional
        Where N stands in the shape of the result: 0 gives (N, B, F), 1 gives (B, N, F).
    out : ndarray, optional
        Where to write the result: an array of the result's shape, of any strides, to whose dtype
        the result can be cast with casting "same_kind". It may overlap the operands.

    Returns
    -------
    ndarray, shape (N, B, F) or (B, N, F)
        `out` where it was given, else a new C-contiguous array: a CuPy array on the operands'
        device where they are CuPy arrays, a NumPy array otherwise. Its dtype is
        `numpy.result_type` of the operands. Where that is bool or an integer, an activation other
        than linear, relu and relu6 makes it the floating dtype that `numpy.exp` gives for it.

    Raises
    ------
    ValueError
        An operand or `out` has the wrong shape (only the shapes above broadcast); there is no
        activation of that name; `set_axis` is not 0 or 1; `out` is read-only or has elements that
        share memory; the address of a CuPy array is not a multiple of its item's size.
    TypeError
        An operand has a dtype that is not bool, integer, float or complex; `activation` is not a
        name or an Activation, or an activation other
        than linear is asked for in complex numbers or longdouble; `out` cannot hold the result;
        NumPy (or sequences) and CuPy arrays, or CuPy arrays of two devices, are mixed.
    BackendUnavailable
        The backend chosen by `set_backend` or the environment cannot run here.

    See Also
    --------
    affine_select : one set for each sample.
    Activation : activations with a parameter, and derivatives.
    from_pairs : weight and bias from (weight, bias) pairs.
    use_backend : choose where the work runs.

    Notes
    -----
    The result has the same bits on every backend. The operands are first cast to the result's
    dtype; then the product is rounded to that dtype, and then the sum, with no fused multiply-add;
    subnormal numbers are kept, integers wrap, bool is ``and`` and ``or``. The activation is a fixed
    series of such operations in float32 or float64, within 2 ulp of its true value (gelu within 4,
    derivatives within 4 ulp of the larger of theirs and 1/4); for float16 and bfloat16 it is done
    in float32, and rounded once. The result is rounded once more where `out` has another dtype.
    (Where the operands differ in dtype, NumPy's own expression promotes them in pairs, and can give
    other bits.) bfloat16, that of the package ml_dtypes, stays bfloat16 together with bool, int8
    and uint8, and counts as float32 with other dtypes. The sign and payload of a NaN are not
    defined. Complex numbers are defined on their real parts::

        re = (samples.re * weight.re - samples.im * weight.im) + bias.re
        im = (samples.re * weight.im + samples.im * weight.re) + bias.im

    No floating-point warning is given, and `numpy.seterr` has no effect.

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

    What a model with N outputs for each sample would return:

    >>> ms.affine(samples, weight, bias, set_axis=1).shape
    (2, 2, 2)
    """
    if _misplaced:
        raise frameworks.too_many(affine, (samples, weight, bias, *_misplaced))
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
