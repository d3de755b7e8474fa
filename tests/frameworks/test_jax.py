"""JAX arrays: concrete ones give the bits of the package, traced ones use JAX's arithmetic."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import types

import pytest

jax = pytest.importorskip("jax", minversion="0.5")

import jax.numpy as jnp
import numpy as np
from conftest import EXAMPLES, combined, labels, normals, problems_of_sums
from hypothesis import given, settings
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet import jax as msj
from multisubnet._arithmetic.activation_recipes import RECIPES
from multisubnet._functions.loss_problem import LOSSES
from multisubnet.jax import _arrays
from multisubnet.testing import activations, assert_same_bits, problems

NARROW = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32")
NARROW += ("float16", "float32", "complex64")  # the dtypes of JAX without x64
SMOOTH = ("linear", "tanh", "gelu")


@pytest.fixture(params=[False, True], ids=["x32", "x64"])
def x64(request):
    with jax.enable_x64(request.param):
        yield request.param


def to_jax(operands):
    return [
        None if x is None else jnp.asarray(x.astype(x.dtype.newbyteorder("="))) for x in operands
    ]


def assert_same(actual, desired):
    """Raise unless a JAX array has the bits of a NumPy array rounded to JAX's dtype."""
    assert isinstance(actual, jax.Array)
    with np.errstate(over="ignore"):
        desired = desired.astype(jax.dtypes.canonicalize_dtype(desired.dtype))
    assert_same_bits(np.asarray(actual), desired)


def table(seed=0, shape=(5, 40, 7), dtype="float32"):
    """Return samples, weight, bias and targets in [0, 1)."""
    n_sets, n_samples, n_features = shape
    rng = np.random.default_rng(seed)
    shapes = (n_samples, n_features), (n_sets, n_features), (n_sets, n_features)
    samples, weight, bias = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    return samples, weight, bias, rng.random((n_samples, n_features)).astype(dtype)


# Concrete arrays.


@given(problem=problems(dtypes=NARROW, mixed_dtypes=True), set_axis=st.sampled_from([0, 1]))
def test_eager_bits(problem, set_axis):
    assert_same(
        ms.affine(*to_jax(problem), set_axis=set_axis), ms.affine(*problem, set_axis=set_axis)
    )


@given(problem=problems(dtypes=["float64", "int64", "uint64", "complex128", "float32"]))
def test_eager_bits_of_64(problem):
    with jax.enable_x64(True):
        assert_same(ms.affine(*to_jax(problem)), ms.affine(*problem))


@given(problem=problems(dtypes=["int16", "float16", "float32"]), activation=activations())
def test_eager_activations(problem, activation):
    assert_same(
        ms.affine(*to_jax(problem), activation=activation),
        ms.affine(*problem, activation=activation),
    )


@given(
    problem=problems(dtypes=["bfloat16"])
    | problems(dtypes=["bfloat16", "int8", "float16", "int32"], mixed_dtypes=True),
    activation=st.none() | activations(),
)
def test_eager_bfloat16(problem, activation):
    assert_same(
        ms.affine(*to_jax(problem), activation=activation),
        ms.affine(*problem, activation=activation),
    )


def test_bfloat16_in_compiled_code():
    samples, weight, bias, _ = (x.astype("bfloat16") for x in table())
    desired = ms.affine(samples, weight, bias, activation="tanh")
    compiled = jax.jit(lambda *x: ms.affine(*x, activation="tanh"))
    result = compiled(*to_jax([samples, weight, bias]))
    assert result.dtype == jnp.bfloat16
    near = desired.astype("float32")
    np.testing.assert_allclose(np.asarray(result, "float32"), near, rtol=2**-6, atol=2**-7)


@given(data=st.data(), problem=problems_of_sums(["bfloat16", "float16", "float32", "int8"], ndim=2))
@settings(max_examples=max(EXAMPLES // 4, 10))
def test_eager_sums(data, problem):
    n_sets = max(len(x) for x in problem[1:] if x is not None)
    n_samples, n_features = problem.samples.shape
    targets = data.draw(normals("float32", (n_samples, n_features)))
    cotangent = data.draw(normals("float32", (n_sets, n_samples, n_features)))
    set_index = np.arange(n_samples) % max(n_sets, 1)
    weights = np.arange(n_samples, dtype="float32") % 3
    options = {"loss": data.draw(st.sampled_from(LOSSES)), "activation": "sigmoid"}
    options["per_feature"] = data.draw(st.booleans())
    of_loss = labels(options["loss"], targets)
    j = to_jax(problem)
    with jax.enable_x64(data.draw(st.booleans())):
        for name, arguments, keywords in (
            ("mean_loss", [of_loss], options | {"sample_weight": weights}),
            ("mean_loss", [targets], {}),
            ("mean_loss_and_grad", [of_loss], options),
            ("affine_vjp", [cotangent], {"activation": "tanh"}),
            ("affine_vjp", [cotangent], {"wrt": "bias"}),
            ("affine_stats", [], {"statistics": ("std", "mean", "var")}),
            *([("affine_select", [set_index], {})] if n_sets else []),
        ):
            results = getattr(ms, name)(*j, *arguments, **keywords)
            expected = getattr(ms, name)(*problem, *arguments, **keywords)
            if not isinstance(expected, tuple):
                results, expected = (results,), (expected,)
            for result, desired in zip(results, expected, strict=True):
                if desired is None:
                    assert result is None
                else:
                    assert_same(result, desired)


def test_results_are_not_copied(monkeypatch):
    outs = []
    inner = ms.affine

    def spied(*args, **kwargs):
        outs.append((kwargs["samples"].ctypes.data, kwargs["out"].ctypes.data))
        return inner(*args, **kwargs)

    monkeypatch.setattr(ms, "affine", spied)
    for n_samples in range(100, 116):  # memory may be aligned by chance
        samples, weight, bias, _ = to_jax(table(shape=(3, n_samples, 50)))
        result = msj.affine(samples, weight, bias)
        of_samples, of_result = outs.pop()
        assert result.unsafe_buffer_pointer() == of_result
        assert samples.unsafe_buffer_pointer() == of_samples


def test_dtypes_of_losses(x64):
    j = to_jax(table())
    default = "float64" if x64 else "float32"
    assert ms.mean_loss(*j).dtype == default
    assert jax.jit(ms.mean_loss)(*j).dtype == default
    half = ms.mean_loss(*j, dtype="float16")
    assert_same(half, ms.mean_loss(*table(), dtype="float16"))
    if not x64:
        with pytest.raises(TypeError, match="only with jax_enable_x64 on"):
            ms.mean_loss(*j, dtype="float64")


def test_mixed_numpy_arrays_are_converted_as_by_jax():
    samples, weight, bias, _ = table()
    result = ms.affine(jnp.asarray(samples), weight.astype(">f8"), bias.tolist())
    assert_same(result, ms.affine(samples, weight, bias))
    sets = ms.WeightSets(weight, bias)
    assert_same(sets.predict(jnp.asarray(samples)), sets.predict(samples))


def test_refused_arguments():
    samples, weight, bias, targets = to_jax(table())
    for function in (ms.affine, jax.jit(ms.affine)):
        with pytest.raises(TypeError, match=r"weight has dtype int4.*weight.astype\('float32'"):
            function(samples, weight.astype(jnp.int4), bias)
        with pytest.raises(ValueError, match=r"weight has shape \(5, 6\); expected \(N, F\)"):
            function(samples, weight[:, 1:], bias)
    with pytest.raises(TypeError, match="out is given, but JAX arrays are immutable"):
        ms.affine(samples, weight, out=np.empty((5, 40, 7), "f4"))
    with pytest.raises(TypeError, match="out is given"):
        ms.affine_select(samples, weight, bias, np.zeros(40, int), out=samples)
    with pytest.raises(TypeError, match="none of the operands is a JAX array"):
        msj.affine([[1.0]], [[1.0]])
    with pytest.raises(IndexError, match=r"set_index\[3\] is 9"):
        ms.affine_select(samples, weight, bias, jnp.zeros(40, int).at[3].set(9))
    with pytest.raises(TypeError, match="check is True, but indices are unknown"):
        jax.jit(lambda x: ms.affine_select(x, weight, bias, np.zeros(40, int), check=True))(samples)
    tangent = ms.Activation("tanh").derivative
    with pytest.raises(TypeError, match="has no derivative"):
        jax.jit(lambda *j: msj.mean_loss_and_grad(*j, activation=tangent))(
            samples, weight, bias, targets
        )


def test_deleted_and_donated():
    samples, weight, bias, _ = to_jax(table())
    jax.jit(lambda x: x + 1, donate_argnums=0)(weight)
    with pytest.raises(RuntimeError, match="weight has been deleted, or donated"):
        ms.affine(samples, weight, bias)


def test_several_devices():
    code = """
import jax, jax.numpy as jnp, numpy as np, multisubnet as ms
from jax.sharding import Mesh, NamedSharding, PartitionSpec
devices = jax.devices()
x, w = jnp.ones((8, 4)), jnp.ones((4, 4))
there = jax.device_put(x, devices[2])
result = ms.affine(there, np.ones((4, 4), "f4"))
assert result.devices() == {devices[2]} and result.committed
assert not ms.affine(x, w).committed
spread = jax.device_put(x, NamedSharding(Mesh(np.array(devices), ("a",)), PartitionSpec("a")))
for operands in ((there, w), (spread, w)):
    try:
        ms.affine(*operands)
    except TypeError as error:
        print(error)
assert (jax.jit(ms.affine)(spread, w) == 1).all()
"""
    flags = "--xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert "samples is on cpu:2 and weight on cpu:0: move one" in run.stdout
    assert "samples is spread over 4 devices: gather it" in run.stdout


# On a GPU: JAX arrays on the CPU that pretend to be on a GPU, and kernels on the host.


@pytest.fixture
def on_gpu(cupy_on_host, monkeypatch):
    place = _arrays.Place(types.SimpleNamespace(platform="gpu"), True)
    monkeypatch.setattr(_arrays, "_place_of", lambda operands: place)


def test_results_on_a_gpu_are_rounded_by_kernels(on_gpu, x64):
    # CuPy would flush float32 subnormals. Losses and statistics are float64 at first.
    samples, weight, bias, targets = table()
    tiny = [x * np.float32(1e-20) for x in (samples, weight, bias, targets)]
    options = {"loss": "squared_error", "activation": "relu"}
    losses = ms.mean_loss(*to_jax(tiny), **options)
    desired = ms.mean_loss(*tiny, **options)
    assert 0.0 < desired.max() < np.finfo(np.float32).tiny
    assert_same(losses, desired)
    for result, other in zip(
        ms.affine_stats(*to_jax([x * np.float32(1e-19) for x in tiny[:2]])),
        ms.affine_stats(*[x * np.float32(1e-19) for x in tiny[:2]]),
        strict=True,
    ):
        assert_same(result, other)
    integers = [np.rint(3 * x).astype("i4") for x in (samples, weight)]
    assert_same(
        ms.affine(*to_jax(integers), activation="gelu"), ms.affine(*integers, activation="gelu")
    )
    for result, other in zip(
        ms.affine_vjp(*to_jax(integers), None, jnp.ones((5, 40, 7))),
        ms.affine_vjp(*integers, None, np.ones((5, 40, 7), "f4")),
        strict=True,
    ):
        assert (result is other is None) or assert_same(result, other) is None


@pytest.mark.parametrize("among", ["samples", "weight", "bias"])
def test_numpy_arrays_and_lists_mixed_with_arrays_on_a_gpu(on_gpu, among):
    operands = dict(zip(("samples", "weight", "bias"), table(), strict=False))
    desired = ms.affine(**operands)
    there = {name: jnp.asarray(x) if name == among else x for name, x in operands.items()}
    assert_same(ms.affine(**there), desired)
    lists = {name: x if name == among else x.tolist() for name, x in there.items()}
    assert_same(ms.affine(**lists), desired)
    swapped = {name: x if name == among else x.astype(">f8") for name, x in there.items()}
    assert_same(ms.affine(**swapped), desired)


def test_sets_of_numpy_arrays_predict_for_samples_on_a_gpu(on_gpu):
    samples, weight, bias, targets = table()
    sets = ms.WeightSets(weight, bias)
    assert_same(sets.predict(jnp.asarray(samples)), sets.predict(samples))
    losses = sets.mean_loss(jnp.asarray(samples), targets, sample_weight=[1.0] * len(samples))
    desired = sets.mean_loss(samples, targets, sample_weight=np.ones(len(samples), "f4"))
    assert_same(losses, desired)


@pytest.fixture
def gpu():
    """JAX's first GPU."""
    try:
        return jax.devices("gpu")[0]
    except RuntimeError:
        pytest.skip("JAX sees no GPU")


@pytest.mark.gpu
class TestOnGpu:
    def test_same_bits(self, gpu):
        operands = table()
        there = [jax.device_put(x, gpu) for x in operands]
        calls = {
            ms.affine: (3, {"activation": "tanh"}),
            ms.affine_stats: (3, {}),
            ms.mean_loss: (4, {"activation": "tanh"}),
            ms.mean_loss_and_grad: (4, {}),
        }
        for function, (count, options) in calls.items():
            results = function(*there[:count], **options)
            desired = function(*operands[:count], **options)
            several = isinstance(results, tuple)
            for result, expected in zip(
                *((x if several else (x,)) for x in (results, desired)), strict=True
            ):
                assert result.devices() == {gpu}
                assert_same(result, expected)

    def test_subnormals(self, gpu):
        tiny = [x * np.float32(1e-20) for x in table()]
        there = [jax.device_put(x, gpu) for x in tiny]
        assert_same(ms.mean_loss(*there, activation="relu"), ms.mean_loss(*tiny, activation="relu"))

    def test_numpy_arrays_and_lists_beside(self, gpu):
        samples, weight, bias, _ = table()
        there = jax.device_put(samples, gpu)
        desired = ms.affine(samples, weight, bias)
        assert_same(ms.affine(there, weight, bias), desired)
        assert_same(ms.affine(there, weight.tolist(), bias.tolist()), desired)

    def test_compiled_code(self, gpu):
        operands = table()[:3]
        there = [jax.device_put(x, gpu) for x in operands]
        result = jax.jit(ms.affine)(*there)
        np.testing.assert_allclose(result, ms.affine(*operands), rtol=1e-5, atol=1e-5)


# Transformations.


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_activations_inside(x64, name):
    """Values and derivatives are close to those of the package, also at kinks."""
    z = np.linspace(-8, 8, 257).astype("float64" if x64 else "float32")[:, None]  # 0, 1, 3, 6
    one = np.ones((1, 1), z.dtype)
    activation = ms.Activation(name)
    for chosen in (activation, activation.derivative):
        value = jax.jit(lambda z, chosen=chosen: ms.affine(z, one, activation=chosen))(z)
        assert value.dtype == z.dtype
        tolerance = 4e-16 if x64 else 2e-7
        expected = ms.affine(z, one, activation=chosen)
        np.testing.assert_allclose(value, expected, rtol=16 * tolerance, atol=8 * tolerance)
    slope = jax.vmap(jax.grad(lambda z: ms.affine(z[None], one, activation=name)[0, 0, 0]))(z)
    np.testing.assert_allclose(slope, value[0], rtol=16 * tolerance, atol=8 * tolerance)


@given(
    problem=problems(dtypes=NARROW, mixed_dtypes=True, special_values=False), axis=st.integers(0, 1)
)
@settings(max_examples=10)
def test_dtypes_and_shapes_inside(problem, axis):
    operands = to_jax(problem)
    compiled = jax.jit(lambda *j: ms.affine(*j, set_axis=axis))
    result, expected = compiled(*operands), ms.affine(*operands, set_axis=axis)
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    if jnp.issubdtype(result.dtype, jnp.integer) or result.dtype == bool:
        assert_same_bits(np.asarray(result), np.asarray(expected))


@pytest.mark.parametrize("samples_of_sets", [False, True])
@pytest.mark.parametrize("shared", ["nothing", "weight", "bias", "no bias"])
def test_gradients_of_affine(samples_of_sets, shared):
    samples, weight, bias, _ = table()
    if samples_of_sets:
        samples = np.stack([samples * n for n in range(5)])
    if shared == "weight":
        weight = weight[:1]
    bias = {"bias": bias[:1], "no bias": None}.get(shared, bias)
    cotangent = np.random.default_rng(1).normal(size=(5, 40, 7)).astype("float32")
    if shared == "no bias" and samples_of_sets:
        cotangent = cotangent[: len(weight)]
    operands = [x for x in (samples, weight, bias) if x is not None]

    @jax.jit
    def pulled(cotangent, *operands):
        def function(*j):
            return ms.affine(*j, activation="tanh", set_axis=1)

        return jax.vjp(function, *operands)[1](cotangent.swapaxes(0, 1))

    expected = ms.affine_vjp(samples, weight, bias, cotangent, activation="tanh")
    for actual, desired in zip(pulled(cotangent, *operands), expected, strict=False):
        np.testing.assert_allclose(actual, desired, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("loss", "weighted"), combined(LOSSES, [False, True]))
def test_losses_inside(loss, weighted):
    samples, weight, bias, targets = table()
    targets = labels(loss, targets)
    sample_weight = np.arange(40, dtype="float32") % 3 if weighted else None
    options = {"loss": loss, "activation": "sigmoid", "sample_weight": sample_weight}
    for per_feature in (False, True):
        options["per_feature"] = per_feature
        expected = ms.mean_loss_and_grad(samples, weight, bias, targets, **options)
        compiled = jax.jit(lambda w, b: msj.mean_loss_and_grad(samples, w, b, targets, **options))

        def total(w, b):
            losses = msj.mean_loss(samples, w, b, targets, **options)
            return 2 * losses.sum(), losses

        gradients, losses = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(weight, bias)
        halves = (x / 2 for x in gradients)
        for found in (compiled(weight, bias), (losses, *halves)):
            for actual, desired in zip(found, expected, strict=True):
                np.testing.assert_allclose(actual, desired, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", sorted({*LOSSES} - {"hinge"}))  # whose targets are -1 or 1
def test_derivatives_by_targets(loss):
    operands = [x.astype("f8") for x in table(shape=(2, 4, 3))[:3]]
    targets = np.random.default_rng(0).uniform(0.2, 0.8, (4, 3))
    options = {"loss": loss, "activation": "sigmoid"}
    with jax.enable_x64(True):
        losses, tangent = jax.jvp(
            lambda t: ms.mean_loss(*operands, t, **options), (targets,), (np.cos(targets),)
        )
        gradient = jax.grad(lambda t: ms.mean_loss(*operands, t, **options)[0])(targets)
        losses, tangent, gradient = map(np.asarray, (losses, tangent, gradient))
    np.testing.assert_allclose(losses, ms.mean_loss(*operands, targets, **options), rtol=1e-12)
    step = 1e-6 * np.cos(targets)
    after, before = (ms.mean_loss(*operands, targets + x, **options) for x in (step, -step))
    np.testing.assert_allclose(tangent, (after - before) / 2e-6, rtol=1e-7)
    np.testing.assert_allclose((gradient * np.cos(targets)).sum(), tangent[0], rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_at_kinks(loss):
    """Derivatives at kinks, and for invalid probabilities, are those of the package."""
    p = np.float32([[-0.5], [0.0], [0.25], [1.0], [2.0], [-1.0]])
    for t in np.unique(labels(loss, np.array([-1.0, 0.0, 1.0]))):
        operands = np.ones((1, 1), "f4"), p, None, np.full((1, 1), t, "f4")
        expected = ms.mean_loss_and_grad(*operands, loss=loss)
        actual = jax.jit(lambda *j: ms.mean_loss_and_grad(*j, loss=loss))(*operands)
        for x, y in zip(actual[:2], expected[:2], strict=True):
            np.testing.assert_allclose(x, y, rtol=2e-6, atol=1e-7)


def test_the_other_functions_inside():
    samples, weight, bias, _ = table()
    set_index = np.arange(40) % 7 - 1  # -1 and 5 are out of range
    selected = jax.jit(lambda i, *j: ms.affine_select(*j, i, activation="tanh"))(
        set_index, samples, weight, bias
    )
    desired = ms.affine_select(samples, weight, bias, set_index, activation="tanh", check=False)
    assert np.isnan(desired[[0, 6]]).all()
    np.testing.assert_allclose(selected, desired, rtol=1e-5, atol=1e-6)
    shared = jax.jit(lambda *j: ms.affine_select(*j))
    operands = samples, weight[:1], bias, set_index.clip(0, 4)
    np.testing.assert_allclose(shared(*operands), ms.affine_select(*operands), atol=1e-5)
    for set_weight in (None, np.float32([0, 1, 2, 3, 4])):
        options = {"set_weight": set_weight, "statistics": ("var", "mean", "std")}
        found = jax.jit(lambda *j: ms.affine_stats(*j, **options))(  # noqa: B023
            samples, weight, bias
        )
        for actual, desired in zip(
            found, ms.affine_stats(samples, weight, bias, **options), strict=True
        ):
            np.testing.assert_allclose(actual, desired, rtol=1e-5, atol=1e-6)
    cotangent = np.ones((5, 40, 7), "f4")
    found = jax.jit(lambda *j: ms.affine_vjp(*j, wrt=["weight"]))(samples, weight, bias, cotangent)
    assert found[0] is found[2] is None
    desired = ms.affine_vjp(samples, weight, bias, cotangent)[1]
    np.testing.assert_allclose(found[1], desired, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("cotangent", "error"), [(None, TypeError), (np.ones((5, 1, 7)), ValueError)]
)
def test_refused_cotangents_inside(cotangent, error):
    samples, weight = np.ones((40, 7), "f4"), np.ones((5, 7), "f4")
    with pytest.raises(error, match="cotangent"):
        jax.jit(lambda x: ms.affine_vjp(x, weight, None, cotangent))(samples)


@pytest.mark.parametrize("activation", SMOOTH)
def test_compositions(activation):
    samples, weight, bias, targets = to_jax(table(shape=(3, 20, 2)))

    def loss(w, b):
        return ms.mean_loss(samples, w, b, targets, activation=activation).sum()

    with jax.checking_leaks():
        gradient = jax.grad(loss)(weight, bias)
        one_by_one = jax.jit(jax.vmap(jax.grad(lambda w, b: loss(w[None], b[None]))))(weight, bias)
        hessian = jax.jit(jax.hessian(lambda w: loss(w, bias)))(weight)
    np.testing.assert_allclose(one_by_one, gradient, rtol=1e-4, atol=1e-6)
    step = 1e-2
    moved = jax.grad(loss)(weight.at[1, 0].add(step), bias)
    back = jax.grad(loss)(weight.at[1, 0].add(-step), bias)
    np.testing.assert_allclose(hessian[1, 0], (moved - back) / (2 * step), rtol=2e-2, atol=1e-3)


def test_integers_have_no_gradient():
    samples, weight = np.arange(6).reshape(3, 2), jnp.ones((2, 2))
    gradient = jax.grad(lambda w: ms.affine(samples, w).sum())
    assert gradient(weight).tolist() == [[6.0, 9.0]] * 2


# Symbolic sizes, and empty arrays.

FUNCTIONS = {
    "affine": lambda x, w, b, t: ms.affine(x, w, b, activation="tanh"),
    "affine, sets second": lambda x, w, b, t: ms.affine(x, w, b, set_axis=1),
    "affine_select": lambda x, w, b, t: ms.affine_select(x, w, b, jnp.zeros(x.shape[0], "int8")),
    "affine_stats": lambda x, w, b, t: ms.affine_stats(x, w, b, statistics=["mean", "var"]),
    "affine_vjp": lambda x, w, b, t: ms.affine_vjp(
        x, w, b, jnp.ones_like(ms.affine(x, w, b)), wrt="weight"
    ),
    "mean_loss": lambda x, w, b, t: ms.mean_loss(x, w, b, t),
    "mean_loss of a column": lambda x, w, b, t: ms.mean_loss(x, w, b, t[:, 0], loss="huber"),
    "mean_loss_and_grad": lambda x, w, b, t: ms.mean_loss_and_grad(x, w, b, t, per_feature=True),
}


@pytest.mark.parametrize(
    ("call", "shapes"),
    combined(
        itertools.product(FUNCTIONS, [(), (1,), (2,)]),
        ["n,f b,f", "5,7 b,7", "n,7 40,7", "5,f 40,f"],
    ),
)
def test_exported_for_any_size(call, shapes):
    name, shared = call
    of_sets, of_samples = shapes.split()
    scope = jax.export.SymbolicScope()
    operands = list(table())
    sizes = [of_samples, of_sets, of_sets, of_samples]
    for i in shared:
        operands[i] = operands[i][:1]
        sizes[i] = "1" + sizes[i][1:]
    symbolic = [
        jax.ShapeDtypeStruct(jax.export.symbolic_shape(size, scope=scope), "float32")
        for size in sizes
    ]
    exported = jax.export.export(jax.jit(FUNCTIONS[name]))(*symbolic)
    results = jax.tree.leaves(exported.call(*operands))
    expected = jax.tree.leaves(jax.jit(FUNCTIONS[name])(*operands))
    for result, desired in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, desired, rtol=1e-5, atol=1e-5)


def test_exported_shapes_are_checked():
    sizes = jax.export.symbolic_shape("n, b")
    x, w = (jax.ShapeDtypeStruct((n, f), "float32") for n, f in zip(sizes, (3, 4), strict=True))
    with pytest.raises(ValueError, match="weight has shape"):
        jax.export.export(jax.jit(ms.affine))(x, w)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(5, 0, 7), (5, 40, 0), (1, 0, 0), (0, 40, 7)])
def test_no_samples_features_or_sets_inside(name, shape):
    if name == "mean_loss of a column" and not shape[2]:
        pytest.skip("there is no column")
    if not shape[0] and name == "affine_select":
        pytest.skip("there is no set to select")
    operands = to_jax(table(shape=shape))
    results = jax.tree.leaves(jax.jit(FUNCTIONS[name])(*operands))
    expected = jax.tree.leaves(FUNCTIONS[name](*operands))
    for result, desired in zip(results, expected, strict=True):
        assert (result.shape, result.dtype) == (desired.shape, desired.dtype)
        np.testing.assert_array_equal(result, desired)


@given(slopes=st.permutations([0.0, -0.0, 0.5]))
def test_compiled_code_knows_zeros_by_their_sign(slopes):
    x, one = np.float32([[-2.0, -0.0, 3.0]]), np.ones((1, 3), np.float32)
    for slope in slopes:
        activation = ms.Activation("leaky_relu", negative_slope=slope)
        compiled = jax.jit(
            lambda x, activation=activation: ms.affine(x, one, activation=activation)
        )
        expected = ms.affine(x, one, activation=activation)
        np.testing.assert_array_equal(np.signbit(compiled(x)), np.signbit(expected))


@pytest.mark.parametrize("scale", [1e-300, 1e-60, 1.0, 1e60, 1e300])
@pytest.mark.parametrize("compiled", [False, True])
def test_weights_that_float32_does_not_have(scale, compiled):
    samples, weight, bias, targets = to_jax(table(shape=(3, 4, 2)))
    of_samples, of_sets = np.array([1.0, 3.0, -0.5, 2.0]), np.array([1.0, 3.0, 2.0])
    desired = ms.mean_loss(samples, weight, bias, targets, loss="huber", sample_weight=of_samples)
    (mean,) = ms.affine_stats(samples, weight, bias, set_weight=of_sets, statistics=["mean"])
    jit = jax.jit if compiled else lambda function: function
    found = jit(
        lambda x: ms.mean_loss(
            *(x, weight, bias, targets), loss="huber", sample_weight=of_samples * scale
        )
    )(samples)
    np.testing.assert_allclose(found, desired, rtol=1e-5)
    found = jit(
        lambda x: ms.affine_stats(
            *(x, weight, bias), set_weight=of_sets * scale, statistics=["mean"]
        )
    )(samples)
    np.testing.assert_allclose(found[0], mean, rtol=1e-5)
    zero = jit(
        lambda x: ms.mean_loss(x, weight, bias, targets, sample_weight=[1.0, -1.0, 1.0, -1.0])
    )
    assert np.isnan(zero(samples)).all()


# Any sequence of transformations, compared with the formula in JAX operations.


def totalled(function):
    return lambda w: sum(jnp.sin(x).sum() for x in jax.tree.leaves(function(w)))


STEPS = {
    "jit": jax.jit,
    "grad": lambda f: jax.grad(totalled(f)),
    "jacrev": jax.jacrev,
    "jacfwd": jax.jacfwd,
    "jvp": lambda f: lambda w: jax.jvp(f, (w,), (jnp.cos(w),))[1],
    "linearize": lambda f: lambda w: jax.linearize(f, w)[1](jnp.cos(w)),
    "vmap": lambda f: lambda w: jax.vmap(f)(jnp.stack([w, 2 * w])),
    "vmap of axis 1": lambda f: lambda w: jax.vmap(f, 1)(jnp.stack([w, 2 * w], 1)),
    "vmap of an empty batch": lambda f: lambda w: jax.vmap(f)(w[None][:0]),
    "checkpoint": jax.checkpoint,
    "export": lambda f: (
        lambda w: jax.export.export(jax.jit(f))(jax.ShapeDtypeStruct(w.shape, w.dtype)).call(w)
    ),
}
SMALL = [x.astype("float64") for x in table(shape=(2, 3, 2))]
CHOSEN = np.array([1, 0, 1], np.uint8)
PAIRS = {
    "affine": (
        lambda w: ms.affine(SMALL[0], w, SMALL[2], activation="tanh"),
        lambda w: jnp.tanh(SMALL[0] * w[:, None] + SMALL[2][:, None]),
    ),
    "affine_select": (
        lambda w: ms.affine_select(SMALL[0], w, SMALL[2], CHOSEN),
        lambda w: SMALL[0] * w[CHOSEN] + SMALL[2][CHOSEN],
    ),
    "mean_loss": (
        lambda w: ms.mean_loss(SMALL[0], w, None, SMALL[3]),
        lambda w: ((SMALL[0] * w[:, None] - SMALL[3]) ** 2).mean((1, 2)),
    ),
    "affine_stats": (
        lambda w: ms.affine_stats(SMALL[0], w, statistics=["mean", "var"]),
        lambda w: ((z := SMALL[0] * w[:, None]).mean(0), z.var(0)),
    ),
}


@given(
    name=st.sampled_from(list(PAIRS)),
    steps=st.lists(st.sampled_from(list(STEPS)), min_size=1, max_size=3),
)
@settings(max_examples=max(EXAMPLES // 4, 10))
def test_transformations_of_transformations(name, steps):
    if "export" in steps:
        steps = [*(step for step in steps if step != "export"), "export"]  # has no derivatives
    with jax.enable_x64(True):
        ours, others = PAIRS[name]
        for step in steps:
            ours, others = STEPS[step](ours), STEPS[step](others)
        w = jnp.asarray(SMALL[1])
        found, expected = (jax.tree.leaves(f(w)) for f in (ours, others))
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
