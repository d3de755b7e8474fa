"""Two small Keras models of the same sparse structure, evaluated with one `predict`.

    python examples/keras_forum.py

A question from forums: each model multiplies every feature by its own weight and adds its own bias,
and predicting with all models takes one call of `predict` per model. Stacked, they are one model
with all their parameters, and one call returns all outputs. The environment variable KERAS_BACKEND
chooses the backend of Keras.
"""

from __future__ import annotations

import keras
import numpy as np

from multisubnet.keras import stack_models

SAMPLES = np.array([[3, 7], [9, 4]], "float32")  # 2 samples of 2 features
PAIRS = {  # for each model, a (weight, bias) pair for each feature
    "w1": [[2, 7], [9, 5]],
    "w2": [[8, 6], [6, 3]],
}


def trained_model(pairs: list[list[float]]) -> keras.Model:
    """Return a model with these weights, as if it had been trained."""
    weight, bias = np.transpose(pairs)
    layer = keras.layers.EinsumDense("ab,b->ab", output_shape=len(weight), bias_axes="b")
    model = keras.Sequential([keras.Input((len(weight),)), layer])
    layer.set_weights([weight, bias])
    return model


def main() -> None:
    """Predict with each model, and with both at once."""
    models = {name: trained_model(pairs) for name, pairs in PAIRS.items()}
    for name, model in models.items():
        outputs = model.predict(SAMPLES, verbose=0)
        print(f"{name} alone, {model.count_params()} parameters: {outputs.tolist()}")

    both = stack_models(models.values())
    outputs = both.predict(SAMPLES, verbose=0)  # (samples, sets, features)
    print(f"both, {both.count_params()} parameters, one call of predict:")
    for number, name in enumerate(models):
        print(f"  {name}: {outputs[:, number].tolist()}")

    sets = both.layers[-1].to_weight_sets()
    same = np.array_equal(sets.predict(SAMPLES, set_axis=1), outputs)
    print(f"{sets} predicts {'the same' if same else 'something else'}, without Keras")


if __name__ == "__main__":
    main()
