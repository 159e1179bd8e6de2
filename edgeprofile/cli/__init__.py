"""The command line: ``edgeprofile COMMAND …``.

Each command is a row of `COMMANDS` and a module of its own with ``add_arguments(parser)`` and ``run(args) -> int``.
Only the module of the command that was called is imported, so that ``edgeprofile --help`` is quick and works without
any extra. Exit codes are the commands' own, apart from 2 (an error, said in a line) and 130 (Ctrl-C).
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from edgeprofile._version import __version__
from edgeprofile.errors import EdgeProfileError, UsageError
from edgeprofile.speedups import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "Command", "CommandModule", "MissingExtra", "main"]

FAILED = 2
INTERRUPTED = 130

_OURS = ("", "edgeprofile", "edgeprofile_sidecar")


class Command(NamedTuple):
    """A row of the table: the command's name, its module, one line about it, and the extra that it needs."""

    name: str
    module: str
    summary: str
    extra: str | None = None


class CommandModule(Protocol):
    """What the module of a command provides."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit code. May raise any `EdgeProfileError`, which becomes a line and exit code 2."""


COMMANDS = (
    Command("get", "edgeprofile.cli.get", "print one profile as JSON"),
    Command(
        "sidecar", "edgeprofile_sidecar.command", "serve profiles over HTTP, as the Activation API does", "sidecar"
    ),
    Command(
        "probe", "edgeprofile_sidecar.probe_command", "ask a running sidecar whether it lives or is ready", "sidecar"
    ),
    Command(
        "token", "edgeprofile_sidecar.tokens_command", "create, list and revoke access tokens of the sidecar", "sidecar"
    ),
    Command("sync", "edgeprofile.reverse_etl.command", "bring profiles from the warehouse to Redis", "sync"),
    Command("doctor", "edgeprofile.doctor.command", "say what is wrong with Redis, rights and data, and what to do"),
    Command("demo", "edgeprofile.demo.command", "see it work, from a sample warehouse to live figures", "all"),
)


class MissingExtra(UsageError):
    """A command was called whose dependencies are not installed."""

    def __init__(self, command: Command, missing: str) -> None:
        super().__init__(
            f"{command.name} needs {missing}, which is not installed: pip install 'edgeprofile[{command.extra}]'"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; ``argv`` stands in for ``sys.argv[1:]``. Returns the exit code."""
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()
    except EdgeProfileError as error:
        sys.stderr.write(f"edgeprofile: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left. Without this, the flush at exit would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _run(argv: Sequence[str]) -> int:
    called = next((command for command in COMMANDS if command.name == _first_word(argv)), None)
    parser = argparse.ArgumentParser(prog="edgeprofile", description="Customer traits in the process that needs them.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    parsers = {command: commands.add_parser(command.name, help=command.summary) for command in COMMANDS}
    if called is None:
        parser.parse_args(argv)
        return FAILED
    try:
        module = cast("CommandModule", importlib.import_module(called.module))
        parsers[called].description = (module.__doc__ or "").partition("\n\n")[0]
        module.add_arguments(parsers[called])
        return module.run(parser.parse_args(argv))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if called.extra is None or missing in _OURS:
            raise
        raise MissingExtra(called, missing) from error


def _first_word(argv: Sequence[str]) -> str | None:
    return next((word for word in argv if not word.startswith("-")), None)


def _version() -> str:
    kind = "pure" if compiled is None else "compiled"
    return f"edgeprofile {__version__}, {kind} (Python {platform.python_version()})"
