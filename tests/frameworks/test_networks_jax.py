"""Networks with hidden layers for JAX arrays: concrete ones give the bits of NumPy arrays."""

from __future__ import annotations

import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_mlp import INTEGERS, SMALL, Architecture, networks
from test_mlp_losses import CATEGORICAL, flat, judged_networks

jax = pytest.importorskip("jax", minversion="0.5")

import itertools

import jax.numpy as jnp

import multisubnet as ms
from multisubnet.testing import assert_same_bits

CLASSES = Architecture((2, 4, 3), "tanh", None, (True, True))
PLAIN = types.SimpleNamespace(name="numpy")  # any options
CASES = [(SMALL, "huber", "float32"), (CLASSES, CATEGORICAL, "float32")]


def to_jax(tree):
    return jax.tree.map(lambda x: jnp.asarray(x.astype(x.dtype.newbyteorder("="))), tree)


def arrays_of(options):
    names = {"intercept", "sample_weight"} & options.keys()
    return options | {name: to_jax(options[name]) for name in names}


def assert_same(found, desired):
    """Raise unless JAX arrays have the bits of NumPy arrays rounded to JAX's dtype."""
    found, desired = flat(found), flat(desired)
    assert len(found) == len(desired)
    for one, other in zip(found, desired, strict=True):
        assert isinstance(one, jax.Array)
        with np.errstate(over="ignore"):
            other = other.astype(jax.dtypes.canonicalize_dtype(other.dtype))
        assert_same_bits(np.asarray(one), other)


def assert_close(found, desired, rtol=1e-5):
    found, desired = flat(found), flat(desired)
    assert len(found) == len(desired)
    for one, other in zip(found, desired, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=rtol * max(abs(other).max(), 1e-3))


def some(n_sets=3, n_subnets=2, sizes=(1, 5, 2), seed=0):
    """Return samples, and layers with a shared last bias."""
    rng = np.random.default_rng(seed)
    layers = [
        (
            rng.normal(size=(n_sets, n_subnets, a, b)).astype("f4"),
            rng.normal(size=(n_sets, n_subnets, b)).astype("f4"),
        )
        for a, b in itertools.pairwise(sizes)
    ]
    layers[-1] = layers[-1][0], layers[-1][1][:1]
    return rng.normal(size=(40, n_subnets * sizes[0])).astype("f4"), layers


@given(
    problem=networks(["float32", "float16"], [SMALL, INTEGERS]), set_axis=st.sampled_from([0, 1])
)
def test_eager_bits(problem, set_axis):
    samples, layers, options = problem
    desired = ms.mlp(samples, layers, **options, set_axis=set_axis)
    found = ms.mlp(to_jax(samples), to_jax(layers), **arrays_of(options), set_axis=set_axis)
    assert_same(found, desired)


@pytest.mark.parametrize("case", CASES, ids=["huber", "categorical"])
@given(data=st.data())
def test_eager_bits_of_losses(case, data):
    (samples, layers, targets), options = data.draw(judged_networks(case, PLAIN))
    desired = ms.mlp_mean_loss_and_grad(samples, layers, targets, **options)
    arguments = to_jax(samples), to_jax(layers), targets
    assert_same(ms.mlp_mean_loss_and_grad(*arguments, **arrays_of(options)), desired)
    assert_same(ms.mlp_mean_loss(*arguments, **arrays_of(options)), desired.loss)


@pytest.mark.parametrize("additive", [False, True])
def test_values_inside_jit(additive):
    samples, layers = some()
    options = {"activation": ["tanh"], "output_activation": "sigmoid", "additive": additive}
    intercept = np.float32([[0.5, -1.0]]) if additive else None
    index = np.arange(40) % 3
    for function, more in (
        (ms.mlp, {"set_axis": 1}),
        (ms.mlp_stats, {"statistics": ("std", "mean")}),
        (ms.mlp_select, {"set_index": index}),
    ):
        desired = function(samples, layers, intercept=intercept, **options, **more)
        jitted = jax.jit(
            lambda x, layers, c, call=function, more=more: call(
                x, layers, intercept=c, **options, **more
            )
        )
        assert_close(jitted(samples, layers, intercept), desired)
        eager = function(to_jax(samples), to_jax(layers), intercept=intercept, **options, **more)
        assert_same(eager, desired)


def test_an_index_out_of_range_inside_jit_is_nan():
    samples, layers = some()
    found = jax.jit(lambda i: ms.mlp_select(samples, layers, i))(np.arange(40) - 1)
    assert np.isnan(found[0]).all()
    assert np.isnan(found[4:]).all()
    assert np.isfinite(found[1:4]).all()


def test_inputs_and_wide_layers_inside_jit():
    samples, layers = some(sizes=(2, 70, 66, 1))
    options = {"inputs": [[0, 3], [1, 1]]}
    desired = ms.mlp(samples, layers, **options)
    assert_close(jax.jit(lambda x: ms.mlp(x, layers, **options))(samples), desired, 3e-5)


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "hinge", CATEGORICAL])
def test_losses_and_gradients_inside_transformations(loss, additive):
    samples, layers = some()
    targets = np.arange(40) % 2
    if loss != CATEGORICAL:
        targets = (2 * targets - 1).astype("f4")
    options = {"activation": "tanh", "loss": loss, "additive": additive}
    intercept = np.float32([[0.5, -1.0]]) if additive else None
    desired = ms.mlp_mean_loss_and_grad(samples, layers, targets, intercept=intercept, **options)

    def losses(layers):
        return ms.mlp_mean_loss(samples, layers, targets, intercept=intercept, **options)

    assert_close(jax.jit(losses)(layers), desired.loss)
    together = jax.jit(
        lambda layers: ms.mlp_mean_loss_and_grad(
            samples, layers, targets, intercept=intercept, **options
        )
    )
    assert_close(together(layers), desired)
    gradients = jax.grad(lambda layers: losses(layers).sum())(layers)
    (of_hidden, (weight, bias)) = desired.grad_layers
    assert_close(tuple(gradients), (of_hidden, (weight, bias.sum(0, keepdims=True))))


def test_vjp_and_forward_mode():
    samples, layers = some()
    cotangent = np.random.default_rng(1).normal(size=(3, 40, 2, 2)).astype("f4")
    desired = ms.mlp_vjp(samples, layers, cotangent, activation="tanh")
    assert_same(ms.mlp_vjp(to_jax(samples), layers, cotangent, activation="tanh"), desired)
    found = jax.jit(lambda x: ms.mlp_vjp(x, layers, cotangent, activation="tanh"))(samples)
    assert_close(found, desired)

    def values(x):
        return ms.mlp(x, layers, activation="tanh")

    _, tangent = jax.jvp(values, (samples,), (np.ones_like(samples),))
    np.testing.assert_allclose((tangent * cotangent).sum(), desired.grad_samples.sum(), rtol=1e-3)


def test_vmap_over_sets():
    samples, layers = some()
    layers = [(w, np.broadcast_to(b, (3, *b.shape[1:]))) for w, b in layers]
    of_each = jax.vmap(lambda one: ms.mlp(samples, jax.tree.map(lambda x: x[None], one))[0])
    assert_close(of_each(layers), ms.mlp(samples, layers))


def test_refused_arguments():
    samples, layers = some()
    with pytest.raises(TypeError, match="out is given"):
        ms.mlp(jnp.asarray(samples), layers, out=np.empty(3))
    with pytest.raises(TypeError, match="check is True"):
        jax.jit(lambda i: ms.mlp_select(samples, layers, i, check=True))(np.arange(40) % 3)
    with pytest.raises(ValueError, match=r"layers\[1\]\[0\] has shape"):
        ms.mlp(jnp.asarray(samples), [layers[0], (layers[1][0][:, :, :3], None)])
