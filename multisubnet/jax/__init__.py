"""The functions of this package for JAX arrays.

``multisubnet.affine`` and the other functions accept JAX arrays and call these. Arguments, results
and errors are those of the public functions with the same names; the docstrings here describe only
what is different for JAX arrays.

Concrete arrays are passed to the kernels of this package without a copy, on the CPU or a GPU, and
the results have its bits. Inside `jax.jit`, `jax.grad`, `jax.vmap` and other transformations,
arrays are traced. The same formulas in JAX operations then take over, and JAX differentiates and
compiles them with the surrounding code. XLA contracts products and sums to fused multiply-adds and
flushes subnormal numbers, so those results differ in their last bits.
"""

try:
    import jax
except ImportError as _error:  # an underscore keeps the name out of the module's public names
    raise ImportError("multisubnet.jax needs JAX: pip install 'multisubnet[jax]'") from _error

if jax.__version_info__ < (0, 5):
    raise ImportError(f"multisubnet.jax needs JAX 0.5 or newer, but {jax.__version__} is installed")

from multisubnet.jax._evaluation import affine, affine_select, affine_stats, affine_vjp
from multisubnet.jax._losses import mean_loss, mean_loss_and_grad
from multisubnet.jax._networks import (
    mlp,
    mlp_mean_loss,
    mlp_mean_loss_and_grad,
    mlp_select,
    mlp_stats,
    mlp_vjp,
)

__all__ = [
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
