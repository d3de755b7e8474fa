"""WeightSets of models of dense layers: estimators of scikit-learn, lists and mappings."""

from __future__ import annotations

import copy
import warnings

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
    sets.write_to(target)
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
    sets.write_to(other)
    assert np.array_equal(other.predict(X), expected)


def test_linear_classifiers(sklearn):
    for targets, n_outputs in ((CLASSES > 0, 1), (CLASSES, 3)):
        model = fitted(sklearn.linear_model.LogisticRegression(), targets)
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
    with pytest.raises(ValueError, match=r"PoissonRegressor .* whose outputs are not those of"):
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
        ([WEIGHTS], {}, "2 layers and no activation; expected activation= for hidden layers"),
        ([WEIGHTS[1:]], {"activation": "relu"}, "a bias that follows no weight"),
        ([WEIGHTS[:1] + WEIGHTS[:1]], {"activation": "relu"}, r"shapes \(3, 4\), \(3, 4\)"),
        ([[np.ones((3, 4)), np.ones(3)]], {}, r"shape \(3, 4\) and a bias of shape \(3,\)"),
        ([{"0.weight": WEIGHTS[0], "0.scale": WEIGHTS[1]}], {}, "0.scale, which is neither"),
        ([[np.array([["a"]])]], {}, "dtype <U1"),
        (
            [WEIGHTS, [np.ones((2, 4)), *WEIGHTS[1:]]],
            {"activation": "relu"},
            r"models\[1\] is of another structure than models\[0\]: features are 2 and 3",
        ),
        ([([1.0], [2.0]), WEIGHTS[:2]], {}, "sets are networks with layers and one weight and"),
    ],
)
def test_what_is_refused(models, options, message):
    with pytest.raises(ValueError, match=message):
        ms.WeightSets.from_models(models, **options)


def test_an_activation_that_is_there(sklearn):
    model = fitted(sklearn.neural_network.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2), ONE)
    assert ms.WeightSets.from_models([model], "relu").activation == ms.Activation("relu")
    with pytest.raises(ValueError, match=r"has the activation .*'relu'.* in its hidden layers"):
        ms.WeightSets.from_models([model], "tanh")
    model.out_activation_ = "logistic"  # what it is not in a regressor, whose outputs show it
    sets = ms.WeightSets.from_models([model])
    model.predict = lambda x: 2 * sets.predict(x)[0, :, 0, 0]
    with pytest.raises(ValueError, match="whose outputs are not those of its dense layers"):
        ms.WeightSets.from_models([model])
    model.predict = lambda x: 1 / 0
    with pytest.raises(ValueError, match="cannot be called on 16 samples of 3 features"):
        ms.WeightSets.from_models([model])


def test_what_cannot_be_written_to(sklearn):
    model = fitted(sklearn.neural_network.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2), ONE)
    sets = ms.WeightSets.from_models([model])
    other = fitted(sklearn.neural_network.MLPRegressor(hidden_layer_sizes=(5,), max_iter=2), ONE)
    with pytest.raises(ValueError, match=r"model is of another structure .* layer sizes are"):
        sets.write_to(other)
    with pytest.raises(IndexError, match="set 1 is out of bounds"):
        sets.write_to(model, 1)
    with pytest.raises(TypeError, match="write_to is there for one set of networks"):
        ms.WeightSets([[1.0]]).write_to(model)
    lists = ms.WeightSets.from_models([WEIGHTS[:2]])
    with pytest.raises(TypeError, match="expected a model to write to"):
        lists.write_to(WEIGHTS[:2])
