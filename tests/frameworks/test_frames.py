"""Data frames and series of pandas and polars as samples, targets and sample weights."""

from __future__ import annotations

import numpy as np
import pytest

import multisubnet as ms
from multisubnet.testing import assert_same_bits

SAMPLES = np.array([[1.0, 2.0, 0.5], [3.0, -1.0, 0.25]])
COLUMNS = ("age", "size", "dose")
SETS = ms.WeightSets(np.arange(1.0, 7).reshape(2, 3), activation="tanh", feature_names=COLUMNS)


@pytest.fixture(params=["pandas", "polars"])
def library(request):
    return pytest.importorskip(request.param)


def frame_of(library, columns):
    return library.DataFrame({name: list(column) for name, column in columns.items()})


def frame(library, names=COLUMNS):
    return frame_of(library, dict(zip(names, SAMPLES.T, strict=True)))


def test_a_frame_is_evaluated_as_its_numbers_are(library):
    samples = frame(library)
    targets, weights = library.Series([1.0, 2.0]), library.Series([1, 3])
    assert_same_bits(SETS.predict(samples), SETS.predict(SAMPLES))
    assert_same_bits(SETS.predict_stats(samples).mean, SETS.predict_stats(SAMPLES).mean)
    data = np.array([1.0, 2.0]), np.array([1, 3])
    assert_same_bits(
        SETS.mean_loss(samples, targets, sample_weight=weights),
        SETS.mean_loss(SAMPLES, data[0], sample_weight=data[1]),
    )
    best, losses = SETS.best(1, samples, frame_of(library, {"y": data[0]}))
    assert_same_bits(losses, SETS.best(1, SAMPLES, data[0])[1])
    assert best.feature_names == COLUMNS
    # Functions of arrays take frames as arrays, with any column names.
    assert_same_bits(ms.affine(samples, SETS.weight, activation="tanh"), SETS.predict(SAMPLES))


def test_columns_must_be_the_features(library):
    with pytest.raises(ValueError, match="the same columns in another order: 'dose', 'size'"):
        SETS.predict(frame(library, COLUMNS[::-1]))
    with pytest.raises(ValueError, match="unknown columns: 'weight'; missing columns: 'dose'"):
        SETS.mean_loss(frame(library, ("age", "size", "weight")), [1.0, 2.0])
    assert_same_bits(
        SETS.predict(frame(library, COLUMNS[::-1])[list(COLUMNS)]), SETS.predict(SAMPLES[:, ::-1])
    )


def test_columns_of_targets_and_weights(library):
    targets, others = frame(library), frame(library, COLUMNS[::-1])
    assert_same_bits(SETS.mean_loss(SAMPLES, targets), SETS.mean_loss(SAMPLES, SAMPLES))
    with pytest.raises(ValueError, match="columns of targets do not match those of predictions"):
        SETS.mean_loss(SAMPLES, others)
    assert ms.WeightSets(targets, targets).feature_names == COLUMNS
    with pytest.raises(ValueError, match="columns of bias do not match feature_names"):
        ms.WeightSets(targets, others)


def test_columns_of_several_dtypes(library):
    samples = frame_of(library, {"age": [1, 2], "size": [True, False], "dose": [0.5, 1.5]})
    assert_same_bits(SETS.predict(samples), SETS.predict([[1.0, 1, 0.5], [2, 0, 1.5]]))
    missing = frame_of(library, {"age": [1.0, None], "size": [1, 0], "dose": [0.5, 1.5]})
    expected = SETS.predict([[1.0, 1, 0.5], [np.nan, 0, 1.5]])
    np.testing.assert_array_equal(SETS.predict(missing), expected)
    words = frame_of(library, {"age": [1, 2], "size": ["small", "large"], "dose": [0.5, 1.5]})
    with pytest.raises(TypeError, match=r"samples has the column 'size' of dtype (str|String)"):
        SETS.predict(words)


def test_missing_integers_of_pandas_are_nan():
    pandas = pytest.importorskip("pandas", "3")
    column = pandas.array([1, None], "Int64")
    samples = pandas.DataFrame({"age": [1, 2], "size": column, "dose": [0.5, 1.5]})
    np.testing.assert_array_equal(
        SETS.predict(samples), SETS.predict([[1.0, 1, 0.5], [2, np.nan, 1.5]])
    )


def test_columns_that_pandas_numbers_have_no_names():
    pandas = pytest.importorskip("pandas")
    assert_same_bits(SETS.predict(pandas.DataFrame(SAMPLES)), SETS.predict(SAMPLES))


def test_models_that_were_fitted_to_a_frame_know_its_columns():
    pandas = pytest.importorskip("pandas")
    linear_model = pytest.importorskip("sklearn.linear_model")
    samples = frame(pandas)
    models = [linear_model.Ridge(alpha=a).fit(samples, [1.0, 2.0]) for a in (0.1, 1)]
    sets = ms.WeightSets.from_models(models)
    assert sets.feature_names == COLUMNS
    expected = [model.predict(samples) for model in models]
    np.testing.assert_allclose(sets.predict(samples)[:, :, 0, 0], expected)
    with pytest.raises(ValueError, match="in another order"):
        sets.predict(samples[list(COLUMNS[::-1])])


@pytest.mark.parametrize("kind", ["Series", "DataFrame"])
def test_rows_in_another_order(kind):
    pandas = pytest.importorskip("pandas")
    samples, values = frame(pandas), np.array([1.0, 2.0])
    samples.index = ["a", "b"]

    def of(labels):
        data = values if kind == "Series" else {"y": values}
        return getattr(pandas, kind)(data, index=labels)

    plain = ms.WeightSets(SETS.weight, activation="tanh")
    for sets in (SETS, plain):
        with pytest.raises(ValueError, match=r"index of targets .* pass targets\.loc\[samples\.in"):
            sets.mean_loss(samples, of(["b", "a"]))
        levels = pandas.MultiIndex.from_tuples([("a", 1), ("b", 1)])
        for labels in (["a", "b"], ["b", "c"], ["b", "b"], [0, 1], levels):  # rows by position
            assert_same_bits(sets.mean_loss(samples, of(labels)), sets.mean_loss(SAMPLES, values))
    ordered, turned = pandas.Series(values, list("ab")), pandas.Series(values, list("ba"))
    with pytest.raises(ValueError, match="index of sample_weight has the labels of that of sampl"):
        SETS.best(1, samples, ordered, sample_weight=turned)
    with pytest.raises(ValueError, match=r"that of targets in another order: .*\.to_numpy\(\) if"):
        SETS.mean_loss_and_grad(SAMPLES, ordered, sample_weight=turned)
    layers = [np.ones((2, 1, 3, 1))]
    for function in (
        lambda targets: ms.mean_loss(samples, SETS.weight, None, targets),
        lambda targets: ms.mlp_mean_loss(samples, layers, targets),
        lambda targets: ms.WeightSets.from_layers(layers).mean_loss(samples, targets),
    ):
        with pytest.raises(ValueError, match="index of targets"):
            function(turned)
        function(ordered)
    weight, bias = (pandas.DataFrame(SETS.weight, index=list(x)) for x in ("ab", "ba"))
    for function in (ms.WeightSets, lambda *parameters: ms.affine(SAMPLES, *parameters)):
        with pytest.raises(ValueError, match="index of bias has the labels of that of weight"):
            function(weight, bias)
        function(weight, bias.set_index(weight.index))


def test_rows_whose_labels_occur_twice_go_by_position():
    pandas = pytest.importorskip("pandas")
    samples, targets = SAMPLES[[0, 0, 1, 1]], np.arange(4.0)
    found = SETS.mean_loss(
        pandas.DataFrame(samples, list("aabb")), pandas.Series(targets, list("abab"))
    )
    assert_same_bits(found, SETS.mean_loss(samples, targets))


def test_series_of_set_numbers_and_of_labels():
    pandas = pytest.importorskip("pandas")
    samples = frame(pandas)
    with pytest.raises(ValueError, match="index of set_index has the labels of that of samples in"):
        ms.affine_select(samples, SETS.weight, None, pandas.Series([0, 1], samples.index[::-1]))
    sets = ms.WeightSets(SETS.weight, activation="sigmoid")
    with pytest.warns(UserWarning, match="targets look like the labels 0 and 1"):
        sets.mean_loss(samples, pandas.Series([0, 1]))
