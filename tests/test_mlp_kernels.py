"""Networks on a GPU: the division of their work, in kernels and among them."""

from __future__ import annotations

import itertools

import formula
import numpy as np
import pytest
import tiles
from hypothesis import given
from hypothesis import strategies as st
from test_launch import CARDS, H100, Array
from test_launch import SMALL as SMALL_CARD
from test_mlp import FLOATS, MIXED, SMALL, WIDE, assert_agrees, expected, networks, sets_of

import multisubnet as ms
from multisubnet._backends.cupy.launch import mlp
from multisubnet.testing import assert_same_bits

on_kernels = pytest.mark.parametrize(
    "backend", ["host", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True
)


@on_kernels
@given(
    problem=networks(FLOATS, (SMALL,), max_sets=40, max_samples=700, max_subnets=9),
    set_axis=st.sampled_from([0, 1]),
    grid=st.sampled_from([1, 3, 2**31 - 1]),
)
def test_agreement_of_threads_with_several_samples(backend, problem, set_axis, grid):
    samples, layers, options = problem
    with tiles.of(SMALL_CARD, gpu_grid=grid):
        result = backend.mlp(samples, layers, **options, set_axis=set_axis)
    assert_agrees(result, problem, set_axis)


@on_kernels
@given(
    problem=networks(FLOATS, (SMALL, WIDE), max_sets=9, max_samples=200, max_subnets=3),
    turn=st.sampled_from([1, 2, 4, 8]),
)
def test_agreement_of_layers_that_are_computed_in_turns(backend, problem, turn):
    samples, layers, options = problem
    with tiles.of(SMALL_CARD, gpu_at_once=1, gpu_turn=turn):
        result = backend.mlp(samples, layers, **options)
    assert_agrees(result, problem)


@on_kernels
@given(
    problem=networks(["float32"], (WIDE, MIXED), special_values=False, samples_ndim=2),
    card=st.sampled_from([H100, SMALL_CARD]),
    scratch=st.sampled_from([1, 5000, 1 << 25]),
)
def test_agreement_of_networks_that_go_through_memory(backend, problem, card, scratch):
    samples, layers, options = problem
    index = np.arange(len(samples)) % (sets_of(problem) + 1) - 1
    with tiles.of(card, gpu_scratch=scratch, gpu_products=1):
        result = backend.mlp(samples, layers, **options)
        selected = backend.mlp_select(samples, layers, index, **options, check=False)
    assert_agrees(result, problem)
    if expected(problem) is not None:
        assert_same_bits(selected, formula.mlp_select(samples, layers, index, **options))


@on_kernels
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_order_and_the_dtype_of_sums_over_networks(backend, dtype):
    # In float64 the order matters; in float32, additional rounding.
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(50, 9)).astype(dtype)
    layers = [
        rng.normal(size=(3, 9, a, b)).astype(dtype) for a, b in itertools.pairwise(SMALL.sizes)
    ]
    result = backend.mlp(samples, layers, additive=True)
    assert_same_bits(result, formula.mlp(samples, layers, additive=True))


def test_many_layers_and_wide_sums_go_through_memory():
    rng = np.random.default_rng(0)
    sizes = [1, *[3] * mlp.MOST_LAYERS, 2]
    layers = [rng.normal(size=(2, 3, a, b)).astype("f4") for a, b in itertools.pairwise(sizes)]
    samples = rng.normal(size=(5, 3)).astype("f4")
    with ms.use_backend("host"):
        assert_same_bits(ms.mlp(samples, layers), formula.mlp(samples, layers))


def plan_of(n_sets, n_subnets, sizes, *, additive=False, dtype="f4", hidden="relu", last=None):
    """Return the networks of an architecture with biases in all layers."""
    dtype = np.dtype(dtype)
    working = np.dtype("f4") if dtype == np.float16 else dtype
    n_hidden = len(sizes) - 2
    functions = [None if x is None else ms.Activation(x) for x in [hidden] * n_hidden + [last]]
    biased = (True,) * (n_hidden + 1)
    arguments = sizes, tuple(functions), biased, additive, working, dtype, n_subnets, n_sets
    return mlp.Networks(*arguments, in_turns=True)


def contiguous(shape, dtype):
    """Return the attributes of a C-contiguous array that launches use."""
    strides = [np.dtype(dtype).itemsize]
    for length in shape[:0:-1]:
        strides.insert(0, strides[0] * length)
    return Array(shape, tuple(strides), np.dtype(dtype))


def result_of(plan, n_samples):
    shape = plan.n_sets, n_samples, plan.n_subnets, plan.sizes[-1]
    return contiguous(shape[:2] + shape[3:] if plan.additive else shape, plan.dtype)


def launch_of_mlp(shape, sizes, **options):
    """Return the launch for (N, B, S) and an architecture, of contiguous arrays of one dtype."""
    n_sets, n_samples, n_subnets = shape
    plan = plan_of(n_sets, n_subnets, sizes, **options)
    samples = contiguous((n_samples, n_subnets * sizes[0]), plan.dtype)
    layers = []
    for before, after in itertools.pairwise(sizes):
        layers.append(contiguous((n_sets, n_subnets, before, after), plan.dtype))
        layers.append(contiguous((n_sets, n_subnets, after), plan.dtype))
    arrays = samples, result_of(plan, n_samples), None, None, None, *layers
    return mlp.plan_mlp(*arrays, plan, H100, lambda array: 0)


def planned(n_sets, n_samples, n_subnets, sizes, card=H100, **options):
    """Return the networks and how they are divided."""
    plan = plan_of(n_sets, n_subnets, sizes, **options)
    return plan, mlp._Shape.of(result_of(plan, n_samples), plan, card)


sizes = st.integers(1, 300) | st.integers(1, 1 << 30)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card[0]}x{card[1]}")
@given(
    n_sets=sizes,
    n_samples=sizes,
    n_subnets=sizes,
    outputs=st.sampled_from([1, 2, 4, 8, 33]),
    additive=st.booleans(),
)
def test_work_is_divided_within_limits(card, n_sets, n_samples, n_subnets, outputs, additive):
    plan, shape = planned(n_sets, n_samples, n_subnets, (1, 16, outputs), card, additive=additive)
    n_networks = n_sets if additive else n_sets * n_subnets
    assert shape.n_groups * shape.group >= n_networks > (shape.n_groups - 1) * shape.group
    assert shape.n_parts * shape.span >= n_samples > (shape.n_parts - 1) * shape.span
    assert shape.span % (shape.lanes * shape.rows) == 0
    assert not additive or shape.span == shape.lanes * shape.rows
    assert shape.group * shape.lanes <= mlp.THREADS
    assert shape.group * plan.vectors * 16 <= (24 << 10 if shape.group > 1 else 48 << 10)
    assert plan.vectors % 2 == 1


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card[0]}x{card[1]}")
@given(
    n_sets=sizes,
    n_samples=sizes,
    n_subnets=sizes,
    width=st.sampled_from([33, 40, 50, 64]),
    additive=st.booleans(),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_values_of_wide_layers_fit_in_shared_memory(
    card, n_sets, n_samples, n_subnets, width, additive, dtype
):
    options = {"additive": additive, "dtype": dtype}
    wide = 2, width, width, 3
    if not plan_of(n_sets, n_subnets, wide, **options).fits:
        return
    plan, shape = planned(n_sets, n_samples, n_subnets, wide, card, **options)
    n_networks = n_sets if additive else n_sets * n_subnets
    assert shape.n_groups * shape.group >= n_networks > (shape.n_groups - 1) * shape.group
    assert shape.n_parts * shape.span >= n_samples > (shape.n_parts - 1) * shape.span
    assert shape.group * shape.lanes <= plan.threads(shape.rows)
    of_threads = plan.threads(shape.rows) * plan.vectors_of_thread(shape.rows)
    assert plan.vectors_of_thread(shape.rows) * 16 >= width * shape.rows * int(dtype[1])
    assert 16 * (shape.group * plan.vectors + of_threads) <= 48 << 10


@pytest.mark.parametrize(
    ("shape", "sizes", "rows"),
    [
        ((100, 569, 30), (1, 8, 8, 1), 4),
        ((100, 569, 30), (1, 16, 16, 1), 4),
        ((100, 569, 30), (1, 32, 32, 1), 2),
        ((100, 569, 30), (1, 40, 40, 1), 2),
        ((100, 569, 30), (1, 64, 64, 1), 1),
        ((1000, 1000, 1), (1, 16, 1), 4),
        ((1000, 64, 1), (8, 16, 16, 4), 1),
        ((10**5, 64, 1), (8, 16, 16, 4), 4),
        ((10**6, 1, 1), (8, 16, 16, 4), 1),
    ],
    ids=str,
)
def test_threads_are_busy(shape, sizes, rows):
    n_sets, n_samples, n_subnets = shape
    plan, division = planned(*shape, sizes)
    assert plan.fits
    assert division.rows == rows
    # At least 85 % of running threads have samples, unless weights fill a block first.
    blocks = division.n_groups * division.n_parts
    assert blocks >= 3 * H100.multiprocessors
    used = n_sets * n_subnets * n_samples / rows
    passes = division.span // (division.lanes * rows)
    threads = -(-division.group * division.lanes // 32) * 32
    if n_samples > 1:
        assert used >= 0.85 * blocks * passes * threads


@pytest.mark.parametrize(
    ("sizes", "dtype", "additive", "fits"),
    [
        ((1, 32, 32, 1), "f4", True, True),
        ((1, 32, 32, 1), "f8", False, True),
        ((300, 4), "f4", False, True),  # features are loaded one at a time
        ((1, 64, 64, 1), "f4", False, True),  # computed in turns
        ((1, 64, 64, 64, 1), "f4", False, False),  # too many weights
        ((1, 48, 48, 1), "f8", False, True),
        ((1, 64, 64, 1), "f8", False, False),
        ((1, 8, 64), "f4", True, False),  # a thread has 64 float64 sums
        ((1, 3, 1), "i4", False, False),
    ],
)
def test_networks_that_fit_in_registers(sizes, dtype, additive, fits):
    assert plan_of(5, 5, sizes, additive=additive, dtype=dtype).fits is fits
