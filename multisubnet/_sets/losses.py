"""Losses of weight sets, and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multisubnet._arrays import frameworks, validation
from multisubnet._arrays.frames import check_order, is_frame, values_of
from multisubnet._arrays.types import ArrayT
from multisubnet._functions.affine_vjp import affine_vjp
from multisubnet._functions.calls import explained
from multisubnet._functions.mean_loss import mean_loss, mean_loss_and_grad
from multisubnet._functions.mlp_loss_problem import warn_of_outputs
from multisubnet._functions.mlp_mean_loss import mlp_mean_loss, mlp_mean_loss_and_grad
from multisubnet._functions.mlp_vjp import mlp_vjp
from multisubnet._sets.forms import Forms
from multisubnet._sets.prediction import Prediction

if TYPE_CHECKING:
    from multisubnet._functions.mlp_mean_loss import MlpLossName


class Losses(Forms[ArrayT]):
    """Losses and gradients of `WeightSets`."""

    __slots__ = ()

    @explained("WeightSets.mean_loss")
    def mean_loss(
        self,
        samples: Any,
        targets: Any,
        *,
        loss: MlpLossName = "squared_error",
        sample_weight: Any = None,
        per_feature: bool = False,
        dtype: Any = None,
    ) -> ArrayT:
        """Compute the mean loss of each set; lower is better.

        Parameters
        ----------
        samples, targets, loss, sample_weight, dtype
            As for `multisubnet.mean_loss`, or `multisubnet.mlp_mean_loss` for networks. Samples
            and targets may be pandas or polars frames. If the sets have names, two or more columns
            of targets must have those of the predictions, in the same order, or share no name with
            them.
        per_feature : bool, optional
            Return a loss per feature, or per network, instead of their mean.

        Returns
        -------
        ndarray, shape (N,), (N, F) or (N, S)

        Warns
        -----
        UserWarning
            The outputs of the sets are those of a sigmoid, but the loss takes logits, or compares
            numbers and targets are the integers 0 and 1; or they are linear, but the loss takes
            probabilities, and the predictions of the first sets and samples are not from 0 to 1;
            and as for `multisubnet.mlp_mean_loss`.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[2.0], [3.0]]).mean_loss([[1.0], [2.0]], [2.0, 4.0])
        array([0. , 2.5])
        """
        functions = mean_loss, mlp_mean_loss
        data = samples, targets, sample_weight
        return self._evaluated(functions, data, loss, per_feature, dtype)

    @explained("WeightSets.mean_loss_and_grad")
    def mean_loss_and_grad(
        self,
        samples: Any,
        targets: Any,
        *,
        loss: MlpLossName = "squared_error",
        sample_weight: Any = None,
        per_feature: bool = False,
        dtype: Any = None,
    ) -> tuple[ArrayT, Any, Any]:
        """Compute the mean loss of each set, and its gradients.

        Parameters
        ----------
        samples, targets, loss, sample_weight, per_feature, dtype
            As for `mean_loss`.

        Returns
        -------
        loss : ndarray, shape (N,), (N, F) or (N, S)
        grad_weight, grad_bias : ndarray, shape (N, F)
            The gradients of the parameters; `grad_bias` is None if there are no biases.
        grad_layers, grad_intercept
            For networks, returned instead of these two, as by `multisubnet.mlp_mean_loss_and_grad`.

        Examples
        --------
        >>> import multisubnet as ms
        >>> loss, grad_weight, _ = ms.WeightSets([[3.0]]).mean_loss_and_grad([[1.0], [2.0]], [2, 4])
        >>> grad_weight
        array([[5.]])
        """
        functions = mean_loss_and_grad, mlp_mean_loss_and_grad
        data = samples, targets, sample_weight
        return self._evaluated(functions, data, loss, per_feature, dtype)

    @explained("WeightSets.vjp")
    def vjp(self, samples: Any, cotangent: Any, *, wrt: Sequence[str] | None = None) -> Any:
        """Compute the vector-Jacobian product of `predict`: gradients of any function of it.

        Parameters
        ----------
        samples
            As for `predict`.
        cotangent : array_like, of the shape that `predict` returns
            The derivative of a scalar with respect to each prediction.
        wrt : sequence of str, optional
            Some of ``"samples"``, ``"weight"`` and ``"bias"``; for networks, of ``"samples"``,
            ``"layers"`` and ``"intercept"``. By default all of them.

        Returns
        -------
        grad_samples, grad_weight, grad_bias : ndarray or None
            The gradients, as from `multisubnet.affine_vjp`.
        grad_samples, grad_layers, grad_intercept
            For networks, returned instead of these three, as by `multisubnet.mlp_vjp`.

        Raises
        ------
        ValueError, TypeError, BackendUnavailable
            As for these functions.

        See Also
        --------
        mean_loss_and_grad : the gradient of a loss, without a cotangent array.

        Examples
        --------
        >>> import multisubnet as ms
        >>> sets = ms.WeightSets([[3.0], [5.0]])
        >>> grad_samples, grad_weight, _ = sets.vjp([[2.0]], [[[1.0]], [[10.0]]])
        >>> grad_samples
        array([[53.]])
        >>> grad_weight
        array([[ 2.],
               [20.]])
        """
        samples = self._parameters.values(samples)
        given = {} if wrt is None else {"wrt": wrt}
        evaluate = self._parameters.function(affine_vjp, mlp_vjp)
        return evaluate(samples, cotangent, **given)

    def _evaluated(
        self, functions: tuple[Any, Any], data: Any, loss: Any, per_feature: bool, dtype: Any
    ) -> Any:
        """Return the result of the function for affine sets, or of that for networks."""
        parameters = self._parameters
        evaluate = parameters.function(*functions, validation.flag("per_feature", per_feature))
        samples, targets, sample_weight = data
        samples, targets = self._values_of_both(samples, targets, sample_weight)
        result = evaluate(samples, targets, loss=loss, sample_weight=sample_weight, dtype=dtype)

        def are_probabilities() -> bool:
            if frameworks.of((samples,)) is not None:
                return False
            return Prediction.of(samples, parameters, 0).are_probabilities()

        last, n_outputs = parameters.activations[-1], parameters.sizes[-1]
        warn_of_outputs(loss, last, parameters.additive, targets, n_outputs, are_probabilities)
        return result

    def _values_of_both(self, samples: Any, targets: Any, sample_weight: Any) -> tuple[Any, Any]:
        """Return the numbers of frames, or other samples and targets unchanged."""
        check_order({"samples": samples, "targets": targets, "sample_weight": sample_weight})
        if is_frame(type(targets)):  # type: ignore[arg-type]
            targets = values_of("targets", targets, self._parameters.known_columns)
        return self._parameters.values(samples), targets
