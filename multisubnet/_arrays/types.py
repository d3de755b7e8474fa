"""Static types of arguments and results; nothing here is used at run time.

Anything with a shape, a dtype and indexing is an `Array`, and results have the type of the
operands. Sequences of numbers count as host arrays: together with NumPy arrays, they give NumPy
arrays.
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
    """An array of any library, such as NumPy, CuPy, PyTorch, JAX or Dask."""

    @property
    def shape(self) -> Any:
        """The length of each axis."""

    @property
    def dtype(self) -> Any:
        """The type of the elements, in the library's own representation."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return a part of the array."""


if TYPE_CHECKING:
    ArrayT = TypeVar("ArrayT", bound=Array, default=HostArray)
else:
    ArrayT = TypeVar("ArrayT")

SetAxis = Literal[0, 1]
Operand = Literal["samples", "weight", "bias"]
Statistic = Literal["mean", "var", "std"]
