"""The packed form of weights: one (weight, bias) pair for each feature."""

from __future__ import annotations

from typing import Any

import numpy as np

from multisubnet import _dispatch, _operands


def from_pairs(pairs: Any) -> tuple[Any, Any]:
    """Unpack sets of (weight, bias) pairs into a weight and a bias.

    Parameters
    ----------
    pairs : array_like, shape (N, F, 2)
        N sets of one (weight, bias) pair for each of F features; or a sequence of N arrays of
        shape (F, 2).

    Returns
    -------
    weight, bias : ndarray, shape (N, F)
        New C-contiguous arrays, CuPy arrays where `pairs` is one (or has them as items).

    Raises
    ------
    ValueError
        `pairs` has another shape.

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
    if isinstance(pairs, (list, tuple)) and pairs:
        items = {f"pairs[{i}]": item for i, item in enumerate(pairs)}
        xp = _dispatch.namespace(**items)
        if xp is not np:
            pairs = xp.stack(pairs)
    else:
        xp = _dispatch.namespace(pairs=pairs)
    if xp is np:
        pairs = _operands.as_numpy("pairs", pairs)
    if pairs.ndim != 3 or pairs.shape[-1] != 2:
        raise ValueError(
            f"pairs has shape {pairs.shape}; expected (N, F, 2), a sequence of N sets of one "
            f"(weight, bias) pair for each of F features"
        )
    weight, bias = (pairs[:, :, i].copy(order="C") for i in (0, 1))
    return weight, bias


def to_pairs(weight: Any, bias: Any) -> Any:
    """Pack a weight and a bias into sets of (weight, bias) pairs.

    Parameters
    ----------
    weight, bias : array_like, shape (N, F) or (1, F)
        (1, F) is shared by all sets.

    Returns
    -------
    pairs : ndarray, shape (N, F, 2)
        A new C-contiguous array of `numpy.result_type` of the two; a CuPy array where they are.

    Raises
    ------
    ValueError
        The shapes differ, or are not of two dimensions.
    TypeError
        One is a CuPy array and the other is not.

    Notes
    -----
    Where the two differ in dtype CuPy converts them, and takes float32 subnormals for zeros.

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
    xp = _dispatch.namespace(weight=weight, bias=bias)
    if xp is np:
        weight, bias = _operands.as_numpy("weight", weight), _operands.as_numpy("bias", bias)
    if weight.ndim != 2:
        raise ValueError(f"weight has shape {weight.shape}; expected (N, F)")
    n_sets, n_features = weight.shape
    n_sets = _operands.agree(None if n_sets == 1 else n_sets, n_features, "bias", bias)
    shape = (n_sets, n_features)
    return xp.stack([xp.broadcast_to(weight, shape), xp.broadcast_to(bias, shape)], axis=-1)
