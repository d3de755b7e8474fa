"""PyTorch: the functions of this library for tensors, with gradients, and modules of N sets.

The functions have the names, arguments and results of those in `multisubnet`, which call them for
tensors. The docstrings here describe only what is different for tensors.
"""

try:
    import torch
except ImportError as _error:  # an underscore keeps the name out of the module's public names
    raise ImportError(
        "multisubnet.torch needs PyTorch: pip install 'multisubnet[torch]'"
    ) from _error

if not hasattr(torch.library, "custom_op"):
    raise ImportError(f"multisubnet.torch needs PyTorch 2.4 or newer; this is {torch.__version__}")

from multisubnet.torch._functions import (
    affine,
    affine_select,
    affine_stats,
    affine_vjp,
    mean_loss,
    mean_loss_and_grad,
)
from multisubnet.torch._mlp_module import StackedMLP
from multisubnet.torch._module import StackedAffine
from multisubnet.torch._network_functions import (
    mlp,
    mlp_mean_loss,
    mlp_mean_loss_and_grad,
    mlp_select,
    mlp_stats,
    mlp_vjp,
)

__all__ = [
    "StackedAffine",
    "StackedMLP",
    "affine",
    "affine_select",
    "affine_stats",
    "affine_vjp",
    "mean_loss",
    "mean_loss_and_grad",
    "mlp",
    "mlp_mean_loss",
    "mlp_mean_loss_and_grad",
    "mlp_select",
    "mlp_stats",
    "mlp_vjp",
]
