"""The functions of this package for Dask arrays, for data and sets too large for one machine.

They have the arguments and errors of the functions with the same names in `multisubnet`, and return
Dask arrays without computing anything. The tasks apply the functions of this package to NumPy or
CuPy chunks. Sums use the same fixed tree for any chunks, so the bits depend neither on the chunks
nor on the workers.

>>> import dask.array as da
>>> import multisubnet as ms
>>> samples = da.from_array([[3.0, 7.0], [9.0, 4.0]], chunks=1)
>>> ms.affine(samples, [[2.0, 9.0], [8.0, 6.0]], [[7.0, 5.0], [6.0, 3.0]]).compute()
array([[[13., 68.],
        [25., 41.]],
<BLANKLINE>
       [[30., 45.],
        [78., 27.]]])
"""

try:
    import dask
except ImportError as _error:  # an underscore keeps the name out of the module's public names
    raise ImportError("multisubnet.dask needs Dask: pip install 'multisubnet[dask]'") from _error

if tuple(int(part) for part in dask.__version__.split(".")[:2]) < (2024, 8):
    raise ImportError(
        f"multisubnet.dask needs dask 2024.8 or newer, but {dask.__version__} is installed: "
        f"pip install --upgrade 'dask[array]'"
    )

from multisubnet.dask._functions import (
    affine,
    affine_select,
    affine_stats,
    affine_vjp,
    mean_loss,
    mean_loss_and_grad,
)
from multisubnet.dask._network_functions import (
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
