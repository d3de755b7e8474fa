"""The operands of a loss, validated once, and the evaluation of the loss on a backend."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from multisubnet._arithmetic import names
from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.output_loss import CATEGORICAL
from multisubnet._arithmetic.summands import Summands
from multisubnet._arrays import dtypes, namespaces, validation
from multisubnet._arrays.explanations import shown
from multisubnet._functions.problem import SumProblem, advice_per_set, expect_shape
from multisubnet._functions.summation import Summing

_FLOAT64 = np.dtype(np.float64)


LossName = Literal[
    "squared_error", "absolute_error", "huber", "log_cosh", "binary_crossentropy",
    "binary_crossentropy_from_logits", "hinge", "poisson",
    "mse", "mean_squared_error", "MeanSquaredError", "mse_loss", "MSELoss",
    "mae", "mean_absolute_error", "MeanAbsoluteError", "l1", "l1_loss", "L1Loss",
    "Huber", "huber_loss", "HuberLoss", "smooth_l1", "smooth_l1_loss", "SmoothL1Loss",
    "logcosh", "LogCosh", "bce", "BinaryCrossentropy", "binary_cross_entropy", "BCELoss",
    "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", "Hinge", "Poisson",
]  # fmt: skip
LOSSES = (
    *("squared_error", "absolute_error", "huber", "log_cosh", "binary_crossentropy"),
    *("binary_crossentropy_from_logits", "hinge", "poisson"),
)
# The lowest and highest target, whether values between them are allowed, and a description.
DOMAINS: dict[str, tuple[float, float, bool, str]] = {
    "hinge": (-1.0, 1.0, False, "-1 and 1: use numpy.where(targets > 0, 1, -1)"),
    "poisson": (0.0, np.inf, True, "numbers that are not negative"),
}
for _loss in ("binary_crossentropy", "binary_crossentropy_from_logits"):
    _expected = "numbers from 0 to 1: for two labels, use targets == second_label"
    DOMAINS[_loss] = 0.0, 1.0, True, _expected
_CHECKED_AT_ONCE = 1 << 16  # number of targets per step of the check
# Names of the same losses, with the same defaults, in Keras and PyTorch.
ALIASES = {
    **dict.fromkeys(
        ("mse", "mean_squared_error", "MeanSquaredError", "mse_loss", "MSELoss"), "squared_error"
    ),
    **dict.fromkeys(("mae", "mean_absolute_error", "MeanAbsoluteError"), "absolute_error"),
    **dict.fromkeys(("l1", "l1_loss", "L1Loss"), "absolute_error"),
    **dict.fromkeys(("Huber", "huber_loss", "HuberLoss"), "huber"),
    **dict.fromkeys(("smooth_l1", "smooth_l1_loss", "SmoothL1Loss"), "huber"),
    **dict.fromkeys(("logcosh", "LogCosh"), "log_cosh"),
    **dict.fromkeys(
        ("bce", "BinaryCrossentropy", "binary_cross_entropy", "BCELoss"), "binary_crossentropy"
    ),
    **dict.fromkeys(
        ("binary_cross_entropy_with_logits", "BCEWithLogitsLoss"), "binary_crossentropy_from_logits"
    ),
    "Hinge": "hinge",
    "Poisson": "poisson",
    **dict.fromkeys(("cross_entropy", "CrossEntropyLoss"), CATEGORICAL),
}
_OF_LOGITS = (
    f"pass loss={CATEGORICAL!r}, which takes logits (predictions without a softmax) and class "
    f"numbers as targets"
)
_DIFFERENT = {
    "l2": "it is half the squared error in some libraries, and the full one in others; use "
    "'squared_error', which is not halved",
    **dict.fromkeys(
        ("poissonnllloss", "poisson_nll_loss"),
        "it takes the logarithms of rates by default; use 'poisson', with predictions that are "
        "rates: those of the activation 'exponential', for example",
    ),
    **dict.fromkeys(
        ("categorical_crossentropy", "categoricalcrossentropy", "sparse_categorical_crossentropy"),
        f"it takes probabilities by default; {_OF_LOGITS}",
    ),
    **dict.fromkeys(("nll_loss", "nllloss"), f"it takes log-probabilities; {_OF_LOGITS}"),
    "cross_entropy": "it combines several outputs of a network, but here each feature has one; "
    "use mlp_mean_loss, or WeightSets.from_layers",
    "rmse": "use 'squared_error', which ranks sets in the same order, and take numpy.sqrt of the "
    "result",
}
_DIFFERENT |= {
    "l2_loss": _DIFFERENT["l2"],
    **dict.fromkeys(("root_mean_squared_error", "rootmeansquarederror"), _DIFFERENT["rmse"]),
    "sparsecategoricalcrossentropy": _DIFFERENT["categorical_crossentropy"],
    **dict.fromkeys(("crossentropyloss", CATEGORICAL), _DIFFERENT["cross_entropy"]),
}
_VOCABULARY = names.Vocabulary("loss", ALIASES, _DIFFERENT)


def with_gradients(bias: Any) -> tuple[str, ...]:
    """Return the outputs for a loss and its gradients; the bias may be None."""
    return ("loss", "slope_sample") if bias is None else ("loss", "slope_sample", "slope")


class LossForm(NamedTuple):
    """The values that depend only on the shapes, dtypes and options of a loss.

    Calls with the same shapes, dtypes and options share one form.
    """

    shape: tuple[int, int, int]
    """N, B and F."""
    dtype: np.dtype
    """The working dtype."""
    activation: Activation | None
    terms: Summands
    results: tuple[tuple[tuple[int, ...], np.dtype], ...]
    """The shape and dtype of each result; the loss is the first."""
    has_closed_form: bool
    divisor: float
    """The divisor of the sums, without the total of sample_weight."""
    plans: dict[str, Any]
    """What each backend has prepared for the sums, by its name."""


class LossProblem(SumProblem):
    """A loss to compute: validated operands, and the requested outputs, the loss first."""

    def __init__(
        self,
        operands: tuple[Any, ...],
        outputs: tuple[str, ...],
        loss: str,
        activation: str | Activation | None,
        per_feature: bool,
        dtype: Any,
    ):
        if type(per_feature) is not bool:
            per_feature = validation.flag("per_feature", per_feature)
        self.read(*_named(operands))
        named = self.samples, self.weight, self.bias, *self.others.values()
        seen = tuple([None if x is None else (x.shape, x.dtype) for x in named])
        options = outputs, loss, activation, per_feature, dtype
        try:
            form = _form_of(seen, *options)
        except TypeError:  # an option is not hashable, or the error describes the numbers
            form = _validate(named, *options)
        self.form = form
        self.shape, self.dtype, self.activation = form[:3]

    def means(self) -> tuple[Any, ...]:
        """Return the means of the outputs."""
        form = self.form
        summing = self._on_backend()
        with namespaces.device_of(self.samples):
            outs = [summing.empty(*result) for result in form.results]
            sample_weight = self.others["sample_weight"]
            if sample_weight is not None:
                sample_weight = self.normalize(summing, "sample_weight")
            if form.has_closed_form:
                from multisubnet._functions import closed_form  # keeps `import multisubnet` fast

                data = self.samples, self._targets(), sample_weight
                moments = closed_form.moments(summing, *data)
                parameters = self.weight, self.bias
                closed_form.evaluate_losses(summing, *parameters, moments, outs, form.divisor)
            else:
                operands, divisor_array = self._operands(), None
                if sample_weight is not None:
                    divisor_array = summing.total(operands["factor"])
                self._write(summing, operands, outs, divisor_array)
            return tuple(map(summing.returned, outs))

    def _write(
        self, summing: Summing, operands: dict[str, Any], outs: list[Any], divisor_array: Any
    ) -> None:
        """Write the divided sums, in one step if the backend can."""
        form, divisor = self.form, self.form.divisor
        in_one_step = getattr(summing.backend, "divided_sums", None)
        if in_one_step is not None:
            given = [*operands.values()]
            of_sums = form.terms, given, form.dtype, summing.parameter, form.shape
            if divisor_array is not None:
                divisor = divisor * divisor_array[0]
            if in_one_step(form.plans, *of_sums, outs, divisor):
                return
        summing.write(form.terms, operands, form.shape, outs, form.divisor, divisor_array)

    def totals(self) -> Any:
        """Return the result of `Summing.totals`; not for a closed form."""
        summing = self._on_backend()
        with namespaces.device_of(self.samples):
            return summing.returned(
                summing.totals(self.form.terms, self._operands(), self.form.shape)
            )

    def _on_backend(self) -> Summing:
        """Check the targets, unless they are on a GPU, and bring the operands to the backend."""
        form = self.form
        if self.xp is np and form.terms.loss in DOMAINS:
            check_targets(form.terms.loss, self.others["targets"])
        n_sets, n_samples, n_features = shape = form.shape
        if form.has_closed_form:
            shape = 3, n_sets + n_samples, n_features  # about three passes over the operands
        return self.on_backend(form.terms, shape)

    def _targets(self) -> Any:
        targets = self.others["targets"]
        return targets[:, None] if targets.ndim == 1 else targets

    def _operands(self) -> dict[str, Any]:
        """Return the operands of the terms, in the order of OPERANDS."""
        operands = self.over_samples()
        targets, sample_weight = self.others["targets"], self.others["sample_weight"]
        operands["target"] = targets[None, :, None] if targets.ndim == 1 else targets[None]
        operands["factor"] = None if sample_weight is None else sample_weight[None, :, None]
        return operands


@functools.lru_cache(256)
def _form_of(seen: tuple[tuple[tuple[int, ...], np.dtype] | None, ...], *options: Any) -> LossForm:
    """Return the form for operands of these shapes and dtypes."""
    return _validate(
        tuple(None if x is None else np.broadcast_to(np.empty((), x[1]), x[0]) for x in seen),
        *options,
    )


def _validate(
    operands: tuple[Any, ...],
    outputs: tuple[str, ...],
    loss: str,
    activation: str | Activation | None,
    per_feature: bool,
    dtype: Any,
) -> LossForm:
    """Return the form of a loss, or raise."""
    problem = problem_of(operands, loss, activation)
    if loss not in LOSSES:
        loss = named_loss(loss)
    n_sets, n_samples, n_features = problem.shape
    weighted = problem.others["sample_weight"] is not None
    if len(outputs) > 1:
        problem.expect_derivative()
    by_feature = n_sets, n_features
    of_loss = _FLOAT64 if dtype is None else validate_loss_dtype(dtype)
    results = [(by_feature if per_feature else (n_sets,), of_loss)]
    results += [(by_feature, problem.dtype_of_gradient(problem.weight))] * (len(outputs) - 1)
    has_closed_form = loss == "squared_error" and problem.activation is None
    has_closed_form = has_closed_form and problem.samples.ndim == 2
    divisor = 1.0 if per_feature else float(n_features)
    if not (has_closed_form or weighted):  # the closed form divides by the total itself
        divisor *= n_samples
    terms = problem.terms(loss, outputs, weighted)
    known = problem.shape, problem.dtype, problem.activation
    return LossForm(*known, terms, tuple(results), has_closed_form, divisor, {})


def _named(operands: tuple[Any, ...]) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Return samples, weight and bias, and the other operands by name."""
    samples, weight, bias, targets, sample_weight = operands
    if targets is None:
        raise TypeError("targets is None; expected an array_like of numbers")
    return samples, weight, bias, {"targets": targets, "sample_weight": sample_weight}


def problem_of(operands: tuple[Any, ...], loss: Any, activation: Any) -> SumProblem:
    """Return the operands as a validated problem with a loss."""
    samples, weight, bias, others = _named(operands)
    problem = SumProblem(samples, weight, bias, activation, others)
    n_sets, n_samples, n_features = problem.shape
    shapes = {
        "(B, F)": (n_samples, n_features),
        "(B, 1)": (n_samples, 1),
        "(B,)": (n_samples,),
    }
    for name in ("targets", "sample_weight"):
        operand = problem.others[name]
        expect_shape(name, operand, shapes, advice_per_set(operand, n_sets, "affine_vjp"))
        shapes = {"(B,)": (n_samples,)}
    return problem


def check_targets(loss: str, targets: np.ndarray) -> None:
    """Raise unless the loss, one of DOMAINS, is defined for all targets; NaN is allowed."""
    low, high, others, expected = DOMAINS[loss]

    def is_outside(some: np.ndarray) -> np.ndarray:
        outside = (some < low) | (some > high)
        if not others:
            outside |= (some != low) & (some != high) & (some == some)
        return outside

    _expect_none(is_outside, targets, f"{loss} is defined for {expected}")


def check_labels(labels: np.ndarray, n_classes: int) -> None:
    """Raise unless all labels are valid class numbers."""
    expected = f"expected a class number, 0 to {n_classes - 1}"
    _expect_none(lambda some: (some < 0) | (some >= n_classes), labels, expected)


def _expect_none(
    is_outside: Callable[[np.ndarray], np.ndarray], targets: np.ndarray, expected: str
) -> None:
    """Raise if a condition holds for any target."""
    rows = max(_CHECKED_AT_ONCE * len(targets) // max(targets.size, 1), 1)
    for start in range(0, len(targets), rows):
        some = targets[start : start + rows]
        outside = is_outside(some)
        if outside.any():
            index = np.unravel_index(outside.argmax(), outside.shape)
            place = ", ".join(map(str, (start + index[0], *index[1:])))
            raise ValueError(f"targets[{place}] is {some[index]!s}; {expected}")


def named_loss(loss: Any, losses: tuple[str, ...] = LOSSES) -> str:
    """Return the canonical name of a loss given by any of its names."""
    if not isinstance(loss, str):
        given = (getattr(loss, "__name__", None), type(loss).__name__, getattr(loss, "name", ""))
        names_of = [name for name in given if isinstance(name, str)]
        known = next((ALIASES[name] for name in names_of if name in ALIASES), None)
        different = (_DIFFERENT.get(name.lower()) for name in names_of)
        reason = next((text for text in different if text is not None), None)
        advice = "" if reason is None else f": {reason}"
        if known == "binary_crossentropy" and getattr(loss, "from_logits", False):
            known = "binary_crossentropy_from_logits"
        if known is not None:
            advice = f": pass {known!r}"
        if known == CATEGORICAL and known not in losses:
            advice = f": {_DIFFERENT['cross_entropy']}"
        raise TypeError(f"loss must be the name of a loss, not {shown(loss)}{advice}")
    return loss if loss in losses else _VOCABULARY.canonical(loss, losses)


def validate_loss_dtype(dtype: Any) -> np.dtype:
    """Return the dtype of a loss as a numpy.dtype; None is float64."""
    if dtype is None:
        return _FLOAT64
    checked = np.dtype(dtype)
    if not ((checked.char in "efd" and checked.isnative) or dtypes.is_bfloat16(checked)):
        raise TypeError(f"dtype must be float16, bfloat16, float32 or float64, not {checked}")
    return checked
