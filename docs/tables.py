"""Write the tables of speed from committed results: `python docs/tables.py`.

A table stands between two comments, ``<!-- speed -->`` and ``<!-- /speed -->``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ROOT / "README.md", ROOT / "docs" / "guide" / "speed.md"
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
    timings = [t for file in sorted(RESULTS.glob("*cpu*.json")) for t in _timings(file)]
    found = []
    for label, asked in ROWS.items():
        seconds = {t["contender"]: t["median"] for t in timings if _is_asked(t, asked)}
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


def with_table(text: str) -> str:
    """Return the text of a page with the table as the results say it is."""
    table = speed_table()
    return re.sub(
        r"(<!-- speed -->\n).*?(\n<!-- /speed -->)",
        lambda match: match[1] + table + match[2],
        text,
        flags=re.S,
    )


def times(ratio: float) -> str:
    """Return a ratio in two digits."""
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def _timings(file: Path) -> list[dict[str, Any]]:
    """Return the timings of a file, one of each contender."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    networks = [
        row | {"contender": name, "median": seconds}
        for row in content.get("results", [])
        for name, seconds in row.get("seconds", {}).items()
    ]
    return content.get("timings", []) + networks


def _is_asked(timing: dict[str, Any], asked: dict[str, Any]) -> bool:
    usual = {"function": "affine"}
    return all(timing.get(key, usual.get(key)) == value for key, value in asked.items())


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
