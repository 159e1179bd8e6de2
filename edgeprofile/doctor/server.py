"""What a server says about itself: its version, its place, its settings, and what follows for the cache."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from edgeprofile.core.flags import missing, with_missing
from edgeprofile.doctor.findings import failure, fine, skipped, warning
from edgeprofile.store.resp import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprofile.config import FeedConfig
    from edgeprofile.doctor.findings import Finding
    from edgeprofile.doctor.line import Line

__all__ = ["Facts", "eviction", "facts_of", "look", "mode", "notifications", "output_buffers", "role", "version"]

_SETTINGS: Final = (
    "notify-keyspace-events",
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-clients",
    "client-output-buffer-limit",
)
_PUBSUB: Final = (32 << 20, 8 << 20, 60)
"""The server's own default: hard limit, soft limit, seconds above the soft limit."""
_DEFAULT_PUBSUB: Final = '"pubsub 33554432 8388608 60"'
_FIELD_TTLS: Final = {"Redis": (7, 4), "Valkey": (9, 0)}
_UNREADABLE: Final = "cannot be read (CONFIG GET)"
_MAY_READ: Final = "grant +config|get to have it looked at"


class Facts(NamedTuple):
    """What is known of a server; empty texts and no numbers where it does not tell."""

    product: str = ""
    version: tuple[int, ...] = ()
    mode: str = ""
    role: str = ""


def facts_of(hello: Any, info: Any) -> Facts:
    """From the replies to ``HELLO 2``, which every user may send, and to ``INFO``, for servers that know no HELLO."""
    if isinstance(hello, list):
        told = dict(zip(hello[::2], hello[1::2], strict=False))
        texts = {name: told[name].decode() for name in (b"server", b"version", b"mode", b"role") if name in told}
        product = texts.get(b"server", "").capitalize()
        return Facts(product, _numbers(texts.get(b"version", "")), texts.get(b"mode", ""), texts.get(b"role", ""))
    if isinstance(info, bytes):
        lines = dict(line.partition(":")[::2] for line in info.decode("utf-8", "replace").splitlines())
        product = "Valkey" if "valkey_version" in lines else "Redis"
        text = lines.get("valkey_version") or lines.get("redis_version", "")
        return Facts(product, _numbers(text), lines.get("redis_mode", ""), lines.get("role", ""))
    return Facts()


def look(line: Line, feed: FeedConfig, *, cluster: bool) -> list[Finding]:
    """Ask, and judge the answers."""
    facts = facts_of(*line.ask_all(("HELLO", "2"), ("INFO",)))
    replies = line.ask_all(*(("CONFIG", "GET", name) for name in _SETTINGS))
    settings = {name: _setting(reply) for name, reply in zip(_SETTINGS, replies, strict=True)}
    return [
        version(facts, feed),
        mode(facts, cluster=cluster),
        role(facts),
        notifications(settings["notify-keyspace-events"], feed),
        eviction(settings),
        output_buffers(settings, feed),
    ]


def version(facts: Facts, feed: FeedConfig) -> Finding:
    """Which server it is, and what it lacks."""
    if not facts.version:
        return skipped("version", "the server does not tell (neither HELLO nor INFO)")
    name = f"{facts.product} {'.'.join(map(str, facts.version))}"
    if facts.product in _FIELD_TTLS and facts.version < (6,):
        if feed.mode == "tracking":
            return failure(
                "version", f"{name} has no client tracking", 'set feed.mode = "keyspace", or update to Redis 6'
            )
        return warning(
            "version", f"{name} is older than what EdgeProfile is tested with", "update to Redis 7 or Valkey"
        )
    if facts.version < _FIELD_TTLS.get(facts.product, (0,)):
        return fine("version", f"{name}, which knows no TTLs of single hash fields: none has to be honoured")
    return fine("version", name)


def mode(facts: Facts, *, cluster: bool) -> Finding:
    """Whether it is what ``clusterMode`` says."""
    if not facts.mode:
        return skipped("mode", "the server does not tell whether it is part of a cluster")
    if facts.mode == "sentinel":
        return failure("mode", "a Sentinel, which has no profiles", "name the primary in destinations.config.address")
    if (facts.mode == "cluster") is cluster:
        return fine("mode", f"a {'node of a cluster' if cluster else 'single server'}, as configured")
    if cluster:
        return failure("mode", f"no cluster but {facts.mode}", "set clusterMode = false (true is the default)")
    return failure("mode", "a node of a cluster: it has a part of the keys only", "set clusterMode = true")


def role(facts: Facts) -> Finding:
    """Whether it takes writes."""
    if not facts.role:
        return skipped("role", "the server does not tell whether it is a replica")
    if facts.role == "master":
        return fine("role", "a primary")
    what = (
        "a replica, which may fall behind, and tells nobody when it is filled anew: nothing is kept beyond maxStaleness"
    )
    return warning("role", what, "name the primary in destinations.config.address")


def notifications(flags: str | None, feed: FeedConfig) -> Finding:
    """The flags of ``notify-keyspace-events``."""
    name = "notifications"
    if feed.mode == "tracking":
        return fine(name, "not needed, changes come by client tracking")
    if flags is None:
        return skipped(name, f"the flags {_UNREADABLE}; the feed, below, shows whether they are enough", _MAY_READ)
    lacking = missing(flags)
    if not lacking:
        return fine(name, f'the flags are "{flags}"')
    command = f"CONFIG SET notify-keyspace-events {with_missing(flags)}"
    what = f'the flags are "{flags}", which lack {lacking}: changes of profiles go unannounced'
    if feed.configure_server:
        return warning(name, what, "nothing: feed.configureServer adds them when the first client connects")
    return failure(name, what, f"{command} (and the same in the server's configuration file)")


def eviction(settings: Mapping[str, str | None]) -> Finding:
    """Whether the server may evict profiles, or the heartbeat's key."""
    limit, policy = settings["maxmemory"], settings["maxmemory-policy"]
    if limit is None or policy is None:
        return skipped("eviction", f"the policy {_UNREADABLE}", _MAY_READ)
    if limit == "0":
        return fine("eviction", "no maxmemory, so nothing is evicted")
    what = f"maxmemory-policy is {policy}"
    if policy == "noeviction":
        return fine("eviction", f"{what}: a full server refuses writes, heartbeats included, and hits stop")
    if policy.startswith("volatile") or policy == "allkeys-random":
        return warning(
            "eviction",
            f"{what}: under memory pressure the heartbeat's key, which has a TTL, is evicted, and each time the cache "
            "is cleared",
            "use allkeys-lru, allkeys-lfu or noeviction, or give the server more memory",
        )
    return fine("eviction", f"{what}: the heartbeat's key is in use and stays")


def output_buffers(settings: Mapping[str, str | None], feed: FeedConfig) -> Finding:
    """How much the server keeps for a listener that is slow."""
    name, text = "output buffers", settings["client-output-buffer-limit"]
    if text is None:
        return skipped(name, f"their limits {_UNREADABLE}", _MAY_READ)
    limits = _limits(text)
    return _pubsub(name, limits.get("pubsub")) if feed.mode == "keyspace" else _normal(name, limits, settings)


def _pubsub(name: str, limits: tuple[int, int, int] | None) -> Finding:
    if limits is None:
        return skipped(name, "the server does not tell the limits of its class pubsub")
    hard, soft, seconds = limits
    what = f"pubsub {hard} {soft} {seconds}"
    set_default = f"CONFIG SET client-output-buffer-limit {_DEFAULT_PUBSUB}"
    if not hard and not soft:
        return warning(name, f"{what}: a process that hangs can use up the server's memory", set_default)
    if (hard or math.inf) < _PUBSUB[0] or ((soft or math.inf) < _PUBSUB[1] and seconds < _PUBSUB[2]):
        return warning(name, f"{what}, less than the default: a burst of changes ends the feed early", set_default)
    return fine(name, what)


def _normal(name: str, limits: Mapping[str, tuple[int, int, int]], settings: Mapping[str, str | None]) -> Finding:
    """Listeners of client tracking belong to the class ``normal``, which has no limit by default."""
    hard, soft, seconds = limits.get("normal", (0, 0, 0))
    clients = settings["maxmemory-clients"]
    if hard or soft:
        return fine(name, f"normal {hard} {soft} {seconds}")
    if clients not in {None, "0"}:
        return fine(name, f"maxmemory-clients is {clients}")
    return warning(
        name,
        "no limit for a listener of client tracking: a process that hangs can use up the server's memory",
        "CONFIG SET maxmemory-clients 5% (Redis 7 and later)",
    )


def _limits(text: str) -> dict[str, tuple[int, int, int]]:
    found = re.findall(r"(\w+) (\d+) (\d+) (\d+)", text)
    return {kind: (int(hard), int(soft), int(seconds)) for kind, hard, soft, seconds in found}


def _setting(reply: Any) -> str | None:
    """From a reply to ``CONFIG GET``; `None` where the server does not tell, or does not know it."""
    if isinstance(reply, ErrorReply) or not isinstance(reply, list) or len(reply) != 2:
        return None
    return str(reply[1].decode())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))[:3]
