"""Draw the pictures of the docs: `python docs/pictures.py` writes them beside their pages.

They are the same each time, with the same Matplotlib. Those of tutorials show what the pages
compute, and need what the pages need.
"""

from __future__ import annotations

import doctest
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tables
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.patches import Circle, Rectangle

import multisubnet as ms

HERE = Path(__file__).parent
STYLE = {"svg.hashsalt": "multisubnet", "font.size": 11, "axes.spines.top": False}
STYLE |= {"axes.spines.right": False, "mathtext.fontset": "dejavuserif"}
INK, PALE = "#2b2b2b", "#8a8a8a"
OF_FEATURES = ("#cfe3f5", "#fbe0bd", "#d8ecd2")
BEHIND = np.array([2.0, 1.1])  # where the next set stands


class Theme(NamedTuple):
    """Colours of a picture that is there for light and for dark pages."""

    ink: str
    pale: str
    card: str


LIGHT, DARK = Theme(INK, PALE, "white"), Theme("#e6edf3", "#8b949e", "#21262d")


def cube(theme: Theme, name: str) -> None:
    """The README's example: samples, a card for each set, and the cube of predictions."""
    samples = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 1, 2]])
    weight, bias = np.array([[2, 3, 1], [4, 1, 5]]), np.array([[1, 0, 7], [0, 2, 3]])
    result = ms.affine(samples, weight, bias)
    figure, axes = plt.subplots(figsize=(7.6, 3.7))
    axes.set(xlim=(-0.6, 16.9), ylim=(-2.3, 5.3), aspect="equal")
    axes.axis("off")

    draw_block(axes, 0.0, samples[None])
    draw_block(axes, 11.7, result)
    for n in reversed(range(len(weight))):
        draw_set(axes, np.array([4.5, 0.4]) + n * BEHIND * [0.6, 1.0], weight[n], bias[n], theme)
    for x in (3.25, 10.4):
        arrow = {"arrowstyle": "-|>", "color": theme.ink, "linewidth": 2, "mutation_scale": 18}
        axes.annotate("", (x + 1.05, 2), (x, 2), arrowprops=arrow)

    titles = [
        (1.5, "samples", "4 samples\nof 3 features"),
        (7.3, "sets of weights", "2 sets: a weight and\na bias per feature"),
        (14.1, "predictions", "2 sets \u00d7 4 samples\n\u00d7 3 features"),
    ]
    for x, title, explanation in titles:
        axes.text(x, -0.75, title, ha="center", weight="bold", color=theme.ink, size=13)
        axes.text(x, -1.0, explanation, ha="center", va="top", color=theme.ink, size=12)
    arrow = {"arrowstyle": "->", "color": theme.pale}
    axes.annotate("", (13.6, 5.15), (11.8, 4.15), arrowprops=arrow)
    axes.text(12.4, 4.85, "sets", ha="right", color=theme.ink, style="italic", size=12)
    write(figure, name, transparent=theme is DARK)


def draw_block(axes: plt.Axes, x: float, block: np.ndarray) -> None:
    """Draw a block (N, B, F) of numbers, the last set first, since it is behind the others."""
    n_samples = block.shape[1]
    for (n, b, f), number in reversed(list(np.ndenumerate(block))):
        left, low = np.array([x + f, n_samples - 1 - b]) + n * BEHIND
        cell = Rectangle((left, low), 1, 1, facecolor=OF_FEATURES[f], edgecolor=INK, zorder=-n)
        axes.add_patch(cell)
        middle = left + 0.5, low + 0.47
        axes.text(*middle, number, ha="center", va="center", color=INK, zorder=-n, size=12)


def draw_set(
    axes: plt.Axes, corner: np.ndarray, weight: np.ndarray, bias: np.ndarray, theme: Theme
) -> None:
    """Draw a set as a card with a row for each feature: input, weight and bias, output."""
    width, height, zorder = 4.4, len(weight) * 0.95 + 0.3, -corner[1]
    card = Rectangle(
        corner, width, height, facecolor=theme.card, edgecolor=theme.ink, zorder=zorder
    )
    axes.add_patch(card)
    for f, (w, b) in enumerate(zip(weight, bias, strict=True)):
        y = corner[1] + height - 0.62 - f * 0.95
        left, right = corner[0] + 0.5, corner[0] + width - 0.5
        axes.plot((left, right), (y, y), color=theme.pale, linewidth=1.2, zorder=zorder)
        for x in (left, right):
            node = Circle((x, y), 0.27, facecolor=OF_FEATURES[f], edgecolor=INK, zorder=zorder)
            axes.add_patch(node)
        label = {"boxstyle": "square,pad=0.15", "facecolor": theme.card, "edgecolor": "none"}
        axes.text(
            (left + right) / 2,
            y - 0.03,
            f"\u00d7 {w} + {b}",
            ha="center",
            va="center",
            color=theme.ink,
            size=12,
            bbox=label,
            zorder=zorder,
        )


def landscape() -> None:
    """The loss over weight and bias of one subnetwork: 40,000 sets, judged in one call."""
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(300, 1)).astype("f4")
    targets = np.tanh(1.5 * samples - 1.0) + rng.normal(0.0, 0.15, samples.shape).astype("f4")
    judged = {"loss": "squared_error", "activation": "tanh"}

    along_weight, along_bias = np.linspace(-3.2, 4.2, 200), np.linspace(-4.0, 3.0, 200)
    weight, bias = (x.astype("f4").reshape(-1, 1) for x in np.meshgrid(along_weight, along_bias))
    losses = ms.mean_loss(samples, weight, bias, targets, **judged)

    # Four descents, all of them one step further with each call.
    weight = np.float32([[-2.8], [-1.5], [3.8], [0.5]])
    bias = np.float32([[-1.5], [2.6], [1.8], [-3.6]])
    path = [np.hstack([weight, bias])]
    for _ in range(400):
        _, grad_weight, grad_bias = ms.mean_loss_and_grad(samples, weight, bias, targets, **judged)
        weight, bias = weight - 0.5 * grad_weight, bias - 0.5 * grad_bias
        path.append(np.hstack([weight, bias]))

    figure, axes = plt.subplots(figsize=(7.2, 4.6))
    levels = np.geomspace(losses.min(), losses.max(), 22)
    heights = losses.reshape(200, 200)
    norm = LogNorm(levels[0], levels[-1])
    axes.contourf(along_weight, along_bias, heights, levels, cmap="YlGnBu_r", norm=norm)
    axes.contour(along_weight, along_bias, heights, levels, colors="white", linewidths=0.4)
    for one in np.stack(path, axis=1):
        axes.plot(*one.T, color="#d1495b", linewidth=1.6, marker=".", markersize=4, markevery=5)
        axes.plot(*one[0], "o", color="white", markeredgecolor="#d1495b", markersize=6)
    axes.plot(1.5, -1.0, "*", color="#ffd23f", markeredgecolor=INK, markersize=15)
    axes.set(xlabel="weight", ylabel="bias")
    axes.set_title("40,000 sets judged in one call; four descents, one call for each step", size=11)
    write(figure, "landscape.png")


def ensemble() -> None:
    """What the members of a bootstrapped ensemble predict, and where they agree."""
    rng = np.random.default_rng(1)
    x = rng.normal(0.0, 1.0, (14, 1))
    y = 1.2 * x + 0.5 + rng.normal(0.0, 1.2, x.shape)
    drawn = rng.integers(len(x), size=(400, len(x)))
    lines = np.array([np.polyfit(x[i, 0], y[i, 0], 1) for i in drawn])
    weight, bias = lines[:, :1], lines[:, 1:]
    along = np.linspace(-4.5, 4.5, 200)[:, None]
    members = ms.affine(along, weight, bias)[:, :, 0]
    (mean,) = ms.affine_stats(along, weight, bias, statistics=["mean"])
    low, high = np.quantile(members, [0.05, 0.95], axis=0)

    figure, axes = plt.subplots(figsize=(7.2, 3.6))
    axes.plot(along, members[:120].T, color="#1f77b4", alpha=0.08, linewidth=0.8)
    axes.fill_between(along[:, 0], low, high, color="#1f77b4", alpha=0.25, label="90 % of members")
    axes.plot(along, mean, color="#1f77b4", linewidth=2, label="mean")
    axes.plot(x, y, ".", color=INK, label="samples")
    axes.set(xlim=(-4.5, 4.5), ylim=(-11, 11), xlabel="sample", ylabel="prediction")
    axes.legend(frameon=False, loc="upper left")
    write(figure, "ensemble.png")


def speed(theme: Theme, name: str) -> None:
    """By how much longer others take: a group of bars for each row of the table of speed."""
    rows = tables.rows()
    colors = dict(zip(tables.PEERS, ("#e07b39", "#4c8f5b", "#7f7f7f", "#b03a5b"), strict=True))
    figure, axes = plt.subplots(figsize=(6.4, 0.4 + 0.24 * sum(2 + len(r.ratios) for r in rows)))
    y = 0.0
    for row in rows:
        label = row.label.replace("`", "").replace("- ", "    ")
        axes.text(
            1.04,
            y,
            f"{label}: {row.seconds * 1e3:.1f} ms",
            weight="bold",
            va="center",
            color=theme.ink,
        )
        for peer, ratio in row.ratios.items():
            y += 1
            axes.barh(y, ratio - 1, left=1, height=0.86, color=colors[peer])
            axes.text(
                max(ratio, 1) * 1.06,
                y,
                f"{peer.replace('`', '')} {tables.times(ratio)}",
                color=theme.ink,
                va="center",
                size=10,
            )
        y += 1.6
    axes.axvline(1, color=theme.ink, linewidth=1)
    axes.set(xscale="log", xlim=(0.9, 2500), ylim=(y - 0.8, -0.9), yticks=[])
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    axes.set_xlabel("times as long as multisubnet (the times in bold)", color=theme.ink)
    axes.tick_params(which="both", colors=theme.ink)
    axes.spines["bottom"].set_color(theme.ink)
    axes.spines["left"].set_visible(False)
    write(figure, name, transparent=theme is DARK, Description=tables.speed_table())


def tutorial(name: str) -> dict[str, Any]:
    """Run the examples of a tutorial, and return its variables."""
    text = (HERE / "tutorials" / f"{name}.md").read_text(encoding="utf-8")
    variables: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # examples write files
        for example in doctest.DocTestParser().get_examples(text):
            if example.exc_msg is None:
                exec(example.source, variables)
        os.chdir(HERE)
    return variables


def of_shape_functions(name: str) -> None:
    """The shape functions that a tutorial draws."""
    figure = tutorial(name)["axes"].flat[0].figure
    figure.set_size_inches(8.4, 2.6 * figure.axes[0].get_gridspec().nrows)
    write(figure, f"tutorials/{name}.png")


def ensemble_of_models() -> None:
    """The curve, the samples, and the band of the models of the tutorial on ensembles."""
    of = tutorial("ensemble")
    grid = of["grid"][:, 0]
    mean, low, high = (of["stats"].mean, *of["stats"].quantiles)
    figure, axes = plt.subplots(figsize=(7.2, 3.6))
    band = low[:, 0, 0], high[:, 0, 0]
    axes.fill_between(grid, *band, color="#1f77b4", alpha=0.25, label="90 % of models")
    axes.plot(grid, mean[:, 0, 0], color="#1f77b4", linewidth=2, label="mean")
    axes.plot(grid, np.sin(2 * grid), color=PALE, linestyle="--", label="truth")
    axes.plot(of["x"][:, 0], of["y"], ".", color=INK, markersize=4, label="samples")
    axes.set(xlim=(-3, 3), ylim=(-2.5, 2.5), xlabel="x", ylabel="y")
    axes.legend(frameon=False, loc="lower right", ncols=2)
    write(figure, "tutorials/ensemble.png")


def write(figure: plt.Figure, name: str, *, transparent: bool = False, **metadata: str) -> None:
    """Write a picture without metadata that change from run to run."""
    without = {"Date": None} if name.endswith(".svg") else {"Software": None}
    style = {"bbox_inches": "tight", "dpi": 110, "facecolor": "none" if transparent else "white"}
    for axes in figure.axes if transparent else ():
        axes.set_facecolor("none")
    figure.savefig(HERE / name, metadata=without | metadata, **style)
    plt.close(figure)
    print(HERE / name)


if __name__ == "__main__":
    with plt.rc_context(STYLE):
        cube(LIGHT, "cube.svg")
        cube(DARK, "_static/cube-dark.svg")
        landscape()
        speed(LIGHT, "speed.svg")
        speed(DARK, "_static/speed-dark.svg")
        ensemble()
        ensemble_of_models()
        of_shape_functions("search")
        of_shape_functions("additive")
