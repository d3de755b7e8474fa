"""The Keras layer with one Keras backend; test_keras_backends.py runs this with all of them."""

from __future__ import annotations

import importlib
import math
import sys
import warnings

import numpy as np
import pytest

import multisubnet as ms
from multisubnet.testing import assert_same_bits

keras = pytest.importorskip("keras", exc_type=ImportError)  # or its backend is missing
from keras.src.testing import TestCase

from multisubnet.keras import KerasActivation, StackedAffine, StackedLoss, stack_models

BACKEND = keras.backend.backend()
TRAINS = pytest.mark.skipif(BACKEND == "numpy", reason="Keras does not train with NumPy")
ON_TORCH = pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch alone")

pytestmark = [
    # Warnings of run_layer_test, of Keras and of its backends.
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed, but will be ignored"),
    pytest.mark.filterwarnings("ignore:::keras"),
    pytest.mark.filterwarnings("ignore:::tensorflow"),
    pytest.mark.filterwarnings("ignore:::jax"),
]

W1, W2 = [[2, 7], [9, 5]], [[8, 6], [6, 3]]
SAMPLES = np.array([[3, 7], [9, 4]], np.float32)
BOTH = [[[13, 68], [25, 41]], [[30, 45], [78, 27]]]

ACTIVATIONS = [
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "softsign", "hard_sigmoid"),
    *("hard_tanh", "sigmoid", "tanh", "exponential", "softplus", "silu", "gelu", "gelu_tanh"),
]
OURS = [ms.Activation(name) for name in ACTIVATIONS]
OURS += [ms.Activation("leaky_relu", negative_slope=0.3), ms.Activation("elu", alpha=0.7)]


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def on_host(tensor):
    return keras.ops.convert_to_numpy(tensor)


def model_of(*layers, n_features=3):
    return keras.Sequential([keras.Input((n_features,)), *layers])


def einsum_dense(n_features=3, **options):
    options = {"bias_axes": "b", "bias_initializer": "random_normal"} | options
    return keras.layers.EinsumDense("ab,b->ab", n_features, **options)


def test_an_old_version(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.8.0")
    monkeypatch.delitem(sys.modules, "multisubnet.keras")
    with pytest.raises(ImportError, match=r"multisubnet.keras needs Keras 3.9 or newer, but 3.8.0"):
        importlib.import_module("multisubnet.keras")


def test_the_example_of_the_forum():
    layer = StackedAffine.from_weight_sets([W1, W2])
    model = model_of(layer, n_features=2)
    assert model.count_params() == 8
    assert model.predict(SAMPLES, verbose=0).transpose(1, 0, 2).tolist() == BOTH
    assert layer.to_weight_sets() == ms.WeightSets.from_pairs(np.float32([W1, W2]))


class TestOfKeras(TestCase):
    """Keras' own requirements for layers."""

    def run_test(self, init_kwargs, n_weights=2, n_losses=0):
        self.run_layer_test(
            StackedAffine,
            init_kwargs={"sets": 3} | init_kwargs,
            input_shape=(2, 4),
            expected_output_shape=(2, 3, 4),
            expected_num_trainable_weights=n_weights,
            expected_num_non_trainable_weights=0,
            expected_num_seed_generators=0,
            expected_num_losses=n_losses,
            supports_masking=True,
        )

    def test_plain(self):
        self.run_test({})

    def test_everything(self):
        options = {
            "activation": ms.Activation("leaky_relu", negative_slope=0.3),
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": "l1",
            "activity_regularizer": "l2",
            "kernel_constraint": "non_neg",
            "bias_constraint": "max_norm",
        }
        self.run_test(options, n_losses=3)

    def test_without_bias(self):
        self.run_test({"use_bias": False, "activation": "gelu"}, n_weights=1)


@pytest.mark.parametrize("activation", OURS, ids=repr)
def test_each_activation_computes_the_same_and_is_saved(activation, tmp_path):
    sets = ms.WeightSets(draw(5, 3), draw(5, 3), activation)
    model = model_of(StackedAffine.from_weight_sets(sets))
    samples = 3 * draw(40, 3)
    expected = sets.predict(samples, set_axis=1)
    found = model.predict(samples, verbose=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_bits(loaded.predict(samples, verbose=0), found)
    assert loaded.layers[-1].to_weight_sets() == sets


def test_config():
    layer = StackedAffine(
        2,
        "tanh",
        kernel_initializer="zeros",
        bias_regularizer="l2",
        dtype="mixed_float16",
        name="a",
    )
    again = StackedAffine.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.sets, again.activation, again.name) == (2, keras.activations.tanh, "a")
    assert again.dtype_policy.name == "mixed_float16"


def test_shapes_are_known_before_there_are_numbers():
    layer = StackedAffine(5)
    assert layer.compute_output_shape((None, 3)) == (None, 5, 3)
    spec = layer.compute_output_spec(keras.KerasTensor((7, 3), dtype="float32"))
    assert (spec.shape, spec.dtype) == ((7, 5, 3), "float32")
    assert layer(keras.Input((3,))).shape == (None, 5, 3)
    assert layer.kernel.shape == layer.bias.shape == (5, 3)
    with pytest.raises(ValueError, match="expected axis -1"):
        layer(keras.Input((4,)))
    with pytest.raises(ValueError, match="expected ndim=2"):
        StackedAffine(5)(keras.Input((4, 3)))


def test_a_mask_of_samples_is_passed_on():
    inputs = keras.ops.convert_to_tensor(SAMPLES)
    mask = keras.ops.convert_to_tensor(np.array([True, False]))
    assert StackedAffine(5).compute_mask(inputs, mask) is mask


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float16"])
def test_dtype_policies(dtype):
    layer = StackedAffine.from_weight_sets([W1, W2], dtype=dtype)
    outputs = layer(SAMPLES)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype.removeprefix("mixed_")
    in_float32 = on_host(keras.ops.cast(outputs, "float32"))
    assert in_float32.transpose(1, 0, 2).tolist() == BOTH
    kept = "float16" if dtype == "float16" else "float32"
    assert layer.to_weight_sets() == ms.WeightSets.from_pairs(np.array([W1, W2], kept))


@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal", "untruncated_normal"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("shape", [(400, 30), (30, 400), (1, 12000)])
def test_fans_are_those_of_one_weight(mode, distribution, shape):
    initializer = keras.initializers.VarianceScaling(2.0, mode, distribution, seed=1)
    layer = StackedAffine(
        shape[0], kernel_initializer=initializer, bias_initializer=initializer.clone()
    )
    layer.build((None, shape[1]))
    for drawn in (on_host(layer.kernel), on_host(layer.bias)):
        assert drawn.std() == pytest.approx(math.sqrt(2), rel=0.05)
        assert len(np.unique(drawn)) > 0.99 * drawn.size  # sets do not share draws


def test_default_draws_are_those_of_a_dense_layer_of_one_feature():
    layer = StackedAffine(50)
    layer.build((None, 40))
    drawn = np.abs(on_host(layer.kernel))
    assert 0.98 * math.sqrt(3) < drawn.max() <= math.sqrt(3)
    assert not on_host(layer.bias).any()


def test_other_initializers_are_left_alone():
    layer = StackedAffine(50, kernel_initializer=keras.initializers.RandomUniform(2, 3))
    layer.build((None, 40))
    assert 2 <= on_host(layer.kernel).min() < 2.02 < 2.98 < on_host(layer.kernel).max() <= 3


@pytest.mark.parametrize("name", ["kernel_initializer", "bias_initializer"])
@pytest.mark.parametrize("initializer", ["orthogonal", "identity"])
def test_initializers_of_matrices(name, initializer):
    with pytest.raises(ValueError, match=f"{name} is .*, which creates matrices"):
        StackedAffine(3, **{name: initializer})


@pytest.mark.parametrize("sets", [0, -1, 2.0, "3", None, True])
def test_sets_must_be_a_positive_integer(sets):
    with pytest.raises(ValueError, match="sets must be a positive integer, not"):
        StackedAffine(sets)


@TRAINS
def test_fit_finds_the_weights_of_each_set():
    truth = ms.WeightSets(draw(4, 3), draw(4, 3))
    samples = draw(256, 3)
    targets = truth.predict(samples, set_axis=1)
    model = model_of(StackedAffine(4))
    model.compile("adam", StackedLoss("mse"))
    model.optimizer.learning_rate = 0.05
    history = model.fit(samples, targets, epochs=60, verbose=0).history["loss"]
    assert history[-1] < 1e-3 * history[0]
    found = model.layers[-1].to_weight_sets()
    np.testing.assert_allclose(found.weight, truth.weight, atol=0.05)
    np.testing.assert_allclose(found.bias, truth.bias, atol=0.05)


@TRAINS
def test_a_set_learns_as_if_it_were_alone():
    samples, targets = draw(32, 3), draw(32, 2, 3)
    sets = ms.WeightSets(draw(2, 3), draw(2, 3), "tanh")
    stacked = model_of(StackedAffine.from_weight_sets(sets, kernel_regularizer="l2"))
    alone = model_of(StackedAffine.from_weight_sets(sets[1], kernel_regularizer="l2"))
    # A sum over sets: a mean would divide each gradient by their number.
    for model, wanted in ((stacked, targets), (alone, targets[:, 1:])):
        model.compile(
            keras.optimizers.SGD(0.1),
            lambda y, p: keras.ops.mean(keras.ops.sum(keras.ops.square(y - p), axis=1)),
        )
        model.fit(samples, wanted, epochs=5, verbose=0, shuffle=False)
    one = alone.layers[-1].to_weight_sets()
    among_two = stacked.layers[-1].to_weight_sets()[1]
    assert not np.allclose(one.weight, sets[1].weight, atol=1e-3)
    np.testing.assert_allclose(among_two.weight, one.weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(among_two.bias, one.bias, rtol=1e-4, atol=1e-6)


def test_from_weight_sets():
    sets = ms.WeightSets([[1.0, 2.0]], activation="relu")
    layer = StackedAffine.from_weight_sets(sets, dtype="float16", name="some")
    assert (layer.use_bias, layer.bias, layer.name) == (False, None, "some")
    assert layer.to_weight_sets() == ms.WeightSets(np.float16(sets.weight), activation="relu")
    with pytest.raises(ValueError, match=r"sets have the activation .*relu.* already; .* 'tanh'"):
        StackedAffine.from_weight_sets(sets, "tanh")
    linear = ms.WeightSets([[1.0, 2.0]])
    assert StackedAffine.from_weight_sets(linear, "tanh").activation is keras.activations.tanh
    with pytest.raises(ValueError, match=r"pairs has shape \(2, 2\)"):
        StackedAffine.from_weight_sets(W1)
    with pytest.raises(TypeError, match="sets are of dtype complex128; expected real numbers"):
        StackedAffine.from_weight_sets([[[1j, 0]]])
    with pytest.raises(ValueError, match="sets must be a positive integer, not 0"):
        StackedAffine.from_weight_sets(linear[:0])


def test_to_weight_sets():
    layer = StackedAffine(2, "softmax", name="some")
    with pytest.raises(ValueError, match="'some' has no weights before it is built"):
        layer.to_weight_sets()
    layer.build((None, 3))
    with pytest.raises(ValueError, match=r"'some' has the activation .*softmax.*; expected one"):
        layer.to_weight_sets()


def test_activations_without_a_name_in_keras():
    with pytest.raises(
        ValueError, match="name must be one of leaky_relu, elu, gelu_tanh, not 'relu'"
    ):
        KerasActivation("relu")
    with pytest.raises(TypeError, match="activation must be a function, not its derivative"):
        StackedAffine(3, ms.Activation("tanh").derivative)


# Stacking many models.


@pytest.mark.filterwarnings("ignore:stack_models leaves out the Dropout")
def test_stacked_models_predict_what_each_does():
    layers = [
        einsum_dense(activation="tanh"),
        einsum_dense(activation="tanh", name="other"),
        StackedAffine.from_weight_sets(ms.WeightSets(draw(2, 3), draw(2, 3), "tanh")),
    ]
    models = [model_of(layers[0]), model_of(keras.layers.Dropout(0.5), layers[1]), layers[2]]
    stacked = stack_models(models, name="all")
    assert (stacked.name, stacked.count_params()) == ("all", 24)
    samples = draw(5, 3)
    found = stacked.predict(samples, verbose=0)
    each = [on_host(model(samples)) for model in models]
    np.testing.assert_allclose(found[:, 0], each[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[:, 1], each[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[:, 2:], each[2], rtol=1e-5, atol=1e-6)
    before = models[0].get_weights()
    stacked.set_weights([np.zeros((4, 3)), np.zeros((4, 3))])
    assert_same_bits(models[0].get_weights()[0], before[0])


def test_a_stacked_model_can_be_stacked_again():
    models = [model_of(einsum_dense()) for _ in range(3)]
    twice = stack_models([stack_models(models[:2]), models[2]])
    once = stack_models(models)
    assert twice.layers[-1].to_weight_sets() == once.layers[-1].to_weight_sets()


def test_stacked_models_have_one_policy():
    half = [model_of(einsum_dense(dtype="mixed_float16")) for _ in range(2)]
    stacked = stack_models(half)
    assert stacked.layers[-1].dtype_policy.name == "mixed_float16"
    with pytest.raises(
        ValueError, match=r"models\[2\] has the dtype policy 'float32', but models\[0\]"
    ):
        stack_models([*half, model_of(einsum_dense())])


def test_items_that_are_not_keras_models():
    with pytest.raises(TypeError, match=r"models\[1\] is a tuple; expected a keras.Model"):
        stack_models([einsum_dense(), ([1.0], [2.0])])
    with pytest.raises(ValueError, match="models is empty"):
        stack_models([])


class Affine(keras.layers.Layer):
    """A user's layer, with variables that have no names."""

    def __init__(self, function=None):
        super().__init__()
        self.function = function or (lambda z: z)

    def build(self, shape):
        self.kernel = self.add_weight(shape=shape[1:], initializer="random_normal")
        self.bias = self.add_weight(shape=shape[1:], initializer="random_normal")

    def call(self, inputs):
        return self.function(inputs * self.kernel + self.bias)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: einsum_dense(),
        lambda: keras.layers.EinsumDense("...b,b->...b", (3,), bias_axes="b"),
        lambda: Affine(),
        lambda: einsum_dense(dtype="bfloat16"),
        lambda: einsum_dense(activation=keras.layers.LeakyReLU(0.3)),
        lambda: einsum_dense(activation=keras.layers.ELU(0.7)),
        lambda: einsum_dense(activation=KerasActivation("gelu_tanh")),
        *(lambda name=name: einsum_dense(activation=name) for name in ACTIVATIONS[:-1]),
    ],
)
def test_layers_that_are_read(layer):
    layer = layer()
    model = model_of(layer)
    sets = ms.WeightSets.from_models([model, layer])
    samples = draw(5, 3)
    expected = on_host(keras.ops.cast(model(samples), "float32"))
    rtol = 0.05 if layer.dtype_policy.name == "bfloat16" else 1e-5
    for found in sets.predict(samples):
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def test_a_dense_layer_on_one_feature():
    model = model_of(keras.layers.Dense(1, bias_initializer="ones"), n_features=1)
    sets = ms.WeightSets.from_models([model])
    assert sets.to_pairs().tolist() == [[[float(model.get_weights()[0][0, 0]), 1.0]]]


def test_models_without_bias_and_variables_that_change_later():
    layer = einsum_dense(bias_axes=None)
    sets = ms.WeightSets.from_models([model_of(layer)])
    assert sets.bias is None
    before = sets.weight.copy()
    layer.set_weights([np.zeros(3)])
    assert_same_bits(sets.weight, before)


def functional_with_an_operation():
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.ops.tanh(einsum_dense()(inputs)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: keras.layers.LayerNormalization(), "with LayerNormalization, which is not"),
        (lambda: keras.layers.BatchNormalization(), "with BatchNormalization, which is not"),
        (lambda: keras.layers.BatchNormalization(center=False, scale=False), "fold it into"),
        (lambda: keras.layers.PReLU(), "with PReLU, which is not a dense layer;"),
        (lambda: keras.layers.Embedding(3, 1), "with Embedding, which is not a dense layer;"),
        (lambda: Affine(keras.ops.tanh), "whose outputs are not those"),
        (lambda: einsum_dense(activation="softmax"), "with the activation softmax .known are"),
    ],
)
def test_layers_that_are_refused(model, message):
    model = model()
    if not isinstance(model, keras.Model):
        model = model_of(model)
    with pytest.raises(ValueError, match=rf"^models\[0\] is a \w+ .*{message}"):
        ms.WeightSets.from_models([model])


def test_models_of_more_layers_are_refused():
    layers = [keras.layers.LayerNormalization(scale=False, center=False), einsum_dense()]
    with pytest.raises(ValueError, match=r"models\[0\] is a Sequential with LayerNorm"):
        stack_models([model_of(*layers)])


@pytest.mark.parametrize(
    ("make", "n_axes"),
    [
        (lambda: model_of(einsum_dense(), keras.layers.Activation("tanh")), 3),
        (functional_with_an_operation, 3),
        (lambda: model_of(einsum_dense(activation="relu"), einsum_dense()), 4),
        (lambda: model_of(keras.layers.EinsumDense("ab,b->a", ())), 4),
    ],
)
def test_several_operations_are_stacked(make, n_axes):
    models, samples = [make(), make()], draw(5, 3)
    found = stack_models(models).predict(samples, verbose=0)
    assert found.ndim == n_axes
    for i, model in enumerate(models):
        expected = on_host(model(samples)).reshape(5, -1)
        np.testing.assert_allclose(found[:, i].reshape(5, -1), expected, rtol=1e-5, atol=1e-6)


class Uncalled(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.last = keras.layers.Dense(4, "relu"), keras.layers.Dense(3)

    def call(self, inputs):
        return self.last(self.hidden(inputs))


@pytest.mark.parametrize(
    "make",
    [
        einsum_dense,
        lambda: keras.Sequential([einsum_dense()]),
        lambda: keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dense(3)]),
        Uncalled,
    ],
)
def test_models_that_are_not_built(make):
    message = r" is an? \w+ that is not built and .*: call it on samples once, or use its build\("
    with pytest.raises(ValueError, match=r"^models\[0\]" + message):
        ms.WeightSets.from_models([make()])
    for sets in (ms.WeightSets(draw(1, 3)), ms.WeightSets.from_layers([draw(1, 1, 3, 2)])):
        with pytest.raises(ValueError, match=r"^model" + message):
            sets.write_to(make(), 0)
    built = make()
    built(draw(2, 3))
    assert ms.WeightSets.from_models([built]).n_features == 3


def test_an_activation_that_does_not_show_can_be_given():
    model = model_of(Affine(keras.ops.tanh))
    assert ms.WeightSets.from_models([model], "tanh").activation == ms.Activation("tanh")


# The backend that computes.


@pytest.mark.skipif(BACKEND not in ("torch", "numpy"), reason="Keras compiles what it computes")
@pytest.mark.parametrize("activation", [None, "tanh", "softmax"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_the_engine_predicts_where_it_can(activation, use_bias):
    pytest.importorskip("numba")
    layer = StackedAffine(64, activation, use_bias, bias_initializer="random_normal")
    model = model_of(layer, n_features=33)
    samples = draw(100, 33)
    with ms.use_backend("numpy"):  # an explicit choice disables the engine
        without = model.predict(samples, verbose=0)
    with ms.use_backend("numba"):
        found = model.predict(samples, verbose=0)
        if activation == "softmax":
            np.testing.assert_allclose(found, without, rtol=1e-5)
            return
        assert_same_bits(found, layer.to_weight_sets().predict(samples, set_axis=1))


@ON_TORCH
def test_the_engine_leaves_alone_what_pytorch_records():
    import torch
    from torch.autograd import forward_ad
    from torch.fx.experimental.proxy_tensor import make_fx

    pytest.importorskip("numba")
    sets = ms.WeightSets(draw(64, 33), draw(64, 33), "tanh")
    layer = StackedAffine.from_weight_sets(sets)
    samples = torch.from_numpy(draw(10, 33))
    expected = sets.predict(samples.numpy(), set_axis=1)

    with ms.use_backend("numba"):
        inputs = samples.clone().requires_grad_()
        layer(inputs).sum().backward()
        assert inputs.grad.abs().sum() > 0
        assert layer.kernel.value.grad.shape == (64, 33)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from torch itself
            mapped = torch.func.vmap(layer)(samples[:, None])[:, 0]
            traced = torch.jit.trace(layer, (samples,), check_trace=False)(2 * samples)
            compiled = torch.compile(layer.call, backend="eager", fullgraph=True)(2 * samples)
            of_graph = make_fx(lambda x: layer.call(x))(samples)(2 * samples)
            jvp = torch.func.jvp(layer.call, (samples,), (samples,))[1]
            with forward_ad.dual_level():
                dual = forward_ad.make_dual(samples, samples)
                tangent = forward_ad.unpack_dual(layer.call(dual)).tangent
    np.testing.assert_allclose(mapped.numpy(), expected, rtol=1e-5, atol=1e-6)
    twice = sets.predict(2 * samples.numpy(), set_axis=1)
    for found in (traced, compiled, of_graph):
        np.testing.assert_allclose(found.numpy(), twice, rtol=1e-5, atol=1e-6)
    assert jvp.abs().sum() > 0
    assert torch.equal(tangent, jvp)


@ON_TORCH
def test_memory_that_layers_share_is_not_written_to():
    import torch

    pytest.importorskip("numba")
    layer = StackedAffine.from_weight_sets([W1, W2])
    with ms.use_backend("numba"), torch.no_grad():
        outputs = layer(SAMPLES)
        outputs += 1
    assert layer.to_weight_sets() == ms.WeightSets.from_pairs(np.float32([W1, W2]))
