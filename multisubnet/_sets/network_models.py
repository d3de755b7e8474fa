"""Networks from models of several libraries that are chains of dense layers.

No library is imported: a model's attributes show which library it belongs to. The networks are
compared with the model's own predictions.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays.explanations import a
from multisubnet._sets.chains import (
    Chain,
    NoDenseLayer,
    NotAChain,
    Source,
    Values,
    as_array,
    joined,
    put,
)
from multisubnet._sets.keras_chains import chain_of_model
from multisubnet._sets.torch_chains import chain_of_module

_LINEAR = Activation("linear")


def chain_of(model: Any, given: Activation | tuple[Activation, ...] | None) -> Chain:
    """Return the chain of a model, or raise NotAChain.

    `given` is the activation of all hidden layers, or of each, if the model does not have them.
    """
    if isinstance(model, Mapping):
        chain = _of_mapping(model, given)
    elif isinstance(model, list):
        chain = _of_list(model, given)
    elif hasattr(model, "coefs_") and hasattr(model, "intercepts_"):
        chain = _of_perceptron(model)
    elif hasattr(model, "coef_") and hasattr(model, "intercept_"):
        chain = _of_linear_model(model)
    elif hasattr(model, "get_weights") and hasattr(model, "weights"):  # Keras, or a torch module
        chain = chain_of_model(model)
    elif hasattr(model, "modules") and hasattr(model, "named_parameters"):
        chain = chain_of_module(model)
    else:
        raise NoDenseLayer("without dense layers")
    chain.compare()
    return chain


# Arrays.


class _Pair(NamedTuple):
    """A weight and a bias of a list or mapping, and their keys."""

    weight: np.ndarray
    key: Any
    is_transposed: bool = False
    bias: np.ndarray | None = None
    bias_key: Any = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs and outputs, preceded by the number of networks if there is an axis for them."""
        return self.weight.shape[::-1] if self.is_transposed else self.weight.shape

    def after(self, values: Values, arrays: Any) -> Values:
        """Return the values after this layer; assignments go to the list or mapping."""

        def assign(weight: np.ndarray, bias: np.ndarray | None) -> None:
            for key, array in ((self.key, weight), (self.bias_key, bias)):
                if array is not None:
                    put(arrays, key, array)

        equation = "bi,oi->bo" if self.is_transposed else "bi,io->bo"
        equation = "bsi,sio->bso" if self.weight.ndim == 3 else equation
        return values.linear("a layer", equation, Source(self.weight, self.bias, assign))


def _of_list(arrays: list[Any], given: Any) -> Chain:
    """Return the chain of a list like the result of Keras' get_weights."""
    pairs: list[_Pair] = []
    for key, array in enumerate(map(np.asarray, arrays)):
        if array.dtype.kind not in "biuf" or array.ndim not in (1, 2, 3):
            found = f"shape {array.shape} and dtype {array.dtype}"
            if array.dtype == object:
                found = f"{a(arrays[key])} (pass one model at a time)"
                raise NotAChain(f"that contains {found}, not an array of numbers")
            raise NotAChain(f"with an array of {found}")
        last = pairs[-1] if pairs and pairs[-1].bias is None else None
        if array.ndim == 3 or (array.ndim == 2 and (last is None or last.weight.ndim == 2)):
            pairs.append(_Pair(array, key))
        elif last is not None and last.weight.ndim == array.ndim + 1:
            pairs[-1] = last._replace(bias=array, bias_key=key)
        else:
            raise NotAChain(
                f"with an array of shape {array.shape} that is neither a weight nor the bias of "
                f"the weight before it (pass one weight and one bias of shape (F,) as a tuple)"
            )
    return _of_arrays(arrays, pairs, given)


def _of_mapping(arrays: Mapping[Any, Any], given: Any) -> Chain:
    """Return the chain of a mapping like torch's state_dict, with weights (outputs, inputs)."""
    pairs: list[_Pair] = []
    for key, value in arrays.items():
        last = str(key).rpartition(".")[2]
        if last not in ("weight", "kernel", "bias"):
            raise NotAChain(f"with {key}, which is neither a weight nor a bias")
        if value is None:
            continue
        array = np.asarray(as_array(value))
        if last != "bias" and array.ndim in ((2,) if last == "weight" else (2, 3)):
            pairs.append(_Pair(array, key, last == "weight"))
        elif last == "bias" and pairs and pairs[-1].bias is None:
            pairs[-1] = pairs[-1]._replace(bias=array, bias_key=key)
        else:
            kind = NotAChain if pairs else NoDenseLayer
            raise kind(f"with {key} of shape {array.shape}")
    return _of_arrays(arrays, pairs, given)


def _of_arrays(arrays: Any, pairs: list[_Pair], given: Any) -> Chain:
    if not pairs:
        raise NoDenseLayer("without weights")
    shapes = [pair.sizes for pair in pairs]
    if len(pairs) > 1 and set(shapes) == {(1, 1)}:
        raise NotAChain(
            f"with {len(pairs)} weights of shape (1, 1), which may be consecutive layers or "
            f"parallel branches: pass the model itself instead of its arrays, or, for branches, "
            f"a tuple of one weight and one bias of shape ({len(pairs)},)"
        )
    n_branches = _count_branches(shapes)
    n_layers = len(pairs) // n_branches
    if n_layers > 1 and given is None:
        raise NotAChain(
            f"with {len(pairs)} layers, but without the activation of the hidden layers: pass "
            f"activation='relu', for example"
        )
    hidden = given if isinstance(given, tuple) else (given or _LINEAR,) * (n_layers - 1)
    if len(hidden) != n_layers - 1:
        raise NotAChain(f"with {n_layers} layers")
    size = math.prod(shapes[0][:-1])
    branches = []
    for branch in range(n_branches):
        values = Values.of_features(*shapes[0][:-1], first=branch * size)
        for pair, activation in zip(pairs[branch::n_branches], (*hidden, _LINEAR), strict=True):
            values = pair.after(values, arrays).activated("an activation", activation)
        branches.append(values)
    if n_branches > 1:
        branches = [joined("branches", branches, lambda xs: np.concatenate(xs, axis=1))]
    return branches[0].chain(n_branches * size, None)


def _count_branches(shapes: list[tuple[int, ...]]) -> int:
    """Return the number of networks side by side that have layers of these shapes."""
    first = next((n for n, x in enumerate(shapes) if x != shapes[0]), len(shapes))
    for n in (1, *([first] if first < len(shapes) else [])):
        levels = [set(shapes[i : i + n]) for i in range(0, len(shapes), n)]
        each = [next(iter(level)) for level in levels]
        if (
            len(shapes) % n == 0
            and all(len(level) == 1 for level in levels)
            and all((*a[:-2], a[-1]) == b[:-1] for a, b in itertools.pairwise(each))
        ):
            return n
    raise NotAChain(f"with weights of the shapes {', '.join(map(str, shapes))}")


# scikit-learn.


def _of_perceptron(model: Any) -> Chain:
    """Return the chain of an MLPRegressor or MLPClassifier."""
    n_layers, last = len(model.coefs_), model.out_activation_
    hidden = Activation(model.activation)
    n_features = len(model.coefs_[0])
    values = Values.of_features(n_features)

    def assign_to(number: int) -> Callable[..., None]:
        def assign(weight: np.ndarray, bias: np.ndarray | None) -> None:
            model.coefs_[number], model.intercepts_[number] = weight, bias

        return assign

    for i, arrays in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        values = values.linear("a layer", "bi,io->bo", Source(*arrays, assign_to(i)))
        if i < n_layers - 1:
            values = values.activated("an activation", hidden)
    return _of_estimator(model, values, last, n_features)


def _of_linear_model(model: Any) -> Chain:
    """Return the chain of a linear model: one layer."""
    coefficients, intercept = np.asarray(model.coef_), np.asarray(model.intercept_)
    if coefficients.ndim not in (1, 2) or intercept.ndim > 1:
        raise NotAChain(
            f"with coef_ of shape {coefficients.shape}, intercept_ of shape {intercept.shape}"
        )
    weight = np.atleast_2d(coefficients)
    bias = np.broadcast_to(intercept, weight.shape[:1]).astype(weight.dtype)

    def assign(weight: np.ndarray, bias: np.ndarray | None) -> None:
        model.coef_ = weight.reshape(coefficients.shape)
        # Without an intercept, scikit-learn stores a single 0.
        fits = bias is not None and bias.size == intercept.size
        model.intercept_ = bias.reshape(intercept.shape) if fits else bias  # type: ignore[union-attr]

    n_features = weight.shape[1]
    values = Values.of_features(n_features)
    values = values.linear("a layer", "bi,oi->bo", Source(weight, bias, assign))
    last = "identity"
    if hasattr(model, "predict_proba"):
        last = "logistic" if len(weight) == 1 else "softmax"
    return _of_estimator(model, values, last, n_features)


def _of_estimator(model: Any, values: Values, last: str, n_features: int) -> Chain:
    """Return the chain of an estimator with an output activation."""
    predict = getattr(model, "predict", None)
    if hasattr(model, "predict_proba"):
        predict = model.predict_proba
        if values.n_outputs == 1:
            predict = lambda samples: model.predict_proba(samples)[:, 1]  # noqa: E731
    elif hasattr(model, "decision_function"):
        predict = model.decision_function
    if last == "softmax":
        values = values.softmax()
    else:
        values = values.activated("an activation", Activation(last))
    return values.chain(n_features, predict and _without_warnings(predict))


def _without_warnings(predict: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """Return the function without warnings, for example about arrays after a fit on a frame."""

    def quiet(samples: np.ndarray) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return predict(samples)

    return quiet
