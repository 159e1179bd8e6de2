"""The sidecar: a process of its own, with a configuration and a token made for this demo."""

from __future__ import annotations

import argparse
import contextlib
import io
import select
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgeprofile.demo import people
from edgeprofile.demo.errors import DemoError

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprofile.demo.processes import Child, Household
    from edgeprofile.demo.server import Server

__all__ = ["Sidecar", "question", "request", "start"]

_NAME = "the sidecar"
_START_TIMEOUT = 30.0
_CONFIGURATION = """\
[[destinations]]
id = "{destination}"
workspaceId = "{workspace}"
type = "REDIS"

[destinations.config]
address = "{address}"
clusterMode = false

[limits]
timeout = "10s"
connectTimeout = "10s"

[sidecar]
listen = ["127.0.0.1:0"]
adminListen = ""
tokensFile = "tokens.json"
drainTimeout = "1s"
"""


class Sidecar(NamedTuple):
    """A running sidecar: where it listens (``host:port``), a token for it, and the file that holds the token."""

    address: str
    token: str
    token_file: Path


class _Addresses(msgspec.Struct):
    listen: tuple[str, ...]


def start(house: Household, server: Server) -> Sidecar:
    """Start ``edgeprofile sidecar`` and return when it listens. Raises `DemoError`."""
    config = house.directory / "edgeprofile.toml"
    config.write_text(
        _CONFIGURATION.format(destination=people.DESTINATION, workspace=people.WORKSPACE, address=server.address)
    )
    token, token_file = _create_token(house.directory / "tokens.json"), house.directory / "token"
    token_file.write_text(token)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "edgeprofile",
        "sidecar",
        "--config",
        config,
        "--print-addresses",
    ]
    child = house.spawn(_NAME, command)
    addresses = msgspec.json.decode(_first_line(child), type=_Addresses)
    return Sidecar(addresses.listen[0], token, token_file)


def question(email: str) -> bytes:
    """The body of a request for this user."""
    asked = {
        "entity": people.ENTITY,
        "destinationId": people.DESTINATION,
        "id": {"type": people.ID_TYPE, "value": email},
    }
    return msgspec.json.encode(asked)


def request(address: str, token: str, email: str) -> bytes:
    """A whole request for this user, as it goes over the wire."""
    body = question(email)
    head = (
        f"POST /v1/activation HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _create_token(path: Path) -> str:
    """What ``edgeprofile token create`` prints."""
    from edgeprofile_sidecar import tokens_command  # noqa: PLC0415 -- an extra, looked for when the demo starts

    parser = argparse.ArgumentParser()
    tokens_command.add_arguments(parser)
    words = ["create", "--destination", people.DESTINATION, "--name", "demo", "--file", str(path)]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        tokens_command.run(parser.parse_args(words))
    return printed.getvalue().strip()


def _first_line(child: Child) -> bytes:
    received = b""
    deadline = time.monotonic() + _START_TIMEOUT
    while not received.endswith(b"\n"):
        readable, _, _ = select.select([child.output], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise DemoError(f"{child.name} does not listen after {_START_TIMEOUT:g} s: {child.last_words()}")
        piece = child.output.read(1 << 12)
        if not piece:
            child.process.wait()
            raise DemoError(f"{child.name} did not start: {child.last_words()}")
        received += piece
    return received
