"""mean_loss and mean_loss_and_grad: one order of sums on every backend, and accuracy."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import formula
import numpy as np
import pytest
import tiles
from conftest import examples, few, labels, normals, problems_of_sums, shape_of, takes_long
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inputs import peak

import multisubnet as ms
from multisubnet._functions.loss_problem import LOSSES
from multisubnet.testing import activations, assert_same_bits

REALS = ["bool", "int8", "uint16", "int64", "float16", "float32", "float64"]


class Case(NamedTuple):
    """A case with its own compiled code; CASES cover (nearly) all pairs of values."""

    loss: str
    activation: str | None
    dtype: str
    ndim: int
    weighted: bool
    has_bias: bool


CASES = [
    Case("squared_error", "tanh", "float32", 2, False, True),
    Case("squared_error", "tanh", "float64", 3, True, True),
    Case("squared_error", None, "float32", 3, True, False),
    Case("absolute_error", None, "float32", 3, True, False),
    Case("absolute_error", None, "float64", 2, False, True),
    Case("huber", "elu", "float32", 2, True, True),
    Case("huber", "elu", "float64", 3, False, False),
    Case("log_cosh", "leaky_relu", "float32", 3, False, True),
    Case("log_cosh", None, "float64", 2, True, False),
    Case("binary_crossentropy", "sigmoid", "float32", 2, True, False),
    Case("binary_crossentropy", "hard_sigmoid", "float64", 3, False, True),
    Case("binary_crossentropy_from_logits", None, "float32", 2, False, False),
    Case("binary_crossentropy_from_logits", "relu", "float64", 2, True, True),
    Case("hinge", "softsign", "float32", 3, False, False),
    Case("hinge", None, "float64", 2, False, True),
    Case("poisson", "exponential", "float32", 2, True, True),
    Case("poisson", "softplus", "float64", 2, False, False),
]
ONE_OF_EACH_LOSS = list({case.loss: case for case in CASES}.values())


@st.composite
def judgements(draw, case, *, shapes=None, dtypes=None, special_values=False):
    """Draw the operands of mean_loss and its keywords."""
    dtypes, of_others = dtypes or [case.dtype], REALS if dtypes else [case.dtype]
    more = {"shapes": shapes} if shapes is not None else {}
    more |= {"ndim": case.ndim, "has_bias": case.has_bias, "special_values": special_values}
    problem = draw(problems_of_sums(dtypes, **more))
    _, n_samples, n_features = shape_of(problem)
    of_targets = draw(st.sampled_from([(n_samples, n_features), (n_samples, 1), (n_samples,)]))
    dtype = st.sampled_from(of_others)
    targets = draw(normals(draw(dtype), of_targets, special_values=special_values))
    targets = labels(case.loss, targets)
    options = {
        "loss": case.loss,
        "activation": case.activation
        and draw(activations(names=[case.activation], derivatives=False)),
        "sample_weight": draw(normals(draw(dtype), (n_samples,))) if case.weighted else None,
        "per_feature": draw(st.booleans()),
        "dtype": draw(st.sampled_from(["float64", "float32", "float16"])),
    }
    return (*problem, targets), options


def assert_all_same_bits(actual, desired):
    assert len(actual) == len(desired)
    for one, other in zip(actual, desired, strict=True):
        if other is None:
            assert one is None
        else:
            assert_same_bits(one, other)


@pytest.mark.parametrize("special_values", [False, True])
@pytest.mark.parametrize("case", few(CASES, 9), ids=lambda case: f"{case.loss}-{case.dtype}")
@settings(max_examples=examples(1 / 10))
@given(data=st.data())
def test_agreement(backend, case, special_values, data):
    operands, options = data.draw(judgements(case, special_values=special_values))
    result = backend.mean_loss_and_grad(*operands, **options)
    assert_all_same_bits(result, formula.mean_loss_and_grad(*operands, **options))


@pytest.mark.parametrize("case", few(ONE_OF_EACH_LOSS, 4), ids=lambda case: case.loss)
@settings(max_examples=examples(1 / 20))
@given(data=st.data())
def test_the_loss_alone_is_that_beside_the_gradient(backend, case, data):
    operands, options = data.draw(judgements(case))
    beside, *_ = backend.mean_loss_and_grad(*operands, **options)
    assert_same_bits(backend.mean_loss(*operands, **options), beside)


@settings(max_examples=examples(1 / 2))
@given(data=st.data(), dtypes=st.sampled_from([["float16", "float32"], REALS]))
def test_agreement_of_mixed_dtypes(backend, data, dtypes):
    # Labels do not promote float32 work to float64.
    case = Case("huber", "elu", "", 2, True, True)
    operands, options = data.draw(judgements(case, dtypes=dtypes))
    result = backend.mean_loss_and_grad(*operands, **options)
    assert_all_same_bits(result, formula.mean_loss_and_grad(*operands, **options))


several_blocks = st.tuples(
    st.integers(1, 5), st.sampled_from([4095, 4096, 4097, 8193, 12289, 13001]), st.integers(1, 3)
)


@settings(max_examples=examples(1 / 20))
@given(data=st.data(), case=st.sampled_from(CASES[:4]))
def test_agreement_over_several_blocks(backend, data, case):
    operands, options = data.draw(judgements(case, shapes=several_blocks))
    result = backend.mean_loss_and_grad(*operands, **options)
    assert_all_same_bits(result, formula.mean_loss_and_grad(*operands, **options))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_more_blocks_than_a_grid_has_rows(backend, rows):
    operands, _ = operands_of(2, 20_481, 2, "float32")
    with tiles.of(gpu_rows=rows):
        result = backend.mean_loss_and_grad(*operands, activation="tanh")
    assert_all_same_bits(result, formula.mean_loss_and_grad(*operands, activation="tanh"))


@settings(max_examples=examples(1 / 2))
@given(data=st.data(), case=st.sampled_from(CASES[:4]))
def test_agreement_for_any_division_into_pieces(backend, data, case):
    operands, options = data.draw(judgements(case))
    with tiles.small(data.draw):
        result = backend.mean_loss_and_grad(*operands, **options)
    assert_all_same_bits(result, formula.mean_loss_and_grad(*operands, **options))


def operands_of(n_sets, n_samples, n_features, dtype="float64", ndim=2):
    """Return samples, weight, bias and targets in (0, 1), and positive weights of samples."""
    rng = np.random.default_rng(n_sets + n_samples + n_features)
    shapes = [(n_sets, n_samples, n_features)[3 - ndim :], *[(n_sets, n_features)] * 2]
    operands = [rng.normal(size=shape) for shape in shapes]
    operands.append(rng.uniform(size=(n_samples, n_features)))
    return [x.astype(dtype) for x in operands], rng.uniform(0.5, 2, n_samples).astype(dtype)


@pytest.mark.parametrize("case", few(CASES[:6]), ids=lambda case: f"{case.loss}-{case.dtype}")
def test_each_part_alone_is_the_same(backend, case):
    (samples, weight, bias, targets), sample_weight = operands_of(
        37, 100, 33, case.dtype, case.ndim
    )
    options = {"loss": case.loss, "activation": case.activation, "per_feature": True}
    options["sample_weight"] = sample_weight if case.weighted else None
    bias = bias if case.has_bias else None
    together = backend.mean_loss_and_grad(samples, weight, bias, targets, **options)
    for part in np.s_[:1, 32:], np.s_[3:20, 1:32], np.s_[36:, :1]:
        some = samples[part[0]] if case.ndim == 3 else samples
        weights, biases = (x if x is None else x[part] for x in (weight, bias))
        operands = some[..., part[1]], weights, biases, targets[:, part[1]]
        alone = backend.mean_loss_and_grad(*operands, **options)
        assert_all_same_bits(alone, [x if x is None else x[part] for x in together])


@pytest.mark.parametrize("case", few(CASES[:4], 2), ids=lambda case: f"{case.loss}-{case.dtype}")
@pytest.mark.parametrize("shape", [(50, 300, 7), (2, 9000, 40)])
def test_the_number_of_threads_does_not_matter(case, shape, monkeypatch):
    pytest.importorskip("numba")
    operands, _ = operands_of(*shape, case.dtype, case.ndim)
    results = []
    for threads in (1, 3, 4):
        monkeypatch.setenv("MULTISUBNET_NUM_THREADS", str(threads))
        with tiles.of(engine_sum=1), ms.use_backend("numba"):
            options = {"loss": case.loss, "activation": case.activation}
            results.append(ms.mean_loss_and_grad(*operands, **options))
    for result in results[1:]:
        assert_all_same_bits(result, results[0])


def test_shared_parameters_are_those_of_every_set(backend):
    (samples, weight, bias, targets), _ = operands_of(5, 9, 4, "float32", 3)
    options = {"loss": "log_cosh", "activation": "leaky_relu"}
    shared = backend.mean_loss_and_grad(samples, weight[:1], bias[:1], targets, **options)
    repeated = weight[:1].repeat(5, 0), bias[:1].repeat(5, 0)
    own = backend.mean_loss_and_grad(samples, *repeated, targets, **options)
    assert_all_same_bits(shared, own)


# Textbook formulas.
BY_NUMPY = {
    "squared_error": lambda p, t: (p - t) ** 2,
    "absolute_error": lambda p, t: abs(p - t),
    "huber": lambda p, t: np.where(abs(p - t) <= 1, (p - t) ** 2 / 2, abs(p - t) - 0.5),
    "log_cosh": lambda p, t: np.log(np.cosh(p - t)),
    "binary_crossentropy": lambda p, t: -t * np.log(p) - (1 - t) * np.log(1 - p),
    "binary_crossentropy_from_logits": lambda p, t: np.logaddexp(0, p) - t * p,
    "hinge": lambda p, t: np.maximum(1 - t * p, 0),
    "poisson": lambda p, t: p - t * np.log(p + 1e-7),
}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_float32_is_close_to_float64(loss, ndim, weighted):
    (samples, weight, bias, targets), factors = operands_of(3, 10_000, 4, "float32", ndim)
    weight /= 4  # a probability close to 1 says little about its complement
    targets = labels(loss, targets)
    factors = factors if weighted else None
    result = ms.mean_loss(
        *(samples, weight, bias, targets),
        loss=loss,
        activation="sigmoid",
        sample_weight=factors,
        per_feature=True,
    )
    samples, weight, bias, targets = (x.astype(float) for x in (samples, weight, bias, targets))
    terms = BY_NUMPY[loss](sigmoid(samples * weight[:, None] + bias[:, None]), targets)
    desired = np.average(terms, axis=1, weights=factors)
    assert np.allclose(result, desired, rtol=1e-6, atol=0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", [None, "tanh", "sigmoid"])
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("per_feature", [False, True])
def test_gradients_are_the_limits_of_differences(loss, activation, ndim, per_feature):
    if loss in ("binary_crossentropy", "poisson"):
        activation = "sigmoid"  # these losses need positive predictions
    (samples, weight, bias, targets), factors = operands_of(3, 40, 5, ndim=ndim)
    targets = labels(loss, targets)
    options = {"loss": loss, "activation": activation, "sample_weight": factors}
    options["per_feature"] = per_feature
    _, *gradients = ms.mean_loss_and_grad(samples, weight, bias, targets, **options)
    step = 1e-6
    for which, gradient in enumerate(gradients):
        for f in range(5):
            there = []
            for sign in (1, -1):
                moved = [weight.copy(), bias.copy()]
                moved[which][:, f] += sign * step
                value = ms.mean_loss(samples, *moved, targets, **options)
                there.append(value[:, f] if per_feature else value)
            difference = (there[0] - there[1]) / (2 * step)
            assert np.allclose(gradient[:, f], difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", [None, "sigmoid", "softplus", "gelu", "relu6"])
def test_gradients_are_torchs(loss, activation):
    torch = pytest.importorskip("torch")
    from torch.nn import functional

    if loss in ("binary_crossentropy", "poisson"):
        activation = "sigmoid"
    of_torch = {
        "squared_error": functional.mse_loss,
        "absolute_error": functional.l1_loss,
        "huber": functional.huber_loss,
        "log_cosh": lambda p, t, **_: torch.log(torch.cosh(p - t)),
        "binary_crossentropy": functional.binary_cross_entropy,
        "binary_crossentropy_from_logits": functional.binary_cross_entropy_with_logits,
        "hinge": lambda p, t, **_: torch.clamp(1 - t * p, min=0),
        "poisson": functional.poisson_nll_loss,
    }[loss]
    options = {"log_input": False, "eps": 1e-7} if loss == "poisson" else {}
    operands, factors = operands_of(4, 1000, 3, "float32")
    operands[3] = labels(loss, operands[3])
    result = ms.mean_loss_and_grad(
        *operands, loss=loss, activation=activation, sample_weight=factors
    )
    x, w, b, t = (torch.from_numpy(array.astype(float)) for array in operands)
    z = (x * w[:, None] + b[:, None]).requires_grad_()
    prediction = getattr(functional, activation)(z) if activation else z
    values = of_torch(prediction, t.expand(z.shape), reduction="none", **options)
    factor = torch.from_numpy(factors.astype(float))[:, None]
    value = (values * factor).sum((1, 2)) / (3 * factor.sum())
    value.sum().backward()
    assert np.allclose(result[0], value.detach(), rtol=1e-6)
    for gradient, terms in zip(result[1:], (z.grad * x, z.grad), strict=True):
        error = abs(torch.from_numpy(gradient.astype(float)) - terms.sum(1))
        assert (error <= 1e-5 * abs(terms).sum(1)).all()


def test_the_examples_of_the_docstring(backend):
    samples, targets = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[2.0, 3.0], [6.0, 5.0]])
    weight, bias = np.array([[2.0, 1.0], [0.5, 3.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    for loss, desired in [("absolute_error", [0, 3.5]), ("squared_error", [0, 70.5 / 4])]:
        result = backend.mean_loss(samples, weight, bias, targets, loss=loss)
        assert_same_bits(result, np.array(desired, float))


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_all_forms_of_targets(loss):
    (samples, weight, bias, targets), _ = operands_of(3, 5, 4)
    operands = samples, weight, bias
    column = targets[:, :1]
    desired = ms.mean_loss(*operands, column.repeat(4, axis=1), loss=loss)
    for form in (column, column[:, 0], column.tolist(), column[:, 0].tolist()):
        assert_same_bits(ms.mean_loss(*operands, form, loss=loss), desired)
    assert_same_bits(ms.mean_loss(*(x.tolist() for x in operands), column, loss=loss), desired)
    labels = np.arange(5)
    desired = ms.mean_loss(*operands, labels.astype(float), loss=loss)
    for dtype in ("int64", "uint8", "float16"):
        ones = np.ones(5, dtype)
        result = ms.mean_loss(*operands, labels.astype(dtype), loss=loss, sample_weight=ones)
        assert_same_bits(result, desired)


@pytest.mark.parametrize(
    ("dtypes", "of_work", "of_gradients"),
    [
        (("f4", "f4", "f4"), "f4", "f4"),
        (("f2", "f2", "f2"), "f4", "f2"),
        (("f4", "f2", "f2"), "f4", "f2"),
        (("f2", "f4", "f2"), "f4", "f4"),
        (("f4", "f4", "f8"), "f8", "f4"),
        (("f4", "f8", "f4"), "f8", "f8"),
        ((">f4", ">f4", ">f4"), "f4", "f4"),
        (("i4", "f4", "f4"), "f8", "f4"),
        (("i8", "i8", "i8"), "f8", "f8"),
        (("f4", "i2", "f4"), "f4", "f4"),
    ],
)
def test_dtypes(backend, dtypes, of_work, of_gradients):
    (*operands, targets), _ = operands_of(3, 40, 4)
    operands = [(10 * x).astype(dtype) for x, dtype in zip(operands, dtypes, strict=True)]
    targets = (9 * targets).astype(np.int64)
    options = {"loss": "absolute_error"}
    value, grad_weight, grad_bias = backend.mean_loss_and_grad(*operands, targets, **options)
    assert value.dtype == np.float64
    assert grad_weight.dtype == grad_bias.dtype == np.dtype(of_gradients)
    operands = [x.astype(of_work) for x in operands]
    for dtype in (None, "f2", "f4", np.float64, float):
        result, *_ = backend.mean_loss_and_grad(*operands, targets, **options, dtype=dtype)
        assert_same_bits(result, value.astype(dtype or "f8"))


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_nothing_gives_nan(backend, loss, per_feature, shape, ndim):
    (*operands, targets), factors = operands_of(*shape, ndim=ndim)
    n_sets, _, n_features = shape
    for sample_weight in (None, factors):
        options = {"loss": loss, "per_feature": per_feature, "sample_weight": sample_weight}
        results = backend.mean_loss_and_grad(*operands, targets, **options)
        assert results[0].shape == ((n_sets, n_features) if per_feature else (n_sets,))
        assert results[1].shape == results[2].shape == (n_sets, n_features)
        for result in results:
            assert np.isnan(result).all()
        assert_same_bits(backend.mean_loss(*operands, targets, **options), results[0])


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_weights_are_numbers_of_repetitions(backend, loss):
    (samples, weight, bias, targets), _ = operands_of(3, 20, 4)
    times = np.arange(20) % 4
    weighted = backend.mean_loss_and_grad(
        samples, weight, bias, targets, loss=loss, sample_weight=times
    )
    samples, targets = samples.repeat(times, 0), targets.repeat(times, 0)
    repeated = backend.mean_loss_and_grad(samples, weight, bias, targets, loss=loss)
    for one, other in zip(weighted, repeated, strict=True):
        assert np.allclose(one, other, rtol=1e-13)


@pytest.mark.parametrize("case", ONE_OF_EACH_LOSS, ids=lambda case: case.loss)
def test_no_backend_warns_or_asks_seterr(backend, case):
    largest = np.finfo(case.dtype).max
    x, w, t = np.array([[[largest]], [[-1.0]], [[np.nan]]], case.dtype)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        for samples, weight, targets in [(x, w, x), (x, x, w), (x, w, t), (w, x * 0, x)]:
            samples = samples if case.ndim == 2 else samples[None]
            backend.mean_loss_and_grad(
                *(samples, weight, weight if case.has_bias else None, labels(case.loss, targets)),
                loss=case.loss,
                activation=case.activation,
                sample_weight=samples.reshape(-1) if case.weighted else None,
                dtype="float16",
            )


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(("loss", "activation"), [("squared_error", None), ("huber", "relu")])
def test_no_array_of_all_predictions(backend, activation, loss):
    operands, _ = operands_of(200, 1000, 100, "float32")  # with 80 MB of predictions

    def call():
        with ms.use_backend(backend):
            ms.mean_loss_and_grad(*operands, loss=loss, activation=activation)

    call()
    assert peak(call) < 6 << 20


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
@pytest.mark.parametrize("activation", ["tanh", "relu6", "elu", "linear"])
def test_an_activation_may_be_a_derivative(loss, activation):
    # Only its value is used here; it has no derivative itself.
    (*operands, targets), _ = operands_of(3, 10, 4)
    slope = ms.Activation(activation).derivative
    result = ms.mean_loss(*operands, targets, loss=loss, activation=slope, per_feature=True)
    values = BY_NUMPY[loss](ms.affine(*operands, activation=slope), targets)
    assert np.allclose(result, values.mean(1), rtol=1e-13)
    with pytest.raises(TypeError, match=r"\.derivative, which has no derivative"):
        ms.mean_loss_and_grad(*operands, targets, loss=loss, activation=slope)


GIVEN = {
    "samples": np.ones((3, 4)),
    "weight": np.ones((5, 4)),
    "bias": np.ones((5, 4)),
    "targets": np.ones((3, 4)),
}


class CrossEntropyLoss:
    """A loss object of another library."""


class Nameless:
    def __init__(self):
        self.name = []  # cannot be looked up

    def __repr__(self):
        return "Nameless()"


@pytest.mark.parametrize("function", [ms.mean_loss, ms.mean_loss_and_grad])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"targets": np.ones((4, 4))},
            ValueError,
            r"targets has shape \(4, 4\); expected \(B, F\) = \(3, 4\) or \(B, 1\) = \(3, 1\) or "
            r"\(B,\) = \(3,\)",
        ),
        ({"targets": np.ones(4)}, ValueError, r"targets has shape \(4,\)"),
        ({"targets": np.ones((3, 2))}, ValueError, r"targets has shape \(3, 2\)"),
        ({"targets": np.ones((1, 4))}, ValueError, r"targets has shape \(1, 4\)"),
        ({"targets": np.ones((5, 3, 4))}, ValueError, r"targets has shape \(5, 3, 4\)"),
        ({"targets": 1.0}, ValueError, r"targets has shape \(\)"),
        ({"targets": [[1, 2], [3]]}, ValueError, "targets is not an array_like of numbers"),
        ({"targets": None}, TypeError, "targets is None; expected an array_like"),
        ({"targets": np.ones((3, 4), complex)}, TypeError, "targets has dtype complex128"),
        ({"targets": np.ones((3, 4), "g")}, TypeError, "targets has dtype .*up to float64"),
        ({"targets": np.ones((3, 4), object)}, TypeError, "targets has dtype object"),
        ({"targets": np.ma.ones((3, 4))}, TypeError, "targets is a masked array"),
        (
            {"sample_weight": np.ones((3, 1))},
            ValueError,
            r"sample_weight has shape \(3, 1\); expected \(B,\) = \(3,\)",
        ),
        ({"sample_weight": np.ones(5)}, ValueError, r"sample_weight has shape \(5,\)"),
        ({"sample_weight": 1}, ValueError, r"sample_weight has shape \(\)"),
        ({"sample_weight": np.ones(3, "F")}, TypeError, "sample_weight has dtype complex64"),
        ({"sample_weight": np.ones(3, "g")}, TypeError, "sample_weight has dtype .*up to float64"),
        ({"sample_weight": ["a"] * 3}, TypeError, "sample_weight has dtype <U1"),
        ({"samples": np.ones((3, 4), complex)}, TypeError, "together have dtype complex128"),
        ({"weight": np.ones((5, 4), "g")}, TypeError, "together have dtype (float|longdouble)"),
        ({"weight": np.ones((5, 3))}, ValueError, r"weight has shape \(5, 3\)"),
        ({"bias": np.ones((6, 4))}, ValueError, r"bias has shape \(6, 4\)"),
        ({"samples": np.ones(3)}, ValueError, r"samples has shape \(3,\)"),
        ({"loss": "mape"}, ValueError, "must be one of squared_error, .*, poisson, not 'mape'"),
        ({"loss": "BCELos"}, ValueError, r"not 'BCELos' \(did you mean 'BCELoss'\?\)"),
        ({"loss": "l2_loss"}, ValueError, "half the squared error .*; use 'squared_error'"),
        ({"loss": "CrossEntropyLoss"}, ValueError, "use mlp_mean_loss"),
        ({"loss": "PoissonNLLLoss"}, ValueError, "use 'poisson', with predictions that are rates"),
        ({"loss": CrossEntropyLoss()}, TypeError, "not a CrossEntropyLoss: .*; use mlp_mean_loss"),
        ({"loss": Nameless()}, TypeError, r"loss must be the name of a loss, not [^:]*$"),
        ({"loss": None}, TypeError, "loss must be the name of a loss, not None"),
        ({"loss": np.square}, TypeError, "loss must be the name of a loss, not <ufunc 'square'>"),
        ({"loss": "product"}, ValueError, "loss must be one of"),
        ({"activation": "tan"}, ValueError, "activation must be one of"),
        ({"activation": np.tanh}, TypeError, "activation must be None, a name or"),
        ({"dtype": int}, TypeError, r"dtype must be float16, .* or float64, not int64"),
        ({"dtype": ">f4"}, TypeError, r"dtype must be float16, .* or float64, not >f4"),
        ({"dtype": np.longdouble}, TypeError, r"dtype must be float16, .* or float64"),
        ({"dtype": "c8"}, TypeError, r"dtype must be float16, .* or float64, not complex64"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_errors(function, change, error, message):
    with pytest.raises(error, match=message):
        function(**GIVEN | change)


@pytest.mark.gpu
@pytest.mark.parametrize("function", [ms.mean_loss, ms.mean_loss_and_grad])
@pytest.mark.parametrize("name", [*GIVEN, "sample_weight"])
def test_host_and_device_arrays_do_not_mix(function, name):
    import cupy

    here = GIVEN | {"sample_weight": np.ones(3)}
    there = {key: cupy.asarray(array) for key, array in here.items()}
    with pytest.raises(TypeError, match=rf"is on the GPU and {name} \(ndarray\) is not"):
        function(**there | {name: here[name]})
    with pytest.raises(TypeError, match=rf"{name} is on the GPU and .* \(ndarray\) is not"):
        function(**here | {name: there[name]})


OUTSIDE = [
    ("binary_crossentropy", [1, 2], r"targets\[1\] is 2; .* from 0 to 1"),
    ("binary_crossentropy", [-1, 1], r"targets\[0\] is -1"),
    ("binary_crossentropy", [0.5, 1.5], r"targets\[1\] is 1.5"),
    ("binary_crossentropy_from_logits", [1, 2], r"targets\[1\] is 2"),
    ("binary_crossentropy", [np.nan, np.inf], r"targets\[1\] is inf"),
    ("hinge", [0, 1], r"targets\[0\] is 0; hinge is defined for -1 and 1: .*numpy.where"),
    ("hinge", [True, False], r"targets\[1\] is False"),
    ("hinge", [-1, 0.5], r"targets\[1\] is 0.5"),
    ("hinge", [-1, 2], r"targets\[1\] is 2"),
    ("poisson", [3, -1], r"targets\[1\] is -1; poisson is defined for numbers that are not neg"),
]


@pytest.mark.parametrize(("loss", "targets", "message"), OUTSIDE)
def test_labels_that_a_loss_is_not_defined_for(loss, targets, message):
    x, w = np.array([[0.2], [0.8]]), np.array([[1.0], [0.5]])
    for function in (ms.mean_loss, ms.mean_loss_and_grad):
        with pytest.raises(ValueError, match=message):
            function(x, w, None, np.array(targets), loss=loss)
    column = message.replace(r"\] is", r", 0\] is")
    with pytest.raises(ValueError, match=column):
        ms.WeightSets(w).best(1, x, np.array(targets)[:, None], loss=loss)
    # Late among many, in any step of the check.
    many = np.resize(labels(loss, np.array([0.0, 1.0])), (70_000, 2))
    many[69_999, 1] = targets[-1] if loss == "poisson" else 7
    with pytest.raises(ValueError, match=r"targets\[69999, 1\] is"):
        ms.mean_loss(np.ones((70_000, 2)), w.T, None, many, loss=loss)


@pytest.mark.parametrize("loss", ["hinge", "poisson", "binary_crossentropy"])
def test_labels_that_a_loss_is_defined_for(loss):
    good = {"hinge": [-1, 1], "poisson": [0, 9], "binary_crossentropy": [0, 1]}[loss]
    x, w = np.array([[0.2], [0.8]]), np.array([[1.0]])
    for dtype in ("bool", "int8", "uint8", "float16", "float64"):
        if not (loss == "hinge" and dtype in ("bool", "uint8")):
            assert np.isfinite(ms.mean_loss(x, w, None, np.array(good, dtype), loss=loss)).all()
    assert np.isnan(ms.mean_loss(x, w, None, [np.nan, 1.0], loss=loss)).all()
    assert np.isnan(ms.mean_loss(x[:0], w, None, [], loss=loss)).all()


class Subclass(np.ndarray):
    """Arrays of another class than NumPy's own."""


def variants():
    """Return operands and options of calls, by what distinguishes each from the first one."""
    rng = np.random.default_rng(0)
    n_sets, n_samples, n_features = 20, 40, 5

    def numbers(*shape, dtype="f4"):
        return rng.standard_normal(shape).astype(dtype)

    base = {
        "samples": numbers(n_samples, n_features),
        "weight": numbers(n_sets, n_features),
        "bias": numbers(n_sets, n_features),
        "targets": numbers(n_samples, n_features),
        "loss": "absolute_error",
    }
    strided = {
        name: np.repeat(base[name], 2, 1)[:, ::2] for name in ("samples", "weight", "targets")
    }
    unaligned = np.empty(base["weight"].nbytes + 1, np.uint8)[1:].view("f4")
    unaligned = unaligned.reshape(base["weight"].shape)
    unaligned[...] = base["weight"]
    read_only = base["samples"].copy()
    read_only.flags.writeable = False
    changes = {
        "nothing": {},
        "N": {"weight": numbers(9, n_features), "bias": numbers(9, n_features)},
        "B": {"samples": numbers(33, n_features), "targets": numbers(33, n_features)},
        "F": {name: base[name][:, :3].copy() for name in base if name != "loss"},
        "sets of samples": {"samples": numbers(n_sets, n_samples, n_features)},
        "shared weight": {"weight": numbers(1, n_features)},
        "shared bias": {"bias": numbers(1, n_features)},
        "no bias": {"bias": None},
        "targets (B,)": {"targets": numbers(n_samples)},
        "targets (B, 1)": {"targets": numbers(n_samples, 1)},
        "sample_weight": {"sample_weight": numbers(n_samples) ** 2},
        "sample_weight f8": {"sample_weight": numbers(n_samples, dtype="f8") ** 2},
        "strided": strided,
        "Fortran": {"weight": np.asfortranarray(base["weight"])},
        "unaligned": {"weight": unaligned},
        "read-only": {"samples": read_only},
        "byte order": {"targets": base["targets"].astype(base["targets"].dtype.newbyteorder())},
        "subclass": {"weight": base["weight"].view(Subclass)},
        "huber": {"loss": "huber"},
        "tanh": {"activation": "tanh"},
        "slope 0.0": {"activation": ms.Activation("leaky_relu", negative_slope=0.0)},
        "slope -0.0": {"activation": ms.Activation("leaky_relu", negative_slope=-0.0)},
        "slope 0.5": {"activation": ms.Activation("leaky_relu", negative_slope=0.5)},
        "per_feature": {"per_feature": True},
        "float32": {"dtype": "float32"},
        "float16": {"dtype": np.float16},
    }
    changes |= {
        f"{name} {dtype}": {name: base[name].astype(dtype)}
        for name in ("samples", "weight", "bias", "targets")
        for dtype in ("f2", "f8", "i4")
    }
    return {name: base | change for name, change in changes.items()}


def only_on_host(targets):
    """Return targets that a GPU cannot hold, and what is said of them."""
    yield np.ma.masked_array(targets), "masked"
    yield np.full(targets.shape, "0.5"), "'0.5'|targets has dtype <U3"


@takes_long
def test_calls_with_something_in_common_are_kept_apart(backend, monkeypatch):
    is_on_gpu, calls = backend.name is None, variants()  # numbers on a GPU are not checked
    desired = {}
    for name, call in calls.items():
        own = {k: np.asarray(x) if isinstance(x, Subclass) else x for k, x in call.items()}
        desired[name] = formula.mean_loss_and_grad(**own)
    for seed in range(4):
        monkeypatch.setenv("MULTISUBNET_NUM_THREADS", str(1 + seed % 2))
        for name in np.random.default_rng(seed).permutation(list(calls)):
            call = calls[name]
            if seed < 2 and name in ("nothing", "per_feature", "float32"):  # before its gradient
                assert_same_bits(backend.mean_loss(**call), desired[name][0])
            assert_all_same_bits(backend.mean_loss_and_grad(**call), desired[name])
            targets = call["targets"]
            for wrong, message in (
                (targets[1:], r"targets has shape"),
                (targets.astype(complex), "targets has dtype complex"),
                (None, "targets is None"),
                *([] if is_on_gpu else only_on_host(targets)),
            ):
                with pytest.raises((TypeError, ValueError), match=message):
                    backend.mean_loss(**call | {"targets": wrong})
            with pytest.raises(TypeError, match="loss must be the name"):
                backend.mean_loss(**call | {"loss": ["absolute_error"]})
            with pytest.raises(ValueError, match="loss"):
                backend.mean_loss(**call | {"loss": "absolute"})
            if not is_on_gpu:
                with pytest.raises(ValueError, match=r"targets\[.*hinge is defined"):
                    backend.mean_loss(**call | {"loss": "hinge", "targets": abs(targets) + 2})
