"""WeightSets from models of dense layers: scikit-learn estimators, lists and mappings."""

from __future__ import annotations

import copy
import warnings
from contextlib import nullcontext

import numpy as np
import pytest

import multisubnet as ms

X = np.random.default_rng(0).normal(size=(60, 3))
ONE, TWO = X @ [1.0, -2.0, 0.5], X @ np.ones((3, 2))
CLASSES = (X[:, 0] > 0) + (X[:, 1] > 0.5) * 1
WEIGHTS = [np.ones((3, 4)), np.zeros(4), np.full((4, 2), 0.5), np.ones(2)]


@pytest.fixture(scope="module")
def sklearn():
    pytest.importorskip("sklearn")
    import sklearn.linear_model
    import sklearn.neural_network
    import sklearn.svm

    return sklearn


def fitted(estimator, targets):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few steps do not converge
        return estimator.fit(X, targets)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize(("targets", "hidden"), [(ONE, (5,)), (TWO, (4, 3)), (ONE, ())])
def test_regressors_of_layers(sklearn, activation, targets, hidden):
    def model(seed):
        made = sklearn.neural_network.MLPRegressor(
            hidden_layer_sizes=hidden, activation=activation, max_iter=5, random_state=seed
        )
        return fitted(made, targets)

    models = [model(0), model(1)]
    sets = ms.WeightSets.from_models(models)
    assert sets.n_networks == 1
    assert sets.layer_sizes == (3, *hidden, targets.ndim)
    for i, one in enumerate(models):
        values = sets.predict(X)[i, :, 0]
        assert np.allclose(values, one.predict(X).reshape(values.shape), rtol=1e-12, atol=1e-12)
    target = model(2)
    sets.write_to(target, 1)
    assert np.array_equal(target.predict(X), models[1].predict(X))
    sets.write_to(target, 0)
    assert ms.WeightSets.from_models([target]) == sets[0]


def test_classifiers_of_layers(sklearn):
    def model(targets):
        made = sklearn.neural_network.MLPClassifier((4,), max_iter=5, random_state=0)
        return fitted(made, targets)

    two = model(CLASSES > 0)
    values = ms.WeightSets.from_models([two]).predict(X)[0, :, 0]
    assert np.allclose(values[:, 0], two.predict_proba(X)[:, 1], rtol=1e-10)
    labels = model(np.stack([CLASSES > 0, CLASSES > 1], axis=1))
    values = ms.WeightSets.from_models([labels]).predict(X)[0, :, 0]
    assert np.allclose(values, labels.predict_proba(X), rtol=1e-10)
    three = model(CLASSES)
    with pytest.warns(UserWarning, match="so predictions are logits"):
        logits = ms.WeightSets.from_models([three])
    assert logits.output_activation == ms.Activation("linear")
    values = np.exp(logits.predict(X)[0, :, 0])
    assert np.allclose(values / values.sum(1, keepdims=True), three.predict_proba(X), rtol=1e-10)


@pytest.mark.parametrize("targets", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("name", ["LinearRegression", "Ridge"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_linear_models(sklearn, name, targets, fit_intercept):
    model = fitted(getattr(sklearn.linear_model, name)(fit_intercept=fit_intercept), targets)
    sets = ms.WeightSets.from_models([model])
    assert sets.layer_sizes == (3, targets.ndim)
    expected = model.predict(X)
    values = sets.predict(X)[0, :, 0].reshape(expected.shape)
    assert np.allclose(values, expected, rtol=1e-10, atol=1e-10)
    other = fitted(copy.deepcopy(model), targets + X[:, :1] if targets.ndim == 2 else X[:, 0])
    sets.write_to(other, 0)
    assert np.array_equal(other.predict(X), expected)


def test_linear_classifiers(sklearn):
    for targets, n_outputs in ((CLASSES > 0, 1), (CLASSES, 3)):
        model = fitted(sklearn.linear_model.LogisticRegression(), targets)
        with pytest.warns(UserWarning, match="logits") if n_outputs == 3 else nullcontext():
            sets = ms.WeightSets.from_models([model])
        assert sets.layer_sizes == (3, n_outputs)
        values = sets.predict(X)[0, :, 0]
        if n_outputs == 1:
            assert np.allclose(values[:, 0], model.predict_proba(X)[:, 1])
        else:
            assert np.allclose(values, model.decision_function(X))
    model = fitted(sklearn.svm.LinearSVC(), CLASSES > 0)
    values = ms.WeightSets.from_models([model]).predict(X)[0, :, 0, 0]
    assert np.allclose(values, model.decision_function(X))
    poisson = fitted(sklearn.linear_model.PoissonRegressor(), np.abs(ONE))
    with pytest.raises(ValueError, match=r"PoissonRegressor whose outputs are not those of"):
        ms.WeightSets.from_models([poisson])


def test_lists_and_mappings():
    sets = ms.WeightSets.from_models([WEIGHTS, WEIGHTS], activation="tanh")
    layers = [(WEIGHTS[0], WEIGHTS[1]), (WEIGHTS[2], WEIGHTS[3])]
    layers = [(np.stack([w[None]] * 2), np.stack([b[None]] * 2)) for w, b in layers]
    assert sets == ms.WeightSets.from_layers(layers, activation="tanh")
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    state = {k: x.T for k, x in zip(names, WEIGHTS, strict=True)}
    assert ms.WeightSets.from_models([state], activation="tanh") == sets[0]
    assert ms.WeightSets.from_models([sets, sets[:1]]).n_sets == 3
    without = ms.WeightSets.from_models([[WEIGHTS[0], WEIGHTS[2]]], activation="relu")
    assert [bias for _, bias in without.layers] == [None, None]


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        (
            [WEIGHTS],
            {},
            "2 layers, but without the activation .*: pass activation='relu'",
        ),
        (
            [WEIGHTS[1:]],
            {"activation": "relu"},
            "an array of shape .* that is neither a weight nor the bias of",
        ),
        ([WEIGHTS[:1] + WEIGHTS[:1]], {"activation": "relu"}, r"shapes \(3, 4\), \(3, 4\)"),
        ([[np.ones((3, 4)), np.ones(3)]], {}, r"shape \(3, 4\) and a bias of shape \(3,\)"),
        ([{"0.weight": WEIGHTS[0], "0.scale": WEIGHTS[1]}], {}, "0.scale, which is neither"),
        ([[np.array([["a"]])]], {}, "dtype <U1"),
        (
            [WEIGHTS, [np.ones((2, 4)), *WEIGHTS[1:]]],
            {"activation": "relu"},
            r"models\[1\] differs in structure from models\[0\]: features are 2 and 3",
        ),
        ([([1.0], [2.0]), WEIGHTS[:2]], {}, "sets are networks with layers and one weight and"),
    ],
)
def test_refused_arguments(models, options, message):
    with pytest.raises(ValueError, match=message):
        ms.WeightSets.from_models(models, **options)


def test_an_activation_of_the_model(sklearn):
    model = fitted(sklearn.neural_network.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2), ONE)
    assert ms.WeightSets.from_models([model], "relu").activation == ms.Activation("relu")
    with pytest.raises(ValueError, match=r"has the activation .*'relu'.* in its hidden layers"):
        ms.WeightSets.from_models([model], "tanh")
    model.out_activation_ = "logistic"  # never set in a regressor; its outputs show it
    sets = ms.WeightSets.from_models([model])
    model.predict = lambda x: 2 * sets.predict(x)[0, :, 0, 0]
    with pytest.raises(ValueError, match="whose outputs are not those of its dense layers"):
        ms.WeightSets.from_models([model])
    model.predict = lambda x: 1 / 0
    with pytest.raises(ValueError, match="cannot be called on 16 samples of 3 features"):
        ms.WeightSets.from_models([model])


def test_objects_that_cannot_be_written_to(sklearn):
    model = fitted(sklearn.neural_network.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2), ONE)
    sets = ms.WeightSets.from_models([model])
    other = fitted(sklearn.neural_network.MLPRegressor(hidden_layer_sizes=(5,), max_iter=2), ONE)
    with pytest.raises(ValueError, match=r"model differs in structure .* layer sizes are"):
        sets.write_to(other)
    with pytest.raises(IndexError, match="set 1 is out of bounds"):
        sets.write_to(model, 1)
    with pytest.raises(ValueError, match=r"networks with layers|one weight and one bias per"):
        ms.WeightSets([[1.0]]).write_to(model)
    with pytest.raises(TypeError, match="model is a tuple, which cannot be written to"):
        ms.WeightSets([[1.0]]).write_to(([2.0], None))
    with pytest.raises(ValueError, match=r"model differs in structure .* biases are False and"):
        ms.WeightSets([[1.0]]).write_to({"weight": [2.0], "bias": [1.0]})
    with pytest.raises(TypeError, match="expected the index of one set"):
        ms.WeightSets([[1.0]]).write_to({"weight": [2.0]}, slice(0, 0))
    with pytest.raises(TypeError, match="i is missing; expected the index of one of 2 sets"):
        ms.WeightSets([[1.0], [3.0]]).write_to({"weight": [2.0]})


@pytest.mark.parametrize("kind", [list, dict])
def test_lists_and_mappings_that_are_written_to(kind):
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    rng = np.random.default_rng(0)

    def model():
        arrays = [rng.normal(size=x.shape).astype("f4") for x in WEIGHTS]
        return arrays if kind is list else dict(zip(names, [x.T for x in arrays], strict=True))

    models = [model(), model()]
    sets = ms.WeightSets.from_models(models, activation="tanh")
    target = model()
    sets.write_to(target, 1)
    assert ms.WeightSets.from_models([target], activation="tanh") == sets[1]
    arrays, expected = (list(x.values()) if kind is dict else x for x in (target, models[1]))
    assert all(map(np.array_equal, arrays, expected))


def test_sets_of_a_weight_per_feature_are_written_to_mappings_and_estimators():
    sets = ms.WeightSets([[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]])
    model = {"kernel": np.zeros(2), "bias": np.zeros(2)}
    sets.write_to(model, 1)
    assert ms.WeightSets.from_models([model]) == sets[1]

    class Estimator:
        coef_, intercept_ = np.zeros(2), np.zeros(2)

    sets.write_to(estimator := Estimator(), 1)
    assert ms.WeightSets.from_models([estimator]) == sets[1]


def test_lists_of_networks_side_by_side():
    rng = np.random.default_rng(0)
    grouped = [rng.normal(size=shape) for shape in ((3, 1, 4), (3, 4), (3, 4, 2), (3, 2))]
    sets = ms.WeightSets.from_models([grouped], activation="relu")
    assert (sets.n_networks, sets.layer_sizes) == (3, (1, 4, 2))
    assert all(np.array_equal(a[0], b) for a, b in zip(_arrays(sets), grouped, strict=True))
    # Like get_weights() of branches: level by level.
    branches = [
        x for pair in (grouped[:2], grouped[2:]) for s in range(3) for x in (p[s] for p in pair)
    ]
    assert ms.WeightSets.from_models([branches], activation="relu") == sets
    target = [np.zeros_like(x) for x in branches]
    sets.write_to(target, 0)
    assert all(map(np.array_equal, target, branches))
    with pytest.raises(ValueError, match=r"weights of the shapes \(1, 4\), \(1, 4\), \(1, 5\)"):
        ms.WeightSets.from_models([[np.ones((1, n)) for n in (4, 4, 5)]], activation="relu")
    with pytest.raises(ValueError, match=r"shape \(3, 1, 4\) and a bias of shape \(3, 2\)"):
        ms.WeightSets.from_models([[grouped[0], grouped[3]]])


@pytest.mark.parametrize("activation", [None, "tanh"])
def test_arrays_of_branches_of_one_neuron_are_not_read_as_layers(activation):
    arrays = [np.ones((1, 1)), np.zeros(1)] * 6
    for model in (arrays, {f"{i}.weight": np.ones((1, 1)) for i in range(6)}):
        with pytest.raises(
            ValueError, match=r"6 weights of shape \(1, 1\), .*pass the model itself"
        ):
            ms.WeightSets.from_models([model], activation)


def _arrays(sets):
    return [x for layer in sets.layers for x in layer if x is not None]
