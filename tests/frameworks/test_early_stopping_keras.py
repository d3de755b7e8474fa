"""The best epoch of each set in Keras; test_keras_backends.py runs this with all backends."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", exc_type=ImportError)  # or its backend is missing

from multisubnet.keras import (
    StackedAffine,
    StackedEarlyStopping,
    StackedLoss,
    StackedMetric,
    StackedMLP,
)

TRAINS = pytest.mark.skipif(
    keras.backend.backend() == "numpy", reason="Keras does not train with NumPy"
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed, but will be ignored"),
    pytest.mark.filterwarnings("ignore:::keras"),
    pytest.mark.filterwarnings("ignore:::tensorflow"),
    pytest.mark.filterwarnings("ignore:::jax"),
]

NAN = float("nan")


def model_of(*layers):
    return keras.Sequential([keras.Input((2,)), *layers])


def mlp_layer():
    return StackedMLP(3, (1, 2, 1), n_subnetworks=2, additive=True, kernel_initializer="ones")


def run(callback, model, values, name="val_mse_per_set"):
    """Give each set the weights 0, 1, ... in turn; return the epochs that training took."""
    callback.set_model(model)
    model.stop_training = False
    callback.on_train_begin()
    for epoch, of_epoch in enumerate(values):
        for variable in model.trainable_variables:
            variable.assign(keras.ops.full(variable.shape, epoch))
        callback.on_epoch_end(epoch, {"loss": 1.0, name: np.array(of_epoch)})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch + 1


@pytest.mark.parametrize("kind", [StackedAffine, StackedMLP])
def test_each_set_keeps_its_best_epoch(kind):
    model = model_of(StackedAffine(3) if kind is StackedAffine else mlp_layer())
    callback = StackedEarlyStopping("val_mse_per_set", mode="min", patience=2)
    values = [(3, 5, NAN), (4, 4, NAN), (2, 4, NAN), (2, 5, NAN), (9, 9, NAN), (0, 0, 0)]
    assert run(callback, model, values) == 5
    assert callback.best.tolist()[:2] == [2, 4]
    assert callback.best_epoch.tolist() == [2, 1, -1]
    assert callback.stopped_epoch == 4
    for array in model.get_weights():
        rows = array.reshape(3, -1)
        np.testing.assert_array_equal(rows, np.broadcast_to([[2], [1], [4]], rows.shape))


def test_more_may_be_better_and_small_changes_may_not_count():
    model = model_of(StackedAffine(2))
    options = {"min_delta": 0.2, "mode": "max"}
    callback = StackedEarlyStopping("accuracy_per_set", **options)
    values = [(0.1, 0.5), (0.2, 0.6), (0.6, 0.1), (0.1, 0.1)]
    assert run(callback, model, values, "accuracy_per_set") == 2
    assert callback.best_epoch.tolist() == [0, 0]
    callback = StackedEarlyStopping("accuracy_per_set", patience=3, **options)
    assert run(callback, model, values, "accuracy_per_set") == 4
    assert callback.best_epoch.tolist() == [2, 0]
    assert callback.stopped_epoch == 0


def test_a_single_set_may_give_a_number():  # as Keras makes of an array of one
    callback = StackedEarlyStopping("val_mse_per_set", mode="min")
    run(callback, model_of(StackedAffine(1)), [3.0, 2.0, 4.0])
    assert callback.best_epoch.tolist() == [1]


def test_a_metric_of_each_class_is_not_one_of_each_set():
    model = model_of(StackedAffine(3))
    model.compile(loss=StackedLoss("mse"), metrics=[StackedMetric("mse", name="of_classes")])
    model.evaluate(np.ones((2, 2)), np.ones((2, 2)), verbose=0)  # creates the metrics
    for values in [(1, 2), (1, 2, 3)]:  # as many as sets, too
        callback = StackedEarlyStopping("of_classes", mode="max")
        with pytest.raises(ValueError, match="expected one for each of 3 sets"):
            run(callback, model, [values], "of_classes")


def test_training_does_not_stop_in_its_first_epoch():  # as EarlyStopping, whose 0 means none
    callback = StackedEarlyStopping("val_mse_per_set", mode="min")
    assert run(callback, model_of(StackedAffine(2)), [(NAN, NAN)] * 3) == 2
    assert callback.stopped_epoch == 1


@TRAINS
def test_fit_ends_with_the_weights_of_the_best_epochs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 2)).astype("f4"), rng.normal(size=12).astype("f4")
    x[0], y[0] = 3, -3  # other samples; two of the three sets diverge
    model = model_of(mlp_layer())
    metric = StackedMetric("mse", per_set=True)
    model.compile(keras.optimizers.SGD(0.2), StackedLoss("mse"), metrics=[metric])
    model.set_weights([rng.normal(size=array.shape) for array in model.get_weights()])
    callback = StackedEarlyStopping("val_mse_per_set", patience=9)
    history = model.fit(
        x[:3], y[:3], validation_data=(x, y), epochs=6, callbacks=[callback], verbose=0
    ).history["val_mse_per_set"]
    best = np.nanargmin(history, axis=0)
    assert callback.best_epoch.tolist() == best.tolist()
    assert len({*best}) > 1
    np.testing.assert_allclose(callback.best, np.nanmin(history, axis=0))
    found = model.layers[-1].to_weight_sets().mean_loss(x, y)
    np.testing.assert_allclose(found, callback.best, rtol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match="mode must be one of auto, min, max, not 'least'"):
        StackedEarlyStopping("val_mse_per_set", mode="least")
    model = model_of(StackedAffine(2))
    callback = StackedEarlyStopping("val_mse_per_set")
    with pytest.raises(ValueError, match="pass mode='max' or mode='min'"):
        run(callback, model, [(1, 2)])
    with pytest.raises(
        ValueError, match=r"shape \(\); expected one for each of 2 sets, as 'val_mse_"
    ):
        run(callback, model, [1])
    with pytest.warns(UserWarning, match="is 'val_mse_per_set', but the history has 'loss', 'mse'"):
        run(callback, model, [(1, 2)], "mse")
    model = model_of(keras.layers.Dense(2, kernel_initializer="ones"), StackedAffine(2))
    callback = StackedEarlyStopping("val_mse_per_set", mode="min")
    with pytest.raises(ValueError, match=r"model trains .*/kernel, .*/bias, which all sets share"):
        run(callback, model, [(1, 2)])
    model.layers[0].trainable = False
    assert run(callback, model, [(1, 2)]) == 1
