"""Tables of what was measured."""

from __future__ import annotations

import math
from typing import Any

from contenders import OURS, UFUNC
from rounds import MODES
from tasks import Task

Timing = dict[str, Any]
_PREFIXES = ["n", "µ", "m", "", "k", "M", "G"]


def quantity(value: float, unit: str) -> str:
    """Return a quantity in three digits, with the prefix of its unit."""
    if not value:
        return f"0 {unit}"
    exponent = max(-3, min(3, math.floor(math.log10(float(f"{value:.3g}")) / 3)))
    return f"{value / 1000**exponent:.3g} {_PREFIXES[exponent + 3]}{unit}"


def _ratio(above: float | None, below: float | None) -> str:
    return f"{above / below:.2f}" if above and below else ""


def _limit(timings: list[Timing], mode: str) -> float | None:
    """Return the better fill's seconds."""
    return min((t["median"] for t in timings if t["is_limit"] and t["mode"] == mode), default=None)


def table(task: Task, timings: list[Timing], products_per_second: float | None = None) -> str:
    """Return a table of all contenders for one task.

    The limit is the better fill, or so many products a second.
    """
    n_products = task.n_products * (3 if "grad" in task.function and task.widths else 1)
    amount, unit = n_products, "Gmul/s"
    if task.written is not None:
        amount, unit = task.n_bytes, "GB/s"
    ours = UFUNC if task.function == "host" else OURS
    baseline = {t["mode"]: t["median"] for t in timings if t["contender"] == ours}
    lines = [f"\n{task}", f"{'':37}{'time':>10} {unit:>8} of limit  of ours       MB"]
    for t in sorted(timings, key=lambda t: MODES.index(t["mode"])):
        seconds, moves, peak = t["median"], t.get("moves", 1), t["extra_peak"]
        limit = _limit(timings, t["mode"])
        limit = n_products / products_per_second if products_per_second else limit
        lines.append(
            f"{t['contender']:30}{t['mode']:7}{quantity(seconds, 's'):>10}"
            f"{moves * amount / seconds / 1e9:9.2f}{_ratio(limit and moves * limit, seconds):>9}"
            f"{_ratio(seconds, baseline.get(t['mode'])):>9}"
            f"{'' if peak is None else f'{peak / 1e6:.1f}':>9}{' (fewer sets)' * t['extrapolated']}"
        )
    peers = [t for t in timings if OURS not in t["contender"] and t["mode"] == "fresh"]
    if peers and products_per_second:
        best = min(peers, key=lambda t: t["median"])
        lines.append(f"best peer: {best['contender']}, {best['median'] / baseline['fresh']:.1f}")
    return "\n".join(lines)


def table_of_conditions(task: Task, timings: list[Timing]) -> str:
    """Return a table of how long calls take by threads, pauses, and what runs beside them."""
    pauses = sorted({t["pause"] for t in timings})
    lines = [f"\n{task}, by the pause before a call"]
    lines += [f"{'':50}" + "".join(f"{quantity(pause, 's'):>12}" for pause in pauses)]
    rows: dict[tuple[Any, ...], dict[float, float]] = {}
    for t in timings:
        row = t["contender"], t["threads"], t["beside"]
        rows.setdefault(row, {})[t["pause"]] = t["median"]
    for (name, threads, beside), found in rows.items():
        label = f"{name}, {threads} thread{'s' * (threads > 1)}{f', {beside}' if beside else ''}"
        lines.append(f"{label:50}" + "".join(f"{quantity(found[p], 's'):>12}" for p in pauses))
    return "\n".join(lines)
