"""What a feed is told does not depend on how the bytes arrive, what the keys hold, or what stands between the events."""

import asyncio
import ctypes
from itertools import accumulate, pairwise, takewhile

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.errors import ProtocolViolation
from edgeprofile.speedups import compiled
from edgeprofile.store.endpoint import Endpoint
from edgeprofile.store.feed import Subscription
from edgeprofile.store.frames import CompiledCutter, Cutter
from edgeprofile.store.keyspace import KeyspaceFeed
from edgeprofile.store.tracking import TrackingFeed, disjoint
from tests.support.memory import holds_and_loses_nothing

pytestmark = pytest.mark.limit(1800)  # at full depth, on a busy machine

PREFIX = b"__keyspace@0__:"
PATTERNS = (PREFIX + b"1Wsp:2Dest:*", PREFIX + b"1Wsp:3Dest:*")
CANARY = PREFIX + b"edgeprofile:canary:x"
CHANNELS = dict.fromkeys(PATTERNS, PREFIX)
HOSTILE = b"\r\n$4\r\nhset\r\n*4\r\n$8\r\npmessage\r\n$"


class Notes:
    """A listener that writes down what it is told; runs of one pattern are joined."""

    def __init__(self):
        self.told = []
        self.cause = None

    def feed_subscribed(self):
        self.told.append("subscribed")

    def feed_changes(self, pattern, keys):
        self.told += [(pattern, key) for key in keys]

    def feed_message(self, channel, event):
        self.told.append((channel, event))

    def feed_pong(self, text):
        self.told.append(text)

    def feed_lost(self, cause):
        self.cause = cause


class Wire:
    """As much of a transport as a feed needs to end."""

    def __init__(self):
        self.ended = False

    def abort(self):
        self.ended = True

    def write(self, data):
        pass


class InPython(KeyspaceFeed):
    """Cuts without the compiled part."""

    def __init__(self, endpoint, subscription, listener):
        super().__init__(endpoint, subscription, listener)
        self._cutter = Cutter(dict.fromkeys(subscription.patterns, subscription.prefix))


def heard(chunks, kind=KeyspaceFeed, subscription=None):
    async def run():
        notes = Notes()
        feed = kind(Endpoint(("h", 1)), subscription or Subscription([CANARY], PATTERNS, PREFIX), notes)
        wire = Wire()
        feed.connection_made(wire)
        for chunk in chunks:
            if not wire.ended:
                feed.data_received(chunk)
        if wire.ended:
            feed.connection_lost(None)
        return notes

    return asyncio.run(run())


def frame(*parts):
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


keys = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([HOSTILE, HOSTILE + b"31\r\n" + PATTERNS[0], b"x" * 600, b"\r\n", b"", b"9\r\n"]),
    st.builds(lambda left, right: left + HOSTILE + right, st.binary(max_size=9), st.binary(max_size=9)),
)
events = st.sampled_from(
    [b"hset", b"hset", b"del", b"expire", b"rename_to", b"json.set", b"", b"\r\n$4\r\nhset", b"x" * 99]
)
changes = st.builds(
    lambda pattern, key, event: (frame(b"pmessage", pattern, PREFIX + key, event), (pattern, key)),
    st.sampled_from(PATTERNS),
    keys,
    events,
)
messages = st.builds(lambda event: (frame(b"message", CANARY, event), (CANARY, event)), events)
pongs = st.builds(lambda text: (frame(b"pong", text), text), st.binary(max_size=9))
acknowledgements = st.sampled_from([b"subscribe", b"psubscribe"]).map(
    lambda kind: (frame(kind, CANARY).replace(b"*2", b"*3", 1) + b":1\r\n", None)
)
runs = st.builds(lambda some, times: some * times, st.lists(changes, max_size=4), st.integers(1, 40))


def streams_of(*parts):
    return st.lists(st.one_of(*parts), max_size=8).map(lambda found: [each for part in found for each in part])


usual = (runs, runs, st.tuples(messages), st.tuples(pongs))
streams, interrupted = streams_of(*usual), streams_of(*usual, st.tuples(acknowledgements))


def cut(data, places):
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds) if start < end]


whichever = pytest.mark.parametrize("kind", [KeyspaceFeed, InPython])


@whichever
@given(stream=streams, places=st.lists(st.integers(0, 1 << 20), max_size=12))
def test_what_is_told_is_what_was_sent_however_it_arrives(kind, stream, places):
    data = b"".join(sent for sent, _ in stream)
    notes = heard(cut(data, places), kind)
    assert notes.told == [told for _, told in stream]
    assert notes.cause is None


@whichever
@pytest.mark.parametrize("event", [b"hset", b"unheard-of", b"hincrbyfloat"])
@pytest.mark.parametrize("key", [b"k", b"x" * 600, b"*4\r\n$8", HOSTILE])
def test_an_event_is_told_at_once_whatever_it_is(key, event, kind):
    assert heard([frame(b"pmessage", PATTERNS[0], PREFIX + key, event)], kind).told == [(PATTERNS[0], key)]


class General(KeyspaceFeed):
    """Everything through the general reader."""

    def _received(self, data):
        self._read(data)

    def _take(self, frame):
        super()._take(frame)
        self._flush()


damages = st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(max_size=3), st.integers(0, 3)), max_size=3)


def damaged(stream, damages):
    data = b"".join(sent for sent, _ in stream)
    for place, new, gone in damages:
        start = place % (len(data) + 1)
        data = data[:start] + new + data[start + gone :]
    return data


@whichever
@given(stream=interrupted, damages=damages, places=st.lists(st.integers(0, 1 << 20), max_size=6))
def test_damaged_bytes_are_told_as_the_general_reader_reads_them(kind, stream, damages, places):
    chunks = cut(damaged(stream, damages), places)
    notes, expected = heard(chunks, kind), heard(chunks, General)
    assert type(notes.cause) is type(expected.cause)
    assert notes.told == expected.told[: len(notes.told)]
    assert notes.cause is not None or len(notes.told) == len(expected.told)


class Counting(InPython):
    """Counts the frames that the general reader takes."""

    taken = 0

    def _take(self, frame):
        Counting.taken += 1
        super()._take(frame)


@pytest.mark.parametrize("size", [1000, 1 << 16, 1 << 20])
@pytest.mark.parametrize(
    "odd", [frame(b"message", CANARY, b"hincrby"), frame(b"pmessage", PATTERNS[0], PREFIX + b"x" * 600, b"del")]
)
def test_what_follows_an_odd_frame_is_cut_again(odd, size, monkeypatch):
    monkeypatch.setattr(Counting, "taken", 0)
    usual = b"".join(
        frame(b"pmessage", PATTERNS[0], PREFIX + b"1Wsp:2Dest:user:email:%d" % n, b"hset") for n in range(2000)
    )
    data = usual + odd + usual
    notes = heard([data[start : start + size] for start in range(0, len(data), size)], Counting)
    assert len(notes.told) == 4001
    assert Counting.taken <= 3


def test_a_stream_of_odd_frames_is_taken_in_one_go(monkeypatch):
    monkeypatch.setattr(Counting, "taken", 0)
    odd = frame(b"pmessage", PATTERNS[0], PREFIX + b"x" * 600, b"del")
    assert len(heard([odd * 300], Counting).told) == Counting.taken == 300


@whichever
@given(stream=streams)
def test_one_byte_at_a_time(kind, stream):
    data = b"".join(sent for sent, _ in stream[:4])
    assert heard([data[n : n + 1] for n in range(len(data))], kind).told == [told for _, told in stream[:4]]


@given(st.lists(changes, max_size=20))
def test_the_cutter_agrees_with_hiredis(stream):
    data = b"".join(sent for sent, _ in stream)
    reader = hiredis.Reader()
    reader.feed(data)
    expected = [reader.gets() for _ in stream]
    found = Cutter(CHANNELS).cut(data)
    taken = [(pattern, key) for pattern, run in found.changes for key in run]
    assert taken == [(pattern, channel[len(PREFIX) :]) for _, pattern, channel, _ in expected][: len(taken)]
    assert data.endswith(found.rest)
    assert len(data) - len(found.rest) == sum(len(sent) for sent, _ in stream[: len(taken)])


@pytest.mark.parametrize("names", [[b"hset"], [b"hset", b"expire"], [b"of-%d" % n for n in range(99)]])
@pytest.mark.parametrize("patterns", [PATTERNS[:1], PATTERNS])
def test_usual_events_never_reach_the_general_reader(names, patterns):
    data = b"".join(
        frame(
            b"pmessage",
            patterns[n % len(patterns)],
            PREFIX + b"1Wsp:2Dest:user:email:%d" % 7 ** (n % 20),
            names[n // 2 % len(names)],
        )
        for n in range(500)
    )
    found = Cutter(CHANNELS).cut(data)
    assert found.rest == b""
    assert sum(len(run) for _, run in found.changes) == 500


needs_compiled = pytest.mark.skipif(compiled is None, reason="the compiled part was not built, or is not wanted")


def keys_of(found):
    return [(pattern, key) for pattern, run in found.changes for key in run]


@needs_compiled
@given(interrupted, st.integers(0, 1 << 20))
def test_the_compiled_cutter_takes_every_whole_event_that_stands_before_all_else(stream, place):
    data = b"".join(sent for sent, _ in stream)
    data = data[: place % (len(data) + 1)]
    ends = accumulate(len(sent) for sent, _ in stream)
    whole = [each for each, end in zip(stream, ends, strict=True) if end <= len(data)]
    taken = list(takewhile(lambda each: each[0].startswith(b"*4\r\n$8\r\npmessage\r\n"), whole))
    found = CompiledCutter(CHANNELS).cut(data)
    assert keys_of(found) == [told for _, told in taken]
    assert found.rest == data[sum(len(sent) for sent, _ in taken) :]
    assert all(one != other for (one, _), (other, _) in pairwise(found.changes))


@needs_compiled
@given(interrupted, damages)
def test_the_compiled_cutter_takes_what_the_python_takes_and_goes_on(stream, damages):
    data = damaged(stream, damages)
    here, there = CompiledCutter(CHANNELS).cut(data), Cutter(CHANNELS).cut(data)
    assert keys_of(here)[: len(keys_of(there))] == keys_of(there)
    assert there.rest.endswith(here.rest)
    assert here == there or len(here.rest) < len(there.rest)


@needs_compiled
@given(interrupted, damages, st.integers(0, 1 << 20))
def test_what_stands_behind_the_bytes_is_not_looked_at(stream, damages, place):
    data, channels = damaged(stream, damages), tuple(CHANNELS.items())
    end = place % (len(data) + 1)
    assert compiled.cut(memoryview(data)[:end], channels) == compiled.cut(data[:end], channels)


@needs_compiled
@pytest.mark.parametrize(
    "length", [b"", b"+1", b"-1", b"01", b" 1", b"1 ", b"999999999", b"9" * 10, b"9" * 19, b"9" * 99]
)
@pytest.mark.parametrize("place", range(3))
def test_a_length_that_is_none_or_too_much_is_left_to_the_general_reader(length, place):
    parts = [PATTERNS[0], PREFIX + b"k", b"hset"]
    texts = [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    texts[place] = b"$%b\r\n%b\r\n" % (length, parts[place])
    usual, odd = frame(b"pmessage", *parts), b"*4\r\n$8\r\npmessage\r\n" + b"".join(texts)
    found = CompiledCutter(CHANNELS).cut(usual + odd)
    assert found.changes == [(PATTERNS[0], [b"k"])]
    assert found.rest == odd


@needs_compiled
@pytest.mark.parametrize(
    "args", [("text", ()), (b"", []), (b"", (1,)), (b"", ((b"",),)), (b"", ((b"", ""),)), (b"", ((None, b""),)), (b"",)]
)
def test_what_cannot_be_cut_is_refused(args):
    with pytest.raises(TypeError):
        compiled.cut(*args)


@needs_compiled
def test_there_may_be_no_bytes_at_no_place():
    nowhere = memoryview((ctypes.c_char * 0).from_address(0))
    assert compiled.cut(nowhere, tuple(CHANNELS.items())) == ([], 0)


@needs_compiled
def test_nothing_is_held_of_what_was_cut():
    usual = b"".join(
        frame(b"pmessage", pattern, PREFIX + b"%d" % n, b"hset") for n in range(99) for pattern in PATTERNS
    )
    cutter, whole = CompiledCutter(CHANNELS), usual + b"*4\r\n"
    watched = (*PATTERNS, PREFIX, whole)

    def use():
        for data in (whole, usual[:-1], b"", b"+OK\r\n"):
            cutter.cut(data)

    holds_and_loses_nothing(use, watched)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"+OK\r\n",
        b":1\r\n",
        b"*0\r\n",
        b"*1\r\n*1\r\n$1\r\nx\r\n",
        b"@nonsense\r\n",
        frame(b"pmessage", PATTERNS[0], b"another channel", b"hset"),
        frame(b"smessage", b"a", b"b"),
        b"*4\r\n$8\r\npmessage\r\n$1\r\nx\r\n:1\r\n$1\r\nx\r\n",
    ],
)
def test_what_no_feed_sends_ends_the_connection(nonsense):
    notes = heard([nonsense])
    assert isinstance(notes.cause, ProtocolViolation)


def push(*parts):
    return b">" + frame(*parts)[1:]


def invalidate(*names):
    return b">2\r\n$10\r\ninvalidate\r\n" + frame(*names)


TRACKED = Subscription([b"edgeprofile:canary:x:1"], [b"1Wsp:2Dest:", b"1Wsp:"], b"edgeprofile:canary:x")
GREETING = b"%1\r\n$2\r\nid\r\n:7\r\n+OK\r\n"


def tracked(*chunks):
    return heard([GREETING, *chunks], TrackingFeed, TRACKED)


def test_invalidations_are_told_to_every_destination_concerned():
    notes = tracked(invalidate(b"1Wsp:2Dest:a", b"1Wsp:b", b"elsewhere"))
    assert notes.told == [
        "subscribed",
        (b"1Wsp:2Dest:", b"1Wsp:2Dest:a"),
        (b"1Wsp:", b"1Wsp:2Dest:a"),
        (b"1Wsp:", b"1Wsp:b"),
    ]


def test_the_heartbeats_own_invalidation_is_told_once():
    notes = tracked(invalidate(b"edgeprofile:canary:x:0", b"edgeprofile:canary:x:1"))
    assert notes.told == ["subscribed", (b"edgeprofile:canary:x:1", b"invalidate")]


def test_an_invalidation_of_everything_ends_the_epoch():
    notes = tracked(b">2\r\n$10\r\ninvalidate\r\n_\r\n")
    assert "flushed" in str(notes.cause)


def test_an_unknown_push_ends_the_connection():
    assert isinstance(tracked(push(b"message", b"a", b"b")).cause, ProtocolViolation)


def test_a_fence_is_two_pings():
    async def run():
        notes, sent = Notes(), []
        feed = TrackingFeed(Endpoint(("h", 1)), TRACKED, notes)
        wire = Wire()
        wire.write = sent.append
        feed.connection_made(wire)
        feed.data_received(GREETING)
        feed.ping(b"3")
        feed.data_received(b"$1\r\n3\r\n")
        assert notes.told == ["subscribed"]
        feed.data_received(b"$1\r\n3\r\n")
        assert notes.told == ["subscribed", b"3"]
        assert len(sent) == 2

    asyncio.run(run())


def test_fences_may_overlap():
    async def run():
        notes = Notes()
        feed = TrackingFeed(Endpoint(("h", 1)), TRACKED, notes)
        feed.connection_made(Wire())
        feed.data_received(GREETING)
        feed.ping(b"3")
        feed.data_received(b"$1\r\n3\r\n")
        feed.ping(b"4")
        feed.data_received(b"$1\r\n3\r\n$1\r\n4\r\n$1\r\n4\r\n")
        assert notes.told == ["subscribed", b"3", b"4"]

    asyncio.run(run())


@given(st.lists(st.binary(max_size=4), max_size=8))
def test_disjoint_prefixes_cover_the_same_keys(prefixes):
    kept = disjoint(prefixes)
    assert all(any(prefix.startswith(one) for one in kept) for prefix in prefixes if prefix)
    assert not any(one != other and one.startswith(other) for one in kept for other in kept)
