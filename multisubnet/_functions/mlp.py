"""Networks with hidden layers: N sets of S small networks on the same samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Never, overload

import numpy as np

from multisubnet._arithmetic import float_mode
from multisubnet._arrays import dtypes, namespaces, validation
from multisubnet._backends.mlp_call import MlpCall
from multisubnet._functions import affine_select, affine_stats, calls, evaluation, problem
from multisubnet._functions.mlp_operands import adapter_function, name_operands, read

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import (
        Array,
        ArrayT,
        HostArray,
        HostArrayLike,
        Layer,
        SetAxis,
        Statistic,
    )

_STATS_BYTES = 1 << 25  # for values held at once, while computing their mean and spread


@overload
def mlp(
    samples: HostArrayLike,
    layers: Sequence[Layer[HostArrayLike]],
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: HostArrayLike | None = ...,
    set_axis: SetAxis = ...,
    out: HostArray | None = ...,
) -> HostArray: ...
@overload
def mlp(
    samples: ArrayT | HostArrayLike,
    layers: Sequence[Layer[ArrayT | HostArrayLike]],
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: Array | HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: Array | HostArrayLike | None = ...,
    set_axis: SetAxis = ...,
    out: ArrayT | None = ...,
) -> ArrayT: ...
@calls.hide_misplaced
def mlp(
    samples: Any,
    layers: Sequence[Any],
    *_misplaced: Never,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = "relu",
    output_activation: ActivationLike | None = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    set_axis: SetAxis = 0,
    out: Any = None,
    **_unknown: Never,
) -> Any:
    """Evaluate N sets of S small networks with hidden layers on the same samples.

    Each network sees some of the features, and has its own layers in each of the N sets. With h the
    inputs, or the values of the previous layer::

        z[n, b, s, k] = bias[n, s, k] + h[n, b, s, 0] * weight[n, s, 0, k]
                                      + h[n, b, s, 1] * weight[n, s, 1, k] + ...

    evaluated from left to right. The next layer sees the activation of z.

    Parameters
    ----------
    samples : array_like, shape (B, F) or (N, B, F)
        B samples of F features, shared by all sets; or a separate block of samples per set.
    layers : sequence of (weight, bias)
        The layers of all networks, first layer first. A weight has the shape
        (N, S, inputs, outputs) and a bias (N, S, outputs); with 1 in place of N, all sets share
        it. A bias may be None. A layer without a bias may also be given as the weight alone.
    activation : str, Activation, None or sequence of these, optional
        The function applied to each sum in the hidden layers (all but the last layer): one for
        all, or a sequence with one per hidden layer. ``"relu"`` by default; None is ``"linear"``.
    output_activation : str or Activation, optional
        The activation of the last layer. None is ``"linear"``.
    inputs : array_like of int, shape (S, d), optional
        The features that each network sees. It is optional if each feature has its own network
        (S = F and d = 1, an additive model), or if one network sees all features (S = 1 and
        d = F).
    additive : bool, optional
        Return sums over the networks. The array of all their values is not allocated.
    intercept : array_like, shape (N, P) or (1, P), optional
        The initial values of the sums over networks. Requires ``additive=True``.
    set_axis : {0, 1}, optional
        The axis of the result that runs over sets.
    out : ndarray, optional
        The array to write the result to, as for `affine`.

    Returns
    -------
    ndarray, shape (N, B, S, P) or (B, N, S, P); if additive, (N, B, P) or (B, N, P)
        P values of each network (or of their sum), where P is the number of outputs of the last
        layer: `out` if given, otherwise a new C-contiguous array of the operands' kind. The dtype
        is `numpy.result_type` of the operands. If that is bool or an integer, then
        ``additive=True`` and activations other than linear, relu and relu6 give the floating dtype
        that `numpy.exp` gives for it.

    Raises
    ------
    ValueError
        An operand or `out` has the wrong shape (the message names the layer); the number of
        activations differs from the number of hidden layers; `inputs` is missing; `intercept` is
        given without ``additive=True``; and as for `affine`.
    IndexError
        `inputs` contains a feature number that is out of range.
    TypeError
        An operand is complex or longdouble; and as for `affine`.
    BackendUnavailable
        The backend chosen by `set_backend` or the environment cannot run here.

    See Also
    --------
    affine : networks of one weight and one bias.
    mlp_select : one set per sample.
    mlp_stats : mean and spread over the sets.

    Notes
    -----
    The result has the same bits on every backend: each sum starts from the bias and adds the inputs
    in order, with each product and each sum rounded once. Activations are those of `affine`.
    float16 and bfloat16 are computed in float32, and only the result is rounded to them. A sum over
    networks starts from the intercept, or from 0, adds the networks in order in float64, and is
    rounded once. Networks of one layer, one input and one output give the bits of `affine`, except
    in float16 and bfloat16, where `affine` also rounds the products. Padding a layer with units of
    zero weights at its end changes nothing if the activation of 0 is finite. Permuting units
    changes the order of the sums, and with it the last bits.

    Hidden values stay in registers or in the L1 cache. Apart from the result, a call needs at most
    1 MiB of memory per thread.

    Examples
    --------
    Two sets of 1-2-1 networks, for two features:

    >>> import numpy as np
    >>> import multisubnet as ms
    >>> samples = [[3.0, 7.0], [9.0, 4.0]]
    >>> hidden = np.array([[1.0, -1.0], [2.0, 1.0]]).reshape(2, 1, 1, 2)
    >>> hidden = np.repeat(hidden, 2, axis=1)  # (N, S, 1, 2): both features alike
    >>> last = np.ones((1, 2, 2, 1))  # shared by the sets
    >>> ms.mlp(samples, [hidden, last])[..., 0]
    array([[[ 3.,  7.],
            [ 9.,  4.]],
    <BLANKLINE>
           [[ 9., 21.],
            [27., 12.]]])

    The sums over both networks, as an additive model predicts:

    >>> ms.mlp(samples, [hidden, last], additive=True, intercept=[[0.5], [0.0]])[..., 0]
    array([[10.5, 13.5],
           [30. , 39. ]])
    """
    if _misplaced or _unknown:
        raise calls.wrong_call("mlp", mlp, (samples, layers, *_misplaced), _unknown) or TypeError
    named = name_operands(samples, layers, intercept)
    adapted = adapter_function("mlp", named, (inputs, out))
    if adapted is not None:
        return adapted(
            samples,
            layers,
            activation=activation,
            output_activation=output_activation,
            inputs=inputs,
            additive=additive,
            intercept=intercept,
            set_axis=set_axis,
            out=out,
        )
    return evaluate(named, (activation, output_activation, inputs, additive), set_axis, out)


def evaluate(
    named: dict[str, Any], options: tuple[Any, Any, Any, Any], set_axis: Any, out: Any
) -> Any:
    """Evaluate operands with the names that `name_operands` gives."""
    xp, call, _ = read(named, *options, out)
    if type(set_axis) is not int or not 0 <= set_axis <= 1:
        set_axis = validation.axis("set_axis", set_axis)
    return evaluation.run(xp, call, out, set_axis)


@overload
def mlp_select(
    samples: HostArrayLike,
    layers: Sequence[Layer[HostArrayLike]],
    set_index: HostArrayLike,
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: HostArrayLike | None = ...,
    out: HostArray | None = ...,
    check: bool | None = ...,
) -> HostArray: ...
@overload
def mlp_select(
    samples: ArrayT | HostArrayLike,
    layers: Sequence[Layer[ArrayT | HostArrayLike]],
    set_index: ArrayT | HostArrayLike,
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: Array | HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: Array | HostArrayLike | None = ...,
    out: ArrayT | None = ...,
    check: bool | None = ...,
) -> ArrayT: ...
@calls.explained("mlp_select")
@float_mode.keep_subnormals
def mlp_select(
    samples: Any,
    layers: Sequence[Any],
    set_index: Any,
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = "relu",
    output_activation: ActivationLike | None = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    out: Any = None,
    check: bool | None = None,
) -> Any:
    """Evaluate each sample with the networks of one set.

    Parameters
    ----------
    samples : array_like, shape (B, F)
        B samples of F features.
    layers, activation, output_activation, inputs, additive, intercept
        As for `mlp`.
    set_index : array_like of int, shape (B,)
        The set, from 0 to N - 1, of each sample. Negative indices do not count from the end.
    out : ndarray, optional
        As for `affine`.
    check : bool, optional
        Whether an out-of-range index raises IndexError, as for `affine_select`.

    Returns
    -------
    ndarray, shape (B, S, P), or (B, P) if additive
        The values of ``mlp(samples, layers, ...)[set_index, range(B)]``, bit for bit.

    Raises
    ------
    IndexError
        An index is out of range and `check` is true.
    ValueError, TypeError, BackendUnavailable
        As for `mlp`; also if `set_index` has another shape or a dtype that is not an integer.

    See Also
    --------
    mlp : all sets on all samples.

    Examples
    --------
    >>> import numpy as np
    >>> import multisubnet as ms
    >>> weights = np.array([[1.0, -1.0], [2.0, 1.0]]).reshape(2, 1, 1, 2)
    >>> ms.mlp_select([[3.0], [9.0]], [weights, np.ones((1, 1, 2, 1))], [1, 0])[..., 0]
    array([[9.],
           [9.]])
    """
    named = name_operands(samples, layers, intercept)
    adapted = adapter_function("mlp_select", named, (set_index, inputs, out))
    if adapted is not None:
        return adapted(
            samples,
            layers,
            set_index,
            activation=activation,
            output_activation=output_activation,
            inputs=inputs,
            additive=additive,
            intercept=intercept,
            out=out,
            check=check,
        )
    options = activation, output_activation, inputs, additive
    xp, call, others = read(named, *options, out, {"set_index": set_index})
    if call.samples.ndim != 2:
        raise ValueError(f"samples has shape {call.samples.shape}; expected (B, F)")
    checks = xp is np if check is None else check
    affine_select.check_index(others["set_index"], call.n_sets, call.n_samples, checks)
    return evaluation.run(xp, call, out, set_index=others["set_index"])


@overload
def mlp_stats(
    samples: HostArrayLike,
    layers: Sequence[Layer[HostArrayLike]],
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: HostArrayLike | None = ...,
    set_weight: HostArrayLike | None = ...,
    statistics: Sequence[Statistic] = ...,
) -> tuple[HostArray, ...]: ...
@overload
def mlp_stats(
    samples: ArrayT | HostArrayLike,
    layers: Sequence[Layer[ArrayT | HostArrayLike]],
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: Array | HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: Array | HostArrayLike | None = ...,
    set_weight: Array | HostArrayLike | None = ...,
    statistics: Sequence[Statistic] = ...,
) -> tuple[ArrayT, ...]: ...
@calls.explained("mlp_stats", quantiles=affine_stats.OF_QUANTILES)
@float_mode.keep_subnormals
def mlp_stats(
    samples: Any,
    layers: Sequence[Any],
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = "relu",
    output_activation: ActivationLike | None = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    set_weight: Any = None,
    statistics: Sequence[Statistic] = ("mean", "std"),
) -> tuple[Any, ...]:
    """Compute the mean and the spread of `mlp` over all sets, the prediction of an ensemble.

    Parameters
    ----------
    samples, layers, activation, output_activation, inputs, additive, intercept
        As for `mlp`.
    set_weight, statistics
        As for `affine_stats`.

    Returns
    -------
    tuple of ndarray, shape (B, S, P), or (B, P) if additive, float64
        The statistics, in the order requested; NaN if there are no sets.

    Raises
    ------
    ValueError, TypeError, BackendUnavailable
        As for `mlp` and `affine_stats`.

    See Also
    --------
    mlp : the individual predictions.
    affine_stats : networks of one weight and one bias; describes the order of summation.

    Notes
    -----
    Predictions are computed for as many samples and networks as fit in 32 MiB (2 MiB on a CPU, if
    that is enough for 16 samples), and reduced as in `affine_stats`. They are not rounded to
    float16 or bfloat16 first.

    Examples
    --------
    >>> import numpy as np
    >>> import multisubnet as ms
    >>> weights = np.array([[1.0, -1.0], [2.0, 1.0]]).reshape(2, 1, 1, 2)
    >>> mean, std = ms.mlp_stats([[3.0], [9.0]], [weights, np.ones((1, 1, 2, 1))])
    >>> mean[..., 0]
    array([[ 6.],
           [18.]])
    """
    named = name_operands(samples, layers, intercept)
    adapted = adapter_function("mlp_stats", named, (inputs, set_weight))
    if adapted is not None:
        return adapted(
            samples,
            layers,
            activation=activation,
            output_activation=output_activation,
            inputs=inputs,
            additive=additive,
            intercept=intercept,
            set_weight=set_weight,
            statistics=statistics,
        )
    names = affine_stats.names_of(statistics)
    options = activation, output_activation, inputs, additive
    xp, call, set_weight = read_stats(named, options, set_weight)
    shape = call.shape[1:]
    with namespaces.device_of(call.samples):
        found = {name: xp.empty(shape, np.float64) for name in names}
        for block, values in _blocks_of_values(xp, call):
            of_block = affine_stats.of_values(values, set_weight)
            where = block[:1] if additive else block
            for name in names:
                found[name][where] = of_block[name].reshape(found[name][where].shape)
    return tuple(found[name] for name in names)


def read_stats(
    named: dict[str, Any], options: tuple[Any, Any, Any, Any], set_weight: Any
) -> tuple[ModuleType, MlpCall, Any]:
    """Return the namespace, the validated call in the working dtype, and the set weights."""
    xp, call, others = read(named, *options, None, {"set_weight": set_weight})
    set_weight = others["set_weight"]
    if set_weight is not None and set_weight.shape != (call.n_sets,):
        raise ValueError(
            f"set_weight has shape {set_weight.shape}; expected (N,) = {(call.n_sets,)}"
        )
    common = dtypes.result_type(*(x.dtype for x in call.arrays))
    return xp, call.with_dtype(problem.working_dtype(common)), set_weight


def totals_of_stats(xp: ModuleType, call: MlpCall, set_weight: Any, mean: Any) -> Any:
    """Return sums over sets as `affine_stats.totals` does, float64 (outputs, B, S * P)."""
    _, n_samples, *of_sample = call.shape
    with namespaces.device_of(call.samples):
        found = xp.empty((1 if mean is None else 2, n_samples, math.prod(of_sample)))
        for (rows, subnets), values in _blocks_of_values(xp, call):
            first = 0 if call.additive else subnets.start * call.shape[-1]
            place = rows, slice(first, first + values.shape[2])
            of_mean = None if mean is None else mean[place]
            found[:, *place] = affine_stats.totals_of_values(values, set_weight, of_mean)
    return found


def _blocks_of_stats(call: MlpCall) -> Iterator[tuple[slice, slice]]:
    """Yield slices of samples and networks whose values are computed together, for all sets."""
    n_outputs = call.shape[-1]
    n_bytes = max(call.n_sets * n_outputs * call.dtype.itemsize, 1)
    most = max(_STATS_BYTES // n_bytes, 1)
    if isinstance(call.samples, np.ndarray):
        most = evaluation.columns_in_cache(most, n_bytes, call.n_subnets)
    samples = min(max(most // max(call.n_subnets, 1), 64), most, max(call.n_samples, 1))
    samples = evaluation.in_whole_lines(samples, call.n_samples)
    subnets = max(call.n_subnets, 1) if call.additive else max(most // samples, 1)
    for b in range(0, call.n_samples, samples):
        rows = slice(b, min(b + samples, call.n_samples))
        for s in range(0, max(call.n_subnets, 1), subnets):
            yield rows, slice(s, min(s + subnets, call.n_subnets))


def _blocks_of_values(xp: ModuleType, call: MlpCall) -> Iterator[tuple[tuple[slice, slice], Any]]:
    """Yield the blocks of `_blocks_of_stats` with their values (N, B, columns), for use at once."""
    values = None
    for block in _blocks_of_stats(call):
        values = evaluation.run_again(xp, call.part(slice(0, call.n_sets), *block), values)
        yield block, values.reshape(*values.shape[:2], math.prod(values.shape[2:]))
