"""How a kernel is launched: which instance, on which grid, with which bytes as its argument.

Plain Python on addresses, shapes and strides, so that it is tested where there is no GPU. Every
kernel takes one struct, packed here and declared in the kernel's source.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from multisubnet._arithmetic.activation import OF_INTEGERS, Activation
from multisubnet._arithmetic.summands import EACH, OPERANDS, OUTPUTS, Terms
from multisubnet._arithmetic.summation_order import BLOCK, RUN

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
    "E": "bfloat16",
}
# NumPy has two characters for one 64-bit (or, on Windows, 32-bit) integer.
_TYPES |= {char: np.dtype(char).name for char in "lL"}
_CODES = {char: list(dict.fromkeys(_TYPES.values())).index(name) for char, name in _TYPES.items()}

_ORDERS = "SAMPLES_FIRST", "SETS_FIRST", "OWN_SAMPLES"  # of cuda/affine_runs.cu
_VECTOR_BYTES = 16
SECTOR = 32  # bytes, in which memory is written
_LEAST_RUN = 64  # bytes
_WARP = 32  # threads that access memory at the same time
_BLOCK_THREADS = 256  # __launch_bounds__ of the kernels
_MAX_GRID_Y = 65535

OPERAND_BYTES = struct.calcsize("<Q4q")
_AFFINE = struct.Struct("<" + "Q4q" * 4 + "d3q")
_AFFINE_RUNS = struct.Struct("<" + "Q4q" * 4 + "d6q")
_AFFINE_SELECT = struct.Struct("<" + "Q4q" * 5 + "d3q")
_AFFINE_SELECT_RUNS = struct.Struct("<" + "Q4q" * 5 + "d6q")
_SUMS = struct.Struct("<" + "Q4q" * len(OPERANDS) + "Qd3q")
_FINISH = struct.Struct("<" + "Q4q" * 2 + "Qd3q")

_SHORT = 20  # operations of the recipe of a term, up to which loads of `sums` would be waited for
_MOST_RUNS = BLOCK // RUN  # of a block of the summed axis that are summed up at the same time
_NEIGHBOURS = 4  # threads in x, so that no more than half of a sector is read for nothing
_LEAVES = 8  # of a tree, that a thread adds up alone, as in cuda/trees.cuh


class Card(NamedTuple):
    """A GPU: its multiprocessors, and the most threads that one of them has at a time."""

    multiprocessors: int
    threads: int

    @property
    def enough_blocks(self) -> int:
        """Blocks of threads of two waves, if each has few registers."""
        return -(-2 * self.all_threads // _BLOCK_THREADS)

    @property
    def few_blocks(self) -> int:
        """Blocks below which smaller ones balance the work better."""
        return 4 * self.multiprocessors

    @property
    def all_threads(self) -> int:
        """Threads that keep it busy."""
        return self.multiprocessors * self.threads

    @property
    def least_threads(self) -> int:
        """Threads for which there is room whatever the kernel, by the __launch_bounds__ of all."""
        return self.multiprocessors * min(2 * _BLOCK_THREADS, self.threads)


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
    argument: bytes | bytearray


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
        # NumPy knows nothing of bfloat16 without ml_dtypes.
        like = np.dtype("e" if char == "E" else char)
        if like.kind in kinds:
            start = f"{name}<{type_name}, {functor(key)}"
            lanes = _VECTOR_BYTES // like.itemsize
            if name == "affine_runs":
                kinds_of_runs = itertools.product(_ORDERS, ("true", "false"))
                names |= {f"{start}, {order}, {wide}>" for order, wide in kinds_of_runs}
            elif name == "affine_select_runs":
                names |= {f"{start}, {wide}>" for wide in ("true", "false")}
            else:
                memories = (_memory(type_name, n) for n in (1, lanes, None))
                names |= {f"{start}, {memory}>" for memory in memories}
    return sorted(names)


def _memory(name: str, lanes: int | None) -> str:
    """Return how arrays are accessed: so many elements at once, or one of whatever dtype."""
    return f"Converting<{name}>" if lanes is None else f"Direct<{name}, {lanes}>"


def affine(
    samples: Strided,
    weight: Strided,
    bias: Strided | None,
    out: Strided,
    dtype: np.dtype,
    activation: Activation | None,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes `affine` to a non-empty `out` of shape (N, B, F).

    `address(array)` is the address of an array's first element.
    """
    n_sets, n_samples, n_features = out.shape
    arrays = {"samples": samples, "weight": weight, "bias": bias, "out": out}
    sets_first = _runs_of(samples, out)
    if sets_first is not None and all(x is None or x.dtype == dtype for x in arrays.values()):
        return _affine_runs(arrays, sets_first, dtype, activation, card, address)
    operands, instance, lanes = _operands(arrays, dtype, activation, address)
    grid, block = _geometry(n_samples * (n_features // lanes), n_sets, card)
    argument = _AFFINE.pack(*operands, _parameter(activation), n_sets, n_samples, n_features)
    return Launch(f"affine<{instance}>", grid, block, argument)


def _runs_of(samples: Strided, out: Strided) -> bool | None:
    """Return whether the runs of `out` that lie whole in memory are those of sets, or of samples.

    None where there are none that are worth it. Where there are both, the longer ones are taken.
    """
    n_sets, n_samples, n_features = out.shape
    over_sets, over_samples, over_features = out.strides
    row = n_features * out.dtype.itemsize
    if n_features > 1 and over_features != out.dtype.itemsize:
        return None
    of_sets = n_samples == 1 or over_samples == row
    of_samples = len(samples.shape) == 2 and (n_sets == 1 or over_sets == row)
    if not of_sets and not of_samples:
        return None
    sets_first = of_sets and not (of_samples and n_samples == 1)
    return sets_first if row * (n_samples if sets_first else n_sets) >= _LEAST_RUN else None


def _affine_runs(
    arrays: dict[str, Any],
    sets_first: bool,
    dtype: np.dtype,
    activation: Activation | None,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes `affine` to an `out` that has runs."""
    fields = {name: _fields(name, x, address) for name, x in arrays.items()}
    n_runs, n_rows, n_features = arrays["out"].shape
    if not sets_first:
        n_runs, n_rows = n_rows, n_runs
        for name, (start, over_sets, over_samples, over_features, code) in fields.items():
            fields[name] = start, over_samples, over_sets, over_features, code

    itemsize = dtype.itemsize
    lanes = _VECTOR_BYTES // itemsize
    start, over_runs, *_ = fields["out"]
    begins = start | over_runs
    wide = n_features % lanes == begins % _VECTOR_BYTES == 0
    for name in ("weight", "bias") if sets_first else ("samples",):
        start, over_runs, _, over_features, _ = fields[name]
        wide = wide and (arrays[name] is None or n_features == 1 or over_features == itemsize)
        wide = wide and (start | over_runs) % _VECTOR_BYTES == 0

    has_own_samples = sets_first and fields["samples"][1] != 0
    order = _ORDERS[sets_first + has_own_samples]
    length = n_rows * n_features
    rows = _rows(order, lanes) if activation is None else 1
    period, n_vectors = _vectors(length, n_features, lanes, rows)
    ends = 0 if begins % SECTOR == length % lanes == 0 else 3 * lanes - 2
    alike = SECTOR // math.gcd(SECTOR, fields["out"][1])
    grid, block = _geometry(n_vectors + ends, n_runs, card, alike)

    sizes = n_runs, n_rows, n_features, period, period * lanes // n_features, n_vectors
    operands = itertools.chain(*fields.values())
    argument = _AFFINE_RUNS.pack(*operands, _parameter(activation), *sizes)
    function = functor("linear" if activation is None else activation.key)
    instance = f"{_TYPES[dtype.char]}, {function}, {order}, {str(wide).lower()}"
    return Launch(f"affine_runs<{instance}>", grid, block, argument)


def _vectors(length: int, n_features: int, lanes: int, rows: int) -> tuple[int, int]:
    """Return the distance between the vectors of a thread in a run, and the threads it takes.

    A thread has vectors in so many `rows`. It is as many vectors as make whole rows and sectors,
    and at least as many as a warp writes at once.
    """
    vectors = length // lanes
    if not vectors or rows == 1:
        return vectors, vectors
    period = math.lcm(n_features, 2 * lanes) // lanes
    period *= -(-_WARP // period)
    groups = -(-vectors // (period * rows))
    return period, groups * period if groups > 1 else min(period, vectors)


def _rows(order: str, lanes: int) -> int:
    """Return how many vectors a thread of affine_runs owns, as in cuda/affine_runs.cu."""
    most = min(4, 16 // lanes)
    return max(most // 2, 1) if order == "OWN_SAMPLES" else most


def affine_select(
    samples: Strided,
    weight: Strided,
    bias: Strided | None,
    set_index: Strided,
    out: Strided,
    dtype: np.dtype,
    activation: Activation | None,
    n_sets: int,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes `affine_select` to a non-empty `out` of shape (B, F)."""
    n_samples, n_features = out.shape
    arrays = {"samples": samples, "weight": weight, "bias": bias}
    arrays |= {"set_index": set_index, "out": out}
    row = n_features * dtype.itemsize
    strides = _strides("out", out)[1:]
    is_run = strides[0] in (0, row) and strides[1] in (0, dtype.itemsize)
    of_dtype = all(x is set_index or x is None or x.dtype == dtype for x in arrays.values())
    if is_run and of_dtype and n_samples * row >= _LEAST_RUN:
        return _affine_select_runs(arrays, dtype, activation, n_sets, card, address)
    operands, instance, lanes = _operands(arrays, dtype, activation, address)
    grid, block = _geometry(n_samples * (n_features // lanes), 1, card)
    argument = _AFFINE_SELECT.pack(*operands, _parameter(activation), n_sets, n_samples, n_features)
    return Launch(f"affine_select<{instance}>", grid, block, argument)


def _affine_select_runs(
    arrays: dict[str, Any],
    dtype: np.dtype,
    activation: Activation | None,
    n_sets: int,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes `affine_select` to an `out` that lies whole in memory."""
    operands, instance, lanes_of_all = _operands(arrays, dtype, activation, address)
    n_samples, n_features = arrays["out"].shape
    lanes = _VECTOR_BYTES // dtype.itemsize
    rows = _rows("SETS_FIRST", lanes) if activation is None else 1
    length = n_samples * n_features
    period, n_vectors = _vectors(length, n_features, lanes, rows)
    begin = address(arrays["out"]) % SECTOR
    ends = 0 if begin == length % lanes == 0 else 3 * lanes - 2
    grid, block = _geometry(n_vectors + ends, 1, card)
    sizes = n_sets, n_samples, n_features, period, period * lanes // n_features, n_vectors
    argument = _AFFINE_SELECT_RUNS.pack(*operands, _parameter(activation), *sizes)
    type_name, function, _ = instance.split(", ", 2)
    wide = str(lanes_of_all == lanes).lower()
    return Launch(f"affine_select_runs<{type_name}, {function}, {wide}>", grid, block, argument)


def sums(
    sample: Strided | None,
    weight: Strided | None,
    bias: Strided | None,
    target: Strided | None,
    factor: Strided | None,
    totals: Strided,
    terms: Terms,
    dtype: np.dtype,
    parameter: float,
    length: int,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes sums over blocks to `totals`, C-contiguous and not empty.

    Its shape is (blocks, outputs, kept, F), that of operands (kept, summed, F).
    """
    n_blocks, _, n_kept, n_features = totals.shape
    arrays = sample, weight, bias, target, factor
    operands = dict(zip(OPERANDS, arrays, strict=True))
    fields = [_fields(name, x, address) for name, x in operands.items()]
    direct = all(x is None or x.dtype == dtype for x in arrays)
    name = _TYPES[dtype.char]
    derivative = terms.activation.removesuffix("_derivative") + "_derivative"
    functions = map(functor, (terms.loss, terms.activation, derivative))
    outputs = sum(1 << OUTPUTS.index(output) for output in terms.outputs)
    weighted = str(terms.weighted).lower()
    kinds = terms.kinds(operands, dtype)
    rows = _rows_of_sums((n_kept, length, n_features), dtype, card)
    steps = _steps_of_sums(terms, kinds, dtype)
    instance = (
        f"{name}, Terms<{', '.join(functions)}, {outputs}, {weighted}>, {rows}, {steps}, "
        f"{', '.join(map(repr, kinds))}, "
        f"{f'Direct<{name}, 1>' if direct else f'Converting<{name}>'}"
    )
    grid, block = _geometry_of_sums(-(-n_kept // rows) * n_features, n_blocks, length, card)
    argument = _SUMS.pack(
        *itertools.chain(*fields), address(totals), parameter, n_kept, length, n_features
    )
    return Launch(f"sums<{instance}>", grid, block, argument)


def _rows_of_sums(shape: tuple[int, int, int], dtype: np.dtype, card: Card) -> int:
    """Return how many kept indices a thread of `sums` owns, of a `shape` of (kept, summed, F).

    One, if there would not be as many threads as the card has room for. Of float64, whose
    arithmetic takes at least twice the time, half as many make up for what they share.
    """
    n_kept, length, n_features = shape
    most = _VECTOR_BYTES // dtype.itemsize
    threads = n_kept // most * n_features * -(-length // RUN)
    return most if threads >= card.least_threads else 1


def _steps_of_sums(terms: Terms, kinds: str, dtype: np.dtype) -> int:
    """Return how many terms along the summed axis a thread of `sums` loads at once.

    Where a term takes long, other threads have enough to do while one waits. What is loaded for
    each row takes registers, and so do long terms.
    """
    fewer = 2 if EACH in kinds else 1
    is_short = len(terms.program(dtype).operations) * fewer <= _SHORT
    return 4 // fewer if is_short else 1


def _geometry_of_sums(
    across: int, n_blocks: int, length: int, card: Card
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid and block for `across` threads in x, each walking over the blocks of a summed axis.

    Where these are few, threads that differ in y share the runs of a block, as many each as can be,
    and a warp at least is busy in a block of threads. Threads that are neighbours in x read
    neighbouring features.
    """
    y = 1
    runs = min(-(-length // RUN), _MOST_RUNS)
    while y < runs and (across * n_blocks * y < card.all_threads or across * y < _WARP):
        y *= 2
    passes = -(-runs // y)
    y = -(-runs // passes)
    grid_y = min(n_blocks, _MAX_GRID_Y)
    x = _spread(across, y, grid_y, card)
    return (-(-across // x), grid_y), (x, y)


def _spread(across: int, y: int, grid_y: int, card: Card) -> int:
    """Return how many of `across` threads are in a block, of which each has `y` of them.

    Blocks are small where they would not be many: they are to lie on all multiprocessors.
    """
    x = min(_BLOCK_THREADS // y, 1 << (across - 1).bit_length())
    while x * y > _WARP and x > _NEIGHBOURS and -(-across // x) * grid_y < card.few_blocks:
        x //= 2
    return x


def finish(
    totals: Strided,
    out: Strided,
    divisor_array: Strided | None,
    divisor: float,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes the sums of blocks' totals, divided, to a non-empty `out`.

    Totals are of shape (blocks, kept, F), `out` of (kept, F); or, if there is one block, of
    (kept,), for the sums over features.
    """
    count, n_kept, n_features = totals.shape
    along, over_kept, over_features = totals.strides
    over_out = out.strides[1] if len(out.shape) == 2 else 0
    if len(out.shape) == 1:
        assert count == 1
        count, along, n_features, over_features = n_features, over_features, 1, 0
    fields = [address(totals), over_kept, along, over_features, _CODES["d"]]
    fields += [address(out), out.strides[0], 0, over_out, _CODES[out.dtype.char]]
    number = 0 if divisor_array is None else address(divisor_array)
    argument = _FINISH.pack(*fields, number, divisor, count, n_kept, n_features)
    columns = n_kept * n_features
    y = min(_BLOCK_THREADS, 1 << (-(-count // _LEAVES) - 1).bit_length()) if count else 1
    x = _spread(columns, y, 1, card)
    return Launch("finish", (-(-columns // x), 1), (x, y), argument)


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
        of_array = _fields(name, array, address)
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

    lanes = _VECTOR_BYTES // dtype.itemsize
    if not direct or misaligned % _VECTOR_BYTES or n_features % lanes:
        lanes = 1
    type_name = _TYPES[dtype.char]
    memory = _memory(type_name, lanes if direct else None)
    function = functor("linear" if activation is None else activation.key)
    return fields, f"{type_name}, {function}, {memory}", lanes


def _fields(
    name: str, array: Strided | None, address: Callable[[Strided], int]
) -> tuple[int, int, int, int, int]:
    """Return the fields of an Operand."""
    if array is None:
        return 0, 0, 0, 0, 0
    start = address(array)
    over_sets, over_samples, over_features = _strides(name, array)
    itemsize = array.dtype.itemsize
    if not array.dtype.isnative:
        raise TypeError(f"{name} has dtype {array.dtype.str} in another byte order than the GPU's")
    if (start | over_sets | over_samples | over_features) % itemsize:
        raise ValueError(
            f"{name} does not lie at multiples of the {itemsize} bytes of its {array.dtype} "
            f"elements, where the GPU reads them: pass a copy"
        )
    return start, over_sets, over_samples, over_features, _CODES[array.dtype.char]


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


def _geometry(
    across: int, along: int, card: Card, multiple: int = 1
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid and block for `across` threads in x, each walking over `along` items in y.

    A block has 256 threads, as many of them in x as there is work for. The walk along y is split
    among blocks only until the card is full, since each part reads again what it holds. Steps of a
    walk are of a multiple of some power of two, up to 32.
    """
    block_x = min(_BLOCK_THREADS, 1 << (across - 1).bit_length())
    block_y = _BLOCK_THREADS // block_x
    grid_x = -(-across // block_x)
    most = -(-along // block_y)
    grid_y = min(most, -(-card.enough_blocks // grid_x), _MAX_GRID_Y)
    if grid_y < most:
        multiple = max(multiple // block_y, 1)
        grid_y = min(-(-grid_y // multiple), _MAX_GRID_Y // multiple) * multiple
    return (grid_x, grid_y), (block_x, block_y)
