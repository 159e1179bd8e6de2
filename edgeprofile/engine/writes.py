"""Deletes of our own: nothing older may be served from before they are sent, whatever becomes of them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.engine.cluster import NoOwner
from edgeprofile.errors import LookupTimeout
from edgeprofile.store.refusals import Redirected, refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprofile.core.keeper import Identity
    from edgeprofile.engine.engine import Engine
    from edgeprofile.engine.node import Node

__all__ = ["Writes"]

_PAUSE: Final = 0.02
"""Seconds before asking again who has a profile, where the first answer did not help."""


class Writes:
    """Deletes profiles for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def delete(self, identities: Sequence[Identity], deadline: float) -> int:
        """Delete the keys of these profiles, for a thread; how many there were. Raises the `ServiceError` family."""
        removed, left, least = 0, list(identities), 0.0
        try:
            while True:
                parts, tally = self._by_node(left, deadline), _Tally()
                self._overwrite(left)
                if parts is None:
                    time.sleep(_PAUSE)
                    continue
                for node, some in parts.items():
                    tally.take(node, some, node.blocking.call(_command(some), _size(some), deadline, _counts))
                for who, there in tally.asked:
                    node = self._engine.upstream(who).at(there.address)
                    tally.take(node, [who], node.blocking.call(_asking(who), 2, deadline)[1:], there=True)
                removed += tally.removed
                left = tally.redirected
                if not left:
                    return removed
                time.sleep(self._pause(tally, deadline, least))
                least = _PAUSE
        finally:
            self._overwrite(identities)

    async def adelete(self, identities: Sequence[Identity], deadline: float) -> int:
        """As `delete`, for a task; the nodes work at the same time."""
        removed, left, least = 0, list(identities), 0.0
        try:
            async with asyncio.timeout(deadline - self._engine.clock()):
                while True:
                    parts, tally = self._by_node(left, deadline), _Tally()
                    self._overwrite(left)
                    if parts is None:
                        await asyncio.sleep(_PAUSE)
                        continue
                    await asyncio.gather(*(self._adelete(*part, tally) for part in parts.items()))
                    await asyncio.gather(*(self._adelete_there(*part, tally) for part in tally.asked))
                    removed += tally.removed
                    left = tally.redirected
                    if not left:
                        return removed
                    await asyncio.sleep(self._pause(tally, deadline, least))
                    least = _PAUSE
        except TimeoutError as error:
            raise LookupTimeout("Redis did not confirm the delete before its deadline; it may have happened") from error
        finally:
            self._overwrite(identities)

    async def _adelete(self, node: Node, some: list[Identity], tally: _Tally) -> None:
        wire = await node.attach()
        tally.take(node, some, await wire.ask(_command(some), _size(some), _counts))

    async def _adelete_there(self, who: Identity, there: Redirected, tally: _Tally) -> None:
        node = self._engine.upstream(who).at(there.address)
        wire = await node.attach()
        tally.take(node, [who], (await wire.ask(_asking(who), 2))[1:], there=True)

    def _pause(self, tally: _Tally, deadline: float, least: float) -> float:
        """Have the map corrected; raises the redirection where no time is left to follow it.

        ``least`` is for nodes that refer to each other.
        """
        pause = max(least, *(self._engine.upstream(who).amend(error) or 0.0 for who, error in tally.errors))
        if self._engine.clock() + pause >= deadline:
            raise tally.errors[0][1]
        return pause

    def _overwrite(self, identities: Sequence[Identity]) -> None:
        """At all nodes known now; so before each round: others may have come, and been read from, since the last."""
        engine = self._engine
        with engine.lock:
            for identity in identities:
                for node in engine.upstream(identity).nodes:
                    node.keeper.overwrite(identity)

    def _by_node(self, identities: Sequence[Identity], deadline: float) -> dict[Node, list[Identity]] | None:
        """Who is asked for what; `None` while that is not known of all, and raises `NoOwner` where no time is left."""
        parts: dict[Node, list[Identity]] = {}
        for identity in identities:
            try:
                parts.setdefault(self._engine.node(identity), []).append(identity)
            except NoOwner as error:
                self._engine.upstream(identity).amend(error)
                if self._engine.closed or self._engine.clock() + _PAUSE >= deadline:
                    raise
                return None
        return parts


class _Tally:
    """What the nodes answered: keys removed, and profiles that have moved to another node meanwhile."""

    def __init__(self) -> None:
        self.removed = 0
        self.errors: list[tuple[Identity, Redirected]] = []
        self._asked: list[tuple[Identity, Redirected]] = []

    @property
    def redirected(self) -> list[Identity]:
        return [identity for identity, _ in self.errors]

    @property
    def asked(self) -> list[tuple[Identity, Redirected]]:
        """Profiles whose slot is on its way to the node that is named, where they are to be deleted: given once."""
        asked, self._asked = self._asked, []
        return asked

    def take(self, node: Node, identities: Sequence[Identity], replies: list[Any], *, there: bool = False) -> None:
        """Count the replies of one node, be it one that another named. Raises what is no redirection."""
        position = 0
        for identity in identities:
            for reply in replies[position : position + len(identity.keys)]:
                if not isinstance(reply, ErrorReply):
                    self.removed += reply
                    continue
                error = refusal(reply, node.name, doing="DEL")
                if not isinstance(error, Redirected):
                    raise error
                (self._asked if error.ask and not there else self.errors).append((identity, error))
            position += len(identity.keys)


def _command(identities: Sequence[Identity]) -> bytes:
    return pack(*((b"DEL", key) for identity in identities for key in identity.keys))


def _asking(identity: Identity) -> bytes:
    """With the permission to delete it where its slot is going to; there is one key in a cluster."""
    return pack((b"ASKING",), (b"DEL", identity.keys[0]))


def _size(identities: Sequence[Identity]) -> int:
    return sum(len(identity.keys) for identity in identities)


def _counts(replies: list[Any]) -> bool:
    return all(isinstance(reply, int | ErrorReply) for reply in replies)
