"""Names of features, outputs and sets: stored with the sets and in files, and checked."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

import multisubnet as ms

WEIGHT = np.arange(1.0, 7).reshape(2, 3)
FEATURES = ("age", "höhe", "'w\"<&>")
SETS = ("one", "two")
LAYERS = [(np.ones((2, 3, 1, 2)), np.zeros((2, 3, 2))), np.ones((2, 3, 2, 2))]


def affine():
    return ms.WeightSets(WEIGHT, feature_names=FEATURES, set_names=SETS)


def networks(**more):
    return ms.WeightSets.from_layers(
        LAYERS, feature_names=list(FEATURES), output_names=["p", "q"], set_names=SETS, **more
    )


def of_theta():
    return ms.WeightSets.from_theta(WEIGHT, 3, use_bias=False, feature_names=FEATURES)


def of_pairs():
    return ms.WeightSets.from_pairs(WEIGHT[:, :, None] + [0, 1], feature_names=FEATURES)


def of_models():
    return ms.WeightSets.from_models([affine(), affine()], set_names=["a", "b", "c", "d"])


@pytest.mark.parametrize("make", [affine, networks, of_theta, of_pairs, of_models])
def test_names_are_kept(make, tmp_path):
    sets = make()
    assert sets.feature_names == FEATURES
    for same in (
        sets[:],
        sets.to("cpu"),
        copy.deepcopy(sets),
        pickle.loads(pickle.dumps(sets)),
        ms.WeightSets.from_models([sets]),
        ms.WeightSets.concatenate([sets[:1], sets[1:]]),
    ):
        assert same == sets
        assert same.set_names == sets.set_names
    for end in ("npz", "safetensors"):
        sets.save(tmp_path / f"sets.{end}")
        assert ms.WeightSets.load(tmp_path / f"sets.{end}") == sets


def test_names_belong_to_their_sets():
    sets = affine()
    assert sets[1].set_names == sets[-1].set_names == ("two",)
    assert sets[::-1].set_names == ("two", "one")
    assert sets[[1, 1, 0]].set_names == ("two", "two", "one")
    assert sets[np.array([False, True])].set_names == ("two",)
    assert [one.set_names for one in sets] == [("one",), ("two",)]
    best, _ = sets.best(1, [[1.0, 1, 1]], WEIGHT[1:])
    assert best.set_names == ("two",)
    mixed, _ = sets.best(1, [[1.0, 1, 1]], WEIGHT[1:], per_feature=True)
    assert mixed.set_names is None
    assert mixed.feature_names == FEATURES


def test_names_tell_sets_apart():
    assert affine() != ms.WeightSets(WEIGHT)
    assert affine() != ms.WeightSets(WEIGHT, feature_names=FEATURES, set_names=SETS[::-1])
    plain = ms.WeightSets(WEIGHT)
    assert (plain.feature_names, plain.output_names, plain.set_names) == (None, None, None)


def test_files_without_names_are_as_before(tmp_path):
    ms.WeightSets(WEIGHT).save(tmp_path / "sets.npz")
    with np.load(tmp_path / "sets.npz") as file:
        assert set(file) == {"weight", "activation", "format_version"}
    affine().save(tmp_path / "sets.npz")
    with np.load(tmp_path / "sets.npz") as file:
        assert json.loads(file["feature_names"].tobytes()) == list(FEATURES)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (b"[1, 2, 3]", "feature_names contains 1; expected strings"),
        (b'["a", "b"]', "feature_names has 2 names; expected 3"),
        (b'"abc"', "feature_names is not a list in JSON"),
        (b'["a", "b"', "feature_names is not a list in JSON"),
        (b"[" * 100_000, "feature_names is not a list in JSON"),
        (b"\xff\xfe", "feature_names is not a list in JSON"),
    ],
)
def test_damaged_names(tmp_path, names, message):
    path = tmp_path / "sets.npz"
    np.savez(path, weight=WEIGHT, feature_names=np.frombuffer(names, np.uint8))
    with pytest.raises(ValueError, match=rf"sets.npz has no sets of weights: {message}"):
        ms.WeightSets.load(path)
    np.savez(path, weight=WEIGHT, feature_names=np.ones(3))
    with pytest.raises(ValueError, match=r"feature_names has shape \(3,\) and dtype float64"):
        ms.WeightSets.load(path)


def test_joined_sets_have_the_names_that_some_have():
    sets = affine()
    joined = ms.WeightSets.concatenate([ms.WeightSets(WEIGHT), sets])
    assert joined.feature_names == FEATURES
    assert joined.set_names is None
    other = ms.WeightSets(WEIGHT, feature_names=FEATURES[::-1])
    with pytest.raises(
        ValueError, match=r"sequence\[2\] has other feature_names than sequence\[1\]: the same"
    ):
        ms.WeightSets.concatenate([ms.WeightSets(WEIGHT), sets, other])


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ({"feature_names": "abc"}, TypeError, "feature_names must be a sequence of strings, not"),
        ({"feature_names": 3}, TypeError, "feature_names must be a sequence of strings, not 3"),
        ({"feature_names": ["a", 1, "c"]}, TypeError, "feature_names contains 1; expected strings"),
        ({"feature_names": ["a", "b"]}, ValueError, "feature_names has 2 names; expected 3"),
        ({"feature_names": ["a", "b", "a"]}, ValueError, "feature_names contains 'a' twice"),
        ({"set_names": ["a"]}, ValueError, "set_names has 1 name; expected 2"),
    ],
)
def test_names_that_are_refused(names, error, message):
    with pytest.raises(error, match=message):
        ms.WeightSets(WEIGHT, **names)


def test_networks_of_some_inputs_may_know_further_features():
    sets = ms.WeightSets.from_layers(LAYERS, inputs=[[0], [2], [1]], feature_names=list("abcde"))
    assert sets.predict(Frame(sets.feature_names, np.ones((4, 5)))).shape == (2, 4, 3, 2)
    with pytest.raises(ValueError, match="feature_names has 2 names; expected at least 3"):
        ms.WeightSets.from_layers(LAYERS, inputs=[[0], [2], [1]], feature_names=["a", "b"])
    with pytest.raises(ValueError, match="output_names has 3 names; expected 2"):
        ms.WeightSets.from_layers(LAYERS, output_names=["a", "b", "c"])


class Frame:
    """A table like those of pandas and polars, which are tested with the frameworks."""

    def __init__(self, columns, values):
        self._columns, self._values = columns, values

    @property
    def columns(self):
        return self._columns

    def to_numpy(self):
        return self._values


@pytest.mark.parametrize("make", [affine, networks])
def test_columns_are_features(make):
    sets, values = make(), np.arange(12.0).reshape(4, 3)
    frame, others = Frame(FEATURES, values), Frame(FEATURES[::-1], values)
    targets = np.ones(4)
    for call in (
        lambda x: sets.predict(x),
        lambda x: sets.predict(x, memory_limit="1 MiB"),
        lambda x: np.concatenate([block for _, _, block in sets.predict_chunks(x)]),
        lambda x: sets.predict_stats(x).mean,
        lambda x: sets.mean_loss(x, targets),
        lambda x: sets.mean_loss_and_grad(x, targets)[0],
        lambda x: sets.best(1, x, targets)[1],
    ):
        np.testing.assert_array_equal(call(frame), call(values))
        with pytest.raises(
            ValueError, match=r"columns of samples do not match .* in another order"
        ):
            call(others)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("age", "x", "höhe"), "unknown columns: 'x'; missing columns: "),
        (("age", "höhe"), "do not match feature_names: missing columns: "),
        ((*FEATURES, *"abcdefg"), "unknown columns: 'a', 'b', 'c', 'd', 'e', ...$"),
    ],
)
def test_other_columns_are_named(columns, message):
    with pytest.raises(ValueError, match=message):
        affine().predict(Frame(columns, np.ones((4, len(columns)))))


def test_columns_without_names_are_taken_in_their_order():
    values = np.ones((4, 3))
    for sets in (affine(), ms.WeightSets(WEIGHT)):
        for columns in ((0, 1, 2), ("a", 1, "c")):
            assert sets.predict(Frame(columns, values)).shape == (2, 4, 3)
    assert ms.WeightSets(WEIGHT).predict(Frame("xyz", values)).shape == (2, 4, 3)


@pytest.mark.filterwarnings("ignore:the final softmax is left out")
def test_models_of_scikit_learn_bring_their_names():
    sklearn = pytest.importorskip("sklearn.linear_model")
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(60, 3)), np.arange(60) % 3
    models = [sklearn.LogisticRegression().fit(x + i, labels) for i in range(2)]
    for model in models:
        model.feature_names_in_ = np.array(FEATURES, object)  # as set by fit on a frame
    sets = ms.WeightSets.from_models(models)
    assert sets.feature_names == FEATURES
    assert sets.output_names == ("0", "1", "2")
    sets.write_to(models[0], 0)
    models[1].feature_names_in_ = models[1].feature_names_in_[::-1]
    with pytest.raises(ValueError, match="model and set have different features: the same feat"):
        sets.write_to(models[1], 1)
    with pytest.raises(ValueError, match=r"models\[1\] has other feature_names than models\[0\]"):
        ms.WeightSets.from_models(models)
    two = MLPClassifier((2,), max_iter=1, early_stopping=False)
    with pytest.warns(UserWarning, match="[Cc]onverge"):
        two.fit(x, np.where(labels == 1, "yes", "no"))
    assert ms.WeightSets.from_models([two]).output_names == ("yes",)
    named = ms.WeightSets.from_models(models[:1], feature_names=list("abc"), set_names=["m"])
    assert (named.feature_names, named.set_names) == (("a", "b", "c"), ("m",))


class Table(Frame):
    """A frame that NumPy reads."""

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._values, dtype)


@pytest.mark.parametrize("names", [("weight", "bias"), ("samples", "weight"), ("samples", "bias")])
def test_functions_refuse_frames_with_the_same_columns_in_another_order(names):
    given = {"samples": np.ones((4, 3)), "weight": WEIGHT, "bias": WEIGHT}
    first, second = (
        {name: Table(columns, given[name])}
        for name, columns in zip(names, (FEATURES, FEATURES[::-1]), strict=True)
    )
    for call in (
        lambda operands: ms.affine(**operands),
        lambda operands: ms.mean_loss(**operands, targets=np.ones(4)),
        lambda operands: ms.affine_stats(**operands)[0],
        lambda operands: ms.affine_select(**operands, set_index=[0] * 4),
    ):
        with pytest.raises(
            ValueError,
            match=f"columns of {names[1]} are not those of {names[0]}: the same .* another order",
        ):
            call(given | first | second)
        for columns in (FEATURES, ("p", "q", "r"), (0, 1, 2)):  # names of their own
            same = {names[1]: Table(columns, given[names[1]])}
            np.testing.assert_array_equal(call(given | first | same), call(given))


@pytest.mark.parametrize("additive", [False, True])
def test_samples_and_targets_in_another_order(additive):
    samples, ones = Table(FEATURES, np.ones((4, 3))), np.ones((4, 3))
    layers = [np.ones((2, 3, 1, 1)), np.ones((2, 3, 1, 3 if additive else 1))]
    sets = ms.WeightSets.from_layers(layers, additive=additive)
    for call in (
        lambda targets: sets.mean_loss(samples, targets),
        lambda targets: sets.mean_loss_and_grad(samples, targets)[0],
        lambda targets: sets.best(1, samples, targets)[1],
        lambda targets: ms.mlp_mean_loss(samples, layers, targets, additive=additive),
    ):
        assert np.isfinite(call(Table(FEATURES, ones))).all()
        with pytest.raises(ValueError, match="columns of targets are not those of samples: the s"):
            call(Table(FEATURES[::-1], ones))


def columns_in_turn(names, values):
    return Frame(names, values), Frame(names[::-1], values)


@pytest.mark.parametrize(
    ("sets", "names"),
    [
        (affine(), FEATURES),
        (networks(additive=True), ("p", "q")),
        (
            ms.WeightSets.from_layers([LAYERS[0], LAYERS[1][..., :1]], feature_names=list("abc")),
            "abc",
        ),
    ],
)
def test_columns_of_targets_are_those_of_predictions(sets, names):
    names, samples = tuple(names), np.ones((4, 3))
    values = np.arange(4.0 * len(names)).reshape(4, -1)
    same, others = columns_in_turn(names, values)
    own = Frame([f"target of {name}" for name in names], values)
    one = Frame(names[:1], values[:, :1])
    for call in (
        lambda y: sets.mean_loss(samples, y),
        lambda y: sets.mean_loss_and_grad(samples, y)[0],
        lambda y: sets.best(1, samples, y)[1],
    ):
        for targets in (same, own, one):
            np.testing.assert_array_equal(call(targets), call(targets.to_numpy()))
        with pytest.raises(
            ValueError, match="columns of targets do not match those of predictions: the same"
        ):
            call(others)


def test_targets_of_sets_without_names_may_have_any_columns():
    targets = Frame(("f2", "f1", "f0"), np.ones((4, 3)))
    assert ms.WeightSets(WEIGHT).mean_loss(np.ones((4, 3)), targets).shape == (2,)


def test_columns_of_parameters_are_features():
    weight, others = columns_in_turn(FEATURES, WEIGHT)
    for sets in (
        ms.WeightSets(weight),
        ms.WeightSets(weight, weight),
        ms.WeightSets(WEIGHT, weight),
        ms.WeightSets(weight, WEIGHT, feature_names=iter(FEATURES)),
    ):
        assert sets.feature_names == FEATURES
        np.testing.assert_array_equal(sets.weight, WEIGHT)
    assert ms.WeightSets(Frame((0, 1, 2), WEIGHT)).feature_names is None
    for call in (
        lambda: ms.WeightSets(weight, others),
        lambda: ms.WeightSets(weight, others, feature_names=FEATURES),
    ):
        with pytest.raises(ValueError, match="columns of bias do not match feature_names: the sam"):
            call()
    with pytest.raises(ValueError, match="columns of weight do not match feature_names"):
        ms.WeightSets(weight, feature_names=["a", "b", FEATURES[0]])
    own = ms.WeightSets(weight, Frame(("b0", "b1", "b2"), WEIGHT), feature_names=list("abc"))
    assert own.feature_names == ("a", "b", "c")
    with pytest.raises(TypeError, match="feature_names must be a sequence of strings, not 'abc'"):
        ms.WeightSets(weight, feature_names="abc")


def test_pairs_are_no_indices():
    with pytest.raises(TypeError, match="sets are indexed by an integer, a slice, or an array"):
        affine()[0, [0, 1]]


@pytest.mark.parametrize("index", ["two", ["one", "two"], np.array(["one"])])
def test_names_are_no_indices(index):
    with pytest.raises(TypeError, match=r": set_names\.index\(name\) is the number of a set$"):
        affine()[index]
    with pytest.raises(TypeError, match=r"; these sets have no set_names$"):
        ms.WeightSets(WEIGHT)[index]


def test_one_set_takes_any_number_of_blocks_of_samples():
    for sets in (affine()[:1], networks(additive=True)[:1]):
        assert len(sets.mean_loss(np.ones((4, 5, 3)), np.ones(5))) == 4
