"""Error messages about operands that are not arrays of numbers, and about unknown names."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import multisubnet as ms

X, W = np.ones((2, 2)), np.ones((3, 2))
MASKED = np.ma.array([1.0, 2.0], mask=[True, False])


class Frame:
    """A table of columns, in the form in which NumPy sees a pandas frame: as objects."""

    columns = "age", "city"

    def __init__(self, *dtypes):
        self.dtypes = dtypes

    def __array__(self, dtype=None, copy=None):
        return np.array([[1.0, 2], [3, 4]], object)


class Sparse:
    """A sparse matrix, which NumPy treats as a single object."""

    def toarray(self):
        return X


NULLABLE = SimpleNamespace(kind="i", __str__=lambda self: "Int64")


@pytest.mark.parametrize(
    ("operand", "message"),
    [
        (None, "samples is None; expected an array_like of numbers"),
        ("tanh", "samples is a str.*pass options by name, such as activation='tanh'"),
        ((x for x in X), r"samples is a generator.*list\(samples\)"),
        ({1, 2}, r"samples is a set.*list\(samples\)"),
        ({"a": [1.0]}.values(), r"samples is a dict_values.*list\(samples\)"),
        ({"a": [1.0]}, r"samples is a dict.*numpy.stack\(list\(samples.values\(\)\), axis=-1\)"),
        (Sparse(), r"samples is a Sparse.*samples.toarray\(\)"),
        (Frame(np.dtype(float), np.dtype(bool)), r"'city' has dtype bool.*samples.to_numpy\(float"),
        (Frame(np.dtype(object), np.dtype(float)), r"'age' has dtype object.*samples.to_numpy"),
        (Frame(NULLABLE, NULLABLE), r"'age' has dtype .*samples.to_numpy"),
        ([[1, None], [2, 3]], r"samples has dtype object.*samples\[0, 1\] is None, a NoneType"),
        ([[1, 10**30]], r"samples has dtype object.*numpy.asarray\(samples, float\)"),
        (np.array([[Sparse()]]), r"samples\[0, 0\] is .*Sparse"),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,  # the same in each process
)
def test_operands_that_are_not_arrays_of_numbers(operand, message):
    with pytest.raises(TypeError, match=message):
        ms.affine(operand, W)


@pytest.mark.parametrize(
    ("operand", "message"),
    [
        ([[1, 2], [3]], r"samples\[0\] has 2 items, but samples\[1\] has 1 items"),
        ([[1, 2], 3], r"samples\[0\] has 2 items, but samples\[1\] has no items"),
        ([[[1, 2], [1]], [[1, 2], [1]]], r"samples\[0\]\[0\] has 2 .* samples\[0\]\[1\] has 1"),
    ],
    ids=str,
)
def test_rows_of_several_lengths(operand, message):
    with pytest.raises(ValueError, match=message):
        ms.affine(operand, W)


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_the_name_is_that_of_the_operand(name):
    operands = {"weight": W, "bias": W} | {name: {"a": 1}}
    for function in (ms.affine, ms.affine_stats):
        with pytest.raises(TypeError, match=f"{name} is a dict"):
            function(X, **operands)
    with pytest.raises(TypeError, match=f"{name} is a dict"):
        ms.WeightSets(**operands)


@pytest.mark.parametrize("name", ["targets", "sample_weight"])
def test_the_name_is_that_of_the_other_operands(name):
    operands = {"targets": X, "sample_weight": None} | {name: Sparse()}
    with pytest.raises(TypeError, match=f"{name} is a Sparse"):
        ms.mean_loss(X, W, None, **operands)


def nested(depth):
    row = MASKED
    for _ in range(depth):
        row = [row, row]
    return row


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_no_mask_is_lost(depth):
    for operand in (nested(depth), (nested(depth),)):
        with pytest.raises(TypeError, match="samples is a masked array"):
            ms.affine(operand, W)
        with pytest.raises(TypeError, match="targets is a masked array"):
            ms.mean_loss(X, W, None, operand)
    with pytest.raises(TypeError, match="weight is a masked array"):
        ms.WeightSets(nested(depth))


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (ms.affine, (X, W, W, "tanh"), r"samples, weight, bias by position.*'tanh'.*activation="),
        (ms.affine, (X, W, W, W, 1), "got 5 positional arguments; the first .* is ndarray"),
        (
            ms.mean_loss,
            (X, W, None, X, "huber"),
            "samples, weight, bias, targets by.*'huber'.*loss",
        ),
        (ms.affine_select, (X, W, None, [0, 0], "tanh"), "set_index by position.*activation="),
        (ms.affine_stats, (X, W, None, "tanh"), "by position.*'tanh'.*statistics="),
        (ms.affine_vjp, (X, W, None, X, "tanh"), "cotangent by position.*'tanh'.*wrt="),
        (ms.to_theta, (W, W, 1), "weight, bias by position.*1; pass options.*axis="),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_options_by_position(function, arguments, message):
    with pytest.raises(TypeError, match=message):
        function(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ms.affine(X, W, activation="ReLuu"), r"not 'ReLuu' \(did you mean 'relu'\?\)"),
        (lambda: ms.Activation("tahn"), r"not 'tahn' \(did you mean 'tanh'\?\)"),
        (lambda: ms.affine(X, W, activation="zzz"), r"not 'zzz'$"),
        (
            lambda: ms.mean_loss(X, W, None, X, loss="MeanSquaredErrors"),
            "did you mean 'MeanSquaredError",
        ),
        (lambda: ms.mean_loss(X, W, None, X, loss="squared_eror"), "did you mean 'squared_error'"),
        (lambda: ms.affine_stats(X, W, statistics=["variance"]), "'variance'.* mean, var, std"),
        (lambda: ms.affine_vjp(X, W, None, X, wrt="weights"), "did you mean 'weight'"),
        (lambda: ms.set_backend("nmba"), "did you mean 'numba'"),
    ],
)
def test_unknown_names(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("alias", "loss"),
    [
        ("mse", "squared_error"),
        ("MSE", "squared_error"),
        ("mean_squared_error", "squared_error"),
        ("mae", "absolute_error"),
        ("logcosh", "log_cosh"),
        ("bce", "binary_crossentropy"),
    ],
)
def test_names_that_keras_has(alias, loss):
    desired = ms.mean_loss_and_grad(X, W, W, X, loss=loss)
    for one, other in zip(ms.mean_loss_and_grad(X, W, W, X, loss=alias), desired, strict=True):
        assert np.array_equal(one, other)
    best, _ = ms.WeightSets(W).best(1, X, X, loss=alias)
    assert len(best) == 1


def test_no_indices():
    empty = X[:0]
    for index in ([], (), np.empty(0, np.uint8)):
        assert ms.affine_select(empty, W, None, index).shape == (0, 2)
    with pytest.raises(TypeError, match="set_index has dtype float64"):
        ms.affine_select(empty, W, None, np.empty(0))


@pytest.mark.parametrize(
    ("limit", "fits"),
    [(1e9, True), (1024.0, True), ("9" * 400, True), ("1e3", False), (1.5, False), (np.inf, False)],
    ids=str,
)
def test_limits_of_memory(limit, fits):
    sets = ms.WeightSets(W)
    if fits:
        assert sets.predict(X, memory_limit=limit).shape == (3, 2, 2)
        return
    with pytest.raises((TypeError, ValueError), match=r"memory_limit must be a .*number of bytes"):
        sets.predict(X, memory_limit=limit)


def test_a_model_instead_of_a_list():
    with pytest.raises(TypeError, match=r"models is a object; .*such as \[model, another\]"):
        ms.WeightSets.from_models(object())


def test_pandas():
    pandas = pytest.importorskip("pandas")
    table = pandas.get_dummies(pandas.DataFrame({"age": [1.0, 2.0], "city": ["a", "b"]}))
    with pytest.raises(TypeError, match=r"column 'city_a' has dtype bool: pass samples.to_numpy"):
        ms.affine(table, np.ones((1, 3)))
    missing = pandas.Series(pandas.array([None, 1], dtype="Int64"))
    with pytest.raises(TypeError, match=r"targets has dtype object.*targets.to_numpy\(float\)"):
        ms.mean_loss(X, W, None, missing)


def test_scipy():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"samples is a csr_matrix.*samples.toarray\(\)"):
        ms.affine(sparse.csr_matrix(X), W)
