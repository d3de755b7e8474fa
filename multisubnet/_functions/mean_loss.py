"""The losses of N stacked subnetworks, and their gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arrays.frameworks import adapted
from multisubnet._functions.calls import explained
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
@explained("mean_loss")
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
    """Compute the mean loss of each of N sets of weights on the same samples and targets.

    The predictions are those of `affine`; the array of all predictions is never allocated. Lower is
    better.

    Parameters
    ----------
    samples : array_like, shape (B, F) or (N, B, F)
        B samples of F features, shared by all sets; or a separate block of samples per set.
    weight : array_like, shape (N, F) or (1, F)
        One weight per set and feature; (1, F) is shared by all sets.
    bias : array_like, shape (N, F) or (1, F), or None
        One bias per set and feature. None adds nothing.
    targets : array_like, shape (B, F), (B, 1) or (B,)
        The values to predict: one per sample and feature, or one per sample for all features.
    loss : str, optional
        The loss of a prediction p with target t. The names of these losses in Keras and PyTorch
        also work, such as ``mse``, ``mae``, ``bce`` and ``HuberLoss``.

        ===================================  ===================================================
        ``squared_error``                    (p - t)^2
        ``absolute_error``                   abs(p - t)
        ``huber``                            (p - t)^2 / 2 if abs(p - t) <= 1, else
                                             abs(p - t) - 1/2
        ``log_cosh``                         log(cosh(p - t))
        ``binary_crossentropy``              -t log(p) - (1 - t) log(1 - p), with p clipped to
                                             [0, 1] and logarithms to -100, as in PyTorch
        ``binary_crossentropy_from_logits``  the same of sigmoid(p): t in [0, 1], p any number
        ``hinge``                            max(1 - t p, 0), t being -1 or 1
        ``poisson``                          p - t log(p + 1e-7), as in Keras
        ===================================  ===================================================
    activation : str or Activation, optional
        As for `affine`.
    sample_weight : array_like, shape (B,), optional
        The weight of each sample in the mean: the sum of weighted losses over the sum of weights,
        as in `numpy.average`. Only the ratios of weights matter, so weights as small as likelihoods
        work. Weights may be negative. The mean is NaN if the weights sum to 0 or one of them is not
        finite. A weight of 0 does not hide a loss that is NaN or infinite.
    per_feature : bool, optional
        Return a loss per feature (that is, per subnetwork) instead of the mean over features.
    dtype : dtype_like, optional
        The floating dtype of the result; float64 by default.

    Returns
    -------
    ndarray, shape (N,) or (N, F)
        The mean over samples and features, or over samples alone: an array of the operands' kind.
        It is NaN if there are no samples or no features.

    Raises
    ------
    ValueError
        An operand has the wrong shape; the loss or activation is unknown; a target is outside the
        domain of the loss: 0 to 1 for binary cross-entropies, -1 and 1 for hinge, at least 0 for
        poisson. (Targets on a GPU or inside `jax.jit` are not checked.)
    TypeError
        An operand is complex, longdouble or not a number; `dtype` is not float16, bfloat16,
        float32 or float64; NumPy arrays (or sequences) are mixed with CuPy arrays.
    BackendUnavailable
        The backend chosen by `set_backend` or the environment cannot run here.

    See Also
    --------
    mean_loss_and_grad : with the gradient, in the same pass.
    affine : the predictions.

    Notes
    -----
    The result has the same bits on every backend. All operands are first cast to the working dtype:
    float32 if samples, weight and bias are float16, bfloat16 or float32, else float64. Predictions
    and losses are computed in it, each operation rounded once. Sample weights are first multiplied
    by a power of two that brings the largest one between 1 and 2. The order of summation is fixed:
    runs of 32 samples are added one after the other in the working dtype, and the totals of 128
    runs in float64; these blocks are added by a binary tree, and then the features by another. The
    division comes last.

    If the loss is ``squared_error``, there is no activation and all sets share the samples, the
    result comes from a closed form in float64, from moments of samples and targets. It costs
    (B + N) F operations instead of N B F, and does not include the rounding of `affine`. If a
    sample or target is not finite, the loss of its feature is NaN. If a weight or bias is infinite,
    the loss of its feature is inf in that set.

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
@explained("mean_loss_and_grad")
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
    """Compute the mean loss of each of N sets of weights, and its gradients, in one pass.

    Parameters
    ----------
    samples, weight, bias, targets
        As for `mean_loss`.
    loss, activation, sample_weight, per_feature, dtype : optional
        As for `mean_loss`; `dtype` is the dtype of the loss.

    Returns
    -------
    loss : ndarray, shape (N,) or (N, F)
        The result of `mean_loss`, with the same bits.
    grad_weight, grad_bias : ndarray, shape (N, F)
        The derivatives of each set's (or subnetwork's) loss with respect to its weight and bias,
        in the dtype of `weight` (in the working dtype if that is not a floating dtype). A weight
        shared by all sets has one derivative per set. `grad_bias` is None if `bias` is None.

    Raises
    ------
    ValueError, TypeError, BackendUnavailable
        As for `mean_loss`; also if `activation` is a derivative.

    See Also
    --------
    mean_loss : the loss alone, with a full description.
    affine_vjp : gradients of any function of the predictions.

    Notes
    -----
    Derivatives at kinks are those of PyTorch: 0 at p = t for absolute_error, -t at t p = 1 for
    hinge. For activations, see `Activation`. The derivative of binary_crossentropy is
    (p - t) / max(p (1 - p), 1e-12). For each sample, the derivative of the loss is multiplied by
    that of the activation, then by the sample weight, then (for `grad_weight`) by the sample. These
    terms are summed in the order that `mean_loss` describes.

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
