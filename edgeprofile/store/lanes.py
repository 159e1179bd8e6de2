"""Blocking connections that carry bulk commands: one for each node, the right one for each key."""

from __future__ import annotations

import socket
import struct
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis.crc import key_slot

from edgeprofile.errors import EdgeProfileError, RedisUnavailable, ServerRefused
from edgeprofile.store.endpoint import Endpoint
from edgeprofile.store.refusals import Unauthenticated, cluster_refusal, refusal
from edgeprofile.store.resp import ErrorReply, ReplyReader, pack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeprofile.config import RedisConfig

__all__ = ["Address", "Batch", "Lane", "Lanes"]

_CHUNK: Final = 1 << 16
_MAX_REPLY: Final = 512 << 20
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
Address = tuple[str, int] | str


class Batch(Protocol):
    """Packed commands of some rows, each row with the same number of commands."""

    def __len__(self) -> int: ...

    @property
    def replies_per_row(self) -> int:
        """How many commands each row has."""

    def payload(self) -> memoryview:
        """The bytes of all commands, row after row."""

    def keys(self) -> list[bytes]:
        """The key of each row."""

    def row(self, index: int) -> list[bytes]:
        """The commands of one row."""

    def take(self, rows: Sequence[int]) -> Batch:
        """Some of the rows."""

    def following(self, rows: Sequence[int]) -> Batch | None:
        """What is to be sent once these rows are in; they count as delivered when that is."""


class Lane:
    """One connection to one node: batches out, their replies in, in order. It connects when it is first used.

    ``timeout`` is how many seconds a connect, a write or a wait for replies may take. ``is_used``: the node has answered,
    over this connection or an earlier one.
    """

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self.endpoint = endpoint
        self.under_way: deque[Batch] = deque()
        self.is_used = False
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._reader = ReplyReader(_MAX_REPLY, self.endpoint.name)
        self._replies: list[Any] = []
        self._has_answered = False
        self._is_asking = False

    @property
    def has_answered(self) -> bool:
        """Whether replies came over the connection that is to be dropped."""
        return self._socket is not None and self._has_answered

    def send(self, batch: Batch) -> None:
        """Write a batch; it is then under way, also when the write fails. Raises ``RedisUnavailable``."""
        self.under_way.append(batch)
        self._write(batch.payload())

    def settle(self) -> tuple[Batch, list[Any]]:
        """Wait for the replies of the oldest batch under way; error replies are values. Raises ``RedisUnavailable``."""
        batch = self.under_way[0]
        replies = self._read(len(batch) * batch.replies_per_row)
        self.under_way.popleft()
        return batch, replies

    def ask(self, *commands: Sequence[bytes | str | int]) -> list[Any]:
        """Send commands with nothing else under way and wait for their replies. Raises ``RedisUnavailable``."""
        self._is_asking = True
        self._write(memoryview(pack(*commands)))
        replies = self._read(len(commands))
        self._is_asking = False
        return replies

    def drop(self) -> list[Batch]:
        """Close the connection; the batches whose replies did not come.

        What is still on its way would be executed whenever the server gets to it, after newer writes even: a reset
        takes it back as far as the server has not read it, and lets no further reply of the server succeed.
        """
        abandoned = list(self.under_way)
        self.under_way.clear()
        connection, self._socket = self._socket, None
        if connection is not None:
            if abandoned or self._is_asking:
                _reset_on_close(connection)
            connection.close()
        self._is_asking = False
        return abandoned

    def _write(self, payload: memoryview) -> None:
        connection = self._socket or self._connect()
        try:
            connection.sendall(payload)
        except OSError as error:
            raise self._lost(error) from error

    def _read(self, count: int) -> list[Any]:
        connection = self._socket or self._connect()
        while len(self._replies) < count:
            try:
                data = connection.recv(_CHUNK)
            except OSError as error:
                raise self._lost(error) from error
            if not data:
                raise self._lost(None)
            self._replies += self._reader.feed(data)
        self._has_answered = self.is_used = True
        replies = self._replies[:count]
        del self._replies[:count]
        return replies

    def _connect(self) -> socket.socket:
        self._reader, self._replies = ReplyReader(_MAX_REPLY, self.endpoint.name), []
        connection = self._socket = self.endpoint.connect(self._timeout)
        connection.settimeout(self._timeout)
        try:
            login = self.endpoint.login()
            if login.expects:
                connection.sendall(login.payload)
                login.admit(self._read(login.expects))
        except BaseException:
            self._socket = None
            connection.close()
            raise
        self._has_answered = False
        return connection

    def _lost(self, error: OSError | None) -> EdgeProfileError:
        node = self.endpoint.name
        if isinstance(error, TimeoutError):
            return RedisUnavailable(f"{node} did not answer within {self._timeout:g} s", node=node)
        return self.endpoint.lost(error, heard=self.is_used)


def _reset_on_close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


class _Incomplete(ServerRefused, RedisUnavailable):
    """Some slots have no node for the moment."""


class Lanes:
    """The lanes to all nodes of a destination, and which key belongs to which. A context manager's job is ``close``.

    ``has_lost_primary``: a node of a cluster that had answered has no slot any more. It may have been made a replica, and
    the primary in its place may not have all that it acknowledged.
    """

    def __init__(self, config: RedisConfig, timeout: float) -> None:
        self.is_cluster = config.cluster_mode
        self._timeout = timeout
        self._seeds = [Endpoint.of(config, seed) for seed in config.seeds]
        self._lanes: dict[Address, Lane] = {}
        self._slots: list[Address] | None = None
        self._primaries: set[Address] = set()
        self.has_lost_primary = False

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def close(self) -> None:
        """Close every connection."""
        for lane in self:
            lane.drop()

    def greet(self) -> None:
        """Connect to one of the configured nodes and log in. Raises what stands in the way; rights are not asked for."""
        if self.is_cluster:
            self._load_slots()
            return
        lane = self.for_key(b"")
        (reply,) = lane.ask(("SELECT", lane.endpoint.db))  # a right that a sync has
        if isinstance(reply, ErrorReply):
            problem = refusal(reply, lane.endpoint.name, doing="SELECT")
            if isinstance(problem, Unauthenticated):
                raise problem

    def at(self, address: Address) -> Lane:
        """The lane to a node."""
        lane = self._lanes.get(address)
        if lane is None:
            lane = self._lanes[address] = Lane(self._seeds[0].at(address), self._timeout)
        return lane

    def forget_slots(self) -> None:
        """The cluster has changed: ask it again before the next batch."""
        self._slots = None

    def for_key(self, key: bytes) -> Lane:
        """The lane to the node that has a key. Raises ``RedisUnavailable`` where no node knows."""
        if not self.is_cluster:
            return self.at(self._seeds[0].address)
        return self.at((self._slots or self._load_slots())[key_slot(key)])

    def split(self, batch: Batch) -> Iterator[tuple[Lane, Batch]]:
        """The parts of a batch and the lanes they belong to. Raises ``RedisUnavailable`` where no node knows."""
        if not self.is_cluster:
            yield self.for_key(b""), batch
            return
        slots = self._slots or self._load_slots()
        rows: dict[Address, list[int]] = {}
        for row, key in enumerate(batch.keys()):
            rows.setdefault(slots[key_slot(key)], []).append(row)
        for address, chosen in rows.items():
            yield self.at(address), batch.take(chosen)

    def _load_slots(self) -> list[Address]:
        failure: EdgeProfileError | None = None
        addresses = dict.fromkeys([*self._lanes, *(seed.address for seed in self._seeds)])
        for address in addresses:
            lane = Lane(self._seeds[0].at(address), self._timeout)
            try:
                found = _slot_map(lane, lane.ask(("CLUSTER", "SLOTS"))[0])
            except EdgeProfileError as error:
                failure = error
            else:
                self._learn(found)
                return found
            finally:
                lane.drop()
        raise failure or RedisUnavailable("no address of the cluster is configured")

    def _learn(self, slots: list[Address]) -> None:
        before, self._primaries = self._primaries, set(slots)
        self.has_lost_primary |= any(at in self._lanes and self._lanes[at].is_used for at in before - self._primaries)
        self._slots = slots


def _slot_map(lane: Lane, reply: Any) -> list[Address]:
    """From ``CLUSTER SLOTS``; a node without a name of its own is the one that was asked."""
    node = lane.endpoint.name
    if isinstance(reply, ErrorReply):
        raise cluster_refusal(reply, node, "CLUSTER SLOTS")
    slots: list[Address | None] = [None] * 16_384
    for first, last, primary, *_ in reply:
        host = primary[0].decode() if primary[0] else lane.endpoint.address[0]
        slots[first : last + 1] = [(host, primary[1])] * (last - first + 1)
    if None in slots:
        raise _Incomplete(f"{node}: the cluster serves only a part of its slots", code="CLUSTERDOWN", node=node)
    return [address for address in slots if address is not None]
