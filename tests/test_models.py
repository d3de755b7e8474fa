"""WeightSets from models: small classes imitate libraries that are not installed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from device import to_device

import multisubnet as ms
from multisubnet._sets import models as _models
from multisubnet.testing import assert_same_bits

WEIGHT = np.array([2, 9, 4], np.float32)
BIAS = np.array([7, 5, 6], np.float32)
EXPECTED = "; expected dense layers, one after the other, or one weight"


class Variable:
    """A Keras variable: a method returns its value."""

    def __init__(self, name, value):
        self.name = self.path = name
        self.shape = np.shape(value)
        self._value = np.asarray(value, np.float32)

    def numpy(self):
        return self._value


class Layer:
    """A Keras layer."""

    def __init__(self, function=None, **values):
        self.weights = [Variable(name, value) for name, value in values.items()]
        self.__dict__ |= {variable.name: variable for variable in self.weights}
        self.function = function or (lambda x, weight, bias=0: x * weight + bias)

    @classmethod
    def joined(cls, *layers):
        made = cls()
        for number, layer in enumerate(layers, 1):
            for variable in layer.weights:
                variable.path = f"{number}/{variable.name}"
                made.weights.append(variable)
        return made

    def get_weights(self):
        return [variable.numpy() for variable in self.weights]

    def __call__(self, inputs):
        return self.function(inputs, *self.get_weights())


class Model(Layer):
    """A Keras model that applies layers in order."""

    def __init__(self, *layers):
        self.layers = layers
        self.weights = [variable for layer in layers for variable in layer.weights]

    @classmethod
    def beside(cls, layer, variable):
        made = cls(layer)
        made.weights.append(variable)
        return made

    def __call__(self, inputs):
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs


class InputLayer(Layer):
    """Keras' input layer."""

    def __init__(self):
        super().__init__(lambda x: x)


class Dropout(InputLayer):
    """A layer that does nothing in predictions."""


class Tensor:
    """A torch parameter, which must be detached and moved to the CPU to become an array."""

    def __init__(self, array, dtype="torch.float32"):
        self.array, self.dtype, self.shape = np.asarray(array), dtype, np.shape(array)

    def detach(self):
        return OnDevice(self.array, self.dtype)

    def new_tensor(self, array):
        return array.astype(self.array.dtype)


class OnDevice(Tensor):
    def cpu(self):
        return OnHost(self.array, self.dtype)


class OnHost(Tensor):
    def float(self):
        return OnHost(self.array, "torch.float32")

    def numpy(self):
        assert self.dtype != "torch.bfloat16"
        return self.array


class Module:
    """A torch module."""

    def __init__(self, function=None, buffers=(), dtype="torch.float32", **parameters):
        self.parameters = {name: Tensor(x, dtype) for name, x in parameters.items()}
        self.buffers = {name: Tensor(x) for name, x in dict(buffers).items()}
        self.function = function or (lambda x, weight, bias=0: x * weight + bias)
        self.training = True

    def named_parameters(self):
        return iter(self.parameters.items())

    def named_buffers(self):
        return iter(self.buffers.items())

    def eval(self):
        self.training = False
        return self

    def __call__(self, inputs):
        assert not self.training
        with np.errstate(all="ignore"):  # torch does not warn
            return self.function(inputs, *(x.array for x in self.parameters.values()))


class Estimator:
    """A scikit-learn estimator."""

    def __init__(self, coef, intercept):
        self.coef_, self.intercept_ = coef, intercept


class Stacked:
    """A layer of this package."""

    def to_weight_sets(self):
        return ms.WeightSets([WEIGHT, WEIGHT + 1], [BIAS, BIAS + 1])


ACCEPTED = {
    "tuple": (WEIGHT, BIAS),
    "tuple of lists": (WEIGHT.tolist(), BIAS.tolist()),
    "mapping": {"weight": WEIGHT, "bias": BIAS},
    "state_dict": {"weight": Tensor(WEIGHT), "bias": Tensor(BIAS)},
    "bfloat16": {"kernel": Tensor(WEIGHT, "torch.bfloat16"), "bias": BIAS},
    "layer": Layer(kernel=WEIGHT, bias=BIAS),
    "layer whose names are its own": Layer(weight=WEIGHT, bias=BIAS),
    "model": Model(InputLayer(), Dropout(), Layer(kernel=WEIGHT, bias=BIAS), Dropout()),
    "model in a model": Model(InputLayer(), Model(InputLayer(), Layer(kernel=WEIGHT, bias=BIAS))),
    "module": Module(weight=WEIGHT, bias=BIAS),
    "bfloat16 module": Module(weight=WEIGHT, bias=BIAS, dtype="torch.bfloat16"),
    "estimator": Estimator(WEIGHT, BIAS),
    "sets": ms.WeightSets(WEIGHT[None], BIAS[None]),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_each_kind(kind):
    sets = ms.WeightSets.from_models([(WEIGHT + 1, BIAS + 1), ACCEPTED[kind]])
    assert sets.weight.tolist() == [(WEIGHT + 1).tolist(), WEIGHT.tolist()]
    assert sets.bias.tolist() == [(BIAS + 1).tolist(), BIAS.tolist()]
    assert sets.activation.name == "linear"


def test_all_kinds_at_once_and_in_their_order():
    models = [*ACCEPTED.values(), Stacked(), Model(InputLayer(), Layer(kernel=WEIGHT, bias=BIAS))]
    sets = ms.WeightSets.from_models(iter(models))
    assert len(sets) == len(models) + 1
    assert sets.weight[len(ACCEPTED) :].tolist() == [[2, 9, 4], [3, 10, 5], [2, 9, 4]]
    assert sets.bias[len(ACCEPTED) :].tolist() == [[7, 5, 6], [8, 6, 7], [7, 5, 6]]


def test_no_biases():
    models = [
        (WEIGHT, None),
        {"kernel": WEIGHT},
        {"weight": WEIGHT, "bias": None},
        Layer(kernel=WEIGHT),
        Module(weight=WEIGHT),
    ]
    sets = ms.WeightSets.from_models(models)
    assert sets == ms.WeightSets(np.array([WEIGHT] * 5))


def test_one_feature_of_a_dense_layer():
    kernel, bias = np.array([[3]], np.float32), np.array([5], np.float32)
    models = [
        Layer(lambda x, k, b: x @ k + b, kernel=kernel, bias=bias),
        Module(lambda x, k, b: x @ k.T + b, weight=kernel, bias=bias),
        {"weight": kernel, "bias": bias},
    ]
    assert ms.WeightSets.from_models(models).to_pairs().tolist() == [[[3, 5]]] * 3


def test_one_feature():
    assert ms.WeightSets.from_models([([3], [5]), Module(weight=[3], bias=[5])]).n_features == 1


def test_dtypes_are_kept_and_arrays_are_copied():
    weight = np.array([1, 2], ">i2")
    sets = ms.WeightSets.from_models([(weight, np.float32([1, 2])), (weight, np.float64([1, 2]))])
    assert (sets.weight.dtype, sets.bias.dtype) == (np.int16, np.float64)
    single = ms.WeightSets.from_models([(WEIGHT, None)])
    assert not np.shares_memory(single.weight, WEIGHT)
    assert WEIGHT.flags.writeable


@pytest.mark.gpu
def test_cupy_arrays_stay_where_they_are():
    sets = ms.WeightSets.from_models([(to_device(WEIGHT), to_device(BIAS))] * 2)
    assert sets.device.startswith("cuda")
    assert_same_bits(sets.to("numpy").bias, np.array([BIAS, BIAS]))
    with pytest.raises(TypeError, match=r"models\[0\].weight is on the GPU and models\[1\].weight"):
        ms.WeightSets.from_models([(to_device(WEIGHT), None), (WEIGHT, None)])


def normalized(x, gamma, beta=0):
    return (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) * gamma + beta


REFUSED = {
    "a tuple of length 3": ((WEIGHT, BIAS, BIAS), "tuple of length 3" + EXPECTED),
    "a matrix": (
        (np.ones((3, 2)), np.ones(2)),
        r"tuple with weight of shape (3, 2), bias of shape (2,)" + EXPECTED,
    ),
    "a dense layer": (
        Layer(kernel=np.ones((3, 3)), bias=BIAS),
        "Layer that cannot be called on 16 samples of 3 features (ValueError: operands could",
    ),
    "scalars": ((2.0, 3.0), "tuple with weight of shape (), bias of shape ()" + EXPECTED),
    "biases of one sum": (
        {"weight": WEIGHT, "bias": 1.0},
        "dict with weight of shape (3,), bias of shape ()" + EXPECTED,
    ),
    "a key too many": (
        {"weight": WEIGHT, "bias": BIAS, "running_mean": BIAS},
        "dict with weight of shape (3,), bias of shape (3,), running_mean of shape (3,)" + EXPECTED,
    ),
    "two weights": (
        {"weight": WEIGHT, "kernel": WEIGHT},
        "dict with weight of shape (3,), kernel of shape (3,)" + EXPECTED,
    ),
    "no weight": ({"bias": BIAS}, "dict with bias of shape (3,)" + EXPECTED),
    "nothing": ({}, "dict with no weights" + EXPECTED),
    "a mapping of others": (
        {"w": [[1], 2], "bias": None},
        "dict with w, which is neither a weight nor a bias" + EXPECTED,
    ),
    "a layer that is not built": (Layer(), "Layer with no weights" + EXPECTED),
    "a normalization's names": (
        Layer(gamma=WEIGHT, beta=BIAS),
        "Layer with gamma of shape (3,), beta of shape (3,)" + EXPECTED,
    ),
    "a normalization": (
        Layer(normalized, kernel=WEIGHT, bias=BIAS),
        "Layer whose outputs are not those of inputs * weight + bias with the activation linear",
    ),
    "a module that normalizes": (
        Module(normalized, weight=WEIGHT, bias=BIAS),
        "Module whose outputs are not those",
    ),
    "a slope below zero": (
        Module(lambda x, w: np.where(x > 0, x, w * x), weight=WEIGHT),
        "Module whose outputs are not those",
    ),
    "a list of vectors": (
        [WEIGHT, BIAS],
        "list with an array of shape (3,) that is neither a weight nor the bias of the weight "
        "before it (pass one weight and one bias of shape (F,) as a tuple)" + EXPECTED,
    ),
    "a list of models": (
        [Layer(kernel=WEIGHT)] * 2,
        "list that contains a Layer (pass one model at a time), not an array of numbers" + EXPECTED,
    ),
    "statistics": (
        Module(weight=WEIGHT, bias=BIAS, buffers={"running_mean": BIAS}),
        "Module with weight of shape (3,), bias of shape (3,), running_mean of shape (3,)",
    ),
    "a sum": (
        Module(lambda x, w: x @ w, weight=WEIGHT),
        "Module whose outputs are not those",
    ),
    "an activation that does not show": (
        Module(lambda x, w, b: np.tanh(x * w + b), weight=WEIGHT, bias=BIAS),
        "(use activation= for an activation that is not an attribute of a Keras layer)",
    ),
    "one that cannot be called": (
        Module(lambda x, w: x[:, :2] * w, weight=WEIGHT),
        "that cannot be called on 10 samples of 3 features (ValueError: operands could not be",
    ),
    "two layers in one": (
        Layer.joined(Layer(kernel=WEIGHT), Layer(kernel=WEIGHT)),
        "Layer with 1/kernel of shape (3,), 2/kernel of shape (3,)" + EXPECTED,
    ),
    "two layers": (
        Model(InputLayer(), Layer(kernel=WEIGHT), Layer(kernel=WEIGHT)),
        "Model of the layers InputLayer, Layer, Layer" + EXPECTED,
    ),
    "a layer without weights that changes values": (
        Model(InputLayer(), Layer(kernel=WEIGHT), Layer(np.tanh)),
        "Model of the layers InputLayer, Layer, Layer" + EXPECTED,
    ),
    "a matrix of weights and one of biases": (
        Estimator(np.ones((1, 1)), np.ones((1, 1))),
        "Estimator with coef_ of shape (1, 1), intercept_ of shape (1, 1)" + EXPECTED,
    ),
    "weights beside the layer's": (
        Model.beside(Layer(kernel=WEIGHT), Variable("scale", BIAS)),
        "Model with kernel of shape (3,), scale of shape (3,)" + EXPECTED,
    ),
    "weights that it does not use": (
        Module(lambda x, w: x, weight=np.zeros(3, np.float32)),
        "Module whose outputs are not those",
    ),
    "outputs of another shape": (
        Module(lambda x, w: (x * w)[None], weight=WEIGHT),
        "Module whose outputs are not those",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_structures_are_refused_by_name(case):
    model, message = REFUSED[case]
    with pytest.raises(ValueError, match=r"^models\[1\] is an? .*" + re.escape(message)):
        ms.WeightSets.from_models([(WEIGHT, BIAS), model])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("m.keras", r"models\[1\] is a str; expected a model: load it first, with keras.saving"),
        (Path("m.keras"), r"models\[1\] is a PosixPath; expected a model: load it first"),
        (np.ones((3, 2)), r"models\[1\] is an ndarray; expected a \(weight, bias\) tuple"),
        (None, r"models\[1\] is a NoneType; expected"),
        ((["a"] * 3, BIAS), r"models\[1\].weight has dtype <U1; expected bool"),
        ((WEIGHT, np.array([None] * 3)), r"models\[1\].bias has dtype object"),
    ],
)
def test_items_that_are_not_models(model, message):
    with pytest.raises(TypeError, match=message):
        ms.WeightSets.from_models([(WEIGHT, BIAS), model])


@pytest.mark.parametrize("models", [{"weight": WEIGHT}, Layer(kernel=WEIGHT), "abc", 3])
def test_a_model_is_not_a_list_of_them(models):
    with pytest.raises(TypeError, match=f"models is an? {type(models).__name__}; expected a list"):
        ms.WeightSets.from_models(models)


def test_no_models():
    with pytest.raises(ValueError, match="models is empty; expected at least one"):
        ms.WeightSets.from_models([])


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ((WEIGHT[:2], BIAS[:2]), "features are 2 and 3"),
        ((WEIGHT, None), "biases are False and True"),
        (
            ms.WeightSets(WEIGHT[None], BIAS[None], "tanh"),
            r"activation are Activation\('tanh'\) and Activation\('linear'\)",
        ),
    ],
)
def test_models_of_different_structure(other, what):
    with pytest.raises(ValueError, match=rf"models\[2\] differs in structure .*: {what}"):
        ms.WeightSets.from_models([(WEIGHT, BIAS), (WEIGHT, BIAS), other])


def test_a_given_activation():
    plain = (WEIGHT, BIAS)
    activated = ms.WeightSets(WEIGHT[None], BIAS[None], "tanh")
    hidden = Module(lambda x, w, b: np.tanh(x * w + b), weight=WEIGHT, bias=BIAS)
    linear = Module(weight=WEIGHT, bias=BIAS)
    models = [plain, activated, hidden, linear, Layer(kernel=WEIGHT, bias=BIAS)]
    sets = ms.WeightSets.from_models(models, activation="tanh")
    assert sets == ms.WeightSets.from_models([activated] * 5)
    relu = ms.Activation("relu")
    with pytest.raises(
        ValueError, match=r"models\[1\] has the activation Activation\('tanh'\), but"
    ):
        ms.WeightSets.from_models(models, activation=relu)
    with pytest.raises(ValueError, match=r"models\[0\] is a Module .* activation linear or relu"):
        ms.WeightSets.from_models([hidden], activation=relu)
    with pytest.raises(ValueError, match="it combines outputs"):
        ms.WeightSets.from_models([plain], activation="softmax")
    with pytest.raises(TypeError, match="activation must be None, a name or"):
        ms.WeightSets.from_models([plain], activation=np.tanh)


def test_an_activation_of_a_layer():
    def tanh(x):
        return np.tanh(x)

    def layer(activation):
        made = Layer(lambda x, w: activation(x * w), kernel=WEIGHT)
        made.activation = activation
        return made

    with pytest.raises(ValueError, match="a Layer with the activation tanh"):
        ms.WeightSets.from_models([layer(tanh)])  # a user's own tanh
    tanh.__module__ = "keras.src.activations.activations"
    sets = ms.WeightSets.from_models([layer(tanh), Model(layer(tanh))])
    assert sets.activation == ms.Activation("tanh")
    wrong = layer(tanh)
    wrong.function = lambda x, w: x * w
    with pytest.raises(ValueError, match=r"inputs . weight . bias with the activation tanh"):
        ms.WeightSets.from_models([wrong])
    with pytest.raises(ValueError, match=r"models\[0\] has the activation .*'tanh'.*'relu'"):
        ms.WeightSets.from_models([layer(tanh)], activation="relu")


@pytest.mark.parametrize("function", [np.tanh, lambda z: np.where(z > 0, z, 0)])
@pytest.mark.parametrize(("size", "bias"), [(0.01, 0), (1, 20), (1, -20), (0.1, 3)])
def test_an_activation_shows_whatever_the_weights_are(function, size, bias):
    parameters = {"weight": size * WEIGHT, "bias": np.full(3, bias, np.float32)}
    module = Module(lambda x, w, b: function(x * w + b), **parameters)
    with pytest.raises(ValueError, match=r"models\[0\] is a Module whose outputs are not those"):
        ms.WeightSets.from_models([module])


def test_a_module_stays_in_training_mode():
    module = Module(weight=WEIGHT)
    ms.WeightSets.from_models([module])
    assert module.training


@pytest.mark.parametrize("special", [np.nan, np.inf, 3e38, 1e-45])
def test_weights_of_any_value(special):
    weight = np.array([special, 1, -special], np.float32)
    sets = ms.WeightSets.from_models([Module(weight=weight, bias=-weight)])
    assert_same_bits(sets.weight, weight[None])


def test_shapes_of_non_arrays():
    assert (
        _models._described({"a": [[1, 2]], "b": None, 3: 1})
        == "a of shape (1, 2), b, 3 of shape ()"
    )
