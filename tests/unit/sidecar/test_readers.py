"""How long somebody has read nothing of what there is to read."""

import socket
from contextlib import suppress
from types import SimpleNamespace

import pytest

from edgeprofile_sidecar.readers import PIECE, Reader, pieces


def looked_at(*looks: tuple[float, int]) -> list[float]:
    transport = SimpleNamespace(left=0, get_write_buffer_size=lambda: transport.left)
    reader = Reader(transport)
    found = []
    for now, transport.left in looks:
        found.append(reader.idle(now))
    return found


def test_the_time_begins_when_something_is_unread_and_again_when_less_of_it_is():
    assert looked_at((1.0, 0), (2.0, 9), (5.0, 9), (6.0, 8), (9.0, 8), (9.5, 0)) == [0.0, 0.0, 3.0, 0.0, 3.0, 0.0]


def test_more_to_read_is_not_read():
    assert looked_at((1.0, 5), (3.0, 9), (8.0, 9)) == [0.0, 2.0, 7.0]


def test_what_was_read_between_two_looks_begins_it_anew():
    transport = SimpleNamespace(get_write_buffer_size=lambda: 9)
    reader = Reader(transport)
    reader.idle(1.0)
    reader.left = 0
    assert (reader.idle(8.0), reader.idle(9.0)) == (0.0, 1.0)


@pytest.mark.parametrize("tls", [False, True])
def test_what_tls_handed_down_is_hidden_while_the_socket_takes_no_more(tls):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        extra = {"sslcontext": object() if tls else None, "socket": ours}
        reader = Reader(SimpleNamespace(get_extra_info=extra.get))
        assert not reader.hides()
        with suppress(BlockingIOError):
            while True:
                ours.send(bytes(PIECE))
        assert reader.hides() == tls
        theirs.close()
        assert not reader.hides()


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
def test_pieces_are_small_and_all_of_it(size):
    data = bytes(size)
    assert b"".join(pieces(data)) == data
    assert max(map(len, pieces(data))) <= PIECE
