"""The vector-Jacobian product of networks with hidden layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from multisubnet._arithmetic import names
from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arithmetic.output_loss import OutputLoss
from multisubnet._arrays import namespaces
from multisubnet._backends.mlp_sums import MlpSums
from multisubnet._functions import problem as problems
from multisubnet._functions.mlp_loss_problem import NetworkProblem, returned
from multisubnet._functions.mlp_operands import adapter_function, name_operands
from multisubnet._functions.mlp_summation import NetworkSums, Outputs

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike
    from multisubnet._arrays.types import Array, ArrayT, HostArrayLike, Layer

MlpOperand = Literal["samples", "layers", "intercept"]
OPERANDS: tuple[MlpOperand, ...] = ("samples", "layers", "intercept")


class MlpVjp(NamedTuple):
    """The result of `mlp_vjp`; None for gradients not requested."""

    grad_samples: Any
    """(B, F) or (N, B, F)."""
    grad_layers: tuple[tuple[Any, Any], ...] | None
    """For each layer, the gradients of weight and bias, of their shapes."""
    grad_intercept: Any
    """(N, P) or (1, P); None without an intercept."""


@overload
def mlp_vjp(
    samples: HostArrayLike,
    layers: Sequence[Layer[HostArrayLike]],
    cotangent: HostArrayLike,
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: HostArrayLike | None = ...,
    wrt: Sequence[MlpOperand] = ...,
) -> MlpVjp: ...
@overload
def mlp_vjp(
    samples: ArrayT | HostArrayLike,
    layers: Sequence[Layer[ArrayT | HostArrayLike]],
    cotangent: ArrayT | HostArrayLike,
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
    output_activation: ActivationLike | None = ...,
    inputs: Array | HostArrayLike | None = ...,
    additive: bool = ...,
    intercept: Array | HostArrayLike | None = ...,
    wrt: Sequence[MlpOperand] = ...,
) -> MlpVjp: ...
@keep_subnormals
def mlp_vjp(
    samples: Any,
    layers: Sequence[Any],
    cotangent: Any,
    *,
    activation: ActivationLike | Sequence[ActivationLike | None] | None = "relu",
    output_activation: ActivationLike | None = None,
    inputs: Any = None,
    additive: bool = False,
    intercept: Any = None,
    wrt: Sequence[MlpOperand] = OPERANDS,
) -> MlpVjp:
    """Compute the vector-Jacobian product of `mlp`, as automatic differentiation does.

    The results are the gradients of the scalar ``(cotangent * mlp(samples, layers, ...)).sum()``.

    Parameters
    ----------
    samples, layers, activation, output_activation, inputs, additive, intercept
        As for `mlp`, except that activations cannot be derivatives.
    cotangent : array_like, shape (N, B, S, P), or (N, B, P) if additive
        The derivative of a scalar with respect to each element of the result.
    wrt : sequence of {"samples", "layers", "intercept"}, optional
        The operands to differentiate with respect to; by default all of them.

    Returns
    -------
    grad_samples : ndarray, shape (B, F) or (N, B, F), or None
        The gradient of samples. If several networks see a feature, it is the sum of theirs.
    grad_layers : tuple of (grad_weight, grad_bias), or None
        One pair per layer, of the shapes of weight and bias. `grad_bias` is None without a bias.
    grad_intercept : ndarray, shape (N, P) or (1, P), or None
        None without an intercept.

        The three are the fields of a named tuple. Each is None if not requested; otherwise it has
        the dtype of the operand (the working dtype if that is not a floating dtype).

    Raises
    ------
    ValueError
        An operand has the wrong shape; a name in `wrt` is unknown; and as for `mlp`.
    TypeError
        An activation is a derivative; and as for `mlp`.
    IndexError, BackendUnavailable
        As for `mlp`.

    See Also
    --------
    mlp_mean_loss_and_grad : the gradient of a loss, without a cotangent array.
    affine_vjp : networks of one weight and one bias.

    Notes
    -----
    The result has the same bits on every backend. All operands are first cast to the working dtype:
    float32 if samples, layers and intercept are float16, bfloat16 or float32, else float64. The
    cotangent takes the place of dloss/dp in the operations that `mlp_mean_loss_and_grad` describes.
    Sums over samples, or over sets, use the order of `mean_loss`. A parameter shared by sets is
    summed over samples, then over sets, in float64, by a binary tree. If several networks see a
    feature, their sums over sets are added in the order of `inputs`, in float64, and rounded once.

    Examples
    --------
    >>> import numpy as np
    >>> import multisubnet as ms
    >>> hidden = np.array([[1.0, -1.0], [2.0, 1.0]]).reshape(2, 1, 1, 2)
    >>> layers = [hidden, np.ones((1, 1, 2, 1))]  # the last one is shared by both sets
    >>> found = ms.mlp_vjp([[3.0]], layers, np.ones((2, 1, 1, 1)))
    >>> found.grad_samples
    array([[4.]])
    >>> (grad_hidden, _), (grad_last, _) = found.grad_layers
    >>> grad_hidden[:, 0, 0]
    array([[3., 0.],
           [3., 3.]])
    >>> grad_last[:, 0, :, 0]
    array([[9., 3.]])
    """
    named = name_operands(samples, layers, intercept)
    adapted = adapter_function("mlp_vjp", named, (cotangent, inputs))
    if adapted is not None:
        return adapted(
            samples,
            layers,
            cotangent,
            activation=activation,
            output_activation=output_activation,
            inputs=inputs,
            additive=additive,
            intercept=intercept,
            wrt=wrt,
        )
    asked = names.validate("wrt", wrt, OPERANDS)
    if cotangent is None:
        raise TypeError("cotangent is None; expected an array_like of numbers")
    options = activation, output_activation, inputs, additive
    problem = NetworkProblem(named, options, {"cotangent": cotangent})
    problem.expect_derivatives()
    call, cotangent = problem.call, problem.others["cotangent"]
    shape = "(N, B, P)" if call.additive else "(N, B, S, P)"
    problems.expect_shape("cotangent", cotangent, {shape: call.shape})
    if call.additive:
        cotangent = cotangent[:, :, None]
    loss = OutputLoss("product", problem.last_key, call.sizes[-1])
    with namespaces.device_of(call.samples):
        summing, sums = problem.on_backend(MlpSums(call, loss, cotangent, None))
        networks = NetworkSums(summing)
        grad_layers, grad_intercept = problem.empty_gradients(summing, summed=True)
        outs = Outputs(
            None,
            grad_layers if "layers" in asked else ((None, None),) * len(grad_layers),
            grad_intercept if "intercept" in asked else None,
        )
        networks.write(sums, outs)
        grad_samples = None
        if "samples" in asked:
            dtype = problems.dtype_of_gradient(call.samples, call.dtype)
            grad_samples = summing.empty(call.samples.shape, dtype)
            networks.write_of_samples(sums, grad_samples)
        found = grad_samples, grad_layers if "layers" in asked else None, outs.intercept
        return MlpVjp(*returned(summing, found))
