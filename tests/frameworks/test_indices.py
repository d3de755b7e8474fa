"""affine_select with indices of every integer dtype, forward and backward, in every framework."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from indices import indices, is_there, selected, weights

jax = pytest.importorskip("jax", minversion="0.5")
torch = pytest.importorskip("torch")

import jax.numpy as jnp

import multisubnet as ms
from multisubnet.testing import assert_same_bits


def ones(index):
    return np.ones((len(index), 1), np.float32)


def counts(n_sets, index):
    """Return the gradient of the sum with respect to weights: how often each set was selected."""
    there = index[is_there(n_sets, index)].astype(np.int64)
    return np.bincount(there, minlength=n_sets).astype(np.float32)[:, None]


@given(drawn=indices(), shared=st.booleans())
def test_torch(drawn, shared):
    n_sets, index = drawn
    w = torch.from_numpy(weights(n_sets)).requires_grad_()
    b = torch.zeros(1 if shared else n_sets, 1, requires_grad=True)
    result = ms.affine_select(ones(index), w, b, torch.from_numpy(index))
    assert_same_bits(result.detach().numpy(), selected(n_sets, index))
    result.sum().backward()
    expected = counts(n_sets, index)
    assert_same_bits(w.grad.numpy(), expected)
    shared = shared and n_sets > 1
    assert_same_bits(b.grad.numpy(), expected.sum(0, keepdims=True) if shared else expected)


@given(drawn=indices(wrong=True))
def test_torch_with_out_of_range_sets(drawn):
    n_sets, index = drawn
    there = is_there(n_sets, index)
    assume(not there.all())
    wrong = int(index[there.argmin()])
    w = torch.from_numpy(weights(n_sets)).requires_grad_()
    with pytest.raises(IndexError, match=rf"is {wrong}; expected the number of a set"):
        ms.affine_select(ones(index), w, None, torch.from_numpy(index))
    result = ms.affine_select(ones(index), w, None, torch.from_numpy(index), check=False)
    assert_same_bits(result.detach().numpy(), selected(n_sets, index))
    with pytest.raises(IndexError, match=rf"set_index contains {wrong}, but there are only"):
        result.sum().backward()


@given(drawn=indices(), x64=st.booleans(), beside=st.booleans())
def test_jax(drawn, x64, beside):
    n_sets, index = drawn
    with jax.enable_x64(x64):
        w, x = jnp.asarray(weights(n_sets)), ones(index)
        given_index = index if beside else jnp.asarray(index)
        assert_same_bits(
            np.asarray(ms.affine_select(x, w, None, given_index)), selected(n_sets, index)
        )

        def total(w, i):
            result = ms.affine_select(x, w, None, i)
            return result.sum(), result

        function = jax.value_and_grad(total, has_aux=True)
        for of_weight in (function, jax.jit(function)):
            (_, result), gradient = of_weight(w, given_index)
            assert_same_bits(np.asarray(result), selected(n_sets, index))
            assert_same_bits(np.asarray(gradient), counts(n_sets, index))


@given(drawn=indices(wrong=True), x64=st.booleans(), form=st.sampled_from(["jax", "numpy", "list"]))
def test_jax_with_out_of_range_sets(drawn, x64, form):
    n_sets, index = drawn
    there = is_there(n_sets, index)
    assume(not there.all())
    assume(form != "list" or index.dtype != np.uint64)
    with jax.enable_x64(x64):
        assume(form != "jax" or jax.dtypes.canonicalize_dtype(index.dtype) == index.dtype)
        w, x = jnp.asarray(weights(n_sets)), ones(index)
        given_index = {"jax": jnp.asarray, "numpy": np.asarray, "list": np.ndarray.tolist}[form](
            index
        )
        with pytest.raises(IndexError, match=rf"is {int(index[there.argmin()])}; expected the"):
            ms.affine_select(x, w, None, given_index)
        result = ms.affine_select(x, w, None, given_index, check=False)
        assert_same_bits(np.asarray(result), selected(n_sets, index))
        result = jax.jit(lambda w: ms.affine_select(x, w, None, given_index))(w)
        assert_same_bits(np.asarray(result), selected(n_sets, index))


@given(drawn=indices())
def test_array_api(drawn):
    xp = pytest.importorskip("array_api_strict")
    n_sets, index = drawn
    result = ms.affine_select(
        xp.asarray(ones(index)), xp.asarray(weights(n_sets)), None, xp.asarray(index)
    )
    assert_same_bits(np.asarray(result), selected(n_sets, index))


@pytest.mark.parametrize("empty", [[], (), np.empty(0, "int8")])
def test_an_empty_index(empty):
    w, x = np.ones((2, 3), np.float32), np.ones((0, 3), np.float32)
    assert ms.affine_select(x, w, None, empty).shape == (0, 3)
    for module in (torch, jnp):
        assert ms.affine_select(module.asarray(x), module.asarray(w), None, empty).shape == (0, 3)


# Integers mixed with JAX arrays, without 64 bits.


@given(
    name=st.sampled_from(["samples", "weight", "bias", "targets", "sample_weight", "set_weight"]),
    value=st.sampled_from([2**31 - 1, -(2**31), 2**31, -(2**31) - 1, 2**32 + 3, 2**40]),
    form=st.sampled_from([np.asarray, np.ndarray.tolist]),
    traced=st.booleans(),
    function=st.sampled_from(["affine", "affine_stats", "mean_loss", "mean_loss_and_grad"]),
)
def test_integers_that_jax_lacks_are_an_error(name, value, form, traced, function):
    of_function = {"affine": [], "affine_stats": ["set_weight"]}
    names = ["samples", "weight", "bias", *of_function.get(function, ["targets", "sample_weight"])]
    assume(name in names)
    operands = dict.fromkeys(names, np.ones((1, 1), "float32"))
    for weight in {"sample_weight", "set_weight"} & set(names):
        operands[weight] = np.ones(1, "float32")
    wide = form(np.full(operands[name].shape, value, np.int64))
    with jax.enable_x64(False):
        narrow = {key: jnp.asarray(x) for key, x in operands.items()}

        def call(operands):
            return getattr(ms, function)(**(operands | {name: wide}))

        call = jax.jit(call) if traced else call
        if -(2**31) <= value < 2**31:
            call(narrow)
        else:
            with pytest.raises(OverflowError, match=rf"{name} has integers from {value} to"):
                call(narrow)
