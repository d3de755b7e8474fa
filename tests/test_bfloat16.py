"""bfloat16: float32's operations, each result rounded to its upper half, on every backend."""

from __future__ import annotations

import sys

import formula
import numpy as np
import pytest
from conftest import EXAMPLES, examples, few, problems_of_sums
from hypothesis import find, given, settings
from hypothesis import strategies as st
from test_losses import Case, assert_all_same_bits, judgements
from test_select import selections
from test_vjp import OPERANDS, pullbacks
from test_vjp import Case as CaseOfVjp

import multisubnet as ms
from multisubnet._arithmetic.activation_recipes import RECIPES
from multisubnet._arrays import dtypes as _dtypes
from multisubnet._files import array_files
from multisubnet.testing import (
    DTYPES,
    activations,
    arrays,
    assert_same_bits,
    problems,
    values,
)

ml_dtypes = pytest.importorskip("ml_dtypes")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
NARROW = ["bfloat16", "bool", "int8", "uint8"]
REALS = [dtype for dtype in DTYPES if np.dtype(dtype).kind != "c"]

narrow = problems(dtypes=["bfloat16"])
mixed = problems(dtypes=NARROW, mixed_dtypes=True)
with_all = problems(dtypes=["bfloat16", "bfloat16", *DTYPES], mixed_dtypes=True)


@settings(max_examples=2 * EXAMPLES)
@given(problem=narrow | mixed | with_all, set_axis=st.sampled_from([0, 1]))
def test_affine(backend, problem, set_axis):
    result = backend(*problem, set_axis=set_axis)
    assert_same_bits(result, formula.affine(*problem, set_axis=set_axis))


@settings(max_examples=examples(1 / 4))
@given(problem=problems(dtypes=["bfloat16"], max_sets=40, max_samples=70, max_features=300))
def test_affine_past_every_block(backend, problem):
    assert_same_bits(backend(*problem), formula.affine(*problem))


@pytest.mark.parametrize("name", few(RECIPES, 4))
@settings(max_examples=examples(1 / 10))
@given(data=st.data())
def test_affine_with_an_activation(backend, name, data):
    problem = data.draw(narrow | problems(dtypes=[*NARROW, "float16", "int16"], mixed_dtypes=True))
    activation = data.draw(activations(names=[name]))
    result = backend(*problem, activation=activation)
    assert_same_bits(result, formula.affine(*problem, activation=activation))


def every():
    return np.arange(1 << 16).astype(np.uint16).view(BFLOAT16)


def test_activations_of_every_number(backend):
    for name in ("relu", "tanh", "gelu"):
        x, activation = every(), ms.Activation(name)
        one = np.ones((1, len(x)), BFLOAT16)
        result = backend(x[None], one, activation=activation)[0, 0]
        assert_same_bits(result, formula.activated(x, activation))


@given(problem=selections(dtypes=["bfloat16"]) | selections(dtypes=NARROW, mixed_dtypes=True))
def test_affine_select(backend, problem):
    samples, weight, bias, index = problem
    index = index.astype(np.int64) + (np.arange(len(index)) % 3 == 0) * 7  # out of range
    result = backend.affine_select(samples, weight, bias, index, activation="elu", check=False)
    desired = formula.affine_select(samples, weight, bias, index, activation="elu")
    assert_same_bits(result, desired)


@given(problem=narrow | mixed, dtype=st.sampled_from(["f2", "f4", ">f8", "c8", "bfloat16"]))
def test_bfloat16_into_out(backend, problem, dtype):
    desired = formula.affine(*problem)
    out = np.full(desired.shape, 42, dtype)
    backend(*problem, out=out)
    with np.errstate(all="ignore"):
        assert_same_bits(out, desired.astype(np.float32).astype(dtype))


@settings(max_examples=2 * EXAMPLES)
@given(problem=problems(dtypes=REALS) | problems(dtypes=REALS, mixed_dtypes=True))
def test_other_dtypes_into_out_of_bfloat16(backend, problem):
    desired = formula.affine(*problem)
    out = np.full(desired.shape, 42, BFLOAT16)
    backend(*problem, out=out)
    if desired.dtype.name not in ("int64", "uint64"):  # float64 cannot hold all of these
        assert_same_bits(out, formula.cast(desired, BFLOAT16))


# Values almost halfway between two bfloat16 numbers are rounded once.


@given(
    bits=st.integers(0, 0x7F7F),
    exponent=st.integers(-45, -30),
    sign=st.sampled_from([-1.0, 0.0, 1.0]),
    negative=st.booleans(),
)
def test_float64_is_rounded_once(backend, bits, exponent, sign, negative):
    halfway = np.array(bits << 16 | 0x8000, np.uint32).view(np.float32).astype(float)
    x = (-1 if negative else 1) * halfway * (1 + sign * 2.0**exponent)
    out = np.empty((1, 1, 1), BFLOAT16)
    backend(np.array([[x]]), np.ones((1, 1)), out=out)
    upward = bits + (sign > 0 or (sign == 0 and bits % 2 == 1)) | negative << 15
    assert out.view(np.uint16).item() == upward


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
@given(data=st.data())
def test_integers_are_rounded_once(backend, dtype, data):
    info = np.iinfo(dtype)
    fraction = data.draw(st.integers(128, 255))
    shift = data.draw(st.integers(20, info.bits - 8 - (info.min < 0)))
    beyond = data.draw(st.integers(-2, 2))
    x = (fraction << shift) + (1 << (shift - 1)) + beyond
    step = fraction + (beyond > 0 or (beyond == 0 and fraction % 2 == 1))
    sign = data.draw(st.sampled_from([1, -1] if info.min else [1]))
    out = np.empty((1, 1, 1), BFLOAT16)
    backend(np.array([[sign * x]], dtype), np.ones((1, 1), dtype), out=out)
    assert out.item() == sign * float(step << shift)


# Sums.


@pytest.mark.parametrize("special_values", [False, True])
@pytest.mark.parametrize(
    "case",
    [
        Case("squared_error", None, "", 2, False, True),
        Case("huber", "elu", "", 2, True, True),
        Case("log_cosh", "tanh", "", 3, False, False),
    ],
    ids=lambda case: case.loss,
)
@settings(max_examples=examples(1 / 8))
@given(data=st.data(), dtypes=st.sampled_from([["bfloat16"], ["bfloat16", "float16", "int8"]]))
def test_losses(backend, case, special_values, data, dtypes):
    drawn = judgements(case, dtypes=dtypes, special_values=special_values)
    operands, options = data.draw(drawn)
    options["dtype"] = data.draw(st.sampled_from(["float64", BFLOAT16]))
    result = backend.mean_loss_and_grad(*operands, **options)
    assert_all_same_bits(result, formula.mean_loss_and_grad(*operands, **options))


@settings(max_examples=examples(1 / 4))
@given(data=st.data(), dtypes=st.sampled_from([["bfloat16"], ["bfloat16", "float32", "bool"]]))
def test_vjp(backend, data, dtypes):
    case = CaseOfVjp("elu", "", data.draw(st.sampled_from([2, 3])), OPERANDS)
    operands, options = data.draw(pullbacks(case, dtypes=dtypes))
    result = backend.affine_vjp(*operands, **options)
    assert_all_same_bits(result, formula.affine_vjp(*operands, **options))


@settings(max_examples=examples(1 / 8))
@given(problem=problems_of_sums(["bfloat16"]))
def test_stats(backend, problem):
    result = backend.affine_stats(*problem, activation="tanh")
    assert_all_same_bits(result, formula.affine_stats(*problem, activation="tanh"))


def test_a_sum_in_float64_is_rounded_once(backend):
    # Over two runs of samples: halfway between two bfloat16 numbers, and a little more.
    cotangent = np.zeros((1, 64, 1), np.float32)
    cotangent[0, [0, 32], 0] = 1 + 2.0**-8, 2.0**-40
    one = np.ones((1, 1), BFLOAT16)
    *_, found = backend.affine_vjp(np.ones((64, 1), BFLOAT16), one, one, cotangent)
    assert_same_bits(found, np.array([[1 + 2.0**-7]], BFLOAT16))


# The common dtype of bfloat16 and others.


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ("bool int8 uint8", "bfloat16"),
        ("int16", "float32"),
        ("uint16 int8", "float32"),
        ("float16", "float32"),
        ("float16 bool", "float32"),
        ("int32", "float64"),
        ("uint64", "float64"),
        (">f4", "float32"),
        ("float64", "float64"),
        ("complex64", "complex64"),
        ("complex64 int64", "complex128"),
        ("longdouble", np.longdouble),
    ],
)
def test_the_dtype_in_common(others, expected):
    dtypes = [np.dtype(name) for name in others.split()]
    for order in ([BFLOAT16, *dtypes], [*dtypes, BFLOAT16], [*dtypes, BFLOAT16, BFLOAT16]):
        assert _dtypes.result_type(*order) == np.dtype(expected)


@pytest.mark.parametrize(
    "dtype", ["float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2", "int4", "int1", "uint1"]
)
def test_other_dtypes_of_ml_dtypes_are_refused(dtype):
    # Some have the characters of NumPy's own dtypes, or of bfloat16.
    if not hasattr(ml_dtypes, dtype):
        pytest.skip(f"ml_dtypes {ml_dtypes.__version__} has no {dtype}")
    array = np.ones((2, 3)).astype(getattr(ml_dtypes, dtype))
    with pytest.raises(TypeError, match=f"weight has dtype {dtype}; expected bool"):
        ms.affine(np.ones((2, 3)), array)
    with pytest.raises(TypeError, match=f"out has dtype {dtype}"):
        ms.affine(np.ones((2, 3)), np.ones((2, 3)), out=np.ones((2, 2, 3)).astype(array.dtype))


def test_complex_results_do_not_fit():
    with pytest.raises(TypeError, match="out has dtype bfloat16, to which results of dtype comp"):
        ms.affine([[1j]], [[1.0]], out=np.empty((1, 1, 1), BFLOAT16))


def test_out_that_is_an_operand():
    x = np.array([[[1.5, 2.0]]], BFLOAT16)
    assert ms.affine(x, np.array([[3.0, 4.0]], BFLOAT16), out=x) is x
    assert_same_bits(x, np.array([[[4.5, 8.0]]], BFLOAT16))


# Sets of weights.


@given(weight=arrays("bfloat16", (3, 4), layouts=["contiguous"]))
def test_theta_and_pairs(weight):
    bias = np.ones((3, 4), np.int8)
    for there, back in ((ms.to_pairs, ms.from_pairs), (ms.to_theta, lambda x: ms.from_theta(x, 4))):
        packed = there(weight, bias)
        assert packed.dtype == BFLOAT16
        for one, other in zip(back(packed), (weight, bias.astype(BFLOAT16)), strict=True):
            assert_same_bits(one, other)
    assert ms.to_theta(weight, bias.astype(np.int16)).dtype == np.float32
    assert ms.to_pairs(weight, bias.astype(np.float16)).dtype == np.float32


def weight_sets():
    return ms.WeightSets(np.linspace(-3, 3, 6).reshape(2, 3).astype(BFLOAT16), activation="tanh")


def test_weight_sets():
    sets = weight_sets()
    assert sets.dtype == BFLOAT16
    assert "bfloat16" in repr(sets)
    samples = np.ones((4, 3), BFLOAT16)
    desired = formula.affine(samples, sets.weight, activation="tanh")
    assert_same_bits(sets.predict(samples), desired)
    both = ms.WeightSets.concatenate([sets, sets])
    assert_same_bits(both.weight, np.concatenate([sets.weight, sets.weight]))


def test_files(tmp_path):
    pytest.importorskip("safetensors")
    sets = weight_sets()
    sets.save(tmp_path / "sets.safetensors")
    assert ms.WeightSets.load(tmp_path / "sets.safetensors") == sets
    with pytest.raises(ValueError, match=r"weight has dtype bfloat16, which .npy and .npz files"):
        sets.save(tmp_path / "sets.npz")
    assert not (tmp_path / "sets.npz").exists()


def test_a_file_with_bfloat16_names_the_missing_package(tmp_path, monkeypatch):
    pytest.importorskip("safetensors")
    weight_sets().save(tmp_path / "sets.safetensors")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match=r"'weight' in .* is bfloat16, .* install ml_dtypes"):
        ms.WeightSets.load(tmp_path / "sets.safetensors")


def test_results_in_files(tmp_path):
    # There are no 16-bit files that nothing could read.
    result = np.ones((2, 3), BFLOAT16)
    for name in ("result.npy", "result.npz"):
        with pytest.raises(ValueError, match=r"loss has dtype bfloat16, which .npy and .npz"):
            array_files.write(tmp_path / name, result, "loss", ["set"], "abc")
    assert not list(tmp_path.iterdir())


# Drawn numbers.


def test_drawn_numbers():
    def is_subnormal(x):
        return 0 < abs(float(x)) < 2.0**-126

    for wanted in (lambda x: x != x, np.isposinf, np.isneginf, is_subnormal):
        assert find(values("bfloat16"), wanted).dtype == BFLOAT16

    @given(values("bfloat16", special_values=False))
    def none_is_special(x):
        x = float(x)
        assert np.isfinite(x)
        assert abs(x) >= 2.0**-126 or (x == 0 and not np.signbit(x))

    none_is_special()


def test_differences_are_seen():
    one, other = (np.array([x], np.uint16).view(BFLOAT16) for x in (0x3F80, 0x3F82))
    with pytest.raises(AssertionError, match=r"1 .0x3f80.*0x3f82.*2 ulp apart"):
        assert_same_bits(one, other)
    nans = (np.array([x], np.uint16).view(BFLOAT16) for x in (0x7FC0, 0xFF81))
    assert_same_bits(*nans)
