"""How a kernel is launched: which instance, on which grid, with which bytes as its argument.

Plain Python on addresses, shapes and strides, so that it is tested where there is no GPU. Every
kernel takes one struct, packed here and declared in the kernel's source.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from multisubnet._activations import OF_INTEGERS, Activation

# The element types of cuda/types.cuh, by their NumPy dtype character, in the order of its list.
_TYPES = {
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
}
# NumPy has two characters for one 64-bit (or, on Windows, 32-bit) integer.
_TYPES |= {char: np.dtype(char).name for char in "lL"}
_CODES = {char: list(dict.fromkeys(_TYPES.values())).index(name) for char, name in _TYPES.items()}

_VECTOR_BYTES = 16
_BLOCK_THREADS = 256  # __launch_bounds__ of the kernels
_ENOUGH_BLOCKS = 4096  # several waves on the largest card there is
_MAX_GRID_Y = 65535

_AFFINE = struct.Struct("<" + "Q4q" * 4 + "d3q")
_AFFINE_SELECT = struct.Struct("<" + "Q4q" * 5 + "d3q")


class Strided(Protocol):
    """What is asked of an array: NumPy and CuPy both have it."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...


class Launch(NamedTuple):
    """A kernel instance (a C++ name expression), its grid and block, and its argument struct."""

    kernel: str
    grid: tuple[int, int]
    block: tuple[int, int]
    argument: bytes


def serves(dtype: np.dtype, out: np.dtype) -> bool:
    """Whether the kernels have these dtypes."""
    return dtype.char in _TYPES and out.char in _TYPES


def functor(key: str) -> str:
    """Return the C++ name of the activation with this key."""
    return "".join(word.capitalize() for word in key.split("_"))


def kernels(name: str, key: str) -> list[str]:
    """Return every instance of the kernel template `name` for the activation of this key."""
    kinds = "biufc" if key == "linear" else "iuf" if key in OF_INTEGERS else "f"
    names = set()
    for char, type_name in _TYPES.items():
        dtype = np.dtype(char)
        if dtype.kind in kinds:
            lanes = _VECTOR_BYTES // dtype.itemsize
            for memory in ("Direct<{}, 1>", f"Direct<{{}}, {lanes}>", "Converting<{}>"):
                names.add(f"{name}<{type_name}, {functor(key)}, {memory.format(type_name)}>")
    return sorted(names)


def affine(
    samples: Strided,
    weight: Strided,
    bias: Strided | None,
    out: Strided,
    dtype: np.dtype,
    activation: Activation | None,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes `affine` to a non-empty `out` of shape (N, B, F).

    `address(array)` is the address of an array's first element.
    """
    n_sets, n_samples, n_features = out.shape
    arrays = {"samples": samples, "weight": weight, "bias": bias, "out": out}
    operands, instance, lanes = _operands(arrays, dtype, activation, address)
    grid, block = _geometry(n_samples * (n_features // lanes), n_sets)
    argument = _AFFINE.pack(*operands, _parameter(activation), n_sets, n_samples, n_features)
    return Launch(f"affine<{instance}>", grid, block, argument)


def affine_select(
    samples: Strided,
    weight: Strided,
    bias: Strided | None,
    set_index: Strided,
    out: Strided,
    dtype: np.dtype,
    activation: Activation | None,
    n_sets: int,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes `affine_select` to a non-empty `out` of shape (B, F)."""
    n_samples, n_features = out.shape
    arrays = {"samples": samples, "weight": weight, "bias": bias}
    arrays |= {"set_index": set_index, "out": out}
    operands, instance, lanes = _operands(arrays, dtype, activation, address)
    grid, block = _geometry(n_samples * (n_features // lanes), 1)
    argument = _AFFINE_SELECT.pack(*operands, _parameter(activation), n_sets, n_samples, n_features)
    return Launch(f"affine_select<{instance}>", grid, block, argument)


def _parameter(activation: Activation | None) -> float:
    return 0.0 if activation is None else activation.number


def _operands(
    arrays: dict[str, Strided | None],
    dtype: np.dtype,
    activation: Activation | None,
    address: Callable[[Strided], int],
) -> tuple[list[int], str, int]:
    """Return the fields of each Operand, the arguments of the kernel template, and the lanes."""
    fields: list[int] = []
    direct = True
    misaligned = 0  # the low bits of whatever a 16-byte access would have to be a multiple of
    n_features = 0
    for name, array in arrays.items():
        if array is None:
            fields += (0, 0, 0, 0, 0)
            continue
        start = address(array)
        over_sets, over_samples, over_features = strides = _strides(name, array)
        itemsize = array.dtype.itemsize
        if not array.dtype.isnative:
            raise TypeError(
                f"{name} has dtype {array.dtype.str} in another byte order than the GPU's"
            )
        if (start | over_sets | over_samples | over_features) % itemsize:
            raise ValueError(
                f"{name} does not lie at multiples of the {itemsize} bytes of its {array.dtype} "
                f"elements, where the GPU reads them: pass a copy"
            )
        fields += (start, *strides, _CODES[array.dtype.char])
        if name == "set_index":
            continue
        if array.dtype != dtype:
            direct = False
        if over_features != itemsize:
            misaligned |= 1
        misaligned |= start | over_sets | over_samples
        n_features = array.shape[-1]

    lanes = _VECTOR_BYTES // dtype.itemsize
    if not direct or misaligned % _VECTOR_BYTES or n_features % lanes:
        lanes = 1
    name = _TYPES[dtype.char]
    memory = f"Direct<{name}, {lanes}>" if direct else f"Converting<{name}>"
    function = functor("linear" if activation is None else activation.key)
    return fields, f"{name}, {function}, {memory}", lanes


def _strides(name: str, array: Strided) -> tuple[int, int, int]:
    """Strides over sets, samples and features; 0 along an axis of length 1 or not there."""
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


def _geometry(across: int, along: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid and block for `across` threads in x, each walking over `along` items in y.

    A block has 256 threads, as many of them in x as there is work for. The walk along y is split
    among blocks only until the card is full, since each part reads its samples again.
    """
    block_x = min(_BLOCK_THREADS, 1 << (across - 1).bit_length())
    block_y = _BLOCK_THREADS // block_x
    grid_x = -(-across // block_x)
    grid_y = min(-(-along // block_y), -(-_ENOUGH_BLOCKS // grid_x), _MAX_GRID_Y)
    return (grid_x, grid_y), (block_x, block_y)
