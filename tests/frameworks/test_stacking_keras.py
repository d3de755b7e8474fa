"""What models keep when they are stacked; test_keras_backends.py runs this with all backends."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

import multisubnet as ms

keras = pytest.importorskip("keras", exc_type=ImportError)  # or its backend is missing

from multisubnet.keras import StackedAffine, StackedLoss, StackedMLP, stack_models

layers = keras.layers
BACKEND = keras.backend.backend()
TRAINS = pytest.mark.skipif(BACKEND == "numpy", reason="Keras does not train with NumPy")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed, but will be ignored"),
    pytest.mark.filterwarnings("ignore:::keras"),
    pytest.mark.filterwarnings("ignore:::tensorflow"),
    pytest.mark.filterwarnings("ignore:::jax"),
]


def model_of(*of_model, n_features=2):
    return keras.Sequential([keras.Input((n_features,)), *of_model])


def affine_model(**options):
    return model_of(layers.EinsumDense("ab,b->ab", 2, bias_axes="b", **options))


def additive_sets():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(2, 3, *shape)).astype("f4") for shape in ((1, 4), (4,), (4, 1))]
    intercept = rng.normal(size=(2, 1)).astype("f4")
    return ms.WeightSets.from_layers(
        [arrays[:2], arrays[2]], activation="relu", additive=True, intercept=intercept
    )


@pytest.mark.parametrize("kind", [StackedAffine, StackedMLP])
def test_no_weights_are_drawn_for_sets_that_have_them(kind):
    pairs = np.arange(12, dtype="f4").reshape(2, 3, 2)
    sets = ms.WeightSets.from_pairs(pairs) if kind is StackedAffine else additive_sets()
    before = sets.to_theta()
    modules = (f"multisubnet.keras.{module}.draw" for module in ("_layer", "_network_layer"))
    with mock.patch(next(modules)) as drawn, mock.patch(next(modules)) as other:
        layer = kind.from_weight_sets(sets)
    assert not drawn.called
    assert not other.called
    assert layer.to_weight_sets() == sets
    again = kind.from_config(layer.get_config() | {"kernel_initializer": "ones"})
    again.build((None, 3))  # with weights of its own
    assert again.to_weight_sets() != sets
    layer.set_weights([array + 1 for array in layer.get_weights()])
    np.testing.assert_array_equal(sets.to_theta(), before)  # no memory is shared


def models_of(*makers):
    """Return models of two features whose layers are created by these functions."""
    return [model_of(*(maker() for maker in makers)) for _ in range(3)]


KINDS = {
    "networks": lambda: models_of(
        lambda: layers.Dense(4, "tanh", trainable=False),
        lambda: layers.Dense(3, "tanh", kernel_regularizer="l2", bias_regularizer="l1"),
        lambda: layers.Dropout(0.0),
        lambda: layers.Dense(1, kernel_regularizer=keras.regularizers.L1(0.3)),
    ),
    "one regularizer": lambda: models_of(
        lambda: layers.Dense(4, "tanh", kernel_regularizer="l2"),
        lambda: layers.Dense(1, kernel_regularizer="l2"),
    ),
    "affine": lambda: [affine_model(kernel_regularizer="l2") for _ in range(3)],
    "layers": lambda: [stack_models([affine_model(kernel_regularizer="l2")]) for _ in range(3)],
    "stacks": lambda: [stack_models(KINDS["networks"]()[:2]) for _ in range(2)],
}


@TRAINS
@pytest.mark.parametrize("kind", KINDS if BACKEND == "torch" else ["affine"])  # JAX compiles each
def test_a_stacked_model_learns_as_its_models_do(kind, tmp_path):
    models = KINDS[kind]()
    stacked = stack_models(models)
    frozen = [model.non_trainable_variables for model in models]
    assert len(stacked.non_trainable_variables) == len(frozen[0])
    before = ms.WeightSets.from_models(models)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 2)).astype("f4")
    y = rng.normal(size=(8, stacked.output_shape[-1])).astype("f4")
    stacked.compile(keras.optimizers.SGD(0.1), StackedLoss("mse"))
    each = []
    for model in models:
        own = StackedLoss("mse") if len(model.output_shape) > 2 else "mse"
        model.compile(keras.optimizers.SGD(0.1), own)
        each.append(model.evaluate(x, y, verbose=0))
    assert stacked.evaluate(x, y, verbose=0) == pytest.approx(sum(each), rel=1e-5)
    for model in (*models, stacked):
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    expected = ms.WeightSets.from_models(models)
    assert expected != before
    found = stacked.layers[-1].to_weight_sets()
    np.testing.assert_allclose(found.to_theta(), expected.to_theta(), rtol=1e-5, atol=1e-6)
    stacked.save(tmp_path / "stacked.keras")
    loaded = keras.saving.load_model(tmp_path / "stacked.keras")
    names = [variable.name for variable in stacked.trainable_variables]
    assert [variable.name for variable in loaded.trainable_variables] == names
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(stacked.evaluate(x, y, verbose=0))


def test_models_that_are_frozen_stay_frozen_until_they_are_released():
    models = models_of(lambda: layers.Dense(4, "tanh", kernel_initializer="ones"))
    for model in models:
        model.trainable = False
    stacked = stack_models(models)
    assert not stacked.trainable_variables
    assert stacked.layers[-1].get_config()["trainable"] is False
    stacked.layers[-1].trainable = True
    assert len(stacked.trainable_variables) == 2


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras releases no variables on TensorFlow")
def test_layers_that_are_frozen_are_released_together():
    layer = StackedMLP(2, (2, 4, 1), trainable=[False, True], kernel_initializer="ones")
    assert layer.get_config()["trainable"] == (False, True)
    layer.build((None, 2))
    assert [x.name for x in layer.trainable_variables] == ["kernel_1", "bias_1"]
    layer.trainable = True
    assert len(layer.trainable_variables) == 4
    assert layer.get_config()["trainable"] is True


def additive_models(options, **of_intercept):
    models = [model_of(StackedMLP(1, (1, 2, 1), n_subnetworks=2, additive=True)) for _ in range(2)]
    for model in models:
        model.layers[-1].trainable = options
        model.layers[-1].intercept.trainable = of_intercept["learns"]
    return models


def test_an_intercept_may_be_all_that_learns():
    stacked = stack_models(additive_models(False, learns=True))
    assert [x.name for x in stacked.trainable_variables] == ["intercept"]
    layer = StackedMLP(2, (1, 2, 1), n_subnetworks=2, additive=True, trainable=(False, False))
    layer.build((None, 2))
    assert [x.name for x in layer.trainable_variables] == ["intercept"]


class Own(layers.Layer):
    """One weight and one bias per feature, held by other attributes than those of Keras."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=shape[-1:], name="kernel", regularizer="l2")
        self.shift = self.add_weight(shape=shape[-1:], name="bias")

    def call(self, inputs):
        return inputs * self.kernel + self.shift


def test_a_regularizer_of_a_layer_of_your_own_stays():
    stacked = stack_models([model_of(Own()) for _ in range(2)])  # a warning would be an error
    assert stacked.layers[-1].kernel_regularizer is not None
    assert stacked.layers[-1].bias_regularizer is None


def norm(kernel):
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(kernel)))


def sharing():
    inputs, dense = keras.Input((2,)), layers.Dense(1)
    outputs = [dense(part) for part in keras.ops.split(inputs, 2, axis=1)]
    return keras.Model(inputs, layers.Concatenate()(outputs))


def one_frozen():
    models = models_of(lambda: layers.Dense(3), lambda: layers.Dense(1))
    models[1].layers[0].trainable = False
    return models


def other_regularizers():
    penalties = iter(keras.regularizers.L2(x) for x in (0.1, 0.2, 0.1))
    return models_of(
        lambda: layers.Dense(3), lambda: layers.Dense(1, bias_regularizer=next(penalties))
    )


LEFT_OUT = {
    "kernel_constraint": lambda: models_of(
        lambda: layers.Dense(3, kernel_constraint="non_neg"), lambda: layers.Dense(1)
    ),
    "activity_regularizer": lambda: models_of(
        lambda: layers.Dense(3), lambda: layers.ActivityRegularization(0.1), lambda: layers.Dense(1)
    ),
    **{
        f"the {kind.__name__} '": lambda kind=kind: models_of(
            lambda: layers.Dense(3), lambda: kind(0.5), lambda: layers.Dense(1)
        )
        for kind in (layers.Dropout, layers.GaussianNoise)
    },
    "kernel_regularizer of": lambda: [affine_model(kernel_regularizer=norm) for _ in range(2)],
    "bias_regularizer .*not in all": other_regularizers,
    "is frozen .*not in all": one_frozen,
    "that networks share the weights": lambda: [sharing()],
    "that .*/intercept' is frozen": lambda: additive_models(True, learns=False),
}


@pytest.mark.parametrize("left_out", LEFT_OUT)
def test_a_warning_names_what_a_stacked_model_leaves_out(left_out):
    with pytest.warns(UserWarning, match=f"stack_models leaves out.*{left_out}") as found:
        stacked = stack_models(LEFT_OUT[left_out]())
    assert len(found) == 1
    assert found[0].filename == __file__
    assert str(found[0].message).count("'") == 2  # one variable or layer of many
    assert stacked.losses == []
    assert len(stacked.trainable_variables) == len(stacked.variables)


@pytest.mark.parametrize("name", ["trainable", "kernel_regularizer", "use_bias"])
def test_options_of_layers_have_their_number(name):
    with pytest.raises(ValueError, match=f"{name} has 3 entries; .* or 2 of them, one per layer"):
        StackedMLP(2, (2, 4, 1), **{name: [True, False, True]})
