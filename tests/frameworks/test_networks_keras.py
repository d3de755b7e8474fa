"""Networks with hidden layers in Keras; test_keras_backends.py runs this with all backends."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from conftest import few

import multisubnet as ms
from multisubnet.testing import assert_same_bits

keras = pytest.importorskip("keras", exc_type=ImportError)  # or its backend is missing
from keras.src.testing import TestCase

from multisubnet.keras import (
    KerasActivation,
    StackedAffine,
    StackedLoss,
    StackedMetric,
    StackedMLP,
    stack_models,
)

BACKEND = keras.backend.backend()
TRAINS = pytest.mark.skipif(BACKEND == "numpy", reason="Keras does not train with NumPy")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed, but will be ignored"),
    pytest.mark.filterwarnings("ignore:::keras"),
    pytest.mark.filterwarnings("ignore:::tensorflow"),
    pytest.mark.filterwarnings("ignore:::jax"),
]


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def on_host(tensor):
    return keras.ops.convert_to_numpy(tensor)


def sets_of(n_sets, n_subnetworks, sizes, biased=True, **options):
    rng = np.random.default_rng(1)
    layers = []
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        has_bias = biased if isinstance(biased, bool) else biased[number]
        weight = rng.normal(size=(n_sets, n_subnetworks, before, after)) / before**0.5
        bias = rng.normal(size=(n_sets, n_subnetworks, after)) if has_bias else None
        layers.append([None if x is None else x.astype("f4") for x in (weight, bias)])
    if options.pop("intercept", False):
        options["intercept"] = rng.normal(size=(n_sets, sizes[-1])).astype("f4")
    return ms.WeightSets.from_layers(layers, **options)


def model_of(*layers, n_features):
    return keras.Sequential([keras.Input((n_features,)), *layers])


LEAKY = ms.Activation("leaky_relu", negative_slope=0.3)
NETWORKS = {
    "dense": (sets_of(3, 1, (4, 5, 2), activation="tanh"), 4),
    "additive": (sets_of(3, 4, (1, 5, 2), additive=True, intercept=True), 4),
    "sums alone": (sets_of(2, 4, (1, 3, 1), biased=False, additive=True), 4),
    "each feature": (
        sets_of(2, 4, (1, 3, 3, 1), activation=("elu", LEAKY), output_activation="sigmoid"),
        4,
    ),
    "pairs": (
        sets_of(2, 3, (2, 3, 1), (False, True), inputs=[[0, 1], [3, 3], [2, 0]], activation="gelu"),
        4,
    ),
    "one layer": (sets_of(2, 4, (1, 1), output_activation="gelu_tanh"), 4),
}


@pytest.mark.parametrize("name", few(NETWORKS))
def test_sets_become_a_layer_that_can_be_saved(name, tmp_path):
    sets, n_features = NETWORKS[name]
    layer = StackedMLP.from_weight_sets(sets)
    assert layer.to_weight_sets() == sets
    model = model_of(layer, n_features=n_features)
    samples = draw(7, n_features)
    expected = sets.predict(samples, set_axis=1)
    assert model.output_shape == (None, *expected.shape[1:])
    eager = on_host(layer(samples))
    if BACKEND in ("jax", "torch", "numpy"):
        assert_same_bits(eager, expected)
    found = model.predict(samples, verbose=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_bits(loaded.predict(samples, verbose=0), found)
    assert loaded.layers[-1].to_weight_sets() == sets
    again = StackedMLP.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("name", few(NETWORKS))
def test_the_operations_of_other_backends(name):
    sets, n_features = NETWORKS[name]
    layer, samples = StackedMLP.from_weight_sets(sets), draw(7, n_features)
    with mock.patch("multisubnet.keras._network_layer._OF_MLP", ()):
        found = on_host(layer(samples))
    np.testing.assert_allclose(found, sets.predict(samples, set_axis=1), rtol=2e-5, atol=2e-5)


class TestOfKeras(TestCase):
    """Keras' own requirements for layers."""

    def run_test(self, init_kwargs, shape, n_weights, n_losses=0):
        self.run_layer_test(
            StackedMLP,
            init_kwargs={"n_sets": 3, "n_subnetworks": 4} | init_kwargs,
            input_shape=(2, 4),
            expected_output_shape=shape,
            expected_num_trainable_weights=n_weights,
            expected_num_non_trainable_weights=0,
            expected_num_seed_generators=0,
            expected_num_losses=n_losses,
            supports_masking=True,
        )

    def test_plain(self):
        self.run_test({"layer_sizes": (1, 3, 2)}, (2, 3, 4, 2), 4)

    def test_everything(self):
        options = {
            "layer_sizes": (2, 3, 3, 2),
            "inputs": [[0, 1], [1, 2], [2, 3], [3, 0]],
            "activation": ["tanh", LEAKY],
            "output_activation": "sigmoid",
            "use_bias": [True, False, True],
            "additive": True,
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": "l1",
            "activity_regularizer": "l2",
        }
        self.run_test(options, (2, 3, 2), 6, n_losses=6)


def test_shapes_are_known_before_there_are_numbers():
    layer = StackedMLP(5, (1, 4, 2), n_subnetworks=3)
    assert layer.compute_output_shape((None, 3)) == (None, 5, 3, 2)
    spec = layer.compute_output_spec(keras.KerasTensor((7, 3), dtype="float32"))
    assert (spec.shape, spec.dtype) == ((7, 5, 3, 2), "float32")
    assert layer(keras.Input((3,))).shape == (None, 5, 3, 2)
    with pytest.raises(ValueError, match="expected axis -1"):
        layer(keras.Input((4,)))
    with pytest.raises(ValueError, match="is 1 and n_subnetworks is 3, which does not"):
        StackedMLP(5, (1, 2), n_subnetworks=3)(keras.Input((4,)))
    with pytest.raises(IndexError, match=r"inputs\[0, 0\] is 4; expected the number of a feature"):
        StackedMLP(5, (1, 2), inputs=[[4]])(keras.Input((4,)))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, (1, 2)), {}, ValueError, "n_sets has 0; expected a positive integer"),
        ((True, (1, 2)), {}, ValueError, "n_sets has True; expected a positive integer"),
        ((1, (1, 0)), {}, ValueError, "layer_sizes has 0; expected a positive integer"),
        ((1, (1,)), {}, ValueError, r"layer_sizes is \(1,\); expected"),
        ((1, (1, 2)), {"n_subnetworks": 1.0}, ValueError, "n_subnetworks has 1.0"),
        ((1, (1, 2)), {"intercept": True}, ValueError, "intercept requires additive=True"),
        ((1, (1, 2)), {"use_bias": [True] * 2}, ValueError, "use_bias has 2 entries"),
        ((1, (1, 2)), {"activation": ["relu"]}, ValueError, "activation has 1 value;"),
        ((1, (1, 2, 2)), {"activation": "softmax"}, ValueError, "softmax"),
        ((1, (1, 2)), {"output_activation": keras.activations.mish}, ValueError, "mish.*that mult"),
        ((1, (1, 2)), {"output_activation": LEAKY.derivative}, TypeError, "not its derivative"),
        ((1, (1, 2)), {"kernel_initializer": "orthogonal"}, ValueError, "which creates matrices"),
    ],
)
def test_bad_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        StackedMLP(*arguments, **options)


@pytest.mark.parametrize("additive", [False, True])
def test_a_softmax_at_the_end(additive):
    sets = NETWORKS["additive" if additive else "dense"][0]
    with pytest.raises(ValueError, match=r"the output activation Activation\('sigmoid'\) alre"):
        StackedMLP.from_weight_sets(NETWORKS["each feature"][0], "softmax")
    for softmax in ("softmax", keras.activations.softmax):
        layer = StackedMLP.from_weight_sets(sets, softmax)
        again = StackedMLP.from_config(layer.get_config())
        again.build((None, 4))
        again.set_weights(layer.get_weights())
        powers = np.exp(sets.predict(draw(5, 4), set_axis=1))
        expected = powers / powers.sum(-1, keepdims=True)
        for each in (layer, again):
            np.testing.assert_allclose(on_host(each(draw(5, 4))), expected, rtol=1e-5)
    with pytest.warns(UserWarning, match="so predictions are logits") as warned:
        assert layer.to_weight_sets() == sets
    assert warned[0].filename == __file__


def test_activations_of_keras_are_known():
    given = keras.activations.tanh, KerasActivation("elu", alpha=0.7), keras.layers.LeakyReLU(0.3)
    layer = StackedMLP(1, (1, 2, 2, 2, 2), activation=given)
    layer.build((None, 1))
    assert layer.to_weight_sets().activation == (
        ms.Activation("tanh"),
        ms.Activation("elu", alpha=0.7),
        LEAKY,
    )
    with pytest.raises(ValueError, match="has no weights before it is built"):
        StackedMLP(1, (1, 2)).to_weight_sets()


@pytest.mark.parametrize("mode", few(["fan_in", "fan_avg", "fan_out"], 2))
def test_fans_are_those_of_one_network(mode):
    initializer = keras.initializers.VarianceScaling(2.0, mode, "uniform", seed=1)
    layer = StackedMLP(
        20, (4, 9, 9), n_subnetworks=30, inputs=np.zeros((30, 4), int),
        kernel_initializer=initializer, bias_initializer=initializer,
    )  # fmt: skip
    layer.build((None, 1))
    fans = {"fan_in": (4, 9), "fan_out": (9, 9), "fan_avg": (6.5, 9)}[mode]
    for number, fan in enumerate(fans):
        drawn = on_host(layer.kernels[number])
        assert drawn.std() == pytest.approx((2 / fan) ** 0.5, rel=0.05)
        assert len(np.unique(drawn)) > 0.99 * drawn.size  # sets do not share draws
        assert on_host(layer.biases[number]).std() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    again = StackedMLP.from_config(layer.get_config())
    again.build((None, 1))
    for one, other in zip(again.get_weights(), layer.get_weights(), strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("seed", [None, 3])
def test_layers_of_one_shape_begin_apart(seed):
    initializer = keras.initializers.GlorotUniform(seed=seed)
    layer = StackedMLP(3, (8, 8, 8), kernel_initializer=initializer)
    layer.build((None, 8))
    first, second = map(on_host, layer.kernels)
    assert not np.isin(first, second).any()
    assert not on_host(layer.biases[0]).any()
    assert np.abs(first).max() <= (6 / 16) ** 0.5


@pytest.mark.parametrize("dtype", few(["mixed_float16", "mixed_bfloat16", "bfloat16"], 2))
def test_dtype_policies(dtype):
    sets, n_features = NETWORKS["additive"]
    layer, samples = StackedMLP.from_weight_sets(sets, dtype=dtype), draw(5, n_features)
    outputs = layer(samples)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype.removeprefix("mixed_")
    found = on_host(keras.ops.cast(outputs, "float32"))
    np.testing.assert_allclose(found, sets.predict(samples, set_axis=1), rtol=0.1, atol=0.1)


def test_features_of_integers():
    sets, n_features = NETWORKS["dense"]
    samples = np.arange(3 * n_features).reshape(3, n_features)
    outputs = StackedMLP.from_weight_sets(sets)(samples)
    assert_same_bits(on_host(outputs).dtype.type(0), np.float32(0))
    expected = sets.predict(samples.astype("f4"), set_axis=1)
    np.testing.assert_allclose(on_host(outputs), expected, rtol=1e-5, atol=1e-5)


# Losses and training.


def test_targets_of_as_many_samples_as_there_are_sets():
    # Keras' own losses broadcast: each set would get the targets of one sample.
    predictions, targets = draw(3, 3, 2), draw(3, 2) + 1
    of_each = (predictions - targets[:, None]) ** 2
    plain = on_host(keras.losses.MeanSquaredError()(targets, predictions))
    wrong = ((predictions - targets[None]) ** 2).mean()
    assert plain == pytest.approx(wrong, rel=1e-5) != pytest.approx(of_each.mean(), rel=1e-5)
    with_axis = on_host(keras.losses.MeanSquaredError()(targets[:, None], predictions))
    assert with_axis == pytest.approx(of_each.mean(), rel=1e-5)
    found = on_host(StackedLoss("mse")(targets, predictions))
    assert found == pytest.approx(3 * of_each.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("predictions", "targets", "aligned"),
    [
        ((4, 4, 2), (4, 2), (4, 1, 2)),  # as many samples as sets
        ((5, 4, 2), (5, 2), (5, 1, 2)),
        ((5, 4, 2), (5, 4, 2), (5, 4, 2)),
        ((5, 4, 2), (5, 1, 2), (5, 1, 2)),
        ((5, 4, 2), (5, 1), (5, 1, 1)),
        ((5, 4, 2), (5,), (5, 1, 1)),
        ((5, 4, 3, 2), (5, 3, 2), (5, 1, 3, 2)),
        ((5, 4, 4, 2), (5, 4, 2), (5, 1, 4, 2)),  # as many networks as sets
        ((5, 4, 3, 1), (5, 3), (5, 1, 3, 1)),
        ((5, 4, 1, 2), (5, 2), (5, 1, 1, 2)),
        ((5, 4, 3, 2), (5, 4, 3, 2), (5, 4, 3, 2)),
        ((5, 4, 3, 2), (5,), (5, 1, 1, 1)),
    ],
)
def test_targets_that_sets_share(predictions, targets, aligned):
    predictions, targets = draw(*predictions), draw(*targets) + 1
    errors = np.abs(predictions - targets.reshape(aligned))
    expected = errors.mean(axis=tuple(range(2, errors.ndim))).sum(axis=1)
    for loss in ("mae", keras.losses.MeanAbsoluteError(), lambda y, p: keras.ops.abs(y - p)):
        found = on_host(StackedLoss(loss, reduction=None)(targets, predictions))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("predictions", "targets"),
    [
        ((5, 4, 2), (5, 3)),
        ((5, 4, 2), (5, 3, 2)),
        ((5, 4, 2), (5, 4, 1, 2)),
        ((5, 4, 3, 2), (5, 3)),
        ((5, 4, 3, 2), (5, 2)),
        ((4, 4, 2), (4, 4)),
    ],
)
def test_targets_of_another_shape(predictions, targets):
    with pytest.raises(
        ValueError, match=r"targets have .* and predictions have .* of shape .*for each"
    ):
        StackedLoss("mse")(draw(*targets), draw(*predictions))


def test_labels():
    predictions = keras.ops.softmax(draw(5, 4, 3, 7))
    for labels in (np.arange(5), np.arange(15).reshape(5, 3) % 7):
        wanted = np.broadcast_to(labels.reshape(5, 1, -1), (5, 4, 3))
        for loss, of_keras in (
            ("sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()),
            (keras.losses.SparseCategoricalCrossentropy(),) * 2,
            (keras.losses.CategoricalGeneralizedCrossEntropy(),) * 2,
        ):
            expected = of_keras(wanted, predictions)
            found = StackedLoss(loss)(labels, predictions)
            np.testing.assert_allclose(on_host(found), 4 * on_host(expected), rtol=1e-5)


def test_a_loss_gets_the_axes_of_samples_and_sets():
    targets, predictions = draw(6, 3), draw(6, 4, 3)

    def across_samples(y, p):
        return keras.ops.mean((p - keras.ops.mean(p, axis=0)) ** 2, axis=-1)

    spread = ((predictions - predictions.mean(axis=0)) ** 2).mean(axis=-1).sum(axis=1)
    found = StackedLoss(across_samples, reduction="none")(targets, predictions)
    np.testing.assert_allclose(on_host(found), spread, rtol=1e-4)
    scale = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    errors = np.abs(predictions - targets[:, None])
    weights = np.arange(6, dtype=np.float32)
    for loss, expected in (
        (
            lambda y, p: keras.ops.abs(y - p) * keras.ops.array(scale),
            (errors * scale).mean(axis=-1),
        ),
        (lambda y, p: keras.ops.mean(keras.ops.abs(y - p), -1, keepdims=True), errors.mean(-1)),
    ):
        found = StackedLoss(loss, reduction="none")(targets, predictions, sample_weight=weights)
        np.testing.assert_allclose(on_host(found), expected.sum(axis=1) * weights, rtol=1e-5)


def test_a_loss_of_all_samples_is_refused():
    with pytest.raises(
        ValueError, match=r"the loss 'dice' has shape \(\) for .*; expected \(B, 4, "
    ):
        StackedLoss(keras.losses.Dice())(draw(6, 3), draw(6, 4, 3))


def test_a_loss_is_saved():
    of_logits = keras.losses.BinaryCrossentropy(from_logits=True)
    loss = StackedLoss(of_logits, name="some", reduction="sum")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    targets, predictions = draw(5, 2), draw(5, 4, 2)
    assert on_host(again(targets, predictions)) == on_host(loss(targets, predictions))
    with pytest.raises(ValueError, match="nothing"):
        StackedLoss("nothing")


@TRAINS
@pytest.mark.parametrize("n_samples", [3, 20])  # three sets
def test_a_set_learns_as_if_it_were_alone(n_samples, tmp_path):
    sets = sets_of(3, 2, (1, 4, 1), additive=True, intercept=True, activation="tanh")
    samples, targets = draw(n_samples, 2), draw(n_samples, 1) + 1
    learned = []
    for some in (sets, sets[1]):
        model = model_of(StackedMLP.from_weight_sets(some), n_features=2)
        model.compile(keras.optimizers.SGD(0.1), StackedLoss("mse"))
        history = model.fit(samples, targets, batch_size=n_samples, epochs=3, verbose=0).history
        learned.append(model.layers[-1].to_weight_sets())
    before, after = (float(x.mean_loss(samples, targets)[0]) for x in (sets[1], learned[1]))
    assert after < before
    assert history["loss"][0] == pytest.approx(before, rel=1e-4)
    pairs = zip(learned[0][1].layers, learned[1].layers, strict=True)
    for among_three, alone in itertools.chain(*(zip(*pair, strict=True) for pair in pairs)):
        np.testing.assert_allclose(among_three, alone, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(learned[1].intercept, sets[1].intercept)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].to_weight_sets() == learned[1]


# Stacking many models.


def chain():
    layers = keras.layers
    return model_of(
        layers.Dense(5, "relu", bias_initializer="ones"),
        layers.Dropout(0.5),
        layers.Dense(4, use_bias=False),
        layers.LeakyReLU(0.1),
        layers.Dense(2, "tanh"),
        n_features=4,
    )


def classifier():
    return model_of(keras.layers.Dense(5, "silu"), keras.layers.Dense(3, "softmax"), n_features=4)


def additive_classifier():
    inputs = keras.Input((4,))
    parts = [keras.layers.Dense(3)(inputs[:, i : i + 1]) for i in range(4)]
    return keras.Model(inputs, keras.layers.Softmax()(keras.layers.Add()(parts)))


def branches():
    inputs = [keras.Input((1,)) for _ in range(4)]
    ends = []
    for i in (1, 0, 3, 2):
        hidden = keras.layers.Dense(3, "relu", bias_initializer="random_normal")(inputs[i])
        ends.append(keras.layers.Dense(1)(hidden))
    return keras.Model(inputs, keras.layers.Concatenate()(ends))


@pytest.mark.filterwarnings("ignore:stack_models leaves out the Dropout")
@pytest.mark.parametrize("make", [chain, classifier, additive_classifier, branches])
def test_stacked_models_predict_what_each_does(make, tmp_path):
    models, samples = [make() for _ in range(3)], draw(6, 4)
    stacked = stack_models(models, name="all")
    assert stacked.name == "all"
    assert stacked.count_params() == 3 * models[0].count_params()
    stacked.save(tmp_path / "model.keras")
    for model in (stacked, keras.saving.load_model(tmp_path / "model.keras")):
        found = model.predict(samples, verbose=0)
        of_networks = {branches: (4, 1), additive_classifier: (3,)}
        assert found.shape == (6, 3, *of_networks.get(make, (1, found.shape[-1])))
        for i, one in enumerate(models):
            own = one([samples[:, j : j + 1] for j in range(4)] if make is branches else samples)
            np.testing.assert_allclose(
                found[:, i].reshape(6, -1), on_host(own), rtol=1e-5, atol=1e-6
            )


def test_a_sigmoid_after_a_sum_stays_after_the_sum(tmp_path):
    models = []
    for _ in range(2):
        inputs = keras.Input((2,))
        parts = [keras.layers.Dense(1)(inputs[:, i : i + 1]) for i in range(2)]
        ends = keras.layers.Activation("sigmoid")(keras.layers.Add()(parts))
        models.append(keras.Model(inputs, ends))
    stacked = stack_models(models)
    stacked.save(tmp_path / "stacked.keras")
    for of_sets in (stacked, keras.saving.load_model(tmp_path / "stacked.keras")):
        found = on_host(of_sets(draw(5, 2)))
        for i, model in enumerate(models):
            np.testing.assert_allclose(found[:, i], on_host(model(draw(5, 2))), rtol=1e-5)
    labels = np.array([0, 1, 1, 0, 1], "f4")
    losses = StackedMetric("binary_crossentropy", per_set=True)(labels, found)
    sets = stacked.layers[-2].to_weight_sets()
    expected = sets.mean_loss(draw(5, 2), labels, loss="binary_crossentropy_from_logits")
    np.testing.assert_allclose(on_host(losses), expected, rtol=1e-5)
    with pytest.warns(
        UserWarning, match="the final sigmoid, of the sum over networks, is left out"
    ):
        assert ms.WeightSets.from_models([stacked]) == sets
    again = stack_models([stacked, models[0]])
    np.testing.assert_allclose(
        on_host(again(draw(5, 2)))[:, [0, 1, 0]], found[:, [0, 1, 0]], rtol=1e-5
    )
    stacked.set_weights([x + 1 for x in stacked.get_weights()])
    stacked.layers[-2].to_weight_sets().write_to(models[0], 0)
    np.testing.assert_allclose(
        on_host(models[0](draw(5, 2))), on_host(stacked(draw(5, 2)))[:, 0], rtol=1e-5
    )


@pytest.mark.filterwarnings("ignore:stack_models leaves out the Dropout")
def test_stacked_models_can_be_stacked_again():
    models = [chain() for _ in range(3)]
    twice = stack_models([stack_models(models[:2]), models[2]])
    assert twice.layers[-1].to_weight_sets() == ms.WeightSets.from_models(models)
    models = [classifier() for _ in range(3)]
    twice, once = stack_models([stack_models(models[:2]), models[2]]), stack_models(models)
    assert_same_bits(on_host(twice(draw(5, 4))), on_host(once(draw(5, 4))))
    half = model_of(keras.layers.Dense(5, "silu", dtype="mixed_bfloat16"), n_features=4)
    stacked = stack_models([half, half])
    assert stacked.layers[-1].dtype_policy.name == "mixed_bfloat16"
    with pytest.raises(ValueError, match=r"models\[1\] has the dtype policy 'mixed_bfloat16', but"):
        stack_models([model_of(keras.layers.Dense(5, "silu"), n_features=4), half])
    layers = keras.layers.Dense(5, "silu"), keras.layers.Dense(3)
    without_softmax = model_of(*layers, n_features=4)
    with pytest.raises(ValueError, match="one ends in a softmax, the other does not"):
        stack_models([classifier(), without_softmax])
    affine = StackedAffine.from_weight_sets(ms.WeightSets(draw(2, 4)))
    with pytest.raises(ValueError, match=r"models\[1\] differs in structure from models\[0\]"):
        stack_models([chain(), affine])


# Without a backend.


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        (("keras",), "multisubnet.keras needs Keras: pip install 'multisubnet[keras]'"),
        (("jax", "torch", "tensorflow"), "needs a Keras backend, but the selected one"),
    ],
)
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_without_a_backend(hidden, message, backend):
    if BACKEND != "jax":
        pytest.skip("runs once")
    program = f"""
import importlib.util, sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *_: None if name in {hidden!r} else real(name)
sys.meta_path.insert(0, Hidden())
import multisubnet.keras
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("ImportError: multisubnet.keras needs")
    assert message in run.stderr.splitlines()[-1]
