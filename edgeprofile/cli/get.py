"""Print one profile as JSON, as it stands in Redis. Exit code 0: found; 1: there is none; 2: it could not be asked."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import msgspec

from edgeprofile.client import Client
from edgeprofile.config import load, parse_duration

if TYPE_CHECKING:
    import argparse

    from edgeprofile.config import Config
    from edgeprofile.profile import Profile

__all__ = ["add_arguments", "run"]

FOUND, ABSENT = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("entity", metavar="ENTITY", help="the entity, such as user")
    parser.add_argument("id_type", metavar="ID_TYPE", help="the type of the id, such as email")
    parser.add_argument("value", metavar="VALUE", help="the id itself; after -- if it begins with a hyphen")
    parser.add_argument("--destination", metavar="ID", help="which destination, where several are configured")
    parser.add_argument("--model", metavar="NAME", help="the traits of one model only")
    parser.add_argument("--timeout", metavar="DURATION", help="how long to wait, such as 5s (default: limits.timeout)")
    parser.add_argument("--config", metavar="FILE", help="the configuration (default: what EDGEPROFILE_CONFIG names)")


def run(args: argparse.Namespace) -> int:
    """Look the profile up and print it."""
    timeout = parse_duration(args.timeout, option="--timeout") if args.timeout else None
    config = load(args.config)
    # One lookup does without the feed, and what stands in its own way is raised.
    logging.getLogger("edgeprofile").setLevel(logging.CRITICAL)
    with Client(config) as client:
        profile = client.get(args.entity, args.id_type, args.value, destination=args.destination, timeout=timeout)
    found = None if profile is None else _selected(profile.json, args.model)
    if found is None:
        sys.stderr.write(f"edgeprofile: {_lacking(profile, args, config)}\n")
        return ABSENT
    sys.stdout.buffer.write(msgspec.json.format(found, indent=2) + b"\n")
    return FOUND


def _lacking(profile: Profile | None, args: argparse.Namespace, config: Config) -> str:
    """What there is none of, without the id."""
    if profile is None:
        return f"destination {args.destination or config.destinations[0].id} has no such profile"
    return f"the profile has no model {args.model}; it has: {', '.join(profile) or 'none'}"


def _selected(profile: bytes, model: str | None) -> bytes | None:
    """The JSON of the profile or of one of its models, digit by digit as it came from Redis."""
    if model is None:
        return profile
    models = msgspec.json.decode(profile, type=dict[str, msgspec.Raw])
    return bytes(models[model]) if model in models else None
