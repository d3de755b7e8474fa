"""The launches of losses of networks with hidden layers, and of their gradients."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.output_loss import CATEGORICAL, OutputLoss
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends.cupy.launch import mlp
from multisubnet._backends.cupy.launch.geometry import MAX_GRID_Y, WARP, Card
from multisubnet._backends.cupy.launch.mlp import MOST_LAYERS, THREADS, Networks, fields_of_tensor
from multisubnet._backends.cupy.launch.operands import (
    TYPES,
    VECTOR_BYTES,
    Launch,
    Strided,
    functor,
    memory_of,
)

_WORDS = 64  # registers for values in both directions; with this many, nothing spills
_TENSOR = "Q5q"
_LOSS = struct.Struct("<" + _TENSOR * (7 + 2 * MOST_LAYERS) + f"{MOST_LAYERS}d10q")
_GRAD = struct.Struct("<" + _TENSOR * (7 + 4 * MOST_LAYERS) + f"{MOST_LAYERS}d10q")
_OUTPUT_LOSS = struct.Struct("<" + _TENSOR * 5 + "d5q")
_LAYER_SUMS = struct.Struct("<" + _TENSOR * 5 + "7q")
_TENSOR_BYTES = struct.calcsize("<" + _TENSOR)


def output_loss_of(loss: OutputLoss, slopes: bool) -> str:
    """Return the template that computes the loss of outputs."""
    function = functor(loss.loss)
    if loss.loss == CATEGORICAL:
        function = f"Together<{function}_{loss.n_outputs}>"
    derivative = f"{loss.activation}_derivative" if slopes else "linear_derivative"
    return (
        f"OutputLoss<{function}, {functor(loss.activation)}, {functor(derivative)}, {loss.width}>"
    )


def _memories(targets: Strided, factor: Strided | None, working: np.dtype) -> list[str]:
    """Return how targets and factors are read."""
    name = TYPES[working.char]
    of_targets = memory_of(name, 1 if targets.dtype == working else None)
    # Normalized weights of samples are always float64.
    if factor is None or factor.dtype == np.float64:
        return [of_targets, memory_of("float64", 1)]
    return [of_targets, memory_of(name, None)]


def fits(networks: Networks) -> bool:
    """Return whether the losses of networks can be computed in registers, all at once."""
    of_terms = THREADS * (max(networks.rows) + 2) * networks.working.itemsize
    weights = networks.vectors * VECTOR_BYTES
    return networks.fits and weights + of_terms <= mlp.MOST_SHARED_BYTES


def plan_loss(
    targets: Strided,
    factor: Strided | None,
    samples: Strided,
    totals: Strided,
    intercept: None,
    inputs: Strided | None,
    set_index: None,
    *others: Any,
) -> Launch:
    """Return the launch that writes losses of networks, for which `fits` is true, to `totals`.

    Totals are (blocks, N, S). `others` are the weight and the bias of each layer, a `Networks`, an
    `OutputLoss`, a `Card` and the function that returns an array's address.
    """
    *layers, networks, loss, card, address = others
    n_samples = targets.shape[1]
    working = networks.working
    shape = _Passes.of(n_samples, networks, card)
    name = TYPES[working.char]
    direct = all(x is None or x.dtype == working for x in (samples, *layers))
    instance = [
        name,
        memory_of(name, 1 if direct else None),
        *_memories(targets, factor, working),
        str(shape.rows),
        output_loss_of(loss, slopes=False),
        *mlp.layers_of(networks, linear=True),
    ]
    n_blocks = totals.shape[0]
    n_groups = -(-networks.n_sets * networks.n_subnets // shape.group)
    argument = _LOSS.pack(
        *fields_of_tensor("targets", targets, "nbsk", address),
        *fields_of_tensor("sample_weight", factor, "b", address),
        *mlp.fields_of_networks(
            samples, (totals, "bns"), intercept, inputs, set_index, layers, address
        ),
        *mlp.parameters_of(networks),
        *(networks.n_sets, n_samples, networks.n_subnets, networks.n_sets),
        *(n_groups, n_blocks, shape.group, BLOCK, shape.lanes, 0),
    )
    grid = min(n_groups * n_blocks, mlp.MAX_GRID_X), 1
    shared_bytes = shape.group * networks.vectors * VECTOR_BYTES
    kernel = f"mlp_loss<{', '.join(instance)}>"
    return Launch(kernel, grid, (1, shape.threads), argument, _TENSOR_BYTES, shared_bytes)


class _Passes(NamedTuple):
    """The division of a block's samples among threads, and of networks among thread blocks."""

    rows: int
    """Samples per thread at the same time."""
    lanes: int
    """Threads per network."""
    group: int
    """Networks per block of threads."""
    threads: int
    """Threads per block; those without a sample help to load."""

    @classmethod
    def of(cls, n_samples: int, networks: Networks, card: Card) -> _Passes:
        length = min(n_samples, BLOCK)
        n_networks = networks.n_sets * networks.n_subnets
        rows = next(
            (
                rows
                for rows in networks.rows
                if rows <= length and n_networks * -(-n_samples // rows) >= card.least_threads
            ),
            1,
        )
        least = -(-length // (THREADS * rows))
        # A few more passes may leave fewer threads without a sample.
        return max(
            (cls._of_passes(passes, rows, length, networks) for passes in range(least, least + 8)),
            key=lambda x: x.group * length / (x.threads * -(-length // (x.lanes * rows))),
        )

    @classmethod
    def _of_passes(cls, passes: int, rows: int, length: int, networks: Networks) -> _Passes:
        lanes = -(-length // (passes * rows))
        if passes > 1:  # passes have whole runs
            multiple = RUN // rows
            lanes = -(-lanes // multiple) * multiple
        of_network = networks.vectors * VECTOR_BYTES
        most = max(mlp.SHARED_BYTES // of_network, 1)
        group = min(THREADS // lanes, most, networks.n_sets * networks.n_subnets)
        to_load = min(THREADS, -(-group * networks.vectors // WARP) * WARP)
        return cls(rows, lanes, group, max(-(-group * lanes // WARP) * WARP, to_load))


class _Sheet(NamedTuple):
    """The division of work in a launch of gradients, as described in cuda/mlp_grad.cu."""

    rows: int
    """Samples per thread at the same time."""
    lanes: int
    """Threads per network."""
    group: int
    """Networks per block of threads."""
    vectors: int
    """Vectors of shared memory for a network's weights and sheets."""

    @classmethod
    def of(cls, n_samples: int, networks: Networks) -> _Sheet | None:
        """Return the largest sheets that fit, or None."""
        vector = VECTOR_BYTES // networks.working.itemsize
        n_rows = 2 + sum(x.inputs + x.biased + x.outputs for x in networks.layers)
        rows = next((x for x in (2, 1) if x in networks.rows and networks.words(x) <= _WORDS), 0)
        products = sum(x.inputs * x.outputs for x in networks.layers)
        if not networks.fits or not rows or 2 * rows * products > mlp.MOST_PRODUCTS:
            return None

        def vectors(columns: int) -> int:
            return networks.vectors + n_rows * (columns // vector + 1)

        most = mlp.MOST_SHARED_BYTES // VECTOR_BYTES
        columns = next((x for x in (128, 96, 64, 32) if vectors(x) <= most), 0)
        if not columns:
            return None
        length = min(n_samples, BLOCK)
        passes = -(-length // columns)
        multiple = max(vector, rows) if passes == 1 else RUN
        columns = -(-length // (passes * multiple)) * multiple
        lanes = columns // rows
        group = min(THREADS // lanes, most // vectors(columns))
        group = min(group, networks.n_sets * networks.n_subnets)
        return cls(rows, lanes, group, vectors(columns))


def plan_grad(targets: Strided, factor: Strided | None, *others: Any) -> Launch:
    """Return the launch that writes losses and gradients of networks for which a sheet fits.

    `others` are the totals of the weight and the bias of each layer, or None: (blocks, N, S,
    inputs * outputs) and (blocks, N, S, outputs), padded to the maximal number of layers; then the
    other arguments of `plan_loss`. Totals of losses are None if not requested.
    """
    totals = others[: 2 * MOST_LAYERS]
    samples, losses, _, inputs, _, *layers, networks, loss, _card, address = others[len(totals) :]
    n_samples = targets.shape[1]
    shape = _Sheet.of(n_samples, networks)
    assert shape is not None
    name = TYPES[networks.working.char]
    direct = all(x is None or x.dtype == networks.working for x in (samples, *layers))
    instance = [
        name,
        memory_of(name, 1 if direct else None),
        *_memories(targets, factor, networks.working),
        str(shape.rows),
        output_loss_of(loss, slopes=True),
        *mlp.layers_of(networks, linear=True, derivatives=True),
    ]
    n_blocks = -(-n_samples // BLOCK)
    n_groups = -(-networks.n_sets * networks.n_subnets // shape.group)
    fields: list[Any] = []
    for x in totals:
        fields += fields_of_tensor("totals", x, "bnsk", address)
    argument = _GRAD.pack(
        *fields_of_tensor("targets", targets, "nbsk", address),
        *fields_of_tensor("sample_weight", factor, "b", address),
        *fields,
        *mlp.fields_of_networks(samples, (losses, "bns"), None, inputs, None, layers, address),
        *mlp.parameters_of(networks),
        *(networks.n_sets, n_samples, networks.n_subnets, networks.n_sets),
        *(n_groups, n_blocks, shape.group, BLOCK, shape.lanes, 0),
    )
    grid = min(n_groups * n_blocks, mlp.MAX_GRID_X), 1
    threads = min(max(-(-shape.group * shape.lanes // WARP) * WARP, 2 * WARP), THREADS)
    shared_bytes = shape.group * shape.vectors * VECTOR_BYTES
    kernel = f"mlp_grad<{', '.join(instance)}>"
    return Launch(kernel, grid, (1, threads), argument, _TENSOR_BYTES, shared_bytes)


def fits_gradients(networks: Networks, n_samples: int) -> bool:
    """Return whether one launch can compute the gradients."""
    return _Sheet.of(n_samples, networks) is not None


def plan_output_loss(
    targets: Strided,
    factor: Strided | None,
    sums: Strided,
    slopes: Strided | None,
    totals: Strided | None,
    axes: str,
    loss: OutputLoss,
    parameter: float,
    is_first: bool,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that computes losses of outputs from non-empty arrays of their sums.

    `axes` are those of `sums` and `slopes`; `totals` are (blocks, N, S), float64.
    """
    lengths = dict(zip(axes, sums.shape, strict=True))
    n_samples, n_subnets = lengths["b"], lengths.get("s", 1)
    instance = TYPES[sums.dtype.char], output_loss_of(loss, slopes is not None)
    argument = _OUTPUT_LOSS.pack(
        *fields_of_tensor("targets", targets, "nbsk", address),
        *fields_of_tensor("sample_weight", factor, "b", address),
        *fields_of_tensor("sums", sums, axes, address),
        *fields_of_tensor("slopes", slopes, axes, address),
        *fields_of_tensor("totals", totals, "bns", address),
        *(parameter, lengths["n"], n_samples, n_subnets, lengths["k"], is_first),
    )
    across = lengths["n"] * n_subnets
    runs = -(-min(n_samples, BLOCK) // RUN)
    y = min(runs, THREADS)
    x = min(THREADS // y, 1 << (across - 1).bit_length())
    grid = -(-across // x), min(-(-n_samples // BLOCK), MAX_GRID_Y)
    return Launch(f"mlp_output_loss<{', '.join(instance)}>", grid, (x, y), argument, _TENSOR_BYTES)


def plan_layer_sums(
    before: Strided,
    delta: Strided,
    inputs: Strided | None,
    weight: Strided | None,
    bias: Strided | None,
    axes: str,
    n_inputs: int,
    is_first: bool,
    card: Card,
    address: Callable[[Strided], int],
) -> Launch:
    """Return the launch that writes sums over samples of products to the totals of a layer.

    `axes` are those of `before`; if they do not include networks, it is samples. `delta` is
    (N, S, K, B); totals are (blocks, N, S, inputs * outputs) and (blocks, N, S, outputs).
    """
    n_sets, n_subnets, n_outputs, n_samples = delta.shape
    name = TYPES[delta.dtype.char]
    direct = memory_of(name, 1 if before.dtype == delta.dtype else None)
    neighbours = n_inputs if "s" not in axes and inputs is None else 0
    argument = _LAYER_SUMS.pack(
        *fields_of_tensor("samples", before, axes, address),
        *fields_of_tensor("delta", delta, "nskb", address),
        *fields_of_tensor("inputs", inputs, "sk", address),
        *fields_of_tensor("totals", weight, "bnsk", address),
        *fields_of_tensor("totals", bias, "bnsk", address),
        *(n_sets, n_samples, n_subnets, n_inputs, n_outputs, neighbours, is_first),
    )
    threads = n_sets * n_subnets * (n_inputs + 1) * n_outputs
    grid = -(-threads // THREADS), min(-(-n_samples // BLOCK), MAX_GRID_Y)
    return Launch(f"mlp_layer_sums<{name}, {direct}>", grid, (THREADS, 1), argument, _TENSOR_BYTES)
