"""bfloat16 tensors of PyTorch have the bits of ml_dtypes' arrays."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from conftest import normals, problems_of_sums, shape_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
ml_dtypes = pytest.importorskip("ml_dtypes")

from torch._subclasses.fake_tensor import FakeTensorMode

import multisubnet as ms
from multisubnet import torch as mst
from multisubnet.testing import activations, assert_same_bits, problems

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def tensor(array):
    """Return a tensor with an array's values and memory order."""
    if array is None:
        return None
    if array.dtype != BFLOAT16:
        return torch.from_numpy(np.array(array))
    return torch.from_numpy(np.array(array).view(np.int16)).view(torch.bfloat16)


def bits(result):
    return result.detach().view(torch.int16).numpy().view(BFLOAT16)


@settings(max_examples=100)
@given(
    data=st.data(),
    problem=problems(dtypes=["bfloat16"])
    | problems(dtypes=["bfloat16", "int8", "bool"], mixed_dtypes=True),
    set_axis=st.sampled_from([0, 1]),
)
def test_affine(data, problem, set_axis):
    assume(any(x is not None and x.dtype == BFLOAT16 for x in problem))
    options = {"activation": data.draw(st.none() | activations()), "set_axis": set_axis}
    operands = [tensor(x) for x in problem]
    expected = ms.affine(*problem, **options)
    for function in (ms.affine, mst.affine):
        result = function(*operands, **options)
        assert result.dtype == torch.bfloat16
        assert_same_bits(bits(result), expected)
    out = torch.empty(expected.shape, dtype=torch.bfloat16)
    assert mst.affine(*operands, **options, out=out) is out
    assert_same_bits(bits(out), expected)


@settings(max_examples=30)
@given(data=st.data(), problem=problems_of_sums(["bfloat16"]))
def test_gradients(data, problem):
    cotangent = data.draw(normals("bfloat16", shape_of(problem)))
    operands = [None if x is None else tensor(x).requires_grad_() for x in problem]
    mst.affine(*operands, activation="tanh").backward(tensor(cotangent))
    expected = ms.affine_vjp(*problem, cotangent, activation="tanh")
    for operand, gradient in zip(operands, expected, strict=True):
        if operand is not None:
            assert gradient.dtype == BFLOAT16
            assert_same_bits(bits(operand.grad), gradient)


@settings(max_examples=30)
@given(data=st.data(), problem=problems_of_sums(["bfloat16"]))
def test_losses(data, problem):
    targets = data.draw(normals("bfloat16", shape_of(problem)[1:]))
    given_ = [tensor(x) for x in (*problem, targets)]
    result = mst.mean_loss_and_grad(*given_, loss="huber", dtype=torch.bfloat16)
    expected = ms.mean_loss_and_grad(*problem, targets, loss="huber", dtype=BFLOAT16)
    for one, other in zip(result, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert_same_bits(bits(one), other)


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape))).bfloat16()


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (torch.int8, torch.bfloat16),
        (torch.float16, torch.float32),
        (torch.int32, torch.float64),
        (torch.float32, torch.float32),
    ],
)
def test_dtypes_are_known_before_anything_is_computed(other, expected):
    x, w = draw(5, 3), draw(4, 3).to(other)
    assert mst.affine(x, w, activation="elu").dtype == expected
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(x), mode.from_tensor(w)
        assert mst.affine(*fake, activation="elu").dtype == expected


def test_arrays_mixed_with_tensors():
    x, w = draw(5, 3), draw(4, 3)
    assert torch.equal(mst.affine(x, bits(w)), mst.affine(x, w))


def test_weight_sets_of_a_module():
    module = mst.StackedAffine(4, 3, dtype=torch.bfloat16)
    sets = module.to_weight_sets()
    assert sets.dtype == BFLOAT16
    x = draw(5, 3)
    assert torch.equal(mst.StackedAffine.from_weight_sets(sets)(x), module(x))
    assert_same_bits(bits(module(x)), sets.predict(bits(x), set_axis=1))


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match=r"samples is bfloat16, .* 'pip install ml_dtypes'"):
        mst.affine(draw(5, 3), torch.ones(4, 3))
