"""What kernels read and write, counted on a simulated GPU.

PYTHONPATH=../shared/gpusim python .ci/traffic.py
"""

from __future__ import annotations

import contextlib
import itertools
from typing import NamedTuple
from unittest import mock

import simcupy

simcupy.install()

import cupy  # noqa: E402
import numpy as np  # noqa: E402

import multisubnet as ms  # noqa: E402
from multisubnet._backends.cupy import engine  # noqa: E402
from multisubnet._backends.cupy.launch import affine, geometry, mlp  # noqa: E402

SECTOR = 32  # bytes


class Case(NamedTuple):
    """A call of affine."""

    shape: tuple[int, int, int]  # (N, B, F)
    set_axis: int = 0
    offset: int = 0  # elements that the result begins after a multiple of 256 bytes
    own_samples: bool = False
    dtype: str = "f4"


CASES = [
    Case((64, 64, 64)),
    Case((64, 64, 64), set_axis=1),
    Case((64, 64, 64), offset=4),
    Case((64, 64, 64), offset=1),
    Case((64, 61, 30)),
    Case((64, 61, 33)),
    Case((64, 61, 33), set_axis=1),
    Case((64, 61, 33), offset=3),
    Case((40, 200, 1)),
    Case((3000, 1, 8)),
    Case((1, 3000, 8)),
    Case((2, 40, 1000)),
    Case((64, 61, 33), own_samples=True),
    Case((64, 64, 64), own_samples=True),
    *(Case((64, 61, 30), dtype=dtype) for dtype in ("i1", "f2", "f8", "c8")),
]


class Sums(NamedTuple):
    """A call of mean_loss, or of another function that sums up."""

    shape: tuple[int, int, int]  # (N, B, F)
    dtype: str = "f4"
    offset: int = 0  # elements that samples begin after a multiple of 256 bytes
    gradient: bool = False


SUMS = [
    Sums((64, 256, 64)),
    Sums((64, 256, 64), offset=1),
    Sums((64, 256, 33)),
    Sums((61, 250, 30)),
    Sums((512, 256, 1)),
    Sums((4, 256, 1000)),
    Sums((64, 256, 64), "f8"),
    Sums((64, 256, 33), "f8", offset=1),
    Sums((64, 256, 64), gradient=True),
]


class Selection(NamedTuple):
    """A call of affine_select."""

    shape: tuple[int, int, int]
    dtype: str = "f4"
    offset: int = 0  # elements that the result begins after a multiple of 256 bytes


SELECTIONS = [
    Selection((50, 2000, 64)),
    Selection((50, 2000, 33)),
    Selection((50, 2000, 33), offset=3),
    Selection((50, 4000, 1)),
    Selection((50, 500, 1000), offset=1),
    Selection((50, 2000, 30), "f8"),
    Selection((50, 2000, 30), "f2"),
]


class Networks(NamedTuple):
    """A call of mlp: one network for each feature, or one of all features."""

    shape: tuple[int, int, int]  # (N, B, S)
    sizes: tuple[int, ...]
    additive: bool = False
    dtype: str = "f4"
    activation: str = "relu"


NETWORKS = [
    Networks((4, 569, 30), (1, 8, 8, 1)),
    Networks((4, 569, 30), (1, 16, 16, 1)),
    Networks((4, 569, 30), (1, 16, 16, 1), additive=True),
    Networks((3, 300, 30), (1, 32, 32, 1)),
    Networks((2, 200, 30), (1, 64, 64, 1)),
    Networks((10, 1000, 1), (1, 16, 16, 1)),
    Networks((40, 64, 1), (8, 16, 16, 4)),
    Networks((3, 300, 30), (1, 16, 16, 1), dtype="f8", activation="tanh"),
]


class NetworkSums(NamedTuple):
    """A call of mlp_mean_loss, or of mlp_mean_loss_and_grad."""

    shape: tuple[int, int, int]  # (N, B, S)
    sizes: tuple[int, ...]
    gradient: bool
    dtype: str = "f4"


NETWORK_SUMS = [
    NetworkSums(shape, sizes, gradient, dtype)
    for shape, sizes, dtype in [
        ((4, 569, 10), (1, 8, 8, 1), "f4"),
        ((4, 569, 10), (1, 16, 16, 1), "f4"),
        ((2, 569, 6), (1, 32, 32, 1), "f4"),
        ((30, 64, 1), (8, 16, 16, 4), "f4"),
        ((4, 300, 10), (1, 16, 16, 1), "f8"),
    ]
    for gradient in (False, True)
]
# Instructions for each multiply-add: at most so many, threads without a sample among them.
MOST_INSTRUCTIONS = {False: 5.6, True: 7.8}


def main() -> None:
    """Check all cases."""
    for network_sums in NETWORK_SUMS:
        check_network_sums(network_sums)
    for networks in NETWORKS:
        check_networks(networks)
    for selection in SELECTIONS:
        check_selection(selection)
    for sums in SUMS:
        # As where there is so much to do that a thread has several rows.
        with on_card(128, 1):
            check_sums(sums)
    for case, multiprocessors in itertools.product(CASES, (1, 132)):
        # With few blocks a thread walks over many runs.
        with on_card(multiprocessors, 256 if multiprocessors == 1 else 2048):
            check(case)


def on_card(multiprocessors: int, threads: int) -> contextlib.AbstractContextManager:
    """Launch as on a card of this size."""
    card = geometry.Card(multiprocessors, threads)
    return mock.patch.object(engine, "_card", return_value=card)


def check(case: Case) -> None:
    """Evaluate, and compare the traffic with its bounds."""
    n_sets, n_samples, n_features = case.shape
    rng = np.random.default_rng(0)
    shapes = [(n_samples, n_features), (n_sets, n_features), (n_sets, n_features)]
    if case.own_samples:
        shapes[0] = case.shape
    samples, weight, bias = (
        cupy.asarray(rng.integers(-9, 9, shape).astype(case.dtype)) for shape in shapes
    )
    shape = (n_samples, n_sets, n_features) if case.set_axis else case.shape
    size = int(np.prod(shape))
    out = cupy.empty(size + case.offset, case.dtype)[case.offset :].reshape(shape)
    with mock.patch.object(engine, "_run", wraps=engine._run) as run:
        ms.affine(samples, weight, bias, set_axis=case.set_axis, out=out)
    (launch,) = run.call_args.args
    stats = simcupy.launches[-1].stats

    # What is written: each sector once. Where a run ends inside of one, its elements there and
    # those of the next run are written apart, and so is the last half of a sector.
    start, itemsize = out.data.ptr, out.dtype.itemsize
    sectors = (start + size * itemsize - 1) // SECTOR - start // SECTOR + 1
    runs = shape[0] if "SAMPLES_FIRST" not in launch.kernel or case.set_axis else 1
    whole = start % SECTOR == 0 and size // runs * itemsize % SECTOR == 0
    written = stats.store_sectors / sectors
    assert stats.unique_bytes_written == size * itemsize
    assert stats.store_sectors <= sectors + (0 if whole else 3 * runs), (case, written)

    # What is loaded for an element, as cuda/affine_runs.cu has it; and at the ends of runs.
    order, wide = launch.kernel.rstrip(">").split(", ")[2:]
    lanes = 16 // itemsize
    rows = affine._rows(order, lanes)
    walk = max(-(-runs // (launch.grid[1] * launch.block[1])), 1)
    by_row, by_run = {
        "SETS_FIRST": (1 / walk, 2 / rows),
        "SAMPLES_FIRST": (2 / walk, 1 / rows),
        "OWN_SAMPLES": (1, 2 / rows),
    }[order]
    most = by_row + by_run / (lanes if wide == "true" else 1)
    loads = stats.load_requests * 32 / size
    run = size / runs
    assert loads <= 1.5 * most + 300 / run, (case, loads)
    read = stats.load_sectors * SECTOR / size / itemsize
    print(
        f"{launch.kernel}, {case.shape}, {walk} runs a thread: "
        f"{written:.3f} of the sectors written, {loads:.2f} loads ({most:.2f} but for the ends), "
        f"{read:.2f} elements read and {stats.warp_total * 32 / size:.1f} instructions an element"
    )


def placed(array: np.ndarray, offset: int) -> cupy.ndarray:
    """Return an array on the GPU that begins some elements after a multiple of 256 bytes."""
    there = cupy.empty(array.size + offset, array.dtype)[offset:].reshape(array.shape)
    there[...] = cupy.asarray(array)
    return there


def check_sums(case: Sums) -> None:
    """Sum up losses, and compare what is read with its bound."""
    n_sets, n_samples, n_features = case.shape
    rng = np.random.default_rng(0)
    shapes = [(n_samples, n_features), (n_sets, n_features), (n_sets, n_features)]
    samples, weight, bias = (rng.normal(size=shape).astype(case.dtype) for shape in shapes)
    operands = placed(samples, case.offset), cupy.asarray(weight), cupy.asarray(bias)
    function = ms.mean_loss_and_grad if case.gradient else ms.mean_loss
    before = len(simcupy.launches)
    with mock.patch.object(engine, "_run", wraps=engine._run) as run:
        function(*operands, placed(samples[::-1], case.offset), loss="absolute_error")
    ((launch, stats),) = (
        (call.args[0], done.stats)
        for call, done in zip(run.call_args_list, simcupy.launches[before:], strict=True)
        if call.args[0].kernel.startswith("sums")
    )

    # A thread reads a sample and a target for all of its rows, a warp therefore whole sectors, and
    # one more where they do not begin with one. Weight and bias, once for a thread, and rows that
    # are not there are 15 %.
    itemsize = np.dtype(case.dtype).itemsize
    terms = n_sets * n_samples * n_features
    at_once = 2 / (16 // itemsize)
    loads = stats.load_requests * 32 / terms
    sectors = stats.load_sectors * 32 / terms
    is_aligned = n_features * itemsize % SECTOR == 0 and case.offset == 0
    assert loads <= 1.15 * at_once, (case, loads)
    assert sectors <= 1.1 * at_once * (itemsize + (not is_aligned)), (case, sectors)
    print(
        f"{launch.kernel.split('>')[0]}>, {case}: {loads:.3f} loads a term ({at_once}), "
        f"{sectors:.2f} sectors for 32 terms, "
        f"{stats.warp_total * 32 / terms:.1f} instructions a term"
    )


def check_selection(case: Selection) -> None:
    """Evaluate samples with sets of their choice, and compare the traffic with its bounds."""
    n_sets, n_samples, n_features = case.shape
    rng = np.random.default_rng(0)
    shapes = [(n_samples, n_features), (n_sets, n_features), (n_sets, n_features)]
    operands = [cupy.asarray(rng.integers(-9, 9, shape).astype(case.dtype)) for shape in shapes]
    index = cupy.asarray(rng.integers(0, n_sets, n_samples))
    out = placed(np.zeros((n_samples, n_features), case.dtype), case.offset)
    ms.affine_select(*operands, index, out=out)
    stats = simcupy.launches[-1].stats

    itemsize = out.dtype.itemsize
    start, end = out.data.ptr, out.data.ptr + out.nbytes
    sectors = -(-end // SECTOR) - start // SECTOR
    assert stats.unique_bytes_written == out.nbytes
    assert stats.store_sectors <= sectors + 3, (case, stats.store_sectors, sectors)
    lanes = 16 // itemsize
    is_aligned = n_features % lanes == case.offset % lanes == 0
    most = 4 / lanes if is_aligned else 4
    loads = stats.load_requests * 32 / out.size
    assert loads <= 1.1 * most + 3000 / out.size, (case, loads, most)
    print(
        f"affine_select, {case}: {stats.store_sectors / sectors:.3f} of the sectors written, "
        f"{loads:.2f} loads ({most:.2f}), {stats.warp_total * 32 / out.size:.1f} instructions an "
        f"element"
    )


def check_networks(case: Networks) -> None:
    """Evaluate networks, and compare what is read and written with its bounds."""
    n_sets, n_samples, n_subnets = case.shape
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(n_samples, n_subnets * case.sizes[0])).astype(case.dtype)
    layers = [
        tuple(cupy.asarray(rng.normal(size=shape).astype(case.dtype)) for shape in shapes)
        for a, b in itertools.pairwise(case.sizes)
        for shapes in [((n_sets, n_subnets, a, b), (n_sets, n_subnets, b))]
    ]
    options = {"activation": case.activation, "additive": case.additive}
    with mock.patch.object(engine, "_run", wraps=engine._run) as run:
        out = ms.mlp(cupy.asarray(samples), layers, **options)
    ((launch,),) = (call.args for call in run.call_args_list)
    stats = simcupy.launches[-1].stats

    # All weights and samples are read, and nothing but the result is written.
    weights = [array for layer in layers for array in layer]
    n_bytes = sum(array.nbytes for array in weights)
    assert stats.unique_bytes_read == n_bytes + samples.nbytes, (case, stats.unique_bytes_read)
    assert stats.unique_bytes_written == out.nbytes, (case, stats.unique_bytes_written)

    # A block reads the weights of its networks once for the samples of its part, a warp mostly
    # whole sectors; a thread the features of its samples, next to those of the group's other
    # networks, as it writes its values. If these do not begin with a sector, it is one more.
    *_, n_parts, group, _span, _lanes, _first = mlp._MLP.unpack(launch.argument)
    itemsize = out.dtype.itemsize
    of_weights = n_parts * (1.25 * n_bytes + 2 * SECTOR * n_sets * n_subnets * len(weights))
    runs = n_sets * n_samples * n_subnets / group  # of samples of networks side by side
    if n_subnets == 1:  # of samples of one network
        runs = n_sets * n_samples / (SECTOR if case.sizes[0] == 1 else 1)
        group = SECTOR if case.sizes[0] == 1 else 1
    of_samples = case.sizes[0] * runs * (group * itemsize + SECTOR)
    read = stats.load_sectors * SECTOR
    assert read <= of_weights + of_samples, (case, read, of_weights, of_samples)
    of_results = runs * (group * case.sizes[-1] * itemsize + SECTOR)
    written = stats.store_sectors * SECTOR
    assert written <= (1.3 * out.nbytes if case.additive else of_results), (case, written)
    print(
        f"mlp, {case}: {n_parts} parts; {read / (n_bytes + samples.nbytes):.1f} times the operands "
        f"read, {written / out.nbytes:.2f} times the result written, "
        f"{stats.warp_total * 32 / (n_sets * n_samples * n_subnets):.0f} instructions a network "
        f"and sample"
    )


def check_network_sums(case: NetworkSums) -> None:
    """Sum up losses of networks, or gradients with them, and count instructions."""
    n_sets, n_samples, n_subnets = case.shape
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(n_samples, n_subnets * case.sizes[0])).astype(case.dtype)
    targets = rng.normal(size=(n_samples, n_subnets, case.sizes[-1])).astype(case.dtype)
    layers = [
        tuple(cupy.asarray(rng.normal(size=shape).astype(case.dtype)) for shape in shapes)
        for a, b in itertools.pairwise(case.sizes)
        for shapes in [((n_sets, n_subnets, a, b), (n_sets, n_subnets, b))]
    ]
    function = ms.mlp_mean_loss_and_grad if case.gradient else ms.mlp_mean_loss
    before = len(simcupy.launches)
    with mock.patch.object(engine, "_run", wraps=engine._run) as run:
        function(cupy.asarray(samples), layers, cupy.asarray(targets))
    kernel = "mlp_grad" if case.gradient else "mlp_loss"
    (stats,) = (
        done.stats
        for call, done in zip(run.call_args_list, simcupy.launches[before:], strict=True)
        if call.args[0].kernel.startswith(kernel)
    )

    # Forward; deltas of all layers but the first one's inputs; and products of these and inputs.
    products = [a * b for a, b in itertools.pairwise(case.sizes)]
    of_sample = sum(products) + (sum(products[1:]) + sum(products) if case.gradient else 0)
    n_products = n_sets * n_samples * n_subnets * of_sample
    instructions = stats.warp_total * 32 / n_products
    assert instructions <= MOST_INSTRUCTIONS[case.gradient], (case, instructions)
    print(
        f"{kernel}, {case}: {instructions:.2f} instructions for each of {of_sample} multiply-adds "
        f"of a network and sample"
    )


if __name__ == "__main__":
    main()
