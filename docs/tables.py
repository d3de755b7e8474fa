"""Write the tables of speed from committed results: `python docs/tables.py`.

A table stands between two comments, ``<!-- speed -->`` and ``<!-- /speed -->``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ROOT / "README.md", ROOT / "docs" / "guide" / "speed.md"
SIZE = [1000, 569, 30]
PEERS = {
    "torch.compile": "torch.compile",
    "JAX": "jax.jit(jax.vmap)",
    "NumPy": "NumPy expression",
    "Keras `predict`": "Keras predict per set",
}
# What is measured, and where its result goes.
ROWS: dict[str, dict[str, Any]] = {
    "`affine`, new array": {"mode": "fresh"},
    "`affine`, reused array": {"mode": "reused"},
    "`affine` with tanh, new array": {"mode": "fresh", "activation": "tanh"},
    "`mean_loss`, huber": {"function": "mean_loss", "loss": "huber"},
    "`mean_loss`, squared error of tanh": {
        "function": "mean_loss",
        "loss": "squared_error",
        "activation": "tanh",
    },
    "`mean_loss_and_grad`, huber": {"function": "mean_loss_and_grad", "loss": "huber"},
}


def speed_table() -> str:
    """Return the table: milliseconds, and by how much longer others take."""
    timings = [t for file in sorted(RESULTS.glob("cpu-*.json")) for t in _timings(file)]
    lines = [
        f"| {SIZE[0]:,} sets, {SIZE[1]} samples, {SIZE[2]} features | here | {' | '.join(PEERS)} |",
        f"|---|{'--:|' * (1 + len(PEERS))}",
    ]
    for label, asked in ROWS.items():
        found = {t["contender"]: t["median"] for t in timings if _is_asked(t, asked)}
        ours = found["multisubnet"]
        ratios = [_times(found[name] / ours) if name in found else "" for name in PEERS.values()]
        lines.append(f"| {label} | {ours * 1e3:.1f} ms | {' | '.join(ratios)} |")
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


def _timings(file: Path) -> list[dict[str, Any]]:
    timings: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["timings"]
    return timings


def _is_asked(timing: dict[str, Any], asked: dict[str, Any]) -> bool:
    wanted = {"function": "affine", "activation": None, "loss": None, "mode": "fresh"} | asked
    return timing["size"] == SIZE and all(
        timing.get(key, "affine" if key == "function" else None) == value
        for key, value in wanted.items()
    )


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
