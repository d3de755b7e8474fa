"""The losses of N sets of networks with hidden layers, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._functions.calls import explained
from multisubnet._functions.loss_problem import LossName
from multisubnet._functions.mlp_loss_problem import NetworkLoss
from multisubnet._functions.mlp_operands import adapter_function, name_operands

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import Array, ArrayT, HostArray, HostArrayLike, Layer

MlpLossName = (
    LossName | Literal["categorical_crossentropy_from_logits", "cross_entropy", "CrossEntropyLoss"]
)


class MlpLossAndGrad(NamedTuple):
    """The result of `mlp_mean_loss_and_grad`."""

    loss: Any
    """The loss, (N,) or (N, S)."""
    grad_layers: tuple[tuple[Any, Any], ...]
    """For each layer, the gradients of weight (N, S, inputs, outputs) and bias (N, S, outputs)."""
    grad_intercept: Any
    """The gradient of the intercept, (N, P), or None."""


@overload
def mlp_mean_loss(
    samples: HostArrayLike,
    layers: Sequence[Layer[HostArrayLike]],
    targets: HostArrayLike,
    *,
    loss: MlpLossName = ...,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: HostArrayLike | None = ...,
    sample_weight: HostArrayLike | None = ...,
    per_subnetwork: bool = ...,
    dtype: Any = ...,
) -> HostArray: ...
@overload
def mlp_mean_loss(
    samples: ArrayT | HostArrayLike,
    layers: Sequence[Layer[ArrayT | HostArrayLike]],
    targets: ArrayT | HostArrayLike,
    *,
    loss: MlpLossName = ...,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: Array | HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: Array | HostArrayLike | None = ...,
    sample_weight: Array | HostArrayLike | None = ...,
    per_subnetwork: bool = ...,
    dtype: Any = ...,
) -> ArrayT: ...
@explained("mlp_mean_loss")
@keep_subnormals
def mlp_mean_loss(
    samples: Any,
    layers: Sequence[Any],
    targets: Any,
    *,
    loss: MlpLossName = "squared_error",
    activation: ActivationLike | Sequence[ActivationLike | None] | None = "relu",
    output_activation: ActivationLike | None = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    sample_weight: Any = None,
    per_subnetwork: bool = False,
    dtype: Any = None,
) -> Any:
    """Compute the mean loss of each of N sets of networks with hidden layers.

    The predictions are those of `mlp`; the array of all predictions is never allocated. Lower is
    better.

    Parameters
    ----------
    samples, layers, activation, output_activation, inputs, additive, intercept
        As for `mlp`.
    targets : array_like
        The values to predict, of shape (B, S, P): one per sample, network and output. (B, S) is
        enough if P = 1, and (B, P) if S = 1. With (B, 1) or (B,), all outputs of all networks
        are compared with the one target of the sample. With ``additive=True``, the sums over
        networks are compared with targets of shape (B, P), (B, 1) or (B,).
    loss : str, optional
        As for `mean_loss`; or ``"categorical_crossentropy_from_logits"``, which is
        -log(softmax(p)[t]) of the P outputs p of a network. Its targets t are class numbers,
        integers from 0 to P - 1, of shape (B, S), or (B, 1) or (B,) for all networks or their sum.
    sample_weight : array_like, shape (B,), optional
        As for `mean_loss`.
    per_subnetwork : bool, optional
        Return a loss per network instead of their mean. Not allowed with ``additive=True``.
    dtype : dtype_like, optional
        The floating dtype of the result; float64 by default.

    Returns
    -------
    ndarray, shape (N,) or (N, S)
        The mean over samples, networks and outputs (for ``categorical_crossentropy_from_logits``,
        over samples and networks), or the mean of each network: an array of the operands' kind. It
        is NaN if there are no samples or no networks.

    Raises
    ------
    ValueError
        An operand has the wrong shape; the loss is unknown, or a target is outside its domain, as
        for `mean_loss`; a class number is out of range (on a GPU this is not checked, and gives
        NaN);
        ``per_subnetwork=True`` is combined with ``additive=True``; and as for `mlp`.
    TypeError
        Class numbers are not integers; and as for `mlp` and `mean_loss`.
    IndexError, BackendUnavailable
        As for `mlp`.

    Warns
    -----
    UserWarning
        Integer targets, one for all outputs of a sample, look like class numbers, but the loss
        compares each output with them.

    See Also
    --------
    mlp_mean_loss_and_grad : loss and gradients in one pass.
    mean_loss : networks of one weight and one bias.
    mlp : the predictions.

    Notes
    -----
    The result has the same bits on every backend. All operands are first cast to the working dtype:
    float32 if samples, layers and intercept are float16, bfloat16 or float32, else float64.
    Predictions are those of `mlp` before rounding to float16 or bfloat16. The losses of a network's
    outputs are added in order and multiplied by the sample weight. These terms are summed over
    samples, then over networks, in the order that `mean_loss` describes. The division comes last.
    Additive networks are summed as in `mlp`.

    The categorical crossentropy is log(1 + rest) - (p[t] - m). Here m is the largest output, and
    `rest` is the sum of exp(p - m) over all outputs in order, without the first that equals m. A
    small loss therefore keeps its digits.

    A network of one layer, one input and one output gives the bits of `mean_loss`, except where
    `mean_loss` uses its closed form.

    Apart from operands and result, a call needs at most 64 MiB; with ``additive=True``, also twice
    the predictions of one set.

    Examples
    --------
    >>> import numpy as np
    >>> import multisubnet as ms
    >>> hidden = np.array([[1.0, -1.0], [2.0, 1.0]]).reshape(2, 1, 1, 2)  # two sets, one network
    >>> layers = [hidden, np.ones((1, 1, 2, 1))]
    >>> ms.mlp([[3.0], [9.0]], layers)[..., 0, 0]
    array([[ 3.,  9.],
           [ 9., 27.]])
    >>> ms.mlp_mean_loss([[3.0], [9.0]], layers, [3.0, 8.0], loss="absolute_error")
    array([ 0.5, 12.5])
    """
    named = name_operands(samples, layers, intercept)
    others = {"targets": targets, "sample_weight": sample_weight}
    adapted = adapter_function("mlp_mean_loss", named, (*others.values(), inputs))
    if adapted is not None:
        return adapted(
            samples,
            layers,
            targets,
            loss=loss,
            activation=activation,
            output_activation=output_activation,
            inputs=inputs,
            additive=additive,
            intercept=intercept,
            sample_weight=sample_weight,
            per_subnetwork=per_subnetwork,
            dtype=dtype,
        )
    options = activation, output_activation, inputs, additive
    return NetworkLoss(named, options, others, loss, per_subnetwork, dtype).means(False)[0]


@overload
def mlp_mean_loss_and_grad(
    samples: HostArrayLike,
    layers: Sequence[Layer[HostArrayLike]],
    targets: HostArrayLike,
    *,
    loss: MlpLossName = ...,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: HostArrayLike | None = ...,
    sample_weight: HostArrayLike | None = ...,
    per_subnetwork: bool = ...,
    dtype: Any = ...,
) -> MlpLossAndGrad: ...
@overload
def mlp_mean_loss_and_grad(
    samples: ArrayT | HostArrayLike,
    layers: Sequence[Layer[ArrayT | HostArrayLike]],
    targets: ArrayT | HostArrayLike,
    *,
    loss: MlpLossName = ...,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: Array | HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: Array | HostArrayLike | None = ...,
    sample_weight: Array | HostArrayLike | None = ...,
    per_subnetwork: bool = ...,
    dtype: Any = ...,
) -> MlpLossAndGrad: ...
@explained("mlp_mean_loss_and_grad")
@keep_subnormals
def mlp_mean_loss_and_grad(
    samples: Any,
    layers: Sequence[Any],
    targets: Any,
    *,
    loss: MlpLossName = "squared_error",
    activation: ActivationLike | Sequence[ActivationLike | None] | None = "relu",
    output_activation: ActivationLike | None = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    sample_weight: Any = None,
    per_subnetwork: bool = False,
    dtype: Any = None,
) -> MlpLossAndGrad:
    """Compute the mean loss of each of N sets of networks, and its gradients, in one pass.

    Parameters
    ----------
    samples, layers, targets
        As for `mlp_mean_loss`.
    loss, activation, output_activation, inputs, additive, intercept : optional
        As for `mlp_mean_loss`.
    sample_weight, per_subnetwork, dtype : optional
        As for `mlp_mean_loss`; `dtype` is the dtype of the loss.

    Returns
    -------
    loss : ndarray, shape (N,) or (N, S)
        The result of `mlp_mean_loss`, with the same bits.
    grad_layers : tuple of (grad_weight, grad_bias)
        One pair per layer, of shapes (N, S, inputs, outputs) and (N, S, outputs): the derivatives
        of each set's (or network's) loss with respect to its weights and biases, in their dtype
        (the working dtype if that is not a floating dtype). Parameters shared by sets have
        derivatives for each set. `grad_bias` is None if the layer has no bias.
    grad_intercept : ndarray, shape (N, P), or None
        The derivatives with respect to the intercept; None without one.

        The three are the fields of a named tuple.

    Raises
    ------
    ValueError, TypeError, IndexError, BackendUnavailable
        As for `mlp_mean_loss`; also if an activation is a derivative.

    See Also
    --------
    mlp_mean_loss : the loss alone, with a full description.
    mlp_vjp : gradients of any function of the predictions.
    mean_loss_and_grad : networks of one weight and one bias.

    Notes
    -----
    Derivatives at kinks are those of `mean_loss_and_grad`. For each sample and network, with z the
    sums and h the values of a layer::

        delta[last][p] = dloss/dp * activation'(z[last][p]) * sample_weight[b]
        delta[l][j]    = (weight[l + 1][j, 0] * delta[l + 1][0]
                          + weight[l + 1][j, 1] * delta[l + 1][1] + ...) * activation'(z[l][j])

    from left to right, each operation rounded once. The terms h[l - 1][j] * delta[l][k] of a weight
    and delta[l][k] of a bias are summed over samples in the order that `mean_loss` describes. With
    ``additive=True``, dloss/dp * sample_weight[b] is rounded first and then multiplied by the
    activation' of each network.

    Examples
    --------
    One step of gradient descent for two 1-2-1 networks:

    >>> import numpy as np
    >>> import multisubnet as ms
    >>> hidden = np.array([[1.0, -1.0], [2.0, 1.0]]).reshape(2, 1, 1, 2)
    >>> layers, data = [hidden, np.ones((2, 1, 2, 1))], ([[3.0], [9.0]], [3.0, 8.0])
    >>> found = ms.mlp_mean_loss_and_grad(data[0], layers, data[1])
    >>> found.loss
    array([  0.5, 198.5])
    >>> (grad_hidden, _), (grad_last, _) = found.grad_layers
    >>> grad_hidden[:, 0, 0]
    array([[  9.,   0.],
           [189., 189.]])
    >>> layers = [hidden - 0.001 * grad_hidden, layers[1] - 0.001 * grad_last]
    >>> ms.mlp_mean_loss(data[0], layers, data[1]).round(3)
    array([ 0.353, 35.228])
    """
    named = name_operands(samples, layers, intercept)
    others = {"targets": targets, "sample_weight": sample_weight}
    adapted = adapter_function("mlp_mean_loss_and_grad", named, (*others.values(), inputs))
    if adapted is not None:
        return adapted(
            samples,
            layers,
            targets,
            loss=loss,
            activation=activation,
            output_activation=output_activation,
            inputs=inputs,
            additive=additive,
            intercept=intercept,
            sample_weight=sample_weight,
            per_subnetwork=per_subnetwork,
            dtype=dtype,
        )
    options = activation, output_activation, inputs, additive
    problem = NetworkLoss(named, options, others, loss, per_subnetwork, dtype)
    return MlpLossAndGrad(*problem.means(True))
