"""PyTorch tensors: the bits of arrays, gradients, tracing and transforms."""

from __future__ import annotations

import contextlib
import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLES, normals, problems_of_sums, shape_of
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import multisubnet as ms
from multisubnet import torch as mst
from multisubnet.testing import activations, assert_same_bits, problems
from multisubnet.torch import _affine_ops, _arrays, _loss_ops, _select_ops

pytestmark = [
    # Warnings of torch.compile and forward-mode derivatives on first use.
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

ROOT = Path(__file__).parents[2]
DTYPES = [str(dtype) for dtype in _arrays._TENSOR_DTYPES]
REALS = ["float16", "float32", "float64"]
OPERANDS = ("samples", "weight", "bias")


def tensor(array, transposed=False):
    """Return a tensor with an array's values; transposed ones have the other memory order."""
    if array is None:
        return None
    array = array.astype(array.dtype.newbyteorder("="))
    if transposed:
        return torch.from_numpy(np.array(array.T, order="C")).permute(*range(array.ndim)[::-1])
    return torch.from_numpy(np.array(array, order="C"))


def assert_same(result, expected):
    """Return whether tensors have the bits of arrays."""
    if isinstance(expected, tuple):
        assert isinstance(result, tuple)
        assert len(result) == len(expected)
        for one, other in zip(result, expected, strict=True):
            assert_same(one, other)
    elif expected is None:
        assert result is None
    else:
        assert isinstance(result, torch.Tensor)
        assert_same_bits(result.detach().numpy(), expected)


def draw(*shape, dtype=torch.float32, requires_grad=False, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    drawn = torch.randn(shape, generator=generator, dtype=dtype)
    return drawn.requires_grad_(requires_grad)


@pytest.fixture
def model():
    """Samples, weight and bias of 4 sets, 5 samples and 3 features; parameters require grad."""
    return draw(5, 3), draw(4, 3, requires_grad=True), draw(4, 3, requires_grad=True, seed=1)


# The same bits.


@given(data=st.data(), problem=problems(dtypes=DTYPES), transposed=st.booleans())
def test_affine(data, problem, transposed):
    common = np.result_type(*(x.dtype for x in problem if x is not None))
    activation = None
    if common.kind != "c" and data.draw(st.booleans()):
        activation = data.draw(activations())
    options = {"activation": activation, "set_axis": data.draw(st.sampled_from([0, 1]))}
    operands = [tensor(x, transposed) for x in problem]
    expected = ms.affine(*problem, **options)
    for function in (ms.affine, mst.affine):
        result = function(*operands, **options)
        assert_same(result, expected)
        assert result.is_contiguous()
    out = tensor(np.empty_like(expected), transposed)
    assert mst.affine(*operands, **options, out=out) is out
    assert_same(out, expected)


@settings(max_examples=max(EXAMPLES // 4, 10))
@given(data=st.data(), problem=problems_of_sums(REALS))
def test_sums(data, problem):
    n_sets, n_samples, n_features = shape_of(problem)
    targets = data.draw(normals("float32", (n_samples, n_features)))
    cotangent = data.draw(normals("float64", shape_of(problem)))
    factors = np.abs(data.draw(normals("float32", (n_samples,)))) + 1
    of_sets = np.abs(data.draw(normals("float64", (n_sets,)))) + 1
    loss = {
        "loss": data.draw(st.sampled_from(["huber", "squared_error"])),
        "activation": data.draw(st.sampled_from([None, "tanh"])),
        "per_feature": data.draw(st.booleans()),
    }
    weighted = data.draw(st.booleans())
    names = data.draw(st.lists(st.sampled_from(["mean", "std", "var"])))
    wrt = data.draw(st.lists(st.sampled_from(OPERANDS), unique=True))
    for name, others, options, arrays in (
        ("mean_loss", [targets], loss, {"sample_weight": factors if weighted else None}),
        ("mean_loss_and_grad", [targets], loss, {"sample_weight": factors if weighted else None}),
        ("affine_stats", [], {"statistics": names}, {"set_weight": of_sets if weighted else None}),
        ("affine_vjp", [cotangent], {"activation": "tanh", "wrt": wrt}, {}),
    ):
        expected = getattr(ms, name)(*problem, *others, **options, **arrays)
        operands = [tensor(x) for x in (*problem, *others)]
        result = getattr(ms, name)(
            *operands, **options, **{k: tensor(x) for k, x in arrays.items()}
        )
        assert_same(result, expected)


def test_dtype_of_losses():
    x, w = draw(5, 3), draw(4, 3)
    assert mst.mean_loss(x, w, None, x).dtype == torch.float64
    result = mst.mean_loss(x, w, None, x, dtype=torch.float32)
    assert_same(result, ms.mean_loss(x.numpy(), w.numpy(), None, x.numpy(), dtype="float32"))
    with pytest.raises(
        TypeError, match="dtype must be float16, bfloat16, float32 or float64, not int64"
    ):
        mst.mean_loss(x, w, None, x, dtype=torch.int64)


@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32, torch.uint8])
def test_select(index_dtype):
    x, w, b = draw(5, 3), draw(4, 3), draw(4, 3, seed=1)
    index = torch.tensor([3, 0, 0, 1, 3], dtype=index_dtype)
    expected = ms.affine_select(x.numpy(), w.numpy(), b.numpy(), index.numpy(), activation="tanh")
    assert_same(ms.affine_select(x, w, b, index, activation="tanh"), expected)
    out = torch.empty(3, 5).T
    assert mst.affine_select(x, w, b, index, activation="tanh", out=out) is out
    assert_same(out, expected)
    with pytest.raises(IndexError, match=r"set_index\[3\] is 4"):
        mst.affine_select(x, w, b, torch.tensor([0, 0, 0, 4, 0]))
    assert mst.affine_select(x, w, b, torch.tensor([0, 0, 0, 4, 0]), check=False)[3].isnan().all()


def test_memory_is_shared():
    x = draw(5, 3)
    assert np.shares_memory(_arrays.array_of("x", x), x.numpy())
    assert np.shares_memory(_arrays.array_of("x", x.t()[1:]), x.numpy())
    array = np.ones((5, 3))
    assert _arrays._as_tensor("x", array).data_ptr() == array.ctypes.data


def test_conjugates_and_negatives_are_computed():
    z = torch.complex(draw(5, 3), draw(5, 3, seed=1))
    w = draw(4, 3)
    assert_same(mst.affine(z.conj(), w), ms.affine(z.numpy().conj(), w.numpy()))
    assert_same(mst.affine(z.conj().imag, w), ms.affine(-z.numpy().imag, w.numpy()))


def not_writeable(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "form",
    [
        np.ndarray.tolist,
        not_writeable,
        lambda x: x[::-1, ::-1],
        lambda x: x.astype(">f4"),
        lambda x: x.astype(np.dtype({"names": ["x"], "formats": ["f8"], "itemsize": 9}))["x"],
    ],
    ids=["list", "read-only", "reversed", "big-endian", "unaligned"],
)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_arrays_and_sequences_mixed_with_tensors(form, requires_grad):
    samples, weight = draw(5, 3), form(draw(4, 3).numpy())
    expected = ms.affine(samples.numpy(), weight)
    assert_same(mst.affine(samples.requires_grad_(requires_grad), weight), expected)


def test_sets_predict_tensors():
    x, w = draw(5, 3), draw(4, 3)
    sets = ms.WeightSets(w.numpy(), activation="tanh")
    assert_same(sets.predict(x, set_axis=1), sets.predict(x.numpy(), set_axis=1))
    assert_same(sets.mean_loss(x, x), sets.mean_loss(x.numpy(), x.numpy()))


def test_subnormals_are_kept_where_pytorch_flushes_them():
    tiny = torch.full((2, 2), 1e-310, dtype=torch.float64)
    one = torch.ones(2, 2, dtype=torch.float64)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        result = mst.affine(tiny, one)
    finally:
        torch.set_flush_denormal(False)
    assert (result == 1e-310).all()


def test_errors():
    x, w = draw(5, 3), draw(4, 3)
    for wrong, name in (
        (x.to_sparse(), r"samples .*torch.sparse_coo.*samples.to_dense\(\)"),
        (x.to(torch.float8_e5m2), "samples has dtype torch.float8_e5m2; expected bool"),
    ):
        with pytest.raises(TypeError, match=name):
            mst.affine(wrong, w)
    with pytest.raises(ValueError, match=r"weight has shape \(4, 2\)"):
        mst.affine(x, w[:, :2])
    with pytest.raises(TypeError, match="samples is on cpu and weight on meta"):
        mst.affine(x, w.to("meta"))
    with pytest.raises(TypeError, match=r"samples is on meta and weight \(ndarray\) is not"):
        mst.affine(x.to("meta"), w.numpy())
    with pytest.raises(TypeError, match="targets is None"):
        mst.mean_loss(x, w, None, None)
    for wrong in (3, b"tanh"):
        with pytest.raises(TypeError, match="activation must be None, a name or"):
            mst.affine(x, w.requires_grad_(), activation=wrong)


def test_errors_of_out(model):
    x, w, b = model
    with pytest.raises(TypeError, match="out must be a tensor, not ndarray"):
        mst.affine(x, w, b, out=np.empty((4, 5, 3), np.float32))
    with pytest.raises(RuntimeError, match="out is given, but autograd is recording"):
        mst.affine(x, w, b, out=torch.empty(4, 5, 3))
    with pytest.raises(ValueError, match=r"out has shape \(4, 5, 2\)"), torch.no_grad():
        mst.affine(x, w, b, out=torch.empty(4, 5, 2))
    conjugate = torch.empty(4, 5, 3, dtype=torch.complex64).conj()
    with pytest.raises(ValueError, match="out is a lazy conjugate of"), torch.no_grad():
        mst.affine(x, w, b, out=conjugate)
    with pytest.raises(RuntimeError, match=r"out cannot be used inside transforms of torch.func"):
        torch.func.vmap(lambda w: mst.affine(x, w, out=torch.empty(4, 5, 3)))(draw(2, 4, 3))


def test_autograd_notices_writes_to_out():
    w, saved = draw(4, 3, requires_grad=True), draw(4, 3)
    product = w * saved
    mst.affine(torch.ones(1, 3), torch.ones(4, 3), out=saved[:, None])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_torch_is_imported_for_tensors_only():
    code = (
        "import multisubnet as ms, sys; ms.affine([[1]], [[1]]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@given(slopes=st.permutations([0.0, -0.0, 0.5]), name=st.sampled_from(["leaky_relu", "elu"]))
def test_zeros_as_parameters_are_known_by_their_sign(slopes, name):
    x = torch.tensor([[-2.0, -0.0, 3.0]], requires_grad=True)
    one = torch.ones(1, 3)
    parameter = {"leaky_relu": "negative_slope", "elu": "alpha"}[name]
    for slope in slopes:
        activation = ms.Activation(name, **{parameter: slope})
        expected = ms.affine(x.detach().numpy(), one.numpy(), activation=activation)
        assert_same(mst.affine(x, one, activation=activation), expected)
        in_batch = torch.vmap(lambda x, a=activation: mst.affine(x, one, activation=a))
        assert_same(in_batch(x[None])[0], expected)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes_of_losses_by_any_name(name):
    x, w = draw(5, 3), draw(4, 3)
    expected = mst.mean_loss(x, w, None, x, dtype=getattr(torch, name))
    names = [name] if name == "bfloat16" else [name, np.dtype(name), np.dtype(name).type]
    for dtype in names:
        result = ms.mean_loss(x, w, None, x, dtype=dtype)
        assert result.dtype == getattr(torch, name)
        assert torch.equal(result, expected)
        assert torch.equal(ms.mean_loss_and_grad(x, w, None, x, dtype=dtype)[0], expected)
        assert torch.equal(ms.WeightSets(w.numpy()).mean_loss(x, x, dtype=dtype), expected)
    for wrong in ("int64", np.complex64):
        with pytest.raises(TypeError, match="dtype must be float16, bfloat16, float32 or float64"):
            ms.mean_loss(x, w, None, x, dtype=wrong)


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, torch.from_numpy])
def test_out_may_be_a_tensor_with_any_operands(form):
    x, w, b = (draw(*shape, dtype=torch.float64).numpy() for shape in ((5, 3), (4, 3), (4, 3)))
    operands = [form(y) for y in (x, w, b)]
    expected = ms.affine(x, w, b, activation="tanh")
    for function in (ms.affine, mst.affine):
        out = torch.empty(4, 5, 3, dtype=torch.float64)
        assert function(*operands, activation="tanh", out=out) is out
        assert_same(out, expected)
    out = torch.empty(4, 5, 3, dtype=torch.float64)
    assert ms.WeightSets(w, b, "tanh").predict(form(x), out=out) is out
    assert_same(out, expected)
    out = torch.empty(5, 3, dtype=torch.float64)
    assert ms.affine_select(*operands, [0, 1, 2, 3, 3], activation="tanh", out=out) is out
    assert_same(out, expected[[0, 1, 2, 3, 3], range(5)])


@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.parametrize("which", ["samples", "targets"])
def test_best_of_tensors_that_require_a_gradient(which, per_feature):
    sets = ms.WeightSets(draw(4, 3).numpy())
    x, y = draw(5, 3), draw(5, 3, seed=1)
    expected, expected_losses = sets.best(2, x.numpy(), y.numpy(), per_feature=per_feature)
    (x if which == "samples" else y).requires_grad_()
    best, losses = sets.best(2, x, y, per_feature=per_feature)
    assert best == expected
    assert_same_bits(losses, expected_losses)


# Gradients.

CASES = [
    ((5, 3), (4, 3), (4, 3), None, 0),
    ((5, 3), (4, 3), (4, 3), "tanh", 1),
    ((4, 5, 3), (4, 3), (1, 3), "elu", 0),
    ((4, 5, 3), (1, 3), None, "gelu", 1),
    ((5, 3), (1, 3), (1, 3), "softplus", 0),
]


@pytest.mark.parametrize(("samples", "weight", "bias", "activation", "set_axis"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_those_of_affine_vjp(samples, weight, bias, activation, set_axis, dtype):
    operands = [
        shape and draw(*shape, dtype=dtype, requires_grad=True) for shape in (samples, weight, bias)
    ]
    result = mst.affine(*operands, activation=activation, set_axis=set_axis)
    cotangent = draw(*result.shape, dtype=dtype, seed=9)
    result.backward(cotangent)
    arrays = [None if x is None else x.detach().numpy() for x in operands]
    cotangent = cotangent.numpy().swapaxes(0, 1) if set_axis else cotangent.numpy()
    expected = ms.affine_vjp(*arrays, cotangent, activation=activation)
    assert_same(tuple(None if x is None else x.grad for x in operands), expected)
    if dtype == torch.float64:

        def function(*some):
            bias = some[2] if len(some) == 3 else None
            return mst.affine(*some[:2], bias, activation=activation, set_axis=set_axis)

        assert torch.autograd.gradcheck(function, [x for x in operands if x is not None])


def test_only_needed_gradients_are_computed(model, monkeypatch):
    x, w, b = model
    asked = []
    whole = _affine_ops.gradients
    monkeypatch.setattr(
        _affine_ops, "gradients", lambda *args: asked.append(args[1]) or whole(*args)
    )
    mst.affine(x, w, b.detach()).sum().backward()
    assert asked == [("weight",)]


@pytest.mark.parametrize("shared", [(), ("weight",), ("bias",)])
@pytest.mark.parametrize("activation", [None, "tanh"])
def test_gradients_of_select(shared, activation):
    double = {"dtype": torch.float64, "requires_grad": True}
    x, w, b = (
        draw(40, 3, **double),
        draw(1 if "weight" in shared else 6, 3, **double),
        draw(1 if "bias" in shared else 6, 3, **double, seed=1),
    )
    index = torch.from_numpy(np.random.default_rng(0).integers(5, size=40))  # never the last set
    index[:7] = 2

    def function(*operands):
        return mst.affine_select(*operands, index, activation=activation)

    result = function(x, w, b)
    cotangent = draw(40, 3, dtype=torch.float64, seed=9)
    result.backward(cotangent)
    assert torch.autograd.gradcheck(function, (x, w, b))
    x_, w_, b_ = (t.detach().numpy() for t in (x, w, b))
    for n in range(6):
        of_set = (index == n).numpy()
        expected = ms.affine_vjp(
            x_[of_set],
            w_[:1] if "weight" in shared else w_[n : n + 1],
            b_[:1] if "bias" in shared else b_[n : n + 1],
            cotangent.numpy()[of_set][None],
            activation=activation,
        )
        assert_same(x.grad[torch.from_numpy(of_set)], expected[0])
        if "weight" not in shared:
            assert_same(w.grad[n : n + 1], expected[1])
        if "bias" not in shared:
            assert_same(b.grad[n : n + 1], expected[2])


@pytest.mark.parametrize("wrong", [4, -1])
def test_gradients_of_select_check_indices(model, wrong):
    x, w, b = model
    index = torch.tensor([0, 0, 0, wrong, 0])
    with pytest.raises(IndexError, match=f"set_index contains {wrong}, but there are only 4 sets"):
        mst.affine_select(x, w, b, index, check=False).sum().backward()


@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.parametrize("shared", [(), ("weight",), ("bias",), ("weight", "bias")])
def test_gradients_of_losses(per_feature, shared):
    double = {"dtype": torch.float64, "requires_grad": True}
    x, t = draw(5, 3, dtype=torch.float64), draw(5, 3, dtype=torch.float64, seed=2)
    w = draw(1 if "weight" in shared else 4, 3, **double)
    b = draw(1 if "bias" in shared else 4, 3, **double, seed=1)
    options = {"loss": "huber", "activation": "tanh", "per_feature": per_feature}
    assert torch.autograd.gradcheck(lambda w, b: mst.mean_loss(x, w, b, t, **options), (w, b))

    losses = mst.mean_loss(x, w, b, t, **options)
    losses.sum().backward()
    arrays = [y.detach().numpy() for y in (x, w, b, t)]
    if per_feature:  # mean_loss_and_grad gives gradients of a feature's loss, or of their mean
        options["per_feature"] = True
    expected = ms.mean_loss_and_grad(*arrays, **options)
    assert_same(losses, expected[0])
    for parameter, gradient in ((w, expected[1]), (b, expected[2])):
        if len(parameter) == len(gradient):
            assert_same(parameter.grad, gradient)
        else:
            ones = np.ones((len(gradient), 1, 3))
            *_, total = ms.affine_vjp(ones, ones[0], ones[0], gradient[:, None])
            assert_same(parameter.grad, total)


def test_loss_and_grad_may_be_differentiated_once(model):
    x, w, b = model
    losses, grad_weight, _ = mst.mean_loss_and_grad(x, w, b, x)
    (gradient,) = torch.autograd.grad(losses[0], w, retain_graph=True)
    assert torch.equal(gradient[0], grad_weight[0])
    assert not gradient[1:].any()
    with pytest.raises(NotImplementedError, match="no second derivatives"):
        grad_weight.sum().backward()


@pytest.mark.parametrize("name", ["samples", "targets", "sample_weight"])
def test_losses_have_gradients_of_parameters_only(model, name):
    x, w, _ = model
    operands = {"samples": x, "targets": draw(5, 3, seed=3), "sample_weight": torch.ones(5)}
    operands[name].requires_grad_()
    losses = mst.mean_loss(weight=w, bias=None, **operands)
    with pytest.raises(NotImplementedError, match=rf"but {name} requires one: pass {name}.detach"):
        losses.sum().backward()


def test_statistics_have_no_gradients(model):
    mean, _ = mst.affine_stats(*model)
    with pytest.raises(NotImplementedError, match="affine_stats has no gradients"):
        mean.sum().backward()


SCALARS = {
    "affine": lambda x, w, b: (mst.affine(x, w, b) ** 2).sum(),
    "mean_loss": lambda x, w, b: (mst.mean_loss(x, w, b, x) ** 2).sum(),
    "affine_select": lambda x, w, b: (
        mst.affine_select(x, w, b, torch.tensor([0, 3, 1, 1, 0])) ** 2
    ).sum(),
}


SUMS = {  # their cotangents are constants
    "sum of affine": lambda x, w, b: mst.affine(x, w, b, activation="tanh").sum(),
    "sum of mlp": lambda x, w, b: mst.mlp(x, [w[..., None, None]]).sum(),
}


@pytest.mark.parametrize("function", (SCALARS | SUMS).values(), ids=SCALARS | SUMS)
def test_second_derivatives_are_an_error(model, function):
    x, w, b = model
    (gradient,) = torch.autograd.grad(function(x, w, b), w, create_graph=True)
    with pytest.raises(NotImplementedError, match="multisubnet has no second derivatives"):
        torch.autograd.grad(gradient.sum(), w)


@pytest.mark.parametrize("function", SCALARS.values(), ids=SCALARS)
def test_forward_mode_is_an_error(model, function):
    x, w, b = (y.detach() for y in model)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(w, w)
        function(x, w, b)  # has no tangent
        with pytest.raises(NotImplementedError, match="no forward-mode derivatives"):
            function(x, dual, b)
    with pytest.raises(NotImplementedError, match="forward-mode"):
        torch.func.jvp(lambda w: function(x, w, b), (w,), (w,))


@pytest.mark.parametrize("function", SCALARS.values(), ids=SCALARS)
def test_transforms(model, function):
    x, w, b = model
    (expected,) = torch.autograd.grad(function(x, w, b), w)
    gradient = torch.func.grad(lambda w: function(x, w, b))
    assert torch.equal(gradient(w), expected)
    both = torch.stack([w.detach(), 2 * w.detach()])
    (other,) = torch.autograd.grad(function(x, leaf := both[1].requires_grad_(), b), leaf)
    assert torch.equal(torch.func.vmap(gradient)(both.detach()), torch.stack([expected, other]))
    batch = torch.func.vmap(lambda w: function(x, w, b), in_dims=1)(both.detach().transpose(0, 1))
    assert torch.equal(batch, torch.stack([function(x, v, b) for v in both.detach()]))


# Operators and tracing.

ACTIVATION = ("elu", 0.5)
OPERATORS = {
    "affine": lambda x, w, b: (x, w, b, *ACTIVATION, 1),
    "affine_out": lambda x, w, b: (
        *(y.detach() for y in (x, w, b)),
        torch.empty(4, 5, 3),
        *ACTIVATION,
        0,
    ),
    "affine_vjp": lambda x, w, b: (
        *(y.detach() for y in (x, w, b)),
        draw(4, 5, 3),
        *ACTIVATION,
        "weight",
    ),
    "affine_select": lambda x, w, b: (x, w, b, torch.tensor([0, 3, 1, 1, 0]), *ACTIVATION, None),
    "affine_select_out": lambda x, w, b: (
        *(y.detach() for y in (x, w, b)),
        torch.tensor([0, 3, 1, 1, 0]),
        torch.empty(5, 3),
        *ACTIVATION,
        None,
    ),
    "affine_select_vjp": lambda x, w, b: (
        *(y.detach() for y in (x, w, b)),
        torch.tensor([0, 3, 1, 1, 0]),
        draw(5, 3),
        *ACTIVATION,
        "weight,samples",
    ),
    "mean_loss": lambda x, w, b: (
        *(y.detach() for y in (x, w, b)),
        x,
        torch.ones(5),
        None,
        None,
        "huber",
        True,
        torch.float32,
    ),
    "mean_loss_and_grad": lambda x, w, b: (
        *(y.detach() for y in (x, w)),
        None,
        x,
        None,
        *ACTIVATION,
        "huber",
        False,
        None,
    ),
    "affine_stats": lambda x, w, b: (
        *(y.detach() for y in (x, w, b)),
        None,
        *ACTIVATION,
        "std,mean",
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_pass_opcheck(model, name):
    operator = getattr(torch.ops.multisubnet, name).default
    torch.library.opcheck(operator, OPERATORS[name](*model))


def test_all_operators_are_checked():
    there = {
        name
        for module in (_affine_ops, _select_ops, _loss_ops)
        for name, value in vars(module).items()
        if isinstance(value, _affine_ops.CustomOp)
    }
    assert sorted(there) == sorted(OPERATORS)


@pytest.mark.parametrize("dtypes", [("int8", "uint8"), ("bool", "float16"), ("int64", "float32")])
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_fake_tensors_have_the_dtype_of_results(dtypes, activation):
    x, w = (torch.ones(2, 2).to(getattr(torch, dtype)) for dtype in dtypes)
    real = mst.affine(x, w, activation=activation)
    fake = mst.affine(x.to("meta"), w.to("meta"), activation=activation)
    assert (fake.dtype, fake.shape) == (real.dtype, real.shape)


@pytest.fixture
def compiled():
    """torch.compile, with empty caches."""
    torch._dynamo.reset()
    return lambda function, **options: torch.compile(
        function, fullgraph=True, backend="aot_eager", **options
    )


FUNCTIONS = {
    "affine": lambda x, w, b: mst.affine(x, w, b, activation="tanh"),
    "with a parameter": lambda x, w, b: mst.affine(
        x, w, b, activation=ms.Activation("elu", alpha=0.5)
    ),
    "affine_select": lambda x, w, b: mst.affine_select(x, w, b, torch.tensor([0, 3, 1, 1, 0])),
    "mean_loss": lambda x, w, b: mst.mean_loss(x, w, b, x, loss="huber"),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_compiled_in_one_graph(compiled, model, function):
    expected = function(*model)
    gradients = torch.autograd.grad(expected.sum(), model[1:])
    result = compiled(function)(*model)
    assert torch.equal(result, expected)
    for one, other in zip(torch.autograd.grad(result.sum(), model[1:]), gradients, strict=True):
        assert torch.equal(one, other)


def test_compiled_without_gradients(compiled, model):
    x, w, b = (y.detach() for y in model)
    mean, std = compiled(lambda *operands: mst.affine_stats(*operands))(x, w, b)
    assert torch.equal(torch.stack([mean, std]), torch.stack(mst.affine_stats(x, w, b)))
    losses = compiled(lambda *operands: mst.mean_loss(*operands))(x, w, None, x)
    assert torch.equal(losses, mst.mean_loss(x, w, None, x))

    def written(x, w, b):
        out = torch.empty(4, 5, 3)
        return mst.affine(x, w, b, out=out) * 2

    assert torch.equal(compiled(written)(x, w, b), mst.affine(x, w, b) * 2)


def test_compiled_by_inductor(model):
    torch._dynamo.reset()
    stacked = mst.StackedAffine(4, 3, activation="tanh")
    expected = stacked(model[0])
    assert torch.equal(torch.compile(stacked, fullgraph=True)(model[0]), expected)


def test_compiled_for_sizes_that_change(compiled, model):
    x, w, b = model
    function = compiled(lambda x, w, b: mst.affine(x, w, b, set_axis=1), dynamic=True)
    for size in (5, 3, 2):
        assert torch.equal(function(x[:size], w, b), mst.affine(x[:size], w, b, set_axis=1))


def test_traced_and_exported(model):
    x, w, _ = (y.detach() for y in model)
    from torch.fx.experimental.proxy_tensor import make_fx

    graph = make_fx(lambda w: mst.affine(x, w))(w)
    assert torch.equal(graph(2 * w), mst.affine(x, 2 * w))
    traced = torch.jit.trace(lambda w: mst.affine(x, w), w)
    assert torch.equal(traced(2 * w), mst.affine(x, 2 * w))
    stacked = mst.StackedAffine(4, 3)
    assert torch.equal(torch.export.export(stacked, (x,)).module()(x), stacked(x))


# StackedAffine.


def test_module():
    stacked = mst.StackedAffine(4, 3, activation="tanh")
    x = draw(5, 3)
    result = stacked(x)
    assert result.shape == (5, 4, 3)
    assert torch.equal(
        result, mst.affine(x, stacked.weight, stacked.bias, activation="tanh", set_axis=1)
    )
    of_each = x[:, None].expand(5, 4, 3).clone()
    assert torch.equal(stacked(of_each), result)
    first = mst.StackedAffine(4, 3, activation="tanh", set_axis=0)
    first.load_state_dict(stacked.state_dict())
    assert torch.equal(first(x), result.transpose(0, 1))
    assert torch.equal(first(of_each.transpose(0, 1)), result.transpose(0, 1))


def test_parameters_are_drawn_from_the_seed():
    torch.manual_seed(3)
    one = mst.StackedAffine(400, 3)
    torch.manual_seed(3)
    other = mst.StackedAffine(400, 3)
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)
    for parameter in (one.weight, one.bias):
        assert 0.95 < parameter.abs().max() <= 1
        assert parameter.min() < -0.9
    other.reset_parameters()
    assert not torch.equal(one.weight, other.weight)


def test_module_is_copied_pickled_and_converted():
    stacked = mst.StackedAffine(4, 3, False, activation=ms.Activation("elu", alpha=0.5))
    x = draw(5, 3)
    for copied in (copy.deepcopy(stacked), pickle.loads(pickle.dumps(stacked))):
        assert torch.equal(copied(x), stacked(x))
        assert copied.weight is not stacked.weight
    assert list(stacked.state_dict()) == ["weight"]
    assert stacked.double()(x.double()).dtype == torch.float64
    assert stacked.to("meta")(x.to("meta")).shape == (5, 4, 3)
    assert mst.StackedAffine(4, 3, dtype=torch.float16, device="meta").weight.dtype == torch.float16


def test_module_shows_itself():
    assert repr(mst.StackedAffine(4, 3)) == "StackedAffine(n_sets=4, n_features=3)"
    elu = ms.Activation("elu", alpha=0.5)
    assert repr(mst.StackedAffine(4, 3, False, activation=elu, set_axis=0)) == (
        "StackedAffine(n_sets=4, n_features=3, bias=False, activation=Activation('elu', alpha=0.5),"
        " set_axis=0)"
    )


def test_module_refuses():
    with pytest.raises(ValueError, match="must not be negative, as in -1 and 3"):
        mst.StackedAffine(-1, 3)
    with pytest.raises(ValueError, match="set_axis must be 0 or 1, not 2"):
        mst.StackedAffine(1, 3, set_axis=2)
    with pytest.raises(ValueError, match="activation must be one of"):
        mst.StackedAffine(1, 3, activation="tan")


def test_module_under_functional_call():
    stacked = mst.StackedAffine(4, 3)
    x = draw(5, 3)
    both = {name: torch.stack([p, 2 * p]).detach() for name, p in stacked.named_parameters()}

    def call(parameters):
        return torch.func.functional_call(stacked, parameters, (x,))

    expected = torch.stack([call({name: p[i] for name, p in both.items()}) for i in (0, 1)])
    assert torch.equal(torch.func.vmap(call)(both), expected)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("activation", [None, "tanh"])
def test_weight_sets(has_bias, activation):
    weight, bias = draw(4, 3).numpy(), draw(4, 3, seed=1).numpy()
    sets = ms.WeightSets(weight, bias if has_bias else None, activation)
    stacked = mst.StackedAffine.from_weight_sets(sets)
    assert stacked.to_weight_sets() == sets
    x = draw(5, 3)
    assert_same(stacked(x), sets.predict(x.numpy(), set_axis=1))
    assert stacked.weight.requires_grad
    with torch.no_grad():
        stacked.weight.zero_()
    assert sets.weight.all()


class PerFeature(torch.nn.Module):
    """A module of the kind that from_modules is meant for."""

    def __init__(self, n_features=3, bias=True, **others):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(n_features))
        self.bias = torch.nn.Parameter(torch.randn(n_features)) if bias else None
        for name, value in others.items():
            setattr(self, name, value)

    def forward(self, samples):
        product = samples * self.weight
        result = product if self.bias is None else product + self.bias
        return getattr(self, "activation", lambda z: z)(result)


@pytest.mark.parametrize("bias", [False, True])
def test_from_modules(bias):
    modules = [PerFeature(bias=bias) for _ in range(4)]
    stacked = mst.StackedAffine.from_modules(modules)
    x = draw(5, 3)
    assert torch.equal(stacked(x), torch.stack([module(x) for module in modules], 1))
    linears = [torch.nn.Linear(1, 1, bias=bias) for _ in range(4)]
    stacked = mst.StackedAffine.from_modules(linears)
    torch.testing.assert_close(stacked(x[:, :1]), torch.stack([m(x[:, :1]) for m in linears], 1))


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (torch.nn.LayerNorm(3), "is a LayerNorm whose outputs are not those of"),
        (torch.nn.BatchNorm1d(3), "is a BatchNorm1d"),
        (torch.nn.PReLU(3), "is a PReLU whose outputs"),
        (torch.nn.Linear(3, 3), r"is a Linear with weight of shape \(3, 3\)"),
        (torch.nn.Linear(1, 3), r"is a Linear with weight of shape \(3, 1\)"),
        (
            PerFeature(scale=torch.nn.Parameter(torch.ones(1))),
            "is a PerFeature with .*scale of shape",
        ),
        (PerFeature(activation=torch.relu), "is a PerFeature whose outputs"),
        (PerFeature(activation=torch.nn.functional.relu6), "is a PerFeature whose outputs"),
        (PerFeature(activation=lambda z: z.clamp(-5, 5)), "is a PerFeature whose outputs"),
        (torch.nn.Module(), "is a Module with no weights"),
    ],
)
def test_from_modules_refuses(module, why):
    with pytest.raises(ValueError, match=rf"modules\[1\] {why}"):
        mst.StackedAffine.from_modules([PerFeature(), module])


def test_from_modules_takes_modules():
    for other, why in (
        (3, "not a torch.nn.Module"),
        (mst.StackedAffine(2, 3), "which has several sets"),
    ):
        with pytest.raises(TypeError, match=rf"modules\[1\] is a .*{why}"):
            mst.StackedAffine.from_modules([PerFeature(), other])


def test_from_modules_with_their_activation():
    modules = [PerFeature(activation=torch.relu) for _ in range(2)]
    stacked = mst.StackedAffine.from_modules(modules, activation="relu")
    x = draw(5, 3)
    assert torch.equal(stacked(x), torch.stack([module(x) for module in modules], 1))


def test_from_modules_of_one_kind():
    for other in (PerFeature(4), PerFeature(bias=False), PerFeature().double()):
        with pytest.raises(ValueError, match=r"modules\[1\] has parameters of another kind"):
            mst.StackedAffine.from_modules([PerFeature(), other])
    with pytest.raises(ValueError, match="modules is empty"):
        mst.StackedAffine.from_modules([])


# On a GPU.


class Current:
    """A stream of PyTorch."""

    cuda_stream = 4711


@pytest.fixture
def as_on_gpu(cupy_on_host, monkeypatch):
    """Tensors on the CPU that pretend to be on a GPU; gives a list of the launches' streams."""
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Current)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(_arrays, "_on_cpu", lambda operands: None)
    monkeypatch.setattr(_arrays, "_apply_on_cuda", as_on_cuda)
    _arrays._memory_class.cache_clear()
    yield cupy_on_host
    _arrays._memory_class.cache_clear()


def as_on_cuda(function, operands, options):
    with _arrays._working_as_pytorch(torch.device("cpu")) as cupy:
        arrays = {
            name: None if x is None else _arrays._array_of_any(name, x, cupy.from_dlpack)
            for name, x in operands.items()
        }
        return function(**arrays, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64", "int64", "bool"])
def test_results_on_a_gpu_lie_in_memory_of_tensors(as_on_gpu, monkeypatch, dtype):
    """PyTorch must know of it: record_stream has no effect on memory from DLPack."""
    allocated = {}
    real = torch.empty

    def empty(*args, **kwargs):
        tensor = real(*args, **kwargs)
        allocated[tensor.untyped_storage()._cdata] = tensor
        return tensor

    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch, "from_dlpack", None)
    rng = np.random.default_rng(0)
    arrays = [(3 * rng.normal(size=s)).astype(dtype) for s in ((5, 3), (4, 3), (4, 3))]
    operands = dict(zip(OPERANDS, map(torch.from_numpy, arrays), strict=True))
    for options in ({}, {"set_axis": 1}):
        result = _arrays.on_arrays(ms.affine, operands, **options)
        assert_same(result, ms.affine(*arrays, **options))
        assert result.untyped_storage()._cdata in allocated
        assert not result._is_view()
        assert not result.requires_grad
    assert as_on_gpu == [Current.cuda_stream] * 2
    empty_one = _arrays.on_arrays(ms.affine, operands | {"samples": torch.ones(0, 3)})
    assert empty_one.shape == (4, 0, 3)


def test_several_results_on_a_gpu(as_on_gpu, monkeypatch):
    monkeypatch.setattr(torch, "from_dlpack", None)
    tensors = [draw(5, 3), draw(4, 3), draw(4, 3), draw(5, 3)]
    operands = dict(zip((*OPERANDS, "targets"), tensors, strict=True))
    results = _arrays.on_arrays(ms.mean_loss_and_grad, operands, activation="tanh")
    assert_same(results, ms.mean_loss_and_grad(*(x.numpy() for x in tensors), activation="tanh"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
class TestOnGpu:
    def test_same_bits_on_the_current_stream(self, model):
        on_gpu = [x.detach().cuda() for x in model]
        expected = mst.affine(*model, activation="tanh", set_axis=1)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = mst.affine(*on_gpu, activation="tanh", set_axis=1)
            out = torch.empty_like(result)
            assert mst.affine(*on_gpu, activation="tanh", set_axis=1, out=out) is out
        torch.cuda.current_stream().wait_stream(stream)
        assert result.is_cuda
        assert torch.equal(result.cpu(), expected)
        assert torch.equal(out.cpu(), expected)

    @pytest.mark.parametrize("function", SCALARS.values(), ids=SCALARS)
    def test_gradients(self, model, function):
        on_gpu = [x.detach().cuda().requires_grad_() for x in model[1:]]
        gradients = torch.autograd.grad(function(model[0].cuda(), *on_gpu), on_gpu)
        expected = torch.autograd.grad(function(*model), model[1:])
        for one, other in zip(gradients, expected, strict=True):
            assert torch.equal(one.cpu(), other)

    def test_memory_is_pytorchs(self, model):
        x, w, b = (y.detach().cuda() for y in model)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        result = mst.affine(x.expand(1000, -1, -1).reshape(-1, 3), w, b)
        assert torch.cuda.memory_allocated() >= before + result.nbytes
        del result
        assert torch.cuda.memory_allocated() == before

    @pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"])
    def test_dtypes(self, model, dtype):
        if dtype == "bfloat16":
            pytest.importorskip("ml_dtypes")
        operands = [(9 * x.detach()).to(getattr(torch, dtype)) for x in model]
        result = mst.affine(*(x.cuda() for x in operands))
        assert torch.equal(result.cpu(), mst.affine(*operands))

    def test_in_a_graph(self, model):
        expected = mst.affine(*(2 * x.detach() for x in model), activation="tanh")
        operands = [x.detach().cuda() for x in model]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # compiles
                mst.affine(*operands, activation="tanh")
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = mst.affine(*operands, activation="tanh")
        for x in operands:
            x.mul_(2)
        graph.replay()
        assert torch.equal(result.cpu(), expected)

    def test_in_compiled_code(self, model):
        def function(x, w, b):
            return mst.affine(2 * x, w, b, activation="tanh") + 1

        operands = [x.detach().cuda() for x in model]
        assert torch.equal(torch.compile(function)(*operands), function(*operands))

    def test_memory_used_by_another_stream_is_not_reused(self, model):
        x, w, b = (y.detach().cuda() for y in model)
        slow = torch.cuda.Stream()
        result = mst.affine(x, w, b)
        slow.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(slow):
            torch.cuda._sleep(200_000_000)
        result.record_stream(slow)
        address, shape = result.data_ptr(), result.shape
        del result
        assert torch.empty(shape, device="cuda").data_ptr() != address
        torch.cuda.synchronize()

    def test_module(self):
        stacked = mst.StackedAffine(4, 3, device="cuda")
        assert stacked(draw(5, 3).cuda()).is_cuda
        sets = stacked.to_weight_sets()
        assert sets.device == "cuda:0"
        assert mst.StackedAffine.from_weight_sets(sets).weight.is_cuda

    def test_host_and_device_are_not_mixed(self, model):
        x, w, _ = (y.detach() for y in model)
        with pytest.raises(TypeError, match="samples is on cuda:0 and weight on cpu"):
            mst.affine(x.cuda(), w)
        with pytest.raises(TypeError, match=r"samples is on cuda:0 and weight \(ndarray\)"):
            mst.affine(x.cuda(), w.numpy())
