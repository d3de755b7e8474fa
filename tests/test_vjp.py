"""affine_vjp: gradients of all operands, in one order of summation on every backend."""

from __future__ import annotations

from typing import NamedTuple

import formula
import numpy as np
import pytest
import tiles
from conftest import examples, normals, problems_of_sums, shape_of, shapes_of_sums
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses import REALS, assert_all_same_bits, operands_of

import multisubnet as ms
from multisubnet._arithmetic.activation_recipes import RECIPES
from multisubnet.testing import activations, assert_same_bits

OPERANDS = ("samples", "weight", "bias")


class Case(NamedTuple):
    """A case with its own compiled code."""

    activation: str | None
    dtype: str
    ndim: int
    wrt: tuple[str, ...]
    has_bias: bool = True
    shared: tuple[str, ...] = ()


CASES = [
    Case(None, "float32", 2, OPERANDS),
    Case("tanh", "float32", 3, OPERANDS, shared=("weight", "bias")),
    Case(None, "float64", 3, OPERANDS, has_bias=False),
    Case("elu", "float64", 2, OPERANDS, shared=("bias",)),
    Case("elu", "float64", 2, ("bias",)),
    Case(None, "float32", 2, ("weight",), has_bias=False, shared=("weight",)),
]


@st.composite
def pullbacks(draw, case, *, shapes=shapes_of_sums, dtypes=None, special_values=False):
    """Draw the operands of affine_vjp and its keywords."""
    options = {"ndim": case.ndim, "has_bias": case.has_bias, "shared": case.shared}
    options["special_values"] = special_values
    problem = draw(problems_of_sums(dtypes or [case.dtype], shapes, **options))
    dtype = draw(st.sampled_from(REALS)) if dtypes else case.dtype
    cotangent = draw(normals(dtype, shape_of(problem), special_values=special_values))
    name = case.activation
    activation = name and draw(activations(names=[name], derivatives=False))
    return (*problem, cotangent), {"activation": activation, "wrt": case.wrt}


@pytest.mark.parametrize("special_values", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.dtype}-{','.join(case.wrt)}")
@settings(max_examples=examples(1 / 8))
@given(data=st.data())
def test_agreement(backend, case, special_values, data):
    operands, options = data.draw(pullbacks(case, special_values=special_values))
    result = backend.affine_vjp(*operands, **options)
    assert_all_same_bits(result, formula.affine_vjp(*operands, **options))


@settings(max_examples=examples(1 / 4))
@given(data=st.data(), dtypes=st.sampled_from([["float16", "float32"], REALS]))
def test_agreement_of_mixed_dtypes(backend, data, dtypes):
    operands, options = data.draw(pullbacks(Case("elu", "", 2, OPERANDS), dtypes=dtypes))
    result = backend.affine_vjp(*operands, **options)
    assert_all_same_bits(result, formula.affine_vjp(*operands, **options))


several_blocks = st.tuples(
    st.sampled_from([1, 2, 4097]), st.sampled_from([1, 2, 8193, 13001]), st.integers(1, 3)
).filter(lambda shape: min(shape[:2]) <= 2)


@settings(max_examples=examples(1 / 20))
@given(data=st.data(), case=st.sampled_from(CASES[:4]))
def test_agreement_over_several_blocks(backend, data, case):
    # Blocks of sets for the gradient of samples, or of samples for that of weight and bias.
    operands, options = data.draw(pullbacks(case, shapes=several_blocks))
    result = backend.affine_vjp(*operands, **options)
    assert_all_same_bits(result, formula.affine_vjp(*operands, **options))


@settings(max_examples=examples(1 / 4))
@given(data=st.data(), case=st.sampled_from(CASES[:4]))
def test_agreement_for_any_division_into_pieces(backend, data, case):
    operands, options = data.draw(pullbacks(case))
    with tiles.small(data.draw):
        result = backend.affine_vjp(*operands, **options)
    assert_all_same_bits(result, formula.affine_vjp(*operands, **options))


def cotangent_of(n_sets, n_samples, n_features, dtype="float64"):
    return np.random.default_rng(7).normal(size=(n_sets, n_samples, n_features)).astype(dtype)


@pytest.mark.parametrize("case", CASES[:4], ids=lambda case: f"{case.dtype}-{case.ndim}")
def test_each_part_alone_is_the_same(backend, case):
    (samples, weight, bias, _), _ = operands_of(20, 40, 33, case.dtype, case.ndim)
    cotangent = cotangent_of(20, 40, 33, case.dtype)
    options = {"activation": case.activation}
    together = backend.affine_vjp(samples, weight, bias, cotangent, **options)
    sets, rows, features = slice(3, 9), slice(8, 37), slice(1, 30)

    some = samples[sets] if case.ndim == 3 else samples
    _, *alone = backend.affine_vjp(
        some[..., features],
        weight[sets, features],
        bias[sets, features],
        cotangent[sets, :, features],
        **options,
        wrt=["weight", "bias"],
    )
    assert_all_same_bits(alone, [x[sets, features] for x in together[1:]])
    alone, _, _ = backend.affine_vjp(
        samples[..., rows, features],
        weight[:, features],
        bias[:, features],
        cotangent[:, rows, features],
        **options,
        wrt="samples",
    )
    assert_same_bits(alone, together[0][..., rows, features])


@pytest.mark.parametrize(
    "wrt", [(), ("weight",), ["bias", "samples"], "bias", OPERANDS, {"weight"}]
)
def test_only_requested_gradients(backend, wrt):
    (*operands, _), _ = operands_of(3, 10, 4)
    cotangent = cotangent_of(3, 10, 4)
    every = backend.affine_vjp(*operands, cotangent, activation="elu")
    some = backend.affine_vjp(*operands, cotangent, activation="elu", wrt=wrt)
    desired = [x if name in wrt else None for name, x in zip(OPERANDS, every, strict=True)]
    assert_all_same_bits(some, desired)
    assert backend.affine_vjp(*operands[:2], None, cotangent, activation="elu")[2] is None


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 4), (5, 4), (5, 4)],
        [(3, 4), (5, 4), (1, 4)],
        [(3, 4), (1, 4), (5, 4)],
        [(3, 4), (1, 4), (1, 4)],
        [(5, 3, 4), (1, 4), (1, 4)],
        [(3, 4), (0, 4), (0, 4)],
        [(3, 4), (0, 4), (1, 4)],
        [(3, 4), (1, 4), (0, 4)],
        [(0, 3, 4), (1, 4), (1, 4)],
        [(0, 4), (5, 4), (1, 4)],
        [(3, 0), (5, 0), (1, 0)],
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_have_the_shapes_of_operands(backend, shapes, dtype):
    rng = np.random.default_rng(0)
    operands = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    cotangent = cotangent_of(*formula.affine(*operands).shape, dtype)
    gradients = backend.affine_vjp(*operands, cotangent)
    assert [x.shape for x in gradients] == shapes
    assert_all_same_bits(gradients, formula.affine_vjp(*operands, cotangent))


@pytest.mark.parametrize(
    ("dtypes", "of_gradients"),
    [
        ("f4 f4 f4", "f4 f4 f4"),
        ("f2 f2 f2", "f2 f2 f2"),
        ("f2 f4 f8", "f2 f4 f8"),
        ("i1 f4 >f2", "f4 f4 f2"),
        ("i8 f4 u1", "f8 f4 f8"),
        ("? ? ?", "f8 f8 f8"),
    ],
)
@pytest.mark.parametrize("of_cotangent", ["f8", "f4", "i8"])
def test_dtypes(backend, dtypes, of_gradients, of_cotangent):
    (*operands, _), _ = operands_of(3, 10, 4)
    operands = [(3 * x).astype(dtype) for x, dtype in zip(operands, dtypes.split(), strict=True)]
    cotangent = (3 * cotangent_of(3, 10, 4)).astype(of_cotangent)
    gradients = backend.affine_vjp(*operands, cotangent)
    assert [x.dtype for x in gradients] == [np.dtype(dtype) for dtype in of_gradients.split()]
    assert_all_same_bits(gradients, formula.affine_vjp(*operands, cotangent))


@pytest.mark.parametrize("activation", [None, *RECIPES])
@pytest.mark.parametrize("ndim", [2, 3])
def test_gradients_are_the_limits_of_differences(activation, ndim):
    (*operands, _), _ = operands_of(3, 8, 5, ndim=ndim)
    cotangent = cotangent_of(3, 8, 5)
    gradients = ms.affine_vjp(*operands, cotangent, activation=activation)
    rng = np.random.default_rng(1)
    for which, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)
        values = []
        for sign in (1, -1):
            moved = list(operands)
            moved[which] = operands[which] + sign * 1e-6 * direction
            values.append((ms.affine(*moved, activation=activation) * cotangent).sum())
        difference = (values[0] - values[1]) / 2e-6
        assert np.isclose((gradient * direction).sum(), difference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("activation", [None, "tanh", "sigmoid", "gelu", "softplus", "relu"])
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("shared", [False, True])
def test_gradients_are_torchs(activation, ndim, shared):
    torch = pytest.importorskip("torch")
    (samples, weight, bias, _), _ = operands_of(40, 300, 3, "float32", ndim)
    if shared:
        weight, bias = weight[:1], bias[:1]
    cotangent = cotangent_of(40 if ndim == 3 or not shared else 1, 300, 3, "float32")
    gradients = ms.affine_vjp(samples, weight, bias, cotangent, activation=activation)
    operands = samples.reshape(-1, 300, 3), weight[:, None], bias[:, None]
    x, w, b, c = (torch.from_numpy(array.astype(float)) for array in (*operands, cotangent))
    z = (x * w + b).requires_grad_()
    result = getattr(torch.nn.functional, activation)(z) if activation else z
    (result * c).sum().backward()
    # The error of a derivative is relative to the larger of its size and 1/4.
    size = torch.maximum(abs(z.grad), abs(c) / 4)
    for gradient, operand, times in zip(gradients, operands, (w, x, 1 + 0 * x), strict=True):
        desired = (z.grad * times).sum_to_size(operand.shape)
        error = abs(torch.from_numpy(gradient.astype(float)).reshape(operand.shape) - desired)
        assert (error <= 1e-5 * (size * abs(times)).sum_to_size(operand.shape)).all()


def test_a_row_that_all_sets_share_has_the_sum_of_their_gradients(backend):
    (samples, weight, bias, _), _ = operands_of(5, 30, 4, "float64", 3)
    cotangent = cotangent_of(5, 30, 4, "float64")
    shared = backend.affine_vjp(samples, weight[:1], bias[:1], cotangent)
    rows = weight[:1].repeat(5, 0), bias[:1].repeat(5, 0)
    own = backend.affine_vjp(samples, *rows, cotangent)
    assert_same_bits(shared[0], own[0])
    for one, many in zip(shared[1:], own[1:], strict=True):
        assert one.shape == (1, 4)
        assert np.allclose(one[0], many.sum(0), rtol=1e-12)


@pytest.mark.parametrize("name", ["relu", "relu6", "hard_tanh", "leaky_relu"])
def test_slopes_at_the_kinks(name):
    z = np.array([[0.0, 6.0, 1.0, -1.0]])
    *_, grad_bias = ms.affine_vjp(z, np.ones((1, 4)), 0 * z, np.ones((1, 1, 4)), activation=name)
    derivative = ms.affine(z, np.ones((1, 4)), activation=ms.Activation(name).derivative)
    assert np.array_equal(grad_bias, derivative[0])


def test_no_backend_warns_or_asks_seterr(backend):
    for case in CASES[:4]:
        largest = np.full((2, 2), np.finfo(case.dtype).max, case.dtype)
        samples = largest if case.ndim == 2 else largest.repeat(2).reshape(2, 2, 2)
        for cotangent in (samples * np.ones((2, 1, 1), case.dtype), np.full((2, 2, 2), np.nan)):
            with np.errstate(all="raise"):
                operands = samples, -largest, largest, cotangent.astype(case.dtype)
                backend.affine_vjp(*operands, activation=case.activation)


GIVEN = {
    "samples": np.ones((3, 4)),
    "weight": np.ones((5, 4)),
    "bias": np.ones((5, 4)),
    "cotangent": np.ones((5, 3, 4)),
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"cotangent": np.ones((3, 4))},
            ValueError,
            r"cotangent has shape \(3, 4\); expected \(N, B, F\) = \(5, 3, 4\)",
        ),
        ({"cotangent": np.ones((3, 5, 4))}, ValueError, r"cotangent has shape \(3, 5, 4\)"),
        ({"cotangent": np.ones((1, 3, 4))}, ValueError, r"cotangent has shape \(1, 3, 4\)"),
        ({"cotangent": None}, TypeError, "cotangent is None; expected an array_like"),
        ({"cotangent": np.ones((5, 3, 4), "D")}, TypeError, "cotangent has dtype complex128"),
        ({"cotangent": np.ones((5, 3, 4), "g")}, TypeError, "cotangent has dtype.*up to float64"),
        ({"cotangent": np.ones((5, 3, 4), "U")}, TypeError, "cotangent has dtype <U1"),
        ({"cotangent": np.ma.ones((5, 3, 4))}, TypeError, "cotangent is a masked array"),
        ({"samples": np.ones((3, 4), "F")}, TypeError, "together have dtype complex128"),
        ({"weight": np.ones((5, 4), "g")}, TypeError, "together have dtype (float|longdouble)"),
        ({"bias": np.ones((5, 3))}, ValueError, r"bias has shape \(5, 3\)"),
        ({"wrt": "targets"}, ValueError, "wrt has 'targets'; expected some of samples, weight, "),
        ({"wrt": ["weight", 3]}, ValueError, "wrt has 3; expected some of samples, weight, bias"),
        (
            {"activation": ms.Activation("tanh").derivative},
            TypeError,
            r"activation is Activation\('tanh'\)\.derivative, which has no derivative",
        ),
        (
            {"activation": ms.Activation("linear").derivative},
            TypeError,
            r"activation is Activation\('linear'\)\.derivative, which has no derivative",
        ),
        ({"activation": "tan"}, ValueError, "activation must be one of"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_errors(change, error, message):
    with pytest.raises(error, match=message):
        ms.affine_vjp(**GIVEN | change)


@pytest.mark.gpu
@pytest.mark.parametrize("name", GIVEN)
def test_host_and_device_arrays_do_not_mix(name):
    import cupy

    there = {key: cupy.asarray(array) for key, array in GIVEN.items()}
    with pytest.raises(TypeError, match=rf"is on the GPU and {name} \(ndarray\) is not"):
        ms.affine_vjp(**there | {name: GIVEN[name]})
    with pytest.raises(TypeError, match=rf"{name} is on the GPU and .* \(ndarray\) is not"):
        ms.affine_vjp(**GIVEN | {name: there[name]})


def test_without_sets_shared_gradients_are_zero(backend):
    none = np.ones((0, 3, 2))
    _, grad_weight, grad_bias = backend.affine_vjp(none, np.ones((1, 2)), np.ones((1, 2)), none)
    assert_same_bits(grad_weight, np.zeros((1, 2)))
    assert_same_bits(grad_bias, np.zeros((1, 2)))
