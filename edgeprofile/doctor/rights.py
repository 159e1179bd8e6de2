"""What the user may do: each command that the product sends is tried, in a form that changes nothing.

Rights are checked before a command is executed. So a command that fails for another reason, or that concerns a key
which does not exist, shows whether it is permitted; and unlike ``ACL DRYRUN``, which only administrators may use, it
shows what proxies and managed services forbid as well.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from edgeprofile.doctor.findings import Finding, Verdict, fine, skipped
from edgeprofile.doctor.line import is_denied, is_unknown
from edgeprofile.doctor.reach import user_of
from edgeprofile.errors import AccessDenied
from edgeprofile.keys import channel, channel_pattern
from edgeprofile.store.refusals import refusal
from edgeprofile.store.rights import CANARIES, CANARY, canary_channels, rules, setuser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeprofile.config import Config, Destination
    from edgeprofile.doctor.line import Line
    from edgeprofile.engine.target import Target

__all__ = ["Right", "judge", "rights", "wanted"]

_UNPROVED: Final = "the heartbeat is a PING then, and a flush of the server is noticed late or not at all"
_ASTRAY: Final = "a connection that a balancer leads to another server is noticed late"
_GRANT: Final = "ACL SETUSER"
_DEFAULT, _OWN = "default", "edgeprofile"
_NO_FEED: Final = "there is no feed then, and nothing is cached for longer than maxStaleness"


class Right(NamedTuple):
    """A command, a form of it that changes nothing, the ACL rule of its keys or channels, and what is lost without.

    ``need`` is the verdict where it is missing. ``alone``: it is tried on a connection of its own, since it changes what
    a connection may be asked next. ``new``: not every server knows it, and none has to.
    """

    grant: str
    trial: tuple[bytes | str, ...]
    need: Verdict
    loss: str
    rule: str = ""
    alone: bool = False
    new: bool = False


def wanted(config: Config, targets: Sequence[Target]) -> list[Right]:
    """The rights that the destinations of one deployment need, as they are configured."""
    of_all = [*_heartbeat(config, targets[0]), *_of_the_node(config, targets[0])]
    return [*(right for target in targets for right in _of_data(config, target)), *of_all]


def _of_data(config: Config, target: Target) -> Iterator[Right]:
    """To read the profiles, to delete them, to hear of their changes."""
    key, rule = _nobody(target), f"~{_text(target.layout.pattern)}"
    if target.config.use_json_module:
        yield Right("+json.get", ("JSON.GET", key, "."), Verdict.FAILURE, "no profile can be read", rule)
    else:
        yield Right("+hgetall", ("HGETALL", key), Verdict.FAILURE, "no profile can be read", rule)
        late = "TTLs of single fields are not seen: such a field is served until cache.ttl at most"
        yield Right("+hpttl", ("HPTTL", key, "FIELDS", "1", "f"), Verdict.WARNING, late, rule, new=True)
    yield Right(
        "+pttl", ("PTTL", key), Verdict.FAILURE, "no profile is cached, since nobody knows how long it lives", rule
    )
    yield Right("+del", ("DEL", key), Verdict.SKIPPED, "nothing but delete() and DELETE /v2/activation needs it", rule)
    yield Right(
        "+scan", ("SCAN", "0", "COUNT", "1"), Verdict.SKIPPED, "the doctor cannot look at the destination's keys"
    )
    if config.feed.mode == "keyspace":
        heard = channel_pattern(target.config.db, target.layout.pattern)
        yield Right("+psubscribe", ("PSUBSCRIBE", heard), Verdict.FAILURE, _NO_FEED, f"&{_text(heard)}", alone=True)
    yield from _of_the_sync(config, target, key, rule)


def _of_the_sync(config: Config, target: Target, key: bytes, rule: str) -> Iterator[Right]:
    """To write the profiles, where ``[sync]`` writes them to this destination."""
    sync = config.sync
    if sync is None or (sync.destination or target.id) != target.id:
        return
    stops = "`edgeprofile sync` cannot write"
    if target.config.use_json_module:
        yield Right("+json.set", ("JSON.SET", key, "$", "no JSON"), Verdict.WARNING, stops, rule)
        yield Right("+watch", ("WATCH", key), Verdict.WARNING, stops, rule, alone=True)
        for command in ("MULTI", "EXEC", "UNWATCH"):
            yield Right(f"+{command.lower()}", (command,), Verdict.WARNING, stops, alone=True)
        return
    yield Right("+hset", ("HSET", key, "f", "v", "no pair"), Verdict.WARNING, stops, rule)
    yield Right("+hdel", ("HDEL", key, "f"), Verdict.WARNING, "`edgeprofile sync` cannot remove what is gone", rule)
    yield Right("+expire", ("EXPIRE", key, "no number"), Verdict.WARNING, "`edgeprofile sync` cannot set a TTL", rule)
    yield Right("+persist", ("PERSIST", key), Verdict.SKIPPED, "nothing but a `ttl` taken out of [sync] needs it", rule)


def _heartbeat(config: Config, target: Target) -> Iterator[Right]:
    if config.feed.heartbeat == "ping":
        late = "a flush of the server is bounded by cache.ttl alone"
        yield Right("+info", ("INFO", "server"), Verdict.WARNING, late)
        if config.feed.mode == "keyspace":
            unseen = "notifications that are switched off while it runs are bounded by cache.ttl alone"
            yield Right("+config|get", ("CONFIG", "GET", "notify-keyspace-events"), Verdict.WARNING, unseen)
        return
    key, rule = f"{CANARY}doctor", f"~{CANARIES}"
    if config.feed.mode == "tracking":
        yield Right("+set", ("SET", key, "0", "PX", "no number", "GET"), Verdict.WARNING, _UNPROVED, rule)
        yield Right("+get", ("GET", key), Verdict.WARNING, _ASTRAY, rule)
        return
    yield Right("+hincrby", ("HINCRBY", key, "n", "no number"), Verdict.WARNING, _UNPROVED, rule)
    yield Right("+pexpire", ("PEXPIRE", key, "no number"), Verdict.WARNING, _UNPROVED, rule)
    yield Right("+hget", ("HGET", key, "n"), Verdict.WARNING, _ASTRAY, rule)
    heard, all_heard = channel(target.config.db, key.encode()), f"&{canary_channels(target.config.db)}"
    yield Right("+subscribe", ("SUBSCRIBE", heard), Verdict.WARNING, _UNPROVED, all_heard, alone=True)


def _of_the_node(config: Config, target: Target) -> Iterator[Right]:
    """To know the node, and to listen to it."""
    if config.feed.heartbeat == "ping":
        yield Right("+ping", ("PING",), Verdict.FAILURE, _NO_FEED)
    else:
        yield Right("+ping", ("PING",), Verdict.WARNING, "a heartbeat that is late ends the feed, which begins anew")
    if config.feed.mode == "tracking":
        yield Right("+client|tracking", ("CLIENT", "TRACKING", "OFF"), Verdict.FAILURE, _NO_FEED)
        hung = "a feed that hangs cannot be ended, and may fill the server's memory"
        yield Right("+client|kill", ("CLIENT", "KILL", "ID", "0"), Verdict.WARNING, hung)
    if config.feed.configure_server:
        trial = ("CONFIG", "SET", "edgeprofile-no-such-setting", "0")
        yield Right("+config|set", trial, Verdict.WARNING, "feed.configureServer cannot add missing flags")
    if target.config.cluster_mode:
        unknown = "nobody knows which node has which profile"
        yield Right("+cluster|slots", ("CLUSTER", "SLOTS"), Verdict.FAILURE, unknown)
        yield Right("+cluster|nodes", ("CLUSTER", "NODES"), Verdict.FAILURE, "nothing is kept of a node's slots")
        yield Right("+cluster|info", ("CLUSTER", "INFO"), Verdict.FAILURE, unknown)
        moving = "profiles on their way to another node cannot be read meanwhile"
        yield Right("+asking", ("ASKING",), Verdict.WARNING, moving)


def rights(line: Line, config: Config, targets: Sequence[Target]) -> list[Finding]:
    """Try them all, one by one; last comes the line for a user with the least rights, where any is missing or none is used."""
    user = user_of(line, targets[0].config)
    found = [judge(right, _try(line, right), user, line.node) for right in dict.fromkeys(wanted(config, targets))]
    if user == _DEFAULT or any(finding.do.startswith(_GRANT) for finding in found):
        knows_field_ttls = not is_unknown(line.ask("HPTTL"))
        found += [_least(destination, config, user, knows_field_ttls) for destination in config.destinations]
    return found


def _least(destination: Destination, config: Config, user: str, knows_field_ttls: bool) -> Finding:  # noqa: FBT001 (of the server)
    """The whole line; for a user of its own, since it would take from the default user what everybody else needs."""
    own = _OWN if user == _DEFAULT else user
    line = setuser(own, rules(destination, config.feed, field_ttls=knows_field_ttls))
    what = f"what a user of destination {destination.id} needs, and no more"
    sync = config.sync
    if sync is not None and sync.destination in {"", destination.id}:
        what = f"{what}, to read; `edgeprofile sync` writes, as a user of its own"
    return skipped("least rights", what, line)


def _try(line: Line, right: Right) -> Any:
    if not right.alone:
        return line.ask(*right.trial)
    with line.fresh() as other:
        return other.ask(*right.trial)


def judge(right: Right, reply: Any, user: str, node: str) -> Finding:
    """What the reply to a trial says about the right."""
    words = right.grant.removeprefix("+").replace("|", " ").upper()
    name = f"may {words}"
    if is_unknown(reply):
        if right.new:
            return fine(name, "this server does not know it, so it is not needed")
        return Finding(name, right.need, f"the server does not know {words}: {right.loss}", _where_from(words))
    if not is_denied(reply):
        return fine(name, right.rule or "permitted")
    error = refusal(reply, node, doing=words, rule=right.rule)
    grants = (error.grant or "") if isinstance(error, AccessDenied) else ""
    if grants == right.grant and right.rule:
        grants = f"{grants} {right.rule}"
    return Finding(name, right.need, f"not permitted: {right.loss}", f"{_GRANT} {user} {grants}")


def _where_from(words: str) -> str:
    if words.startswith("JSON."):
        return "load RedisJSON, or set useJSONModule = false"
    return "ask whoever runs the server, or the proxy before it, to let it through"


def _nobody(target: Target) -> bytes:
    """A key of the destination that nobody has."""
    return target.layout.prefix + f"edgeprofile:doctor:{uuid.uuid4().hex}".encode()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
