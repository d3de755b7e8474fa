"""WeightSets of networks with layers, compared with those of one weight and one bias."""

from __future__ import annotations

import copy
import math
import pickle
from unittest import mock

import numpy as np
import pytest
from conftest import examples
from device import to_device
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mlp import REAL, networks
from test_predict import Target

import multisubnet as ms
from multisubnet._functions import affine_stats, evaluation
from multisubnet.testing import assert_same_bits

RNG = np.random.default_rng(0)
LAYERS = [
    (RNG.normal(size=(4, 3, 1, 5)), RNG.normal(size=(4, 3, 5))),
    (RNG.normal(size=(4, 3, 5, 2)), None),
]
SAMPLES = RNG.normal(size=(6, 3))
SETS = ms.WeightSets.from_layers(LAYERS, activation="tanh", output_activation="sigmoid")
SUMS = ms.WeightSets.from_layers(LAYERS, additive=True, intercept=np.ones((1, 2)))
OF_PAIRS = ms.WeightSets.from_layers([np.ones((2, 2, 2, 1))], inputs=[[0, 2], [5, 1]])


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def moved(request):
    return to_device if request.param == "cupy" else np.asarray


def on_host(array):
    return array.get() if hasattr(array, "get") else array


def moved_layers(layers, moved):
    pairs = (layer if isinstance(layer, tuple) else (layer, None) for layer in layers)
    return [(moved(weight), None if bias is None else moved(bias)) for weight, bias in pairs]


def sets_of(problem, moved):
    """Return sets, samples and the result of `mlp`, with N first and second."""
    options = dict(problem.options)
    if options.get("intercept") is not None:
        options["intercept"] = moved(options["intercept"])
    layers, samples = moved_layers(problem.layers, moved), moved(problem.samples)
    sets = ms.WeightSets.from_layers(layers, **options)
    values = [ms.mlp(samples, layers, **options, set_axis=axis) for axis in (0, 1)]
    return sets, samples, values


@given(
    problem=networks(REAL, mixed_dtypes=True, special_values=False),
    set_axis=st.sampled_from([0, 1]),
    rows=st.sampled_from([1, 3, 50]),
)
def test_predictions_are_those_of_mlp(moved, problem, set_axis, rows):
    sets, samples, values = sets_of(problem, moved)
    whole = on_host(values[set_axis])
    options = {"set_axis": set_axis}
    row = max(int(np.prod(whole.shape[2:])), 1)
    limit = rows * row * (2 * whole.itemsize + 16 * 8)
    assert_same_bits(on_host(sets.predict(samples, **options)), whole)
    found = sets.predict(samples, memory_limit=whole.nbytes + limit, **options)
    assert_same_bits(on_host(found), whole)
    out = moved(np.empty_like(whole))
    assert sets.predict(samples, out=out, memory_limit=limit, **options) is out
    assert_same_bits(on_host(out), whole)
    target = Target()
    sets.predict(samples, out=target, memory_limit=limit, **options)
    assert_same_bits(target.put_together(whole), whole)
    again = np.empty_like(whole)
    for of_sets, of_samples, block in sets.predict_chunks(samples, memory_limit=limit, **options):
        again[(of_samples, of_sets) if set_axis else (of_sets, of_samples)] = on_host(block)
    assert_same_bits(again, whole)


@given(data=st.data(), problem=networks(special_values=False, samples_ndim=2))
@settings(max_examples=examples(1 / 2))
def test_some_sets_and_more_of_them(moved, data, problem):
    sets, samples, (values, _) = sets_of(problem, moved)
    n_sets = len(sets)
    assert n_sets == sets.n_sets == values.shape[0]
    again = ms.WeightSets.concatenate([sets[:1], sets[1:]])
    assert again == sets
    assert again.device == sets.device
    index = data.draw(st.lists(st.integers(-n_sets, n_sets - 1), max_size=3)) if n_sets else []
    index = np.array(index, int)
    assert_same_bits(on_host(sets[index].predict(samples)), on_host(values)[index])
    for do in (copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        assert do(sets) == sets
        assert do(sets).device == sets.device
    assert sets.to("numpy") == sets


@given(
    problem=networks(REAL, special_values=False, max_sets=6),
    levels=st.lists(st.floats(0, 1), max_size=2),
    wide=st.booleans(),
)
@settings(max_examples=examples(1 / 2))
def test_statistics_are_of_predictions(moved, problem, levels, wide):
    sets, samples, _ = sets_of(problem, moved)
    working = np.float32 if np.result_type(*sets._arrays(), samples).char in "ef" else np.float64
    in_working = sets._parameters.changed(lambda x: moved(on_host(x).astype(working)))
    values = on_host(sets._of(in_working).predict(moved(problem.samples.astype(working))))
    row = int(np.prod(values.shape[2 if sets.additive else 3 :]))
    limit = 3 * max(len(values), 1) * max(row, 1) * values.itemsize * (100 if wide else 1)
    found = sets.predict_stats(samples, quantiles=levels, memory_limit=limit)
    mean, std = ms.mlp_stats(samples, sets.layers, **sets._parameters.options)
    assert_same_bits(on_host(found.mean), on_host(mean))
    assert_same_bits(on_host(found.std), on_host(std))
    if len(values):
        values = values + values.dtype.type(0)
        assert_same_bits(on_host(found.min), values.min(axis=0).astype(float))
        assert_same_bits(on_host(found.max), values.max(axis=0).astype(float))
        expected = np.quantile(values.astype(float), levels, axis=0)
        assert np.allclose(on_host(found.quantiles), expected, rtol=1e-5, atol=1e-5)
    assert found.quantiles.shape == (len(levels), *values.shape[1:])


@pytest.mark.parametrize("statistics", ["predict_stats", "mlp_stats"])
def test_statistics_compute_each_prediction_once_in_few_blocks(monkeypatch, statistics):
    parts = []
    run = evaluation.run

    def counting(xp, call, *others):
        parts.append(call.shape)
        return run(xp, call, *others)

    monkeypatch.setattr(evaluation, "run", counting)
    sets, samples = ms.WeightSets.from_layers(LAYERS), RNG.normal(size=(5000, 3))
    with ms.use_backend("numpy"):
        if statistics == "predict_stats":
            sets.predict_stats(samples)
        else:
            ms.mlp_stats(samples, LAYERS)
    assert sum(map(math.prod, parts)) == 4 * 5000 * 3 * 2
    assert max(map(math.prod, parts)) * 8 <= 1 << 21  # a cache holds them
    assert all(n_samples % 16 == 0 for _, n_samples, *_ in parts[:-1])
    assert len(parts) <= 2


def test_values_of_all_sets_are_added_in_place():
    numba = pytest.importorskip("multisubnet._backends.numba.sum_layout")
    values, pieces = RNG.normal(size=(100, 160, 8)), []
    write_part = numba._Part.write

    def counting(*arguments, **options):
        pieces.append(arguments)
        return write_part(*arguments, **options)

    copied = numba._Part._copied

    def copying(part, operand, i, kind):
        assert kind == numba.HELD  # one row
        return copied(part, operand, i, kind)

    with (
        ms.use_backend("numba"),
        mock.patch.object(numba._Part, "write", counting),
        mock.patch.object(numba._Part, "_copied", copying),
    ):
        found = affine_stats.of_values(values, None)
    assert len(pieces) == 2  # mean and spread
    with ms.use_backend("numpy"):
        for name, array in affine_stats.of_values(values, None).items():
            assert_same_bits(found[name], array)


@pytest.mark.parametrize("sets", [SETS, SUMS], ids=["each", "sums"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_result(tmp_path, sets, order):
    samples = RNG.normal(size=(500, 3))
    whole = sets.predict(samples)
    file = tmp_path / "out.npy"
    out = np.lib.format.open_memmap(file, "w+", whole.dtype, whole.shape, order == "F")
    sets.predict(samples, out=out, memory_limit="32 KiB")
    out.flush()
    assert_same_bits(np.ascontiguousarray(np.load(file)), whole)


def test_attributes():
    assert repr(SETS) == (
        "WeightSets(N=4, 3 networks 1-5-2, float64 with bias on cpu, Activation('tanh'), "
        "output Activation('sigmoid'), 1.88 KiB)"
    )
    assert repr(SUMS).endswith("on cpu, Activation('relu'), additive, 1.94 KiB)")
    assert (SETS.n_sets, SETS.n_networks, SETS.n_features) == (4, 3, 3)
    assert SETS.layer_sizes == (1, 5, 2)
    assert SETS.activation == ms.Activation("tanh")
    assert SETS.output_activation == ms.Activation("sigmoid")
    assert SETS.inputs is SETS.intercept is None
    assert SUMS.additive
    assert_same_bits(SUMS.intercept, np.ones((4, 2)))
    assert (OF_PAIRS.n_features, OF_PAIRS.layer_sizes) == (6, (2, 1))
    assert_same_bits(OF_PAIRS.inputs, np.array([[0, 2], [5, 1]]))
    assert "networks 2-1, float64 on cpu, 64 bytes" in repr(OF_PAIRS)
    two = [np.ones((1, 1, 1, 1))] * 3
    both = ms.WeightSets.from_layers(two, activation=["tanh", None])
    assert both.activation == (ms.Activation("tanh"), ms.Activation("linear"))
    assert SETS.dtype == np.float64
    assert SETS.nbytes == sum(x.nbytes for layer in LAYERS for x in layer if x is not None)


def test_sets_of_one_weight_and_one_bias_have_layers_too():
    sets = ms.WeightSets([[2.0, 3.0]], [[1.0, 0.0]], "tanh")
    assert sets.layer_sizes == (1, 1)
    assert sets.n_networks == 2
    values = ms.mlp([[0.5, 0.1]], sets.layers, output_activation=sets.output_activation)
    assert_same_bits(values[..., 0], sets.predict([[0.5, 0.1]]))
    ((weight, bias),) = ms.WeightSets([[2.0, 3.0]]).layers
    assert weight.shape == (1, 2, 1, 1)
    assert bias is None


def test_sets_are_immutable():
    weight, inputs = np.ones((2, 2, 2, 1)), np.array([[0, 1], [1, 0]])
    sets = ms.WeightSets.from_layers([weight], inputs=inputs)
    same = ms.WeightSets.from_layers([weight], inputs=inputs)
    weight[:] = 0
    inputs[:] = 0
    assert sets == same
    for array in (sets.layers[0][0], sets.inputs, sets[:1].layers[0][0]):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    with pytest.raises(AttributeError, match="immutable: additive cannot be set"):
        sets.additive = True


def test_equality_covers_everything():
    others = [
        ms.WeightSets.from_layers(LAYERS),
        ms.WeightSets.from_layers(LAYERS, activation="tanh"),
        ms.WeightSets.from_layers(LAYERS, activation="tanh", output_activation="relu"),
        ms.WeightSets.from_layers(LAYERS[:1], output_activation="sigmoid"),
        ms.WeightSets([[1.0]]),
        SUMS,
        SETS[1:],
    ]
    for one in others:
        assert SETS != one
        assert one == copy.copy(one)
    assert SUMS != ms.WeightSets.from_layers(LAYERS, additive=True)
    assert SUMS != ms.WeightSets.from_layers(LAYERS, additive=True, intercept=np.zeros((1, 2)))
    weight, one = OF_PAIRS.layers[0][0], [[0, 2], [1, 5]]
    assert ms.WeightSets.from_layers([weight], inputs=one) != OF_PAIRS
    single = np.ones((2, 3, 1, 1))
    assert ms.WeightSets.from_layers([single]) != ms.WeightSets(single[..., 0, 0])


@pytest.mark.parametrize("method", ["predict", "predict_stats", "predict_chunks", "mean_loss"])
@pytest.mark.parametrize("n_inputs", [None, 1, 2])
def test_samples_with_other_features(method, n_inputs):
    sets = ms.WeightSets(np.ones((3, 4)))
    if n_inputs is not None:
        sets = ms.WeightSets.from_layers([np.ones((3, 4 // n_inputs**2, n_inputs**2, 1))])
    samples = np.ones((7, 5))
    arguments = [samples, samples] if method == "mean_loss" else [samples]
    message = r"samples has shape \(7, 5\); expected \(B, 4\) or \(N, B, 4\), for 3 sets of 4 feat"
    with pytest.raises(ValueError, match=message):
        getattr(sets, method)(*arguments)


@pytest.mark.parametrize(
    ("do", "error", "message"),
    [
        (lambda: SETS.weight, AttributeError, "weight exists only for sets of one weight and one"),
        (lambda: SETS.bias, AttributeError, r"networks with the layer sizes \(1, 5, 2\)"),
        (lambda: SETS.to_pairs(), TypeError, "to_pairs exists only for sets"),
        (lambda: ms.WeightSets.from_layers([]), ValueError, "layers is empty"),
        (lambda: ms.WeightSets.from_layers(np.ones((1, 1))), TypeError, "layers is an ndarray"),
        (
            lambda: ms.WeightSets.from_layers([LAYERS[0], (np.ones((4, 3, 4, 1)),)]),
            ValueError,
            r"layers\[1\]\[0\] has shape \(4, 3, 4, 1\); expected \(N, S, 5, n_out\)",
        ),
        (
            lambda: ms.WeightSets.from_layers([np.ones((1, 2, 3, 4))]),
            ValueError,
            r"2 networks of 3 inputs cannot see 6 features; expected 1 network of 6 inputs, 6 netw",
        ),
        (
            lambda: ms.WeightSets.from_layers([np.ones((1, 1, 1, 1))], inputs=[[-1]]),
            IndexError,
            r"inputs\[0, 0\] is -1",
        ),
        (
            lambda: ms.WeightSets.from_layers([np.ones((1, 1, 1, 1))], inputs=[[0.5]]),
            TypeError,
            "inputs has dtype float64",
        ),
        (
            lambda: ms.WeightSets.from_layers(LAYERS, intercept=[[1.0, 2.0]]),
            ValueError,
            "intercept requires additive=True",
        ),
        (lambda: ms.WeightSets.from_layers([np.ones((2, 3))]), ValueError, r"shape \(2, 3\)"),
        (lambda: SETS.predict(SAMPLES[:, :2]), ValueError, "for 4 sets of 3 features"),
        (lambda: OF_PAIRS.predict(SAMPLES), IndexError, r"inputs\[1, 0\] is 5"),
        (
            lambda: next(SETS.predict_chunks(SAMPLES, memory_limit=100)),
            ValueError,
            "for the 6 values of one set and sample",
        ),
        (
            lambda: SUMS.predict_stats(SAMPLES, memory_limit=100),
            ValueError,
            "expected at least 192, for one prediction of each of 4 sets",
        ),
    ],
)
def test_errors(do, error, message):
    with pytest.raises(error, match=message):
        do()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (SUMS, r"activation are Activation\('relu'\) and Activation\('tanh'\)"),
        (ms.WeightSets([[1.0]]), "sets are one weight and one bias per feature and networks with"),
        (ms.WeightSets.from_layers(LAYERS[:1]), r"layer sizes are \(1, 5\) and \(1, 5, 2\)"),
        (ms.WeightSets.from_layers([LAYERS[0], LAYERS[1][0][:, :, :, :1]]), "layer sizes are"),
    ],
)
def test_sets_that_cannot_be_joined(other, message):
    with pytest.raises(
        ValueError, match=r"sequence\[1\] and sequence\[0\] belong to different models.*" + message
    ):
        ms.WeightSets.concatenate([SETS, other])


@given(problem=networks(["float32"], special_values=False, max_sets=6), per_feature=st.booleans())
@settings(max_examples=examples(1 / 2))
def test_losses_are_those_of_mlp(moved, problem, per_feature):
    sets, samples, _ = sets_of(problem, moved)
    per_feature = per_feature and not sets.additive
    targets = moved(RNG.normal(size=samples.shape[-2]))
    options = {"loss": "huber", "sample_weight": moved(RNG.random(samples.shape[-2]))}
    names = "mean_loss", "mean_loss_and_grad"
    if any(a.is_derivative for a in (sets.output_activation, *np.ravel(sets.activation))):
        names = names[:1]
    for name in names:
        found = getattr(sets, name)(samples, targets, per_feature=per_feature, **options)
        given = sets._parameters.options | {"per_subnetwork": per_feature} | options
        wanted = getattr(ms, f"mlp_{name}")(samples, sets.layers, targets, **given)
        for one, other in zip(flat(found), flat(wanted), strict=True):
            assert_same_bits(on_host(one), on_host(other))
    if len(names) == 2:
        cotangent = sets.predict(samples)
        found = sets.vjp(samples, cotangent, wrt=["layers", "intercept"])
        options = sets._parameters.options | {"wrt": ["layers", "intercept"]}
        wanted = ms.mlp_vjp(samples, sets.layers, cotangent, **options)
        assert found.grad_samples is None
        for one, other in zip(flat(found), flat(wanted), strict=True):
            assert_same_bits(on_host(one), on_host(other))


def flat(result):
    if isinstance(result, tuple):
        return [x for part in result for x in flat(part)]
    return [] if result is None else [result]


@pytest.mark.parametrize("sets", [SETS, SUMS])
def test_the_best(moved, sets):
    targets = RNG.normal(size=6)
    sets = ms.WeightSets.from_layers(
        moved_layers(sets.layers, moved),
        **sets._parameters.options
        | {"intercept": None if sets.intercept is None else moved(sets.intercept)},
    )
    samples, targets = moved(SAMPLES), moved(targets)
    losses = on_host(sets.mean_loss(samples, targets))
    order = np.argsort(losses)
    best, found, index = sets.best(3, samples, targets, return_index=True)
    assert_same_bits(on_host(index), order[:3])
    assert_same_bits(on_host(found), losses[order[:3]])
    assert best == sets[index]
    assert len(sets.best(1, samples, targets)) == 2


def test_the_best_networks_are_put_together(moved):
    layers = moved_layers(LAYERS, moved)
    sets = ms.WeightSets.from_layers(layers, activation="tanh")
    samples, targets = moved(SAMPLES), moved(RNG.normal(size=6))
    losses = on_host(sets.mean_loss(samples, targets, per_feature=True))
    best, found, index = sets.best(2, samples, targets, per_feature=True, return_index=True)
    assert_same_bits(on_host(index), np.argsort(losses, axis=0, kind="stable")[:2])
    assert_same_bits(on_host(found), np.sort(losses, axis=0)[:2])
    assert_same_bits(on_host(best.mean_loss(samples, targets, per_feature=True)), on_host(found))
    with pytest.raises(ValueError, match="a sum of networks has one loss"):
        SUMS.best(1, SAMPLES, np.ones(6), per_feature=True)
