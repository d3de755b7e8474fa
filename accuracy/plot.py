"""Draw the errors of the activations in float32: the worst in each of many intervals of x.

    python accuracy/plot.py errors.png
    python accuracy/plot.py derivatives.png --derivatives

Errors beyond an axis are drawn at its end; the title of a panel has the largest.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from errors import ACTIVATIONS, Result, bound, measure
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_LINEAR = 0.1  # the axis of x is linear well below, logarithmic well above
_EDGES = np.sinh(np.linspace(-1, 1, 402) * np.arcsinh(150 / _LINEAR)) * _LINEAR  # even on that axis
_MOST = 1 << 16  # numbers in an interval


def main() -> None:
    """Draw a panel for each activation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="the image to write")
    parser.add_argument("--derivatives", action="store_true", help="those of the derivatives")
    arguments = parser.parse_args()
    figure = Figure(figsize=(14, 10), layout="constrained")
    panels = figure.subplots(4, 4, sharex=True, sharey=True)
    intervals = [_between(*ends) for ends in pairwise(_EDGES)]
    for panel, name in zip(panels.flat, ACTIVATIONS, strict=True):
        results = [measure(name, arguments.derivatives, x) for x in intervals]
        _draw(panel, name, results, bound(name, arguments.derivatives))
    ticks = [-100, -10, -1, 0, 1, 10, 100]
    panel.set_xscale("asinh", linear_width=_LINEAR)
    panel.set_xticks(ticks, map(str, ticks))
    panel.set(xlim=(_EDGES[0], _EDGES[-1]), ylim=(-4.5, 4.5))
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.supylabel("ulp")
    subject = "the activations' derivatives" if arguments.derivatives else "the activations"
    figure.suptitle(f"The worst error of {subject} in float32, in each of many intervals of x")
    figure.savefig(arguments.file, dpi=110)


def _draw(panel: Axes, name: str, results: list[Result], limit: int) -> None:
    for kind, color in (("normal", "tab:blue"), ("subnormal", "tab:orange")):
        errors = [getattr(result, kind) for result in results if getattr(result, kind).ulp]
        x, ulp = [error.x for error in errors], [error.ulp for error in errors]
        panel.scatter(x, np.clip(ulp, -4.4, 4.4), 3, color, label=f"{kind} results")
    for y in (-limit, limit):
        panel.axhline(y, color="tab:red", linewidth=0.8, label="bound" if y > 0 else None)
    worst = max(abs(result.largest.ulp) for result in results)
    panel.set_title(f"{name}: {worst:.2f}", loc="left", fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.2)


def _between(low: float, high: float) -> np.ndarray:
    """Return the float32 numbers from low to high, or _MOST and some evenly among them."""
    first, last = (_place(np.float32(end)) for end in (low, high))
    places = np.arange(first, last, max(1, (last - first) // _MOST))
    bits = np.where(places < 0, -places | 1 << 31, places)
    return bits.astype(np.uint32).view(np.float32)


def _place(x: np.float32) -> int:
    """Return where a number stands among all numbers in their order, counted from zero."""
    magnitude = int(np.abs(x).view(np.int32))
    return -magnitude if x < 0 else magnitude


if __name__ == "__main__":
    main()
