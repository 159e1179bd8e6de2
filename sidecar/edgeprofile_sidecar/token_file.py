"""The tokens file: read, followed while the sidecar runs, and written by the ``token`` command."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
from typing import TYPE_CHECKING

from edgeprofile import ConfigurationError
from edgeprofile_sidecar import tokens as codec
from edgeprofile_sidecar.files import replace
from edgeprofile_sidecar.followed import Followed
from edgeprofile_sidecar.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgeprofile_sidecar.tokens import Token

__all__ = ["TokenFile", "load", "update"]


class TokenFile(Followed[Tokens]):
    """The tokens of a file as they stand now; a file that turns bad leaves the last good ones in force.

    Raises `ConfigurationError` when it is absent or no tokens file at first.
    """

    def __init__(self, path: Path) -> None:
        super().__init__("tokens", (path,), lambda: Tokens(load(path)))


def load(path: Path) -> tuple[Token, ...]:
    """Read a tokens file.

    Raises:
        ConfigurationError: It is absent, unreadable or no tokens file.
    """
    try:
        return codec.parse(path.read_bytes())
    except FileNotFoundError:
        make = f"edgeprofile token create --destination ID --file {shlex.quote(str(path))}"
        raise _wrong(path, f"does not exist: make a token with `{make}`") from None
    except (OSError, ValueError) as reason:
        raise _wrong(path, f"cannot be used: {reason}") from reason


def update(path: Path, change: Callable[[tuple[Token, ...]], tuple[Token, ...]]) -> None:
    """Replace a tokens file in one step by what ``change`` makes of its tokens; only its owner may read it.

    Two commands at once wait for each other. A file that does not exist has no tokens.

    Raises:
        ConfigurationError: It cannot be read or written, or is no tokens file.
    """
    path = path.resolve()
    try:
        with _locked(path.parent):
            replace(path, codec.dump(change(load(path) if path.exists() else ())))
    except OSError as reason:
        raise _wrong(path, f"cannot be written: {reason.strerror}") from reason


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _wrong(path: Path, message: str) -> ConfigurationError:
    return ConfigurationError(message, option="sidecar.tokensFile", source=str(path))
