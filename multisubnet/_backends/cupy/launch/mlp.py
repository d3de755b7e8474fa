"""The launches of networks with hidden layers."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._backends.cupy.launch.geometry import WARP, Card
from multisubnet._backends.cupy.launch.operands import (
    CODES,
    SECTOR,
    TYPES,
    VECTOR_BYTES,
    Launch,
    Strided,
    check_places,
    functor,
    memory_of,
    parameter_of,
)

# As in cuda/mlp.cu:
MOST_LAYERS = 8
THREADS = 128
MAX_GRID_X = 2**31 - 1

_TENSOR = struct.Struct("<Q5q")
_MLP = struct.Struct("<" + "Q5q" * (5 + 2 * MOST_LAYERS) + f"{MOST_LAYERS}d10q")
_LAYER = struct.Struct("<" + "Q5q" * 7 + "d8q")
_SUM = struct.Struct("<" + "Q5q" * 5 + "7q")
_AXES = "nbsk"  # sets, samples (of a weight: inputs), networks, units or features

_WORDS = 136  # registers for values; a thread has 255
MOST_PRODUCTS = (
    2304  # products per thread, in code without loops: 1-32-32-1 for two samples compiles in 4 s
)
_AT_ONCE = 1024  # a layer with at most this many products computes all units at once
_TURN = 8  # units per turn in larger layers, at most
_WORDS_IN_TURNS = 96  # as _WORDS, for several samples: a thread keeps more between turns
_ROWS = 4, 2, 1  # samples per thread
SHARED_BYTES = 24 << 10  # for the weights of several networks
MOST_SHARED_BYTES = 48 << 10  # for those of a single network
_SHORT = 16  # recipes with at most this many operations are inlined for each value of a thread
_BLOCKS = 8  # per multiprocessor; until then, samples are divided among blocks


class Networks(NamedTuple):
    """The properties of a call of `mlp` that a launch depends on, apart from its arrays."""

    sizes: tuple[int, ...]
    activations: tuple[Activation | None, ...]
    biased: tuple[bool, ...]
    additive: bool
    working: np.dtype
    dtype: np.dtype
    n_subnets: int
    n_sets: int
    """The number of sets that an index can select; other indices have no result."""
    in_turns: bool = False
    """Whether wide layers are computed some units at a time, through shared memory."""

    @property
    def fits(self) -> bool:
        """Whether values fit in registers, weights in shared memory, and code compiles in time."""
        return (
            self.working.char in "fd"
            and len(self.biased) <= MOST_LAYERS
            and self.words(1) <= _WORDS
            and self._products <= MOST_PRODUCTS
            and self.vectors * VECTOR_BYTES <= MOST_SHARED_BYTES
            and self.threads(1) >= 2 * WARP
        )

    def threads(self, rows: int) -> int:
        """Return how many threads, with this many samples each, a block can have."""
        of_thread = self.vectors_of_thread(rows)
        if not of_thread:
            return THREADS
        left = MOST_SHARED_BYTES // VECTOR_BYTES - self.vectors
        return min(left // of_thread // WARP * WARP, THREADS)

    def vectors_of_thread(self, rows: int) -> int:
        """Return the vectors of shared memory that a thread needs for layers in turns."""
        most = max(layer.pitch if layer.turn else 0 for layer in self.layers)
        return most * rows * self.working.itemsize // VECTOR_BYTES

    @property
    def vectors(self) -> int:
        """The number of vectors of a network's weights in shared memory; odd."""
        lanes = VECTOR_BYTES // self.working.itemsize
        sizes = (layer.pitch * (layer.inputs + layer.biased) for layer in self.layers)
        return sum(-(-size // lanes) for size in sizes) | 1

    @property
    def rows(self) -> list[int]:
        """The possible numbers of samples per thread, largest first."""
        of_one = self._products
        return [
            rows
            for rows in _ROWS
            if rows == 1
            or (
                self.words(rows) <= (_WORDS_IN_TURNS if self._has_turns else _WORDS)
                and rows * of_one <= MOST_PRODUCTS
                and self.threads(rows) > WARP
            )
        ]

    @property
    def layers(self) -> list[_Layer]:
        """The properties of the layers that a launch depends on."""
        lanes = VECTOR_BYTES // self.working.itemsize
        return [
            _Layer.of(*sizes, biased, activation, lanes if self.in_turns else 0)
            for sizes, biased, activation in zip(
                itertools.pairwise(self.sizes), self.biased, self.activations, strict=True
            )
        ]

    @property
    def _has_turns(self) -> bool:
        return any(layer.turn for layer in self.layers)

    @property
    def _products(self) -> int:
        return sum(layer.inputs * (layer.turn or layer.outputs) for layer in self.layers)

    def words(self, rows: int) -> int:
        """Return the registers for the values of two consecutive layers, and for sums."""
        before = [1, *self.sizes[1:]]  # features are loaded one at a time
        values = [
            n + (layer.turn or layer.outputs) for n, layer in zip(before, self.layers, strict=False)
        ]
        words = max(*values, *self.sizes[1:]) * self.working.itemsize // 4
        return rows * (words + 2 * self.sizes[-1] * self.additive)


class _Layer(NamedTuple):
    """A layer, in the form of cuda/mlp.cuh."""

    inputs: int
    outputs: int
    biased: bool
    activation: Activation | None
    turn: int

    @classmethod
    def of(
        cls, inputs: int, outputs: int, biased: bool, activation: Activation | None, lanes: int
    ) -> _Layer:
        """Return a layer whose units are computed in turns, multiples of `lanes` if not 0."""
        turn = 0
        if lanes and inputs * outputs > _AT_ONCE and outputs > _TURN:
            turns = -(-outputs // _TURN)
            turn = -(-outputs // (turns * lanes)) * lanes
        return cls(inputs, outputs, biased, activation, turn)

    @property
    def pitch(self) -> int:
        """The distance between the weights of neighbouring inputs."""
        return -(-self.outputs // self.turn) * self.turn if self.turn else self.outputs

    def name(self, dtype: np.dtype) -> str:
        """Return the C++ name."""
        function, turn = _function_of(self.activation, dtype), f", {self.turn}" * bool(self.turn)
        return f"Layer<{self.inputs}, {self.outputs}, {function}, {str(self.biased).lower()}{turn}>"


def plan_mlp(
    samples: Strided,
    out: Strided,
    intercept: Strided | None,
    inputs: Strided | None,
    set_index: Strided | None,
    *others: Any,
) -> Launch:
    """Return the launch that writes networks, for which `fits` is true, to a non-empty `out`.

    `others` are the weight and the bias of each layer, a `Networks`, a `Card` and the function that
    returns an array's address. `out` is (N, B, S, P), or (N, B, P). With `set_index`, of shape
    (N,), samples and `out` have one set per index.
    """
    *layers, networks, card, address = others
    arrays = {"samples": samples, "intercept": intercept}
    arrays |= {f"layers[{i // 2}][{i % 2}]": x for i, x in enumerate(layers)}
    direct = _is_direct(arrays.values(), out, networks.dtype)
    axes = "nbk" if networks.additive else "nbsk"
    fields = fields_of_networks(samples, (out, axes), intercept, inputs, set_index, layers, address)
    parameters = parameters_of(networks)

    n_sets, n_samples = out.shape[:2]
    shape = _Shape.of(out, networks, card)
    working, dtype = TYPES[networks.working.char], TYPES[networks.dtype.char]
    lanes = _lanes_of(out, networks, address) if direct else None
    instance = [
        working,
        memory_of(dtype, 1) if direct else memory_of(working, None),
        memory_of(dtype, lanes),
        str(shape.rows),
        str(networks.additive).lower(),
    ]
    instance += layers_of(networks)
    argument = _MLP.pack(
        *fields,
        *parameters,
        *(n_sets, n_samples, networks.n_subnets, networks.n_sets),
        *(shape.n_groups, shape.n_parts, shape.group, shape.span, shape.lanes),
        shape.networks_first,
    )
    threads = max(-(-shape.group * shape.lanes // WARP) * WARP, shape.least_threads)
    grid = min(shape.n_groups * shape.n_parts, MAX_GRID_X), 1
    return Launch(
        f"mlp<{', '.join(instance)}>",
        grid,
        (1, threads),
        argument,
        _TENSOR.size,
        (shape.group * networks.vectors + threads * networks.vectors_of_thread(shape.rows))
        * VECTOR_BYTES,
    )


def fields_of_networks(
    samples: Strided,
    out: tuple[Strided | None, str],
    intercept: Strided | None,
    inputs: Strided | None,
    set_index: Strided | None,
    layers: Sequence[Strided | None],
    address: Callable[[Strided], int],
) -> list[int]:
    """Return the fields of all arrays of cuda/mlp.cuh; `axes` are those of `out`."""
    fields = [
        *fields_of_tensor("samples", samples, "nbk"[3 - len(samples.shape) :], address),
        *fields_of_tensor("out", *out, address),
        *fields_of_tensor("intercept", intercept, "nk", address),
        *fields_of_tensor("inputs", inputs, "sk", address),
        *fields_of_tensor("set_index", set_index, "b", address),
    ]
    for i, x in enumerate(layers):
        axes = "nsk" if i % 2 else "nsbk"
        fields += fields_of_tensor(f"layers[{i // 2}][{i % 2}]", x, axes, address)
    return fields + [0] * (6 * (2 * MOST_LAYERS - len(layers)))


def parameters_of(networks: Networks) -> list[float]:
    """Return the parameters of activations, padded to the maximal number of layers."""
    parameters = [parameter_of(activation) for activation in networks.activations]
    return parameters + [0.0] * (MOST_LAYERS - len(parameters))


def layers_of(networks: Networks, linear: bool = False, derivatives: bool = False) -> list[str]:
    """Return the template's layers; with `linear`, the last one has no activation.

    With `derivatives`, the derivatives of activations are included.
    """
    layers, dtype = networks.layers, networks.working
    if linear:
        layers[-1] = layers[-1]._replace(activation=None)
    names = [layer.name(dtype) for layer in layers]
    if not derivatives:
        return names
    functions = [
        None if x.activation is None or x.activation.name == "linear" else x.activation.derivative
        for x in layers
    ]
    return [
        f"Both<{name}, {_function_of(function, dtype)}>"
        for name, function in zip(names, functions, strict=True)
    ]


class _Shape(NamedTuple):
    """The division of networks and samples among blocks and threads."""

    rows: int
    """Samples per thread."""
    lanes: int
    """Threads per network."""
    group: int
    """Networks per block."""
    span: int
    """Samples per block."""
    n_groups: int
    n_parts: int
    networks_first: bool
    """Whether neighbouring threads have neighbouring networks."""
    least_threads: int

    @classmethod
    def of(cls, out: Strided, networks: Networks, card: Card) -> _Shape:
        n_sets, n_samples = out.shape[:2]
        over_sets, over_samples = out.strides[:2]
        n_networks, step = n_sets, over_sets
        if not networks.additive:
            n_networks *= networks.n_subnets
            step = out.strides[2] if networks.n_subnets > 1 else over_sets
        rows = next(
            (
                rows
                for rows in networks.rows
                if rows <= n_samples and n_networks * -(-n_samples // rows) >= card.least_threads
            ),
            1,
        )
        threads = networks.threads(rows)
        lanes = min(-(-n_samples // rows), threads)
        group = threads // lanes
        # Neighbours are written together: at least a sector if networks are adjacent.
        networks_first = n_networks > 1 and abs(step) < abs(over_samples)
        if networks_first:
            group = max(group, SECTOR // max(abs(step), SECTOR // 8))
        left = MOST_SHARED_BYTES - threads * networks.vectors_of_thread(rows) * VECTOR_BYTES
        most = max(min(SHARED_BYTES, left) // (networks.vectors * VECTOR_BYTES), 1)
        group = min(group, most, n_networks)
        lanes = min(lanes, threads // group)
        # All threads have the same number of samples.
        passes = -(-n_samples // (lanes * rows))
        lanes = -(-n_samples // (passes * rows))
        n_groups = -(-n_networks // group)
        n_parts = passes
        if not networks.additive:  # additive networks keep their sums; each pass loads the weights
            n_parts = min(max(-(-_BLOCKS * card.multiprocessors // n_groups), 1), passes)
        span = -(-passes // n_parts) * lanes * rows
        # Threads without a sample help to load.
        least = min(threads, -(-group * networks.vectors // WARP) * WARP)
        n_parts = -(-n_samples // span)
        return cls(rows, lanes, group, span, n_groups, n_parts, networks_first, least)


def _lanes_of(out: Strided, networks: Networks, address: Callable[[Strided], int]) -> int:
    """Return how many outputs of a network are written at once."""
    itemsize = out.dtype.itemsize
    if out.strides[-1] != itemsize:
        return 1
    places = address(out), *(x for n, x in zip(out.shape, out.strides, strict=True) if n > 1)
    begins = math.gcd(VECTOR_BYTES, *places[: len(places) - (out.shape[-1] > 1)])
    return math.gcd(begins // itemsize, networks.sizes[-1])


def plan_layer(
    before: Strided,
    after: Strided,
    inputs: Strided | None,
    set_index: Strided | None,
    weight: Strided,
    bias: Strided | None,
    sums: Strided | None,
    axes: tuple[str, str],
    activation: Activation | None,
    dtypes: tuple[np.dtype, np.dtype],
    n_sets: int,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes one layer of networks to a non-empty `after`.

    `axes` are those of `before` and `after`; if they do not include networks, `before` is samples.
    With `sums`, of the shape of `after`, the results are multiplied by the derivative of the
    activation there instead of being activated. `dtypes` are those of the arithmetic and of the
    results.
    """
    working, dtype = dtypes
    lengths = dict(zip(axes[1], after.shape, strict=True))
    n_samples, n_outputs = lengths["b"], lengths["k"]
    n_networks = lengths["n"] * lengths["s"]
    named = {"before": before, "weight": weight, "bias": bias}
    direct = all(x is None or x.dtype == working for x in named.values())
    rows = _ROWS[working.itemsize == 8]
    if set_index is not None or n_networks * (n_samples // rows) < card.least_threads:
        rows = 1
    functions = [_function_of(activation, working)]
    if sums is not None and activation is not None:
        functions = [_function_of(None, working), _function_of(activation.derivative, working)]
    # During a function call, float64 values take more registers than 16 units leave.
    is_crowded = working.itemsize == 8 and functions[-1].startswith("Called")
    units = 16 if n_outputs > 4 and not is_crowded else 4
    n_inputs = weight.shape[2]
    columns = -(-n_samples // rows)
    neighbours = n_inputs if "s" not in axes[0] and inputs is None else 0
    argument = _LAYER.pack(
        *fields_of_tensor("samples", before, axes[0], address),
        *fields_of_tensor("out", after, axes[1], address),
        *fields_of_tensor("inputs", inputs, "sk", address),
        *fields_of_tensor("set_index", set_index, "b", address),
        *fields_of_tensor("a weight", weight, "nsbk", address),
        *fields_of_tensor("a bias", bias, "nsk", address),
        *fields_of_tensor("sums", sums, axes[1], address),
        parameter_of(activation),
        *(lengths["n"], n_samples, lengths["s"], n_inputs, n_outputs, n_sets, neighbours, columns),
    )
    type_name = TYPES[working.char]
    instance = [
        type_name,
        memory_of(type_name, 1 if direct else None),
        memory_of(TYPES[dtype.char], 1 if after.dtype == dtype else None),
        *(functions[0], str(units), str(rows), *functions[1:]),
    ]
    grid = -(-n_networks * columns // THREADS), -(-n_outputs // units)
    kernel = f"mlp_layer<{', '.join(instance)}>"
    return Launch(kernel, grid, (THREADS, 1), argument, _TENSOR.size)


def plan_sum(
    values: Strided,
    out: Strided,
    intercept: Strided | None,
    set_index: Strided | None,
    totals: Strided | None,
    dtypes: tuple[np.dtype, np.dtype],
    n_sets: int,
    is_first: bool,
    is_last: bool,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that adds values of networks, (N, S, P, B), to `totals` or to `out`."""
    working, dtype = dtypes
    of_networks, n_subnets, n_outputs, n_samples = values.shape
    argument = _SUM.pack(
        *fields_of_tensor("values", values, "nskb", address),
        *fields_of_tensor("out", out, "nbk", address),
        *fields_of_tensor("intercept", intercept, "nk", address),
        *fields_of_tensor("set_index", set_index, "b", address),
        *fields_of_tensor("totals", totals, "nbk", address),
        *(of_networks, n_samples, n_subnets, n_outputs, n_sets, is_first, is_last),
    )
    type_name = TYPES[working.char]
    direct = intercept is None or intercept.dtype == working
    instance = [
        type_name,
        memory_of(type_name, 1 if direct else None),
        memory_of(TYPES[dtype.char], 1 if out.dtype == dtype else None),
    ]
    grid = -(-of_networks * n_samples * n_outputs // THREADS), 1
    return Launch(f"mlp_sum<{', '.join(instance)}>", grid, (THREADS, 1), argument, _TENSOR.size)


def _function_of(activation: Activation | None, dtype: np.dtype) -> str:
    """Return the C++ name of an activation that is applied to many values."""
    if activation is None:
        return functor("linear")
    name = functor(activation.key)
    return name if activation.program(dtype).cost <= _SHORT else f"Called<{name}>"


def _is_direct(arrays: Any, out: Strided, dtype: np.dtype) -> bool:
    """Return whether all arrays have the dtype of the result."""
    return out.dtype == dtype and all(x is None or x.dtype == dtype for x in arrays)


def fields_of_tensor(
    name: str, array: Strided | None, axes: str, address: Callable[[Strided], int]
) -> list[int]:
    """Return the fields of a Tensor."""
    if array is None:
        return [0] * 6
    strides = dict.fromkeys(_AXES, 0)
    for axis, length, stride in zip(axes, array.shape, array.strides, strict=True):
        strides[axis] = 0 if length == 1 else stride
    start = address(array)
    check_places(name, array, start, strides.values())
    return [start, *strides.values(), CODES[array.dtype.char]]
