"""One model of N trained ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from multisubnet._sets.models import check, layer_of, not_a_list
from multisubnet._sets.weight_sets import WeightSets
from multisubnet.keras._layer import StackedAffine


def stack_models(models: Iterable[Any], name: str | None = None) -> keras.Model:
    """Make one model of N trained models of the same per-feature architecture.

    Parameters
    ----------
    models : iterable of keras.Model or keras.layers.Layer
        N models of one layer that has a weight, and a bias or none, for each feature, as
        `WeightSets.from_models` takes them; with dropout perhaps, which is left out.
    name : str, optional
        The new model's name.

    Returns
    -------
    keras.Model
        Of inputs of shape (batch, F) and outputs of shape (batch, N, F), through one
        `StackedAffine` of the models' dtype policy. It has all their weights, and shares none.

    Raises
    ------
    ValueError
        There are no models; one has another structure, features, activation or dtype policy.
    TypeError
        Something that is no Keras model is among them.

    Examples
    --------
    >>> import keras
    >>> from multisubnet.keras import stack_models
    >>> def trained():
    ...     layer = keras.layers.EinsumDense("ab,b->ab", output_shape=2, bias_axes="b")
    ...     return keras.Sequential([keras.Input((2,)), layer])
    >>> model = stack_models([trained(), trained(), trained()])
    >>> model.output_shape
    (None, 3, 2)
    >>> model.count_params()
    12
    """
    if isinstance(models, str | keras.layers.Layer) or not isinstance(models, Iterable):
        raise not_a_list(models)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name is a {type(name).__name__}; expected the name of the new model")
    models = list(models)
    for i, model in enumerate(models):
        if not isinstance(model, keras.layers.Layer):
            raise TypeError(f"models[{i}] is a {type(model).__name__}; expected a keras.Model")
    for i, model in enumerate(models):
        check(f"models[{i}]", model, None)
    sets = WeightSets.from_models(models)
    policies = [layer_of(model).dtype_policy for model in models]
    for i, policy in enumerate(policies):
        if policy != policies[0]:
            raise ValueError(
                f"models[{i}] has the dtype policy {policy.name!r} and models[0] "
                f"{policies[0].name!r}; expected one for all"
            )
    layer = StackedAffine.from_weight_sets(sets, dtype=policies[0])
    inputs = keras.Input((sets.n_features,), dtype=policies[0].compute_dtype)
    return keras.Model(inputs, layer(inputs), name=name)
