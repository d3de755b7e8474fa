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
    assert not drawn.called and not other.called
    assert layer.to_weight_sets() == sets
    again = kind.from_config(layer.get_config())  # draws weights of its own
    again.build((None, 3))
    assert again.to_weight_sets() != sets
    layer.set_weights([array + 1 for array in layer.get_weights()])
    np.testing.assert_array_equal(sets.to_theta(), before)  # no memory is shared
