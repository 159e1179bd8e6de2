"""A TLS listener that takes its connections by itself: handshakes are bounded in number and time, as requests are.

Each connection begins with the context of its moment, so that whatever was read again counts from the next one on, an
authority that is trusted no more included.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from edgeprofile_sidecar.certificates import Certificates
    from edgeprofile_sidecar.connection import Server

__all__ = ["Secured"]

_BACKLOG = 1024
_PAUSE = 1.0  # seconds until the next try where the system has no descriptors left

_log = logging.getLogger(__name__)


class Secured:
    """Hands the connections that come to ``listening`` to ``server``, once their handshake is done.

    A handshake may take ``seconds``. It counts as a connection; one too many is closed without a word, since before the
    handshake there is no way to say one.
    """

    def __init__(self, listening: socket.socket, server: Server, certificates: Certificates, seconds: float) -> None:
        self._listening = listening
        self._server = server
        self._certificates = certificates
        self._seconds = seconds
        self._handshakes = set[asyncio.Task[None]]()
        listening.setblocking(False)
        listening.listen(_BACKLOG)
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Take no more connections; handshakes under way go on."""
        self._accepting.cancel()

    async def end(self) -> None:
        """Give up what is under way."""
        self.close()
        for task in self._handshakes:
            task.cancel()
        await asyncio.gather(self._accepting, *self._handshakes, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError as reason:
                _log.warning("no connection could be taken: %s", reason.strerror)
                await asyncio.sleep(_PAUSE)
                continue
            if self._server.admit():
                task = asyncio.create_task(self._shake_hands(connection))
                self._handshakes.add(task)
                task.add_done_callback(self._handshakes.discard)
            else:
                connection.close()

    async def _shake_hands(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._server,
                connection,
                ssl=self._certificates.context,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=self._seconds,
            )
        except OSError:  # the end of the time and whatever TLS finds wrong included
            self._server.refused()
        finally:
            self._server.shaken()
