"""Combining N trained models into one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from multisubnet._sets.models import from_models, layers_with_weights, not_a_list
from multisubnet._sets.weight_sets import WeightSets
from multisubnet.keras._layer import StackedAffine
from multisubnet.keras._network_layer import StackedMLP
from multisubnet.keras._training import options_of


def stack_models(models: Iterable[Any], name: str | None = None) -> keras.Model:
    """Combine N trained models of the same architecture into one model.

    Parameters
    ----------
    models : iterable of keras.Model or keras.layers.Layer
        N models, as `multisubnet.WeightSets.from_models` takes them: with one weight and one bias
        per feature; or with dense layers, one after the other, or in branches. Dropout and noise
        are left out, also when the stacked model is trained.
    name : str, optional
        The new model's name.

    Returns
    -------
    keras.Model
        A model with inputs of shape (batch, F); several inputs of a model are concatenated: pass
        ``numpy.concatenate([one, other], axis=-1)``. Models of one weight and one bias per feature
        give one `StackedAffine`, with outputs of shape (batch, N, F). Others give one `StackedMLP`,
        with outputs of shape (batch, N, S, P), where S is the number of branches or 1, or
        (batch, N, P) if the models add up their branches. If the models end in a softmax, so does
        the layer; if they end in a sigmoid of a sum, it becomes a layer of its own, ``layers[-1]``,
        after the one with the weights, which has the dtype policy of the models and copies of all
        their weights. Layers that are frozen (``trainable=False``) in all models stay frozen, and
        the L1 and L2 regularizers that all models have in common stay, too. The model is not
        compiled: use `StackedLoss` and `StackedMetric`, because Keras' own align targets with the
        wrong axes.

    Raises
    ------
    ValueError
        There are no models; a model has another structure, features, activation or dtype policy.
    TypeError
        An item is not a Keras model.

    Warns
    -----
    UserWarning
        Further training would differ from that of the models: they have dropout, noise,
        constraints, activity regularizers or regularizers of your own; some of them are frozen or
        regularized, but others are not; branches share weights.

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

    Classifiers with a hidden layer:

    >>> def classifier():
    ...     layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")]
    ...     return keras.Sequential([keras.Input((4,)), *layers])
    >>> stack_models([classifier(), classifier()]).output_shape
    (None, 2, 1, 3)
    """
    if isinstance(models, str | Mapping | keras.layers.Layer) or not isinstance(models, Iterable):
        raise not_a_list(models)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name is a {type(name).__name__}; expected the name of the new model")
    models = list(models)
    for i, model in enumerate(models):
        if not isinstance(model, keras.layers.Layer):
            raise TypeError(f"models[{i}] is a {type(model).__name__}; expected a keras.Model")
    parameters, left_out = from_models(models, None)
    sets = WeightSets._own(parameters)
    options = {"dtype": _policy(models), **options_of(models)}
    if left_out == "softmax":
        options["output_activation"] = "softmax"
    kind = StackedAffine if parameters.is_affine else StackedMLP
    layer = kind.from_weight_sets(sets, **options)
    inputs = keras.Input((sets.n_features,), dtype=layer.compute_dtype)
    outputs = layer(inputs)
    if left_out == "sigmoid":  # of sums; that of the layer is one of each network
        outputs = keras.layers.Activation("sigmoid", dtype=layer.dtype_policy)(outputs)
    return keras.Model(inputs, outputs, name=name)


def _policy(models: list[Any]) -> Any:
    """Return the common dtype policy of all layers of all models."""
    first = None
    for i, model in enumerate(models):
        for layer in layers_with_weights(model):
            first = layer.dtype_policy if first is None else first
            if layer.dtype_policy != first:
                raise ValueError(
                    f"models[{i}] has the dtype policy {layer.dtype_policy.name!r}, but models[0] "
                    f"has {first.name!r}; expected one for all"
                )
    return first
