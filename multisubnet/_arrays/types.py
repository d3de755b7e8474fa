"""What a type checker knows of arguments and results. Nothing here is used at run time.

An array of any library that has a shape, a dtype and indices is an `Array`; results are of the type
of the operands. Sequences of numbers are host arrays: with them, and with NumPy's arrays, results
are NumPy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Union

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import TypeVar

    HostArray = NDArray[Any]
    Nested = bool | int | float | complex | np.generic | Sequence["Nested"]
    HostArrayLike = HostArray | Nested
    _T = TypeVar("_T")
    Layer = Union[tuple[_T, "Array | HostArrayLike | None"], _T]  # noqa: UP007 (mypy knows no TypeVar beside |)
else:
    from typing import TypeVar


class Array(Protocol):
    """An array of any library: NumPy, CuPy, PyTorch, JAX, Dask or another one."""

    @property
    def shape(self) -> Any:
        """The length of each axis."""

    @property
    def dtype(self) -> Any:
        """The type of the elements, as the library names it."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return a part of the array."""


if TYPE_CHECKING:
    ArrayT = TypeVar("ArrayT", bound=Array, default=HostArray)
else:
    ArrayT = TypeVar("ArrayT")

SetAxis = Literal[0, 1]
Operand = Literal["samples", "weight", "bias"]
Statistic = Literal["mean", "var", "std"]
