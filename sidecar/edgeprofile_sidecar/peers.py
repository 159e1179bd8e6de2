"""Who has tried wrong tokens lately, and how often: a bucket for each caller, which empties with time."""

from __future__ import annotations

from ipaddress import ip_address

__all__ = ["Peers", "peer"]

_MOST = 10_000
_IPV6_NETWORK = 8  # bytes: who has one IPv6 address has 2**64 of them


class Peers:
    """Counts the failures of callers against what is allowed in a minute; what is kept of them is bounded.

    Only a request whose token is wrong ever feels it. Tokens cannot be guessed, so it is noise and cost that are limited
    here, and a good token must not suffer from the bad ones that come from the same address.
    """

    def __init__(self, per_minute: int, most: int = _MOST) -> None:
        self._room = float(per_minute)
        self._rate = per_minute / 60.0
        self._most = most
        self._levels: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._levels)

    def failed(self, who: str, now: float) -> float:
        """Count a failure at ``now`` (seconds on any clock); how many seconds it came too early, 0.0 if it did not."""
        level, early = self._standing(who, now)
        self._levels.pop(who, None)
        if len(self._levels) >= self._most:
            del self._levels[next(iter(self._levels))]
        self._levels[who] = (level if early else level + 1.0, now)
        return early

    def early(self, who: str, now: float) -> float:
        """How many seconds too early a failure would come."""
        return self._standing(who, now)[1]

    def _standing(self, who: str, now: float) -> tuple[float, float]:
        """The level of a caller's bucket, and how many seconds it is until one more fits."""
        level, then = self._levels.get(who, (0.0, now))
        level = max(0.0, level - (now - then) * self._rate)
        return level, max(0.0, (level + 1.0 - self._room) / self._rate)


def peer(address: object) -> str:
    """Whom a socket's address stands for: an IPv4 address, a network of IPv6, or all callers of a Unix socket."""
    if not isinstance(address, tuple) or not address:
        return "unix"
    try:
        found = ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        return str(address[0])
    return str(found) if found.version == 4 else found.packed[:_IPV6_NETWORK].hex()
