"""Arrays of the array API standard, and arrays with DLPack alone, as operands and results."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from conftest import each, examples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses import CASES, judgements, operands_of

import multisubnet as ms
from multisubnet._arrays import frameworks
from multisubnet.testing import assert_same_bits, problems

xp = pytest.importorskip("array_api_strict")

DTYPES = ["bool", "int8", "uint32", "int64", "float32", "float64", "complex64", "complex128"]


def strict(array):
    return None if array is None else xp.asarray(array.astype(array.dtype.newbyteorder("=")))


def numpy_of(array):
    assert isinstance(array, type(xp.asarray(0)))
    return np.from_dlpack(array)


def assert_same(result, desired):
    """Check that arrays, or tuples of them, are array_api_strict's, with the expected bits."""
    if not isinstance(desired, tuple):
        result, desired = (result,), (desired,)
    for one, other in zip(each(tuple(result), numpy_of), desired, strict=True):
        if other is None:
            assert one is None
        else:
            assert_same_bits(one, other)


@given(problem=problems(dtypes=DTYPES), set_axis=st.sampled_from([0, 1]), some=st.integers(0, 6))
def test_affine(problem, set_axis, some):
    # Any of the operands may be a NumPy array.
    arrays = [x if some == i else strict(x) for i, x in enumerate(problem)]
    if all(x is None or isinstance(x, np.ndarray) for x in arrays):
        arrays[0] = strict(arrays[0])
    assert_same(ms.affine(*arrays, set_axis=set_axis), ms.affine(*problem, set_axis=set_axis))


@pytest.mark.parametrize("case", CASES[:5], ids=lambda case: f"{case.loss}-{case.dtype}")
@settings(max_examples=examples(1 / 10))
@given(data=st.data())
def test_losses(case, data):
    operands, options = data.draw(judgements(case))
    options["dtype"] = data.draw(st.sampled_from(["float32", "float64"]))
    desired = ms.mean_loss_and_grad(*operands, **options)
    options["sample_weight"] = strict(options["sample_weight"])
    result = ms.mean_loss_and_grad(*map(strict, operands), **options)
    assert_same(result, desired)
    assert_same(ms.mean_loss(*map(strict, operands), **options), desired[0])


FUNCTIONS = {
    "affine_select": lambda x, w, b, t, asarray: (x[:2, :], w, b, asarray(np.array([1, 0]))),
    "affine_stats": lambda x, w, b, t, asarray: (x, w, b),
    "affine_vjp": lambda x, w, b, t, asarray: (x, w, b, asarray(np.ones((3, 7, 2)))),
    "from_pairs": lambda x, w, b, t, asarray: (asarray(np.arange(24).reshape(3, 4, 2)),),
    "to_pairs": lambda x, w, b, t, asarray: (w, b),
    "from_theta": lambda x, w, b, t, asarray: (x, 1),
    "to_theta": lambda x, w, b, t, asarray: (w, b),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_all_functions(name):
    operands, _ = operands_of(3, 7, 2)
    function, arguments = getattr(ms, name), FUNCTIONS[name]
    desired = function(*arguments(*operands, np.asarray))
    assert_same(function(*arguments(*map(strict, operands), strict)), desired)


def test_weight_sets():
    (samples, weight, bias, targets), _ = operands_of(4, 9, 3)
    sets = ms.WeightSets(weight, bias, "tanh")
    assert sets == ms.WeightSets(strict(weight), strict(bias), "tanh")
    pairs = sets.to_pairs()
    assert ms.WeightSets.from_pairs(strict(pairs)) == ms.WeightSets.from_pairs(pairs)
    assert_same(sets.predict(strict(samples), set_axis=1), sets.predict(samples, set_axis=1))
    desired = sets.mean_loss(samples, targets)
    assert_same(sets.mean_loss(strict(samples), strict(targets)), desired)
    best, losses = sets.best(2, strict(samples), strict(targets))
    desired, of_desired = sets.best(2, samples, targets)
    assert best == desired
    assert_same_bits(losses, of_desired)


def test_nothing_is_copied():
    samples, weight = xp.ones((5, 3)), xp.ones((2, 3))
    out = xp.zeros((2, 5, 3))
    assert ms.affine(samples, weight, out=out) is out
    assert_same_bits(np.from_dlpack(out), np.ones((2, 5, 3)))
    view = ms.to_theta(weight)
    weight[0, 0] = 7.0
    assert float(view[0, 0]) == 7.0


def test_as_scientific_code_calls_it():
    # Code for any namespace, as in SciPy and scikit-learn.
    def worst_prediction(x, weight, bias):
        xp = x.__array_namespace__()
        centred = x - xp.mean(x, axis=0)
        predictions = ms.affine(centred, weight, bias, activation="tanh")
        return xp.max(xp.abs(xp.reshape(predictions, (-1,))))

    (samples, weight, bias, _), _ = operands_of(4, 9, 3)
    result = worst_prediction(strict(samples), strict(weight), strict(bias))
    assert float(result) == float(worst_prediction(samples, weight, bias))


def test_the_device_is_kept():
    there = xp.Device("device1")
    samples, weight = xp.ones((5, 3), device=there), xp.ones((2, 3), device=there)
    assert ms.affine(samples, weight).device == there
    with pytest.raises(
        TypeError, match=r"weight is on .*CPU_DEVICE.* operand before it is on .*dev"
    ):
        ms.affine(samples, xp.ones((2, 3)))


class OnlyDLPack:
    """An array whose library has nothing else."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device_of_dlpack = array, device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device_of_dlpack


def test_dlpack_without_a_namespace_gives_numpy_arrays():
    result = ms.affine(OnlyDLPack(np.ones((2, 1))), [[2.0]])
    assert_same_bits(result, np.full((1, 2, 1), 2.0))


def test_unsupported_arrays():
    x = np.ones((2, 1))
    with pytest.raises(
        TypeError, match=r"weight \(OnlyDLPack\) is not on the CPU, but on device 3"
    ):
        ms.affine(x, OnlyDLPack(x, device=(2, 3)))
    with pytest.raises(TypeError, match=r"samples \(OnlyDLPack\) cannot be read by DLPack: "):
        ms.affine(OnlyDLPack(np.array(["text"])), x)
    with pytest.raises(
        TypeError, match=r"weight is a .*OnlyDLPack, but an operand before it is a array_api_str"
    ):
        ms.affine(xp.ones((2, 1)), OnlyDLPack(x))
    with pytest.raises(ValueError, match=r"weight has shape \(2, 2\); expected \(N, F\)"):
        ms.affine(xp.ones((2, 1)), xp.ones((2, 2)))


class ArrayLike:
    """An array that also has `__array__`, but no namespace, such as pyarrow's."""

    def __array__(self, dtype=None, copy=None):
        return np.array([[2.0]])

    def __dlpack__(self, **options):
        raise AssertionError("not to be called")

    __dlpack_device__ = __dlpack__


def test_other_objects_are_ignored():
    for x in (np.float64(2.0), np.ones(1), 2.0, None, [1.0], ArrayLike(), memoryview(b"")):
        assert frameworks.of([x]) is None
    assert ms.affine(ArrayLike(), [[3.0]]).tolist() == [[[6.0]]]


@pytest.mark.gpu
def test_cupy_arrays_are_ignored():
    import cupy

    x = cupy.ones((2, 1))
    assert frameworks.of([x]) is None
    with pytest.raises(TypeError, match="is on the GPU"):
        ms.affine(xp.ones((2, 1)), x)


def test_the_class_decides_and_is_checked_once():
    x = xp.ones((1, 1))
    of_type = functools.partial(frameworks.of, [x])
    assert of_type() == "array_api"
    before = frameworks._adapter_of.cache_info().misses
    assert of_type() == "array_api"
    assert frameworks._adapter_of.cache_info().misses == before


def test_layers_of_networks():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(4, 3, 1, 5)), rng.normal(size=(4, 3, 5))
    last = rng.normal(size=(1, 3, 5, 1))
    samples, index = rng.normal(size=(7, 3)), np.arange(7) % 4
    layers = [tuple(map(strict, hidden)), strict(last)]
    assert_same(ms.mlp(strict(samples), layers), ms.mlp(samples, [hidden, last]))
    assert_same(
        ms.mlp_select(strict(samples), layers, strict(index)),
        ms.mlp_select(samples, [hidden, last], index),
    )
    assert_same(ms.mlp_stats(strict(samples), layers), ms.mlp_stats(samples, [hidden, last]))
    gradients = ms.mlp_mean_loss_and_grad(strict(samples), layers, strict(samples))
    desired = ms.mlp_mean_loss_and_grad(samples, [hidden, last], samples)
    assert_same(gradients.loss, desired.loss)
    assert_same(gradients.grad_layers[0][1], desired.grad_layers[0][1])
