"""What the benchmarks take from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from tasks import Size


def parser(description: str | None, groups: Iterable[str]) -> argparse.ArgumentParser:
    """Return a parser of the options that all of them have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds")
    parser.add_argument("--only", nargs="+", choices=groups, help="only these functions")
    parser.add_argument("--sizes", nargs="+", type=_size, metavar="N,B,F", help="only these sizes")
    parser.add_argument("--results", type=Path, metavar="DIR", help="where to write results")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the options; what a full run finds is written to where the results are."""
    arguments = parser.parse_args()
    if not (arguments.results or arguments.quick or arguments.only or arguments.sizes):
        arguments.results = Path(__file__).parent / "results"
    return arguments


def _size(text: str) -> Size:
    n_sets, n_samples, n_features = map(int, text.split(","))
    return n_sets, n_samples, n_features
