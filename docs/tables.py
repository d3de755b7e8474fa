"""Write the measurements in the pages from committed results: `python docs/tables.py`.

A table or paragraph stands between comments, such as ``<!-- speed -->`` and ``<!-- /speed -->``.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))
PEERS = {  # by column: how results call them, those of affine and those of networks
    "torch.compile": ("torch.compile", "torch.baddbmm, compiled"),
    "JAX": ("jax.jit(jax.vmap)", "jax.jit(vmap(vmap(vmap)))", "jax.jit(vmap(value_and_grad))"),
    "NumPy": ("NumPy expression",),
    "Keras `predict`": ("Keras predict per set",),
}
_AFFINE = {"size": [1000, 569, 30], "function": "affine", "mode": "fresh"}
_AFFINE |= {"activation": None, "loss": None}
_NETWORKS = {"size": [100, 569, 30, [1, 16, 16, 1]]}
# What is measured, and what is asked of its result.
ROWS: dict[str, dict[str, Any]] = {
    "`affine`, 1,000 sets: outputs": _AFFINE,
    "- into the same array again": _AFFINE | {"mode": "reused"},
    "- squared loss of tanh": _AFFINE
    | {"function": "mean_loss", "loss": "squared_error", "activation": "tanh"},
    "- Huber loss and gradient": _AFFINE | {"function": "mean_loss_and_grad", "loss": "huber"},
    "`mlp` 1-16-16-1, 100 sets: outputs": _NETWORKS | {"function": "outputs"},
    "- squared loss": _NETWORKS | {"function": "loss"},
    "- squared loss and gradient": _NETWORKS | {"function": "gradient"},
}


class Row(NamedTuple):
    """Our seconds for a task, and by how much longer others take, by column."""

    label: str
    seconds: float
    ratios: dict[str, float]


def rows() -> list[Row]:
    """Return the rows of the table, of the tasks of which there are results."""
    found = []
    for label, asked in ROWS.items():
        timings = _newest(functools.partial(_is_asked, asked=asked))
        seconds = {t["contender"]: t["median"] for t in timings}
        if not seconds:
            continue
        ours = seconds["multisubnet"]
        ratios = {
            column: seconds[name] / ours
            for column, names in PEERS.items()
            for name in names
            if name in seconds
        }
        found.append(Row(label, ours, ratios))
    return found


def speed_table() -> str:
    """Return the table: milliseconds, and by how much longer others take."""
    lines = [
        f"| 569 samples, 30 features | multisubnet | {' | '.join(PEERS)} |",
        f"|---|{'--:|' * (1 + len(PEERS))}",
    ]
    for row in rows():
        ratios = [times(row.ratios[name]) if name in row.ratios else "" for name in PEERS]
        lines.append(f"| {row.label} | {row.seconds * 1e3:.1f} ms | {' | '.join(ratios)} |")
    return "\n".join(lines)


def limit() -> str:
    """Return how near to the limit large results of `affine` come."""
    of_size: dict[int, dict[str, float]] = {}
    for t in _newest(lambda t: _is_large(t) and _is_asked(t, _AFFINE | {"size": t["size"]})):
        name = "limit" if t.get("is_limit") else t["contender"]
        seconds = of_size.setdefault(_n_bytes(t), {})
        seconds[name] = min(t["median"], seconds.get(name, math.inf))
    reached = [seconds["limit"] / seconds["multisubnet"] for seconds in of_size.values()]
    return (
        f"Large float32 results ({_span(n / 1e6 for n in of_size)} MB) reach "
        f"{min(reached):.2f} to {max(reached):.2f} of this limit on two cores."
    )


def sweep() -> str:
    """Return how networks compare with the faster of PyTorch and JAX on a grid of sizes."""
    narrow, wide, widths = [], [], []
    for result in _read(RESULTS / "networks-sweep.json")["results"]:
        seconds = dict(result["seconds"])
        ours = seconds.pop("multisubnet")
        ratio = min(seconds.values()) / ours
        width = max(result["size"][3])
        if width > 128:
            wide.append(ratio)
            widths.append(width)
        else:
            narrow.append(ratio)
    faster = sum(ratio > 1 for ratio in narrow)
    return (
        f"In a sweep over {len(narrow)} sizes of up to 128 units, `mlp` was faster than PyTorch "
        f"and JAX in {'all' if faster == len(narrow) else faster},\nby a factor of at least "
        f"{min(narrow):.2f}. With {_span(widths)} units, the faster of the two took "
        f"{min(wide):.2f} to {max(wide):.2f} times as long as `mlp`."
    )


def training() -> str:
    """Return the table of a step of training."""
    seconds = _read(RESULTS / "training-cpu.json")["seconds"]
    ours = min(seconds.values())
    rows = [f"| {name} | {1e3 * s:.0f} ms | {times(s / ours)} |" for name, s in seconds.items()]
    return "\n".join(["| one step of Adam | time | over the fastest |", "|---|--:|--:|", *rows])


def keras() -> str:
    """Return the table of Keras' predict, of the newest results with each backend."""
    backends = {"jax": "JAX", "torch": "PyTorch", "tensorflow": "TensorFlow"}
    measured: dict[str, dict[str, float]] = {}
    for name, title in backends.items():
        for file in _by_date(f"cpu-keras-{name}-*.json")[-1:]:
            measured[title] = {t["contender"]: t["median"] for t in _timings(file)}
    lines = [
        f"| time over that of `WeightSets.predict` | {' | '.join(measured)} |",
        f"|---|{'--:|' * len(measured)}",
    ]
    for label, name in {
        "`predict` of a layer that broadcasts": "layer that broadcasts",
        "`predict` of `StackedAffine`": "StackedAffine",
        "`predict` of a model per set": "Keras predict per set",
    }.items():
        ratios = [times(of[name] / of["multisubnet"]) for of in measured.values()]
        lines.append(f"| {label} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def threads() -> str:
    """Return the table of one and several threads, by the pause before a call."""
    rows: dict[str, dict[str, list[str]]] = {}
    for t in _timings(_by_date("cpu-threads-*.json")[-1]):
        name, _, pause, *beside = map(str.strip, t["contender"].split(","))
        if name == "multisubnet":
            label = f"`{t['function']}`" + (f", {t['loss']}" if t["loss"] else "")
            size = ", ".join(map(str, t["size"]))
            row = rows.setdefault(", ".join([label, f"({size})", *beside]), {})
            row.setdefault(pause, []).append(f"{1e6 * t['median']:.0f}")
    pauses = next(iter(rows.values()))
    lines = [f"| call | {' | '.join(pauses)} |", f"|---|{'---|' * len(pauses)}"]
    for label, cells in rows.items():
        lines.append(f"| {label} | {' | '.join(map(', '.join, cells.values()))} |")
    return "\n".join(lines)


def activations() -> str:
    """Return the table that accuracy/speed.py prints."""
    return (ROOT / "accuracy" / "results" / "speed.md").read_text(encoding="utf-8").strip()


WRITTEN: dict[str, Callable[[], str]] = {
    f.__name__: f for f in (limit, sweep, training, keras, threads, activations)
} | {"speed": speed_table}


def updated(text: str) -> str:
    """Return the text of a page with measurements as the results say they are."""
    return re.sub(
        r"(<!-- (\w+) -->\n).*?(\n<!-- /\2 -->)",
        lambda match: match[1] + WRITTEN[match[2]]() + match[3],
        text,
        flags=re.S,
    )


def times(ratio: float) -> str:
    """Return a ratio in two digits."""
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def _span(numbers: Iterable[float]) -> str:
    """Return the least and the largest number."""
    numbers = list(numbers)
    return f"{min(numbers):,.0f} to {max(numbers):,.0f}"


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _by_date(pattern: str) -> list[Path]:
    """Return the files of results, the newest last."""
    return sorted(RESULTS.glob(pattern), key=lambda file: (_read(file)["date"], file.name))


def _newest(is_wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Return the wanted timings of the newest file that has any, so never of two machines."""
    files = [file for file in _by_date("*cpu*.json") if not file.name.startswith("cpu-threads-")]
    for file in reversed(files):
        found = [t for t in _timings(file) if is_wanted(t)]
        if found:
            return found
    return []


def _timings(file: Path) -> list[dict[str, Any]]:
    """Return the timings of a file, one of each contender."""
    content = _read(file)
    networks = [
        row | {"contender": name, "median": seconds}
        for row in content.get("results", [])
        for name, seconds in row.get("seconds", {}).items()
    ]
    return content.get("timings", []) + networks


def _n_bytes(timing: dict[str, Any]) -> int:
    """Return the size of the float32 result of a timing."""
    return 4 * math.prod(timing["size"][:3])


def _is_large(timing: dict[str, Any]) -> bool:
    return _n_bytes(timing) > 6e7


def _is_asked(timing: dict[str, Any], asked: dict[str, Any]) -> bool:
    usual = {"function": "affine"}
    return all(timing.get(key, usual.get(key)) == value for key, value in asked.items())


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")
