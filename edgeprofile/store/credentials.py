"""How one gets in: the user and the password, which may change while the process runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgeprofile.core.backoff import Backoff
from edgeprofile.store.refusals import Unauthenticated

if TYPE_CHECKING:
    from edgeprofile.config import RedisConfig

__all__ = ["Credentials"]

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0


class Credentials:
    """What one node is told about who we are.

    A password that it refused is not offered again for every lookup: not before a pause is over, unless the password
    is another one by then.
    """

    def __init__(self, username: str = "", password: str = "", password_file: str = "") -> None:
        self.username = username
        self._password = password
        self._file = password_file
        self._refused: str | None = None
        self._reason = ""
        self._since = self._until = 0.0
        self._pauses = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)

    @classmethod
    def of(cls, config: RedisConfig) -> Credentials:
        """As a destination is configured."""
        return cls(config.username, config.password, config.password_file)

    def again(self) -> Credentials:
        """The same, for another node."""
        return Credentials(self.username, self._password, self._file)

    def password(self, node: str) -> str:
        """The password as it is now, empty for none. Raises `Unauthenticated` while there is no use in offering it."""
        password = self._read(node) if self._file else self._password
        now = time.monotonic()
        if password == self._refused and now < self._until:
            still = Unauthenticated(self._reason, node=node)
            still.since = now - self._since
            raise still
        return password

    def refused(self, password: str, error: Unauthenticated) -> None:
        """The node did not let us in with this password."""
        now = time.monotonic()
        if self._refused != password:
            self._refused, self._since = password, now
            self._pauses.reset()
        self._reason = str(error)
        self._until = now + self._pauses.next(1.0)

    def accepted(self) -> None:
        """The node let us in."""
        self._refused = None

    def _read(self, node: str) -> str:
        try:
            password = Path(self._file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise Unauthenticated(f"passwordFile {self._file} cannot be read: {reason}", node=node) from error
        if not password:
            raise Unauthenticated(f"passwordFile {self._file} is empty: write the password into it", node=node)
        return password
