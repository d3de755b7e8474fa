"""The flat form of weights: one vector per set, as optimizers use it."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arrays import dtypes, explanations, joining, namespaces, validation
from multisubnet._arrays.frameworks import adapted_or_converted
from multisubnet._functions.calls import explained

if TYPE_CHECKING:
    from multisubnet._arrays.types import Array, ArrayT, HostArray, HostArrayLike, SetAxis


@overload
def from_theta(
    theta: HostArrayLike,
    n_features: int,
    *,
    use_bias: bool = ...,
    axis: SetAxis = ...,
) -> tuple[HostArray, HostArray | None]: ...
@overload
def from_theta(
    theta: ArrayT | HostArrayLike,
    n_features: int,
    *,
    use_bias: bool = ...,
    axis: SetAxis = ...,
) -> tuple[ArrayT, ArrayT | None]: ...
@explained("from_theta", layer_sizes="for networks, call WeightSets.from_theta")
@adapted_or_converted
@keep_subnormals
def from_theta(
    theta: Any, n_features: int, *, use_bias: bool = True, axis: SetAxis = 0
) -> tuple[Any, Any]:
    """Split flat parameter vectors into a weight and a bias.

    Parameters
    ----------
    theta : array_like, shape (N, P), (P, N) or (P,)
        N sets of P = 2F parameters: all weights, then all biases; P = F without biases. A
        sequence of N vectors counts as (N, P), and one vector as one set.
    n_features : int
        The number of features, F.
    use_bias : bool, optional
        Whether there are biases.
    axis : {0, 1}, optional
        The axis of `theta` that runs over sets: 0 is (N, P), one row per set, as in pycma and most
        libraries; 1 is (P, N), as in SciPy's ``differential_evolution(vectorized=True)``.

    Returns
    -------
    weight : ndarray, shape (N, F)
    bias : ndarray, shape (N, F), or None
        Views of `theta` if it is an array; CuPy arrays if it is a CuPy array or a sequence of
        CuPy arrays. `bias` is None without biases.

    Raises
    ------
    ValueError
        `theta` has another shape; `n_features` is negative or not an integer; `axis` is not 0 or 1.
    TypeError
        The dtype of `theta` is not bool, integer, float or complex; CuPy arrays are mixed with
        other items, or differ in dtype or device.

    See Also
    --------
    to_theta : the inverse.

    Examples
    --------
    >>> import multisubnet as ms
    >>> weight, bias = ms.from_theta([[2, 9, 7, 5], [8, 6, 6, 3]], 2)
    >>> weight
    array([[2, 9],
           [8, 6]])
    >>> bias
    array([[7, 5],
           [6, 3]])

    An objective for SciPy's ``differential_evolution(vectorized=True)``, whose population has one
    column per set:

    >>> def largest(theta):
    ...     weight, bias = ms.from_theta(theta, 2, axis=1)
    ...     return ms.affine([[3, 7], [9, 4]], weight, bias).max(axis=(1, 2))
    >>> largest([[2, 8], [9, 6], [7, 6], [5, 3]])
    array([68, 78])
    """
    n_features = _count("n_features", n_features)
    axis = validation.axis("axis", axis)
    use_bias = validation.flag("use_bias", use_bias)
    theta, sets = _rows(theta, axis)
    n_parameters = 2 * n_features if use_bias else n_features
    if sets.ndim != 2 or sets.shape[1] != n_parameters:
        expected = f"({n_parameters}, N)" if axis else f"(N, {n_parameters})"
        each = "a weight and a bias" if use_bias else "a weight"
        raise ValueError(
            f"theta has shape {theta.shape}; expected {expected}, or ({n_parameters},) for one "
            f"set: {each} for each of {n_features} features, with axis={axis}"
        )
    return sets[:, :n_features], sets[:, n_features:] if use_bias else None


@overload
def to_theta(
    weight: HostArrayLike,
    bias: HostArrayLike | None = ...,
    *,
    axis: SetAxis = ...,
) -> HostArray: ...
@overload
def to_theta(
    weight: ArrayT | HostArrayLike,
    bias: Array | HostArrayLike | None = ...,
    *,
    axis: SetAxis = ...,
) -> ArrayT: ...
@explained("to_theta")
@adapted_or_converted
@keep_subnormals
def to_theta(weight: Any, bias: Any = None, *, axis: SetAxis = 0) -> Any:
    """Join a weight and a bias into flat parameter vectors.

    Parameters
    ----------
    weight : array_like, shape (N, F) or (1, F)
        One weight per set and feature; (1, F) is shared by all sets.
    bias : array_like, shape (N, F) or (1, F), optional
        One bias per set and feature. None adds no parameters.
    axis : {0, 1}, optional
        The axis of the result that runs over sets: 0 gives (N, P), 1 gives (P, N).

    Returns
    -------
    theta : ndarray, shape (N, P) or (P, N)
        N sets of P = 2F parameters, all weights, then all biases: a new C-contiguous array of
        dtype `numpy.result_type` of the two. Without a bias, P = F and theta is a view of
        `weight`. CuPy arrays give a CuPy array.

    Raises
    ------
    ValueError
        The shapes differ, or are not two-dimensional; `axis` is not 0 or 1.
    TypeError
        Only one is a CuPy array; CuPy arrays differ in dtype or device; a dtype is not bool,
        integer, float or complex.

    See Also
    --------
    from_theta : the inverse.

    Examples
    --------
    >>> import multisubnet as ms
    >>> ms.to_theta([[2, 9], [8, 6]], [[7, 5], [6, 3]])
    array([[2, 9, 7, 5],
           [8, 6, 6, 3]])
    >>> ms.to_theta([[2, 9], [8, 6]], [[0.5, 0.5]], axis=1)
    array([[2. , 8. ],
           [9. , 6. ],
           [0.5, 0.5],
           [0.5, 0.5]])
    """
    axis = validation.axis("axis", axis)
    xp, weight, bias, (n_sets, n_features) = validation.read_parameters(weight, bias)
    if bias is None:
        return weight.T if axis else weight[:]
    if xp is not np and weight.dtype != bias.dtype:
        raise TypeError(
            f"weight has dtype {weight.dtype} and bias {bias.dtype}: convert one of them "
            f"(CuPy's own conversion flushes float32 subnormals to zero)"
        )
    shape = (2 * n_features, n_sets) if axis else (n_sets, 2 * n_features)
    with namespaces.device_of(weight), np.errstate(all="ignore"):  # for signaling NaNs
        theta = xp.empty(shape, dtypes.result_type(weight.dtype, bias.dtype))
        of_weight, of_bias = from_theta(theta, n_features, axis=axis)
        of_weight[...] = weight
        of_bias[...] = bias
    return theta


@keep_subnormals
def to_layers(
    theta: Any,
    layer_sizes: Any,
    *,
    use_bias: Any,
    use_intercept: bool,
    axis: Any,
    additive: bool = False,
) -> tuple[list[tuple[Any, Any]], Any]:
    """Split flat parameter vectors into the layers and the intercept of networks.

    A vector has, layer by layer, the weights (S, inputs, outputs) and the biases (S, outputs), then
    the intercept. S follows from its length.
    """
    given = layer_sizes if isinstance(layer_sizes, Iterable) else ()
    sizes = [_count(f"layer_sizes[{i}]", size, least=1) for i, size in enumerate(given)]
    if len(sizes) < 2:
        raise ValueError(
            f"layer_sizes is {explanations.shown(layer_sizes)}; expected the number of inputs, and "
            f"of outputs of each layer, as in (1, 16, 1)"
        )
    axis = validation.axis("axis", axis)
    theta, sets = _rows(theta, axis)
    n_layers = len(sizes) - 1
    biased = list(use_bias) if isinstance(use_bias, list | tuple) else [use_bias] * n_layers
    if len(biased) != n_layers:
        of_layers = explanations.count(len(biased), "value")
        raise ValueError(f"use_bias has {of_layers}; expected one, or {n_layers}")
    use_intercept = validation.flag("use_intercept", use_intercept)
    shapes = []
    for pair, has_bias in zip(itertools.pairwise(sizes), biased, strict=True):
        shapes += [pair, pair[1:] if validation.flag("use_bias", has_bias) else None]
    of_network = sum(math.prod(shape) for shape in shapes if shape is not None)
    n_others = sizes[-1] if use_intercept else 0
    length = sets.shape[-1] - n_others if sets.ndim == 2 else -1
    if length < 0 or length % of_network:
        rest = f" and {n_others} of the intercept" if use_intercept else ""
        advice = ""
        if not use_intercept and length > sizes[-1] and (length - sizes[-1]) % of_network == 0:
            options = "use_intercept=True" if additive else "additive=True, use_intercept=True"
            advice = f"; if an intercept comes last, pass {options}"
        raise ValueError(
            f"theta has shape {theta.shape}; expected {'(P, N)' if axis else '(N, P)'}, or (P,) "
            f"for one set, with P a multiple of the {of_network} parameters of a network with the "
            f"layer sizes {tuple(sizes)}{rest}, with axis={axis}{advice}"
        )
    n_networks, start, parts = length // of_network, 0, []
    for shape in shapes:
        part = None
        if shape is not None:
            end = start + n_networks * math.prod(shape)
            part = sets[:, start:end].reshape(len(sets), n_networks, *shape)
            start = end
        parts.append(part)
    layers = list(zip(parts[::2], parts[1::2], strict=True))
    return layers, sets[:, start:] if use_intercept else None


@keep_subnormals
def joined(arrays: Mapping[str, Any], *, axis: Any) -> Any:
    """Concatenate named arrays of N sets into flat parameter vectors, a new array."""
    axis = validation.axis("axis", axis)
    flat = {
        name: array.reshape(len(array), math.prod(array.shape[1:]))
        for name, array in arrays.items()
    }
    if axis:
        flat = {name: array.T for name, array in flat.items()}
    return joining.joined(flat, "concatenate", axis=1 - axis)


def _rows(theta: Any, axis: SetAxis) -> tuple[Any, Any]:
    """Return flat parameter vectors as an array, and the same with one row per set."""
    theta = joining.as_array("theta", theta)
    return theta, theta[None] if theta.ndim == 1 else theta.T if axis else theta


def _count(name: str, given: Any, least: int = 0) -> int:
    """Return a count as an int, or raise."""
    try:
        count = -1 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        count = -1
    if count < least:
        expected = "positive" if least else "non-negative"
        raise ValueError(f"{name} must be a {expected} integer, not {explanations.shown(given)}")
    return count
