"""What a sync can end with, as branches of the project's one tree.

::

    UsageError
    ├── ConfigurationError
    │   └── ProjectError       the Profiles project says something that cannot be synced (file, line, key)
    ├── SyncRefused            another run of this connection is alive
    └── DeletionsRefused       a mirror would delete more than it may; nothing was sent
    ServiceError
    ├── WarehouseError         the warehouse could not be reached, or refused a statement
    └── DeliveryStopped        Redis refused to go on; what was not delivered is delivered by the next run
        └── LockLost           the run was silent for so long that another may have begun
"""

from __future__ import annotations

from edgeprofile.errors import ConfigurationError, ServiceError, UsageError

__all__ = [
    "DeletionsRefused",
    "DeliveryStopped",
    "LockLost",
    "ProjectError",
    "SyncCancelled",
    "SyncRefused",
    "WarehouseError",
]


class ProjectError(ConfigurationError):
    """The Profiles project says something that cannot be synced; ``line`` is 1-based, 0 where none applies."""

    def __init__(self, message: str, *, source: str, line: int = 0, key: str | None = None) -> None:
        super().__init__(message, option=key, source=f"{source}:{line}" if line else source)
        self.line = line


class SyncRefused(UsageError):
    """Another run of this connection is alive; ``owner`` says who, as far as is known."""

    def __init__(self, message: str, *, owner: str) -> None:
        super().__init__(message)
        self.owner = owner


class DeletionsRefused(UsageError):
    """A mirror would delete more than it may: the view is incomplete, or somebody has to allow it. Nothing was sent."""


class WarehouseError(ServiceError):
    """The warehouse could not be reached, or refused a statement."""


class DeliveryStopped(ServiceError):
    """Redis refused to go on; the rows that were not delivered are delivered by the next run."""


class LockLost(DeliveryStopped):
    """The run was silent for so long that another may have begun; it ends, and leaves everything as it is."""


class SyncCancelled(BaseException):
    """Ctrl-C or SIGTERM: unwinds the run, and only that."""
