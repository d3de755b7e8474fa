"""Activations of an array on its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import frameworks, namespaces, validation
from multisubnet._functions.affine import affine


def activate(activation: Activation, x: Any) -> Any:
    """Return an activation of each element of `x`: `affine` with a weight of 1 and no bias.

    The weight is a bool, so it does not change the dtype.
    """
    if frameworks.of((x,)) is None and not namespaces.is_cupy(x):
        x = validation.as_numpy("x", x)
    xp = namespaces.namespace({"x": x})
    with namespaces.device_of(x):
        one = xp.ones((1, 1), bool)
    values = affine(x.reshape(-1, 1), one, activation=activation).reshape(x.shape)
    return values[()] if xp is np and not values.ndim else values
