"""The least rights that a Redis user needs, as the words of ``ACL SETUSER``.

Channel patterns are compared as they are written, not by what they match: a user with ``&__keyspace@0__:*`` may not
subscribe to ``__keyspace@0__:1Wsp:2Dest:*``. So the rules hold the very patterns that the feed subscribes to.
``AUTH`` and ``HELLO`` need no right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgeprofile.keys import Layout, channel_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprofile.config import Destination, FeedConfig

__all__ = ["CANARIES", "CANARY", "canary_channels", "rules", "setuser"]

CANARY: Final = "edgeprofile:canary:"
"""What the keys of all heartbeats begin with."""
CANARIES: Final = f"{CANARY}*"

_READ: Final = {False: ("+hgetall", "+pttl"), True: ("+json.get", "+pttl")}
_CANARY: Final = {"keyspace": ("+hincrby", "+pexpire", "+hget"), "tracking": ("+set", "+get")}
_LISTEN: Final = {
    "keyspace": ("+subscribe", "+psubscribe", "+ping"),
    "tracking": ("+client|tracking", "+client|kill", "+ping"),
}
_CLUSTER: Final = ("+cluster|slots", "+cluster|nodes", "+cluster|info", "+asking")
_WATCH: Final = ("+config|get", "+info")


def rules(destination: Destination, feed: FeedConfig, *, field_ttls: bool, deletes: bool = False) -> tuple[str, ...]:
    """The rules for a destination.

    ``field_ttls``: the server knows ``HPTTL`` (Valkey 9, Redis 7.4 or later); older ones refuse a rule that names it.
    ``deletes``: profiles are to be deleted, too.
    """
    return tuple(_rules(destination, feed, field_ttls=field_ttls, deletes=deletes))


def setuser(name: str, rules: tuple[str, ...]) -> str:
    """The line for ``redis-cli``; the password stands as ``>PASSWORD``."""
    words = (f'"{rule}"' if " " in rule else rule for rule in rules)
    return " ".join(("ACL SETUSER", name, "on", ">PASSWORD", "resetkeys", "resetchannels", "-@all", *words))


def canary_channels(db: int) -> str:
    """The channels of all heartbeats; exact channels are compared by what a pattern matches."""
    return f"__keyspace@{db}__:{CANARIES}"


def _rules(destination: Destination, feed: FeedConfig, *, field_ttls: bool, deletes: bool) -> Iterator[str]:
    redis = destination.config
    pattern = Layout(
        destination.workspace_id, destination.id, redis.prefix, destination.layout, legacy=destination.legacy_keys
    ).pattern
    canary = feed.heartbeat == "canary"
    yield f"{'~' if deletes else '%R~'}{pattern.decode()}"
    if canary:
        yield f"~{CANARIES}"
    if feed.mode == "keyspace":
        yield f"&{channel_pattern(redis.db, pattern).decode()}"
        if canary:
            yield f"&{canary_channels(redis.db)}"
    yield from _READ[redis.use_json_module]
    if field_ttls and not redis.use_json_module:
        yield "+hpttl"
    if deletes:
        yield "+del"
    yield from _LISTEN[feed.mode]
    yield from _CANARY[feed.mode] if canary else _WATCH
    if redis.db:
        yield "+select"
    if redis.cluster_mode:
        yield from _CLUSTER
