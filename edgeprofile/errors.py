"""Every error that EdgeProfile raises, in one tree with two families.

::

    EdgeProfileError
    ├── UsageError                      the caller or the operator must change something; a retry will not help
    │   ├── ConfigurationError          an option is missing or wrong (file, option, value, allowed)
    │   ├── InvalidProjection           a projection that contradicts itself (member)
    │   ├── InvalidIdentity             an entity, id type or id value that cannot name a profile
    │   ├── UnknownDestination          no Redis destination of that id is configured
    │   ├── UnknownBundle               no bundle of that name is configured
    │   ├── AmbiguousDestination        several destinations are configured and none was named
    │   ├── TraitsMismatch              the traits do not fit the type that was asked for
    │   ├── ReadOnlyProfile             a profile was to be changed in place (also a TypeError)
    │   └── ClosedError                 the client was used after it was closed
    └── ServiceError                    Redis, or the way to it, misbehaved (destination, node, since)
        ├── RedisUnavailable            no connection could be had, or it was lost before the answer
        │   ├── CircuitOpen             Redis has not answered for a while: nothing was asked
        │   └── LookupTimeout           the lookup's deadline passed (also a TimeoutError)
        ├── Overloaded                  a limit of this process was reached (limit, option)
        ├── AccessDenied                authentication failed, or a right is missing (grant)
        ├── NotificationsOff            keyspace notifications lack flags (command)
        ├── ServerRefused               LOADING, BUSY, OOM, READONLY and the other named refusals (code)
        │   └── WrongType               the key does not hold what the destination's layout says
        ├── ReplyTooLarge               a reply beyond ``maxReplyBytes``
        └── ProtocolViolation           the server said what no Redis says

Messages name the option to change or the command to run. They never hold traits, id values or secrets.
"""

from __future__ import annotations

__all__ = [
    "AccessDenied",
    "AmbiguousDestination",
    "CircuitOpen",
    "ClosedError",
    "ConfigurationError",
    "EdgeProfileError",
    "InvalidIdentity",
    "InvalidProjection",
    "LookupTimeout",
    "NotificationsOff",
    "Overloaded",
    "ProtocolViolation",
    "ReadOnlyProfile",
    "RedisUnavailable",
    "ReplyTooLarge",
    "ServerRefused",
    "ServiceError",
    "TraitsMismatch",
    "UnknownBundle",
    "UnknownDestination",
    "UsageError",
    "WrongType",
]


class EdgeProfileError(Exception):
    """The root of the tree."""


class UsageError(EdgeProfileError):
    """The caller or the operator must change something."""


class ConfigurationError(UsageError):
    """An option is missing or wrong.

    ``option`` is its dotted path (``destinations[0].config.address``) and ``source`` the file, variable or
    keyword it came from; both may be ``None``.
    """

    def __init__(self, message: str, *, option: str | None = None, source: str | None = None) -> None:
        where = ": ".join(part for part in (source, option) if part)
        super().__init__(f"{where}: {message}" if where else message)
        self.option = option
        self.source = source


class InvalidIdentity(UsageError, ValueError):
    """An entity, id type or id value that cannot name a profile; ``member`` says which of the three."""

    def __init__(self, message: str, *, member: str) -> None:
        super().__init__(message)
        self.member = member


class InvalidProjection(UsageError, ValueError):
    """A projection that contradicts itself; ``member`` says where: ``models``, ``traits`` or ``defaults``."""

    def __init__(self, message: str, *, member: str) -> None:
        super().__init__(message)
        self.member = member


class UnknownBundle(UsageError, LookupError):
    """No bundle of that name is configured; ``known`` lists those that are."""

    def __init__(self, bundle: object, known: tuple[str, ...]) -> None:
        super().__init__(f"no bundle {bundle!r} is configured; configured: {', '.join(known) or 'none'}")
        self.bundle = bundle
        self.known = known


class UnknownDestination(UsageError, LookupError):
    """No Redis destination of that id is configured; ``known`` lists those that are."""

    def __init__(self, destination: object, known: tuple[str, ...]) -> None:
        listed = ", ".join(known) or "none"
        super().__init__(f"no Redis destination {destination!r} is configured; configured: {listed}")
        self.destination = destination
        self.known = known


class AmbiguousDestination(UsageError):
    """Several destinations are configured and none was named; ``known`` lists them."""

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(
            f"several destinations are configured ({', '.join(known)}): name one, as in destination={known[0]!r}"
        )
        self.known = known


class TraitsMismatch(UsageError):
    """The traits do not fit the type that was asked for; the message holds the path of the first misfit."""


class ReadOnlyProfile(UsageError, TypeError):
    """A profile is shared by everybody in the process and was to be changed in place."""


class ClosedError(UsageError):
    """The client was used after it was closed."""


class ServiceError(EdgeProfileError):
    """Redis, or the way to it, misbehaved.

    ``node`` is its address where known, and ``since`` how many seconds ago the trouble began (0.0: just now).
    """

    def __init__(self, message: str, *, node: str | None = None, since: float = 0.0) -> None:
        super().__init__(message)
        self.node = node
        self.since = since


class RedisUnavailable(ServiceError, ConnectionError):
    """No connection to Redis could be had, or it was lost before the answer; the cause is chained."""


class CircuitOpen(RedisUnavailable):
    """Redis has not answered for ``since`` seconds: nothing was asked, so that nobody waits in vain; try again soon."""


class LookupTimeout(RedisUnavailable, TimeoutError):
    """The lookup's deadline passed before Redis answered."""


class Overloaded(ServiceError):
    """A limit of this process was reached; ``option`` names the one to raise."""

    def __init__(self, message: str, *, option: str, node: str | None = None) -> None:
        super().__init__(message, node=node)
        self.option = option


class AccessDenied(ServiceError):
    """Authentication failed, or a right is missing; ``grant`` is the ACL rule to add, where one helps."""

    def __init__(self, message: str, *, grant: str | None = None, node: str | None = None) -> None:
        super().__init__(message, node=node)
        self.grant = grant


class NotificationsOff(ServiceError):
    """Keyspace notifications lack flags; ``command`` is the exact line that turns them on."""

    def __init__(self, message: str, *, command: str, node: str | None = None) -> None:
        super().__init__(message, node=node)
        self.command = command


class ServerRefused(ServiceError):
    """The server answered with an error; ``code`` is its first word (``LOADING``, ``BUSY``, ``OOM``, ``ERR``)."""

    def __init__(self, message: str, *, code: str, node: str | None = None) -> None:
        super().__init__(message, node=node)
        self.code = code


class WrongType(ServerRefused):
    """The key does not hold what the destination's layout says (a hash, or a JSON document)."""


class ReplyTooLarge(ServiceError):
    """A reply beyond ``maxReplyBytes``; its connection was closed."""


class ProtocolViolation(ServiceError):
    """The server said what no Redis says; its connection was closed."""
