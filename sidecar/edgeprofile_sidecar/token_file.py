"""The tokens file: read, followed while the sidecar runs, and written by the ``token`` command."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprofile import ConfigurationError
from edgeprofile_sidecar import tokens as codec
from edgeprofile_sidecar.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgeprofile_sidecar.tokens import Token

__all__ = ["TokenFile", "load", "update"]

_log = logging.getLogger(__name__)

_State = tuple[int, int, int, int, int]


class TokenFile:
    """The tokens of a file as they stand now; a file that turns bad leaves the last good ones in force.

    ``good`` says whether the last reading succeeded, ``loaded_at`` when one last did (seconds since 1970).
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigurationError: It is absent or no tokens file.
        """
        self._path = path
        self._seen = _state(path)
        self.current = Tokens(load(path))
        self.good = True
        self.loaded_at = time.time()
        self.failures = 0

    def refresh(self) -> bool:
        """Read the file again if it has changed; whether other tokens are now in force.

        The state is taken before the file is read, so that a change in between is found the next time. It is that of
        the file behind all links: a mounted secret is changed by turning a link to another directory.
        """
        state = _state(self._path)
        if state == self._seen:
            return False
        self._seen = state
        try:
            self.current = Tokens(load(self._path))
        except ConfigurationError as reason:
            self.good = False
            self.failures += 1
            _log.error("the tokens file cannot be used, the tokens read before stay in force: %s", reason)
            return False
        self.good = True
        self.loaded_at = time.time()
        _log.info("tokens read again", extra={"tokens": len(self.current)})
        return True


def load(path: Path) -> tuple[Token, ...]:
    """Read a tokens file.

    Raises:
        ConfigurationError: It is absent, unreadable or no tokens file.
    """
    try:
        return codec.parse(path.read_bytes())
    except FileNotFoundError:
        raise _wrong(path, "does not exist: make a token with `edgeprofile token create --destination ID`") from None
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
            _replace(path, codec.dump(change(load(path) if path.exists() else ())))
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


def _replace(path: Path, text: bytes) -> None:
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # readable by its owner alone
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(draft).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        raise


def _state(path: Path) -> _State | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _wrong(path: Path, message: str) -> ConfigurationError:
    return ConfigurationError(message, option="sidecar.tokensFile", source=str(path))
