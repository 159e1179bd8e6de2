"""A socket under deadlines: what is written arrives whole, and nothing is waited for longer than allowed."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from edgeprofile.store.line import Line, TlsLine, line

LARGE = bytes(range(256)) * 40_000


@pytest.fixture
def ends() -> Iterator[tuple[Line, socket.socket]]:
    here, there = socket.socketpair()
    there.settimeout(10)
    with here, there:
        yield line(here), there


def soon() -> float:
    return time.monotonic() + 10


def test_what_has_come_is_read_at_once(ends: tuple[Line, socket.socket]) -> None:
    here, there = ends
    assert not here.stirs()
    there.sendall(b"+OK\r\n")
    assert here.stirs()
    assert here.receive(soon()) == b"+OK\r\n"
    assert not here.stirs()


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.0005, 0.02])
def test_nothing_is_waited_for_beyond_the_deadline(ends: tuple[Line, socket.socket], seconds: float) -> None:
    here, _there = ends
    deadline = time.monotonic() + seconds
    with pytest.raises(TimeoutError):
        here.receive(deadline)
    assert time.monotonic() >= deadline


def test_a_deadline_farther_than_one_poll_can_wait_is_kept(ends: tuple[Line, socket.socket]) -> None:
    here, there = ends
    threading.Timer(0.05, there.sendall, [b"late"]).start()
    assert here.receive(time.monotonic() + 1e9) == b"late"


def test_the_end_is_nothing(ends: tuple[Line, socket.socket]) -> None:
    here, there = ends
    there.close()
    assert here.stirs()
    assert here.receive(soon()) == b""


def test_more_than_fits_at_once_is_written_whole(ends: tuple[Line, socket.socket]) -> None:
    here, there = ends
    arrived = bytearray()

    def read() -> None:
        while len(arrived) < len(LARGE):
            arrived.extend(there.recv(1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    here.send(LARGE, soon())
    reader.join(10)
    assert arrived == LARGE
    there.sendall(b"answer")  # it is waited for with poll again, as before
    assert here.receive(soon()) == b"answer"


def test_a_reader_who_stands_still_is_not_waited_for_beyond_the_deadline(ends: tuple[Line, socket.socket]) -> None:
    here, _there = ends
    with pytest.raises(TimeoutError):
        here.send(LARGE, time.monotonic() + 0.05)


def test_who_waits_is_woken_by_the_end(ends: tuple[Line, socket.socket]) -> None:
    here, _there = ends
    threading.Timer(0.05, here.shut).start()
    assert here.receive(soon()) == b""


def test_a_plain_socket_is_none_of_tls(ends: tuple[Line, socket.socket]) -> None:
    here, _there = ends
    assert not isinstance(here, TlsLine)
