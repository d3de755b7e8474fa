"""WeightSets of modules of PyTorch and models of Keras that are chains of dense layers."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import multisubnet as ms
from multisubnet._sets.models import as_array

X = np.random.default_rng(0).normal(size=(20, 3)).astype("f4")


def close(sets, i, outputs):
    values = sets.predict(X)[i, :, 0]
    assert np.allclose(values, np.asarray(outputs), rtol=1e-4, atol=1e-5)


@pytest.fixture
def nn():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch.nn


def predicted(module):
    import torch

    with torch.no_grad():
        return module.eval()(torch.from_numpy(X)).numpy()


@pytest.mark.parametrize(
    "make",
    [
        lambda nn: nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2)),
        lambda nn: nn.Sequential(
            nn.Sequential(nn.Linear(3, 4, bias=False), nn.GELU("tanh")),
            nn.Linear(4, 4),
            nn.LeakyReLU(0.1),
            nn.Linear(4, 1),
            nn.Sigmoid(),
        ),
        lambda nn: nn.Linear(3, 2),
        lambda nn: nn.Sequential(nn.Linear(3, 4), nn.ELU(0.5), nn.Linear(4, 2), nn.Tanh()),
        lambda nn: nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2), nn.Softplus()),
    ],
)
def test_modules_of_torch(nn, make):
    modules = [make(nn), make(nn)]
    sets = ms.WeightSets.from_models(modules)
    for i, module in enumerate(modules):
        assert module.training
        close(sets, i, predicted(copy.deepcopy(module)))
    target = make(nn)
    sets.write_to(target, 1)
    assert ms.WeightSets.from_models([target]) == sets[1]
    assert np.array_equal(predicted(target), predicted(modules[1]))
    state = modules[0].state_dict()
    if sets.activation == ms.Activation("relu"):
        assert ms.WeightSets.from_models([state], activation="relu") == sets[0]


def test_logits_of_torch(nn):
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(dim=1))
    powers = np.exp(ms.WeightSets.from_models([module]).predict(X)[0, :, 0])
    assert np.allclose(powers / powers.sum(1, keepdims=True), predicted(module), rtol=1e-4)


def test_modules_that_are_refused(nn):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return x + self.linear(x)

    for module, message in (
        (Residual(), "whose outputs are not those of its dense layers"),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), "with BatchNorm1d, which is neither"),
        (nn.Sequential(nn.ReLU(), nn.Linear(3, 4)), "with ReLU in a place where a Linear"),
        (nn.Sequential(nn.Linear(3, 4), nn.Hardtanh(-2, 2)), "whose outputs are not those"),
        (nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 1)), r"shapes \(3, 4\), \(3, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            ms.WeightSets.from_models([module])


@pytest.fixture
def keras():
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    return keras


def sequential(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(5, "relu"),
            layers.Dropout(0.5),
            layers.Dense(4, use_bias=False),
            layers.LeakyReLU(0.1),
            layers.Dense(2, "tanh"),
        ]
    )


def functional(keras):
    x = inputs = keras.Input((3,))
    for width in (4, 4):
        x = keras.layers.Dense(width, "gelu")(x)
    return keras.Model(inputs, keras.layers.Activation("sigmoid")(keras.layers.Dense(1)(x)))


@pytest.mark.parametrize("make", [sequential, functional])
def test_models_of_keras(keras, make):
    models = [make(keras), make(keras)]
    sets = ms.WeightSets.from_models(models)
    for i, model in enumerate(models):
        close(sets, i, as_array(model(X)))
    target = make(keras)
    sets.write_to(target, 1)
    assert ms.WeightSets.from_models([target]) == sets[1]
    arrays = [x for layer in sets.layers for x in layer if x is not None]
    assert all(
        np.array_equal(a[1, 0], b)
        for a, b in zip(arrays, map(as_array, target.weights), strict=True)
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("joined", [True, False])
def test_branches_of_keras(keras, order, joined):
    def make():
        inputs = [keras.Input((1,)) for _ in range(3)]
        branches = []
        for i in order:
            hidden = keras.layers.Dense(4, "relu")(inputs[i])
            branches.append(keras.layers.Dense(1, "sigmoid")(hidden))
        outputs = keras.layers.Concatenate()(branches) if joined else branches
        return keras.Model(inputs, outputs)

    models = [make(), make()]
    sets = ms.WeightSets.from_models(models)
    assert sets.layer_sizes == (1, 4, 1)
    assert sets.n_networks == 3
    for i, model in enumerate(models):
        outputs = model([X[:, :1], X[:, 1:2], X[:, 2:]])
        every = [outputs] if joined else outputs
        expected = np.concatenate([np.asarray(as_array(each)) for each in every], axis=1)
        assert np.allclose(sets.predict(X)[i, :, :, 0], expected, rtol=1e-4, atol=1e-5)
    target = make()
    sets.write_to(target, 1)
    assert ms.WeightSets.from_models([target]) == sets[1]


def test_logits_of_keras(keras):
    layers = [keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential(layers)
    powers = np.exp(ms.WeightSets.from_models([model]).predict(X)[0, :, 0])
    expected = as_array(model(X))
    assert np.allclose(powers / powers.sum(1, keepdims=True), expected, rtol=1e-4)


def test_models_that_are_refused(keras):
    layers = keras.layers
    x = keras.Input((3,))
    for outputs, message in (
        (layers.Add()([x, layers.Dense(3)(x)]), "with Add"),
        (layers.BatchNormalization()(layers.Dense(3)(x)), "with BatchNormalization in a place"),
        (
            layers.Concatenate()([layers.Dense(3)(x), layers.Dense(2)(x)]),
            "with branches that differ in their layers",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            ms.WeightSets.from_models([keras.Model(x, outputs)])
    from multisubnet.keras import stack_models

    with pytest.raises(ValueError, match="expected one affine function of each of F features"):
        stack_models([sequential(keras)])
