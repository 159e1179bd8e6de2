"""Customer traits in the process that needs them.

``edgeprofile.get("user", "email", "ada@example.com")`` answers from a bounded local cache that is kept coherent with
Redis by its change feed. A hit costs about what a dictionary lookup costs, and never misses a write that is older than
``maxStaleness``.
"""

from edgeprofile._version import __version__
from edgeprofile.client import AsyncClient, Client
from edgeprofile.config import Config
from edgeprofile.default import aget, aget_many, close, configure, get, get_many, peek, stats
from edgeprofile.encoded import EncodedProfile
from edgeprofile.errors import (
    AccessDenied,
    AmbiguousDestination,
    CircuitOpen,
    ClosedError,
    ConfigurationError,
    EdgeProfileError,
    InvalidIdentity,
    InvalidProjection,
    LookupTimeout,
    NotificationsOff,
    Overloaded,
    ProtocolViolation,
    ReadOnlyProfile,
    RedisUnavailable,
    ReplyTooLarge,
    ServerRefused,
    ServiceError,
    TraitsMismatch,
    UnknownBundle,
    UnknownDestination,
    UsageError,
    WrongType,
)
from edgeprofile.metrics import DestinationStatus, Stats
from edgeprofile.profile import Profile
from edgeprofile.projection import Projection

__all__ = [
    "AccessDenied",
    "AmbiguousDestination",
    "AsyncClient",
    "CircuitOpen",
    "Client",
    "ClosedError",
    "Config",
    "ConfigurationError",
    "DestinationStatus",
    "EdgeProfileError",
    "EncodedProfile",
    "InvalidIdentity",
    "InvalidProjection",
    "LookupTimeout",
    "NotificationsOff",
    "Overloaded",
    "Profile",
    "Projection",
    "ProtocolViolation",
    "ReadOnlyProfile",
    "RedisUnavailable",
    "ReplyTooLarge",
    "ServerRefused",
    "ServiceError",
    "Stats",
    "TraitsMismatch",
    "UnknownBundle",
    "UnknownDestination",
    "UsageError",
    "WrongType",
    "__version__",
    "aget",
    "aget_many",
    "close",
    "configure",
    "get",
    "get_many",
    "peek",
    "stats",
]
