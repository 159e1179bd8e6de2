"""Say what is wrong with Redis, the way to it, the rights and the data, and what to do.

Exit code 0: all is well; 1: it works, with warnings; 2: it does not work.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from typing import TYPE_CHECKING

import msgspec

from edgeprofile.config import load, parse_duration
from edgeprofile.doctor.examination import Plan, examine
from edgeprofile.doctor.findings import exit_code
from edgeprofile.doctor.report import as_json, section_text, summary
from edgeprofile.errors import ConfigurationError, UnknownDestination

if TYPE_CHECKING:
    from edgeprofile.config import Config

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--config", metavar="FILE", help="the configuration (default: what EDGEPROFILE_CONFIG names)")
    parser.add_argument("--destination", metavar="ID", help="only this destination (default: all)")
    parser.add_argument("--audit", metavar="N", type=_count, default=0, help="read N profiles twice, and compare")
    parser.add_argument("--timeout", metavar="DURATION", default="5s", help="for each step (default: 5s)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Examine and report."""
    config = _chosen(load(args.config), args.destination)
    plan = Plan(_timeout(args.timeout), args.audit)
    # What the product would log is among the findings.
    logging.getLogger("edgeprofile").setLevel(logging.CRITICAL)
    if args.json:
        sections = list(examine(config, plan))
        sys.stdout.write(as_json(sections).decode())
        return exit_code(sections)
    return _told(config, plan)


def _told(config: Config, plan: Plan) -> int:
    """Each section as soon as it is known."""
    width, plain = shutil.get_terminal_size((120, 0)).columns, not _can_show("✓✗·→…")
    sections = []
    for section in examine(config, plan):
        sections.append(section)
        sys.stdout.write(section_text(section, width=width, plain=plain))
        sys.stdout.flush()
    sys.stdout.write(summary(sections))
    return exit_code(sections)


def _chosen(config: Config, destination: str | None) -> Config:
    if destination is None:
        return config
    chosen = tuple(each for each in config.destinations if each.id == destination)
    if not chosen:
        raise UnknownDestination(destination, tuple(each.id for each in config.destinations))
    sync = config.sync if config.sync is not None and config.sync.destination in {"", destination} else None
    return msgspec.structs.replace(config, destinations=chosen, sync=sync)


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _timeout(text: str) -> float:
    seconds = parse_duration(text, option="--timeout")
    if not seconds:
        raise ConfigurationError(
            f'"{text}" gives no step any time: write more than zero, such as "5s"', option="--timeout"
        )
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'"{text}" is no number of profiles: write 1 or more')
    return int(text)
