"""What a server's error replies mean for the caller: one table from the first word to the exception."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from edgeprofile.errors import (
    AccessDenied,
    ConfigurationError,
    ProtocolViolation,
    RedisUnavailable,
    ServerRefused,
    WrongType,
)

if TYPE_CHECKING:
    from edgeprofile.errors import EdgeProfileError, ServiceError
    from edgeprofile.store.resp import ErrorReply

__all__ = ["RETRYABLE", "NoRoom", "Redirected", "Unauthenticated", "cluster_refusal", "refusal"]

RETRYABLE: Final = frozenset({"LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "FAILOVER"})
"""Refusals that pass by themselves, so that a feed or a fetch may be tried again after a while."""

_ADVICE: Final = {
    "LOADING": "the server is still loading its data; it answers again when that is done",
    "BUSY": "a script has the server to itself; it answers again when the script ends",
    "OOM": "the server is at its maxmemory; raise it, or let it evict",
    "READONLY": "the server is a replica; name the primary in destinations.config.address",
    "MASTERDOWN": "the replica lost its primary and is set not to serve stale data",
    "NOREPLICAS": "the primary has fewer replicas than min-replicas-to-write asks for",
    "CLUSTERDOWN": "the cluster does not serve this key's slot at the moment",
    "MISCONF": "the server cannot save to disk and refuses writes; see its log",
    "EXECABORT": "the server discarded a transaction",
}
_UNKNOWN: Final = "it does not know that command: is it a data server (no Sentinel), with the module of useJSONModule?"
_OTHER_TYPE: Final = (
    "another type than the destination's layout says; check useJSONModule and layout of the destination"
)
_ENTRY: Final = {
    "NOAUTH": "asks for a password: set password or passwordFile of the destination",
    "WRONGPASS": "refused the user or the password: check username, password and passwordFile of the destination",
    "ERR": "has no password for the default user, but one is configured: remove it, or set username",
    "DENIED": "is in protected mode and accepts local connections only: give it a password, or turn that mode off",
}
_COMMAND: Final = re.compile(r"no permissions to run the '([^']+)'", re.IGNORECASE)


class Redirected(ServerRefused):
    """A cluster node answered ``MOVED`` or ``ASK``: ``slot`` is at ``address``; ``ask``: only for this question."""

    def __init__(self, reply: ErrorReply, node: str) -> None:
        code, number, address = (*reply.text.split(" "), "", "")[:3]
        super().__init__(f"{node} refers to another node of its cluster", code=code, node=node)
        host, _, port = address.rpartition(":")
        if not (number.isdigit() and port.isdigit()):
            raise ProtocolViolation(f"{node} redirects to nowhere", node=node)
        self.slot = int(number)
        self.address = (host or node.rpartition(":")[0].strip("[]"), int(port))
        self.ask = code == "ASK"


class NoRoom(ServerRefused, RedisUnavailable):
    """The node takes no further connection: none could be had."""


class Unauthenticated(AccessDenied):
    """The node did not let us in: nothing can be asked of it."""


def refusal(reply: ErrorReply, node: str, *, doing: str, rule: str = "") -> ServiceError:
    """The exception for an error reply.

    ``doing`` says what was asked, without ids (``"HGETALL"``); ``rule`` is the ACL rule for the keys or channels that
    this needs (``"~1Wsp:2Dest:*"``).
    """
    code = reply.code
    if code in {"NOAUTH", "WRONGPASS", "DENIED"} or reply.text.startswith("ERR AUTH"):
        return Unauthenticated(f"{node} {_ENTRY[code]}", node=node)
    if code in {"MOVED", "ASK"}:
        return Redirected(reply, node)
    if code == "NOPERM":
        return _missing_right(reply, node, doing, rule)
    if code == "WRONGTYPE":
        return WrongType(f"{doing}: the key holds {_OTHER_TYPE}", code=code, node=node)
    if "max number of clients" in reply.text:
        return NoRoom(f"{node} has no connection to spare: raise its maxclients", code="MAXCLIENTS", node=node)
    return ServerRefused(f"{node} refused {doing}: {_ADVICE.get(code) or _spoken(reply)}", code=code, node=node)


def cluster_refusal(reply: ErrorReply, node: str, doing: str) -> EdgeProfileError:
    """The exception for an error reply to a question about the cluster."""
    if "cluster support disabled" in reply.text:
        return ConfigurationError(
            f"{node} is no cluster: set clusterMode = false (EDGEPROFILE_CLUSTER_MODE=false, cluster_mode=False)",
            option="destinations.config.clusterMode",
        )
    return refusal(reply, node, doing=doing)


def _missing_right(reply: ErrorReply, node: str, doing: str, rule: str) -> AccessDenied:
    command = _COMMAND.search(reply.text)
    if command:
        grant = f"+{command[1].lower().replace(' ', '|')}"
        return AccessDenied(f"{node}: the user has no right to {doing}; grant {grant}", grant=grant, node=node)
    if "access database" in reply.text:
        return AccessDenied(f"{node}: the user may not use this database; grant alldbs", grant="alldbs", node=node)
    what = "channels, literally" if "channel" in reply.text else "keys"
    grant = f"the {what}: {rule}" if rule else f"the pattern of its {what}"
    return AccessDenied(
        f"{node}: the user has no right to {doing} there; grant {grant}",
        grant=rule or None,
        node=node,
    )


def _spoken(reply: ErrorReply) -> str:
    """Server text without its quoted parts: those repeat what was sent, ids included."""
    if "unknown command" in reply.text:
        return _UNKNOWN
    return re.sub(r"'[^']*'|`[^`]*`|\"[^\"]*\"", "…", reply.text)[:200]
