"""The threads' connection against real servers: whose reply is whose."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from edgeprofile.errors import LookupTimeout, ProtocolViolation
from edgeprofile.store.blocking import BlockingWire
from edgeprofile.store.endpoint import ConnectionLost, Endpoint
from edgeprofile.store.resp import pack
from tests.support.ports import HOST
from tests.support.servers import Server
from tests.support.wait import until


@contextmanager
def wire_to(address: tuple[str, int]) -> Iterator[BlockingWire]:
    wire = BlockingWire(Endpoint(address=address), max_reply_bytes=1 << 20, connect_timeout=5.0, stall=5.0)
    try:
        yield wire
    finally:
        wire.close()


def echo(wire: BlockingWire, text: str, timeout: float = 5.0) -> bytes:
    (reply,) = wire.call(pack((b"ECHO", text)), 1, time.monotonic() + timeout)
    return reply


@pytest.mark.parametrize("connected", [False, True])
def test_a_call_that_was_too_late_to_be_sent_takes_nobodys_reply(redis_db: Server, *, connected: bool) -> None:
    with wire_to((redis_db.host, redis_db.port)) as wire:
        if connected:
            echo(wire, "first")
        with pytest.raises(LookupTimeout):
            echo(wire, "late", timeout=0.0)
        assert echo(wire, "next") == b"next"


def test_late_calls_among_many_threads_mix_nothing_up(redis_db: Server) -> None:
    wrong: list[str] = []

    def ask(thread: int) -> None:
        for turn in range(200):
            text = f"{thread}.{turn}"
            try:
                reply = echo(wire, text, timeout=0.0 if turn % 3 == 0 else 5.0)
            except LookupTimeout:
                continue
            if reply != text.encode():
                wrong.append(f"{text} got {reply!r}")

    with wire_to((redis_db.host, redis_db.port)) as wire:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_an_answer_that_nobody_asked_for_ends_the_connection_by_name() -> None:
    with socket.create_server((HOST, 0)) as listener, wire_to(listener.getsockname()) as wire:

        def answer_twice() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"$1\r\na\r\n$1\r\nb\r\n")
                connection.recv(1024)

        server = threading.Thread(target=answer_twice)
        server.start()
        with pytest.raises(ProtocolViolation, match="nobody asked"):
            echo(wire, "a")
        server.join()


def test_close_wakes_who_leads_and_who_follows_and_is_for_good(redis_db: Server) -> None:
    with wire_to((redis_db.host, redis_db.port)) as wire, ThreadPoolExecutor(3) as pool:
        echo(wire, "first")
        with redis_db.paused():
            waiting = [pool.submit(echo, wire, text, 30.0) for text in "abc"]
            until(lambda: len(wire._in_flight) + len(wire._queue) == 3, 5, "all of them wait")
            wire.close()
            assert all(isinstance(call.exception(3), ConnectionLost) for call in waiting)
        with pytest.raises(ConnectionLost, match="was closed"):
            echo(wire, "later")
        assert wire.fileno() == -1


def test_close_ends_a_login_that_nobody_answers() -> None:
    with socket.create_server((HOST, 0)) as listener, ThreadPoolExecutor(1) as pool:
        endpoint = Endpoint(address=listener.getsockname(), db=1)
        wire = BlockingWire(endpoint, max_reply_bytes=1 << 20, connect_timeout=30.0, stall=30.0)
        waiting = pool.submit(echo, wire, "a", 30.0)
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            wire.close()
            assert isinstance(waiting.exception(3), ConnectionLost)
