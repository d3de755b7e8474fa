"""The operands of losses and gradients of networks, validated once, on a backend."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.output_loss import CATEGORICAL, OutputLoss
from multisubnet._arrays import dtypes, namespaces, validation
from multisubnet._backends import choice
from multisubnet._backends.mlp_sums import MlpSums
from multisubnet._functions import calls, loss_problem, problem
from multisubnet._functions.mlp_operands import read
from multisubnet._functions.mlp_summation import FUNCTIONS, NetworkSums, Outputs
from multisubnet._functions.summation import Summing, normalized

LOSSES = (*loss_problem.LOSSES, CATEGORICAL)
_OF_NUMBERS = "squared_error", "absolute_error", "huber", "log_cosh"
_OF_PROBABILITIES = "binary_crossentropy"
_PROBABILITIES = "sigmoid", "hard_sigmoid"  # activations whose results are probabilities


class NetworkProblem:
    """Validated operands of functions that sum over networks, and the choice of their backend.

    `options` are those of `mlp`: activation, output_activation, inputs, additive. `others` are
    further operands by name; None means that an operand is absent.
    """

    def __init__(
        self, named: dict[str, Any], options: tuple[Any, Any, Any, Any], others: dict[str, Any]
    ):
        self.xp: ModuleType
        self.xp, call, self.others = read(named, *options, None, others)
        problem.check_others(self.others)
        common = dtypes.result_type(*{x.dtype for x in call.arrays})
        self.call = call.with_dtype(problem.working_dtype(common))

    @property
    def last_key(self) -> str:
        """The key of the output activation."""
        last = self.call.activations[-1]
        return "linear" if last is None else last.key

    @property
    def parameters(self) -> list[Any]:
        """The weight and bias of each layer, and the intercept; those that are given."""
        _, *parameters = self.call.arrays
        return parameters

    def expect_derivatives(self) -> None:
        """Raise unless all activations have derivatives."""
        *hidden, last = self.call.activations
        for activation in hidden:
            problem.expect_derivative("activation", activation)
        problem.expect_derivative("output_activation", last)

    def on_backend(self, sums: MlpSums) -> tuple[Summing, MlpSums]:
        """Choose the backend for the validated operands, and bring them there."""
        xp, call = self.xp, sums.call
        backend = choice.choose("mlp_sums", xp, call.dtype, call.shape, None, sums)
        if backend.ARRAYS != "numpy" and not all(hasattr(backend, name) for name in FUNCTIONS):
            backend = choice.load("numpy")
        if backend.ARRAYS != xp.__name__:
            sums = sums.with_arrays(backend.copy_from_other)
        return Summing(backend, xp, call.dtype, 0.0), sums

    def empty_gradients(
        self, summing: Summing, summed: bool, dtype: np.dtype | None = None
    ) -> tuple[tuple[tuple[Any, Any], ...], Any]:
        """Allocate the gradients of layers and intercept, in a dtype or in the operands' own.

        A parameter shared by sets has one gradient per set, unless gradients are `summed`.
        """
        call = self.call

        def empty(x: Any) -> Any:
            if x is None:
                return None
            n_sets = len(x) if summed else call.n_sets
            own = problem.dtype_of_gradient(x, call.dtype)
            return summing.empty((n_sets, *x.shape[1:]), own if dtype is None else dtype)

        layers = tuple((empty(weight), empty(bias)) for weight, bias in call.layers)
        return layers, empty(call.intercept)

    def columns_of(self, outs: Outputs) -> Any:
        """Return results of each set, (N, ...), side by side, (N, columns)."""
        loss, layers, intercept = outs
        arrays = [x for x in (loss, *itertools.chain(*layers), intercept) if x is not None]
        return self.xp.concatenate(
            [x.reshape(len(x), math.prod(x.shape[1:])) for x in arrays], axis=1
        )


class NetworkLoss(NetworkProblem):
    """Networks whose loss is computed."""

    def __init__(
        self,
        named: dict[str, Any],
        options: tuple[Any, Any, Any, Any],
        others: dict[str, Any],
        loss: Any,
        per_subnetwork: Any,
        dtype: Any,
    ):
        if others["targets"] is None:
            raise TypeError("targets is None; expected an array_like of numbers")
        super().__init__(named, options, others)
        self.loss = loss_problem.named_loss(loss, LOSSES)
        self.dtype = loss_problem.validate_loss_dtype(dtype)
        self.per_subnetwork = per_subnetwork
        if type(per_subnetwork) is not bool:
            self.per_subnetwork = validation.flag("per_subnetwork", per_subnetwork)
        if self.per_subnetwork and self.call.additive:
            raise ValueError(
                "per_subnetwork=True cannot be combined with additive=True: a sum of networks has "
                "one loss"
            )
        targets = self.others["targets"]
        n_outputs = self.call.sizes[-1]
        n_sets = self.call.n_sets
        advice = problem.advice_per_set(targets, n_sets, "mlp_vjp")
        if self.loss == CATEGORICAL and targets.ndim > 1 and targets.shape[-1] == n_outputs:
            advice = "; for one-hot targets, pass targets.argmax(axis=-1)"
        problem.expect_shape("targets", targets, self._shapes_of_targets(), advice)
        n_samples = self.call.n_samples
        weight = self.others["sample_weight"]
        advice = problem.advice_per_set(weight, n_sets, "mlp_vjp")
        problem.expect_shape("sample_weight", weight, {"(B,)": (n_samples,)}, advice)
        if self.loss == CATEGORICAL and targets.dtype.kind not in "iu":
            raise TypeError(
                f"targets has dtype {targets.dtype}; {CATEGORICAL} takes class numbers of an "
                f"integer dtype"
            )
        if self.loss in _OF_NUMBERS and n_outputs > 1:
            self._warn_of_classes(targets)

    def means(self, gradients: bool) -> tuple[Any, ...]:
        """Return the loss; with `gradients`, also those of the layers and of the intercept."""
        with namespaces.device_of(self.call.samples):
            summing, sums = self._start(gradients)
            divisor_array = None
            if sums.factor is not None:
                sums = sums._replace(factor=normalized(summing, sums.factor))
                divisor_array = summing.total(sums.factor[None, :, None])
            shape: tuple[int, ...] = (self.call.n_sets,)
            if self.per_subnetwork:
                shape = self.call.n_sets, self.call.n_subnets
            outs = self._outputs(summing, gradients, shape, self.dtype)
            NetworkSums(summing, self.divisor, divisor_array).write(sums, outs)
            return tuple(returned(summing, outs))

    def totals(self, gradients: bool) -> Any:
        """Return the sums over samples, float64 (N, columns); `sample_weight` is used unscaled.

        They are nodes of the tree over all samples, like those of `Summing.totals`. The columns
        hold the sums that have the `shapes_of_totals`, one after the other.
        """
        call = self.call
        with namespaces.device_of(call.samples):
            summing, sums = self._start(gradients)
            shape = (call.n_sets,) if call.additive else (call.n_sets, call.n_subnets)
            float64 = np.dtype(np.float64)
            outs = self._outputs(summing, gradients, shape, float64, float64)
            NetworkSums(summing).write(sums, outs)
            return self.columns_of(returned(summing, outs))

    def shapes_of_totals(self, gradients: bool) -> list[tuple[int, ...]]:
        """Return the shapes of the sums of one set: losses of networks, then gradients."""
        call = self.call
        losses = [(1 if call.additive else call.n_subnets,)]
        return losses + [x.shape[1:] for x in self.parameters if gradients]

    @property
    def divisor(self) -> float:
        """The divisor of the sums, without the total of sample_weight."""
        call = self.call
        number = 1.0 if self.loss == CATEGORICAL else float(call.sizes[-1])
        if not (self.per_subnetwork or call.additive):
            number *= call.n_subnets
        return number if self.others["sample_weight"] is not None else number * call.n_samples

    def _start(self, gradients: bool) -> tuple[Summing, MlpSums]:
        """Check the values that need checking, and bring the operands to the backend."""
        if gradients:
            self.expect_derivatives()
        self._check_targets()
        call = self.call
        linear = "linear" if call.additive else self.last_key
        loss = OutputLoss(self.loss, linear, call.sizes[-1])
        sums = MlpSums(call, loss, self.shaped_targets(), self.others["sample_weight"])
        return self.on_backend(sums)

    def _outputs(
        self,
        summing: Summing,
        gradients: bool,
        shape: tuple[int, ...],
        of_loss: np.dtype,
        of_gradients: np.dtype | None = None,
    ) -> Outputs:
        """Allocate the loss, of this shape, and the gradients if requested."""
        layers, intercept = ((None, None),) * len(self.call.layers), None
        if gradients:
            layers, intercept = self.empty_gradients(summing, False, of_gradients)
        return Outputs(summing.empty(shape, of_loss), layers, intercept)

    def _shapes_of_targets(self) -> dict[str, tuple[int, ...]]:
        call = self.call
        n_samples, n_subnets, n_outputs = call.n_samples, call.n_subnets, call.sizes[-1]
        shapes: dict[str, tuple[int, ...]] = {}
        if self.loss == CATEGORICAL:
            if not call.additive:
                shapes["(B, S)"] = n_samples, n_subnets
        elif call.additive:
            shapes["(B, P)"] = n_samples, n_outputs
        else:
            shapes["(B, S, P)"] = n_samples, n_subnets, n_outputs
            if n_outputs == 1:
                shapes["(B, S)"] = n_samples, n_subnets
            elif n_subnets == 1:
                shapes["(B, P)"] = n_samples, n_outputs
        return shapes | {"(B, 1)": (n_samples, 1), "(B,)": (n_samples,)}

    def _warn_of_classes(self, targets: Any) -> None:
        """Warn if targets for all outputs look like class numbers."""
        is_shared = targets.size == len(targets) > 0 and targets.dtype.kind in "biu"
        n_outputs = self.call.sizes[-1]
        if is_shared and self.xp is np and targets.min() >= 0 and 0 < targets.max() < n_outputs:
            calls.warn(
                f"targets look like class numbers, but {self.loss} compares each of the "
                f"{n_outputs} outputs with them: for {n_outputs} classes, pass "
                f"loss={CATEGORICAL!r}; otherwise, pass targets as floats",
                UserWarning,
            )

    def _check_targets(self) -> None:
        """Raise unless the loss is defined for all targets; targets on a GPU are not checked."""
        targets = self.others["targets"]
        if self.xp is not np:
            return
        if self.loss == CATEGORICAL:
            loss_problem.check_labels(targets, self.call.sizes[-1])
        elif self.loss in loss_problem.DOMAINS:
            loss_problem.check_targets(self.loss, targets)

    def shaped_targets(self) -> Any:
        """Return the targets with the axes of sets, samples, networks and outputs."""
        targets, call = self.others["targets"], self.call
        if targets.size == len(targets) == call.n_samples:
            return targets.reshape(1, -1, 1, 1)
        if targets.ndim == 3:
            return targets[None]
        is_by_network = not call.additive and (self.loss == CATEGORICAL or call.sizes[-1] == 1)
        return targets[None, :, :, None] if is_by_network else targets[None, :, None]


def warn_of_outputs(
    loss: Any,
    activation: Activation | None,
    additive: bool,
    targets: Any,
    n_outputs: int,
    are_probabilities: Callable[[], bool],
) -> None:
    """Warn if a valid loss does not fit predictions with this output activation.

    `are_probabilities` tells if predictions of linear outputs are, as those of an average of
    probabilities. Tensors and arrays on a GPU are not read.
    """
    loss = loss_problem.named_loss(loss, LOSSES)
    is_linear = activation is None or activation.key == "linear"
    if loss == _OF_PROBABILITIES and is_linear and not are_probabilities():
        calls.warn(
            f"{loss} compares probabilities, but the output activation of the sets is linear: "
            f"pass loss='{loss}_from_logits', or use sets whose output activation is sigmoid",
            UserWarning,
        )
    if additive or activation is None or activation.key not in _PROBABILITIES:
        return
    if loss.endswith("_from_logits"):
        is_softmax = loss == CATEGORICAL
        other = "" if is_softmax else f"pass loss='{_OF_PROBABILITIES}', or "
        calls.warn(
            f"{loss} applies a {'softmax' if is_softmax else 'sigmoid'} to predictions, but the "
            f"output activation of the sets is already {activation.name}: {other}use sets whose "
            f"output activation is linear",
            UserWarning,
        )
        return
    targets = targets.to_numpy() if hasattr(targets, "to_numpy") else targets
    if loss in _OF_NUMBERS and isinstance(targets, np.ndarray | list | tuple):
        labels = np.asarray(targets)
        is_of_integers = labels.dtype.kind in "biu" and labels.size > 0
        is_of_classes = n_outputs > 1 and labels.size == len(labels)  # has been warned of
        is_of_integers &= not is_of_classes
        if is_of_integers and labels.min() >= 0 and labels.max() == 1:
            calls.warn(
                f"targets look like the labels 0 and 1, and predictions are probabilities "
                f"({activation.name}), but {loss} compares them as numbers: for labels, pass "
                f"loss='{_OF_PROBABILITIES}'; otherwise, pass targets as floats",
                UserWarning,
            )


def returned(summing: Summing, outs: Any) -> Any:
    """Return arrays of a result, tuples or None as arrays of the caller's kind."""
    if outs is None or summing.backend.ARRAYS == summing.xp.__name__:
        return outs
    if isinstance(outs, tuple):
        return tuple(returned(summing, x) for x in outs)
    return summing.returned(outs)
