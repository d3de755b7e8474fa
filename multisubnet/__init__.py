"""Evaluate N sets of weights of the same small network on the same data in one call.

- `WeightSets` holds sets as one object: predictions, losses, gradients, the best sets, files.
- `affine`, `affine_select`, `affine_stats` have one weight and one bias per feature.
- `mlp`, `mlp_select`, `mlp_stats` have networks with hidden layers.
- `mean_loss`, `mean_loss_and_grad`, `affine_vjp`, and for networks `mlp_mean_loss`,
  `mlp_mean_loss_and_grad`, `mlp_vjp`, compute losses and gradients.
- `from_pairs`, `to_pairs`, `from_theta`, `to_theta` convert between layouts of weights.
- `use_backend`, `set_backend`, `available_backends`, `show_config` choose where the work is done.

NumPy arrays are computed on the CPU and CuPy arrays on their GPU, with the same bits. Importing
this package imports only NumPy. CuPy takes seconds to import and can be broken, so it is imported
only for a CuPy array or when the backend is requested by name. `plot`, `testing`, `torch`, `keras`,
`jax` and `dask` are modules that are imported on first use, as in ``ms.plot.losses``.
"""

import importlib as _importlib  # underscores keep these names out of the module's public names
import sys as _sys
from typing import TYPE_CHECKING

from multisubnet._arithmetic.activation import Activation
from multisubnet._backends.choice import (
    BackendUnavailable,
    available_backends,
    set_backend,
    use_backend,
)
from multisubnet._backends.config import show_config
from multisubnet._functions.affine import affine
from multisubnet._functions.affine_select import affine_select
from multisubnet._functions.affine_stats import affine_stats
from multisubnet._functions.affine_vjp import affine_vjp
from multisubnet._functions.mean_loss import mean_loss, mean_loss_and_grad
from multisubnet._functions.mlp import mlp, mlp_select, mlp_stats
from multisubnet._functions.mlp_mean_loss import mlp_mean_loss, mlp_mean_loss_and_grad
from multisubnet._functions.mlp_vjp import mlp_vjp
from multisubnet._functions.pairs import from_pairs, to_pairs
from multisubnet._functions.theta import from_theta, to_theta
from multisubnet._sets.weight_sets import WeightSets

if TYPE_CHECKING:
    from multisubnet import dask as dask
    from multisubnet import jax as jax
    from multisubnet import keras as keras
    from multisubnet import plot as plot
    from multisubnet import testing as testing
    from multisubnet import torch as torch

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "BackendUnavailable",
    "WeightSets",
    "affine",
    "affine_select",
    "affine_stats",
    "affine_vjp",
    "available_backends",
    "from_pairs",
    "from_theta",
    "mean_loss",
    "mean_loss_and_grad",
    "mlp",
    "mlp_mean_loss",
    "mlp_mean_loss_and_grad",
    "mlp_select",
    "mlp_stats",
    "mlp_vjp",
    "set_backend",
    "show_config",
    "to_pairs",
    "to_theta",
    "use_backend",
]

# Modules that are imported on first use, since each needs another library.
_LAZY = "dask", "jax", "keras", "plot", "testing", "torch"


if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import a lazy module."""
        message, cause = f"module {__name__!r} has no attribute {name!r}", None
        if name in _LAZY:
            try:
                return _importlib.import_module(f"multisubnet.{name}")
            except ImportError as error:  # hasattr and getmembers expect an AttributeError
                message, cause = f"{message}: {error}", error
        raise AttributeError(message, name=name, obj=_sys.modules[__name__]) from cause
