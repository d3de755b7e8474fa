"""Errors that say what to do, for calls that a user of Keras tries."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

import multisubnet as ms

keras = pytest.importorskip("keras", exc_type=ImportError)  # or its backend is missing

from multisubnet.keras import (
    KerasActivation,
    StackedAffine,
    StackedLoss,
    StackedMetric,
    StackedMLP,
    stack_models,
)

SETS = ms.WeightSets.from_layers([np.ones((2, 1, 6, 3)), np.ones((2, 1, 3, 1))])
X = np.ones((4, 6), "f4")


def model(n_features=6):
    layer = keras.layers.Dense(1, kernel_initializer="ones")
    return keras.Sequential([keras.Input((n_features,)), layer])


def build(n_features, *args, **options):
    return StackedMLP(2, *args, **options).build((None, n_features))


CALLS = {
    "StackedMLP takes n_sets, layer_sizes, but layer_sizes is missing": lambda: StackedMLP((6, 1)),
    "StackedMLP() got an unexpected keyword argument 'n_subnetwork' (did you mean "
    "'n_subnetworks'?)": (lambda: StackedMLP(2, (6, 1), n_subnetwork=3)),
    "StackedMLP takes n_sets, layer_sizes by position, but got 3 positional arguments; the first "
    "extra one is 'relu'; pass options by name: n_subnetworks=, activation=": (
        lambda: StackedMLP(2, (6, 1), "relu", dtype="float32")
    ),
    "StackedAffine() got an unexpected keyword argument 'kernel_regularize' (did you mean "
    "'kernel_regularizer'?)": lambda: StackedAffine(2, kernel_regularize="l2", name="own"),
    "sets must be a positive integer": lambda: StackedAffine(0, name="own", dtype="float32"),
    "layer_sizes is 16; expected a sequence": lambda: StackedMLP(2, 16),
    "layer_sizes is '6,1'; expected a sequence": lambda: StackedMLP(2, "6,1"),
    "layer_sizes[0] is 6 and n_subnetworks is 1, which does not fit 5 features; expected "
    "layer_sizes=(5, ...) for one network": lambda: build(5, (6, 1)),
    "layer_sizes=(1, ...) and n_subnetworks=6 for one per feature": (
        lambda: build(6, (1, 4, 1), additive=True)
    ),
    "sets is a list; expected WeightSets: for models, use stack_models([model, another])": (
        lambda: StackedMLP.from_weight_sets([model()])
    ),
    "sets is a Sequential; expected WeightSets: for models": (
        lambda: StackedAffine.from_weight_sets(model())
    ),
    "sets is an ndarray; expected WeightSets: WeightSets.from_layers": (
        lambda: StackedMLP.from_weight_sets(X)
    ),
    "layer sizes (6, 3, 1); expected one weight and at most one bias per feature: use "
    "StackedMLP.from_weight_sets": lambda: StackedAffine.from_weight_sets(SETS),
    "models is a dict; expected a list of models": lambda: stack_models({"a": model()}),
    "model is a list of models; expected one model, as in: for i, model in": (
        lambda: SETS.write_to([model(), model()])
    ),
    "model is a Functional with 2 sets, which cannot be written to": (
        lambda: ms.WeightSets([[1.0]]).write_to(stack_models([model(), model()]))
    ),
    "samples has shape (2, 4, 3); expected (B, 6) or (N, B, 6), for 2 sets of 6 features; to join "
    "features, pass numpy.column_stack(samples)": lambda: SETS.predict([X[:, :3], X[:, 3:]]),
    "samples has shape (2, 4, 6); expected (B, 3) or (N, B, 3), for 1 set of 3 features": (
        lambda: ms.WeightSets([[1.0] * 3]).predict((X, X))
    ),
    "loss is None; expected a name": lambda: StackedLoss(None),
}


@pytest.mark.parametrize("message", CALLS)
def test_a_wrong_call_says_what_would_do(message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        CALLS[message]()


def test_representations():
    assert repr(StackedLoss("mse")) == "<StackedLoss mean_squared_error>"
    assert repr(StackedLoss(keras.losses.Huber())) == "<StackedLoss huber>"
    assert repr(KerasActivation("elu", alpha=2.0)) == "KerasActivation('elu', alpha=2.0)"


@pytest.mark.parametrize(
    ("function", "name", "message"),
    [
        (StackedLoss, "binary_crosentropy", "loss must be .* mean 'binary_crossentropy'"),
        (StackedLoss, "binary_crossentropy_from_logits", r"BinaryCrossentropy\(from_logits=True\)"),
        (StackedMetric, "binary_acuracy", "metric must be .* mean 'binary_accuracy'"),
    ],
)
def test_names_that_keras_does_not_know(function, name, message):
    with pytest.raises(ValueError, match=message):
        function(name)
    with pytest.raises(ValueError, match="Could not interpret"):
        function(3)


@pytest.mark.skipif(keras.backend.backend() in ("numpy", "openvino"), reason="does not train")
@pytest.mark.filterwarnings("ignore:__array__ impl", "ignore:.*received `from_logits=True`")
@pytest.mark.parametrize("layer", ["StackedAffine", "StackedMLP"])
def test_losses_that_do_not_fit_the_output_activation(layer):
    def fit(activation, loss, added=()):
        of_sets = StackedAffine(2, activation=activation)
        if layer == "StackedMLP":
            of_sets = StackedMLP(2, (6, 1), output_activation=activation)
        model = keras.Sequential([keras.Input((6,)), of_sets, *added])
        model.compile(loss=StackedLoss(loss), optimizer="sgd")
        model.fit(X, np.ones((4, 1), "f4"), verbose=0)

    of_logits = keras.losses.BinaryCrossentropy(from_logits=True)
    for activation, loss, message in (
        ("sigmoid", of_logits, "takes logits, .* is sigmoid: pass a loss with from_logits=False"),
        (
            None,
            "binary_crossentropy",
            "takes probabilities, .* linear: pass a .* from_logits=True",
        ),
    ):
        with pytest.warns(UserWarning, match=message) as warned:
            fit(activation, loss)
        assert [w.filename for w in warned if "output activation" in str(w.message)] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit("sigmoid", "binary_crossentropy")
        fit(None, of_logits)
        fit(None, "mse")
        fit(None, "binary_crossentropy", [keras.layers.Activation("sigmoid")])
