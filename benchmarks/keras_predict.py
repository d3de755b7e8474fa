"""What Keras' users time: its `predict`, which takes a batch of 32 samples at a time.

The backend of Keras is that of the option --keras-backend.
"""

from __future__ import annotations

from functools import partial

from contenders import OURS, Call, contender, is_linear, keras_model

import multisubnet as ms

_options = {"functions": ("predict",), "can": is_linear, "reuses": False}
_on_keras = {"requires": ("keras",), **_options}


@contender(OURS, requires=("numba",), **_options)
def _weight_sets(task, samples, weight, bias) -> Call:
    sets = ms.WeightSets(weight, bias)
    with ms.use_backend("numba"):  # from then on the engine is there, and chosen without asking
        sets.predict(samples)
    return partial(sets.predict, samples)


@contender("layer that broadcasts", set_axis=1, **_on_keras)
def _broadcasting(task, samples, weight, bias) -> Call:
    model, layer = keras_model(weight.shape)
    layer.set_weights([weight, bias])
    return partial(model.predict, samples, verbose=0)


@contender("StackedAffine", set_axis=1, **_on_keras)
def _stacked(task, samples, weight, bias) -> Call:
    import keras

    from multisubnet.keras import StackedAffine

    layer = StackedAffine.from_weight_sets(ms.WeightSets(weight, bias))
    inputs = keras.Input((weight.shape[1],))
    return partial(keras.Model(inputs, layer(inputs)).predict, samples, verbose=0)


@contender("predict for each set", at_most_sets=20, **_on_keras)
def _each_set(task, samples, weight, bias) -> Call:
    model, layer = keras_model(weight.shape[1:])

    def one(w, b):
        layer.set_weights([w, b])
        return model.predict(samples, verbose=0)

    return lambda: [one(w, b) for w, b in zip(weight, bias, strict=True)]
