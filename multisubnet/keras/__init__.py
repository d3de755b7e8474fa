"""Keras: a layer of N sets of weights, and one model made of N trained ones.

Works on each backend of Keras 3. This module is imported by nobody else: Keras takes seconds.
"""

import keras

if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 9):
    raise ImportError(
        f"multisubnet.keras needs Keras 3.9 or newer, and {keras.__version__} is installed"
    )

from multisubnet.keras._activation import KerasActivation
from multisubnet.keras._layer import StackedAffine
from multisubnet.keras._stacking import stack_models

__all__ = ["KerasActivation", "StackedAffine", "stack_models"]
