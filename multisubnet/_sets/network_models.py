"""Models of several libraries that are chains of dense layers, as networks.

No library is imported: whose a model is shows in its attributes. The result is compared with what
the model predicts.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._sets.parameters import Parameters, resolve

_LINEAR = Activation("linear")
_OF_SCIKIT_LEARN = {"identity": "linear", "logistic": "sigmoid"}
_OF_TORCH = {
    "Identity": "linear",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "SELU": "selu",
    "Softsign": "softsign",
    "Hardsigmoid": "hard_sigmoid",
    "Hardtanh": "hard_tanh",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "SiLU": "silu",
}
_PASSING = ("InputLayer", "Dropout", "Flatten", "Identity")
_SIZES = (0.03, 0.3, 1.0, 3.0)  # of the samples that a model is called on


class NotAChain(Exception):
    """A model is no chain of dense layers; the message says what was found, after its class."""


class Dense(NamedTuple):
    """A dense layer of a model."""

    weight: np.ndarray  # (inputs, outputs)
    bias: np.ndarray | None
    activation: Activation
    write: Callable[[np.ndarray, np.ndarray | None], object]
    """Replaces weight and bias in the model."""


class Chain(NamedTuple):
    """The dense layers of a model, one after the other; perhaps further chains side by side."""

    layers: list[Dense]
    predict: Callable[[np.ndarray], np.ndarray] | None = None
    """What the model itself predicts; None if it cannot."""
    is_softmax: bool = False
    """Whether the model takes the softmax of its last layer, which networks leave out."""
    others: tuple[list[Dense], ...] = ()
    """The layers of further chains."""
    inputs: np.ndarray | None = None
    """The features that each chain sees, if there are several."""

    @property
    def chains(self) -> list[list[Dense]]:
        """The layers of each chain."""
        return [self.layers, *self.others]

    @property
    def parameters(self) -> Parameters:
        """The chains as one set of networks."""
        layers = []
        for of_chains in zip(*self.chains, strict=True):
            bias = None
            if of_chains[0].bias is not None:
                bias = np.stack([layer.bias for layer in of_chains])[None]
            layers.append((np.stack([layer.weight for layer in of_chains])[None], bias))
        activations = tuple(resolve(layer.activation) for layer in self.layers)
        return Parameters(tuple(layers), activations, self.inputs)


def chain_of(model: Any, given: Activation | None, activation_of_keras: Any) -> Chain:
    """Return the chain of a model, or raise NotAChain.

    `given` is the activation of hidden layers, if the model does not have them.
    """
    if isinstance(model, Mapping):
        chain = _of_arrays(_in_pairs_of_names(model), given)
    elif isinstance(model, list):
        chain = _of_arrays(_in_pairs(model), given)
    elif hasattr(model, "coefs_") and hasattr(model, "intercepts_"):
        chain = _of_perceptron(model)
    elif hasattr(model, "coef_") and hasattr(model, "intercept_"):
        chain = _of_linear_model(model)
    elif hasattr(model, "get_weights") and hasattr(model, "weights"):  # a torch module, perhaps
        chain = _of_keras(model, activation_of_keras)
    elif hasattr(model, "modules") and hasattr(model, "named_parameters"):
        chain = _of_module(model)
    else:
        raise NotAChain("of no library that is known")
    kinds = [
        [(layer.weight.shape, layer.bias is None, layer.activation) for layer in layers]
        for layers in chain.chains
    ]
    if any(kind != kinds[0] for kind in kinds):
        raise NotAChain("with branches that differ in their layers")
    sizes = [layer.weight.shape for layer in chain.layers]
    if not sizes:
        raise NotAChain("without weights")
    if any(a[1] != b[0] for a, b in itertools.pairwise(sizes)):
        raise NotAChain(f"with weights of the shapes {', '.join(map(str, sizes))}")
    for layer in itertools.chain(*chain.chains):
        if layer.bias is not None and layer.bias.shape != layer.weight.shape[1:]:
            raise NotAChain(
                f"with a weight of shape {layer.weight.shape} and a bias of shape "
                f"{layer.bias.shape}"
            )
    _compare(chain)
    return chain


def _compare(chain: Chain) -> None:
    """Raise NotAChain if the model predicts something else than the network."""
    if chain.predict is None:
        return
    n_inputs = chain.parameters.n_features
    dtype = np.result_type(np.float32, *(layer.weight for layer in chain.layers))
    sizes = np.repeat(_SIZES, 4)[:, None]
    rng = np.random.default_rng(0)
    samples = (sizes * rng.normal(size=(len(sizes), n_inputs))).astype(dtype)
    try:
        outputs = chain.predict(samples)
    except Exception as error:  # whatever a model may raise
        raise NotAChain(
            f"that cannot be called on {len(samples)} samples of {n_inputs} features "
            f"({type(error).__name__}: {error})"
        ) from error
    few_digits = "16" in str(outputs.dtype)
    outputs = np.asarray(outputs, np.float64)
    values = chain.parameters.predict(samples.astype(np.float64), 0, None)[0]
    values = values.reshape(len(samples), -1)
    if chain.is_softmax:
        with np.errstate(all="ignore"):
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            values = powers / powers.sum(axis=1, keepdims=True)
    tolerance = 0.05 if few_digits else 1e-4
    size = np.abs(values).max(axis=0, initial=0) if len(values) else 1.0
    with np.errstate(all="ignore"):
        is_close = (
            np.abs(outputs.reshape(len(samples), -1) - values)
            <= tolerance * (np.abs(values) + 0.01 * size + 1e-6)
            if outputs.size == values.size
            else np.array(False)
        )
    if not (is_close | ~np.isfinite(values)).all():
        raise NotAChain(
            "whose outputs are not those of its dense layers, one after the other, with the "
            f"activations {', '.join(layer.activation.name for layer in chain.layers)}"
        )


# Arrays.


def as_array(array: Any) -> Any:
    """Return an array or variable of any library as an array; bfloat16 as float32."""
    value = getattr(array, "value", None)
    if value is not None and not callable(value):  # of Keras, whose own numpy() warns
        array = value
    if hasattr(array, "detach"):  # of torch, perhaps on a GPU
        array = array.detach().cpu()
        array = array.float() if str(array.dtype) == "torch.bfloat16" else array
    if hasattr(array, "numpy"):
        array = array.numpy()
    if getattr(getattr(array, "dtype", None), "name", None) == "bfloat16":
        array = np.asarray(array).astype(np.float32)
    return array


def _in_pairs(arrays: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Return weights (inputs, outputs) and biases of a list like that of Keras' get_weights."""
    pairs: list[tuple[Any, Any]] = []
    for array in map(np.asarray, arrays):
        if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
            raise NotAChain(f"with an array of shape {array.shape} and dtype {array.dtype}")
        if array.ndim == 2:
            pairs.append((array, None))
        elif pairs and pairs[-1][1] is None:
            pairs[-1] = pairs[-1][0], array
        else:
            raise NotAChain("with a bias that follows no weight of two dimensions")
    return pairs


def _in_pairs_of_names(arrays: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Return the same of a mapping like a state_dict of torch, whose weights are (out, in)."""
    ordered = []
    for name, array in arrays.items():
        last = str(name).rpartition(".")[2]
        if last not in ("weight", "kernel", "bias"):
            raise NotAChain(f"with {name}, which is neither a weight nor a bias")
        if array is None:
            continue
        array = np.asarray(as_array(array))
        ordered.append(array.T if last == "weight" else array)
    return _in_pairs(ordered)


def _of_arrays(pairs: list[tuple[Any, Any]], given: Activation | None) -> Chain:
    if len(pairs) > 1 and given is None:
        raise NotAChain(
            f"with {len(pairs)} layers and no activation; expected activation= for hidden layers"
        )

    def refuse(weight: Any, bias: Any) -> None:
        raise TypeError("model is a list or mapping of arrays; expected a model to write to")

    hidden = _LINEAR if given is None else given
    layers = [Dense(*pair, hidden, refuse) for pair in pairs]
    return Chain([*layers[:-1], *(layer._replace(activation=_LINEAR) for layer in layers[-1:])])


# scikit-learn.


def _of_perceptron(model: Any) -> Chain:
    """Return the chain of an MLPRegressor or MLPClassifier."""
    n_layers, last = len(model.coefs_), model.out_activation_
    is_softmax = last == "softmax"
    hidden = Activation(_OF_SCIKIT_LEARN.get(model.activation, model.activation))
    output = _LINEAR if is_softmax else Activation(_OF_SCIKIT_LEARN.get(last, last))

    def write_to(number: int) -> Callable[..., None]:
        def write(weight: np.ndarray, bias: np.ndarray | None) -> None:
            model.coefs_[number], model.intercepts_[number] = weight.copy(), bias.copy()  # type: ignore[union-attr]

        return write

    layers = [
        Dense(weight, bias, hidden if i < n_layers - 1 else output, write_to(i))
        for i, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True))
    ]
    return Chain(layers, _predictions_of(model, layers[-1].weight.shape[1]), is_softmax)


def _predictions_of(model: Any, n_outputs: int) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return what an estimator predicts in numbers."""
    if hasattr(model, "predict_proba"):
        if n_outputs == 1:
            return lambda samples: model.predict_proba(samples)[:, 1]
        return model.predict_proba
    if hasattr(model, "decision_function"):
        return model.decision_function
    return getattr(model, "predict", None)


def _of_linear_model(model: Any) -> Chain:
    """Return the chain of a linear model, of one layer."""
    coefficients, intercept = np.asarray(model.coef_), np.asarray(model.intercept_)
    if coefficients.ndim not in (1, 2) or intercept.ndim > 1:
        raise NotAChain(
            f"with coef_ of shape {coefficients.shape}, intercept_ of shape {intercept.shape}"
        )
    weight = coefficients[:, None] if coefficients.ndim == 1 else coefficients.T
    bias = np.broadcast_to(intercept, weight.shape[1:]).astype(weight.dtype)

    def write(weight: np.ndarray, bias: np.ndarray | None) -> None:
        model.coef_ = weight.T.reshape(coefficients.shape).copy()
        # Without an intercept scikit-learn has a single 0.
        fits = bias is not None and bias.size == intercept.size
        model.intercept_ = bias.reshape(intercept.shape).copy() if fits else bias  # type: ignore[union-attr]

    n_outputs = weight.shape[1]
    predict = _predictions_of(model, n_outputs)
    if not hasattr(model, "predict_proba"):
        return Chain([Dense(weight, bias, _LINEAR, write)], predict)
    if n_outputs == 1:
        return Chain([Dense(weight, bias, Activation("sigmoid"), write)], predict)
    return Chain([Dense(weight, bias, _LINEAR, write)], predict, is_softmax=True)


# PyTorch.


def _of_module(module: Any) -> Chain:
    """Return the chain of a module of Linear and activations."""
    layers: list[Dense] = []
    is_softmax = False
    leaves = [leaf for leaf in module.modules() if not list(leaf.children())]
    for leaf in leaves:
        name = type(leaf).__name__
        if name == "Linear":
            bias = None if leaf.bias is None else np.asarray(as_array(leaf.bias))
            weight = np.asarray(as_array(leaf.weight)).T
            layers.append(Dense(weight, bias, _LINEAR, _write_to_linear(leaf)))
            continue
        if name in ("Dropout", "Flatten", "Identity"):
            continue
        if is_softmax or not layers or layers[-1].activation != _LINEAR:
            raise NotAChain(f"with {name} in a place where a Linear is expected")
        if name == "Softmax":
            is_softmax = True
            continue
        layers[-1] = layers[-1]._replace(activation=_of_torch_activation(leaf, name))

    def predict(samples: np.ndarray) -> np.ndarray:
        evaluated = copy.deepcopy(module).eval() if module.training else module
        first = next(iter(module.parameters()))
        return np.asarray(as_array(evaluated(first.new_tensor(samples))))

    return Chain(layers, predict, is_softmax)


def _write_to_linear(leaf: Any) -> Callable[..., None]:
    def write(weight: np.ndarray, bias: np.ndarray | None) -> None:
        leaf.weight.detach().copy_(leaf.weight.new_tensor(weight.T.copy()))
        if bias is not None:
            leaf.bias.detach().copy_(leaf.bias.new_tensor(bias))

    return write


def _of_torch_activation(leaf: Any, name: str) -> Activation:
    if name == "LeakyReLU":
        return Activation("leaky_relu", negative_slope=float(leaf.negative_slope))
    if name == "ELU":
        return Activation("elu", alpha=float(leaf.alpha))
    if name == "GELU":
        return Activation("gelu_tanh" if leaf.approximate == "tanh" else "gelu")
    if name not in _OF_TORCH:
        raise NotAChain(f"with {name}, which is neither Linear nor an activation that there is")
    return Activation(_OF_TORCH[name])


# Keras.


def _of_keras(model: Any, activation_of_keras: Any) -> Chain:
    """Return the chain, or the branches, of a Keras model of Dense and activations."""
    branches = _branches(model)
    if branches is not None:
        return _of_branches(model, *branches, activation_of_keras)
    layers, is_softmax = _of_layers(_flattened(model), activation_of_keras)

    def predict(samples: np.ndarray) -> np.ndarray:
        return np.asarray(as_array(model(samples)))

    return Chain(layers, predict, is_softmax)


def _branches(model: Any) -> tuple[list[list[Any]], list[int]] | None:
    """Return the layers of each branch of a functional model, and the number of its input."""
    tensors = list(getattr(model, "outputs", None) or ())
    if len(tensors) == 1:
        last = tensors[0]._keras_history.operation
        tensors = []
        if type(last).__name__ == "Concatenate":
            tensors = list(last._inbound_nodes[0].input_tensors)
    if len(tensors) < 2:
        return None
    branches, starts = [], []
    for tensor in tensors:
        layers: list[Any] = []
        while type(tensor._keras_history.operation).__name__ != "InputLayer":
            operation, number, _ = tensor._keras_history
            before = operation._inbound_nodes[number].input_tensors
            if len(before) != 1:
                raise NotAChain(f"with {type(operation).__name__} of {len(before)} values")
            layers.insert(0, operation)
            tensor = before[0]
        branches.append(layers)
        starts.append([id(each) for each in model.inputs].index(id(tensor)))
    return branches, starts


def _of_branches(
    model: Any, branches: list[list[Any]], starts: list[int], activation_of_keras: Any
) -> Chain:
    read = [_of_layers(layers, activation_of_keras) for layers in branches]
    if any(is_softmax for _, is_softmax in read):
        raise NotAChain("with a softmax in a branch")
    widths = [each.shape[-1] for each in model.inputs]
    ends = np.cumsum([0, *widths])
    if len({widths[start] for start in starts}) > 1:
        raise NotAChain(f"with inputs of the widths {widths}")
    inputs = np.array([range(ends[start], ends[start + 1]) for start in starts])

    def predict(samples: np.ndarray) -> np.ndarray:
        parts = [samples[:, a:b] for a, b in itertools.pairwise(ends)]
        outputs = model(parts if len(parts) > 1 else samples)
        every = outputs if isinstance(outputs, list | tuple) else [outputs]
        return np.concatenate([np.asarray(as_array(each)) for each in every], axis=1)

    (first, _), *others = read
    # Networks of one feature each, in their order, need not say so.
    in_order = widths == [1] * len(starts) and starts == list(range(len(starts)))
    chains = tuple(layers for layers, _ in others)
    return Chain(first, predict, False, chains, None if in_order else inputs)


def _of_layers(every: list[Any], activation_of_keras: Any) -> tuple[list[Dense], bool]:
    """Return the dense layers among layers of Keras, and whether a softmax follows."""
    layers: list[Dense] = []
    is_softmax = False
    for layer in every:
        name = type(layer).__name__
        if name in _PASSING:
            continue
        declared = getattr(layer, "activation", None)
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 2 and not is_softmax:
            bias = getattr(layer, "bias", None)
            bias_array = None if bias is None else np.asarray(as_array(bias))
            weight = np.asarray(as_array(kernel))
            layers.append(Dense(weight, bias_array, _LINEAR, _write_to_dense(layer)))
        elif not layers or layers[-1].activation != _LINEAR or is_softmax or layer.weights:
            raise NotAChain(f"with {name} in a place where a Dense is expected")
        else:
            declared = layer if declared is None else declared
        if getattr(declared, "__name__", name).lower() == "softmax":
            is_softmax = True
        elif declared is not None:
            layers[-1] = layers[-1]._replace(
                activation=_of_keras_activation(declared, activation_of_keras)
            )

    return layers, is_softmax


def _flattened(model: Any) -> list[Any]:
    """Return the layers of a model, those of models in it in their places."""
    layers = getattr(model, "layers", None)
    if not layers:
        return [model]
    return [leaf for layer in layers for leaf in _flattened(layer)]


def _of_keras_activation(declared: Any, activation_of_keras: Any) -> Activation:
    found = activation_of_keras(declared)
    kind = type(declared).__name__
    if found is None and kind == "ReLU" and not declared.negative_slope and not declared.threshold:
        found = {None: Activation("relu"), 6: Activation("relu6")}.get(declared.max_value)
    if found is None and kind == "LeakyReLU":
        found = Activation("leaky_relu", negative_slope=float(declared.negative_slope))
    if found is None and kind == "ELU":
        found = Activation("elu", alpha=float(declared.alpha))
    if found is None:
        called = getattr(declared, "__name__", kind)
        raise NotAChain(f"with {called}, which is neither a Dense nor an activation that there is")
    return found


def _write_to_dense(layer: Any) -> Callable[..., None]:
    def write(weight: np.ndarray, bias: np.ndarray | None) -> None:
        layer.kernel.assign(weight)
        if bias is not None:
            layer.bias.assign(bias)

    return write
