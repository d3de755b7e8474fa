"""Plots of weight sets, drawn with Matplotlib (the extra ``plot``).

Each function draws on the axes given, or on new ones, and returns them. To show or save a plot,
call ``matplotlib.pyplot.show`` or the figure's ``savefig``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from multisubnet._arrays.explanations import a, advice_for_models, count, shown
from multisubnet._arrays.validation import as_int, as_numpy, flag
from multisubnet._functions.calls import explained
from multisubnet._functions.mlp import mlp
from multisubnet._functions.problem import expect_shape
from multisubnet._sets.weight_sets import WeightSets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from multisubnet._arrays.types import HostArrayLike

__all__ = ["losses", "shape_functions", "weights"]

_POINTS = 200  # per curve
_LINES = 500  # the largest number of sets drawn


@explained("plot.shape_functions")
def shape_functions(
    sets: WeightSets[Any],
    samples: HostArrayLike,
    *,
    networks: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    coverage: float = 0.9,
    center: bool | None = None,
    output: int = 0,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Plot the function of each network: the median over all sets, and a band.

    Parameters
    ----------
    sets : WeightSets
        Sets on the CPU, of networks with one input each, affine or with hidden layers.
    samples : array_like, shape (B, F)
        The data; a data frame works as in ``WeightSets.predict``. Each curve spans the range of
        its feature, and ticks along the bottom mark the samples.
    networks : sequence of int, optional
        The networks to draw; by default all of them.
    names : sequence of str, optional
        A name per feature; by default the `feature_names` of the sets.
    coverage : float, optional
        The fraction of the sets inside the band, from 0 to 1.
    center : bool, optional
        Subtract from each curve its mean over the samples; by default if the sets are additive,
        because the data only determine the sum of the networks. The mean is that of the curve as
        drawn: 200 points joined by lines.
    output : int, optional
        The output of the networks to plot.
    ax : matplotlib.axes.Axes or sequence of them, optional
        One per network; by default a new figure.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
        One per network.

    Raises
    ------
    ImportError
        Matplotlib is not installed.
    ValueError
        The networks have more than one input; the number of axes is not that of the networks, or
        the number of names that of the features.
    IndexError
        `networks` or `output` has a number that is out of range.
    TypeError
        `sets` is a model or something else; `networks` contains something else than an integer.

    Examples
    --------
    >>> import numpy as np
    >>> import multisubnet as ms
    >>> from multisubnet import plot
    >>> rng = np.random.default_rng(0)
    >>> sets = ms.WeightSets(*rng.normal(size=(2, 50, 3)), activation="tanh")
    >>> axes = plot.shape_functions(sets, rng.normal(size=(100, 3)))  # doctest: +SKIP
    >>> axes[0].figure.savefig("shapes.png")                          # doctest: +SKIP
    """
    pyplot = _pyplot()
    _check(sets)
    x = np.asarray(sets._parameters.values(samples))
    if x.ndim != 2 or not len(x):
        raise ValueError(f"samples has shape {x.shape}; expected (B, F), with B > 0")
    features = _features(sets)
    if names is not None and len(names) != x.shape[1]:
        raise ValueError(
            f"names has {count(len(names), 'name')}; expected one for each of "
            f"{count(x.shape[1], 'feature')}"
        )
    names = sets.feature_names if names is None else names
    chosen = _chosen("networks", networks, len(features))
    _chosen("output", [output], sets.layer_sizes[-1])
    if not 0 <= coverage <= 1:
        raise ValueError(f"coverage must be from 0 to 1, not {shown(coverage)}")
    grid = np.linspace(x.min(axis=0), x.max(axis=0), _POINTS).astype(sets.dtype, copy=False)
    curves = _each_network(sets, grid)[..., output].astype(np.float64)
    if sets.additive if center is None else flag("center", center):
        for s, f in enumerate(features):
            curves[..., s] -= curves[..., s] @ _shares(grid[:, f], x[:, f])[:, None]
    tail = (1 - coverage) / 2
    low, middle, high = np.quantile(curves, [tail, 0.5, 1 - tail], axis=0)
    axes = _axes(pyplot, ax, len(chosen))
    for one, s in zip(axes, chosen, strict=True):
        f = features[s]
        one.fill_between(grid[:, f], low[:, s], high[:, s], alpha=0.25, linewidth=0)
        one.plot(grid[:, f], middle[:, s])
        one.plot(x[:, f], np.zeros(len(x)), "|", color="0.4", transform=one.get_xaxis_transform())
        one.set_xlabel(f"feature {f}" if names is None else names[f])
    return axes


@explained("plot.losses")
def losses(
    losses: HostArrayLike, *, best: int = 10, log: bool | None = None, ax: Axes | None = None
) -> Axes:
    """Plot the losses of all sets in ascending order, and mark the best ones.

    Parameters
    ----------
    losses : array_like, shape (N,)
        Losses as `mean_loss` returns them. Losses that are not finite are left out.
    best : int, optional
        How many of the best sets to mark.
    log : bool, optional
        Whether the loss axis is logarithmic; by default it is if all losses are positive.
    ax : matplotlib.axes.Axes, optional
        By default the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Matplotlib is not installed.

    Examples
    --------
    >>> from multisubnet import plot
    >>> plot.losses([0.3, 0.1, 0.9], best=1)  # doctest: +SKIP
    <Axes: xlabel='sets, by loss', ylabel='loss'>
    """
    (axes,) = _axes(_pyplot(), ax, 1)
    values = as_numpy("losses", losses).astype(np.float64).ravel()
    values = np.sort(values[np.isfinite(values)])
    axes.plot(np.arange(1, len(values) + 1), values)
    axes.plot(np.arange(1, len(values[:best]) + 1), values[:best], ".")
    if len(values) and values[0] > 0 if log is None else flag("log", log):
        axes.set_yscale("log")
    axes.set(xlabel="sets, by loss", ylabel="loss")
    return axes


@explained("plot.weights")
def weights(
    sets: WeightSets[Any],
    losses: HostArrayLike | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Plot the parameters of each set as a line (parallel coordinates).

    If the sets are affine and have `feature_names`, these label the axis.

    Parameters
    ----------
    sets : WeightSets
        Sets on the CPU. If there are more than 500, the 500 with the lowest losses are drawn, or
        500 evenly spaced ones without `losses`.
    losses : array_like, shape (N,), optional
        Losses that colour the lines; the best set is drawn last.
    ax : matplotlib.axes.Axes, optional
        By default the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Matplotlib is not installed.

    Examples
    --------
    >>> import multisubnet as ms
    >>> from multisubnet import plot
    >>> sets = ms.WeightSets([[2.0, 9.0], [8.0, 6.0]])
    >>> plot.weights(sets)  # doctest: +SKIP
    <Axes: xlabel='parameter', ylabel='value'>
    """
    pyplot = _pyplot()
    _check(sets)
    from matplotlib.collections import LineCollection

    (axes,) = _axes(pyplot, ax, 1)
    theta = np.asarray(sets.to_theta())
    if losses is not None:
        losses = as_numpy("losses", losses)
        expect_shape("losses", losses, {"(N,)": (len(sets),)})
    if losses is None:
        drawn = np.unique(np.linspace(0, len(theta) - 1, _LINES).astype(int))
    else:
        drawn = np.argsort(np.asarray(losses), kind="stable")[:_LINES][::-1]
    places = np.arange(theta.shape[1])
    lines = LineCollection(
        [np.column_stack([places, one]) for one in theta[drawn]],
        linewidths=0.8,
        alpha=max(0.1, min(1.0, 30 / max(len(drawn), 1))),
    )
    if losses is not None:
        lines.set_array(np.asarray(losses)[drawn])
        axes.figure.colorbar(lines, ax=axes, label="loss")
    axes.add_collection(lines)
    axes.autoscale_view()
    axes.set(xlabel="parameter", ylabel="value")
    names = sets.feature_names
    if names is not None and sets._parameters.is_affine:
        kinds = ("weight", "bias")[: len(places) // max(len(names), 1)]
        labels = [f"{kind} of {name}" for kind in kinds for name in names]
        axes.set_xticks(places, labels, rotation="vertical")
    return axes


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        error.add_note("multisubnet.plot needs Matplotlib: pip install 'multisubnet[plot]'")
        raise
    return pyplot


def _axes(pyplot: Any, ax: Any, count: int) -> np.ndarray:
    """Return `count` axes: those given, or those of a new figure."""
    if ax is not None:
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) != count:
            one = "1 axis" if len(axes) == 1 else f"{len(axes)} axes"
            raise ValueError(f"ax has {one}; expected {count}")
        return axes
    columns = min(count, max(math.ceil(math.sqrt(count)), 1), 6)
    rows = math.ceil(count / max(columns, 1))
    _, axes = pyplot.subplots(
        max(rows, 1),
        max(columns, 1),
        squeeze=False,
        figsize=(max(2.4 * columns, 4.8), max(1.8 * rows, 3.2)),
        layout="constrained",
    )
    for unused in axes.ravel()[count:]:
        unused.remove()
    return axes.ravel()[:count]


def _check(sets: Any) -> None:
    """Raise TypeError unless these are weight sets."""
    if not isinstance(sets, WeightSets):
        advice = advice_for_models(sets)
        raise TypeError(f"sets is {a(sets)}; expected WeightSets{f': {advice}' if advice else ''}")


def _chosen(what: str, numbers: Sequence[int] | None, n_things: int) -> Sequence[int]:
    """Return numbers of networks or outputs, all by default; raise if one is out of range."""
    if numbers is None:
        return range(n_things)
    for i in numbers:
        number = as_int(i)
        kind = TypeError if number is None else IndexError
        if number is None or not -n_things <= number < n_things:
            raise kind(f"{what} contains {i!r}; expected numbers from 0 to {n_things - 1}")
    return numbers


def _features(sets: WeightSets[Any]) -> list[int]:
    """Return the feature that each network sees."""
    if sets.layer_sizes[0] != 1:
        raise ValueError(
            f"networks of these sets have {sets.layer_sizes[0]} inputs each; expected 1"
        )
    if sets.inputs is None:
        return list(range(sets.n_networks))
    return [int(f) for f in sets.inputs[:, 0]]


def _shares(grid: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the weights of grid points that give the mean over x of an interpolated curve."""
    below = np.clip(np.searchsorted(grid, x, side="right") - 1, 0, len(grid) - 2)
    width = grid[below + 1] - grid[below]
    share = np.divide(x - grid[below], width, out=np.zeros(len(x)), where=width > 0)
    shares = np.bincount(below, 1 - share, len(grid)) + np.bincount(below + 1, share, len(grid))
    return shares / max(len(x), 1)


def _each_network(sets: WeightSets[Any], samples: np.ndarray) -> np.ndarray:
    """Return the values of all networks, (N, B, S, P), even if the sets are additive."""
    activation = sets.activation if len(sets.layers) > 1 else None
    values: np.ndarray = mlp(
        samples,
        sets.layers,
        activation=activation,
        output_activation=sets.output_activation,
        inputs=sets.inputs,
    )
    return values
