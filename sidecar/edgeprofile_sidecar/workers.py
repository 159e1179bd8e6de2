"""What a worker is told by the process that supervises it, and how it takes it up."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeprofile_sidecar.sockets import Bound

if TYPE_CHECKING:
    from edgeprofile.config import SidecarConfig

__all__ = ["Inherited", "Order"]


class Inherited(msgspec.Struct, frozen=True, array_like=True):
    """A listening socket that is handed down by its descriptor."""

    descriptor: int
    address: str
    tls: bool


class Order(msgspec.Struct, frozen=True):
    """A worker's number, its sockets, and where it answers its supervisor."""

    index: int
    sockets: tuple[Inherited, ...]
    admin: str

    @classmethod
    def read(cls, text: str) -> Order:
        """An order as the command line carries it."""
        return msgspec.json.decode(text, type=cls)

    def write(self) -> str:
        """The order for a command line."""
        return msgspec.json.encode(self).decode()

    def bound(self) -> list[Bound]:
        """The sockets, whose place in the file system is the supervisor's to clear."""
        return [Bound(socket.socket(fileno=each.descriptor), each.address, None, each.tls) for each in self.sockets]

    def applied(self, settings: SidecarConfig) -> SidecarConfig:
        """The settings of this worker: probes for the supervisor alone, and a file of profiles in use of its own."""
        file = Path(settings.warm_file)
        warm = str(file.with_name(f"{file.name}.{self.index}")) if settings.warm_file else ""
        return msgspec.structs.replace(settings, admin_listen=self.admin, warm_file=warm)
