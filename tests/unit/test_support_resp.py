"""Commands are cut out of a stream whole, wherever the stream is split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.resp import CommandReader, Frame


def encoded(arguments):
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in arguments)


commands = st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=4).map(tuple), max_size=5)


@given(commands, st.data())
def test_every_split_gives_the_same_commands(wanted, data):
    stream = b"".join(encoded(command) for command in wanted)
    reader, frames, position = CommandReader(), [], 0
    while position < len(stream):
        size = data.draw(st.integers(1, len(stream) - position))
        frames += reader.feed(stream[position : position + size])
        position += size
    assert [frame.arguments for frame in frames] == wanted
    assert b"".join(frame.raw for frame in frames) == stream
    assert reader.rest() == b""


@given(commands, st.binary())
def test_no_byte_is_lost_or_changed_whatever_comes(wanted, garbage):
    stream = b"".join(encoded(command) for command in wanted) + garbage
    reader = CommandReader()
    passed = b"".join(frame.raw for byte in stream for frame in reader.feed(bytes([byte])))
    assert passed + reader.rest() == stream


def test_a_command_waits_until_it_is_whole():
    reader = CommandReader()
    whole = encoded((b"get", b"key"))
    assert reader.feed(whole[:-1]) == []
    assert reader.feed(whole[-1:]) == [Frame((b"get", b"key"), whole)]


def test_names_are_compared_in_upper_case():
    (frame,) = CommandReader().feed(encoded((b"hGetAll", b"key")))
    assert frame.name == b"HGETALL"
    assert Frame((), b"").name == b""


def test_inline_commands():
    assert CommandReader().feed(b"PING\r\nget key\r\n") == [
        Frame((b"PING",), b"PING\r\n"),
        Frame((b"get", b"key"), b"get key\r\n"),
    ]


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02", b"*x\r\n", b"*1\r\n:5\r\n", b"*1\r\n$x\r\n", b"P\xff"])
def test_what_is_no_command_passes_at_once_and_for_good(garbage):
    reader = CommandReader()
    assert reader.feed(garbage) == [Frame((), garbage)]
    assert reader.feed(encoded((b"GET", b"k"))) == [Frame((), encoded((b"GET", b"k")))]


def test_the_rest_of_a_stream_is_given_away_once():
    reader = CommandReader()
    reader.feed(b"*1\r\n$4\r\nPI")
    assert reader.rest() == b"*1\r\n$4\r\nPI"
    assert reader.rest() == b""
