"""Error messages about operands that are not arrays of numbers, and about unknown names."""

from __future__ import annotations

import functools
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import multisubnet as ms
from multisubnet._arrays import explanations
from multisubnet._functions import calls
from multisubnet._functions import theta as _theta

X, W = np.ones((2, 2)), np.ones((3, 2))
SETS = ms.WeightSets(W)
LAYER = W[:, :, None, None], W[:, :, None]
LAYERS = [LAYER, LAYER]
TALL = np.ones((3, 1, 2, 4))
CLASSIFIERS = ms.WeightSets.from_layers([TALL])
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


class Model:
    """A model of some library."""

    def get_weights(self):
        return [W]


class Layer(Model):
    """A layer of this package."""

    def to_weight_sets(self):
        return SETS


NULLABLE = SimpleNamespace(kind="i", __str__=lambda self: "Int64")


@pytest.mark.parametrize(
    ("operand", "message"),
    [
        (None, "samples is None; expected an array_like of numbers"),
        ("tanh", "samples is a str.*pass options by name, such as activation='tanh'"),
        ((x for x in X), r"samples is a generator.*list\(samples\)"),
        ({1, 2}, r"samples is a set.*list\(samples\)"),
        ({"a": [1.0]}.values(), r"samples is a dict_values.*list\(samples\)"),
        ({"a": [1.0]}, r"samples is a dict.*numpy.column_stack\(list\(samples.values"),
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
        ([[1, 2], [3]], r"samples\[0\] has 2 items, but samples\[1\] has 1 item$"),
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
        (ms.affine, (X, W, W, W, 1), r"got 5 positional arguments; the first .* of shape \(3, 2\)"),
        (
            ms.mean_loss,
            (X, W, None, X, "huber"),
            "samples, weight, bias, targets by.*'huber'.*loss",
        ),
        (ms.affine_select, (X, W, None, [0, 0], "tanh"), "set_index by position.*activation="),
        (ms.affine_stats, (X, W, None, "tanh"), "by position.*'tanh'.*statistics="),
        (ms.affine_vjp, (X, W, None, X, "tanh"), "cotangent by position.*'tanh'.*wrt="),
        (ms.to_theta, (W, W, 1), "weight, bias by position.*1; pass options.*axis="),
        (ms.mlp, (X, LAYER, LAYER), "samples, layers by position.* a tuple; pass .*activation="),
        (ms.mlp_mean_loss, (X, [LAYER], X, "mae"), "targets by position.*'mae'; pass .*loss="),
        (SETS.predict, (X, 1), "WeightSets.predict takes samples by.*1; pass options.*set_axis="),
        (SETS.mean_loss, (X, X, "mae"), "takes samples, targets by .*'mae'; pass .*loss="),
        (SETS.best, (1, X, X, "mae"), "best takes k, samples, targets by.* got 4 .*'mae'; pass"),
        (ms.WeightSets.concatenate, (SETS, SETS), "takes sequence by.*first .* a WeightSets$"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_options_by_position(function, arguments, message):
    with pytest.raises(TypeError, match=message):
        function(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ms.affine(X, W, act="tanh"), r"'act' \(did you mean 'activation'\?\)"),
        (lambda: ms.mlp(X, [LAYER], activations="tanh"), "mean 'activation'"),
        (lambda: SETS.predict(X, axis=1), "expected some of samples, set_axis, out, mem"),
        (lambda: ms.mean_loss(X, W, None, target=X), "did you mean 'targets'"),
        (lambda: ms.mlp_mean_loss(X, [LAYER], target=X), "did you mean 'targets'"),
        (lambda: SETS.best(1, X, X, return_indices=True), "did you mean 'return_index'"),
        (lambda: SETS.mean_loss(X, X, per_subnetwork=True), "did you mean 'per_feature'"),
        (
            lambda: ms.mlp_mean_loss(X, [LAYER], X, per_feature=True),
            "did you mean 'per_subnetwork'",
        ),
        (
            lambda: ms.from_theta(X, layer_sizes=(1, 2, 1)),
            "'layer_sizes'; .*; for networks, call WeightSets.from_theta",
        ),
    ],
)
def test_unknown_keywords(call, message):
    with pytest.raises(TypeError, match=rf"got an unexpected keyword argument .*{message}"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ms.mean_loss(X, W, X),
            "bias, targets, but targets is missing; pass None for bias",
        ),
        (lambda: ms.affine_select(X, W, [0, 0]), "set_index is missing; pass None for bias"),
        (lambda: ms.WeightSets(), "takes weight, bias, activation, but weight is missing$"),
        (lambda: ms.mean_loss(X, W, samples=X), "got multiple values for argument 'samples'$"),
        (lambda: ms.mlp_select(X, [LAYER]), "takes samples, layers, set_index, but set_index is"),
        (lambda: SETS.best(X, X), "WeightSets.best takes k, samples, targets, but targets is"),
        (lambda: ms.mean_loss(X, SETS, X), "missing; weight is a WeightSets: use its methods"),
        (lambda: ms.affine(X, SETS), "weight is a WeightSets; .*use its methods.*layers$"),
        (lambda: ms.mlp(X, SETS), "layers is a WeightSets; .* pairs: use its methods"),
        (lambda: ms.WeightSets(SETS), "weight is a WeightSets; .*use its methods"),
        (lambda: ms.WeightSets(Model()), r"weight is a Model; .*use WeightSets.from_models\(\["),
        (
            lambda: ms.affine(X, Layer()),
            r"weight is a Layer; .* use its to_weight_sets\(\)$",
        ),
        (lambda: ms.mlp(X, Model()), r"layers is a Model; .*use WeightSets.from_models\(\["),
        (lambda: SETS.predict(Model()), "samples is a Model; "),
        (lambda: ms.mlp(X, W), "layers is an ndarray; expected a sequence"),
        (lambda: ms.WeightSets.concatenate([W]), r"sequence\[0\] is an ndarray, not WeightSets"),
    ],
)
def test_arguments_that_are_missing_or_are_sets_or_models(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_articles():
    class MLP(Model):
        pass

    for thing, text in ((W, "an ndarray"), (1, "an int"), ("", "a str"), (MLP(), "an MLP")):
        assert explanations.a(thing) == text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SETS.best(X, X, 1), r"from 1 to 3, not an array of shape \(2, 2\)$"),
        (lambda: ms.affine(X, W, set_axis=X), r"0 or 1, not an array of shape \(2, 2\)$"),
        (lambda: SETS.predict_stats(X, quantiles=-X), r"0 to 1, not an array of shape \(2, 2\)"),
        (lambda: SETS[X], r"dimension, not an array of shape \(2, 2\)$"),
        (lambda: SETS["b"], "not 'b'; these sets have no set_names$"),
        (lambda: SETS.predict(X, memory_limit=[1] * 99), "not a list$"),
    ],
)
def test_values_are_shown_in_short(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ms.WeightSets(*LAYERS), "weight.* has shape .*; .*to mlp or WeightSets.from_lay"),
        (lambda: ms.WeightSets(LAYER[0]), r"expected \(N, F\); WeightSets.from_layers takes"),
        (lambda: ms.WeightSets(LAYERS), r"weight\[0\]\[1\] has .*; .*to mlp or WeightSets.from_l"),
        (
            lambda: CLASSIFIERS.predict(np.stack([X] * 4)),
            r"^samples has shape \(4, 2, 2\); .* for 3 sets of 2 features$",
        ),
        (lambda: SETS.predict([X, X[:, :1]]), r"features, pass numpy.column_stack\(samples\)"),
        (lambda: ms.mlp(X, [LAYER[0], *LAYER]), r"each layer is a pair \(weight, bias\)"),
        (
            lambda: ms.mlp(X, [(TALL.swapaxes(2, 3), TALL[:, :, 0])]),
            r"layers\[0\]\[1\] has .*is it trans",
        ),
        (lambda: ms.mlp(X, [TALL, TALL]), "as layers.0. has 4 outputs; .*is it transposed"),
        (lambda: ms.mlp(X, [LAYER, TALL]), "as layers.0. has 1 output$"),
    ],
)
def test_layers_in_other_forms(call, message):
    with pytest.raises(ValueError, match=message):
        call()


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
        (lambda: ms.mean_loss(X, W, None, X, loss="mea"), "did you mean 'mae'"),
        (lambda: ms.mean_loss(X, W, None, X, loss="rmse"), "use 'squared_error', which ranks"),
        (lambda: ms.mean_loss(X, W, None, X, loss="cross_entropy"), "here each feature has one"),
        (
            lambda: CLASSIFIERS.mean_loss(X, [0, 1], loss="sparse_categorical_crossentropy"),
            "pass loss='categorical_crossentropy_from_logits', which takes logits .* class numbers",
        ),
        (
            lambda: CLASSIFIERS.mean_loss(X, np.eye(4)[:2], loss="cross_entropy"),
            r"expected \(B, S\) = \(2, 1\) or \(B,\) = \(2,\); for one-hot .* targets.argmax\(",
        ),
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
    best, _ = ms.WeightSets(W, activation="sigmoid").best(1, X, X, loss=alias)
    assert len(best) == 1


class ReLU:
    """Like the module of PyTorch."""

    def __call__(self, x):
        return x


def gelu(x):
    """Like the function of JAX."""


gelu.__module__ = "jax._src.nn.functions"


def log_softmax(x):
    """A function that is no activation here."""


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (np.tanh, "(did you mean 'tanh'?)"),
        (np.exp, "(did you mean 'exponential'?)"),
        (SimpleNamespace, None),
        (ReLU, "(did you mean 'relu'?)"),
        (ReLU(), "(did you mean 'relu'?)"),
        (gelu, "(did you mean 'gelu_tanh'?)"),
        (type("LeakyReLU", (), {}), ": the slope differs between libraries"),
        (log_softmax, None),
        (3, None),
    ],
)
def test_functions_as_activations(function, advice):
    expected = re.escape(advice) if advice else rf"not {re.escape(repr(function))}$"
    for call in (
        lambda: ms.affine(X, W, activation=function),
        lambda: ms.mlp(X, LAYERS, activation=[function]),
        lambda: ms.WeightSets.from_layers(LAYERS, output_activation=function),
        lambda: ms.Activation(function),
    ):
        with pytest.raises(TypeError, match=expected):
            call()


class MeanAbsoluteError:
    """A loss object."""


class BinaryCrossentropy:
    """Like the loss of Keras."""

    from_logits = True


class SparseCategoricalCrossentropy:
    """Named like the loss of Keras."""


def test_a_loss_that_is_no_name():
    with pytest.raises(TypeError, match=r"name of a loss, not .*: pass 'absolute_error'$"):
        ms.mean_loss(X, W, None, X, loss=MeanAbsoluteError())
    with pytest.raises(TypeError, match=r"loss must be the name of a loss, not None$"):
        ms.mean_loss(X, W, None, X, loss=None)
    with pytest.raises(TypeError, match="BinaryCrossentropy: pass 'binary_crossentropy_from_logit"):
        ms.mean_loss(X, W, None, X, loss=BinaryCrossentropy())
    for loss in (SparseCategoricalCrossentropy(), SparseCategoricalCrossentropy):
        with pytest.raises(
            TypeError, match=r": it takes .*'categorical_crossentropy_from_logits',"
        ):
            CLASSIFIERS.mean_loss(X, [0, 1], loss=loss)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "logcosh"])
@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_classes_as_targets_of_a_loss_of_numbers(loss, shape):
    labels = np.reshape([0, 1], shape)
    message = "targets look like class numbers, .* for 4 classes, pass loss='categorical_cross"
    for function in (
        lambda **data: CLASSIFIERS.best(1, **data),
        lambda **data: CLASSIFIERS.mean_loss(**data),
        lambda **data: CLASSIFIERS.mean_loss_and_grad(**data),
        lambda **data: ms.mlp_mean_loss(layers=[TALL], **data),
    ):
        with pytest.warns(UserWarning, match=message) as warned:
            function(samples=X, targets=labels, loss=loss)
        assert warned[0].filename == __file__


def test_no_warning_if_targets_may_be_numbers():  # warnings are errors
    per_output = np.array([[0, 1, 1, 0], [1, 0, 0, 1]])
    for targets in ([0.0, 1.0], [0, 4], [-1, 1], [0, 0], per_output, per_output[:, None]):
        CLASSIFIERS.best(1, X, targets)
    CLASSIFIERS.best(1, X, [0, 3], loss="cross_entropy")
    CLASSIFIERS.best(1, X, [0, 1], loss="poisson")
    ms.WeightSets.from_layers([LAYER]).best(1, X, [0, 1])  # networks of one output
    SETS.best(1, X, [0, 1])


PROBABILITIES = {
    "affine": ms.WeightSets(W, activation="sigmoid"),
    "networks": ms.WeightSets.from_layers(LAYERS, output_activation="hard_sigmoid"),
}


@pytest.mark.parametrize("kind", PROBABILITIES)
@pytest.mark.parametrize(
    ("targets", "loss", "message"),
    [
        ([0.0, 1.0], "BCEWithLogitsLoss", "applies a sigmoid .* is already (hard_)?sigmoid: pass"),
        ([0, 1], "binary_crossentropy_from_logits", r"pass loss='binary_crossentropy', or use se"),
        ([0, 1], "mse", r"labels 0 and 1, .* probabilities \((hard_)?sigmoid\), but squared_error"),
        (np.array([[0, 1], [1, 1]], "u1"), "huber", r"or labels, pass loss='binary_crossentropy';"),
        (np.array([[False, True]] * 2), "mae", "otherwise, pass targets as floats"),
    ],
)
def test_losses_that_do_not_fit_probabilities(kind, targets, loss, message):
    sets = PROBABILITIES[kind]
    for function in (sets.mean_loss, sets.mean_loss_and_grad, functools.partial(sets.best, 1)):
        with pytest.warns(UserWarning, match=message) as warned:
            function(X, targets, loss=loss)
        assert warned[0].filename == __file__


def test_the_softmax_of_probabilities():
    with pytest.warns(UserWarning, match="applies a softmax to .* already sigmoid: use sets whose"):
        ms.WeightSets.from_layers([TALL], output_activation="sigmoid").best(
            1, X, [0, 3], loss="cross_entropy"
        )


@pytest.mark.parametrize("additive", [False, True])
def test_losses_of_probabilities_that_are_none(additive):
    sets = ms.WeightSets.from_layers(LAYERS, activation="tanh", additive=additive)
    message = r"compares probabilities, .* linear: pass loss='binary_crossentropy_from_logits', or"
    for of_sets in (sets, ms.WeightSets(2 * W), ms.WeightSets(-W)):
        with pytest.warns(UserWarning, match=message):
            of_sets.mean_loss(X, [0, 1], loss="bce")


@pytest.mark.parametrize("samples", [X / 2, [[0.25, 0.5], [1, 0]], np.ones((3, 100, 2)), X[:0]])
def test_no_warning_of_averages_of_probabilities(samples):  # warnings are errors
    for sets in (
        ms.WeightSets.from_layers([TALL[..., :1] / 2]),
        ms.WeightSets.from_layers([LAYER[0] / 2], additive=True),
        ms.WeightSets(W),
    ):
        sets.mean_loss(samples, np.ones(np.shape(samples)[-2]), loss="bce")


def test_the_warning_of_linear_outputs_can_be_silenced():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "binary_crossentropy compares")  # as in the docs
        ms.WeightSets(2 * W).mean_loss(X, [0, 1], loss="bce")


def test_one_warning_of_labels_for_several_probabilities():
    sets = ms.WeightSets.from_layers([TALL], output_activation="sigmoid")
    for targets in ([0, 1], [[0], [1]]):
        with pytest.warns(UserWarning, match="targets look like class numbers") as warned:
            sets.mean_loss(X, targets)
        assert len(warned) == 1
    with pytest.warns(UserWarning, match="targets look like the labels 0 and 1"):
        sets.mean_loss(X, [[0, 1, 1, 0]] * 2)


FLAGS = {
    "additive": [
        lambda x: ms.mlp(X, [LAYER], additive=x),
        lambda x: ms.mlp_select(X, [LAYER], [0, 1], additive=x),
        lambda x: ms.mlp_mean_loss(X, [LAYER], [1.0, 2.0], additive=x),
        lambda x: ms.WeightSets.from_layers([LAYER], additive=x),
        lambda x: ms.WeightSets.from_theta(W, layer_sizes=(2, 1), use_bias=False, additive=x),
    ],
    "per_subnetwork": [lambda x: ms.mlp_mean_loss(X, [LAYER], X, per_subnetwork=x)],
    "per_feature": [
        lambda x: ms.mean_loss(X, W, None, X, per_feature=x),
        lambda x: SETS.mean_loss(X, X, per_feature=x),
        lambda x: CLASSIFIERS.best(1, X, X[:, :1], per_feature=x),
    ],
    "return_index": [lambda x: SETS.best(1, X, X, return_index=x)],
    "check": [
        lambda x: ms.affine_select(X, W, None, [0, 1], check=x),
        lambda x: ms.mlp_select(X, [LAYER], [0, 1], check=x),
    ],
    "use_bias": [
        lambda x: ms.from_theta(W[:, :0], 0, use_bias=x),
        lambda x: ms.WeightSets.from_theta(W, layer_sizes=(1, 1), use_bias=x),
        lambda x: ms.WeightSets.from_theta(W, layer_sizes=(1, 1), use_bias=[x]),
    ],
    "use_intercept": [
        lambda x: _theta.to_layers(W, (1, 1), use_bias=False, use_intercept=x, axis=0),
    ],
    "progress": [lambda x: SETS.predict(X, progress=x)],
}


@pytest.mark.parametrize("name", [n for n in dir(ms.WeightSets) if not n.startswith("_")])
def test_errors_of_methods_name_the_public_class(name):
    function = getattr(SETS, name) if callable(getattr(ms.WeightSets, name)) else None
    if function is None:
        with pytest.raises(AttributeError, match=f"^WeightSets are immutable: {name} cannot be"):
            setattr(SETS, name, 1)
        return
    for arguments, options in (([1] * 9, {}), ([], {"unknown": 1})):
        with pytest.raises(TypeError, match=rf"^WeightSets\.{name}(\(\))? "):
            function(*arguments, **options)


def test_options_of_flat_vectors_are_known_in_errors():
    with pytest.raises(TypeError, match="theta has dtype"):
        ms.WeightSets.from_theta(["a"], layer_sizes=(1, 1), activation="tanh")
    with pytest.raises(TypeError, match=r"^WeightSets.to_pairs takes nothing by position, but got"):
        SETS.to_pairs(1)


@pytest.mark.parametrize("sets", [SETS, CLASSIFIERS])
@pytest.mark.parametrize("name", ["set_weight", "weights"])
def test_weights_of_sets_in_statistics(sets, name):
    with pytest.raises(TypeError, match=f"unexpected .*{name}'.*; affine_stats and mlp_stats"):
        sets.predict_stats(X, quantiles=[0.5], **{name: [1, 2, 3]})
    counts = [1, 0, 2]  # as the message says
    assert len(sets[np.repeat(np.arange(len(sets)), counts)]) == 3
    for function in (ms.affine_stats, ms.mlp_stats):
        with pytest.raises(TypeError, match=r"; WeightSets\.predict_stats has quantiles"):
            function(X, W, quantiles=[0.5])


NEVER_NONE = FLAGS.keys() - {"check", "progress"}


@pytest.mark.parametrize("name", FLAGS)
def test_options_that_are_true_or_false(name):
    for function in FLAGS[name]:
        for wrong in ("no", "False", 2, {True}, *([None, W] if name in NEVER_NONE else [])):
            message = rf"^{name} is .*; expected True or False$"
            with pytest.raises(TypeError, match=message):
                function(wrong)
        for right in (True, False, np.True_, np.int64(0), 1):
            function(right)


def test_no_warning_of_losses_that_fit_probabilities():  # warnings are errors
    for sets in PROBABILITIES.values():
        sets.best(1, X, [0, 1], loss="binary_crossentropy")
        for targets in ([0.0, 1.0], [0, 2], [-1, 1], [0, 0]):
            sets.mean_loss(X, targets)
    slopes = ms.WeightSets(W, activation=ms.Activation("sigmoid").derivative)
    slopes.mean_loss(X, [0, 1])
    added = ms.WeightSets.from_layers(LAYERS, output_activation="sigmoid", additive=True)
    for loss in ("binary_crossentropy", "binary_crossentropy_from_logits"):
        added.mean_loss(X, [0, 1], loss=loss)  # of a sum of sigmoids
    ms.WeightSets(W, activation="tanh").mean_loss(X, [0, 1], loss="BCEWithLogitsLoss")


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
    with pytest.raises(TypeError, match=r"models is an object; .*such as \[model, another\]"):
        ms.WeightSets.from_models(object())


def test_pandas():
    pandas = pytest.importorskip("pandas")
    table = pandas.get_dummies(pandas.DataFrame({"age": [1.0, 2.0], "city": ["a", "b"]}))
    with pytest.raises(TypeError, match=r"column 'city_a' has dtype bool: pass samples.to_numpy"):
        ms.affine(table, np.ones((1, 3)))
    missing = pandas.Series([None, 1], dtype=object)
    with pytest.raises(TypeError, match=r"targets has dtype object.*targets.to_numpy\(float\)"):
        ms.mean_loss(X, W, None, missing)


def test_scipy():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"samples is a csr_matrix.*samples.toarray\(\)"):
        ms.affine(sparse.csr_matrix(X), W)


def test_code_without_a_module_is_warned_too():
    with pytest.warns(UserWarning, match="unusual"):  # as in doctest
        exec("warn('unusual', UserWarning)", {"warn": calls.warn})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ms.mlp([[1.0]], [np.ones((2, 2, 3, 1))]),
            r"see 1 feature; expected 1 network of 1 input, or inputs of shape \(2, 3\)",
        ),
        (
            lambda: ms.WeightSets.from_theta(np.ones(15), layer_sizes=(1, 2, 1), additive=True),
            "; if an intercept comes last, pass use_intercept=True$",
        ),
        (
            lambda: ms.WeightSets.from_theta(np.ones(16), layer_sizes=(1, 2, 1), additive=True),
            "with axis=0$",
        ),
        (
            lambda: ms.WeightSets.from_theta(np.ones(15), layer_sizes=(1, 2, 1)),
            "; if an intercept comes last, pass additive=True, use_intercept=True$",
        ),
        *(
            (
                lambda intercept=intercept: ms.mlp(X, [LAYER], additive=True, intercept=intercept),
                r"expected \(N, 1\) with N = 3, as the last .* 1 output; pass numpy.reshape\(inte",
            )
            for intercept in (1.0, np.ones(3))
        ),
        (
            lambda: ms.mlp(X, [LAYER], additive=True, intercept=np.ones(2)),
            r"intercept has shape \(2,\); expected \(N, 1\) with N = 3, as the .* 1 output$",
        ),
        (
            lambda: ADDITIVE.mean_loss(X, X[:, 0], per_feature=True),
            "^per_feature=True cannot be combined with additive sets",
        ),
    ],
)
def test_values_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


ADDITIVE = ms.WeightSets.from_layers([np.ones((2, 2, 1, 1))], additive=True)


@pytest.mark.parametrize(
    ("call", "vjp"),
    [
        (lambda y, w: ms.mean_loss(X, W, None, y, sample_weight=w), "affine_vjp"),
        (lambda y, w: ms.mlp_mean_loss(X, LAYERS[:1], y, sample_weight=w), "mlp_vjp"),
    ],
)
def test_targets_and_weights_of_each_set_need_a_cotangent(call, vjp):
    message = f"has shape .*; expected .*if it differs between sets, pass .* cotangent to {vjp}$"
    for targets, weights in [(np.ones((3, 2)), None), (np.ones(2), np.ones((3, 2)))]:
        with pytest.raises(ValueError, match=message):
            call(targets, weights)
