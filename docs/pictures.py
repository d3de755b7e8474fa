"""Draw the pictures of the guide: `python docs/pictures.py` writes them beside this file.

They are the same each time, with the same Matplotlib.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle

import multisubnet as ms

HERE = Path(__file__).parent
STYLE = {"svg.hashsalt": "multisubnet", "font.size": 11, "axes.spines.top": False}
STYLE |= {"axes.spines.right": False, "mathtext.fontset": "dejavuserif"}
INK, PALE = "#2b2b2b", "#8a8a8a"
OF_FEATURES = ("#cfe3f5", "#fbe0bd")
BEHIND = np.array([2.5, 0.8])  # where the next set stands


def cube() -> None:
    """Samples, weights, biases and predictions of the README's example, as blocks of cells."""
    samples, pairs = [[3, 7], [9, 4]], [[[2, 7], [9, 5]], [[8, 6], [6, 3]]]
    weight, bias = ms.from_pairs(pairs)
    result = ms.affine(samples, weight, bias)
    figure, axes = plt.subplots(figsize=(10.5, 3.4))
    axes.set(xlim=(-1.0, 21.2), ylim=(-1.55, 5.0), aspect="equal")
    axes.axis("off")

    blocks = [
        ("samples", "(B, F)", 0.0, np.array([samples])),
        ("weight", "(N, F)", 3.6, weight[:, None]),
        ("bias", "(N, F)", 9.7, bias[:, None]),
        ("result", "(N, B, F)", 15.8, result),
    ]
    for name, shape, x, block in blocks:
        draw_block(axes, x, block)
        axes.text(x + 1, -0.75, name, ha="center", weight="bold", color=INK)
        axes.text(x + 1, -1.4, shape, ha="center", color=PALE)
    for x, sign in ((2.8, r"$\times$"), (8.9, "+"), (15.0, "=")):
        axes.text(x, 0.95, sign, ha="center", va="center", size=20, color=INK)

    arrow = {"arrowstyle": "->", "color": PALE, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (2.0, 2.3), (0.0, 2.3), arrowprops=arrow)
    axes.annotate("", (-0.3, 0.0), (-0.3, 2.0), arrowprops=arrow)
    axes.annotate("", (17.9, 3.2), (15.7, 2.5), arrowprops=arrow)
    axes.text(1.0, 2.45, "features", ha="center", color=PALE, style="italic")
    axes.text(-0.45, 1, "samples", ha="right", va="center", color=PALE, style="italic", rotation=90)
    axes.text(16.5, 3.05, "sets", ha="center", color=PALE, style="italic")
    formula = "result[n, b, f]  =  samples[b, f]  *  weight[n, f]  +  bias[n, f]"
    axes.text(10.1, 4.4, formula, ha="center", size=13, color=INK, family="monospace")
    write(figure, "cube.svg")


def draw_block(axes: plt.Axes, x: float, block: np.ndarray) -> None:
    """Draw a block (N, B, F) of numbers, the last set first, since it is behind the others."""
    n_sets, n_samples, n_features = block.shape
    height = 2 - n_samples  # where the lowest row stands: all blocks hang from the same line
    for corner in ((0, 2), (0, height), (n_features, height)) if n_sets > 1 else ():
        start, end = np.array([x, 0]) + corner, np.array([x, 0]) + corner + BEHIND
        axes.plot(*zip(start, end, strict=True), color=PALE, linewidth=0.8, linestyle=":", zorder=0)
    for n in reversed(range(n_sets)):
        for b in range(n_samples):
            for f in range(n_features):
                left, low = np.array([x + f, 1 - b]) + n * BEHIND
                cell = Rectangle((left, low), 1, 1, facecolor=OF_FEATURES[f], edgecolor=INK)
                axes.add_patch(cell)
                middle = left + 0.5, low + 0.47
                axes.text(*middle, block[n, b, f], ha="center", va="center", color=INK)


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


def write(figure: plt.Figure, name: str) -> None:
    """Write a picture without what changes from run to run."""
    date = {"Date": None} if name.endswith(".svg") else {"Software": None}
    figure.savefig(HERE / name, bbox_inches="tight", dpi=110, metadata=date, facecolor="white")
    plt.close(figure)
    print(HERE / name)


if __name__ == "__main__":
    with plt.rc_context(STYLE):
        cube()
        landscape()
        ensemble()
