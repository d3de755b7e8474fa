"""Activations: the same bits on every backend, accuracy, and the names that users give."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import formula
import numpy as np
import pytest
import tiles
import truth
from conftest import combined, examples, few, takes_long
from hypothesis import given, settings
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet._arithmetic import activation as _activation
from multisubnet._arithmetic import recipe as _recipe
from multisubnet._arithmetic.activation_recipes import RECIPES
from multisubnet.testing import DTYPES, activations, assert_same_bits, problems

ROOT = Path(__file__).parent.parent
REAL = [dtype for dtype in DTYPES if np.dtype(dtype).kind != "c"]
FLOATS = ["float16", "float32", "float64"]
PARAMETRIC = [
    ms.Activation("elu", alpha=0.01),
    ms.Activation("elu", alpha=-1e30),
    ms.Activation("leaky_relu", negative_slope=-3),
    ms.Activation("leaky_relu", negative_slope=-0.0),
]
BOTH = few([f for a in (*map(ms.Activation, RECIPES), *PARAMETRIC) for f in (a, a.derivative)], 14)
IN_DTYPES = combined(BOTH, ["float32", "float64"])  # engines compile each
ids = repr


def at(backend, activation, x):
    """Apply an activation to each number of a 1-D array, in whole rows."""
    n_features = 64
    samples = np.resize(x, (-(-len(x) // n_features), n_features))
    weight = np.ones((1, n_features), x.dtype)
    return backend(samples, weight, activation=activation).reshape(-1)[: len(x)]


def test_each_name_has_a_recipe():
    assert [*RECIPES] == [*_activation.NAMES]  # the order used in messages


@pytest.mark.parametrize("name", few(RECIPES, 8))
@settings(max_examples=examples(1 / 4))
@given(data=st.data(), mixed=st.booleans(), special=st.booleans(), set_axis=st.integers(0, 1))
def test_agreement(backend, name, data, mixed, special, set_axis):
    problem = data.draw(problems(dtypes=REAL, mixed_dtypes=mixed, special_values=special))
    activation = data.draw(activations(names=[name]))
    result = backend(*problem, activation=activation, set_axis=set_axis)
    desired = formula.affine(*problem, activation=activation, set_axis=set_axis)
    assert_same_bits(result, desired)


@pytest.mark.parametrize("activation", BOTH, ids=ids)
def test_agreement_over_every_float16(backend, activation):
    x = np.arange(1 << 16).astype(np.uint16).view(np.float16)
    assert_same_bits(at(backend, activation, x), formula.activated(x, activation))


@pytest.mark.parametrize(("activation", "dtype"), IN_DTYPES, ids=str)
def test_agreement_over_the_whole_range(backend, activation, dtype):
    # Uniformly spaced bits; and numbers near 0, in the order of their bits.
    n, width = 20_000, 8 * np.dtype(dtype).itemsize
    bits = np.arange(n, dtype=np.uint64) * np.uint64((1 << width) // n)
    x = np.concatenate(
        [bits.astype(f"u{width // 8}").view(dtype), np.linspace(-120, 120, n).astype(dtype)]
    )
    assert_same_bits(at(backend, activation, x), formula.activated(x, activation))


@settings(max_examples=examples(1 / 2))
@given(
    problem=problems(dtypes=REAL, max_sets=40, max_samples=70, max_features=300),
    activation=activations(names=["tanh", "leaky_relu", "relu6"]),
    set_axis=st.integers(0, 1),
    data=st.data(),
)
def test_agreement_past_every_block(backend, problem, activation, set_axis, data):
    with tiles.small(data.draw):
        result = backend(*problem, activation=activation, set_axis=set_axis)
    assert_same_bits(result, formula.affine(*problem, activation=activation, set_axis=set_axis))


@given(data=st.data(), problem=problems(dtypes=FLOATS), activation=activations())
def test_into_out(backend, data, problem, activation):
    desired = formula.affine(*problem, activation=activation)
    dtype = data.draw(st.sampled_from([*FLOATS, "complex64", ">f4"]))
    whole = np.full((*desired.shape[:2], 2 * desired.shape[2]), 42, dtype)
    out = whole[..., ::-2]
    assert backend(*problem, activation=activation, out=out) is out
    with np.errstate(all="ignore"):
        assert_same_bits(out, desired.astype(dtype))
    assert (whole[..., ::2] == 42).all()


# Points where recipes switch, or have their hardest values.
HARD = [0.0, 1e-30, 1e-8, 1e-3, 0.1, 0.34, 0.3466, 0.35, 0.5, 0.69, 0.7, 1.0, 1.278, 2.0, 3.0, 4.0]
HARD += [5.0, 6.0, 8.6, 9.02, 10.0, 12.9, 13.5, 15.0, 18.7, 20.0, 37.5, 40.0, 86.5, 87.5, 88.6]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", BOTH, ids=ids)
def test_accuracy(activation, dtype):
    # `make exhaustive` tests every float32.
    rng = np.random.default_rng(0)
    finfo = np.finfo(dtype)
    far = 103 if dtype == "float32" else 745
    x = np.concatenate(
        [
            np.outer([1, -1], HARD).ravel(),
            rng.uniform(-1, 1, 30),
            rng.uniform(-10, 10, 50),
            rng.uniform(-far, 88, 30),
            rng.choice([-1, 1], 20) * 10.0 ** rng.uniform(-37, 2, 20),
            [finfo.tiny, -finfo.smallest_subnormal, finfo.tiny / 3],
        ]
    ).astype(dtype)
    result = at(ms.affine, activation, x)
    bound = 2 if not activation.name.startswith("gelu") else 4
    exact = np.dtype(dtype).type(activation.number)
    for one, value in zip(x, result, strict=True):
        desired = truth.true(activation, one, exact)
        if activation.is_derivative:
            error = truth.ulps(value, desired, finfo.nmant + 1, finfo.minexp, at_least=0.25)
            assert error <= 4, (one, value)
        elif abs(desired) <= finfo.max:
            error = truth.ulps(value, desired, finfo.nmant + 1, finfo.minexp)
            assert error <= bound, (one, value)


@pytest.mark.parametrize(
    ("activation", "dtype"), [*IN_DTYPES, *((f, "float16") for f in BOTH)], ids=str
)
def test_nan_gives_nan(backend, activation, dtype):
    result = at(backend, activation, np.array([np.nan], dtype))
    assert result.dtype == dtype
    assert np.isnan(result).all()


INF = np.inf
LIMITS = {  # at -inf, 0 and inf; then those of the derivative
    "linear": (-INF, 0, INF, 1, 1, 1),
    "relu": (0, 0, INF, 0, 0, 1),
    "relu6": (0, 0, 6, 0, 0, 0),
    "leaky_relu": (-INF, 0, INF, 0.2, 0.2, 1),
    "elu": (-1, 0, INF, 0, 1, 1),
    "selu": (-1.7580993408473768, 0, INF, 0, 1.7580993408473768, 1.0507009873554805),
    "softsign": (-1, 0, 1, 0, 1, 0),
    "hard_sigmoid": (0, 0.5, 1, 0, 1 / 6, 0),
    "hard_tanh": (-1, 0, 1, 0, 1, 0),
    "sigmoid": (0, 0.5, 1, 0, 0.25, 0),
    "tanh": (-1, 0, 1, 0, 1, 0),
    "exponential": (0, 1, INF, 0, 1, INF),
    "softplus": (0, 0.6931471805599453, INF, 0, 0.5, 1),
    "silu": (0, 0, INF, 0, 0.5, 1),
    "gelu": (0, 0, INF, 0, 0.5, 1),
    "gelu_tanh": (0, 0, INF, 0, 0.5, 1),
}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_limits(name, dtype):
    x = np.array([-INF, 0, INF], dtype)
    activation = ms.Activation(name)
    values = [at(ms.affine, f, x) for f in (activation, activation.derivative)]
    expected = np.array(LIMITS[name]).astype(dtype)
    assert np.array_equal(np.concatenate(values), expected)
    largest = np.finfo(dtype).max
    ends = np.array([-largest, largest], dtype)
    slopes = at(ms.affine, activation.derivative, ends)
    assert np.array_equal(slopes, expected[[3, 5]])
    ends = at(ms.affine, activation, ends)
    if name == "exponential":
        assert np.array_equal(ends, expected[[0, 2]])
    elif name not in ("linear", "leaky_relu", "selu"):
        assert np.array_equal(ends, np.clip(expected[[0, 2]], None, largest))


@pytest.mark.parametrize("name", ["tanh", "softsign", "elu", "hard_tanh", "linear", "leaky_relu"])
def test_odd_ones_keep_the_sign_of_zero(name):
    result = at(ms.affine, name, np.array([0.0, -0.0]))
    assert_same_bits(result, np.array([0.0, -0.0]))


def test_representable_values_are_not_zero():
    x = np.float32([-100, -103])
    assert (at(ms.affine, "sigmoid", x) > 0).all()
    assert (at(ms.affine, "silu", np.float32([-100, -107])) < 0).all()
    assert (at(ms.affine, "gelu", np.float32([-13, -14])) < 0).all()
    assert (at(ms.affine, "sigmoid", np.float64([-745])) > 0).all()
    assert np.isfinite(at(ms.affine, "exponential", np.float32([88.7]))).all()


def test_integers_become_floats_before_they_can_wrap():
    for dtype, floating in [("int8", "f2"), ("bool", "f2"), ("uint16", "f4"), ("int64", "f8")]:
        samples = np.array([[100, 1]]).astype(dtype)
        result = ms.affine(samples, samples, activation="softsign")
        assert result.dtype == floating
        product = float(samples[0, 0]) ** 2
        assert result[0, 0, 0] == np.dtype(floating).type(product / (1 + product))
    assert_same_bits(
        ms.affine(np.int8([[100, 100]]), np.int8([[2, 1]]), activation="relu"),
        np.int8([[[0, 100]]]),
    )
    assert_same_bits(
        ms.affine(np.uint8([[200, 2]]), np.uint8([[1, 1]]), activation="relu6"),
        np.uint8([[[6, 2]]]),
    )
    assert_same_bits(
        ms.affine([[True, False]], [[True, True]], activation="relu6"), np.array([[[True, False]]])
    )


def test_linear_is_no_activation():
    operands = np.complex64([[1j]]), np.longdouble([[2]])
    for activation in ("linear", ms.Activation("linear"), None):
        assert_same_bits(ms.affine(*operands, activation=activation), np.clongdouble([[[2j]]]))


def test_keras_aliases():
    assert ms.Activation("swish") == ms.Activation("silu")
    assert_same_bits(
        ms.affine([[1.5]], [[1.0]], activation="swish"),
        ms.affine([[1.5]], [[1.0]], activation="silu"),
    )


def test_an_activation_is_a_value():
    leaky = ms.Activation("leaky_relu", negative_slope=0.1)
    assert leaky == ms.Activation("leaky_relu", negative_slope=np.float64(0.1))
    assert leaky != ms.Activation("leaky_relu")
    assert leaky != leaky.derivative == pickle.loads(pickle.dumps(leaky.derivative))
    assert len({leaky, pickle.loads(pickle.dumps(leaky)), leaky.derivative}) == 2
    assert repr(leaky) == "Activation('leaky_relu', negative_slope=0.1)"
    assert repr(ms.Activation("gelu").derivative) == "Activation('gelu').derivative"
    with pytest.raises(AttributeError):
        leaky.parameter = 3
    with pytest.raises(AttributeError, match="no second derivative"):
        _ = leaky.derivative.derivative


@pytest.mark.parametrize(
    ("name", "ours"), [("SiLU", "silu"), ("swish", "silu"), ("LINEAR", "linear"), ("GELU", "gelu")]
)
def test_other_names_of_activations(name, ours):
    assert ms.Activation(name) == ms.Activation(ours)
    assert ms.Activation(name).name == ours
    x = np.linspace(-3, 3, 7, dtype="f4")[:, None]
    assert_same_bits(ms.affine(x, x[:1], activation=name), ms.affine(x, x[:1], activation=ours))


@pytest.mark.parametrize("dtype", ["?", "i1", "f2", "f4", "f8"])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_an_activation_can_be_called(name, dtype):
    activation = ms.Activation(name)
    x = np.array([[-2, -0.0, 1], [np.nan, 0, 3]] if dtype[0] == "f" else [[-2, 0, 1]], dtype)
    expected = ms.affine(x.reshape(-1, 1), np.ones((1, 1), dtype), activation=name)
    assert_same_bits(activation(x), expected.reshape(x.shape))
    assert_same_bits(activation(x.T), expected.reshape(x.shape).T)
    assert activation(x[:0]).shape == (0, 3)
    assert activation(x[0, 2]) == activation(x)[0, 2]
    assert isinstance(activation(x[0, 2]), np.generic)


def test_an_activation_names_its_argument():
    with pytest.raises(TypeError, match="x has dtype <U1"):
        ms.Activation("tanh")(["a"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ("tan",),
            ValueError,
            r"activation must be one of .*, gelu, gelu_tanh, not 'tan' \(did you mean 'tanh'\?\)",
        ),
        (("LeakyReLU",), ValueError, r"Activation\('leaky_relu', negative_slope="),
        (("Softmax",), ValueError, "combines outputs.*; use 'linear'"),
        ((3,), TypeError, "name of an activation must be a str, not 3"),
        (("tanh", {"alpha": 1}), TypeError, "'tanh' has no parameter 'alpha': it has none"),
        (("elu", {"slope": 1}), TypeError, "'elu' has no parameter 'slope': it has only 'alpha'"),
        (("elu", {"alpha": np.inf}), ValueError, "alpha must be finite, not inf"),
        (("elu", {"alpha": np.nan}), ValueError, "alpha must be finite, not nan"),
        (("elu", {"alpha": 10**400}), ValueError, "alpha must be finite, not 1000"),
        (("elu", {"alpha": "1"}), TypeError, "alpha must be a real number, not '1'"),
    ],
)
def test_errors_of_an_activation(arguments, error, message):
    name, given = (*arguments, {})[:2]
    with pytest.raises(error, match=message):
        ms.Activation(name, **given)


@pytest.mark.parametrize(
    ("activation", "dtype", "error", "message"),
    [
        ("tahn", "f4", ValueError, "activation must be one of linear, relu"),
        (np.tanh, "f4", TypeError, "a name or a multisubnet.Activation, not <ufunc 'tanh'>"),
        ("relu", "c8", TypeError, "'relu'.* is not defined for results of dtype complex64"),
        ("tanh", "g", TypeError, "is not defined for results of dtype"),
        (ms.Activation("elu", alpha=1e300), "f4", ValueError, "is too large for float32"),
    ],
)
def test_errors_of_affine(activation, dtype, error, message):
    out = np.full((1, 1, 1), 42, dtype)
    with pytest.raises(error, match=message):
        ms.affine(np.ones((1, 1), dtype), np.ones((1, 1), dtype), activation=activation, out=out)
    assert out == 42


def test_an_out_of_integers_does_not_take_floats():
    with pytest.raises(TypeError, match="out has dtype int64, to which results of dtype float64"):
        ms.affine([[1]], [[2]], activation="tanh", out=np.zeros((1, 1, 1), int))


@takes_long
def test_the_coefficients_are_current():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, ROOT / "tools/coefficients.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    file = ROOT / "multisubnet/_arithmetic/coefficients.py"
    assert done.stdout == file.read_text(), "run `make generate`"


def test_a_program_has_each_needed_operation_once():
    def recipe(x, parameter):
        _ = x / parameter
        double = x * 2.0
        return (x * 2.0 + double) - (x < 1.0).select(double, 1.0), double

    program = _recipe.trace(recipe, np.dtype("f4"), ("x", "parameter"))
    assert [program.operations[result].name for result in program.results] == [
        "subtract",
        "multiply",
    ]
    names = [operation.name for operation in program.operations]
    assert sorted(names) == sorted(
        ["input", "constant", "multiply", "add", "constant", "less", "select", "subtract"]
    )
    assert program.cost == 5
