"""Arrays of other libraries go to their own adapter only."""

from __future__ import annotations

import sys
import types
from unittest import mock

import numpy as np
import pytest

import multisubnet as ms
from multisubnet._arrays import frameworks

NAMES = ("affine", "affine_select", "affine_stats", "affine_vjp", "mean_loss", "mean_loss_and_grad")


class Tensor:
    """An array of some library."""


class Special(Tensor):
    """An array of the same library."""


class Lazy:
    """An array of another library."""


@pytest.fixture
def calls():
    """The arguments with which two adapters were called, for imported libraries."""
    seen = []

    def taking(name):
        return lambda *args, **kwargs: seen.append((name, args, kwargs)) or name

    one = types.SimpleNamespace(
        __name__="multisubnet.one", **{name: taking(name) for name in NAMES}
    )
    modules = {
        "some_library": types.SimpleNamespace(Tensor=Tensor),
        "lazy_library": types.SimpleNamespace(Lazy=Lazy),
        "unfinished": types.SimpleNamespace(),
        "multisubnet.one": one,
        "multisubnet.other": types.SimpleNamespace(__name__="multisubnet.other"),
    }
    adapters = {
        ("unfinished", "Array"): "one",
        ("not_imported", "Array"): "one",
        ("some_library", "Tensor"): "one",
        ("lazy_library", "Lazy"): "other",
    }
    frameworks._adapter_of.cache_clear()
    frameworks._load.cache_clear()
    with mock.patch.dict(sys.modules, modules), mock.patch.dict(frameworks._ADAPTERS, adapters):
        yield seen
    frameworks._adapter_of.cache_clear()
    frameworks._load.cache_clear()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_any_argument_decides(calls, name, place):
    arguments = [np.ones((1, 1))] * 3
    arguments[place] = tensor = Special()
    assert getattr(ms, name)(*arguments, activation="tanh") == name
    ((called, args, kwargs),) = calls
    assert called == name
    assert args[place] is tensor
    assert kwargs["activation"] == "tanh"


def test_keywords_decide_as_well(calls):
    x = np.ones((1, 1))
    assert ms.mean_loss(x, x, None, x, sample_weight=Tensor()) == "mean_loss"
    assert ms.affine([[1.0]], [[1.0]], out=Tensor()) == "affine"
    assert ms.WeightSets(x).predict(Tensor(), set_axis=1) == "affine"
    assert calls[-1][2]["set_axis"] == 1
    with pytest.raises(TypeError, match="memory_limit and progress work with NumPy and CuPy"):
        ms.WeightSets(x).predict(Tensor(), memory_limit=100)
    for name in ("predict_chunks", "predict_stats"):
        with pytest.raises(TypeError, match=f"{name} takes NumPy and CuPy arrays, but samples is"):
            getattr(ms.WeightSets(x), name)(Tensor())


def test_functions_missing_in_an_adapter(calls):
    with pytest.raises(TypeError, match="affine_vjp does not take arrays of other: pass NumPy"):
        ms.affine_vjp(Lazy(), [[1.0]], None, [[[1.0]]])


def test_packed_weights_are_converted_without_an_adapter_function(calls):
    class Convertible(Lazy):
        def __array__(self, dtype=None, copy=None):
            return np.array([[1.0, 2.0]])

    weight, bias = ms.from_theta(Convertible(), 1)
    assert (weight.tolist(), bias.tolist()) == ([[1.0]], [[2.0]])
    assert ms.to_pairs(Convertible(), Convertible()).shape == (1, 2, 2)


def test_two_libraries(calls):
    with pytest.raises(TypeError, match=r"mixed \(one, other\)"):
        ms.affine(Tensor(), [[1.0]], Lazy())


def test_other_arrays_are_as_before(calls):
    class Sequence:
        def __array__(self, dtype=None, copy=None):
            return np.array([[2.0]])

    assert ms.affine(Sequence(), [[3.0]]).tolist() == [[[6.0]]]
    assert calls == []
