"""Sizes that divide work: tiles of a cache, blocks of threads, chunks of memory.

They affect speed, but never a bit. `small` draws small ones, so that small problems cross the same
edges as large ones; `of` sets some. Code that divides its work adds a line to SIZES.
"""

from __future__ import annotations

import contextlib
from unittest import mock

import cuda_on_host
from hypothesis import strategies as st

from multisubnet._backends import numpy, numpy_mlp
from multisubnet._backends.cupy import host_arrays, network_sums, networks
from multisubnet._backends.cupy.launch import geometry
from multisubnet._backends.cupy.launch import mlp as launch_mlp
from multisubnet._backends.numba import engine, mlp_engine, mlp_sum_engine, sum_layout, threads
from multisubnet._functions import (
    closed_form,
    evaluation,
    loss_problem,
    mlp,
    mlp_operands,
    summation,
)
from multisubnet._sets import prediction

SIZES = {  # by name: the module, the constant's name, and small values
    "numpy_block": (numpy, "_BLOCK", [50, 4096]),
    "numpy_recipe_block": (numpy, "_RECIPE_BLOCK", [50]),
    "numpy_terms": (numpy, "_TERMS", [200, 3000]),
    "numpy_values": (numpy_mlp, "_VALUES", [1, 50, 1000]),
    "engine_small": (engine, "_SMALL", [0]),
    "engine_streamed": (engine, "_STREAMED", [0, 1 << 60]),
    "engine_piece": (engine, "_MIN_PIECE_BYTES", [64, 1000, 1 << 60]),
    "engine_losses": (engine, "_PARAMETERS_PER_PIECE", [1, 1000]),
    "engine_reused": (engine, "_REUSED", [256]),
    "engine_block": (engine, "_BLOCK", [50]),
    "engine_width": (sum_layout, "_WIDTH", [7, 16]),
    "engine_columns": (sum_layout, "_COLUMNS", [1, 1 << 9]),
    "engine_each": (sum_layout, "_EACH_ELEMENTS", [1, 1 << 10]),
    "engine_rows": (sum_layout, "_STREAMED_BYTES", [1, 1 << 12]),
    "engine_scratch": (sum_layout, "_MAX_SCRATCH_BYTES", [1]),
    "engine_sum": (sum_layout, "_MIN_PIECE_OPERATIONS", [1, 100]),
    "engine_samples": (mlp_engine, "_BLOCK", [1, 50]),
    "engine_piece_rows": (mlp_engine, "_ROWS", [1, 50]),
    "engine_row_bytes": (mlp_engine, "_ROWS_BYTES", [1, 50, 1000]),
    "engine_network": (mlp_engine, "_WORTH", [1, 50, 1000]),
    "engine_few": (mlp_engine, "_FEW", [0, 1 << 30]),
    "engine_units": (mlp_engine, "_OF_SET", [1 << 30]),  # and few samples: lanes are units
    "engine_sums": (mlp_sum_engine, "_WORTH", [1, 1000]),
    "engine_part": (mlp_sum_engine, "_PART_BYTES", [1 << 15]),
    "engine_lanes": (mlp_sum_engine, "_OF_RUNS", []),  # 0: always runs; much: always sets
    "engine_parameters": (mlp_sum_engine, "_MOST_PARAMETERS", []),
    "gpu_threads": (geometry, "BLOCK_THREADS", [32, 128]),
    "gpu_warp": (geometry, "WARP", [1]),
    "gpu_runs": (geometry, "MOST_RUNS", [1, 2]),
    "gpu_rows": (geometry, "MAX_GRID_Y", [32, 96]),  # multiples of 32, like grids
    "gpu_scratch": (networks, "_SCRATCH_BYTES", [1, 5000]),
    "gpu_sums_scratch": (network_sums, "_SCRATCH_BYTES", [1, 5000]),
    "gpu_products": (launch_mlp, "MOST_PRODUCTS", [1]),
    "gpu_at_once": (launch_mlp, "_AT_ONCE", [1]),
    "gpu_turn": (launch_mlp, "_TURN", [1, 4, 9]),
    "gpu_grid": (launch_mlp, "MAX_GRID_X", [1, 3]),
    "gpu_chunk": (host_arrays, "_CHUNK_BYTES", [1, 100, 1000]),
    "least_bytes": (summation, "_LEAST_BYTES", [1 << 9, 1 << 12]),
    "most_bytes": (summation, "_MOST_BYTES", [1 << 9, 1 << 12]),
    "moment_width": (closed_form, "_WIDTH", [3, 16]),
    "moment_elements": (closed_form, "_ELEMENTS", []),  # at least a block of all features
    "statistics_bytes": (mlp, "_STATS_BYTES", [1, 1000]),
    "statistics_cached": (evaluation, "_CACHED_BYTES", [1, 1000]),
    "prediction_bytes": (prediction, "_CHUNK_BYTES", [100_000]),
}
PLANNED = (
    *(mlp_engine._prepare, mlp_engine._pieces, mlp_operands._validate, engine._sum_layout),
    *(mlp_sum_engine._prepare, mlp_sum_engine._has_code, loss_problem._form_of),
)


@contextlib.contextmanager
def of(card=cuda_on_host.CARD, **sizes):
    """Set some sizes temporarily, on a card; everything is planned again."""
    with contextlib.ExitStack() as stack:
        for name, size in sizes.items():
            module, attribute, _ = SIZES[name]
            stack.enter_context(mock.patch.object(module, attribute, size))
        stack.enter_context(cuda_on_host.on_card(card))
        # Work of an unknown kind is shared even if it takes little time.
        stack.enter_context(mock.patch.object(threads, "kind", return_value=0))
        # Forms of calls, too, keep what was planned.
        for planned in PLANNED:
            planned.cache_clear()
            stack.callback(planned.cache_clear)
        yield


def small(draw):
    """Draw small sizes or the real ones, and a card, and set them temporarily."""
    sizes = {
        name: draw(st.sampled_from([getattr(module, attribute), *values]), label=name)
        for name, (module, attribute, values) in SIZES.items()
    }
    sizes["gpu_runs"] = min(sizes["gpu_runs"], sizes["gpu_threads"])  # each has a thread
    cards = [cuda_on_host.CARD, geometry.Card(1, 1), geometry.Card(1, 100)]
    return of(draw(st.sampled_from(cards), label="card"), **sizes)
