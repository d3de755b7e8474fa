"""Parts of all launches: element types, fields of operands, template arguments.

Every kernel takes one struct, packed here and declared in the kernel's source.
"""

from __future__ import annotations

import functools
import operator
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np

from multisubnet._arithmetic.activation import Activation

# The element types of cuda/types.cuh by their NumPy dtype character, in the order listed there.
TYPES = {
    "?": "boolean",
    "b": "int8",
    "B": "uint8",
    "h": "int16",
    "H": "uint16",
    "i": "int32",
    "I": "uint32",
    "q": "int64",
    "Q": "uint64",
    "e": "float16",
    "f": "float32",
    "d": "float64",
    "F": "complex64",
    "D": "complex128",
    "E": "bfloat16",
}
# NumPy has two characters for one 64-bit (on Windows, 32-bit) integer.
TYPES |= {char: np.dtype(char).name for char in "lL"}
CODES = {char: list(dict.fromkeys(TYPES.values())).index(name) for char, name in TYPES.items()}

VECTOR_BYTES = 16
SECTOR = 32  # bytes; the unit in which memory is written

OPERAND_BYTES = struct.calcsize("<Q4q")


class Strided(Protocol):
    """The attributes of an array that are used; NumPy and CuPy arrays both have them."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...


class Launch(NamedTuple):
    """A kernel instance (a C++ name expression), its grid and block, and its argument struct.

    The struct begins with arrays of `array_bytes` each, whose first field is their address.
    """

    kernel: str
    grid: tuple[int, int]
    block: tuple[int, int]
    argument: bytes | bytearray
    array_bytes: int = OPERAND_BYTES
    shared_bytes: int = 0
    """The size of a block's dynamic shared memory."""


def serves(dtype: np.dtype, out: np.dtype) -> bool:
    """Return whether the kernels support these dtypes."""
    return dtype.char in TYPES and out.char in TYPES


def functor(key: str) -> str:
    """Return the C++ name of the activation with this key."""
    return "".join(word.capitalize() for word in key.split("_"))


def memory_of(name: str, lanes: int | None) -> str:
    """Return the C++ name of the access to arrays: vectors, or single converted elements."""
    return f"Converting<{name}>" if lanes is None else f"Direct<{name}, {lanes}>"


def parameter_of(activation: Activation | None) -> float:
    return 0.0 if activation is None else activation.number


def operands_of(
    arrays: dict[str, Strided | None],
    dtype: np.dtype,
    activation: Activation | None,
    address: Callable[[Strided], int],
) -> tuple[list[int], str, int]:
    """Return the fields of each Operand, the arguments of the kernel template, and the lanes."""
    fields: list[int] = []
    direct = True
    misaligned = 0  # low bits of all values that a 16-byte access requires to be multiples
    n_features = 0
    for name, array in arrays.items():
        of_array = fields_of(name, array, address)
        fields += of_array
        if array is None or name == "set_index":
            continue
        start, over_sets, over_samples, over_features, _ = of_array
        if array.dtype != dtype:
            direct = False
        if over_features != array.dtype.itemsize:
            misaligned |= 1
        misaligned |= start | over_sets | over_samples
        n_features = array.shape[-1]

    lanes = VECTOR_BYTES // dtype.itemsize
    if not direct or misaligned % VECTOR_BYTES or n_features % lanes:
        lanes = 1
    type_name = TYPES[dtype.char]
    memory = memory_of(type_name, lanes if direct else None)
    function = functor("linear" if activation is None else activation.key)
    return fields, f"{type_name}, {function}, {memory}", lanes


def fields_of(
    name: str, array: Strided | None, address: Callable[[Strided], int]
) -> tuple[int, int, int, int, int]:
    """Return the fields of an Operand."""
    if array is None:
        return 0, 0, 0, 0, 0
    start = address(array)
    over_sets, over_samples, over_features = strides = strides_of(name, array)
    check_places(name, array, start, strides)
    return start, over_sets, over_samples, over_features, CODES[array.dtype.char]


def check_places(name: str, array: Strided, start: int, strides: Iterable[int]) -> None:
    """Raise unless the GPU can read elements of an array at this address with these strides."""
    itemsize = array.dtype.itemsize
    if not array.dtype.isnative:
        raise TypeError(f"{name} has dtype {array.dtype.str} in a byte order that is not the GPU's")
    if functools.reduce(operator.or_, strides, start) % itemsize:
        raise ValueError(
            f"{name} is not aligned to the {itemsize} bytes of its {array.dtype} "
            f"elements, which a GPU requires: pass a copy"
        )


def strides_of(name: str, array: Strided) -> tuple[int, int, int]:
    """Strides over sets, samples and features; 0 along an axis of length 1 or a missing axis."""
    strides = tuple(
        0 if length == 1 else stride
        for length, stride in zip(array.shape, array.strides, strict=True)
    )
    if len(strides) == 3:
        return strides
    if len(strides) == 1:
        return (0, *strides, 0)
    first, over_features = strides
    return (first, 0, over_features) if name in ("weight", "bias") else (0, first, over_features)
