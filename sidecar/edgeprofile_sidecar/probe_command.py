"""Ask a running sidecar whether it lives, has started or is ready: for images without a shell or curl."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edgeprofile import ConfigurationError, UsageError
from edgeprofile.config import load, parse_duration, parse_listener

if TYPE_CHECKING:
    import argparse

    from edgeprofile.config import Endpoint

__all__ = ["add_arguments", "run"]

YES, NO = 0, 1

_PATHS = {"live": "/livez", "ready": "/readyz", "startup": "/startupz"}
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (what a server that listens everywhere is reached at)


class ProbeError(UsageError):
    """It cannot be told whom to ask."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("question", choices=sorted(_PATHS), help="what to ask; exit code 0 says yes, 1 says no")
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument("--url", metavar="URL", help="of the admin listener: http://host:port or unix:/path")
    whom.add_argument("--config", metavar="FILE", help="the configuration that names sidecar.adminListen")
    parser.add_argument("--timeout", metavar="DURATION", default="2s", help="for the answer (default: 2s)")


def run(args: argparse.Namespace) -> int:
    """Ask; what a sidecar that says no gives as reasons goes to standard error."""
    timeout = parse_duration(args.timeout, option="--timeout")
    endpoint = _of_url(args.url) if args.url else _of_config(args.config)
    try:
        status, body = _ask(endpoint, _PATHS[args.question], timeout)
    except (OSError, http.client.HTTPException) as reason:
        where = endpoint if isinstance(endpoint, str) else "{}:{}".format(*endpoint)
        sys.stderr.write(f"no answer from {where}: {reason}\n")
        return NO
    if status == http.client.OK:
        return YES
    sys.stderr.write(f"{_reasons(status, body)}\n")
    return NO


def _of_url(url: str) -> Endpoint:
    if url.startswith("unix:"):
        return url.removeprefix("unix:")
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or not parts.port:
        raise ProbeError(f'"{url}" names no listener: write http://host:port or unix:/path')
    return parts.hostname, parts.port


def _of_config(path: str | None) -> Endpoint:
    address = load(path).sidecar.admin_listen
    if not address:
        raise ConfigurationError("is empty: this sidecar answers no probes", option="sidecar.adminListen")
    endpoint = parse_listener(address)
    return endpoint if isinstance(endpoint, str) else (_EVERYWHERE.get(endpoint[0], endpoint[0]), endpoint[1])


def _ask(endpoint: Endpoint, path: str, seconds: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("sidecar", timeout=seconds)
    connection.sock = _connected(endpoint, seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _connected(endpoint: Endpoint, seconds: float) -> socket.socket:
    if not isinstance(endpoint, str):
        return socket.create_connection(endpoint, seconds)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(seconds)
    try:
        made.connect(endpoint)
    except OSError:
        made.close()
        raise
    return made


def _reasons(status: int, body: bytes) -> str:
    try:
        reasons = json.loads(body)["reasons"]
    except (ValueError, KeyError, TypeError):
        reasons = ()
    return "; ".join(reasons) or f"the answer is {status}"
