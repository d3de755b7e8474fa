"""Keras: layers of N sets of weights, and one model made of N trained ones.

Works on each backend of Keras 3. This module is imported by nobody else: Keras takes seconds.
"""

import importlib.util

try:
    import keras
except ImportError as _error:  # a name that no user of this module sees
    if importlib.util.find_spec("keras") is None:
        raise ImportError("multisubnet.keras needs Keras: pip install keras") from _error
    raise ImportError(
        f"multisubnet.keras needs a backend of Keras, and the one that is chosen cannot be "
        f"imported ({_error}): install jax, torch or tensorflow, and if it is not tensorflow, set "
        f"the environment variable KERAS_BACKEND to its name"
    ) from _error

if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 9):
    raise ImportError(
        f"multisubnet.keras needs Keras 3.9 or newer, and {keras.__version__} is installed"
    )

from multisubnet.keras._activation import KerasActivation
from multisubnet.keras._layer import StackedAffine
from multisubnet.keras._loss import StackedLoss
from multisubnet.keras._network_layer import StackedMLP
from multisubnet.keras._stacking import stack_models

__all__ = ["KerasActivation", "StackedAffine", "StackedLoss", "StackedMLP", "stack_models"]
