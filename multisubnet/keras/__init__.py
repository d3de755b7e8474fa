"""Keras: layers of N sets of weights, and one model that combines N trained ones.

Works with every backend of Keras 3. The rest of the package does not import this module, because
Keras takes seconds to import.
"""

import importlib.util

try:
    import keras
except ImportError as _error:  # an underscore keeps the name out of the module's public names
    if importlib.util.find_spec("keras") is None:
        raise ImportError(
            "multisubnet.keras needs Keras: pip install 'multisubnet[keras]'"
        ) from _error
    raise ImportError(
        f"multisubnet.keras needs a Keras backend, but the selected one cannot be imported "
        f"({_error}): install jax, torch or tensorflow, and unless it is tensorflow, set the "
        f"environment variable KERAS_BACKEND to its name"
    ) from _error

if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 9):
    raise ImportError(
        f"multisubnet.keras needs Keras 3.9 or newer, but {keras.__version__} is installed"
    )

from multisubnet.keras._activation import KerasActivation
from multisubnet.keras._early_stopping import StackedEarlyStopping
from multisubnet.keras._layer import StackedAffine
from multisubnet.keras._loss import StackedLoss
from multisubnet.keras._metric import StackedMetric
from multisubnet.keras._network_layer import StackedMLP
from multisubnet.keras._stacking import stack_models

__all__ = [
    "KerasActivation",
    "StackedAffine",
    "StackedEarlyStopping",
    "StackedLoss",
    "StackedMLP",
    "StackedMetric",
    "stack_models",
]
