"""Serve profiles over HTTP, as the Activation API does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprofile.config import load

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--config", metavar="FILE", help="the configuration (default: what EDGEPROFILE_CONFIG names)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    from edgeprofile_sidecar import main  # noqa: PLC0415  # only this command needs aiohttp, and --help need not

    return main(load(args.config))
