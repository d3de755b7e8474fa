"""The losses of N stacked subnetworks, and their gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arrays.frameworks import adapted
from multisubnet._functions.loss_problem import LossProblem, with_gradients

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import Array, ArrayT, HostArray, HostArrayLike
    from multisubnet._functions.loss_problem import LossName


@overload
def mean_loss(
    samples: HostArrayLike,
    weight: HostArrayLike,
    bias: HostArrayLike | None,
    targets: HostArrayLike,
    *,
    loss: LossName = ...,
    activation: ActivationLike | None = ...,
    sample_weight: HostArrayLike | None = ...,
    per_feature: bool = ...,
    dtype: Any = ...,
) -> HostArray: ...
@overload
def mean_loss(
    samples: ArrayT | HostArrayLike,
    weight: ArrayT | HostArrayLike,
    bias: Array | HostArrayLike | None,
    targets: ArrayT | HostArrayLike,
    *,
    loss: LossName = ...,
    activation: ActivationLike | None = ...,
    sample_weight: Array | HostArrayLike | None = ...,
    per_feature: bool = ...,
    dtype: Any = ...,
) -> ArrayT: ...
@adapted
@keep_subnormals
def mean_loss(
    samples: Any,
    weight: Any,
    bias: Any,
    targets: Any,
    *,
    loss: LossName = "squared_error",
    activation: ActivationLike | None = None,
    sample_weight: Any = None,
    per_feature: bool = False,
    dtype: Any = None,
) -> Any:
    """Judge N sets of weights: the mean loss of each on the same samples and targets.

    The predictions are those of `affine`, and no array of all of them is made. Lower is better.

    Parameters
    ----------
    samples : array_like, shape (B, F) or (N, B, F)
        B samples of F features, shared by all sets; or a block of samples for each set.
    weight : array_like, shape (N, F) or (1, F)
        A weight for each set and feature; (1, F) is shared by all sets.
    bias : array_like, shape (N, F) or (1, F), or None
        A bias for each set and feature. None adds nothing.
    targets : array_like, shape (B, F), (B, 1) or (B,)
        What is to be predicted: for each sample and feature, or for all features of a sample.
    loss : str, optional
        The loss of a prediction p where the target is t (Keras' names ``mse``, ``mae``, ``bce``,
        ``mean_squared_error``, ``mean_absolute_error`` and ``logcosh`` are taken, too):

        ===================================  ===================================================
        ``squared_error``                    (p - t)^2
        ``absolute_error``                   abs(p - t)
        ``huber``                            (p - t)^2 / 2 if abs(p - t) <= 1, else
                                             abs(p - t) - 1/2
        ``log_cosh``                         log(cosh(p - t))
        ``binary_crossentropy``              -t log(p) - (1 - t) log(1 - p), p being clipped to
                                             [0, 1] and logarithms, as PyTorch's, to -100
        ``binary_crossentropy_from_logits``  the same of sigmoid(p): t in [0, 1], p any number
        ``hinge``                            max(1 - t p, 0), t being -1 or 1
        ``poisson``                          p - t log(p + 1e-7), as Keras'
        ===================================  ===================================================
    activation : str or Activation, optional
        As for `affine`.
    sample_weight : array_like, shape (B,), optional
        The weight of each sample in the mean: sum of weighted losses over sum of weights, as
        `numpy.average` has it. Only the ratios of weights count, so that these may be as small as
        likelihoods are. Negative weights are subtracted; the mean is NaN if the weights sum to 0
        or one is not finite. A weight of 0 does not hide a loss that is NaN or infinite.
    per_feature : bool, optional
        Whether to give a loss for each feature's subnetwork, instead of their mean over features.
    dtype : dtype_like, optional
        The floating dtype of the result; float64 by default.

    Returns
    -------
    ndarray, shape (N,) or (N, F)
        The mean over samples and features, or over samples: an array of the operands' kind. It is
        NaN where there is no sample or no feature.

    Raises
    ------
    ValueError
        An operand has the wrong shape; there is no loss or activation of that name; the loss is not
        defined for a target: binary cross-entropies are from 0 to 1, hinge is for -1 and 1, poisson
        from 0 on. (Targets on a GPU, and inside `jax.jit`, are not looked at.)
    TypeError
        An operand is complex, longdouble or not a number; `dtype` is not float16, bfloat16,
        float32 or float64; NumPy (or sequences) and CuPy arrays are mixed.
    BackendUnavailable
        The backend chosen by `set_backend` or the environment cannot run here.

    See Also
    --------
    mean_loss_and_grad : with the gradient, in the same pass.
    affine : the predictions.

    Notes
    -----
    The result has the same bits on every backend. Samples, weight and bias decide the working
    dtype, to which all operands are cast first: float32 where they are float16, bfloat16 and
    float32, else float64. Predictions and losses are computed in it, each operation rounded once.
    Weights are multiplied by a power of two first, so that the largest one is from 1 to 2. Terms
    are added up in one order: 32 samples one after the other in the working dtype, in float64
    the totals of 128 such runs, then those of such blocks by a binary tree, then over features by
    such a tree; and divided in the end.

    Where the loss is ``squared_error``, there is no activation, and all sets share the samples, the
    result is that of the closed form in float64, from moments of samples and targets: it costs
    (B + N) F operations instead of N B F, and the roundings of `affine` are no part of it. A
    feature of which a sample or target is not finite has the loss NaN; one of which the weight or
    bias of a set is infinite has the loss inf in that set.

    Examples
    --------
    >>> import multisubnet as ms
    >>> samples = [[1.0, 2.0], [3.0, 4.0]]
    >>> weight, bias = [[2.0, 1.0], [0.5, 3.0]], [[0.0, 1.0], [1.0, 0.0]]
    >>> targets = [[2.0, 3.0], [6.0, 5.0]]
    >>> ms.mean_loss(samples, weight, bias, targets, loss="absolute_error")
    array([0. , 3.5])
    >>> ms.mean_loss(samples, weight, bias, targets, loss="absolute_error", per_feature=True)
    array([[0., 0.],
           [2., 5.]])
    """
    operands = samples, weight, bias, targets, sample_weight
    return LossProblem(operands, ("loss",), loss, activation, per_feature, dtype).means()[0]


@overload
def mean_loss_and_grad(
    samples: HostArrayLike,
    weight: HostArrayLike,
    bias: HostArrayLike | None,
    targets: HostArrayLike,
    *,
    loss: LossName = ...,
    activation: ActivationLike | None = ...,
    sample_weight: HostArrayLike | None = ...,
    per_feature: bool = ...,
    dtype: Any = ...,
) -> tuple[HostArray, HostArray, HostArray | None]: ...
@overload
def mean_loss_and_grad(
    samples: ArrayT | HostArrayLike,
    weight: ArrayT | HostArrayLike,
    bias: Array | HostArrayLike | None,
    targets: ArrayT | HostArrayLike,
    *,
    loss: LossName = ...,
    activation: ActivationLike | None = ...,
    sample_weight: Array | HostArrayLike | None = ...,
    per_feature: bool = ...,
    dtype: Any = ...,
) -> tuple[ArrayT, ArrayT, ArrayT | None]: ...
@adapted
@keep_subnormals
def mean_loss_and_grad(
    samples: Any,
    weight: Any,
    bias: Any,
    targets: Any,
    *,
    loss: LossName = "squared_error",
    activation: ActivationLike | None = None,
    sample_weight: Any = None,
    per_feature: bool = False,
    dtype: Any = None,
) -> tuple[Any, Any, Any]:
    """Judge N sets of weights, and find the gradients of their losses in the same pass.

    Parameters
    ----------
    samples, weight, bias, targets
        As for `mean_loss`.
    loss, activation, sample_weight, per_feature, dtype : optional
        As for `mean_loss`; `dtype` is that of the loss.

    Returns
    -------
    loss : ndarray, shape (N,) or (N, F)
        What `mean_loss` returns, of the same bits.
    grad_weight, grad_bias : ndarray, shape (N, F)
        The derivatives of each set's (or subnetwork's) loss with respect to its weight and bias,
        of the dtype of `weight` (the working dtype where that is not a floating one). A weight
        that is shared by all sets has a derivative for each of them. `grad_bias` is None where
        `bias` is.

    Raises
    ------
    ValueError, TypeError, BackendUnavailable
        As for `mean_loss`; `activation` is a derivative.

    See Also
    --------
    mean_loss : the loss alone, with all that is said there.
    affine_vjp : gradients of any function of the predictions.

    Notes
    -----
    Derivatives at kinks are PyTorch's: that of absolute_error is 0 at p = t, that of hinge is -t
    at t p = 1; of activations, see `Activation`. That of binary_crossentropy is
    (p - t) / max(p (1 - p), 1e-12). Of each sample, the loss' derivative is multiplied by the
    activation's, then by the sample's weight, then (for `grad_weight`) by the sample, and these
    terms are added up in the order that `mean_loss` describes.

    Examples
    --------
    >>> import multisubnet as ms
    >>> loss, grad_weight, grad_bias = ms.mean_loss_and_grad(
    ...     [[1.0], [3.0]], [[2.0], [1.0]], [[0.0], [1.0]], [2.0, 6.0], loss="absolute_error"
    ... )
    >>> loss
    array([0., 1.])
    >>> grad_weight
    array([[ 0. ],
           [-1.5]])
    >>> grad_bias
    array([[ 0. ],
           [-0.5]])
    """
    operands = samples, weight, bias, targets, sample_weight
    outputs = with_gradients(bias)
    results = LossProblem(operands, outputs, loss, activation, per_feature, dtype).means()
    return results if bias is not None else (*results, None)
