"""Losses and gradients of networks with hidden layers: one order of sums on every backend."""

from __future__ import annotations

import itertools
from unittest import mock

import formula_networks
import numpy as np
import pytest
from conftest import few, labels, normals
from formula_networks import CATEGORICAL
from hypothesis import given
from hypothesis import strategies as st
from test_inputs import peak
from test_mlp import Architecture, networks, sets_of

import multisubnet as ms
from multisubnet._backends import numpy_mlp_sums
from multisubnet._functions import mlp_summation
from multisubnet.testing import assert_same_bits, problems

# Each combination of architecture, loss and dtype is compiled separately, so there are few.
SMALL = Architecture((1, 5, 3, 1), "relu", None, (True, True, True))
MIXED = Architecture((3, 9, 2, 4), ("elu", "linear"), "softsign", (False, True, False))
CLASSES = Architecture((2, 4, 3), "tanh", None, (True, True))
WIDE = Architecture((9, 40, 2), "relu", "sigmoid", (True, False))
CASES = [
    (SMALL, "squared_error", "float32"),
    (SMALL, "huber", "float64"),
    (MIXED, "log_cosh", "float32"),
    (CLASSES, CATEGORICAL, "float32"),
    (CLASSES, "binary_crossentropy_from_logits", "float64"),
    (WIDE, "binary_crossentropy", "float32"),
]


def flat(result):
    """Return the arrays of a result, which may be nested tuples, in order."""
    if isinstance(result, tuple):
        return [x for part in result for x in flat(part)]
    return [] if result is None else [result]


def assert_same(found, desired):
    found, desired = flat(found), flat(desired)
    assert len(found) == len(desired)
    for one, other in zip(found, desired, strict=True):
        assert_same_bits(one, other)


def shape_of(problem):
    """Return N, B, S, P."""
    samples, layers, _ = problem
    weights = [layer[0] if isinstance(layer, tuple) else layer for layer in layers]
    return sets_of(problem), samples.shape[-2], weights[0].shape[1], weights[-1].shape[3]


def add_targets(draw, problem, loss, dtype, weighted):
    """Draw targets of networks, and options of their loss."""
    _, n_samples, n_subnets, n_outputs = shape_of(problem)
    additive = problem.options.get("additive", False)
    shapes = [(n_samples,), (n_samples, 1)]
    if loss == CATEGORICAL:
        shapes += [] if additive else [(n_samples, n_subnets)]
    elif additive:
        shapes.append((n_samples, n_outputs))
    else:
        shapes.append((n_samples, n_subnets, n_outputs))
        if n_outputs == 1:
            shapes.append((n_samples, n_subnets))
        elif n_subnets == 1:
            shapes.append((n_samples, n_outputs))
    shape = draw(st.sampled_from(shapes))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    if loss == CATEGORICAL:
        targets = rng.integers(n_outputs, size=shape)
        targets = targets.astype(draw(st.sampled_from(["uint8", "int64"])))
    else:
        targets = labels(loss, draw(normals(dtype, shape)))
    options = {"loss": loss}
    if draw(st.booleans()) if weighted is None else weighted:
        options["sample_weight"] = draw(normals(dtype, (n_samples,)))
    if not additive:
        options["per_subnetwork"] = draw(st.booleans())
    if draw(st.booleans()):
        options["dtype"] = "float32"
    return targets, options


@st.composite
def judged_networks(draw, case, backend, **more):
    """Draw samples, layers and targets, and all options.

    Each pair of additive and weighted is compiled separately: compiled backends get one per case.
    """
    architecture, loss, dtype = case
    problem = draw(networks(more.pop("dtypes", [dtype]), [architecture], **more))
    weighted = None
    if backend.name == "numba":
        weighted = dtype == "float64" or architecture is MIXED
        problem.options.pop("intercept", None)
        problem.options.pop("additive", None)
        if dtype == "float64":
            problem.options["additive"] = True
    targets, options = add_targets(draw, problem, loss, dtype, weighted)
    return (problem.samples, problem.layers, targets), problem.options | options


@pytest.mark.parametrize(
    "case", few(CASES), ids=lambda case: f"{case[0].sizes} {case[1]} {case[2]}"
)
@given(data=st.data(), special_values=st.sampled_from([False, False, True]))
def test_agreement(backend, case, data, special_values):
    operands, options = data.draw(judged_networks(case, backend, special_values=special_values))
    desired = formula_networks.mlp_mean_loss_and_grad(*operands, **options)
    assert_same(backend.mlp_mean_loss_and_grad(*operands, **options), desired)
    assert_same(backend.mlp_mean_loss(*operands, **options), desired[0])


@given(
    data=st.data(),
    case=st.sampled_from(CASES[:1] + CASES[3:4]),
    sizes=st.sampled_from([(9, 200, 9), (40, 70, 3), (2, 9000, 1), (70, 33, 2)]),
    limit=st.sampled_from([1, 2000, 1 << 17]),
)
def test_agreement_past_every_block(backend, data, case, sizes, limit):
    n_sets, n_samples, n_subnets = sizes
    most = {"max_sets": n_sets, "max_samples": n_samples, "max_subnets": n_subnets}
    operands, options = data.draw(judged_networks(case, backend, special_values=False, **most))
    with in_small_pieces(limit):
        found = backend.mlp_mean_loss_and_grad(*operands, **options)
    desired = formula_networks.mlp_mean_loss_and_grad(*operands, **options)
    assert_same(found, desired)


def test_losses_of_networks_that_are_summed_one_by_one():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(9, 4))
    layers = [rng.normal(size=(3, 4, 1, 2)), rng.normal(size=(3, 4, 2, 1))]
    desired = ms.mlp_mean_loss(samples, layers, samples)
    with mock.patch.object(mlp_summation, "_TOTALS_BYTES", 1):
        np.testing.assert_array_equal(ms.mlp_mean_loss(samples, layers, samples), desired)


def in_small_pieces(limit):
    patches = (
        mock.patch.multiple(mlp_summation, _TOTALS_BYTES=limit, _PREDICTIONS_BYTES=limit),
        mock.patch.multiple(numpy_mlp_sums, _VALUES=limit, _PRODUCTS=limit // 2),
    )

    class Both:
        def __enter__(self):
            for patch in patches:
                patch.start()

        def __exit__(self, *_):
            for patch in patches:
                patch.stop()

    return Both()


@given(
    data=st.data(),
    dtypes=st.sampled_from([["float16"], ["int8", "float16", "float32"], ["bool", "int64"]]),
)
def test_agreement_in_all_dtypes(backend, data, dtypes):
    case = SMALL, "squared_error", "float32"
    drawn = judged_networks(case, backend, dtypes=dtypes, mixed_dtypes=True, special_values=False)
    operands, options = data.draw(drawn)
    desired = formula_networks.mlp_mean_loss_and_grad(*operands, **options)
    assert_same(backend.mlp_mean_loss_and_grad(*operands, **options), desired)


@given(
    data=st.data(),
    architecture=st.sampled_from([SMALL, MIXED]),
    limit=st.sampled_from([1, 3000, 1 << 24]),
    special_values=st.booleans(),
)
def test_agreement_of_vjp(backend, data, architecture, limit, special_values):
    most = {"max_sets": data.draw(st.sampled_from([4, 70]))}
    drawn = networks(["float32"], [architecture], special_values=special_values, **most)
    problem = data.draw(drawn)
    samples, layers, options = problem
    shape = shape_of(problem)
    if options.get("additive"):
        shape = *shape[:2], shape[3]
    cotangent = data.draw(normals("float32", shape, special_values=special_values))
    with in_small_pieces(limit):
        found = backend.mlp_vjp(samples, layers, cotangent, **options)
    desired = formula_networks.mlp_vjp(samples, layers, cotangent, **options)
    assert_same(found, desired)
    grad_samples, grad_layers, grad_intercept = backend.mlp_vjp(
        samples, layers, cotangent, **options, wrt="samples"
    )
    assert grad_layers is grad_intercept is None
    assert_same(grad_samples, desired[0])


@given(problem=problems(dtypes=["float32"], max_samples=100), data=st.data())
def test_one_layer_has_the_bits_of_affine(backend, problem, data):
    samples, weight, bias = problem
    *_, n_samples, n_features = samples.shape
    targets = data.draw(normals("float32", (n_samples, n_features)))
    layers = [(weight[:, :, None, None], None if bias is None else bias[:, :, None])]
    options = {"loss": "huber", "sample_weight": data.draw(normals("float32", (n_samples,)))}
    for per in (False, True):
        found = backend.mlp_mean_loss_and_grad(
            samples, layers, targets, **options, output_activation="tanh", per_subnetwork=per
        )
        loss, grad_weight, grad_bias = backend.mean_loss_and_grad(
            samples, weight, bias, targets, **options, activation="tanh", per_feature=per
        )
        grad_bias = None if bias is None else grad_bias[:, :, None]
        assert_same(found, (loss, ((grad_weight[:, :, None, None], grad_bias),), None))
    n_sets = len(grad_weight)
    cotangent = data.draw(normals("float32", (n_sets, n_samples, n_features)))
    found = backend.mlp_vjp(samples, layers, cotangent[..., None], output_activation="tanh")
    grad_samples, *gradients = backend.affine_vjp(
        samples, weight, bias, cotangent, activation="tanh"
    )
    gradients = [x if x is None else x[:, :, None] for x in gradients]
    assert_same(found, (grad_samples, ((gradients[0][..., None], gradients[1]),), None))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_biases_of_stride_0(backend, number):
    """A bias with stride 0 along its units: operands may have any strides."""
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(size=(2, 1, a, b)).astype("f4"), rng.normal(size=(2, 1, b)).astype("f4"))
        for a, b in itertools.pairwise(SMALL.sizes)
    ]
    weight, bias = layers[number]
    layers[number] = weight, np.broadcast_to(bias[..., :1], bias.shape)
    samples, targets = rng.normal(size=(2, 8, 1)).astype("f4")
    options = {"sample_weight": rng.random(8).astype("f4")[::-1]}
    desired = formula_networks.mlp_mean_loss_and_grad(samples, layers, targets, **options)
    assert_same(backend.mlp_mean_loss_and_grad(samples, layers, targets, **options), desired)


def random_networks(sizes, n_sets, n_subnets, n_samples, seed=0, dtype=np.float64):
    """Return samples, layers, and a generator of further numbers."""
    rng = np.random.default_rng(seed)
    layers = [
        (
            rng.normal(size=(n_sets, n_subnets, a, b)).astype(dtype) / np.sqrt(a).astype(dtype),
            rng.normal(size=(n_sets, n_subnets, b)).astype(dtype),
        )
        for a, b in itertools.pairwise(sizes)
    ]
    samples = rng.normal(size=(n_samples, n_subnets * sizes[0])).astype(dtype)
    return samples, layers, rng


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize(
    "loss", ["squared_error", "binary_crossentropy_from_logits", "poisson", CATEGORICAL]
)
def test_gradients_are_central_differences(loss, additive):
    samples, layers, rng = random_networks((2, 4, 3, 3), 2, 3, 40)
    shape = (40, 3) if additive else (40, 3, 3)
    targets = rng.random(shape)
    if loss == CATEGORICAL:
        targets = rng.integers(3, size=40)
    options = {"activation": ("tanh", "gelu"), "loss": loss, "additive": additive}
    options["sample_weight"] = rng.random(40)
    options["inputs"] = np.arange(6).reshape(3, 2)
    intercept = rng.normal(size=(2, 3))
    if loss == "poisson":
        options["output_activation"] = "softplus"
        intercept = abs(intercept)
    if additive:
        options["intercept"] = intercept

    def losses():
        return ms.mlp_mean_loss(samples, layers, targets, **options)

    found = ms.mlp_mean_loss_and_grad(samples, layers, targets, **options)
    operands = [x for layer in layers for x in layer] + [intercept] * additive
    for array, gradient in zip(operands, flat(tuple(found)[1:]), strict=True):
        assert gradient.shape == array.shape
        for index in [(0, *rng.integers(array.shape[1:])), (1, *rng.integers(array.shape[1:]))]:
            value, step = array[index], 1e-5
            array[index] = value + step
            above = losses()
            array[index] = value - step
            slope = (above - losses()) / (2 * step)
            array[index] = value
            np.testing.assert_allclose(gradient[index], slope[index[0]], rtol=1e-6, atol=1e-9)
            assert slope[1 - index[0]] == 0


@pytest.mark.parametrize("ndim", [2, 3])
def test_vjp_is_a_central_difference(ndim):
    samples, layers, rng = random_networks((2, 4, 2), 3, 2, 9)
    samples = rng.normal(size=(3, 9, 3)[3 - ndim :])
    options = {"activation": "tanh", "output_activation": "sigmoid", "inputs": [[0, 2], [2, 0]]}
    cotangent = rng.normal(size=(3, 9, 2, 2))
    layers[0] = layers[0][0][:1], layers[0][1]  # shared by the sets

    def product():
        return (cotangent * ms.mlp(samples, layers, **options)).sum()

    found = ms.mlp_vjp(samples, layers, cotangent, **options)
    operands = [samples, *(x for layer in layers for x in layer)]
    for array, gradient in zip(operands, flat(found), strict=True):
        assert gradient.shape == array.shape
        for index in [tuple(rng.integers(array.shape)) for _ in range(3)]:
            value, step = array[index], 1e-5
            array[index] = value + step
            above = product()
            array[index] = value - step
            slope = (above - product()) / (2 * step)
            array[index] = value
            np.testing.assert_allclose(gradient[index], slope, rtol=1e-6, atol=1e-8)
    assert (found.grad_samples[..., 1] == 0).all()  # no network sees this feature


def test_close_to_the_truth(backend):
    """float32 in several blocks, against longdouble."""
    samples, layers, rng = random_networks((1, 6, 4, 1), 2, 3, 9000, dtype=np.float32)
    targets = rng.normal(size=(9000, 3)).astype("f4")
    found = backend.mlp_mean_loss_and_grad(samples, layers, targets, activation="softplus")
    wide = [[x.astype(np.longdouble) for x in layer] for layer in layers]
    z, h = [], [samples.astype(np.longdouble).T[None, :, :, None]]  # (N, S, B, K)
    for number, (weight, bias) in enumerate(wide):
        z.append(h[-1] @ weight + bias[:, :, None])
        h.append(np.logaddexp(z[-1], 0) if number < 2 else z[-1])
    error = h[-1] - targets.T[None, :, :, None]
    np.testing.assert_allclose(found[0], (error**2).mean((1, 2, 3)), rtol=3e-6)
    delta = 2 * error / error[0].size
    for number in (2, 1, 0):
        true = h[number].swapaxes(2, 3) @ delta, delta.sum(2)
        for one, other in zip(found[1][number], true, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=3e-6 * abs(other).max())
        if number:
            delta = delta @ wide[number][0].swapaxes(2, 3) / (1 + np.exp(-z[number - 1]))


def test_categorical_crossentropy_keeps_its_digits():
    """Small losses are not rounded to 0; large logits do not overflow."""
    logits = np.array([[40.0, 0.0, -3.0], [1e30, 0.0, 5.0], [0.0, 0.0, 0.0], [-1e4, -2e4, -1e4]])
    layers = [np.eye(3, dtype="f4")[None, None]]
    for label in range(3):
        for row in logits:
            loss = ms.mlp_mean_loss(
                row[None].astype("f4"), layers, np.array([label]), loss=CATEGORICAL
            )
            shifted = np.longdouble(row - row.max())
            others = np.exp(np.delete(shifted, row.argmax())).sum()
            true = np.log1p(others) - shifted[label]
            np.testing.assert_allclose(loss, [float(true)], rtol=3e-7)
    assert ms.mlp_mean_loss([[1.0]], [np.ones((1, 1, 1, 1))], [0], loss=CATEGORICAL) == [0.0]


def test_several_blocks_of_everything_are_added_by_trees(backend):
    """Blocks of samples and of sets, and parameters shared by all sets."""
    samples, layers, rng = random_networks((1, 2, 1), 4200, 2, 3)
    layers = [(layers[0][0], layers[0][1][:1]), layers[1]]
    cotangent = rng.normal(size=(4200, 3, 2, 1))  # in float64 the order matters
    desired = formula_networks.mlp_vjp(samples, layers, cotangent)
    for limit in (1, 1 << 24):
        with (
            in_small_pieces(limit)
            if limit == 1 << 24
            else mock.patch.object(mlp_summation, "_TOTALS_BYTES", 5000)
        ):
            assert_same(backend.mlp_vjp(samples, layers, cotangent), desired)


def test_nothing_to_add_up(backend):
    _, layers, _ = random_networks((1, 2, 1), 4, 3, 1)
    loss, grads, _ = backend.mlp_mean_loss_and_grad(np.ones((0, 3)), layers, np.ones((0, 3)))
    assert_same_bits(loss, np.full(4, np.nan))
    assert all(np.isnan(x).all() for x in flat(grads))
    none = [(w[:0], b[:0]) for w, b in layers]
    loss, grads, _ = backend.mlp_mean_loss_and_grad(np.ones((2, 3)), none, np.ones((2, 3)))
    assert [x.shape for x in (loss, grads[0][0])] == [(0,), (0, 3, 1, 2)]
    shared = [(layers[0][0][:0], layers[0][1][:1]), (layers[1][0][:1], layers[1][1][:0])]
    found = backend.mlp_vjp(np.ones((2, 3)), shared, np.ones((0, 2, 3, 1)))
    assert all((x == 0).all() for x in flat(tuple(found)))
    of_none = [(w[:, :0], b[:, :0]) for w, b in layers]
    loss = backend.mlp_mean_loss(np.ones((2, 0)), of_none, np.ones(2))
    assert np.isnan(loss).all()
    loss = backend.mlp_mean_loss(np.ones((2, 0)), of_none, np.ones(2), additive=True)
    assert_same_bits(loss, np.ones(4))


@pytest.mark.parametrize("additive", [False, True])
def test_memory(additive):
    samples, layers, rng = random_networks((1, 16, 16, 1), 60, 30, 300, dtype=np.float32)
    targets = rng.normal(size=300).astype("f4")

    def judge():
        with ms.use_backend("numpy"):
            ms.mlp_mean_loss_and_grad(samples, layers, targets, additive=additive)

    gradients = sum(x.nbytes for layer in layers for x in layer)
    assert peak(judge) < gradients + (1 << 26)


W = np.ones((4, 3, 1, 2))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"targets": None}, TypeError, "targets is None"),
        (
            {"targets": np.ones((5, 3))},
            ValueError,
            r"targets has shape \(5, 3\); expected \(B, S, P\) = \(5, 3, 2\) or \(B, 1\) = ",
        ),
        ({"targets": np.ones((5, 2), complex)}, TypeError, "targets has dtype complex128"),
        (
            {"additive": True, "targets": np.ones((5, 3, 2))},
            ValueError,
            r"expected \(B, P\) = \(5, 2\) or \(B, 1\) = \(5, 1\) or \(B,\) = \(5,\)",
        ),
        ({"sample_weight": np.ones(4)}, ValueError, r"sample_weight has shape .*\(B,\) = \(5,\)"),
        ({"loss": "squared_eror"}, ValueError, "did you mean 'squared_error'"),
        ({"loss": "categorical_crossentropy"}, ValueError, f"pass loss='{CATEGORICAL}'"),
        ({"loss": CATEGORICAL}, TypeError, "targets has dtype float64; .*integer dtype"),
        (
            {"loss": CATEGORICAL, "targets": np.array([0, 1, 2, 0, 1])},
            ValueError,
            r"targets\[2\] is 2; expected a class number, 0 to 1",
        ),
        (
            {"loss": CATEGORICAL, "targets": np.array([[0, 1, -1]] * 5)},
            ValueError,
            r"targets\[0, 2\] is -1",
        ),
        ({"loss": "hinge"}, ValueError, None),
        (
            {"per_subnetwork": True, "additive": True},
            ValueError,
            "per_subnetwork=True cannot be combined with additive=True",
        ),
        ({"dtype": int}, TypeError, "dtype must be float16"),
        ({"activation": ms.Activation("tanh").derivative}, TypeError, "activation is .*derivative"),
        (
            {"output_activation": ms.Activation("tanh").derivative},
            TypeError,
            "output_activation is .* no derivative",
        ),
        ({"intercept": np.ones((4, 2))}, ValueError, "intercept .* additive=True"),
    ],
)
def test_errors(change, error, message):
    operands = {"samples": np.ones((5, 3)), "layers": [W, W.swapaxes(2, 3), W]}
    operands |= {"targets": np.full(5, 0.5)} | change
    with pytest.raises(error, match=message):
        ms.mlp_mean_loss_and_grad(**operands)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"cotangent": None}, TypeError, "cotangent is None"),
        (
            {"cotangent": np.ones((4, 5, 3))},
            ValueError,
            r"cotangent has shape \(4, 5, 3\); expected \(N, B, S, P\) = \(4, 5, 3, 2\)",
        ),
        ({"additive": True}, ValueError, r"expected \(N, B, P\) = \(4, 5, 2\)"),
        ({"wrt": "weight"}, ValueError, "wrt has 'weight'; expected some of samples, layers"),
        ({"output_activation": ms.Activation("tanh").derivative}, TypeError, "no derivative"),
    ],
)
def test_errors_of_vjp(change, error, message):
    operands = {"samples": np.ones((5, 3)), "layers": [W], "cotangent": np.ones((4, 5, 3, 2))}
    with pytest.raises(error, match=message):
        ms.mlp_vjp(**(operands | change))


def test_lists_are_taken():
    samples, layers, rng = random_networks((1, 3, 1), 2, 2, 5)
    targets = rng.normal(size=(5, 2))
    lists = [(w.tolist(), b.tolist()) for w, b in layers]
    found = ms.mlp_mean_loss_and_grad(samples.tolist(), lists, targets.tolist())
    assert_same(found, ms.mlp_mean_loss_and_grad(samples, layers, targets))
