"""Dask arrays: the functions of this package on data and sets that no machine could hold.

They have the arguments and errors of the functions of the same names in `multisubnet`, return Dask
arrays, and compute nothing until those are computed. The tasks are the functions of this package on
NumPy or CuPy chunks; sums go through the same fixed tree in every case, so that the bits depend
neither on the chunks nor on who computed them.

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

import dask

if tuple(int(part) for part in dask.__version__.split(".")[:2]) < (2024, 8):
    raise ImportError(
        f"multisubnet.dask needs dask 2024.8 or newer, and {dask.__version__} is installed: "
        f"pip install --upgrade 'dask[array]'"
    )

from multisubnet.dask._functions import affine, affine_stats, mean_loss, mean_loss_and_grad
from multisubnet.dask._network_functions import (
    mlp,
    mlp_mean_loss,
    mlp_mean_loss_and_grad,
    mlp_select,
    mlp_stats,
)

__all__ = [
    "affine",
    "affine_stats",
    "mean_loss",
    "mean_loss_and_grad",
    "mlp",
    "mlp_mean_loss",
    "mlp_mean_loss_and_grad",
    "mlp_select",
    "mlp_stats",
]
