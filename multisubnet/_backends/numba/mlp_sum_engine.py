"""The CPU engine for losses of networks with hidden layers: divides the work for threads."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arithmetic.output_loss import CATEGORICAL, OutputLoss
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends import numpy_mlp_sums
from multisubnet._backends.mlp_call import MlpForm
from multisubnet._backends.mlp_sums import MlpSums, MlpTotals
from multisubnet._backends.numba import loading, mlp_engine, threads
from multisubnet._backends.numba.lines import area_size

_WORTH = 1 << 22  # products that are worth another thread
_PIECES_OF_WORTH = 8  # that these products are divided into, if possible
_MOST_PARAMETERS = 1 << 16  # of a network; a thread holds some lines for each
_MOST_LABELS = 16  # outputs of a categorical loss, which are all in registers together
_MOST_INPUTS = 1 << 10  # of a network; a thread holds some kilobytes for each
_PART_BYTES = 1 << 22  # of an operand that are cast together
_STEPS = 8  # of a run, whose values stay in the L1 cache
_SUMS = {64: 16, 32: 8, 16: 8}  # computed in registers at once, by the bytes of a vector
_OF_RUNS = 1.25  # the time of a vector of runs, relative to one of sets


class _Code(NamedTuple):
    """A compiled function for sums of one form, and its arguments besides their arrays."""

    evaluate: Callable[..., None]
    parameters: np.ndarray
    no_factor: np.ndarray
    places: np.ndarray
    """For each array of parameters, the count of its numbers in a network, and their offset."""
    wanted: list[tuple[int, int]]
    """The same for each array of totals, with the offset among the network's sums."""
    layout: tuple[int, ...]
    grid: tuple[int, ...]
    n_pieces: int
    worth: int
    kind: int


def mlp_sums(sums: MlpSums, totals: MlpTotals) -> None:
    """Write totals of losses and gradients, like `numpy_mlp_sums.mlp_sums`."""
    if mlp_gradients(sums, totals, 0.0):
        return
    if not _has_code(sums.call.form, sums.loss):
        numpy_mlp_sums.mlp_sums(sums, totals)
        return
    call, dtype = sums.call, sums.call.dtype
    networks, sets = _counts_of_part(sums, mlp_engine._lanes(dtype))
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
        some = [x[slice(block, block + 1), *cuts] for x in _arrays_of(totals)]
        _evaluate(_code_for(part, totals), part, some)

    parts = (
        (n, s, block)
        for n in range(0, call.n_sets, sets)
        for s in range(0, call.n_subnets, networks)
        for block in range(sums.n_blocks)
    )
    kind = threads.kind(sums.n_products, "parts", sums.key, totals.layers[0][0] is not None)
    threads.run(work, parts, threads.count(sums.n_products // _WORTH, kind), kind)


def mlp_gradients(sums: MlpSums, totals: MlpTotals, divisor: float) -> bool:
    """Write totals and return True, or return False if they need another way.

    Unless `divisor` is 0, there is one block of samples, and gradients are divided by it and have
    the dtype of the call.
    """
    if not (_has_code(sums.call.form, sums.loss) and _are_usable(sums)):
        return False
    code = _code_for(sums, totals)
    count = threads.count(code.worth, code.kind)
    _evaluate(code, sums, _arrays_of(totals), count, divisor)
    return True


def mlp_sample_sums(sums: MlpSums, totals: np.ndarray) -> None:
    """Write totals of gradients of inputs, like `numpy_mlp_sums.mlp_sample_sums`."""
    if (
        not (_has_code(sums.call.form, sums.loss) and _are_usable(sums))
        or sums.factor is not None
        or sums.call.sizes[0] > _MOST_INPUTS
    ):
        numpy_mlp_sums.mlp_sample_sums(sums, totals)
        return
    code = _code_for(sums)
    _evaluate(code, sums, [totals], threads.count(code.worth, code.kind))


def _evaluate(
    code: _Code, sums: MlpSums, outs: list[np.ndarray], count: int = 1, divisor: float = 0.0
) -> None:
    """Write totals of all pieces, shared by `count` threads."""
    samples, layers, *_ = call = sums.call
    operands = (
        *(samples if samples.ndim == 3 else samples[None], call.wiring),
        *(sums.targets, code.no_factor if sums.factor is None else sums.factor, code.parameters),
        *(tuple([x for layer in layers for x in layer if x is not None]), code.places),
        *(_table(outs, code.wanted), divisor),
        *(np.empty(count * code.layout[-1], np.uint8), code.layout, code.grid),
    )
    code.evaluate(*threads.share(code.n_pieces, count, code.kind), operands)


def _table(arrays: list[np.ndarray], places: list[tuple[int, int]]) -> np.ndarray:
    """Return the address and the first three strides of arrays, and their places."""
    rows = []
    for x, place in zip(arrays, places, strict=True):
        first, second, third = x.strides[:3]
        address = x.__array_interface__["data"][0]  # faster than x.ctypes.data
        rows.append((address, first if len(x) > 1 else 0, second, third, *place))
    return np.array(rows)


def _arrays_of(totals: MlpTotals) -> list[np.ndarray]:
    """Return the requested totals: those of layers, then those of the loss."""
    arrays = [x for layer in totals.layers for x in layer]
    return [x for x in [*arrays, totals.loss] if x is not None]


def _code_for(sums: MlpSums, totals: MlpTotals | None = None) -> _Code:
    """Return the code for these totals, or for those of gradients of inputs."""
    call, loss, targets, factor = sums
    return _prepare(
        *(call.form, loss, factor is not None, call.samples.ndim == 3, len(targets) > 1),
        totals is not None and totals.loss is not None,
        totals is None or totals.layers[0][0] is not None,
        totals is None,
    )


@functools.lru_cache(256)
def _has_code(form: MlpForm, loss: OutputLoss) -> bool:
    """Return whether there is compiled code for sums."""
    n_parameters = sum(a * b for a, b in itertools.pairwise(form.sizes))
    return (
        form.dtype.char in "fd"
        and min(form.n_sets, form.n_samples, form.n_subnets) > 0
        and n_parameters <= _MOST_PARAMETERS
        and (loss.loss != CATEGORICAL or loss.n_outputs <= _MOST_LABELS)
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
    flags = array.flags
    if array.dtype != dtype or not flags.aligned:
        return False
    return flags.c_contiguous or array.ndim < 3 or array[:1, :1].flags.c_contiguous


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


def _with_own_features(sums: MlpSums) -> MlpSums:
    """Return sums whose samples contain the features that their networks see, in order."""
    call = sums.call
    if _is_usable(call.samples, call.dtype):
        return sums
    samples = call.samples[..., call.wiring.ravel()]
    return sums._replace(call=call._replace(samples=samples, inputs=None))


def _lanes_are_runs(form: MlpForm) -> bool:
    """Return whether fewer lanes are idle if they are runs than if they are sets."""
    lanes = mlp_engine._lanes(form.dtype)
    blocks, rest = divmod(form.n_samples, BLOCK)
    vector = RUN * lanes
    steps = (blocks * -(-BLOCK // vector) + -(-rest // vector)) * vector
    over_sets = -(-form.n_sets // lanes) * lanes * form.n_samples
    return _OF_RUNS * form.n_sets * steps < over_sets


@functools.lru_cache(256)
def _prepare(
    form: MlpForm,
    loss: OutputLoss,
    weighted: bool,
    own_samples: bool,
    own_targets: bool,
    terms: bool,
    gradients: bool,
    of_samples: bool,
) -> _Code:
    """Return the function and its arguments, compiled if necessary."""
    with loading.lock():
        from multisubnet._backends.numba.llvm.network_sums import SumsPlan

    dtype, lanes = form.dtype, mlp_engine._lanes(form.dtype)
    keys = tuple("linear" if a is None else a.key for a in form.activations)
    plan = SumsPlan(
        *(form.sizes, keys, form.biased, loss.loss, weighted, terms, gradients),
        *(of_samples or _lanes_are_runs(form), own_samples, own_targets),
        *(lanes, _SUMS[lanes * dtype.itemsize], _STEPS),
        of_samples=of_samples,
    )
    function = _function(plan, dtype)
    key = *form.key, loss, weighted
    mlp_engine.prepared.add((dtype.char, key))
    given = []
    for places, n_in, n_out, biased in zip(
        plan.offsets, form.sizes, form.sizes[1:], form.biased, strict=False
    ):
        given += [(n_in * n_out, places[0]), (n_out, places[1])][: 1 + biased]
    wanted = given * gradients + [(1, plan.n_sums - 1)] * terms
    if of_samples:
        wanted = [(form.sizes[0], 0)]
    grid = _grid(form, plan)
    return _Code(
        evaluate=function,
        parameters=np.array([0.0 if a is None else a.number for a in form.activations]),
        no_factor=np.empty(0, dtype),
        places=np.array(given),
        wanted=wanted,
        layout=_layout(plan, dtype.itemsize, grid[1]),
        grid=grid,
        n_pieces=math.prod(-(-n // step) for n, step in zip(grid[::2], grid[1::2], strict=True)),
        worth=form.n_products // _WORTH,
        kind=threads.kind(form.n_products, key, gradients, of_samples),
    )


def _grid(form: MlpForm, plan: Any) -> tuple[int, ...]:
    """Return the numbers of sets, networks and blocks, or samples, each with that of a piece."""
    lengths = form.n_sets, form.n_subnets, -(-form.n_samples // BLOCK)
    units = plan.lanes, 1, 1
    if plan.of_samples:
        lengths = form.n_sets, form.n_subnets, form.n_samples
        units = 1 if plan.own_samples else BLOCK, 1, RUN * plan.lanes
    groups, networks, blocks = (-(-n // unit) for n, unit in zip(lengths, units, strict=True))
    each = groups * networks * blocks
    if form.n_products >= 2 * _WORTH:
        each = max(each * _WORTH // (form.n_products * _PIECES_OF_WORTH), 1)
    steps = (
        min(max(each // networks, 1), groups) * units[0],
        min(each, networks),
        max(each // (networks * groups), 1) * units[2],
    )
    return tuple(x for pair in zip(lengths, steps, strict=True) for x in pair)


def _layout(plan: Any, itemsize: int, n_sets: int) -> tuple[int, ...]:
    """Return the offsets of the parts of a thread's area for pieces of some sets, and its size."""
    lanes, n_sums = plan.lanes, plan.n_sums
    # Vector-wise reads and writes go beyond the end, by less than `lanes` lines.
    steps = (RUN * x for x in (plan.sizes[0], plan.n_targets, 1))
    lines = plan.n_parameters + lanes, *steps, plan.scratch, n_sums + lanes
    totals = n_sums * lanes
    if plan.lanes_are_runs and not plan.of_samples:
        totals = -(-n_sums // lanes) * lanes * n_sets
    lengths = *(n * lanes * itemsize for n in lines), (totals + lanes * lanes) * 8
    *offsets, end = itertools.accumulate(lengths)
    return *offsets, end, area_size(end)


@functools.cache
def _function(plan: Any, dtype: np.dtype) -> Callable[..., None]:
    with loading.lock():
        from multisubnet._backends.numba import mlp_sum_loops

    double_lanes = mlp_engine._lanes(np.dtype(np.float64))
    return mlp_sum_loops.compile_sums(plan, dtype, double_lanes)
