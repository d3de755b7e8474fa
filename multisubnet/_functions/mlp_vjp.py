"""The vector-Jacobian product of networks with hidden layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from multisubnet._arithmetic import names
from multisubnet._arithmetic.float_mode import keep_subnormals
from multisubnet._arithmetic.output_loss import OutputLoss
from multisubnet._arrays import namespaces
from multisubnet._backends.mlp_sums import MlpSums
from multisubnet._functions import problem as problems
from multisubnet._functions.calls import explained
from multisubnet._functions.mlp_loss_problem import NetworkProblem, returned
from multisubnet._functions.mlp_operands import adapter_function, name_operands
from multisubnet._functions.mlp_summation import NetworkSums, Outputs
from multisubnet._functions.summation import Summing

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
@explained("mlp_vjp")
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
    options = activation, output_activation, inputs, additive
    return Pullback(named, options, cotangent).gradients(asked)


class Pullback(NetworkProblem):
    """Networks, and the cotangent of their values that is pulled back."""

    def __init__(self, named: dict[str, Any], options: tuple[Any, Any, Any, Any], cotangent: Any):
        if cotangent is None:
            raise TypeError("cotangent is None; expected an array_like of numbers")
        super().__init__(named, options, {"cotangent": cotangent})
        self.expect_derivatives()
        shape = "(N, B, P)" if self.call.additive else "(N, B, S, P)"
        problems.expect_shape("cotangent", self.others["cotangent"], {shape: self.call.shape})

    @property
    def dtype_of_samples(self) -> np.dtype:
        """The dtype of the gradient of samples."""
        return problems.dtype_of_gradient(self.call.samples, self.call.dtype)

    def gradients(self, asked: Sequence[str]) -> MlpVjp:
        """Return the gradients of these operands."""
        samples = self.call.samples
        with namespaces.device_of(samples):
            summing, sums = self._start()
            outs = self._outputs(summing, asked, True)
            networks = NetworkSums(summing)
            networks.write(sums, outs)
            of_samples = None
            if "samples" in asked:
                of_samples = summing.empty(samples.shape, self.dtype_of_samples)
                networks.write_of_samples(sums, of_samples)
            layers = outs.layers if "layers" in asked else None
            return MlpVjp(*returned(summing, (of_samples, layers, outs.intercept)))

    def totals(self, asked: Sequence[str]) -> Any:
        """Return the sums over samples of each set, float64 (N, columns).

        They are nodes of the tree over all samples. The columns are the gradients of the parameters
        that are asked for, one after the other.
        """
        with namespaces.device_of(self.call.samples):
            summing, sums = self._start()
            outs = self._outputs(summing, asked, False, np.dtype(np.float64))
            NetworkSums(summing).write(sums, outs)
            return self.columns_of(returned(summing, outs))

    def totals_of_samples(self) -> Any:
        """Return the sums over sets for samples (B, F) and each input of each network.

        They are nodes of the tree over all sets, float64 (B, S * d).
        """
        with namespaces.device_of(self.call.samples):
            summing, sums = self._start()
            return summing.returned(NetworkSums(summing).totals_of_samples(sums))

    def _start(self) -> tuple[Summing, MlpSums]:
        call, cotangent = self.call, self.others["cotangent"]
        loss = OutputLoss("product", self.last_key, call.sizes[-1])
        cotangent = cotangent[:, :, None] if call.additive else cotangent
        return self.on_backend(MlpSums(call, loss, cotangent, None))

    def _outputs(
        self, summing: Summing, asked: Sequence[str], summed: bool, dtype: np.dtype | None = None
    ) -> Outputs:
        layers, intercept = self.empty_gradients(summing, summed, dtype)
        if "layers" not in asked:
            layers = ((None, None),) * len(layers)
        return Outputs(None, layers, intercept if "intercept" in asked else None)
