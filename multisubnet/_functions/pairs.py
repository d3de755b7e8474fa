"""The packed form of weights: one (weight, bias) pair per feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arrays import dtypes, namespaces
from multisubnet._arrays.frameworks import adapted_or_converted
from multisubnet._arrays.joining import as_array, joined
from multisubnet._arrays.validation import read_parameters
from multisubnet._functions.calls import explained

if TYPE_CHECKING:
    from multisubnet._arrays.types import ArrayT, HostArray, HostArrayLike


@overload
def from_pairs(
    pairs: HostArrayLike,
) -> tuple[HostArray, HostArray]: ...
@overload
def from_pairs(
    pairs: ArrayT | HostArrayLike,
) -> tuple[ArrayT, ArrayT]: ...
@explained("from_pairs")
@adapted_or_converted
@keep_subnormals
def from_pairs(pairs: Any) -> tuple[Any, Any]:
    """Unpack sets of (weight, bias) pairs into a weight and a bias.

    Parameters
    ----------
    pairs : array_like, shape (N, F, 2)
        N sets with one (weight, bias) pair for each of F features; or a sequence of N arrays of
        shape (F, 2).

    Returns
    -------
    weight, bias : ndarray, shape (N, F)
        New C-contiguous arrays in native byte order; CuPy arrays if `pairs` is a CuPy array or a
        sequence of CuPy arrays.

    Raises
    ------
    ValueError
        `pairs` has another shape.
    TypeError
        The dtype is not bool, integer, float or complex; CuPy arrays are mixed with other items,
        or differ in dtype or device.

    See Also
    --------
    to_pairs : the inverse.

    Examples
    --------
    >>> import multisubnet as ms
    >>> w1 = [[2, 7], [9, 5]]
    >>> w2 = [[8, 6], [6, 3]]
    >>> weight, bias = ms.from_pairs([w1, w2])
    >>> weight
    array([[2, 9],
           [8, 6]])
    >>> bias
    array([[7, 5],
           [6, 3]])
    """
    return unpacked(pairs)


def unpacked(pairs: Any) -> tuple[Any, Any]:
    """Return weight and bias as NumPy or CuPy arrays, from any array_like of pairs."""
    pairs = as_array("pairs", pairs)
    if pairs.ndim != 3 or pairs.shape[-1] != 2:
        raise ValueError(
            f"pairs has shape {pairs.shape}; expected (N, F, 2), a sequence of N sets of one "
            f"(weight, bias) pair for each of F features"
        )
    native = dtypes.native(pairs.dtype)
    with namespaces.device_of(pairs):
        weight, bias = (pairs[:, :, i].astype(native, order="C") for i in (0, 1))
    return weight, bias


@overload
def to_pairs(
    weight: HostArrayLike,
    bias: HostArrayLike,
) -> HostArray: ...
@overload
def to_pairs(
    weight: ArrayT | HostArrayLike,
    bias: ArrayT | HostArrayLike,
) -> ArrayT: ...
@explained("to_pairs")
@adapted_or_converted
@keep_subnormals
def to_pairs(weight: Any, bias: Any) -> Any:
    """Pack a weight and a bias into sets of (weight, bias) pairs.

    Parameters
    ----------
    weight, bias : array_like, shape (N, F) or (1, F)
        Shape (1, F) is shared by all sets.

    Returns
    -------
    pairs : ndarray, shape (N, F, 2)
        A new C-contiguous array of dtype `numpy.result_type` of the two; a CuPy array if they are.

    Raises
    ------
    ValueError
        The shapes differ, or are not two-dimensional.
    TypeError
        Only one is a CuPy array; CuPy arrays differ in dtype or device; a dtype is not bool,
        integer, float or complex.

    See Also
    --------
    from_pairs : the inverse.

    Examples
    --------
    >>> import multisubnet as ms
    >>> ms.to_pairs([[2, 9]], [[7, 5]])
    array([[[2, 7],
            [9, 5]]])
    """
    if bias is None:
        raise TypeError("bias is None; expected an array_like of numbers")
    xp, weight, bias, shape = read_parameters(weight, bias)
    parts = {"weight": weight, "bias": bias}
    return joined({k: xp.broadcast_to(x, shape) for k, x in parts.items()}, "stack", axis=-1)
