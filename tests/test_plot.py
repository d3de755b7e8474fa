"""Plots of sets: the lines drawn are those of the predictions."""

from __future__ import annotations

import numpy as np
import pytest

import multisubnet as ms
from multisubnet import plot

pyplot = pytest.importorskip("matplotlib.pyplot")
pyplot.switch_backend("Agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def drawn(axes):
    return [line.get_xydata() for line in axes.get_lines()]


def affine_sets(rng, n_sets=9, n_features=3):
    return ms.WeightSets(*rng.normal(size=(2, n_sets, n_features)), activation="tanh")


def additive_sets(rng):
    layers = [
        (rng.normal(size=(9, 3, 1, 4)), rng.normal(size=(9, 3, 4))),
        (rng.normal(size=(9, 3, 4, 2)), None),
    ]
    return ms.WeightSets.from_layers(
        layers, activation="relu", output_activation="tanh", inputs=[[2], [0], [0]], additive=True
    )


@pytest.mark.parametrize("make", [affine_sets, additive_sets])
def test_a_shape_function_is_the_median_over_sets(make):
    rng = np.random.default_rng(0)
    sets, samples = make(rng), rng.normal(size=(20, 3))
    axes = plot.shape_functions(sets, samples, names=["a", "b", "c"], center=False)
    features = [0, 1, 2] if make is affine_sets else [2, 0, 0]
    assert [one.get_xlabel() for one in axes] == ["abc"[f] for f in features]
    for s, (one, f) in enumerate(zip(axes, features, strict=True)):
        curve, ticks = drawn(one)
        assert ticks[:, 0] == pytest.approx(samples[:, f])
        assert curve[[0, -1], 0] == pytest.approx([samples[:, f].min(), samples[:, f].max()])
        points = np.zeros((len(curve), 3))
        points[:, f] = curve[:, 0]
        if make is affine_sets:
            values = sets.predict(points)[..., f]
        else:
            hidden = np.maximum(
                points[:, f, None] * sets.layers[0][0][:, None, s, 0]
                + sets.layers[0][1][:, None, s],
                0,
            )
            values = np.tanh(np.einsum("nbk,nk->nb", hidden, sets.layers[1][0][:, s, :, 0]))
        assert curve[:, 1] == pytest.approx(np.median(values, axis=0))
        assert len(one.collections) == 1  # the band


def test_curves_of_additive_sets_have_the_mean_0_over_samples():
    rng = np.random.default_rng(0)
    layers = [np.ones((3, 2, 1, 1)) * [[[[2.0]], [[-1.0]]]] * np.arange(1, 4)[:, None, None, None]]
    sets = ms.WeightSets.from_layers([(*layers, rng.normal(size=(3, 2, 1)))], additive=True)
    samples = rng.exponential(size=(50, 2))
    for center in (None, True):
        for f, (axes, slope) in enumerate(
            zip(plot.shape_functions(sets, samples, center=center), [4.0, -2.0], strict=True)
        ):
            curve, _ = drawn(axes)  # that of the middle of three sets
            line = slope * (curve[:, 0] - samples[:, f].mean())
            assert curve[:, 1] == pytest.approx(line, abs=1e-9)
    integers = ms.WeightSets.from_layers([([[[[2]], [[-1]]]], [[[1], [5]]])], additive=True)
    (axes, _) = plot.shape_functions(integers, samples)
    assert drawn(axes)[0][:, 1].astype(int) == pytest.approx(0, abs=20)
    constant = plot.shape_functions(sets, np.ones((4, 2)))
    assert drawn(constant[0])[0][:, 1] == pytest.approx(0)
    affine = affine_sets(rng)
    centred, plain = (
        drawn(plot.shape_functions(affine, np.ones((4, 3)), center=c)[0])[0] for c in (True, None)
    )
    assert centred[:, 1] == pytest.approx(0)
    assert plain[0, 1] == pytest.approx(np.median(affine.predict(np.ones((1, 3)))[:, 0, 0]))


def test_the_mean_is_that_of_the_curve_as_drawn():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(50, 3))
    for f, axes in enumerate(plot.shape_functions(affine_sets(rng, 1), samples, center=True)):
        (x, y), _ = (line.T for line in drawn(axes))
        assert np.interp(samples[:, f], x, y).mean() == pytest.approx(0, abs=1e-12)


def test_some_networks_on_given_axes():
    rng = np.random.default_rng(0)
    sets, samples = affine_sets(rng), rng.normal(size=(20, 3))
    _, ax = pyplot.subplots()
    (returned,) = plot.shape_functions(sets, samples, networks=[1], ax=ax)
    assert returned is ax
    with pytest.raises(ValueError, match="ax has 1 axis; expected 3"):
        plot.shape_functions(sets, samples, ax=ax)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"networks": [0, 3]}, IndexError, "networks contains 3; expected numbers from 0 to 2"),
        ({"networks": ["a"]}, TypeError, "networks contains 'a'; expected numbers from 0 to 2"),
        ({"names": ["a"]}, ValueError, "names has 1 name; expected one for each of 3 features"),
    ],
)
def test_networks_and_names_must_be_those_of_the_sets(options, error, message):
    with pytest.raises(error, match=message):
        plot.shape_functions(affine_sets(np.random.default_rng(0)), np.ones((5, 3)), **options)


def test_a_model_is_not_a_weight_set():
    class Layer:
        get_weights = to_weight_sets = print

    class Model:
        get_weights = print

    for function in (lambda x: plot.shape_functions(x, [[1.0]]), plot.weights):
        with pytest.raises(TypeError, match=r"sets is a Layer; .* use its to_weight_sets\(\)"):
            function(Layer())
        with pytest.raises(TypeError, match=r"is a Model; .* use WeightSets.from_models\(\[model"):
            function(Model())
        with pytest.raises(TypeError, match=r"sets is a list; expected WeightSets$"):
            function([1.0])


def test_networks_of_many_inputs_have_no_shape_function():
    layers = [(np.ones((2, 1, 3, 4)), None), (np.ones((2, 1, 4, 1)), None)]
    with pytest.raises(ValueError, match="have 3 inputs each; expected 1"):
        plot.shape_functions(ms.WeightSets.from_layers(layers), np.ones((5, 3)))


def test_losses_ascend_and_the_best_are_marked():
    axes = plot.losses([0.5, np.nan, 0.1, np.inf, 0.3], best=2)
    every, best = drawn(axes)
    assert every.tolist() == [[1, 0.1], [2, 0.3], [3, 0.5]]
    assert best.tolist() == [[1, 0.1], [2, 0.3]]
    assert axes.get_yscale() == "log"
    assert plot.losses([-1.0, 2.0]).get_yscale() == "linear"


def test_weights_are_lines_and_the_best_is_the_last():
    rng = np.random.default_rng(0)
    sets = affine_sets(rng, n_sets=600)
    losses = rng.random(600)
    (lines,) = plot.weights(sets, losses).collections
    segments = lines.get_segments()
    assert len(segments) == 500
    assert segments[-1][:, 1] == pytest.approx(sets.to_theta()[losses.argmin()])
    assert lines.get_array()[-1] == losses.min()
    (plain,) = plot.weights(sets[:5]).collections
    assert len(plain.get_segments()) == 5


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError) as error:
        plot.losses([1.0])
    assert "needs Matplotlib: pip install 'multisubnet[plot]'" in error.value.__notes__[0]


def test_names_of_features_are_labels():
    names = ["age", "$size", "_dose"]
    sets = ms.WeightSets(*np.ones((2, 4, 3)), feature_names=names)
    axes = plot.shape_functions(sets, np.random.default_rng(0).normal(size=(5, 3)))
    assert [one.get_xlabel() for one in axes] == names
    labels = [label.get_text() for label in plot.weights(sets).get_xticklabels()]
    assert labels == [f"{kind} of {name}" for kind in ("weight", "bias") for name in names]
    plain = ms.WeightSets(np.ones((4, 3)), feature_names=names)
    assert len(plot.weights(plain).get_xticks()) == 3
    networks = ms.WeightSets.from_layers([np.ones((4, 3, 1, 1))], feature_names=names)
    axes = plot.shape_functions(networks, np.ones((2, 3)), networks=[2], ax=pyplot.gca())
    assert axes[0].get_xlabel() == "_dose"
    plot.weights(networks)


AFFINE = ms.WeightSets(*np.ones((2, 4, 3)))
X = np.ones((5, 3))


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plot.losses(AFFINE), TypeError, "losses is a WeightSets; .*, such as .* mean_los"),
        (lambda: plot.weights(AFFINE, X[:, 0]), ValueError, r"losses has shape \(5,\); .* \(4,\)$"),
        (lambda: plot.shape_functions(AFFINE, X, output=1), IndexError, "output contains 1; exp"),
        (lambda: plot.shape_functions(AFFINE, X, coverage=90), ValueError, "0 to 1, not 90$"),
        (lambda: plot.shape_functions(AFFINE, X[0]), ValueError, r"samples has shape \(3,\)"),
        (lambda: plot.losses(AFFINE, X), TypeError, "takes losses by position, but got 2 .* best="),
        (
            lambda: plot.weights(AFFINE, None, 1),
            TypeError,
            "takes sets, losses by position, but",
        ),
        (lambda: plot.shape_functions(AFFINE), TypeError, "takes sets, samples, but samples is mi"),
        (lambda: plot.shape_functions(AFFINE, X, name=["a"]), TypeError, "did you mean 'names'"),
        (lambda: plot.shape_functions(AFFINE, X[:0]), ValueError, r"\(0, 3\); .*, with B > 0"),
    ],
)
def test_wrong_arguments_of_plots(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
