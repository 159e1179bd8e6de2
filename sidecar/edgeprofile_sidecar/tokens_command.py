"""Create, list and revoke access tokens of the sidecar."""

from __future__ import annotations

import os
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeprofile import ConfigurationError, UsageError
from edgeprofile.config import load, parse_duration
from edgeprofile_sidecar import token_file
from edgeprofile_sidecar.tokens import PERMISSIONS, Token, fingerprint

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterable

    from edgeprofile import Config

__all__ = ["PREFIX", "add_arguments", "run"]

PREFIX = "ep_"
"""By which scanners of code and logs know a token."""

_RANDOM_BYTES = 32
_SAY_WHERE = ("EDGEPROFILE_CONFIG", "EDGEPROFILE_ADDRESS", "EDGEPROFILE_SIDECAR_TOKENS_FILE")


class TokenError(UsageError):
    """The token that was asked for cannot be made or found."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a token and print its value, which is not kept")
    scope = create.add_mutually_exclusive_group(required=True)
    scope.add_argument("--destination", metavar="ID", action="append", help="a destination it opens; repeatable")
    scope.add_argument("--all-destinations", action="store_true", help="it opens every destination, later ones too")
    create.add_argument("--name", help="by which it is listed and revoked (default: made up)")
    create.add_argument("--expires", metavar="DURATION", help="after which it ends, such as 90d (default: never)")
    create.add_argument(
        "--permission",
        metavar="LIST",
        default="read",
        help=f"what it permits, separated by commas: {', '.join(PERMISSIONS)} (default: read)",
    )
    create.set_defaults(action=_create)
    listing = actions.add_parser("list", help="show the tokens, without their values")
    listing.set_defaults(action=_list)
    revoke = actions.add_parser("revoke", help="end a token; a running sidecar refuses it within a second")
    revoke.add_argument("name", metavar="NAME", help="the token's name, as `list` shows it")
    revoke.set_defaults(action=_revoke)
    for action in (create, listing, revoke):
        action.add_argument("--config", metavar="FILE", help="the configuration that names sidecar.tokensFile")
        action.add_argument("--file", metavar="FILE", help="the tokens file itself, instead")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    if not (args.file or args.config or any(map(os.environ.get, _SAY_WHERE))):
        raise TokenError(
            "nothing says where the tokens file is: give --file FILE, or --config FILE with sidecar.tokensFile"
        )
    config = None if args.file else load(args.config)
    args.action(Path(args.file) if config is None else _path(config), args)
    if config is not None and args.action is _create:
        _doubt(args.destination or (), [each.id for each in config.destinations])
    return 0


def _create(path: Path, args: argparse.Namespace) -> None:
    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    token = _token(secret, args)
    token_file.update(path, lambda tokens: (*tokens, _unless_taken(token, tokens)))
    sys.stderr.write(f"token {token.name} written to {path}; its value is shown this once:\n")
    sys.stderr.flush()
    sys.stdout.write(f"{secret}\n")


def _list(path: Path, _: argparse.Namespace) -> None:
    rows = [("NAME", "DESTINATIONS", "PERMISSIONS", "CREATED", "EXPIRES"), *map(_row, token_file.load(path))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")


def _revoke(path: Path, args: argparse.Namespace) -> None:
    token_file.load(path)  # which says that there is no file, rather than making an empty one
    token_file.update(path, lambda tokens: _without(args.name, tokens))
    sys.stderr.write(f"token {args.name} revoked\n")


def _path(config: Config) -> Path:
    if not config.sidecar.tokens_file:
        raise ConfigurationError("is not set: name the file, or give --file", option="sidecar.tokensFile")
    return Path(config.sidecar.tokens_file)


def _doubt(named: Iterable[str], configured: Collection[str]) -> None:
    """Say which destinations are not configured: they may come later, or be misspelt."""
    for destination in named:
        if destination not in configured:
            known = ", ".join(configured) or "none"
            sys.stderr.write(f"mind that no destination {destination} is configured; there are: {known}\n")


def _token(secret: str, args: argparse.Namespace) -> Token:
    permissions = [word.strip() for word in args.permission.split(",")]
    for word in permissions:
        if word not in PERMISSIONS:
            raise TokenError(f'"{word}" is no permission; there are: {", ".join(PERMISSIONS)}')
    digest = fingerprint(secret)
    now = datetime.now(UTC).replace(microsecond=0)
    described = {
        "name": args.name or f"token-{digest[:8]}",
        "sha256": digest,
        "destinations": "all" if args.all_destinations else args.destination,
        "permissions": permissions,
        "created": now,
        "expires": now + timedelta(seconds=parse_duration(args.expires, option="--expires")) if args.expires else None,
    }
    try:
        return msgspec.convert(described, Token)
    except msgspec.ValidationError as reason:
        raise TokenError(f"this token cannot be made: {reason}") from None


def _unless_taken(token: Token, tokens: tuple[Token, ...]) -> Token:
    if any(token.name == other.name for other in tokens):
        raise TokenError(f"there is a token named {token.name}: choose another --name, or revoke it first")
    return token


def _without(name: str, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    left = tuple(token for token in tokens if token.name != name)
    if len(left) == len(tokens):
        known = ", ".join(token.name for token in tokens) or "none"
        raise TokenError(f"there is no token named {name}; there are: {known}")
    return left


def _row(token: Token) -> tuple[str, str, str, str, str]:
    expires = token.expires
    ended = " (ended)" if expires and expires <= datetime.now(UTC) else ""
    return (
        token.name,
        token.destinations if isinstance(token.destinations, str) else ",".join(token.destinations),
        ",".join(token.permissions),
        f"{token.created:%Y-%m-%d}",
        f"{expires:%Y-%m-%d %H:%M}Z{ended}" if expires else "never",
    )
