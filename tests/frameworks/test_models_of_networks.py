"""WeightSets from PyTorch modules and Keras models that are chains of dense layers."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import multisubnet as ms
from multisubnet._sets.models import as_array

RNG = np.random.default_rng(2)
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
    with pytest.warns(UserWarning, match="the final softmax is left out"):
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
        (Residual(), "with add of values that are not outputs of separate networks"),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), "with batch_norm, which is neither"),
        (nn.Sequential(nn.ReLU(), nn.Linear(3, 4)), "with relu, which does not follow"),
        (nn.Sequential(nn.Linear(3, 4), nn.Hardtanh(-2, 2)), "whose outputs are not those"),
        (
            nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 1)),
            r"Linear, whose weights are of shape \(1, 3\), of values of shape \(4,\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            ms.WeightSets.from_models([module])


class Branches:
    """PyTorch modules that evaluate one network per feature."""

    def __init__(self, nn, forward, d=1):
        class Module(nn.Module):
            def __init__(self):
                super().__init__()
                self.nets = nn.ModuleList(
                    nn.Sequential(nn.Linear(d, 4), nn.ReLU(), nn.Linear(4, 1))
                    for _ in range(3 // d)
                )
                self.bias = nn.Parameter(nn.Linear(1, 2).bias.detach().clone())

            def forward(self, x):
                return forward(self.nets, x)

        self.make = Module


class Transposed:
    """A PyTorch module that permutes networks and their outputs."""

    def __init__(self, nn):
        class Module(nn.Module):
            def forward(self, x):
                return x.transpose(1, 2)

        self.make = Module


def every(nets, x):
    return [net(x[:, i : i + 1]) for i, net in enumerate(nets)]


@pytest.mark.parametrize(
    ("forward", "inputs", "additive"),
    [
        (lambda torch, nets, x: torch.cat(every(nets, x), dim=1), None, False),
        (lambda torch, nets, x: torch.cat(every(nets, x)[::-1], -1), [[2], [1], [0]], False),
        (
            lambda torch, nets, x: torch.stack(
                [n(p) for n, p in zip(nets, x.split(1, 1), strict=False)], 1
            ),
            None,
            False,
        ),
        (
            lambda torch, nets, x: tuple(
                n(p[:, None]) for n, p in zip(nets, x.unbind(1), strict=False)
            ),
            None,
            False,
        ),
        (lambda torch, nets, x: torch.cat(every(nets, x), 1).sum(1, keepdim=True), None, True),
        (lambda torch, nets, x: torch.cat(every(nets, x), 1).roll(1, 1), [[2], [0], [1]], False),
        (
            lambda torch, nets, x: torch.cat(
                [net[2](net[1](net[0](x[:, [i]])).flip(1)) for i, net in enumerate(nets)], 1
            ),
            None,
            False,
        ),
        (lambda torch, nets, x: sum(every(nets, x)), None, True),
        (lambda torch, nets, x: torch.cat([n(x[:, [0]]) for n in nets], 1), [[0]] * 3, False),
    ],
)
def test_branches_of_torch(nn, forward, inputs, additive):
    import torch

    make = Branches(nn, lambda nets, x: forward(torch, nets, x)).make
    modules = [make(), make()]
    sets = ms.WeightSets.from_models(modules)
    assert (sets.n_networks, sets.layer_sizes, sets.additive) == (3, (1, 4, 1), additive)
    assert (None if sets.inputs is None else sets.inputs.tolist()) == inputs
    samples = torch.from_numpy(X)
    for i, module in enumerate(modules):
        with torch.no_grad():
            outputs = module(samples)
        if isinstance(outputs, tuple):
            outputs = torch.cat(outputs, 1)
        values = sets.predict(X)[i].reshape(outputs.shape)
        assert np.allclose(values, outputs.numpy(), rtol=1e-4, atol=1e-5)
    target = make()
    sets.write_to(target, 1)
    assert ms.WeightSets.from_models([target]) == sets[1]


@pytest.mark.parametrize("groups", [1, 3])
def test_grouped_convolutions_of_torch(nn, groups):
    def make():
        layers = nn.Conv1d(3, 6, 1, groups=groups), nn.Tanh(), nn.Conv1d(6, 3, 1, groups=groups)
        return nn.Sequential(nn.Unflatten(1, (3, 1)), *layers, nn.Flatten())

    modules = [make(), make()]
    sets = ms.WeightSets.from_models(modules)
    assert sets.layer_sizes == ((1, 2, 1) if groups == 3 else (3, 6, 3))
    for i, module in enumerate(modules):
        values = sets.predict(X)[i].reshape(-1, 3)
        assert np.allclose(values, predicted(module), rtol=1e-4, atol=1e-5)
    target = make()
    sets.write_to(target, 1)
    assert np.array_equal(predicted(target), predicted(modules[1]))
    # The same layers on samples of shape (batch, 3, 1).
    assert ms.WeightSets.from_models([target[1:]]) == sets[1]


@pytest.mark.parametrize("reverse", [False, True])
def test_an_additive_model_of_torch_with_an_intercept(nn, reverse):
    import torch

    class Additive(nn.Module):
        def __init__(self):
            super().__init__()
            self.nets = nn.ModuleList(
                nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 2)) for _ in range(3)
            )
            self.bias = nn.Parameter(torch.randn(2))

        def forward(self, x):
            sums = torch.stack(every(self.nets, x), 1).sum(1)
            return self.bias + sums if reverse else sums + self.bias

    modules = [Additive(), Additive()]
    sets = ms.WeightSets.from_models(modules)
    assert (sets.n_networks, sets.additive, sets.intercept.shape) == (3, True, (2, 2))
    for i, module in enumerate(modules):
        assert np.allclose(sets.predict(X)[i], predicted(module), rtol=1e-4, atol=1e-5)
    target = Additive()
    sets.write_to(target, 1)
    assert np.array_equal(predicted(target), predicted(modules[1]))
    assert ms.WeightSets.from_models([target]) == sets[1]


def test_weights_of_torch_that_einsum_applies(nn):
    import torch

    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Parameter(torch.randn(3, 4))
            self.last = nn.Parameter(torch.randn(3, 4, 2))
            self.bias = nn.Parameter(torch.randn(3, 4))

        def forward(self, x):
            hidden = (torch.einsum("bf,fh->bfh", x, self.first) + self.bias).relu()
            return torch.einsum("bfh,fhk->bfk", hidden, self.last)

    sets = ms.WeightSets.from_models([Stack(), module := Stack()])
    assert (sets.n_networks, sets.layer_sizes) == (3, (1, 4, 2))
    assert np.allclose(sets.predict(X)[1], predicted(module), rtol=1e-4, atol=1e-5)
    unit_first = nn.Sequential(module, nn.Flatten(), nn.Unflatten(1, (3, 2)))
    unit_first.append(Transposed(nn).make())  # outputs in another order than networks have them
    assert ms.WeightSets.from_models([unit_first]) == sets[1]
    sets.write_to(module, 0)
    assert np.array_equal(module.last.detach().numpy(), sets.layers[1][0][0])
    assert np.array_equal(module.bias.detach().numpy(), sets.layers[0][1][0])


def test_branches_of_torch_that_are_refused(nn):
    import torch

    for forward, message in (
        (
            lambda nets, x: torch.cat(every(nets, x), 1)[:, :0],
            "with weights that it does not use|outputs that are not",
        ),
        (lambda nets, x: torch.cat(every(nets, x), 1) * 2, "with mul, which is neither"),
        (lambda nets, x: nets[1](nets[0](x[:, :1])) + x[:, :1], "with add of values that are not"),
        (
            lambda nets, x: torch.cat(every(nets, x), 1) + nets[0][0].bias[:3],
            "with __getitem__|with add",
        ),
        (
            lambda nets, x: sum(every(nets, x)) + nets[0][0].bias,
            "with add of an array that is",
        ),
        (lambda nets, x: torch.cat(every(nets, x), 1).abs(), "with abs, which is neither"),
        (lambda nets, x: torch.cat(every(nets, x), 1).cumsum(1), "with cumsum, which is neither"),
        (lambda nets, x: torch.cat([nets[0](x[:, :1]), x], 1), "with cat of 2 values that are not"),
        (
            lambda nets, x: torch.softmax(torch.cat(every(nets, x), 1), 1),
            "with a softmax in a branch",
        ),
        (lambda nets, x: nets[0][0](x[:, :1])[:, :1].relu(), "with weights that it does not use"),
        (
            lambda nets, x: nets[0][2](nets[0][0](x)[:, [0, 0, 1, 2]]),
            "over only some of the values",
        ),
        (lambda nets, x: 1 / 0, "that cannot be called on samples of shape .* division by zero"),
    ):
        module = Branches(nn, forward).make()
        with pytest.raises(ValueError, match=message):
            ms.WeightSets.from_models([module])


def test_shared_layers_are_read_and_not_written(nn):
    import torch

    make = Branches(nn, lambda nets, x: torch.cat([nets[0](x[:, [i]]) for i in range(3)], 1)).make
    module = make()
    module.nets = module.nets[:1]
    sets = ms.WeightSets.from_models([module])
    assert (sets.n_networks, sets.layer_sizes, sets.inputs) == (3, (1, 4, 1), None)
    sets.write_to(module)  # unchanged
    other = ms.WeightSets.from_layers(
        [(2 * w + np.arange(3.0)[:, None, None], b) for w, b in sets.layers]
    )
    with pytest.raises(ValueError, match="model shares weights or biases among networks"):
        other.write_to(module)


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
    with pytest.warns(UserWarning, match="so predictions are logits") as warned:
        powers = np.exp(ms.WeightSets.from_models([model]).predict(X)[0, :, 0])
    assert warned[0].filename == __file__
    expected = as_array(model(X))
    assert np.allclose(powers / powers.sum(1, keepdims=True), expected, rtol=1e-4)


def additive(keras, end="sigmoid", hidden="relu"):
    """A model that adds its branches up, and applies a function to the sum."""
    layers, x = keras.layers, keras.Input((3,))
    branches = [layers.Dense(1)(layers.Dense(4, hidden)(x[:, i : i + 1])) for i in range(3)]
    total = layers.Add()(branches)
    return keras.Model(x, total if end is None else layers.Activation(end)(total))


def test_the_sigmoid_of_a_sum_in_keras(keras):
    models = [additive(keras), additive(keras)]
    with pytest.warns(
        UserWarning, match="final sigmoid, of the sum .* scipy.special.expit"
    ) as told:
        sets = ms.WeightSets.from_models(models)
    assert told[0].filename == __file__
    assert sets.additive
    assert sets == ms.WeightSets.from_models(
        [keras.Model(model.input, model.layers[-1].input) for model in models]
    )
    for logits, model in zip(sets.predict(X), models, strict=True):
        assert np.allclose(1 / (1 + np.exp(-logits)), as_array(model(X)), rtol=1e-4)
    labels = (X[:, 0] > 0).astype(int)
    found = sets.mean_loss(X, labels, loss="binary_crossentropy_from_logits")
    own = [keras.losses.binary_crossentropy(labels[:, None], model(X)) for model in models]
    assert np.allclose(found, [as_array(each).mean() for each in own], rtol=1e-4)
    target = additive(keras)
    sets.write_to(target, 1)
    assert np.array_equal(as_array(target(X)), as_array(models[1](X)))
    with pytest.raises(ValueError, match="one ends in a sigmoid, the other does not"):
        ms.WeightSets.from_models([additive(keras, None), models[0]])
    for end, message in (("tanh", "and apply tanh to predictions"), ("relu", "after a sum over")):
        with pytest.raises(ValueError, match=message):
            ms.WeightSets.from_models([additive(keras, end)])
    twice = keras.layers.Activation("sigmoid")(models[0].output)
    with pytest.raises(ValueError, match="after a sum over networks"):
        ms.WeightSets.from_models([keras.Model(models[0].input, twice)])


def test_the_sigmoid_of_a_sum_in_torch(nn):
    class Additive(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
            self.intercept = nn.Parameter(torch.ones(1))

        def forward(self, x):
            total = sum(part(x[:, i : i + 1]) for i, part in enumerate(self.parts))
            return torch.sigmoid(total + self.intercept)

    torch = pytest.importorskip("torch")
    module = Additive()
    with pytest.warns(UserWarning, match="final sigmoid, of the sum over networks, is left out"):
        logits = ms.WeightSets.from_models([module]).predict(X)[0]
    assert np.allclose(1 / (1 + np.exp(-logits)), predicted(module), rtol=1e-4)


def test_models_that_are_refused(keras):
    layers = keras.layers
    x = keras.Input((3,))
    for outputs, message in (
        (layers.Add()([x, layers.Dense(3)(x)]), "with Add"),
        (
            layers.BatchNormalization()(layers.Dense(3)(x)),
            "with BatchNormalization, which is",
        ),
        (
            layers.Concatenate()([layers.Dense(3)(x), layers.Dense(2)(x)]),
            "with branches that differ in their layers",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            ms.WeightSets.from_models([keras.Model(x, outputs)])


def convolved(layer):
    """Return networks per feature as convolutions, with a multiplier or groups."""

    def make(keras):
        layers = keras.layers
        first, last = layer(layers)
        return keras.Sequential(
            [
                keras.Input((3,)),
                layers.Reshape((1, 3) if "1D" in type(first).__name__ else (1, 1, 3)),
                first,
                last,
                layers.Flatten(),
            ]
        )

    return make


def einsum_stack(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.EinsumDense("bf,fh->bfh", (3, 4), bias_axes="fh", activation="relu"),
            layers.Dropout(0.5),
            layers.EinsumDense("...fh,fhk->...fk", (3, 4), bias_axes="fk"),
            layers.Activation("tanh"),
            layers.EinsumDense("bfh,fh->bf", 3),
        ]
    )


def einsum_of_pairs(keras):
    layers = keras.layers
    x = keras.Input((3, 2))
    hidden = layers.Permute((2, 1))(x)
    hidden = layers.EinsumDense("bif,foi->bof", (4, 3), bias_axes="f", activation="gelu")(hidden)
    return keras.Model(x, layers.EinsumDense("bof,fop->bfp", (3, 2))(hidden))


def einsum_dense(keras):
    layers = keras.layers
    hidden = layers.EinsumDense("ab,bc->ac", 4, bias_axes="c", activation="relu")
    return keras.Sequential([keras.Input((3,)), hidden, layers.EinsumDense("ab,bc->ac", 1)])


def sliced(keras):
    """A model with one input, whose columns go to separate branches."""
    layers = keras.layers
    x = keras.Input((3,))
    take = layers.Lambda(lambda x: x[:, 2:])
    parts = [x[:, :1], x[:, 1:2], take(x)]
    hidden = [layers.Dense(4, "relu")(part) for part in parts]
    return keras.Model(x, layers.Concatenate()([layers.Dense(1)(each) for each in hidden]))


def sliced_and_added(keras):
    layers = keras.layers
    x = keras.Input((3,))
    hidden = [layers.Dense(4, "tanh")(part) for part in keras.ops.split(x, 3, axis=1)]
    return keras.Model(x, layers.Add()([layers.Dense(1)(each) for each in hidden]))


def sliced_and_summed(keras):
    layers = keras.layers
    x = keras.Input((3,))
    nets = [
        keras.Sequential([keras.Input((1,)), layers.Dense(4), layers.ReLU(), layers.Dense(1)])
        for _ in range(3)
    ]
    parts = [net(keras.ops.take(x, [i], axis=1)) for i, net in enumerate(nets)]
    return keras.Model(x, keras.ops.sum(keras.ops.concatenate(parts, axis=1), axis=1))


def sliced_affine(keras):
    x = keras.Input((3,))
    parts = [keras.layers.Dense(1, "tanh")(x[:, i : i + 1]) for i in range(3)]
    return keras.Model(x, keras.layers.Concatenate()(parts))


KERAS = {
    "einsum": (einsum_stack, 3, (1, 4, 4, 1)),
    "pairs": (einsum_of_pairs, 3, (2, 4, 2)),
    "dense einsum": (einsum_dense, 1, (3, 4, 1)),
    "depthwise 1D": (
        convolved(
            lambda layers: (
                layers.DepthwiseConv1D(1, depth_multiplier=4, activation="relu"),
                layers.Conv1D(3, 1, groups=3),
            )
        ),
        3,
        (1, 4, 1),
    ),
    "depthwise 2D": (
        convolved(
            lambda layers: (
                layers.DepthwiseConv2D(1, depth_multiplier=2, activation="relu"),
                layers.Conv2D(6, 1, groups=3, use_bias=False),
            )
        ),
        3,
        (1, 2, 2),
    ),
    "sliced": (sliced, 3, (1, 4, 1)),
    "sliced and added": (sliced_and_added, 3, (1, 4, 1)),
    "sliced and summed": (sliced_and_summed, 3, (1, 4, 1)),
    "sliced, a weight each": (sliced_affine, 3, (1, 1)),
}


@pytest.mark.parametrize("kind", KERAS)
def test_grouped_and_sliced_models_of_keras(keras, kind):
    make, n_networks, sizes = KERAS[kind]
    models = [with_random_weights(make(keras)) for _ in range(2)]
    sets = ms.WeightSets.from_models(models)
    assert (sets.n_networks, sets.layer_sizes) == (n_networks, sizes)
    assert sets.additive == ("added" in kind or "summed" in kind)
    assert hasattr(sets, "weight") == (kind == "sliced, a weight each")
    x = np.random.default_rng(1).normal(size=(20, sets.n_features)).astype("f4")
    for i, model in enumerate(models):
        outputs = np.asarray(as_array(model(x.reshape(-1, *model.inputs[0].shape[1:]))))
        values = sets.predict(x)[i].reshape(outputs.shape)
        assert np.allclose(values, outputs, rtol=1e-4, atol=1e-5)
    target = make(keras)
    sets.write_to(target, 1)
    assert ms.WeightSets.from_models([target]) == sets[1]
    for a, b in zip(target.weights, models[1].weights, strict=True):
        assert np.array_equal(as_array(a), as_array(b))


def with_random_weights(model):
    """Return a model with biases that are not 0."""
    model.set_weights([RNG.normal(size=x.shape).astype("f4") for x in model.weights])
    return model


def test_layers_of_keras_on_their_own(keras):
    layer = keras.layers.EinsumDense("bf,fh->bfh", (3, 4), bias_axes="fh")
    outputs = np.asarray(as_array(with_random_weights(built(layer))(X)))
    sets = ms.WeightSets.from_models([layer])
    assert np.allclose(sets.predict(X)[0], outputs, rtol=1e-5, atol=1e-6)
    layer = keras.layers.EinsumDense("ab,b->ab", output_shape=3, bias_axes="b")
    with_random_weights(built(layer))
    sets = ms.WeightSets([[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]])
    sets.write_to(layer)
    assert ms.WeightSets.from_models([layer]) == ms.WeightSets(
        sets.weight.astype("f4"), sets.bias.astype("f4")
    )


def built(layer):
    layer(X)
    return layer


def test_grouped_and_sliced_models_that_are_refused(keras):
    layers = keras.layers
    x = keras.Input((3,))
    grid = keras.Input((4, 3))

    def branches():
        return [layers.Dense(1)(layers.Dense(2, "relu")(x[:, i : i + 1])) for i in range(3)]

    shared = layers.Dense(2)
    for inputs, outputs, message in (
        (x, layers.Dense(1)(layers.Concatenate()(branches())), "with Dense over the values of sev"),
        (x, layers.Dense(1)(layers.Dense(4)(x)[:, :2]), "with Dense over only some of the values"),
        (x, layers.Multiply()(branches()), "with Multiply, which is neither"),
        (x, layers.Lambda(lambda x: x**2)(layers.Dense(2)(x)), "with Lambda, which is neither"),
        (
            x,
            layers.Lambda(lambda x: 1 / 0 if x.shape[0] == 2 else x)(layers.Dense(2)(x)),
            "division",
        ),
        (x, layers.Concatenate()([x, *branches()]), "with Concatenate of 4 values that are not"),
        (x, layers.Softmax()(layers.Concatenate()(branches())), "with a softmax in a branch"),
        (x, layers.Add()([shared(x), shared(x), layers.Dense(2)(x)[:, ::-1]]), "with Add of diff"),
        (grid, layers.Dense(2)(grid), "with Dense, which uses the same weights in several places"),
        (grid, layers.Conv1D(2, 2)(grid), r"with Conv1D of values of shape \(4, 3\), where"),
        (grid, layers.EinsumDense("abc,cd->adb", (2, 4))(grid), "uses the same weights in several"),
    ):
        with pytest.raises(ValueError, match=message):
            ms.WeightSets.from_models([keras.Model(inputs, outputs)])
