"""Networks with hidden layers for Dask arrays: lazy, with the bits of NumPy arrays."""

from __future__ import annotations

import itertools
import pickle
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
from conftest import EXAMPLES, few
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses import assert_all_same_bits

import multisubnet as ms
from multisubnet.testing import assert_same_bits

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from test_dask import assert_lazy_and_same, error_of, nothing_computed, some_chunked, synchronous

from multisubnet.dask import _network_tasks

__all__ = ["synchronous"]  # a fixture for all tests

CATEGORICAL = "categorical_crossentropy_from_logits"
PARTS = EXAMPLES // 2 + 1
TINY = 1e-300  # scales weights; float32 cannot hold it, but only the ratios matter


class Kind(NamedTuple):
    """Networks of one kind, and their options."""

    sizes: tuple[int, ...]
    n_subnets: int
    n_features: int
    options: dict
    biased: tuple[bool, ...] = (True, True)
    loss: str = "squared_error"
    shape: tuple = ()  # of the targets, without B


KINDS = [
    Kind((1, 3, 2), 3, 3, {"activation": "tanh"}, shape=(3, 2)),
    Kind((1, 4, 1), 2, 2, {"additive": True}, (True, False), "absolute_error", (1,)),
    Kind((3, 2, 3), 1, 3, {"activation": ["silu"]}, (False, True), CATEGORICAL, (1,)),
    Kind((2, 3, 1), 2, 4, {"inputs": [[3, 0], [1, 1]], "output_activation": "sigmoid"},
         loss="binary_crossentropy", shape=(2,)),
]  # fmt: skip
IDS = ["each", "additive", "dense", "inputs"]


def arrays_of(kind, n_sets, n_samples, dtype="f4", of_sets=False, shared=(), seed=0):
    """Return samples, parameters, the intercept or None, targets."""
    rng = np.random.default_rng(seed)
    front = (n_sets, n_samples) if of_sets else (n_samples,)
    samples = rng.normal(size=(*front, kind.n_features)).astype(dtype)
    parameters = []
    for number, (before, after) in enumerate(itertools.pairwise(kind.sizes)):
        n = 1 if number in shared else n_sets
        parameters.append(rng.normal(size=(n, kind.n_subnets, before, after)).astype(dtype))
        has_bias = kind.biased[number]
        bias = rng.normal(size=(n_sets, kind.n_subnets, after)).astype(dtype)
        parameters.append(bias if has_bias else None)
    intercept = None
    if kind.options.get("additive"):
        intercept = rng.normal(size=(n_sets, kind.sizes[-1])).astype(dtype)
    targets = rng.random((n_samples, *kind.shape))
    if kind.loss == CATEGORICAL:
        targets = rng.integers(kind.sizes[-1], size=(n_samples, *kind.shape))
    return samples, parameters, intercept, targets


def layers_of(parameters):
    return list(zip(parameters[::2], parameters[1::2], strict=True))


def leaves(result):
    return [result.loss, *itertools.chain(*result.grad_layers), result.grad_intercept]


# N and B; some with more than one block of samples.
SHAPES = st.tuples(st.integers(0, 5), st.integers(0, 70)) | st.tuples(
    st.integers(1, 3), st.sampled_from([4096, 8193, 12289])
)


@st.composite
def problems(draw, shapes=SHAPES, per_set=True):
    """Draw a kind, its arrays, and the same with some of them as Dask arrays."""
    kind = draw(st.sampled_from(KINDS))
    arrays = arrays_of(
        kind,
        *draw(shapes),
        dtype=draw(st.sampled_from(["f4", "f8"])),
        of_sets=per_set and draw(st.booleans()),
        shared=draw(st.sampled_from([(), (0,)])),
    )
    samples, parameters, *others = arrays
    lazy = draw(some_chunked(samples, *parameters, *others))
    return kind, arrays, (lazy[0], lazy[1:-2], *lazy[-2:])


@pytest.fixture(autouse=True)
def in_numpy():
    with ms.use_backend("numpy"):
        yield


@settings(max_examples=PARTS)
@given(data=st.data(), problem=problems(), set_axis=st.sampled_from([0, 1]))
def test_mlp(data, problem, set_axis):
    kind, (samples, parameters, intercept, _), lazy = problem
    options = {"set_axis": set_axis, **kind.options}
    desired = ms.mlp(samples, layers_of(parameters), intercept=intercept, **options)
    with nothing_computed():
        result = ms.mlp(lazy[0], layers_of(lazy[1]), intercept=lazy[2], **options)
    if isinstance(result, np.ndarray):  # only the targets are lazy
        return
    assert_lazy_and_same([result], [desired])


@settings(max_examples=PARTS)
@given(data=st.data(), problem=problems(per_set=False))
def test_select(data, problem):
    kind, (samples, parameters, intercept, _), lazy = problem
    n_sets, n_samples = len(parameters[2]), len(samples)
    n_sets, n_samples = (n_sets, n_samples) if n_sets else (0, 0)
    index = np.random.default_rng(1).integers(max(n_sets, 1), size=n_samples)
    samples = samples[:n_samples]
    layers = layers_of(parameters)
    desired = ms.mlp_select(samples, layers, index, intercept=intercept, **kind.options)
    (of_index,) = data.draw(some_chunked(index))
    with nothing_computed():
        result = ms.mlp_select(
            lazy[0][:n_samples], layers_of(lazy[1]), of_index, intercept=lazy[2], **kind.options
        )
    assert_lazy_and_same([result], [desired])


@settings(max_examples=2 * PARTS)
@given(data=st.data(), problem=problems(), weighted=st.booleans())
def test_losses_and_gradients(data, problem, weighted):
    kind, (samples, parameters, intercept, targets), lazy = problem
    additive = kind.options.get("additive", False)
    options = {
        "loss": kind.loss,
        "per_subnetwork": not additive and data.draw(st.booleans()),
        "dtype": data.draw(st.sampled_from([None, "f4"])),
        **kind.options,
    }
    factors = TINY * np.random.default_rng(2).random(len(targets)) if weighted else None
    found = ms.mlp_mean_loss_and_grad(
        samples, layers_of(parameters), targets,
        sample_weight=factors, intercept=intercept, **options,
    )  # fmt: skip
    weights = data.draw(some_chunked(factors))[0] if weighted else None
    with nothing_computed():
        arguments = lazy[0], layers_of(lazy[1]), lazy[3]
        options |= {"sample_weight": weights, "intercept": lazy[2]}
        result = ms.mlp_mean_loss_and_grad(*arguments, **options)
        loss = ms.mlp_mean_loss(*arguments, **options)
    assert_lazy_and_same(leaves(result), leaves(found))
    assert_lazy_and_same([loss], [found.loss])


OPERANDS = "samples", "layers", "intercept"


def leaves_of_vjp(found):
    return [found.grad_samples, *itertools.chain(*found.grad_layers or ()), found.grad_intercept]


@settings(max_examples=2 * PARTS)
@given(
    data=st.data(),
    problem=problems(SHAPES | st.tuples(st.sampled_from([4100, 8193]), st.integers(1, 3))),
    wrt=st.lists(st.sampled_from(OPERANDS), unique=True),
)
def test_vjp(data, problem, wrt):
    kind, (samples, parameters, intercept, _), lazy = problem
    layers = layers_of(parameters)
    shape = ms.mlp(samples, layers, intercept=intercept, **kind.options).shape
    cotangent = np.random.default_rng(3).normal(size=shape).astype(samples.dtype)
    (of_values,) = data.draw(some_chunked(cotangent))
    desired = ms.mlp_vjp(samples, layers, cotangent, intercept=intercept, wrt=wrt, **kind.options)
    with nothing_computed():
        options = {"intercept": lazy[2], "wrt": wrt, **kind.options}
        result = ms.mlp_vjp(lazy[0], layers_of(lazy[1]), of_values, **options)
    if not wrt or not any(isinstance(x, da.Array) for x in leaves_of_vjp(result)):
        return
    assert_lazy_and_same(leaves_of_vjp(result), leaves_of_vjp(desired))


@pytest.mark.parametrize("kind", few(KINDS))
@pytest.mark.parametrize(
    ("dtype", "shape", "chunks"),
    [
        ("f8", (3, 12_000), (2, 1000)),
        ("f4", (3, 12_000), (2, 5000)),
        ("f8", (9001, 3), (8300, 2)),
        ("f4", (0, 3), (1, 2)),
    ],
)
def test_vjp_of_many_samples_and_of_many_sets(kind, dtype, shape, chunks):
    samples, parameters, intercept, _ = arrays_of(kind, *shape, dtype, shared=(0,))
    options = {"intercept": intercept, **kind.options}
    values = ms.mlp(samples, layers_of(parameters), **options)
    cotangent = np.random.default_rng(3).normal(size=values.shape).astype(dtype)
    desired = ms.mlp_vjp(samples, layers_of(parameters), cotangent, **options)
    lazy = da.from_array(cotangent, (*chunks, *values.shape[2:]))
    result = ms.mlp_vjp(samples, layers_of(parameters), lazy, **options)
    assert_lazy_and_same(leaves_of_vjp(result), leaves_of_vjp(desired))


STATISTICS = st.sampled_from([["mean"], ["std", "mean"], ["var"], []])


@settings(max_examples=PARTS)
@given(
    data=st.data(),
    problem=problems(
        st.tuples(st.sampled_from([0, 3, 4100, 8193]), st.integers(0, 5)), per_set=False
    ),
    statistics=STATISTICS,
    weighted=st.booleans(),
)
def test_statistics(data, problem, statistics, weighted):
    kind, (samples, parameters, intercept, _), lazy = problem
    set_weight = TINY * np.random.default_rng(2).random(len(parameters[2])) if weighted else None
    weights = data.draw(some_chunked(set_weight))[0] if weighted else None
    options = {"statistics": statistics, **kind.options}
    layers = layers_of(parameters)
    desired = ms.mlp_stats(samples, layers, set_weight=set_weight, intercept=intercept, **options)
    with nothing_computed():
        result = ms.mlp_stats(
            lazy[0], layers_of(lazy[1]), set_weight=weights, intercept=lazy[2], **options
        )
    if result and isinstance(result[0], np.ndarray):  # only the targets are lazy
        return
    assert_lazy_and_same(result, desired)


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
@pytest.mark.parametrize("size", [1000, 4096])
def test_chunks_of_samples_and_sets_together(kind, size):
    samples, parameters, intercept, targets = arrays_of(kind, 3, 12_000)
    lazy = [None if x is None else da.from_array(x, (2, *x.shape[1:])) for x in parameters]
    factors = TINY * np.random.default_rng(2).random(12_000)
    options = {"intercept": intercept, **kind.options}
    options |= {"loss": kind.loss, "sample_weight": factors}
    desired = ms.mlp_mean_loss_and_grad(samples, layers_of(parameters), targets, **options)
    result = ms.mlp_mean_loss_and_grad(
        da.from_array(samples, (size, -1)), layers_of(lazy), targets, **options
    )
    assert result.loss.chunks == ((2, 1),)
    assert_lazy_and_same(leaves(result), leaves(desired))
    index = np.arange(50) % 3
    options = {"intercept": intercept, **kind.options}
    desired = ms.mlp_select(samples[:50], layers_of(parameters), index, **options)
    assert_lazy_and_same(
        [ms.mlp_select(samples[:50], layers_of(lazy), index, **options)], [desired]
    )


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_statistics_of_many_sets(kind):
    samples, parameters, intercept, _ = arrays_of(kind, 5000, 3)
    set_weight = TINY * np.random.default_rng(2).random(5000)
    options = {"intercept": intercept, "set_weight": set_weight, **kind.options}
    desired = ms.mlp_stats(samples, layers_of(parameters), **options)
    lazy = [None if x is None else da.from_array(x, (2500, *x.shape[1:])) for x in parameters]
    assert_lazy_and_same(ms.mlp_stats(samples, layers_of(lazy), **options), desired)


def test_the_engine_has_the_same_bits():
    pytest.importorskip("numba")
    kind = KINDS[0]
    samples, parameters, _, targets = arrays_of(kind, 40, 9000)
    lazy, layers = da.from_array(samples, (4096, -1)), layers_of(parameters)
    desired = ms.mlp_mean_loss_and_grad(samples, layers, targets, **kind.options)
    with ms.use_backend("numba"):
        result = ms.mlp_mean_loss_and_grad(lazy, layers, targets, **kind.options)
        values = ms.mlp(lazy, layers, **kind.options)
    computed = dask.compute(*leaves(result)[:-1], values, scheduler="threads")
    expected = *leaves(desired)[:-1], ms.mlp(samples, layers, **kind.options)
    assert_all_same_bits(computed, expected)


def test_chunks_of_results():
    kind = KINDS[0]
    samples, parameters, _, targets = arrays_of(kind, 8, 9)
    samples = da.from_array(samples, ((4, 5), (1, 2)))
    layers = layers_of([da.from_array(x, ((1, 3, 4), *[1] * (x.ndim - 1))) for x in parameters])
    assert ms.mlp(samples, layers).chunks == ((1, 3, 4), (4, 5), (3,), (2,))
    assert ms.mlp(samples, layers, set_axis=1).chunks == ((4, 5), (1, 3, 4), (3,), (2,))
    assert ms.mlp(samples, layers, additive=True).chunks == ((1, 3, 4), (4, 5), (2,))
    assert ms.mlp_select(samples, layers, np.zeros(9, int)).chunks == ((4, 5), (3,), (2,))
    result = ms.mlp_mean_loss_and_grad(samples, layers, targets)
    assert result.loss.chunks == ((1, 3, 4),)
    assert result.grad_layers[0][0].chunks == ((1, 3, 4), (3,), (1,), (3,))
    assert ms.mlp_stats(samples, layers)[0].chunks == ((4, 5), (3,), (2,))
    with dask.config.set({"array.chunk-size": "360 B"}):
        assert ms.mlp(samples, layers_of(parameters)).chunks[:2] == ((3, 3, 2), (4, 5))


def test_no_task_holds_more_than_its_chunks():
    kind = KINDS[1]
    samples, parameters, intercept, targets = arrays_of(kind, 12, 20_000)
    layers = layers_of(
        [None if x is None else da.from_array(x, (5, *x.shape[1:])) for x in parameters]
    )
    seen = set()

    class Recording(_network_tasks.NetworkLoss):
        def __init__(self, *args):
            super().__init__(*args)
            seen.add((self.call.n_sets, self.call.n_samples))

    with mock.patch.object(_network_tasks, "NetworkLoss", Recording):
        ms.mlp_mean_loss(
            da.from_array(samples, 5000), layers, targets, intercept=intercept, additive=True
        ).compute()
    assert seen == set(itertools.product({5, 2}, {4096, 20_000 - 4 * 4096}))


def test_the_graph_can_be_sent_and_has_the_same_name():
    kind = KINDS[3]
    samples, parameters, _, targets = arrays_of(kind, 3, 9000)

    def call(scale=1.0, **options):
        arguments = da.from_array(samples * scale, 1000), layers_of(parameters), targets
        return ms.mlp_mean_loss(*arguments, **kind.options | options)

    assert call().name == call().name
    others = call(2.0), call(loss="huber"), call(inputs=[[3, 0], [1, 2]]), call(activation="tanh")
    assert len({call().name, *(other.name for other in others)}) == 5
    assert_same_bits(pickle.loads(pickle.dumps(call())).compute(), call().compute())


def test_weight_sets():
    kind = KINDS[1]
    samples, parameters, intercept, targets = arrays_of(kind, 4, 50)
    sets = ms.WeightSets.from_layers(layers_of(parameters), intercept=intercept, additive=True)
    lazy = da.from_array(samples, 20)
    assert_lazy_and_same([sets.predict(lazy, set_axis=1)], [sets.predict(samples, set_axis=1)])
    assert_lazy_and_same([sets.mean_loss(lazy, targets)], [sets.mean_loss(samples, targets)])
    best, losses = sets.best(2, lazy, targets)
    desired, of_desired = sets.best(2, samples, targets)
    assert best == desired
    assert_same_bits(losses, of_desired)


def test_bad_arguments_are_named_at_once():
    kind = KINDS[0]
    samples, parameters, _, targets = arrays_of(kind, 3, 5)
    layers = layers_of(parameters)
    index = np.zeros(5, int)
    for call in [
        lambda x: ms.mlp(x, [*layers, layers[0]]),
        lambda x: ms.mlp(x, []),
        lambda x: ms.mlp(x, layers, activation="nothing"),
        lambda x: ms.mlp(x, layers, intercept=np.ones((1, 2))),
        lambda x: ms.mlp(x, layers, inputs=[[0]]),
        lambda x: ms.mlp(x * 1j, layers),
        lambda x: ms.mlp_select(x, layers, index[:4]),
        lambda x: ms.mlp_select(x, layers, targets),
        lambda x: ms.mlp_select(x[None], layers, index),
        lambda x: ms.mlp_stats(x, layers, set_weight=np.ones(2)),
        lambda x: ms.mlp_stats(x, layers, statistics=["nothing"]),
        lambda x: ms.mlp_mean_loss(x, layers, targets[:4]),
        lambda x: ms.mlp_mean_loss(x, layers, None),
        lambda x: ms.mlp_mean_loss(x, layers, targets, loss="nothing"),
        lambda x: ms.mlp_mean_loss(x, layers, targets, loss=CATEGORICAL),
        lambda x: ms.mlp_mean_loss(x, layers, targets, per_subnetwork=True, additive=True),
        lambda x: ms.mlp_vjp(x, layers, None),
        lambda x: ms.mlp_vjp(x, layers, targets),
        lambda x: ms.mlp_vjp(x, layers, targets, wrt=["targets"]),
        lambda x: ms.mlp_vjp(x, layers, targets, activation=ms.Activation("tanh").derivative),
    ]:
        errors = []
        for array in (samples, da.from_array(samples, 2)):
            with nothing_computed():
                errors.append(error_of(call, array))
        assert errors[0] == errors[1]
    lazy = da.from_array(samples, 2)
    with pytest.raises(TypeError, match=r"out does not work .* dask\.array\.store or to_zarr"):
        ms.mlp(lazy, layers, out=np.empty((3, 5, 3, 2), "f4"))


def test_values_are_checked_when_computed():
    kind = KINDS[0]
    samples, parameters, _, targets = arrays_of(kind, 3, 5)
    layers, lazy = layers_of(parameters), da.from_array(samples, 2)
    late = ms.mlp_mean_loss(lazy, layers, targets - 1, loss="poisson")
    with pytest.raises(ValueError, match=r"targets\[0, 0, 0\] is .*; poisson is defined for"):
        late.compute()
    index = da.from_array(np.array([0, 2, 1, 3, 0]), 2)
    with pytest.raises(IndexError, match=r"set_index\[1\] is 3; expected the number of a set"):
        ms.mlp_select(lazy, layers, index).compute()
    index -= 1
    desired = ms.mlp_select(samples, layers, index.compute(), check=False)
    assert_same_bits(ms.mlp_select(lazy, layers, index, check=False).compute(), desired)
    assert np.isnan(desired[:1]).all()


def test_chunks_of_cupy(cupy_on_host):
    import cupy

    kind = KINDS[0]
    samples, parameters, _, targets = arrays_of(kind, 3, 5000)

    def lazy(x, chunks):
        return da.from_array(cupy.asarray(x), chunks, name=False, asarray=False)

    layers = layers_of([lazy(x, (2, *x.shape[1:])) for x in parameters])
    results = [
        ms.mlp(lazy(samples, 4500), layers, **kind.options),
        ms.mlp_mean_loss(lazy(samples, 4096), layers, cupy.asarray(targets), **kind.options),
    ]
    assert all(type(x._meta) is cupy.ndarray for x in results)
    computed = dask.compute(*results)
    layers = layers_of(parameters)
    desired = [
        ms.mlp(samples, layers, **kind.options),
        ms.mlp_mean_loss(samples, layers, targets, **kind.options),
    ]
    assert_all_same_bits([x.get() for x in computed], desired)
