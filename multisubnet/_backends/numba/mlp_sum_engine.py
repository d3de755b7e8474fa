"""The CPU engine for losses of networks with hidden layers: divides the work for threads."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arithmetic.output_loss import CATEGORICAL
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends import numpy_mlp_sums
from multisubnet._backends.mlp_sums import MlpSums, MlpTotals
from multisubnet._backends.numba import loading, mlp_engine, threads
from multisubnet._backends.numba.lines import LINE

_WORTH = 1 << 22  # products that are worth another thread
_PIECES_PER_THREAD = 8
_MOST_PARAMETERS = 1 << 16  # of a network; a thread holds some lines for each
_MOST_LABELS = 16  # outputs of a categorical loss, which are all in registers together
_MOST_INPUTS = 1 << 10  # of a network; a thread holds some kilobytes for each
_PART_BYTES = 1 << 22  # of an operand that are cast together
_STEPS = 8  # of a run, whose values stay in the L1 cache
_SUMS = {64: 16, 32: 8, 16: 8}  # computed in registers at once, by the bytes of a vector
_OF_RUNS = 1.25  # the time of a vector of runs, relative to one of sets

_Piece = tuple[int, int, int, int, int, int]  # the first and last set, network and block


def mlp_sums(sums: MlpSums, totals: MlpTotals) -> None:
    """Write totals of losses and gradients, like `numpy_mlp_sums.mlp_sums`."""
    if not _has_code(sums):
        numpy_mlp_sums.mlp_sums(sums, totals)
        return
    call, dtype = sums.call, sums.call.dtype
    lanes = mlp_engine._lanes(dtype)
    kind = threads.kind(sums.n_products, sums.key, _has_gradients(totals))
    count = threads.count(sums.n_products // _WORTH, kind)
    if _are_usable(sums):
        pieces = sorted(_pieces(sums, lanes, count), key=_size, reverse=True)
        # Small pieces last, so that all threads end together.
        threads.run(_evaluator(sums, totals), pieces, count, kind)
        return
    networks, sets = _counts_of_part(sums, lanes)
    if not networks:
        numpy_mlp_sums.mlp_sums(sums, totals)
        return

    @without_warnings
    def work(n: int, s: int, block: int) -> None:
        cuts = slice(n, n + sets), slice(s, s + networks)
        samples = slice(block * BLOCK, (block + 1) * BLOCK)
        part = _with_own_features(sums.part(cuts[0], samples, cuts[1]))
        part = part.with_arrays(
            lambda x: x if _is_usable(x, dtype) else np.require(x, dtype, ["C", "A"])
        )
        some = _part(totals, (slice(block, block + 1), *cuts))
        _evaluator(part, some)(0, part.call.n_sets, 0, part.call.n_subnets, 0, 1)

    parts = (
        (n, s, block)
        for n in range(0, call.n_sets, sets)
        for s in range(0, call.n_subnets, networks)
        for block in range(sums.n_blocks)
    )
    threads.run(work, parts, count, kind)


def mlp_sample_sums(sums: MlpSums, totals: np.ndarray) -> None:
    """Write totals of gradients of inputs, like `numpy_mlp_sums.mlp_sample_sums`."""
    call, dtype = sums.call, sums.call.dtype
    if (
        not (_has_code(sums) and _are_usable(sums))
        or sums.factor is not None
        or call.sizes[0] > _MOST_INPUTS
    ):
        numpy_mlp_sums.mlp_sample_sums(sums, totals)
        return
    own = call.samples.ndim == 3
    code = _prepare(
        *(sums.key, dtype, False, True, True, own, len(sums.targets) > 1),
        of_samples=True,
    )
    given, _ = _tables(sums, MlpTotals(None, ((None, None),) * len(call.layers)), code)
    samples, targets = _views(sums, code)
    at_once = RUN * mlp_engine._lanes(dtype)
    kind = threads.kind(sums.n_products, sums.key, "samples")
    count = threads.count(sums.n_products // _WORTH, kind)
    blocks = -(-len(totals) // (_PIECES_PER_THREAD * count)) if own else 1

    def work(s: int, b: int, block: int) -> None:
        last = min(b + at_once, call.n_samples), min(block + blocks, len(totals))
        piece = s, s + 1, b, last[0], block, last[1]
        *memory, of_totals = code.allocate(dtype, 1)
        code.evaluate(
            *(samples, call.wiring, targets, code.parameters, given, tuple(memory), of_totals),
            *(totals, np.array([piece]), call.n_sets),
        )

    pieces = itertools.product(
        range(call.n_subnets),
        range(0, call.n_samples, at_once),
        range(0, len(totals), blocks),
    )
    threads.run(work, pieces, count, kind)


def _has_gradients(totals: MlpTotals) -> bool:
    return any(x is not None for layer in totals.layers for x in layer)


def _has_code(sums: MlpSums) -> bool:
    """Return whether there is compiled code for sums."""
    call = sums.call
    n_parameters = sum(weight[0, 0].size for weight, _ in call.layers if weight.size)
    return (
        call.dtype.char in "fd"
        and min(call.n_sets, call.n_samples, call.n_subnets) > 0
        and n_parameters <= _MOST_PARAMETERS
        and (sums.loss.loss != CATEGORICAL or sums.loss.n_outputs <= _MOST_LABELS)
    )


def _are_usable(sums: MlpSums) -> bool:
    """Return whether the compiled code can read the operands directly."""
    call, dtype = sums.call, sums.call.dtype
    others = [call.samples, sums.targets, *([] if sums.factor is None else [sums.factor])]
    return all(_has_numbers(x, dtype) for x in others) and all(
        _is_usable(x, dtype) for layer in call.layers for x in layer if x is not None
    )


def _has_numbers(array: np.ndarray, dtype: np.dtype) -> bool:
    """Return whether an array has a dtype and is aligned."""
    return array.dtype == dtype and array.flags.aligned


def _is_usable(array: np.ndarray, dtype: np.dtype) -> bool:
    """Return whether, in addition, the numbers of a set and network are contiguous."""
    if not _has_numbers(array, dtype):
        return False
    return array.ndim < 3 or array[:1, :1].flags.c_contiguous


def _pieces(sums: MlpSums, lanes: int, count: int) -> Iterator[_Piece]:
    """Split the work for `count` threads."""
    call = sums.call
    groups = -(-call.n_sets // lanes)
    each = (
        groups * call.n_subnets * sums.n_blocks // (_PIECES_PER_THREAD * count if count > 1 else 1)
    )
    networks = max(min(each, call.n_subnets), 1)
    sets = max(min(each // call.n_subnets, groups), 1) * lanes
    blocks = max(each // (call.n_subnets * groups), 1)
    for n in range(0, call.n_sets, sets):
        for s in range(0, call.n_subnets, networks):
            for block in range(0, sums.n_blocks, blocks):
                yield (
                    *(n, min(n + sets, call.n_sets), s, min(s + networks, call.n_subnets)),
                    *(block, min(block + blocks, sums.n_blocks)),
                )


def _size(piece: _Piece) -> int:
    """Return the number of networks of sets in a piece, times its blocks."""
    n, n_last, s, s_last, block, block_last = piece
    return (n_last - n) * (s_last - s) * (block_last - block)


def _counts_of_part(sums: MlpSums, lanes: int) -> tuple[int, int]:
    """Return the networks and sets of a part that is cast; no networks if one is too large."""
    call = sums.call
    of_network = sum(weight[0, 0].size for weight, _ in call.layers)
    own = lanes if call.samples.ndim == 3 or len(sums.targets) > 1 else 1
    rows = min(call.n_samples, BLOCK) * max(call.sizes[0], call.sizes[-1]) * own
    most = _PART_BYTES // (max(of_network * lanes, rows) * call.dtype.itemsize)
    if most == 0 and rows * call.dtype.itemsize <= 4 * _PART_BYTES:
        most = 1
    return min(most, call.n_subnets), lanes


def _part(totals: MlpTotals, cuts: tuple[slice, ...]) -> MlpTotals:
    """Return the part of the outputs for some blocks, sets and networks."""

    def cut(x: Any) -> Any:
        return None if x is None else x[cuts]

    layers = tuple((cut(of_weight), cut(of_bias)) for of_weight, of_bias in totals.layers)
    return MlpTotals(cut(totals.loss), layers)


def _with_own_features(sums: MlpSums) -> MlpSums:
    """Return sums whose samples contain the features that their networks see, in order."""
    call = sums.call
    if _is_usable(call.samples, call.dtype):
        return sums
    samples = call.samples[..., call.wiring.ravel()]
    return sums._replace(call=call._replace(samples=samples, inputs=None))


def _evaluator(sums: MlpSums, totals: MlpTotals) -> Callable[..., None]:
    """Return the function that writes the totals of a piece."""
    call, dtype = sums.call, sums.call.dtype
    code = _prepare(
        *(sums.key, dtype, totals.loss is not None, _has_gradients(totals), _lanes_are_runs(sums)),
        *(call.samples.ndim == 3, len(sums.targets) > 1),
    )
    given, wanted = _tables(sums, totals, code)
    samples, targets = _views(sums, code)
    wiring = call.wiring
    factor = code.parameters[:0].astype(dtype) if sums.factor is None else sums.factor

    def evaluate(*piece: int) -> None:
        *memory, of_totals = code.allocate(dtype, piece[1] - piece[0])
        memory[-1][...] = 0.0
        code.evaluate(
            *(samples, wiring, targets, factor, code.parameters),
            *(given, wanted, tuple(memory), of_totals, np.array([piece])),
        )

    return evaluate


def _tables(sums: MlpSums, totals: MlpTotals, code: _Code) -> tuple[np.ndarray, np.ndarray]:
    """Return tables of the addresses of layers' operands and of totals."""

    def address(array: np.ndarray) -> int:
        return array.__array_interface__["data"][0]  # faster than array.ctypes.data

    given, wanted = [], []
    for places, layer, outs in zip(code.offsets, sums.call.layers, totals.layers, strict=True):
        for place, array, out in zip(places, layer, outs, strict=True):
            if array is not None:
                step = array.strides[0] if len(array) > 1 else 0
                size = math.prod(array.shape[2:])
                given.append((address(array), step, array.strides[1], size, place))
                if out is not None:
                    wanted.append((address(out), *out.strides[:3], size, place))
    if totals.loss is not None:
        wanted.append((address(totals.loss), *totals.loss.strides, 1, code.n_sums - 1))
    return np.array(given), np.array(wanted)


def _views(sums: MlpSums, code: _Code) -> tuple[np.ndarray, np.ndarray]:
    """Return samples (N or 1, B, F) and targets (N or 1, B, S, targets)."""
    call, targets = sums.call, sums.targets
    samples = call.samples if call.samples.ndim == 3 else call.samples[None]
    shape = len(targets), call.n_samples, call.n_subnets, code.n_targets
    return samples, targets if targets.shape == shape else np.broadcast_to(targets, shape)


def _lanes_are_runs(sums: MlpSums) -> bool:
    """Return whether fewer lanes are idle if they are runs than if they are sets."""
    call = sums.call
    lanes = mlp_engine._lanes(call.dtype)
    blocks, rest = divmod(call.n_samples, BLOCK)
    vector = RUN * lanes
    steps = (blocks * -(-BLOCK // vector) + -(-rest // vector)) * vector
    over_sets = -(-call.n_sets // lanes) * lanes * call.n_samples
    return _OF_RUNS * call.n_sets * steps < over_sets


class _Code(NamedTuple):
    """A compiled function, and properties of its plan."""

    evaluate: Callable[..., None]
    parameters: np.ndarray
    offsets: list[tuple[int, int]]
    n_sums: int
    n_targets: int
    lengths: tuple[int, ...]
    """The sizes of parts of memory, all but the last, which is for float64."""
    totals: int
    """The number of float64 per set of a piece, or for all sets together."""
    each: bool

    def allocate(self, dtype: np.dtype, n_sets: int) -> list[np.ndarray]:
        """Return memory that begins at a cache line."""
        of_totals = self.totals * (n_sets if self.each else 1)
        size = sum(self.lengths) * dtype.itemsize
        memory = np.empty(size + 8 * of_totals + LINE, np.uint8)
        begin = -memory.ctypes.data % LINE
        numbers = memory[begin : begin + size].view(dtype)
        found, at = [], 0
        for length in self.lengths:
            found.append(numbers[at : at + length])
            at += length
        return [*found, memory[begin + size : begin + size + 8 * of_totals].view(np.float64)]


@functools.lru_cache(256)
def _prepare(
    key: tuple[Any, ...],
    dtype: np.dtype,
    terms: bool,
    gradients: bool,
    lanes_are_runs: bool,
    own_samples: bool,
    own_targets: bool,
    of_samples: bool = False,
) -> _Code:
    """Compile the code for a call."""
    with loading.lock():
        from multisubnet._backends.numba.llvm.network_sums import SumsPlan

    sizes, activations, biased, _, loss, weighted = key
    lanes = mlp_engine._lanes(dtype)
    keys = tuple("linear" if a is None else a.key for a in activations)
    parameters = np.array([0.0 if a is None else a.number for a in activations])
    plan = SumsPlan(
        *(sizes, keys, biased, loss.loss, weighted, terms, gradients),
        *(lanes_are_runs, own_samples, own_targets),
        *(lanes, _SUMS[lanes * dtype.itemsize], _STEPS),
        of_samples=of_samples,
    )
    # Vector-wise reads and writes go beyond the end, by less than `lanes` lines.
    steps = (RUN * x for x in (sizes[0], plan.n_targets, 1))
    lines = plan.n_parameters + lanes, *steps, plan.scratch, plan.n_sums + lanes
    each = lanes_are_runs and not of_samples
    totals = (plan.n_sums + lanes) // lanes * lanes if each else plan.n_sums * lanes
    function = _function(plan, dtype)
    mlp_engine.prepared.add((dtype.char, key))
    return _Code(
        *(function, parameters, plan.offsets, plan.n_sums, plan.n_targets),
        *(tuple(x * lanes for x in lines), totals + lanes * lanes, each),
    )


@functools.cache
def _function(plan: Any, dtype: np.dtype) -> Callable[..., None]:
    with loading.lock():
        from multisubnet._backends.numba import mlp_sum_loops

    if plan.of_samples:
        return mlp_sum_loops.compile_sample_sums(plan, dtype)
    double_lanes = mlp_engine._lanes(np.dtype(np.float64))
    return mlp_sum_loops.compile_sums(plan, dtype, double_lanes)
