"""Networks with hidden layers for JAX arrays: concrete ones give the bits of NumPy arrays."""

from __future__ import annotations

import types

import numpy as np
import pytest
from conftest import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mlp import INTEGERS, SMALL, Architecture, networks
from test_mlp_losses import CATEGORICAL, flat, judged_networks

jax = pytest.importorskip("jax", minversion="0.5")

import functools
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


def test_gradients_inside_jit_are_as_exact_as_sums_in_float32():
    samples, layers = some(20, 3, (1, 16, 16, 1))
    wide = jax.tree.map(lambda x: x.astype("f8"), (samples, layers, samples[:, 0]))
    desired = ms.mlp_mean_loss_and_grad(*wide, activation="tanh", additive=True)
    found = jax.jit(functools.partial(ms.mlp_mean_loss_and_grad, activation="tanh", additive=True))(
        samples, layers, samples[:, 0]
    )
    n_summands = len(samples) + 2 * 16 + 3  # one after the other: of samples, units and networks
    assert_close(found, desired, n_summands * np.finfo("f4").eps / 2)


def test_operands_that_sets_share_inside_jit():
    samples, layers = some(3, 2, (1, 4, 3, 2))
    for n, shared in enumerate(itertools.product([0, 1], repeat=3)):
        given = [
            tuple(x[:1] if is_shared else x for x in layer)
            for layer, is_shared in zip(layers, shared, strict=True)
        ]
        x = np.stack([samples, 2 * samples, 3 * samples]) if n % 3 == 0 else samples
        assert_close(jax.jit(ms.mlp)(x, given), ms.mlp(x, given))
    nothing = [tuple(x[:0] for x in layers[0]), *(tuple(x[:1] for x in y) for y in layers[1:])]
    assert jax.jit(ms.mlp)(samples, nothing).shape == (0, 40, 2, 2)


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


@pytest.mark.parametrize("shared", ["none", "hidden", "all"])
@pytest.mark.parametrize("n_subnets", [1, 2])
def test_programs_consist_of_matrix_products(n_subnets, shared):
    samples, layers = some(4, n_subnets, (3, 16, 16, 1))
    n_shared = {"none": 0, "hidden": 1, "all": 3}[shared]
    layers = [tuple(x[: 1 if i < n_shared else None] for x in layers[i]) for i in range(3)]
    inputs = np.arange(3 * n_subnets).reshape(n_subnets, 3)

    def loss(layers):
        return ms.mlp_mean_loss(samples, layers, samples[:, 0], inputs=inputs).sum()

    step = jax.jit(jax.grad(loss))
    program = step.lower(layers).as_text()
    n_products = program.count("stablehlo.dot_general")
    assert n_products == 3 + 3 + 2  # values, gradients of weights, and those of hidden units
    assert program.count("HIGHEST, HIGHEST") == n_products  # on a GPU, not TF32
    assert program.count("stablehlo.multiply") < 10


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


# Any transformations, one after the other, of any function of samples and layers, beside those of
# plain JAX. An index and a cotangent fit the number of sets, which `vmap` over sets makes 1.


def plain_mlp(x, layers):
    (w, b), (v, c) = layers
    hidden = jnp.tanh(x[:, :, None] * w[:, None, :, 0] + b[:, None])
    return jnp.einsum("nbsi,nsij->nbsj", hidden, v) + c[:, None]


def index_of(layers):
    return np.arange(5) % layers[0][0].shape[0]


def cotangent_of(layers):
    shape = layers[0][0].shape[0], 5, 2, 2
    return np.cos(np.arange(np.prod(shape), dtype="f4")).reshape(shape)


def plain_loss(x, layers):
    errors = jnp.cosh(plain_mlp(x, layers) - np.cos(np.arange(5))[:, None, None])
    return jnp.log(errors).mean((1, 2, 3))


TANH = {"activation": "tanh"}
FUNCTIONS = {
    "mlp": (lambda x, layers: ms.mlp(x, layers, **TANH), plain_mlp),
    "mlp_select": (
        lambda x, layers: ms.mlp_select(x, layers, index_of(layers), **TANH),
        lambda x, layers: plain_mlp(x, layers)[index_of(layers), np.arange(5)],
    ),
    "mlp_stats": (
        lambda x, layers: ms.mlp_stats(x, layers, statistics=["var", "mean"], **TANH),
        lambda x, layers: (plain_mlp(x, layers).var(0), plain_mlp(x, layers).mean(0)),
    ),
    "mlp_mean_loss": (
        lambda x, layers: ms.mlp_mean_loss(
            x, layers, np.cos(np.arange(5, dtype="f4")), loss="log_cosh", **TANH
        ),
        plain_loss,
    ),
    "mlp_vjp": (
        lambda x, layers: ms.mlp_vjp(x, layers, cotangent_of(layers), **TANH),
        lambda x, layers: jax.vjp(plain_mlp, x, layers)[1](cotangent_of(layers)),
    ),
}


def total(tree):
    return sum(jnp.sin(x).sum() for x in jax.tree.leaves(tree))


STEPS = {
    "jit": jax.jit,
    "grad": lambda f: jax.grad(lambda *x: total(f(*x)), (0, 1)),
    "jvp": lambda f: lambda *x: jax.jvp(f, x, jax.tree.map(jnp.cos, x))[1],
    "vmap": lambda f: lambda *x: jax.vmap(f)(*jax.tree.map(lambda x: jnp.stack([x, 2 * x]), x)),
    "vmap over sets": lambda f: (
        lambda x, layers: jax.vmap(lambda one: f(x, jax.tree.map(lambda x: x[None], one)))(layers)
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=EXAMPLES // 2 + 1)
@given(steps=st.lists(st.sampled_from(list(STEPS)), max_size=2))
def test_transformations_of_transformations(name, steps):
    samples, layers = some()
    layers[-1] = layers[-1][0], np.repeat(layers[-1][1], 3, 0)
    operands = samples[:5], layers
    ours, others = FUNCTIONS[name]
    for step in steps:
        ours, others = STEPS[step](ours), STEPS[step](others)
    if steps:  # JAX compiles one program, instead of one for each operation
        ours = jax.jit(ours)
    found, desired = (jax.tree.leaves(f(*to_jax(operands))) for f in (ours, jax.jit(others)))
    assert_close(tuple(found), tuple(map(np.asarray, desired)), 1e-4)


EXPORTED = {
    "mlp_vjp": lambda x, w, t: ms.mlp_vjp(x, [w], jnp.cos(ms.mlp(x, [w]))).grad_layers[0][0],
    "mlp_mean_loss": lambda x, w, t: ms.mlp_mean_loss(x, [w], t),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_for_any_size(name):
    rng = np.random.default_rng(0)
    shapes = {"b,7": (40, 7), "n,7,1,2": (5, 7, 1, 2), "b,7,2": (40, 7, 2)}
    scope = jax.export.SymbolicScope()
    symbolic = [
        jax.ShapeDtypeStruct(jax.export.symbolic_shape(sizes, scope=scope), "float32")
        for sizes in shapes
    ]
    operands = [rng.normal(size=shape).astype("f4") for shape in shapes.values()]
    exported = jax.export.export(jax.jit(EXPORTED[name]))(*symbolic)
    expected = jax.jit(EXPORTED[name])(*operands)
    np.testing.assert_allclose(exported.call(*operands), expected, rtol=1e-5, atol=1e-5)


def test_refused_arguments():
    samples, layers = some()
    with pytest.raises(TypeError, match="out is given"):
        ms.mlp(jnp.asarray(samples), layers, out=np.empty(3))
    with pytest.raises(TypeError, match="check is True"):
        jax.jit(lambda i: ms.mlp_select(samples, layers, i, check=True))(np.arange(40) % 3)
    for cotangent, error in ((None, TypeError), (samples, ValueError)):
        with pytest.raises(error, match="cotangent"):
            jax.jit(lambda x, c=cotangent: ms.mlp_vjp(x, layers, c))(samples)
    with pytest.raises(ValueError, match=r"layers\[1\]\[0\] has shape"):
        ms.mlp(jnp.asarray(samples), [layers[0], (layers[1][0][:, :, :3], None)])
