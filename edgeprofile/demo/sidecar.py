"""The sidecar: a process of its own, with a configuration and a token made for this demo."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgeprofile.demo import people
from edgeprofile.demo.errors import DemoError

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprofile.demo.processes import Child, Household

__all__ = ["Sidecar", "Starting", "question", "request", "start"]

_NAME = "the sidecar"
_START_TIMEOUT = 30.0


class Sidecar(NamedTuple):
    """A running sidecar: where it listens (``host:port``), a token for it, and the file that holds the token."""

    address: str
    token: str
    token_file: Path


class _Addresses(msgspec.Struct):
    listen: tuple[str, ...]


class Starting(NamedTuple):
    """A sidecar on its way, which takes about a second."""

    child: Child
    token: str
    token_file: Path

    def listening(self) -> Sidecar:
        """Wait until it listens. Raises `DemoError`."""
        try:
            line = self.child.line(_START_TIMEOUT)
        except DemoError as error:
            raise DemoError(f"{_NAME} did not start: {self.child.last_words()}") from error
        if line is None:
            raise DemoError(f"{_NAME} does not listen after {_START_TIMEOUT:g} s: {self.child.last_words()}")
        addresses = msgspec.json.decode(line, type=_Addresses)
        return Sidecar(addresses.listen[0], self.token, self.token_file)


def start(house: Household, config: Path) -> Starting:
    """Start ``edgeprofile sidecar``."""
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
    return Starting(house.spawn(_NAME, command), token, token_file)


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
