"""Networks with hidden layers: every backend equals the definition bit for bit."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import formula
import numpy as np
import pytest
import tiles
from conftest import normals
from hypothesis import example, given
from hypothesis import strategies as st
from test_agreement import outs

import multisubnet as ms
from multisubnet.testing import DTYPES, assert_same_bits, problems

REAL = [dtype for dtype in DTYPES if not dtype.startswith("complex")]
FLOATS = ["float32", "float64"]


class Architecture(NamedTuple):
    """The parts that determine compiled code; few, because compiling takes time."""

    sizes: tuple[int, ...]
    hidden: Any
    last: Any
    biased: tuple[bool, ...]


LEAKY = ms.Activation("leaky_relu", negative_slope=0.3)
AFFINE = Architecture((1, 1), "relu", "tanh", (True,))
SMALL = Architecture((1, 5, 3, 1), "relu", None, (True, True, True))
MIXED = Architecture((3, 9, 2, 4), ("elu", LEAKY.derivative), "softsign", (False, True, False))
PARAMETERS = Architecture((2, 4, 4, 5), (LEAKY, None), ms.Activation("elu", alpha=0.7), (True,) * 3)
LOOPS = Architecture((1, 20, 19, 1), "tanh", "relu6", (True, False, True))
WIDE = Architecture((9, 70, 3), "hard_sigmoid", None, (True, False))
INTEGERS = Architecture((2, 3, 2), "relu", "relu6", (True, False))
FEW = SMALL, INTEGERS
ARCHITECTURES = AFFINE, SMALL, MIXED, PARAMETERS, LOOPS, WIDE
SINGLE = AFFINE, MIXED, PARAMETERS, WIDE  # in float32 only
APART = AFFINE, WIDE  # not additive


class Networks(NamedTuple):
    """Operands of `mlp`, and its options."""

    samples: np.ndarray
    layers: list[Any]
    options: dict[str, Any]


@st.composite
def networks(
    draw,
    dtypes=FLOATS,
    architectures=ARCHITECTURES,
    *,
    mixed_dtypes=False,
    max_sets=4,
    max_samples=40,
    max_subnets=4,
    samples_ndim=None,
    special_values=True,
):
    """Draw networks, their samples, and the options of `mlp` except set_axis."""
    n_sets, n_samples, n_subnets = (
        draw(st.integers(0, most)) for most in (max_sets, max_samples, max_subnets)
    )
    architecture = draw(st.sampled_from(architectures))
    sizes, hidden, last, biased = architecture
    if dtypes is FLOATS and architecture in SINGLE:
        dtypes = ["float32"]
    n_inputs = sizes[0]
    inputs, n_features = None, n_subnets
    if draw(st.booleans()) and n_inputs > 1:
        n_subnets, n_features = 1, n_inputs
    elif n_inputs > 1 or draw(st.booleans()):
        n_features = draw(st.integers(1, 12))
        order = np.random.default_rng(draw(st.integers(0, 2**16)))
        inputs = order.integers(n_features, size=(n_subnets, n_inputs))
        inputs = inputs.astype(draw(st.sampled_from(["int64", "uint8"])))
    dtype = st.sampled_from([np.dtype(d) for d in dtypes])
    if not mixed_dtypes:
        dtype = st.just(draw(dtype))

    def operand(*shape):
        return draw(normals(draw(dtype), shape, special_values=special_values))

    def sets():
        return draw(st.sampled_from([n_sets, n_sets, 1]))

    layers = []
    for (before, after), has_bias in zip(itertools.pairwise(sizes), biased, strict=True):
        weight = operand(sets(), n_subnets, before, after)
        layers.append((weight, operand(sets(), n_subnets, after)) if has_bias else weight)
    ndim = samples_ndim or draw(st.sampled_from([2, 2, 3]))
    samples = operand(*(n_sets, n_samples, n_features)[3 - ndim :])
    options = {"activation": hidden, "output_activation": last, "inputs": inputs}
    if architecture not in APART and draw(st.booleans()):
        options["additive"] = True
        if draw(st.booleans()):
            options["intercept"] = operand(sets(), sizes[-1])
    return Networks(samples, layers, options)


def contiguous(operand):
    """Return an operand, or those of a tuple, as new arrays in native byte order."""
    if operand is None or isinstance(operand, tuple):
        return operand and tuple(map(contiguous, operand))
    return operand.astype(operand.dtype.newbyteorder("="), order="C")


def sets_of(problem):
    """Return N."""
    samples, layers, options = problem
    operands = [x for layer in layers for x in (layer if isinstance(layer, tuple) else [layer])]
    operands += [options["intercept"]] if options.get("intercept") is not None else []
    lengths = {len(x) for x in operands} - {1}
    return len(samples) if samples.ndim == 3 else lengths.pop() if lengths else 1


def expected(problem, set_axis=0):
    """Return the result of the definition; without networks, an array with no values."""
    samples, layers, options = problem
    n_subnets = (layers[0][0] if isinstance(layers[0], tuple) else layers[0]).shape[1]
    if n_subnets or options.get("additive"):
        return formula.mlp(samples, layers, **options, set_axis=set_axis)
    return None


def assert_agrees(result, problem, set_axis=0):
    assert result.flags.c_contiguous
    wanted = expected(problem, set_axis)
    if wanted is None:
        assert result.size == 0
    else:
        assert_same_bits(result, wanted)


def networks_of_normals(widths, n_subnets, **options):
    """Return float32 networks in which nearly every rounding matters."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.normal(size=shape).astype("f4")

    shape = 5, n_subnets
    layers = [(draw(*shape, a, b), draw(*shape, b)) for a, b in itertools.pairwise(widths)]
    return draw(7, n_subnets * widths[0]), layers, options


@given(problem=networks(), set_axis=st.sampled_from([0, 1]))
@example(problem=networks_of_normals((21, 17, 3), 1), set_axis=0)
@example(problem=networks_of_normals((1, 5, 1), 6, additive=True), set_axis=0)
@example(problem=networks_of_normals((2, 4, 1), 3, inputs=[[0, 5], [3, 1], [2, 2]]), set_axis=1)
def test_agreement(backend, problem, set_axis):
    samples, layers, options = problem
    assert_agrees(backend.mlp(samples, layers, **options, set_axis=set_axis), problem, set_axis)


@given(problem=networks(REAL, FEW) | networks(REAL, FEW, mixed_dtypes=True))
def test_agreement_in_all_dtypes(backend, problem):
    samples, layers, options = problem
    assert_agrees(backend.mlp(samples, layers, **options), problem)


@given(
    problem=networks(["float32"], max_sets=9, max_samples=80, max_subnets=20),
    data=st.data(),
)
def test_agreement_past_every_block(backend, problem, data):
    samples, layers, options = problem
    with tiles.small(data.draw):
        assert_agrees(backend.mlp(samples, layers, **options), problem)


@given(
    data=st.data(),
    problem=networks() | networks(REAL, FEW, mixed_dtypes=True),
    set_axis=st.sampled_from([0, 1]),
)
def test_into_out(backend, data, problem, set_axis):
    samples, layers, options = problem
    desired = expected(problem, set_axis)
    if desired is None:
        return
    whole, part = data.draw(outs(desired.shape, desired.dtype))
    after = whole.copy()
    with np.errstate(all="ignore"):
        after[part] = desired
    out = whole[part]
    assert backend.mlp(samples, layers, **options, set_axis=set_axis, out=out) is out
    assert_same_bits(whole, after)


@given(
    shift=st.integers(-40, 40),
    operand=st.sampled_from(["samples", "weight", "bias", "intercept"]),
    additive=st.booleans(),
)
def test_into_out_that_overlaps_an_operand(shift, operand, additive):
    memory = np.arange(1.0, 2000.0, dtype="f4")
    rng = np.random.default_rng(0)
    additive = additive or operand == "intercept"
    arrays = {
        "samples": rng.normal(size=(5, 3)),
        "weight": rng.normal(size=(4, 3, 1, 2)),
        "bias": rng.normal(size=(4, 3, 2)),
        "intercept": rng.normal(size=(4, 2)),
    }
    arrays = {name: array.astype("f4") for name, array in arrays.items()}
    inside = memory[100 + shift :][: arrays[operand].size].reshape(arrays[operand].shape)
    inside[...] = arrays[operand]
    there = arrays | {operand: inside}
    desired, found = (
        function(
            given["samples"],
            [(given["weight"], given["bias"])],
            additive=additive,
            intercept=given["intercept"] if additive else None,
            **options,
        )
        for function, given, options in [
            (formula.mlp, arrays, {}),
            (
                ms.mlp,
                there,
                {
                    "out": memory[100 : 100 + (40 if additive else 120)].reshape(
                        (4, 5, 2) if additive else (4, 5, 3, 2)
                    )
                },
            ),
        ]
    )
    assert_same_bits(found, desired)


@pytest.mark.parametrize(
    ("sizes", "dtype", "additive"),
    [((9, 70, 31), "float64", False), ((2, 20, 23, 1), "float32", True)],
)
def test_few_samples_of_each_set(sizes, dtype, additive):
    # Lanes are units: vectors of all lengths, with and without loops, leftover items.
    rng = np.random.default_rng(0)
    inputs = rng.integers(5, size=(3, sizes[0]))
    with tiles.of(engine_few=1 << 30, engine_units=1 << 30), ms.use_backend("numba"):
        for n_sets, n_samples, ndim in [(1, 1, 2), (6, 1, 3), (3, 3, 2), (5, 4, 3), (3, 7, 2)]:
            layers = [
                (
                    rng.normal(size=(n_sets, 3, a, b)).astype(dtype),
                    rng.normal(size=(1, 3, b)).astype(dtype),
                )
                for a, b in itertools.pairwise(sizes)
            ]
            shape = (n_sets, n_samples, 5)[3 - ndim :]
            samples = rng.normal(size=shape).astype(dtype)
            options = {"inputs": inputs, "additive": additive}
            if additive:
                options["intercept"] = rng.normal(size=(n_sets, sizes[-1])).astype(dtype)
            result = ms.mlp(samples, layers, **options)
            assert_same_bits(result, formula.mlp(samples, layers, **options))


@given(problem=networks(samples_ndim=2), data=st.data())
def test_select(backend, problem, data):
    samples, layers, options = problem
    if data.draw(st.booleans()):  # the form that compiled code reads directly
        samples = np.ascontiguousarray(samples, samples.dtype.newbyteorder("="))
        layers = [contiguous(layer) for layer in layers]
        options = options | {"intercept": contiguous(options.get("intercept"))}
    n_sets = sets_of(problem)
    if not n_sets:
        samples = samples[:0]
    order = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    index = order.integers(max(n_sets, 1), size=len(samples))
    index = index.astype(data.draw(st.sampled_from(["int64", "uint8"])))
    if data.draw(st.booleans()):
        index = np.sort(index)
    result = backend.mlp_select(samples, layers, index, **options)
    wanted = expected(problem._replace(samples=samples))
    if wanted is not None:
        assert_same_bits(result, formula.mlp_select(samples, layers, index, **options))
    wrong = np.where(np.arange(len(index)) % 3 == 0, index.astype(np.int64) - n_sets, index)
    wrong[1::3] = n_sets
    result = backend.mlp_select(samples, layers, wrong, **options, check=False)
    if wanted is not None:
        assert_same_bits(result, formula.mlp_select(samples, layers, wrong, **options))


@pytest.mark.parametrize("additive", [False, True])
def test_select_on_many_samples(backend, additive):
    # Unordered, on arrays in the form that compiled code reads directly.
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(9, 2, *shape)).astype("f4") for shape in [(1, 5), (5, 3), (3, 1)]]
    layers = [(w, rng.normal(size=(9, 2, w.shape[3])).astype("f4")) for w in weights]
    samples, index = rng.normal(size=(300, 2)).astype("f4"), rng.integers(0, 9, 300)
    result = backend.mlp_select(samples, layers, index, additive=additive)
    assert_same_bits(result, formula.mlp_select(samples, layers, index, additive=additive))


@given(
    problem=networks(special_values=False, max_sets=40, max_samples=9)
    | networks(["int8", "float16", "float32"], FEW, special_values=False, mixed_dtypes=True),
    data=st.data(),
)
def test_stats(backend, problem, data):
    samples, layers, options = problem
    if expected(problem) is None or not sets_of(problem):
        return
    weights = None
    if data.draw(st.booleans()):
        weights = np.random.default_rng(0).random(sets_of(problem)).astype("f4") + 1
    names = data.draw(st.permutations(["mean", "var", "std"]))
    with tiles.small(data.draw):
        found = backend.mlp_stats(samples, layers, **options, set_weight=weights, statistics=names)
    wanted = formula.mlp_stats(samples, layers, **options, set_weight=weights, statistics=names)
    for one, other in zip(found, wanted, strict=True):
        assert_same_bits(one, other)


@given(problem=problems(dtypes=FLOATS, max_samples=100))
def test_one_layer_has_the_bits_of_affine(backend, problem):
    samples, weight, bias = problem
    weight, bias = weight[..., None], bias if bias is None else bias[..., None]
    result = backend.mlp(samples, [(weight[..., None], bias)], output_activation="tanh")
    assert_same_bits(result[..., 0], backend(*problem, activation="tanh"))


@given(problem=networks(["float32"], (SMALL,), special_values=False), more=st.sampled_from([1, 16]))
def test_units_of_weight_zero_change_nothing(backend, problem, more):
    samples, layers, options = problem
    pairs = [layer if isinstance(layer, tuple) else (layer, None) for layer in layers]
    padded = []
    for number, (weight, bias) in enumerate(pairs):
        width = [(0, 0), (0, 0), (0, more * (number > 0)), (0, more * (number < len(pairs) - 1))]
        padded.append(
            (np.pad(weight, width), None if bias is None else np.pad(bias, width[:2] + width[3:]))
        )
    options = options | {"activation": "relu"}
    result = backend.mlp(samples, padded, **options)
    wanted = backend.mlp(samples, layers, **options)
    # A product with 0 may turn -0.0 into 0.0, as adding 0.0 does.
    assert_same_bits(result + 0, wanted + 0)


def test_close_to_the_truth(backend):
    rng = np.random.default_rng(0)
    sizes = 3, 20, 9, 2
    layers = [
        (rng.normal(size=(5, 4, a, b)).astype("f4"), rng.normal(size=(5, 4, b)).astype("f4"))
        for a, b in itertools.pairwise(sizes)
    ]
    samples = rng.normal(size=(50, 6)).astype("f4")
    inputs = rng.integers(6, size=(4, 3))
    options = {"activation": "tanh", "inputs": inputs}
    h = samples.astype(np.longdouble)[:, inputs]
    h = np.broadcast_to(h, (5, *h.shape))
    for number, (weight, bias) in enumerate(layers):
        z = np.einsum("nbsi,nsik->nbsk", h, weight.astype(np.longdouble)) + bias[:, None]
        h = z if number == 2 else np.tanh(z)
    result = backend.mlp(samples, layers, **options)
    np.testing.assert_allclose(result, h.astype("f8"), rtol=2e-5, atol=2e-5)
    result = backend.mlp(samples, layers, **options, additive=True)
    np.testing.assert_allclose(result, h.sum(2).astype("f8"), rtol=2e-5, atol=2e-5)


def test_permuted_units_change_the_order_alone(backend):
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(40, 3))
    hidden, last = rng.normal(size=(2, 3, 1, 9)), rng.normal(size=(2, 3, 9, 1))
    order = rng.permutation(9)
    one = backend.mlp(samples, [hidden, last])
    other = backend.mlp(samples, [hidden[..., order], last[:, :, order]])
    assert (one != other).any()
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_operands_that_are_all_read_only(backend):
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(5, 1))
    shapes = [((2, 1, a, b), (2, 1, b)) for a, b in itertools.pairwise(SMALL.sizes)]
    layers = [tuple(rng.normal(size=shape) for shape in pair) for pair in shapes]
    for array in (samples, *(x for layer in layers for x in layer)):
        array.flags.writeable = False
    assert_same_bits(backend.mlp(samples, layers), formula.mlp(samples, layers))


def test_eight_inputs_of_a_wide_layer(backend):
    rng = np.random.default_rng(0)
    samples, *layers = (rng.normal(size=shape) for shape in ((5, 8), (2, 1, 8, 36), (2, 1, 36, 1)))
    layers[0] = layers[0], rng.normal(size=(2, 1, 36))
    assert_same_bits(backend.mlp(samples, layers), formula.mlp(samples, layers))


def test_all_sets_of_large_problems(backend):
    # Beyond the pieces of every backend, with threads.
    rng = np.random.default_rng(0)
    for n_sets, n_samples, n_features in [(70, 500, 7), (9, 3000, 1), (3000, 3, 2)]:
        layers = [
            (
                rng.normal(size=(n_sets, n_features, a, b)).astype("f4"),
                rng.normal(size=(n_sets, n_features, b)).astype("f4"),
            )
            for a, b in [(1, 8), (8, 8), (8, 1)]
        ]
        samples = rng.normal(size=(n_samples, n_features)).astype("f4")
        result = backend.mlp(samples, layers)
        assert_same_bits(result, formula.mlp(samples, layers))


@pytest.mark.large
@pytest.mark.parametrize("name", ["samples", "weight", "bias", "out"])
@pytest.mark.parametrize("additive", [False, True])
def test_mlp_beyond_32_bit_offsets(backend, name, additive):
    # Two sets more than 2^31 bytes apart; pages between them are never touched.
    far = (1 << 31) + 16
    memory = np.empty(far + 1024, np.uint8)

    def spread(shape):
        strides = np.empty(shape, "f4").strides
        return np.lib.stride_tricks.as_strided(memory.view("f4"), shape, (far, *strides[1:]))

    rng = np.random.default_rng(0)
    shapes = {"samples": (2, 3, 2), "weight": (2, 2, 1, 3), "bias": (2, 2, 3)}
    operands = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    out = None
    if name == "out":
        out = spread((2, 3, 3) if additive else (2, 3, 2, 3))
    else:
        distant = spread(shapes[name])
        distant[...] = operands[name]
        operands[name] = distant
    layers = [(operands["weight"], operands["bias"])]
    result = backend.mlp(operands["samples"], layers, additive=additive, out=out)
    assert_same_bits(result, formula.mlp(operands["samples"], layers, additive=additive))


W = np.ones((4, 3, 1, 16))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"layers": [W, np.ones((4, 3, 8, 16))]},
            ValueError,
            r"layers\[1\]\[0\] has shape \(4, 3, 8, 16\); expected \(N, S, 16, n_out\) with N = 4, "
            r"S = 3, as layers\[0\] has 16 outputs",
        ),
        ({"layers": []}, ValueError, "layers is empty"),
        ({"layers": W}, TypeError, "layers is an ndarray; expected a sequence"),
        ({"layers": [(W, None, None)]}, ValueError, r"layers\[0\] has 3 items"),
        ({"layers": [W[0]]}, ValueError, r"layers\[0\]\[0\] has shape \(3, 1, 16\); .*n_in, n_out"),
        ({"layers": [W, np.ones((5, 3, 16, 1))]}, ValueError, r"layers\[1\]\[0\] .* N = 4, S = 3"),
        ({"layers": [W, np.ones((4, 2, 16, 1))]}, ValueError, r"layers\[1\]\[0\] .* N = 4, S = 3"),
        ({"layers": [W[..., :0]]}, ValueError, "without inputs or outputs"),
        (
            {"layers": [(W, np.ones((4, 3, 15)))]},
            ValueError,
            r"layers\[0\]\[1\] has shape \(4, 3, 15\); expected \(N, S, 16\) with N = 4, S = 3, as "
            r"layers\[0\]\[0\] has 16 outputs",
        ),
        ({"samples": np.ones(3)}, ValueError, r"samples has shape \(3,\); expected \(B, F\) or"),
        ({"samples": np.ones((5, 2, 3))}, ValueError, r"layers\[0\]\[0\] .* N = 5"),
        (
            {"samples": np.ones((2, 5))},
            ValueError,
            "3 networks of 1 input cannot see 5 features",
        ),
        ({"inputs": [[0], [1]]}, ValueError, r"inputs has shape \(2, 1\); expected \(S, 1\)"),
        ({"inputs": [[0], [1], [3]]}, IndexError, r"inputs\[2, 0\] is 3; .* 0 to 2"),
        ({"inputs": [[0], [1], [-1]]}, IndexError, r"inputs\[2, 0\] is -1; .* 0 to 2"),
        ({"inputs": [[0.0]] * 3}, TypeError, "inputs has dtype float64"),
        ({"activation": ["relu", "relu"]}, ValueError, "activation has 2 values; .* 0 of them"),
        ({"output_activation": ["tanh"]}, TypeError, r"must be None, .* not \['tanh'\]"),
        ({"activation": [{"relu"}], "layers": [W, W.swapaxes(2, 3)]}, TypeError, "not {'relu'}"),
        ({"activation": "mish", "layers": [W, W.swapaxes(2, 3)]}, ValueError, "must be one of"),
        ({"intercept": np.ones((4, 16))}, ValueError, "intercept .* additive=True"),
        (
            {"intercept": np.ones((4, 1)), "additive": True},
            ValueError,
            r"intercept has shape \(4, 1\); expected \(N, 16\) with N = 4",
        ),
        ({"samples": np.ones((2, 3), complex)}, TypeError, "dtype complex128; expected bool"),
        ({"samples": np.ones((2, 3), np.longdouble)}, TypeError, "longdouble|float128"),
        ({"samples": np.array([["a"] * 3])}, TypeError, "samples has dtype"),
        ({"set_axis": 2}, ValueError, "set_axis must be 0 or 1"),
        ({"out": np.ones((4, 2, 3))}, ValueError, r"out has shape .*expected \(4, 2, 3, 16\)"),
        ({"out": np.ones((4, 2, 3, 16), int)}, TypeError, "out has dtype int64"),
    ],
)
def test_errors(change, error, message):
    operands = {"samples": np.ones((2, 3)), "layers": [W]} | change
    with pytest.raises(error, match=message):
        ms.mlp(**operands)


@pytest.mark.parametrize("index", [[0, 7], [0, -1]])
def test_an_index_out_of_range(index):
    with pytest.raises(IndexError, match=r"set_index\[1\] is .* 0 to 3"):
        ms.mlp_select(np.ones((2, 3)), [W], index)


def test_errors_of_select_and_stats():
    with pytest.raises(ValueError, match=r"samples has shape .*expected \(B, F\)"):
        ms.mlp_select(np.ones((4, 2, 3)), [W], [0, 0])
    with pytest.raises(TypeError, match="set_index is None; expected an array_like"):
        ms.mlp_select(np.ones((2, 3)), [W], None)
    with pytest.raises(ValueError, match=r"set_weight has shape \(3,\); expected \(N,\) = \(4,\)"):
        ms.mlp_stats(np.ones((2, 3)), [W], set_weight=np.ones(3))
    with pytest.raises(ValueError, match="statistics has 'median'"):
        ms.mlp_stats(np.ones((2, 3)), [W], statistics=["median"])


def test_no_samples_sets_or_networks():
    assert ms.mlp(np.ones((0, 3)), [W]).shape == (4, 0, 3, 16)
    assert ms.mlp(np.ones((2, 3)), [W[:0]]).shape == (0, 2, 3, 16)
    assert ms.mlp(np.ones((2, 0)), [W[:, :0]]).shape == (4, 2, 0, 16)
    sums = ms.mlp(np.ones((2, 0)), [W[:, :0]], additive=True, intercept=np.full((1, 16), 7.0))
    assert_same_bits(sums, np.full((4, 2, 16), 7.0))
    mean, _ = ms.mlp_stats(np.ones((2, 0)), [W[:0, :0]])
    assert mean.shape == (2, 0, 16)


def test_lists_are_taken():
    samples = np.arange(6.0).reshape(2, 3)
    bias = np.ones((1, 3, 16))
    given = ms.mlp(samples.tolist(), [(W.tolist(), bias.tolist())])
    assert_same_bits(given, ms.mlp(samples, [(W, bias)]))
