"""Metrics of N sets in Keras; test_keras_backends.py runs this with all backends."""

from __future__ import annotations

import json
import re
import warnings

import numpy as np
import pytest
from conftest import few

keras = pytest.importorskip("keras", exc_type=ImportError)  # or its backend is missing
from multisubnet.keras import StackedAffine, StackedLoss, StackedMetric, StackedMLP, stack_models

BACKEND = keras.backend.backend()
TRAINS = pytest.mark.skipif(BACKEND == "numpy", reason="Keras does not train with NumPy")
metrics, ops = keras.metrics, keras.ops

pytestmark = [
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed, but will be ignored"),
    pytest.mark.filterwarnings("ignore:::keras"),
    pytest.mark.filterwarnings("ignore:::tensorflow"),
    pytest.mark.filterwarnings("ignore:::jax"),
]

N = 4


def draw(*shape):
    return np.random.default_rng(3).uniform(0.01, 0.99, shape).astype(np.float32)


def on_host(tensor):
    return ops.convert_to_numpy(tensor)


LABELS = np.array([0, 2, 1, 1, 0, 2, 2], np.int32)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
OF_CLASSES = [
    LABELS,
    LABELS[:, None],
    LABELS[:, None, None],
    np.stack([LABELS] * N, axis=1)[..., None],
    ONE_HOT[:, None],
    ONE_HOT[:, None, None],
    ONE_HOT,
]


@pytest.mark.parametrize("targets", few(OF_CLASSES))
def test_accuracy_of_classes_of_as_many_samples_as_sets(targets):
    predictions, targets = draw(N, N, 1, 3), targets[:N]
    of_each = predictions[:, :, 0].argmax(-1)
    expected = (of_each == LABELS[:N, None]).mean(axis=0)
    of_other_samples = (of_each == LABELS[:N]).mean(axis=0)
    assert expected.mean() != of_other_samples.mean()
    found = StackedMetric("acc", per_set=True)(targets, predictions)
    np.testing.assert_allclose(on_host(found), expected, rtol=1e-6)
    found = StackedMetric("accuracy")(targets, predictions)
    assert found.shape == ()
    assert float(found) == pytest.approx(expected.mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "given", "aligned"),
    few(
        [
            ((5, N, 1), (5,), (5, 1, 1)),
            ((5, N, 1), (5, 1), (5, 1, 1)),
            ((N, N, 1), (N, 1), (N, 1, 1)),
            ((5, N, 1, 1), (5,), (5, 1, 1, 1)),
            ((5, N, N, 1), (5, N), (5, 1, N, 1)),  # as many networks as sets
            ((5, N, 3, 1), (5,), (5, 1, 1, 1)),
            ((5, N, 3, 1), (5, N, 3, 1), (5, N, 3, 1)),
            ((5, N, 3, 1), (5, 3), (5, 1, 3, 1)),
        ]
    ),
)
def test_accuracy_of_two_classes(shape, given, aligned):
    predictions, targets = draw(*shape), (draw(*given) > 0.5).astype("f4")
    of_each = (predictions > 0.5) == targets.reshape(aligned)
    expected = of_each.mean(axis=(0, *range(2, len(shape))))
    found = StackedMetric("accuracy", per_set=True)(targets, predictions)
    np.testing.assert_allclose(on_host(found), expected, rtol=1e-6)


def test_class_numbers_of_several_networks():
    predictions = draw(5, N, 2, 3)
    for labels in (LABELS[:5], np.stack([LABELS[:5], LABELS[1:6]], axis=1)):
        wanted = labels.reshape(5, 1, -1)
        expected = (predictions.argmax(-1) == wanted).mean(axis=(0, 2))
        found = StackedMetric("accuracy", per_set=True)(labels, predictions)
        np.testing.assert_allclose(on_host(found), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["accuracy", "sparse_categorical_accuracy"])
def test_class_numbers_of_as_many_sets_as_classes(name):
    predictions = draw(7, 3, 3)
    labels = predictions.argmax(-1).astype("i4")  # of each set, and all are right
    for given in (labels, labels[..., None]):
        assert float(StackedMetric(name)(given, predictions)) == 1
    expected = (labels == LABELS[:, None]).mean()
    one_hot = ONE_HOT.astype(bool) if name == "accuracy" else LABELS
    assert float(StackedMetric(name)(one_hot, predictions)) == pytest.approx(expected)
    found = StackedMetric("categorical_accuracy")(ONE_HOT.astype("i4"), predictions)
    assert float(found) == pytest.approx(expected)


def test_only_metrics_of_labels_take_class_numbers():
    for predictions, targets in ((draw(3, 4, 3), draw(3, 4)), (draw(5, 4, 3), draw(5, 4))):
        with pytest.raises(ValueError, match=r"targets have shape \(., 4\) and predictions have"):
            StackedMetric("mse")(targets, predictions)
    with pytest.raises(ValueError, match=r"targets have shape \(7, 3\) and predictions have sha"):
        StackedMetric("sparse_categorical_accuracy")(ONE_HOT, draw(7, N, 3))


ROWS = [
    ("categorical_crossentropy", "categorical_crossentropy"),
    (keras.losses.CategoricalFocalCrossentropy(), metrics.CategoricalCrossentropy()),
    (keras.losses.kl_divergence, "kl_divergence"),
    ("cosine_similarity", metrics.F1Score()),
    ("categorical_hinge", "categorical_accuracy"),
]


@pytest.mark.parametrize(("loss", "metric"), few(ROWS))
@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.astype("f4")])
def test_class_numbers_are_no_one_hot_rows(loss, metric, labels):
    for judge in (StackedLoss(loss), StackedMetric(metric)):
        for shape in ((7, N, 3), (7, N, 1, 3)):
            message = r"targets have shape \(7.* compares 3 outputs .* numbers, pass 'sparse_cate"
            with pytest.raises(ValueError, match=message):
                judge(labels, draw(*shape))
        assert np.isfinite(on_host(judge(ONE_HOT, draw(7, N, 3)))).all()


@pytest.mark.parametrize("loss", ["mse", keras.losses.Huber(), "log_cosh"])
def test_integers_that_are_a_target_for_all_outputs(loss):
    message = r"targets are integers, one for all 3 outputs of .* pass 'sparse_categorical_.*floats"
    for kind, metric in ((StackedLoss, loss), (StackedMetric, "mse")):
        for labels in (LABELS, LABELS[:, None], LABELS > 0):
            judge = kind(metric)
            with pytest.warns(UserWarning, match=message) as warned:
                judge(labels, draw(7, N, 3))
            assert [x.filename for x in warned] == [__file__]
            judge(labels, draw(7, N, 3))  # once
        for labels, shape in (
            (LABELS.astype("f4"), (7, N, 3)),
            (np.ones((7, 3), "i4"), (7, N, 3)),
            (LABELS, (7, N, 1)),
            (LABELS, (7, N, 3, 1)),
        ):
            kind(metric)(labels, draw(*shape))  # warnings are errors
    StackedLoss(of_a_user, reduction=None)(LABELS, draw(7, N, 3))
    StackedMetric("accuracy")(LABELS, draw(7, N, 3))


class Least(metrics.Metric):
    """The least error: a state that does not start at zero, and a result that is a dict."""

    def __init__(self, name="least", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.least = self.add_variable((), keras.initializers.Constant(9.0), name="least")

    def reset_state(self):
        self.least.assign(ops.full((), 9.0))

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.least.assign(ops.minimum(self.least, ops.min(ops.abs(y_true - y_pred))))

    def result(self):
        return {"least": self.least + 0.0}


def twice(y_true, y_pred):
    return 2 * ops.abs(y_true - y_pred)


MANY = {
    Least: None,
    twice: lambda: metrics.MeanMetricWrapper(twice),
    metrics.RootMeanSquaredError: None,
    "mse": metrics.MeanSquaredError,
    metrics.R2Score: None,  # creates its variables when it is called
    metrics.AUC: None,
    metrics.F1Score: None,  # has a result per output
}


@pytest.mark.parametrize("kind", few(MANY))
def test_metrics_of_each_set(kind):
    make = MANY[kind] or kind
    targets, predictions = (draw(6, 3) > 0.5).astype("f4"), draw(6, N, 1, 3)
    weights = None if kind is Least else np.arange(1, 4, dtype="f4")
    metric = StackedMetric(kind if MANY[kind] else kind(), per_set=True)
    mean = StackedMetric(kind if MANY[kind] else kind())
    expected = []
    for n in range(N):
        alone = make()
        alone.update_state(targets, predictions[:, n, 0])
        alone.update_state(targets[:3], predictions[:3, n, 0], sample_weight=weights)
        expected.append(alone.result())
    expected = keras.tree.map_structure(lambda *x: np.stack([*map(on_host, x)]), *expected)
    for _ in range(2):
        for each in (metric, mean):
            each.update_state(targets, targets.reshape(6, 1, 1, 3) + np.zeros((6, N, 1, 3), "f4"))
            each.reset_state()
            each.update_state(targets, predictions)
            each.update_state(targets[:3], predictions[:3], sample_weight=weights)
        pairs = (expected, metric.result()), (expected, mean.result())
        for function, (wanted, found) in zip((np.asarray, np.mean), pairs, strict=True):
            for name in wanted if isinstance(wanted, dict) else [...]:
                axis = {} if function is np.asarray else {"axis": 0}
                np.testing.assert_allclose(
                    on_host(found[name] if isinstance(found, dict) else found),
                    function(wanted[name], **axis),
                    rtol=1e-5,
                )


def test_losses_take_lists():
    assert float(StackedLoss("mse")([[1.0, 2.0]], [[[1.0, 4.0]]])) == 2.0


def test_names_and_configurations():
    for metric, name in [("acc", "acc"), (metrics.AUC(name="area"), "area"), (twice, "twice")]:
        assert StackedMetric(metric).name == name
        assert StackedMetric(metric, per_set=True).name == f"{name}_per_set"
        one = StackedMetric(metric, per_set=True, name="mine")
        assert one.name == "mine"
        with keras.saving.custom_object_scope({"twice": twice}):
            stored = keras.saving.serialize_keras_object(one)
            again = keras.saving.deserialize_keras_object(stored)
        assert again.get_config() == one.get_config()
        targets, predictions = (draw(6, 1) > 0.5).astype("f4"), draw(6, N, 1)
        np.testing.assert_array_equal(
            on_host(again(targets, predictions)), on_host(one(targets, predictions))
        )


def test_what_is_refused():
    with pytest.raises(ValueError, match="nothing"):
        StackedMetric("nothing")
    with pytest.raises(ValueError, match="metric is None; expected a name, a function or"):
        StackedMetric(None)
    metric = StackedMetric("mse")
    with pytest.raises(ValueError, match="'mse' has no result before it has seen samples"):
        metric.result()
    with pytest.raises(ValueError, match=r"targets have shape \(5, 3\) and predictions have sha"):
        metric(draw(5, 3), draw(5, N, 2))
    with pytest.raises(ValueError, match=r"predictions have shape \(5, 2\); expected \(B, N, "):
        metric(draw(5, 2), draw(5, 2))
    metric(draw(5, 2), draw(5, N, 2))
    with pytest.raises(
        ValueError, match=f"predictions have 3 sets, .* 'mse' .* with {N}; expected"
    ):
        metric(draw(5, 2), draw(5, 3, 2))


def classifier():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])


@TRAINS
def test_a_stacked_classifier_is_compiled_trained_and_saved(tmp_path):
    keras.utils.set_random_seed(0)
    models, samples, labels = [classifier() for _ in range(3)], draw(9, 4), np.arange(9) % 3
    own = []
    for model in models:
        expected = on_host(model(samples))
        own.append((expected.argmax(-1) == labels).mean())
    stacked = stack_models(models)
    stacked.compile(
        "adam",
        StackedLoss("sparse_categorical_crossentropy"),
        metrics=[StackedMetric("accuracy"), StackedMetric("accuracy", per_set=True)],
    )
    logs = stacked.evaluate(samples, labels, batch_size=3, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(np.mean(own), rel=1e-6)
    np.testing.assert_allclose(logs["accuracy_per_set"], own, rtol=1e-6)
    stop = keras.callbacks.EarlyStopping("val_accuracy", patience=5)  # takes more for better
    history = stacked.fit(
        samples,
        labels,
        sample_weight=np.arange(9.0),
        validation_split=1 / 3,
        batch_size=3,
        epochs=2,
        verbose=0,
        callbacks=[stop],
    ).history
    assert len(history["val_accuracy"]) == 2
    assert np.shape(history["accuracy_per_set"]) == (2, 3)
    lists = {name: np.asarray(values).tolist() for name, values in history.items()}
    assert len(json.loads(json.dumps(lists))["accuracy_per_set"][0]) == 3
    stacked.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    found, expected = (
        model.evaluate(samples, labels, batch_size=3, verbose=0, return_dict=True)
        for model in (again, stacked)
    )
    assert isinstance(again.layers[-1], StackedMLP)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)


def warned_of(method, *args, about="is compiled with", **kwargs):
    """Return the messages of this library's warnings in one call, which are about this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        method(*args, **kwargs)
    found = [x for x in caught if about in str(x.message)]
    assert {x.filename for x in found} <= {__file__}
    return [str(x.message) for x in found]


def compiled(loss, *of_keras, layers=()):
    model = keras.Sequential([keras.Input((2,)), StackedAffine(3), *layers], name="mine")
    model.compile(loss=loss, metrics=[*of_keras])
    return model


def of_a_user(y_true, y_pred):
    return ops.mean(y_pred, axis=-1)


@TRAINS
@pytest.mark.parametrize(
    ("loss", "given", "named"),
    [
        (StackedLoss("mse"), "mae", "with 'mae' of Keras.* metrics in StackedMetric of multi"),
        (
            keras.losses.MeanSquaredError(),
            StackedMetric("mae"),
            "'mean_squared_error' of Keras",
        ),
        (
            "mse",
            "mae",
            r"'mse', 'mae' .* \(B, 3, 2\) .* StackedLoss and .* StackedMetric",
        ),
    ],
)
def test_losses_and_metrics_of_keras_are_warned_of(loss, given, named):
    model = compiled(loss, given)
    samples, targets = draw(4, 2), draw(4, 1, 2)
    for _ in range(2):  # no targets are compared
        assert not warned_of(model.predict, samples, verbose=0)
        assert not warned_of(model, samples)
    (message,) = warned_of(model.test_on_batch, samples, targets)
    assert re.search(f"the model 'mine' is compiled .*{named}", message)
    (silenced,) = re.findall(r"filterwarnings\('ignore', '(.*)'\)", message)
    assert re.match(silenced, message)
    assert not warned_of(model.test_on_batch, samples, targets)  # once per compilation


@TRAINS
def test_fit_and_evaluate_warn_once_and_a_loaded_model_predicts_without_a_warning(tmp_path):
    model, samples, targets = compiled("mse"), draw(4, 2), draw(4, 1, 2)
    (message,) = warned_of(model.fit, samples, targets, verbose=0)
    assert not warned_of(model.evaluate, samples, targets, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert not warned_of(again.predict, samples, verbose=0)
    assert warned_of(again.evaluate, samples, targets, verbose=0) == [message]


@TRAINS
@pytest.mark.parametrize(
    "model",
    [
        lambda: compiled(StackedLoss("mse"), StackedMetric("mae")),
        lambda: compiled(of_a_user, of_a_user),
        lambda: compiled("mse", "mae", layers=[keras.layers.GlobalAveragePooling1D()]),
    ],
)
def test_other_losses_and_metrics_are_not_warned_of(model):
    assert not warned_of(model().test_on_batch, draw(4, 2), draw(4, 2))


MIXING = [
    (lambda: keras.optimizers.SGD(clipnorm=0.5), "clipnorm"),
    (lambda: keras.optimizers.Lamb(), "Lamb"),
    (
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adafactor(global_clipnorm=1)),
        "global_clipnorm, Adafactor",
    ),
    (lambda: keras.optimizers.SGD(clipvalue=0.5), None),
    (lambda: "adam", None),
]
if hasattr(keras.optimizers, "Muon"):
    MIXING.append((lambda: keras.optimizers.Muon(), "Muon"))


@TRAINS
@pytest.mark.parametrize(("make", "named"), few(MIXING))
def test_optimizers_that_mix_sets_are_warned_of(make, named):
    def compiled(n_sets):
        model = keras.Sequential([keras.Input((2,)), StackedAffine(n_sets)], name="mine")
        model.compile(make(), StackedLoss("mse"))
        return model

    model, samples, targets = compiled(3), draw(4, 2), draw(4, 2)
    called = "is trained with"
    assert not warned_of(model.evaluate, samples, targets, verbose=0, about=called)
    found = warned_of(model.fit, samples, targets, verbose=0, about=called)
    assert len(found) == (named is not None)
    for message in found:
        assert re.search(
            f"the model 'mine' is trained with {named}, which .* use clipvalue", message
        )
        (silenced,) = re.findall(r"filterwarnings\('ignore', '(.*)'\)", message)
        assert re.match(silenced, message)
    assert not warned_of(model.fit, samples, targets, verbose=0, about=called)
    assert not warned_of(compiled(1).fit, samples, targets, verbose=0, about=called)


@pytest.mark.skipif(BACKEND != "torch", reason="Keras' steps are those of one backend")
def test_optimizers_of_which_no_warning_is_given_do_not_mix_sets():
    for name in ("SGD", "Adam", "AdamW", "Adafactor", "Lamb", "Lion", "RMSprop", "Nadam", "Ftrl"):
        ends = []
        for others in (1.0, 30.0):
            optimizer = getattr(keras.optimizers, name)(0.1)
            kernel = keras.Variable(np.array([[1.0, 2.0], [others, 1.0]], "f4"))
            optimizer.build([kernel])
            for _ in range(2):
                optimizer.apply([ops.array([[0.3, 0.1], [others, 2.0]])])
            ends.append(on_host(kernel)[0])
        assert np.array_equal(*ends) == (name not in ("Adafactor", "Lamb"))


@TRAINS
def test_a_callback_cannot_monitor_a_value_per_set():
    model = compiled(StackedLoss("mse"), StackedMetric("mae", per_set=True), StackedMetric("mae"))
    data = {"x": draw(4, 2), "y": draw(4, 2), "verbose": 0, "epochs": 2}
    model.fit(**data, callbacks=[keras.callbacks.EarlyStopping("mae")])
    message = (
        "'mae_per_set' has one value per set, which callbacks of .* use StackedEarlyStopping, "
    )
    with pytest.raises(ValueError, match=message):
        model.fit(**data, callbacks=[keras.callbacks.EarlyStopping("mae_per_set")])


@pytest.mark.skipif(BACKEND != "torch", reason="Dynamo is PyTorch's")
def test_dynamo_traces_models_that_have_losses_of_keras():  # warnings are errors
    import torch

    model = keras.Sequential([keras.Input((2,)), StackedAffine(3)])
    model.compile(keras.optimizers.SGD(clipnorm=1), "mse")
    samples = torch.ones(4, 2)
    found = torch.compile(model, backend="eager")(samples)
    assert torch.equal(found, model(samples))


@TRAINS
def test_class_numbers_in_fit():
    model = keras.Sequential([keras.Input((2,)), StackedMLP(N, (2, 3))])
    model.compile("sgd", StackedLoss("mse"))
    message = "targets are integers, one for all 3 outputs"
    assert len(warned_of(model.fit, draw(7, 2), LABELS, verbose=0, about=message)) == 1
    of_rows = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile("sgd", StackedLoss(of_rows))
    with pytest.raises(ValueError, match=r"for class numbers, pass 'sparse_categorical_crossentr"):
        model.fit(draw(7, 2), LABELS, verbose=0)


@TRAINS
def test_networks_are_checked_as_well():
    layer = StackedMLP(3, (2, 3), output_activation="softmax")
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(loss=StackedLoss("sparse_categorical_crossentropy"), metrics=["accuracy"])
    (message,) = warned_of(model.test_on_batch, draw(4, 2), LABELS[:4])
    assert re.search(r"'accuracy' of Keras, .* shape \(B, 3, 1, 3\) with", message)
