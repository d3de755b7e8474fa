"""Tables, a JSON file and a plot of what was measured."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from contenders import NUMPY, OURS
from rounds import MODES
from tasks import Task

Timing = dict[str, Any]

_NUMPY_ALONE = "multisubnet, NumPy alone"
_PREFIXES = ["n", "µ", "m", "", "k", "M", "G"]
_TITLES = {"reused": "into a result that is reused", "fresh": "into a fresh result"}


def n_bytes(size: tuple[int, ...], dtype: str = "float32") -> int:
    """Return the bytes of a result."""
    return np.dtype(dtype).itemsize * math.prod(size)


def limits(timings: list[Timing]) -> dict[tuple[tuple[int, ...], str], float]:
    """Return the better fill's seconds for each size and mode."""
    best: dict[tuple[tuple[int, ...], str], float] = {}
    for timing in timings:
        if timing["is_limit"]:
            key = tuple(timing["size"]), timing["mode"]
            best[key] = min(best.get(key, math.inf), timing["median"])
    return best


def table(task: Task, timings: list[Timing]) -> str:
    """Return a table of all contenders for one task."""
    limit = limits(timings)
    by_place = {(timing["contender"], timing["mode"]): timing for timing in timings}
    names = dict.fromkeys(timing["contender"] for timing in timings)
    modes = [mode for mode in MODES if any(timing["mode"] == mode for timing in timings)]
    amount, unit = _work(task)
    of_limit = f"{'limit':>6} " if limit else ""
    has_memory = any(timing["extra_peak"] is not None for timing in timings)
    columns = f"{'time':>10} {unit:>7} {of_limit}{'ours':>7} {'MB':>8} "
    if not has_memory:
        columns = columns.removesuffix(f"{'MB':>8} ")
    lines = [f"\n{task}, {quantity(amount, unit[1:].removesuffix('/s'))}"]
    if task.written:
        heads = (f"| {_TITLES[mode]:^{len(columns)}}" for mode in modes)
        lines.append(f"{'':27}" + "".join(heads))
    lines.append(f"{'':27}" + f"| {columns}" * len(modes))
    for name in names:
        cells = ""
        for mode in modes:
            timing = by_place.get((name, mode))
            if timing is None:
                cells += "| " + " " * len(columns)
                continue
            seconds = timing["median"]
            ours = by_place.get((OURS, mode))
            moves = timing.get("moves", 1)
            speed = moves * amount / seconds / 1e9
            cells += f"| {quantity(seconds, 's'):>10} {speed:7.2f} "
            if limit:
                cells += f"{_ratio(moves * limit.get((task.size, mode), 0), seconds):>6} "
            cells += f"{_ratio(seconds, ours and ours['median']):>7}{' ' * has_memory}"
            cells += f"{_megabytes(timing):>8}" * has_memory
            cells += "*" if timing["extrapolated"] else " "
        lines.append(f"{name:27}{cells}")
    lines.append(
        "limit: of the better fill's speed; " * bool(limit)
        + "ours: time over multisubnet's"
        + "; MB: a call's peak over what was there before" * has_memory
    )
    if any(timing["extrapolated"] for timing in timings):
        lines.append("* extrapolated from fewer sets")
    return "\n".join(lines)


def _work(task: Task) -> tuple[int, str]:
    """Return how much is written, or else evaluated, and the unit of its speed."""
    if task.written:
        return n_bytes(task.written, task.dtype), "GB/s"
    return math.prod(task.size), "Gelem/s"


def smallest_call(timings: list[Timing]) -> str:
    """Return what a call of affine costs at the smallest size that was measured."""
    timings = _linear_affine(timings)
    size = min((tuple(timing["size"]) for timing in timings), key=math.prod)
    parts = []
    for mode in MODES:
        median = {
            timing["contender"]: timing["median"]
            for timing in timings
            if (tuple(timing["size"]), timing["mode"]) == (size, mode)
        }
        calls = [
            f"{name} {median[name] * 1e9:.0f} ns ({median[name] / median[NUMPY]:.2f})"
            for name in (NUMPY, OURS, _NUMPY_ALONE)
            if name in median
        ]
        parts.append(f"  {mode}: " + ", ".join(calls))
    return "\n".join([f"\nsmallest call, {size} (over NumPy's):", *parts])


def _linear_affine(timings: list[Timing]) -> list[Timing]:
    """Return the timings of affine alone, as it is called without options, in float32.

    Before there were others, all were.
    """
    plain = {"function": "affine", "activation": None, "dtype": "float32", "set_axis": 0}
    return [
        timing
        for timing in timings
        if all(timing.get(name, value) == value for name, value in plain.items())
    ]


def save(results: dict[str, Any], path: Path) -> None:
    """Write everything to a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw bytes per second over the size of the result, a panel for each mode."""
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    timings = _linear_affine(results["timings"])
    names = [timing["contender"] for timing in timings if not timing["is_limit"]]
    colors = dict(zip(dict.fromkeys(names), plt.get_cmap("tab20").colors, strict=False))
    modes = [mode for mode in MODES if any(timing["mode"] == mode for timing in timings)]
    shape = {"figsize": (2.5 + 6.25 * len(modes), 7), "sharey": True, "squeeze": False}
    figure, (panels,) = plt.subplots(1, len(modes), layout="constrained", **shape)
    for panel, mode in zip(panels, modes, strict=True):
        _draw(panel, [timing for timing in timings if timing["mode"] == mode], colors)
        panel.set_title(_TITLES[mode].capitalize())
        panel.set_xlabel("size of the result")
    panels[0].set_ylabel("written per second")
    machine = results["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores"
    if "gpu" in machine:
        where = machine["gpu"]["name"]
    formula = "out[n, b, f] = samples[b, f] * weight[n, f] + bias[n, f]"
    between = "\n" if len(modes) == 1 else ", "
    figure.suptitle(f"{formula}, float32{between}{where}, {results['date']}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw(panel: Any, timings: list[Timing], colors: dict[str, Any]) -> None:
    from matplotlib.ticker import FuncFormatter

    def line(points: dict[tuple[int, ...], float]) -> tuple[list[float], list[float]]:
        sizes = sorted(points, key=n_bytes)
        return [n_bytes(s) for s in sizes], [n_bytes(s) / points[s] for s in sizes]

    ends: dict[str, tuple[float, Any]] = {}
    limit = {size: seconds for (size, _), seconds in limits(timings).items()}
    if limit:
        x, y = line(limit)
        panel.plot(x, y, color="black", linestyle="--", linewidth=1.5, zorder=4)
        ends["the machine's limit (a fill)"] = y[-1], "black"
    for name, color in colors.items():
        own = [timing for timing in timings if timing["contender"] == name]
        if not own:
            continue
        x, y = line({tuple(t["size"]): t["median"] / t.get("moves", 1) for t in own})
        style = {"linewidth": 1, "markersize": 4, "alpha": 0.8}
        if name == OURS:
            color, style = "crimson", {"linewidth": 3, "markersize": 8, "zorder": 5}
        panel.plot(x, y, color=color, marker="o", **style)
        mark = " (extrapolated)" if any(timing["extrapolated"] for timing in own) else ""
        ends[name + mark] = y[-1], color

    panel.set(xscale="log", yscale="log")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: quantity(value, "B")))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: quantity(value, "B/s")))
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.2)
    _label(panel, ends, max(n_bytes(timing["size"]) for timing in timings))


def _label(panel: Any, ends: dict[str, tuple[float, Any]], x: float) -> None:
    """Write the names at the right ends of the lines, moved apart where they would overlap."""
    panel.figure.canvas.draw()
    to_axes = panel.transAxes.inverted()
    height = 0.032
    place = math.inf
    places = []
    for name, (y, color) in sorted(ends.items(), key=lambda end: -end[1][0]):
        at_x, at_y = to_axes.transform(panel.transData.transform((x, y)))
        place = min(at_y, place - height)
        places.append((name, color, at_x, at_y, place))
    for name, color, at_x, at_y, place in places:
        panel.annotate(
            name,
            (at_x, at_y),
            (at_x + 0.05, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=color,
            weight="bold" if name == OURS else "normal",
            fontsize=9,
            va="center",
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.5},
            annotation_clip=False,
        )


def _ratio(above: float | None, below: float | None) -> str:
    return f"{above / below:.2f}" if above and below else ""


def _megabytes(timing: Timing) -> str:
    return "" if timing["extra_peak"] is None else f"{timing['extra_peak'] / 1e6:.1f}"


def quantity(value: float, unit: str) -> str:
    """Return a quantity in three digits, with the prefix of its unit."""
    if not value:
        return f"0 {unit}"
    exponent = max(-3, min(3, math.floor(math.log10(float(f"{value:.3g}")) / 3)))
    return f"{value / 1000**exponent:.3g} {_PREFIXES[exponent + 3]}{unit}"
