"""WeightSets: immutable, a sequence, the same arithmetic as the functions."""

from __future__ import annotations

import contextlib
import copy
import pickle
import sys

import numpy as np
import pytest
from conftest import examples
from device import to_device
from hypothesis import given, settings
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet._backends import choice
from multisubnet._backends.cupy import engine
from multisubnet.testing import DTYPES, arrays, assert_same_bits

WEIGHT = np.array([[2, 9], [8, 6], [1, 4]], np.float32)
BIAS = np.array([[7, 5], [6, 3], [0, 2]], np.float32)
SAMPLES = np.array([[3, 7], [9, 4]], np.float32)


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def library(request):
    return request.param


def on_host(array):
    return array.get() if hasattr(array, "get") else array


def there(library, array):
    return to_device(array) if library == "cupy" and array is not None else array


@st.composite
def operands(draw):
    n_sets, n_features = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    rows = draw(st.tuples(*[st.sampled_from([1, n_sets])] * 2))
    dtype = draw(st.sampled_from(DTYPES))
    weight, bias = (draw(arrays(dtype, (n, n_features))) for n in rows)
    return weight, draw(st.sampled_from([bias, None]))


@given(operands())
@settings(max_examples=examples(1 / 2))
def test_arrays_are_copied_whole(library, given_operands):
    weight, bias = given_operands
    sets = ms.WeightSets(there(library, weight), there(library, bias))
    shape = np.broadcast_shapes(weight.shape, (1, weight.shape[1]) if bias is None else bias.shape)
    for array, kept in ((weight, sets.weight), (bias, sets.bias)):
        if array is None:
            assert kept is None
            continue
        assert kept.flags.c_contiguous
        native = array.astype(array.dtype.newbyteorder("="))
        expected = np.ascontiguousarray(np.broadcast_to(native, shape))
        assert on_host(kept).tobytes() == expected.tobytes()
    assert (sets.n_sets, sets.n_features) == sets.weight.shape == shape
    assert len(sets) == shape[0]
    assert sets == ms.WeightSets(weight, bias)


def test_sets_are_immutable():
    weight = WEIGHT.copy()
    sets = ms.WeightSets(weight, weight)
    weight[:] = 0
    assert_same_bits(sets.weight, WEIGHT)
    for array in (sets.weight, sets.bias, sets[1:].weight, sets[[0]].bias):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    with pytest.raises(AttributeError, match="immutable: weight cannot be set"):
        sets.weight = weight
    with pytest.raises(AttributeError, match="immutable"):
        del sets._bias
    for made in (
        ms.WeightSets.from_pairs(sets.to_pairs()),
        ms.WeightSets.from_theta(sets.to_theta(), 2),
    ):
        assert made == sets
    theta = ms.WeightSets(WEIGHT).to_theta()
    theta[:] = 0  # a new array, even without biases
    theta = sets.to_theta(axis=1)
    from_theta = ms.WeightSets.from_theta(theta, 2, axis=1, activation="tanh")
    theta[:] = 0
    assert from_theta == ms.WeightSets(WEIGHT, WEIGHT, "tanh")


def test_attributes(library):
    sets = ms.WeightSets(there(library, WEIGHT), there(library, BIAS), "swish")
    assert sets.activation == ms.Activation("silu")
    assert ms.WeightSets(WEIGHT).activation == ms.Activation("linear")
    assert sets.dtype == np.float32
    assert sets.nbytes == 48
    device = "cpu" if library == "numpy" else "cuda:0"
    assert sets.device == device
    text = f"WeightSets(N=3, F=2, float32 with bias on {device}, Activation('silu'), 48 bytes)"
    assert repr(sets) == text
    assert repr(ms.WeightSets(np.ones((70_000, 30)))) == (
        "WeightSets(N=70000, F=30, float64 on cpu, 16 MiB)"
    )
    with pytest.raises(TypeError, match="unhashable"):
        hash(sets)


INDICES = st.one_of(
    st.integers(-3, 2),
    st.integers(-3, 2).map(np.int8),
    st.slices(3),
    st.lists(st.integers(-3, 2), min_size=1),
    st.lists(st.integers(-3, 2), min_size=1).map(np.array),
    st.lists(st.booleans(), min_size=3, max_size=3).map(np.array),
)


@given(index=INDICES)
def test_an_index_gives_sets(library, index):
    sets = ms.WeightSets(there(library, WEIGHT), there(library, BIAS), "tanh")
    some = sets[index]
    rows = np.atleast_1d(np.arange(3)[index])
    assert type(some) is ms.WeightSets
    assert some.device == sets.device
    assert some == ms.WeightSets(WEIGHT[rows], BIAS[rows], "tanh")


@pytest.mark.gpu
def test_an_index_on_the_gpu():
    cupy = pytest.importorskip("cupy")
    sets = ms.WeightSets(to_device(WEIGHT))
    assert sets[cupy.asarray([2, 0])] == ms.WeightSets(WEIGHT[[2, 0]])
    with pytest.raises(IndexError):
        sets[cupy.asarray([3])]


def test_iteration_is_over_single_sets():
    sets = ms.WeightSets(WEIGHT, BIAS)
    singles = list(sets)
    assert [len(single) for single in singles] == [1, 1, 1]
    assert ms.WeightSets.concatenate(singles) == sets


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (3, IndexError, "set 3 is out of bounds for 3 sets"),
        (-4, IndexError, "set -4 is out of bounds"),
        ([0, 3], IndexError, "out of bounds"),
        ((0, 1), TypeError, r"not \(0, 1\)"),
        (None, TypeError, "not None"),
        (..., TypeError, "not Ellipsis"),
        (True, TypeError, "not True"),
        ([[0, 1]], TypeError, "of one dimension"),
        (0.5, TypeError, "not 0.5"),
        ("a", TypeError, "not 'a'"),
    ],
)
def test_invalid_indices(library, index, error, message):
    with pytest.raises(error, match=message):
        ms.WeightSets(there(library, WEIGHT))[index]


def test_equality_is_of_bits(library):
    sets = ms.WeightSets(there(library, WEIGHT), there(library, BIAS))
    assert sets == ms.WeightSets(WEIGHT, BIAS)
    others = [
        ms.WeightSets(WEIGHT),
        ms.WeightSets(BIAS, WEIGHT),
        ms.WeightSets(WEIGHT, BIAS, "tanh"),
        ms.WeightSets(WEIGHT[:2], BIAS[:2]),
        ms.WeightSets(WEIGHT.astype(np.float64), BIAS),
        "sets",
    ]
    for other in others:
        assert sets != other
    assert ms.WeightSets([[0.0]]) != ms.WeightSets([[-0.0]])
    assert ms.WeightSets([[np.nan]]) == ms.WeightSets([[np.nan]])
    subnormal = there(library, np.array([[1e-42]], np.float32))
    assert ms.WeightSets(subnormal) != ms.WeightSets(there(library, np.zeros((1, 1), np.float32)))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_duplicates(library, duplicate):
    leaky = ms.Activation("leaky_relu", negative_slope=0.5)
    sets = ms.WeightSets(there(library, WEIGHT), None, leaky)
    again = duplicate(sets)
    assert again == sets
    assert again.device == sets.device
    if library == "numpy":
        assert not again.weight.flags.writeable


def test_moves_between_devices(library):
    sets = ms.WeightSets(there(library, WEIGHT), there(library, BIAS), "relu")
    moved = sets.to("numpy")
    assert moved == sets
    assert moved.device == "cpu"
    assert sets.to("cpu") == moved
    for target in ("torch", "cuda:", "cuda:x", "cuda:0 ", "CPU", None, 0):
        with pytest.raises(ValueError, match=f"target must be 'cpu' .*, not {target!r}"):
            sets.to(target)
    if library == "cupy":
        assert moved.to("cupy").device == sets.to("cupy").device == "cuda:0"
        assert moved.to("cuda:0") == moved.to("cuda") == moved.to("cupy") == sets
        assert ms.WeightSets(to_device(WEIGHT)).to("numpy") == ms.WeightSets(WEIGHT)


def test_without_cupy_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(choice, "load", choice.load.__wrapped__)
    monkeypatch.setattr(engine, "why_unavailable", engine.why_unavailable.__wrapped__)
    for target in ("cuda", "cuda:1", "cupy"):
        with pytest.raises(ms.BackendUnavailable, match=r"pip install 'multisubnet\[cuda12\]'"):
            ms.WeightSets(WEIGHT).to(target)


def test_concatenate(library):
    one = ms.WeightSets(there(library, WEIGHT), there(library, BIAS), "tanh")
    joined = ms.WeightSets.concatenate(iter([one, one[:1], one[:0]]))
    assert joined.device == one.device
    rows = [0, 1, 2, 0]
    assert joined == ms.WeightSets(WEIGHT[rows], BIAS[rows], "tanh")


@pytest.mark.parametrize(
    ("sequence", "error", "message"),
    [
        ([], ValueError, "sequence is empty"),
        ([ms.WeightSets(WEIGHT), WEIGHT], TypeError, r"sequence\[1\] is an ndarray"),
        ([ms.WeightSets(WEIGHT), ms.WeightSets([[1.0]])], ValueError, "features are 1 and 2"),
        ([ms.WeightSets(WEIGHT), ms.WeightSets(WEIGHT, BIAS)], ValueError, "biases are"),
        (
            [ms.WeightSets(WEIGHT), ms.WeightSets(WEIGHT, activation="relu")],
            ValueError,
            r"activation are Activation\('relu'\) and Activation\('linear'\)",
        ),
    ],
)
def test_sets_that_cannot_be_joined(sequence, error, message):
    with pytest.raises(error, match=message):
        ms.WeightSets.concatenate(sequence)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones(3),), ValueError, r"weight has shape \(3,\); expected \(N, F\)"),
        ((WEIGHT, BIAS[:2]), ValueError, r"bias has shape \(2, 2\)"),
        ((WEIGHT, None, "tan"), ValueError, "activation must be one of linear"),
        ((WEIGHT, None, 3), TypeError, "activation must be None, a name"),
        (([["a"]],), TypeError, "weight has dtype"),
    ],
)
def test_invalid_sets(arguments, error, message):
    with pytest.raises(error, match=message):
        ms.WeightSets(*arguments)


@pytest.mark.parametrize("activation", [None, "tanh"])
@pytest.mark.parametrize("per_feature", [False, True])
def test_losses_are_those_of_the_functions(library, activation, per_feature):
    sets = ms.WeightSets(there(library, WEIGHT), there(library, BIAS), activation)
    samples, targets, factors = (
        there(library, x) for x in (SAMPLES, SAMPLES[::-1].copy(), np.array([1.0, 3.0]))
    )
    options = {
        "loss": "huber",
        "sample_weight": factors,
        "per_feature": per_feature,
        "dtype": "float32",
    }
    data = samples, sets.weight, sets.bias, targets
    assert_same_bits(
        on_host(sets.mean_loss(samples, targets, **options)),
        on_host(ms.mean_loss(*data, activation=activation, **options)),
    )
    found = sets.mean_loss_and_grad(samples, targets, **options)
    expected = ms.mean_loss_and_grad(*data, activation=activation, **options)
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(on_host(one), on_host(other))


@pytest.mark.parametrize("wrt", [None, ["samples", "bias"]])
def test_vjp_is_affine_vjp(library, wrt):
    sets = ms.WeightSets(there(library, WEIGHT), there(library, BIAS), "tanh")
    samples = there(library, SAMPLES)
    cotangent = there(library, np.linspace(-1.0, 1.0, sets.predict(samples).size))
    cotangent = cotangent.reshape(sets.predict(samples).shape)
    options = {} if wrt is None else {"wrt": wrt}
    found = sets.vjp(samples, cotangent, **options)
    data = samples, sets.weight, sets.bias, cotangent
    expected = ms.affine_vjp(*data, activation="tanh", **options)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert_same_bits(on_host(one), on_host(other))
    with pytest.raises(ValueError, match="cotangent has shape"):
        sets.vjp(samples, cotangent[:1])
    with pytest.raises(ValueError, match=r"samples has shape .* for 3 sets of 2 features"):
        sets.vjp(samples[:, :1], cotangent)


@given(data=st.data(), k=st.integers(1, 7), per_feature=st.booleans(), has_bias=st.booleans())
def test_the_best(library, data, k, per_feature, has_bias):
    values = st.sampled_from([0.0, 1.0, 2.0, np.nan])
    weight = np.array([[data.draw(values) for _ in range(3)] for _ in range(7)])
    bias = weight[::-1].copy() if has_bias else None
    samples, targets = np.array([[1.0, 2.0, 3.0], [0.5, 0.0, 1.0]]), np.array([1.0, 2.0])
    sets = ms.WeightSets(*(there(library, x) for x in (weight, bias)))
    judged = ms.mean_loss(
        samples, weight, bias, targets, loss="absolute_error", per_feature=per_feature
    )
    columns = judged if per_feature else judged[:, None]
    has_no_best = np.isnan(columns).all(axis=0).any()
    warned = pytest.warns(RuntimeWarning, match="the lowest loss is NaN")
    with warned if has_no_best else contextlib.nullcontext():
        best, losses, index = sets.best(
            k,
            there(library, samples),
            there(library, targets),
            loss="absolute_error",
            per_feature=per_feature,
            return_index=True,
        )
    assert best.device == sets.device
    losses = on_host(losses)
    for feature, column in enumerate(columns.T):
        order = sorted(range(7), key=lambda n: (np.isnan(column[n]), column[n], n))
        order = np.array(order[:k])
        assert_same_bits(losses[:, feature] if per_feature else losses, column[order])
        assert_same_bits(on_host(index)[:, feature] if per_feature else on_host(index), order)
        which = feature if per_feature else slice(None)
        assert_same_bits(on_host(best.weight)[:, which], weight[order][:, which])
        if has_bias:
            assert_same_bits(on_host(best.bias)[:, which], bias[order][:, which])


@pytest.mark.parametrize("per_feature", [False, True])
def test_the_best_of_losses_that_are_all_nan(per_feature):
    sets, targets = ms.WeightSets([[1.0, np.nan], [2.0, 3.0]]), np.ones((2, 2))
    samples = np.ones((2, 2))
    sets.best(2, samples, targets, per_feature=per_feature)  # some set is best
    samples[0, 1] = np.nan
    with pytest.warns(RuntimeWarning, match="the lowest loss is NaN") as caught:
        sets.best(1, samples, targets, per_feature=per_feature)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("k", [0, 4, -1, 1.0, True, None])
def test_how_many_are_the_best(k):
    with pytest.raises(ValueError, match=f"k must be an integer from 1 to 3, not {k}"):
        ms.WeightSets(WEIGHT).best(k, SAMPLES, SAMPLES)


@pytest.mark.parametrize("method", ["predict", "predict_stats", "mean_loss"])
def test_a_list_of_inputs_is_named(method):
    inputs = [np.ones((7, 1))] * 6
    arguments = [inputs, np.ones(7)] if method == "mean_loss" else [inputs]
    with pytest.raises(ValueError, match=r"samples has shape \(6, 7, 1\)"):
        getattr(ms.WeightSets(np.ones((5, 6))), method)(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ms.WeightSets(WEIGHT, actvation="relu"), "WeightSets() got {}"),
        (
            lambda: ms.WeightSets.from_theta(WEIGHT, 2, actvation="relu"),
            "WeightSets.from_theta() got {}",
        ),
        (
            lambda: ms.WeightSets.from_layers([WEIGHT], actvation="relu"),
            "WeightSets.from_layers() got {}",
        ),
        (lambda: ms.WeightSets.from_models([], actvation=0), "WeightSets.from_models() got {}"),
        (lambda: ms.WeightSets.from_pairs([], actvation=0), "WeightSets.from_pairs() got {}"),
    ],
)
def test_misspelled_keywords(call, message):
    message = message.format("an unexpected keyword argument 'actvation'")
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == f"{message} (did you mean 'activation'?)"


def test_misspelled_keywords_of_theta():
    with pytest.raises(TypeError, match=r"'layersizes' \(did you mean 'layer_sizes'\?\)"):
        ms.WeightSets.from_theta([[1.0, 2.0]], 1, layersizes=(1, 1))


def test_arrays_have_the_dtypes_that_calls_know_at_once():
    """An equal but different dtype object would send each call through the general rules."""
    swapped = WEIGHT.astype(">f4")
    for sets in (
        ms.WeightSets(WEIGHT, BIAS),
        ms.WeightSets(swapped),
        ms.WeightSets.from_pairs(np.stack([swapped, swapped], axis=-1)),
        pickle.loads(pickle.dumps(ms.WeightSets(WEIGHT)))[1:],
    ):
        assert all(array.dtype is SAMPLES.dtype for array in sets._arrays())
    assert ms.affine(SAMPLES, WEIGHT.astype(np.float16)).dtype is SAMPLES.dtype
