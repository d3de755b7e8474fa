"""Sets and activations as objects: copies, pickles, weak references, object arrays."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import multisubnet as ms

X, W = np.ones((2, 2)), np.array([[1.0, 2.0], [3.0, 4.0]])


class Plain(ms.WeightSets):
    pass


class Labelled(ms.WeightSets):
    """A subclass with an attribute, a slot, and its own arguments."""

    __slots__ = ("__dict__", "slot")

    def __init__(self, label):
        super().__init__(W, None, "tanh")
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "slot", [label])


class Mine(ms.Activation):
    pass


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": lambda x, n=n: pickle.loads(pickle.dumps(x, n)) for n in range(6)},
}


@pytest.mark.parametrize("do", COPIES.values(), ids=COPIES)
def test_copies_are_of_the_same_class(do):
    for sets in (ms.WeightSets(W), Plain(W, W, "relu"), Labelled("a")):
        found = do(sets)
        assert type(found) is type(sets)
        assert found == sets
        assert found.dtype is np.dtype(float)
        assert not found.weight.flags.writeable
        assert vars(found) == vars(sets) if isinstance(sets, Plain | Labelled) else True
        with pytest.raises(AttributeError, match="immutable"):
            found.activation = None
    found = do(Labelled("a"))
    assert found.label == "a"
    assert found.slot == ["a"]
    for activation in (
        ms.Activation("elu", alpha=0.5),
        Mine("leaky_relu"),
        Mine("tanh").derivative,
    ):
        assert type(do(activation)) is type(activation)
        assert do(activation) == activation


def test_weak_references():
    for make in (lambda: ms.WeightSets(W), lambda: ms.Activation("tanh")):
        made = make()
        reference = weakref.ref(made)
        assert reference() is made
        del made
        gc.collect()
        assert reference() is None


def test_arrays_of_objects():
    a, b = ms.WeightSets(W), Plain(W[:1])
    array = np.array([a, b], dtype=object)
    assert array.shape == (2,)
    assert array[0] is a
    assert array[1] is b
    assert np.asarray(a)[()] is a
    assert np.asarray([[a], [b]]).shape == (2, 1)
    assert np.random.default_rng(0).choice([a, b]) in (a, b)
    with pytest.raises(TypeError, match="dtype float64: use their weight and bias"):
        np.asarray(a, float)
    with pytest.raises(TypeError, match="samples"):
        ms.affine(a, W)


def test_numbers_given_as_0d_arrays():
    sets = ms.WeightSets(W)
    for level in (0.5, np.float32(0.5), np.array(0.5)):
        assert sets.predict_stats(X, quantiles=level).quantiles.shape == (1, 2, 2)
    for one in (1, np.uint8(1), np.array(1)):
        assert sets.predict(X, set_axis=one).shape == (2, 2, 2)
        assert sets.best(one, X, X)[0].n_sets == 1
        assert ms.from_theta(W.T, 1, axis=one)[0].shape == (2, 1)
        assert sets[one] == sets[1]
    elu = ms.Activation("elu", alpha=np.array(0.5))
    assert elu == ms.Activation("elu", alpha=0.5)
    assert type(elu.parameter) is float
    for wrong in (np.array([0.5]), np.array("a"), "0.5"):
        with pytest.raises((TypeError, ValueError), match="alpha"):
            ms.Activation("elu", alpha=wrong)
    with pytest.raises(ValueError, match="k must be an integer"):
        sets.best(np.array([1]), X, X)


def test_bytes_of_bools():
    """A byte in a bool array can have any value; all but 0 are True."""
    rng = np.random.default_rng(0)
    any_bytes = rng.integers(0, 4, (5, 3), np.uint8).view(bool)
    bools = any_bytes.view(np.uint8) != 0
    assert ms.WeightSets(any_bytes) == ms.WeightSets(bools)
    for dtype in ("?", "i1", "f2", "f4", "f8"):
        weight = rng.integers(0, 2, (5, 3)).astype(dtype)
        for backend in ("numpy", "numba"):
            if backend not in ms.available_backends():
                continue
            with ms.use_backend(backend):
                for function, more in (
                    (ms.affine, (any_bytes, None)),
                    (ms.mean_loss, (any_bytes, any_bytes, any_bytes)),
                    (ms.affine_select, (any_bytes, any_bytes, np.arange(5))),
                ):
                    samples, *others = more
                    found = function(samples, weight, *others)
                    samples, *others = (bools if x is any_bytes else x for x in more)
                    assert np.array_equal(found, function(samples, weight, *others))
