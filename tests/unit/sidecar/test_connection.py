"""The parts of the data listener that real clients cannot make fail."""

import asyncio
import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest

from edgeprofile.config import SidecarConfig
from edgeprofile_sidecar.activation import Question
from edgeprofile_sidecar.answers import Answer, Long
from edgeprofile_sidecar.counters import Counters
from edgeprofile_sidecar.listener import Listener


class Broken:
    """A service with a defect."""

    def admit(self, _: Any) -> Any:
        raise KeyError("ada@example.com")


async def ask(listener: Listener, sent: bytes) -> bytes:
    server = await asyncio.get_running_loop().create_server(listener.server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return head + await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()
        server.close()
        await listener.server.shutdown(0.01)


def test_a_defect_is_500_in_the_form_of_errors_and_is_logged_by_its_place(caplog):
    caplog.set_level(logging.INFO)

    async def scenario() -> tuple[bytes, Counters]:
        counters = Counters()
        listener = Listener(Broken(), SidecarConfig(), counters)
        return await ask(listener, b"POST /v1/activation HTTP/1.1\r\nHost: x\r\n\r\n"), counters

    answer, counters = asyncio.run(scenario())
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b'{"error":"The sidecar failed to answer; its log says why"}')
    (record,) = caplog.records
    assert record.__dict__["error"] == "KeyError"
    assert record.__dict__["trace"][-1].endswith(" admit")
    assert "ada@example.com" not in caplog.text
    assert counters.requests == {("/v1/activation", "POST", 500): 1}
    assert counters.in_flight == 0


class Readable(Broken):
    """A service that answers every question, at once if that is how it is asked."""

    def __init__(self) -> None:
        self.quick = 0

    def admit(self, _: Any) -> Any:
        return None

    def ask(self, body: bytes, _: Any) -> Answer | Question:
        return Answer(200, b'"slow %b"' % body)

    def at_once(self, _: str, body: bytes) -> Answer | None:
        if body == b"cold":
            return None
        self.quick += 1
        return Answer(200, b'"quick %b"' % body)


class Eager(asyncio.Transport):
    """A caller who sends what is next before anything else gets its turn."""

    def __init__(self, requests: list[bytes]) -> None:
        super().__init__()
        self.requests = requests
        self.wanted = len(requests)
        self.received = b""
        self.read_all = asyncio.Event()

    def write(self, data: Any) -> None:
        self.received += data
        self.send()
        if self.received.count(b"HTTP/1.1 200") == self.wanted:
            self.read_all.set()

    def send(self) -> None:
        if self.requests:
            asyncio.get_running_loop().call_soon(self.to.data_received, self.requests.pop(0))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass


def post(body: bytes) -> bytes:
    return b"POST /v1/activation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: 4\r\n\r\n" + body


def test_a_quick_caller_gets_back_on_the_lane_and_its_answers_in_order():
    async def scenario() -> tuple[bytes, int, int]:
        service = Readable()
        listener = Listener(service, SidecarConfig(), Counters())
        transport = Eager([post(body) for body in (b"cold", b"hot1", b"hot2", b"cold", b"hot3")])
        transport.to = connection = listener.server()
        connection.connection_made(transport)
        transport.send()
        await asyncio.wait_for(transport.read_all.wait(), 10)
        count = connection._request_count
        connection.connection_lost(None)
        return transport.received, service.quick, count

    received, quick, slow = asyncio.run(scenario())
    assert re.findall(rb'"\w+ (\w+)"', received) == [b"cold", b"hot1", b"hot2", b"cold", b"hot3"]
    assert (quick, slow) == (3, 2)


class Deaf(Eager):
    """A caller who reads nothing until told to."""

    def __init__(self) -> None:
        super().__init__([])
        self.wanted = 1
        self.reads = False
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return 0 if self.reads else len(self.received)

    def abort(self) -> None:
        self.aborted = self.reads = True


@pytest.mark.parametrize("reads", [False, True])
def test_who_reads_nothing_is_cut_off_though_its_next_request_was_refused(reads):
    async def scenario() -> tuple[bytes, list[bool], int]:
        counters, clock = Counters(), SimpleNamespace(now=1.0)
        config = SidecarConfig(header_timeout=2.0, write_timeout=30.0)
        listener = Listener(Readable(), config, counters)
        listener.server.clock = lambda: clock.now
        transport = Deaf()
        connection = listener.server()
        connection.connection_made(transport)
        connection.data_received(post(b"cold"))
        await asyncio.wait_for(transport.read_all.wait(), 10)
        connection.data_received(b"P")
        aborted = []
        for clock.now, transport.reads in ((2.0, False), (4.0, False), (31.5, reads), (33.0, reads), (80.0, True)):
            listener.server.expire()
            aborted.append(transport.aborted)
        connection.connection_lost(None)
        return transport.received, aborted, counters.closed["slow reader"]

    received, aborted, count = asyncio.run(scenario())
    assert received.count(b"HTTP/1.1 200 ") == received.count(b"HTTP/1.1 408 ") == 1
    assert aborted == [False, False, False, not reads, not reads]
    assert count == (not reads)


class Slow(Deaf):
    """A caller who reads one answer, when told to."""

    def write(self, data: Any) -> None:
        super().write(data)
        if not self.to.writing_paused:
            self.to.pause_writing()

    def read(self) -> None:
        self.reads = True
        self.to.resume_writing()


@pytest.mark.parametrize(("sent", "then"), [(post(b"cold"), [0, 0, 0, 0]), (b"P", [0, 0, 0, 1])])
def test_what_comes_behind_an_answer_has_its_time_when_that_is_read(sent, then):
    async def scenario() -> tuple[int, list[int]]:
        clock = SimpleNamespace(now=1.0)
        listener = Listener(Readable(), SidecarConfig(header_timeout=2.0, write_timeout=30.0), Counters())
        listener.server.clock = lambda: clock.now
        transport = Slow()
        transport.to = connection = listener.server()
        connection.connection_made(transport)
        connection.data_received(post(b"cold"))
        await asyncio.wait_for(transport.read_all.wait(), 10)
        connection.data_received(sent)
        refused = []
        for clock.now, reads in ((2.0, False), (9.0, False), (10.5, True), (13.0, False)):
            listener.server.expire()
            refused.append(transport.received.count(b"HTTP/1.1 408 "))
            if reads:
                transport.read()
                for _ in range(5):
                    await asyncio.sleep(0)
        connection.connection_lost(None)
        return transport.received.count(b"HTTP/1.1 200 "), refused

    answered, refused = asyncio.run(scenario())
    assert answered == (2 if sent != b"P" else 1)
    assert refused == then


PARTS = (b"[" + b"x" * 100_000, b"y" * 100_000, b"]")


class Wordy(Readable):
    """A service whose batches are long."""

    async def batch(self, _: bytes, __: Any) -> Answer:
        return Long(200, b"", parts=PARTS)


def batch() -> bytes:
    return post(b"{}  ").replace(b"/v1/activation", b"/v2/activation/batch")


def test_a_long_answer_is_one_answer():
    async def scenario() -> bytes:
        return await ask(Listener(Wordy(), SidecarConfig(), Counters()), batch())

    answer = asyncio.run(scenario())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b"".join(PARTS)


def test_of_a_long_answer_only_what_is_read_is_followed_by_more():
    async def scenario() -> list[tuple[int, int]]:
        listener = Listener(Wordy(), SidecarConfig(), Counters())
        transport = Slow()
        transport.to = connection = listener.server()
        connection.connection_made(transport)
        connection.data_received(batch())
        sent = []
        for _ in range(4):
            for _ in range(10):
                await asyncio.sleep(0)
            sent.append((transport.received.count(b"x") + transport.received.count(b"y"), connection.waiting))
            if connection._paused:
                connection.resume_writing()
        connection.connection_lost(None)
        return sent

    sent = asyncio.run(scenario())
    assert [(begun // 100_000, left // 100_000) for begun, left in sent] == [(1, 2), (2, 1), (2, 0), (2, 0)]
