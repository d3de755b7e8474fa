"""Losses and gradients of networks on a GPU: the division of their work."""

from __future__ import annotations

import itertools

import formula_networks
import numpy as np
import pytest
import tiles
from hypothesis import given
from hypothesis import strategies as st
from test_launch import CARDS, H100
from test_launch import SMALL as SMALL_CARD
from test_mlp_kernels import contiguous, on_kernels, plan_of
from test_mlp_losses import CASES, assert_same, judged_networks, random_networks

from multisubnet._arithmetic.output_loss import OutputLoss
from multisubnet._backends.cupy.launch import mlp_sums
from multisubnet.testing import assert_same_bits


def launch_of_loss(shape, sizes, loss="squared_error", *, weighted=False, last=None, **options):
    """Return the launch for (N, B, S) and an architecture, of contiguous arrays of one dtype."""
    n_sets, n_samples, n_subnets = shape
    plan = plan_of(n_sets, n_subnets, sizes, last=last, **options)
    judge = OutputLoss(loss, last or "linear", sizes[-1])
    targets = contiguous((1, n_samples, n_subnets, sizes[-1]), plan.working)
    factor = contiguous((n_samples,), "f8") if weighted else None
    samples = contiguous((n_samples, n_subnets * sizes[0]), plan.dtype)
    totals = contiguous((-(-n_samples // 4096), n_sets, n_subnets), "f8")
    layers = []
    for before, after in itertools.pairwise(sizes):
        layers.append(contiguous((n_sets, n_subnets, before, after), plan.dtype))
        layers.append(contiguous((n_sets, n_subnets, after), plan.dtype))
    arrays = targets, factor, samples, totals, None, None, None, *layers
    return mlp_sums.plan_loss(*arrays, plan, judge, H100, lambda array: 0)


lengths = st.integers(1, 300) | st.integers(1, 1 << 30)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card[0]}x{card[1]}")
@given(n_sets=lengths, n_samples=lengths, n_subnets=lengths, width=st.sampled_from([1, 8, 32]))
def test_work_is_divided_within_limits(card, n_sets, n_samples, n_subnets, width):
    plan = plan_of(n_sets, n_subnets, (1, width, 1))
    shape = mlp_sums._Passes.of(n_samples, plan, card)
    length = min(n_samples, 4096)
    of_pass = shape.lanes * shape.rows
    assert of_pass >= length or of_pass % 32 == 0
    assert shape.group * shape.lanes <= shape.threads <= 128
    # The kernel has this many places for the terms of a pass, and for its runs.
    n_runs = -(-of_pass // 32)
    assert shape.group * (of_pass + n_runs) <= 128 * (shape.rows + 1)
    assert shape.group * n_runs <= 128
    assert shape.group == 1 or shape.group * plan.vectors * 16 <= 24 << 10


@pytest.mark.parametrize(
    ("shape", "rows", "busy"), [((100, 569, 30), 4, 0.92), ((1000, 1000, 1), 4, 0.95)], ids=str
)
def test_threads_are_busy(shape, rows, busy):
    n_sets, n_samples, n_subnets = shape
    passes = mlp_sums._Passes.of(n_samples, plan_of(n_sets, n_subnets, (1, 16, 16, 1)), H100)
    assert passes.rows == rows
    of_pass = passes.lanes * rows
    threads = passes.threads * -(-n_samples // of_pass) * rows
    assert n_samples * passes.group >= busy * threads


@given(
    n_sets=lengths,
    n_samples=lengths,
    width=st.sampled_from([1, 8, 16, 32]),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_sheets_find_room(n_sets, n_samples, width, dtype):
    plan = plan_of(n_sets, 3, (1, width, width, 1), dtype=dtype)
    sheet = mlp_sums._Sheet.of(n_samples, plan)
    assert (sheet is None) == (width == 32 and dtype == "f8")
    if sheet is None:
        return
    columns = sheet.lanes * sheet.rows
    assert columns * np.dtype(dtype).itemsize % 16 == 0  # vectors
    assert columns >= min(n_samples, 4096) or columns % 32 == 0
    assert sheet.group * sheet.lanes <= 128
    assert sheet.group * sheet.vectors * 16 <= 48 << 10


@on_kernels
@given(
    data=st.data(),
    case=st.sampled_from([CASES[0], CASES[3]]),
    sizes=st.sampled_from([(9, 200, 9), (3, 9000, 1), (300, 40, 2)]),
    grid=st.sampled_from([1, 3, 2**31 - 1]),
)
def test_agreement_of_threads_with_several_samples(backend, data, case, sizes, grid):
    most = dict(zip(["max_sets", "max_samples", "max_subnets"], sizes, strict=True))
    operands, options = data.draw(judged_networks(case, backend, special_values=False, **most))
    with tiles.of(SMALL_CARD, gpu_grid=grid):
        loss = backend.mlp_mean_loss(*operands, **options)
        found = backend.mlp_mean_loss_and_grad(*operands, **options)
    desired = formula_networks.mlp_mean_loss_and_grad(*operands, **options)
    assert_same_bits(loss, desired[0])
    assert_same(found, desired)


@on_kernels
@given(
    data=st.data(),
    case=st.sampled_from([CASES[0], CASES[3]]),
    scratch=st.sampled_from([1, 5000, 1 << 20, 1 << 25]),
    n_samples=st.sampled_from([40, 9000]),
)
def test_agreement_of_networks_that_go_through_memory(backend, data, case, scratch, n_samples):
    most = {"max_sets": 5, "max_samples": n_samples, "max_subnets": 3}
    operands, options = data.draw(judged_networks(case, backend, special_values=False, **most))
    with tiles.of(SMALL_CARD, gpu_sums_scratch=scratch, gpu_products=1):
        found = backend.mlp_mean_loss_and_grad(*operands, **options)
        assert_same(backend.mlp_mean_loss(*operands, **options), found[0])
    assert_same(found, formula_networks.mlp_mean_loss_and_grad(*operands, **options))


def launch_of_gradients(
    shape, sizes, loss="squared_error", *, weighted=False, last=None, **options
):
    """Return the launch for (N, B, S) and an architecture, of contiguous arrays of one dtype."""
    n_sets, n_samples, n_subnets = shape
    plan = plan_of(n_sets, n_subnets, sizes, last=last, **options)
    judge = OutputLoss(loss, last or "linear", sizes[-1])
    targets = contiguous((1, n_samples, n_subnets, sizes[-1]), plan.working)
    factor = contiguous((n_samples,), "f8") if weighted else None
    samples = contiguous((n_samples, n_subnets * sizes[0]), plan.dtype)
    blocks = -(-n_samples // 4096)
    losses = contiguous((blocks, n_sets, n_subnets), "f8")
    layers, totals = [], [None] * 16
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        layers.append(contiguous((n_sets, n_subnets, before, after), plan.dtype))
        layers.append(contiguous((n_sets, n_subnets, after), plan.dtype))
        totals[2 * number] = contiguous((blocks, n_sets, n_subnets, before * after), "f8")
        totals[2 * number + 1] = contiguous((blocks, n_sets, n_subnets, after), "f8")
    arrays = targets, factor, *totals, samples, losses, None, None, None, *layers
    return mlp_sums.plan_grad(*arrays, plan, judge, H100, lambda array: 0)


@on_kernels
def test_pieces_of_a_block_are_added_up(backend):
    samples, layers, rng = random_networks((1, 5, 3, 1), 2, 2, 100, dtype=np.float32)
    operands = samples, layers, rng.normal(size=(100, 2)).astype("f4")
    with tiles.of(gpu_sums_scratch=1, gpu_products=1):
        found = backend.mlp_mean_loss_and_grad(*operands)
        assert_same(backend.mlp_mean_loss(*operands), found[0])
    assert_same(found, formula_networks.mlp_mean_loss_and_grad(*operands))
