"""The functions of this package for JAX arrays.

``multisubnet.affine`` and the others take JAX arrays, too, and call these. Arguments, results and
errors are those of the functions of the same names there; what is said here is what JAX arrays add.

Arrays that are there are handed to the kernels of this package without a copy, on the CPU or a
GPU, and the results have its bits. Inside `jax.jit`, `jax.grad`, `jax.vmap` and other
transformations, where arrays are not there yet, the same formulas in JAX' own operations take their
place, to be differentiated and compiled with all that is around them. XLA contracts products and
sums to fused multiply-adds and flushes subnormal numbers, so those results differ in their last
bits.
"""

try:
    import jax
except ImportError as _error:  # a name that no user of this module sees
    raise ImportError("multisubnet.jax needs JAX: pip install jax") from _error

if jax.__version_info__ < (0, 5):
    raise ImportError(f"multisubnet.jax needs JAX 0.5 or newer, and {jax.__version__} is installed")

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
