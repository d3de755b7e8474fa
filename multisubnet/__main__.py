"""The command line: ``python -m multisubnet info`` and ``python -m multisubnet demo``."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from multisubnet._config import show_config
from multisubnet._demo import demo
from multisubnet._dispatch import BackendUnavailable

_COMMANDS: dict[str, Callable[[], object]] = {"info": show_config, "demo": demo}


def main(arguments: list[str] | None = None) -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m multisubnet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="show versions, devices and backends")
    commands.add_parser("demo", help="evaluate 1,000 weight sets on a real data set")
    command = _COMMANDS[parser.parse_args(arguments).command]
    try:
        command()
    except (BackendUnavailable, ValueError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
