"""Plain hashes encoded in C against the Python that has the rules: what the C takes, the Python makes the same bytes of."""

import json
import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeprofile.core.keeper import Identity
from edgeprofile.profile import MAX_DEPTH, Encoded, encode_hash, encode_plain
from edgeprofile.speedups import compiled
from edgeprofile.store import reading
from edgeprofile.store.reading import Reading
from tests.support.memory import holds_and_loses_nothing

pytestmark = [
    pytest.mark.limit(1800),
    pytest.mark.skipif(compiled is None, reason="the compiled part was not built, or is not wanted"),
]

DEEPEST = 64
MOST_MODELS = 64

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
valid = st.builds(
    lambda value, indent, ascii_only, before, after: (
        before + json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode() + after
    ),
    values,
    st.sampled_from([None, 0, 1, "\t", "\r"]),
    st.booleans(),
    *[st.sampled_from([b"", b"", b" ", b"\r\n\t "])] * 2,
)
numbers = st.from_regex(rb"-?[0-9]{0,3}\.?[0-9]{0,3}([eE][+-]?[0-9]{0,4})?", fullmatch=True) | st.sampled_from(
    [
        b"-",
        b"+1",
        b"1" * 5000,
        b"0." + b"1" * 5000,
        b"1e999",
        b"-1E-999",
        b"-0",
        b"-0.0e+00",
        b"0x1",
        b"1_0",
        b"\xd9\xa1",
    ]
)
words = st.sampled_from(
    [b"true", b"false", b"null", b"True", b"nul", b"nulls", b"NaN", b"Infinity", b"-Infinity", b"t\x00ue"]
)
ends_of_ranges = st.sampled_from(
    sorted({edge + step for edge in range(0x80, 0x100, 0x10) for step in (-1, 0, 1, 2, 5)} - {0x100, 0x101, 0x105})
)
characters = st.lists(ends_of_ranges, max_size=5).map(bytes) | st.integers(0, 0x10FFFF).map(
    lambda number: chr(number).encode("utf-8", "surrogatepass")
)
escapes = st.sampled_from([b"\\" + bytes([byte]) for byte in range(256)]) | st.builds(
    lambda kind, digits: b"\\" + kind + digits,
    st.sampled_from([b"u", b"u", b"U", b"x"]),
    st.from_regex(rb"[0-9a-fA-F]{3,4}", fullmatch=True) | st.sampled_from([b"d800", b"DFFF", b"00g0", b"12"]),
)
strings = st.lists(characters | escapes | st.binary(max_size=2), max_size=4).map(b"".join).map(b'"%b"'.__mod__)
nested = st.builds(
    lambda opening, inner, closing, levels, more: opening * levels + inner + closing * (levels + more),
    st.sampled_from([b"[", b'{"a":', b"[ ", b'{"[":\n']),
    st.sampled_from([b"", b"0", b"{}", b'"]"']),
    st.sampled_from([b"]", b"}"]),
    st.sampled_from([1, DEEPEST - 1, DEEPEST, DEEPEST + 1, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 5000]),
    st.sampled_from([0, 0, 0, -1, 1]),
)
pieces = st.lists(
    st.sampled_from([*map(bytes, zip(b'{}[]",:0 e.-\\\x00\x1f\x7f')), b'"a":', b"1", b"true", b"\xef\xbb\xbf"]),
    max_size=9,
).map(b"".join)


@st.composite
def mutated(draw):
    text = bytearray(draw(valid))
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(text)))
        text[begin : begin + draw(st.integers(0, 2))] = draw(pieces | st.binary(max_size=1))
    return bytes(text)


texts = valid | mutated() | numbers | words | strings | nested | pieces | st.binary(max_size=12)
plain_names = st.from_regex(r"[ !#-\[\]-\x7f]{0,8}", fullmatch=True).map(str.encode)
names = (
    plain_names
    | st.sampled_from([b"m", b'"', b"\\", b"\n", b"\x00", b"a\x00", b"\xc3\xa9", b"\xff", b"\xfe"])
    | st.binary(max_size=3)
)
members = st.lists(st.tuples(names, texts) | st.tuples(plain_names, valid), min_size=1, max_size=5)


def flat(pairs):
    return [part for pair in pairs for part in pair]


def no_constant(name):
    raise ValueError(name)


def levels(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(levels, inner), default=0)


def is_plain(text):
    """As the standard library's parser sees it: JSON to the letter, that does not nest deeper than the C follows it."""
    try:
        value = json.loads(text.decode(), parse_constant=no_constant, parse_int=float)
        return levels(value) <= DEEPEST
    except (ValueError, RecursionError):
        return False


@example([(b"m", b'{"a":"\\ud800"}'), (b"n", b"1e999")])  # which msgspec refuses
@given(members)
def test_what_is_taken_is_what_the_python_makes_of_it(pairs):
    encoded = encode_plain(flat(pairs))
    assert encoded is None or encode_hash(flat(pairs)) == Encoded(encoded)


@given(texts)
def test_json_to_the_letter_is_taken_and_nothing_else_is(text):
    assert encode_plain([b"m", text]) == (b'{"m":' + text + b"}" if is_plain(text) else None)


@given(st.dictionaries(plain_names, valid, min_size=1, max_size=5))
def test_plain_hashes_are_taken(held):
    assert encode_plain(flat(held.items())) == encode_hash(flat(held.items())).json


@given(valid, st.data())
def test_what_was_cut_short_is_seen_to_its_end_and_no_further(text, data):
    cut = text[: data.draw(st.integers(0, len(text)))]
    assert (encode_plain([b"m", cut]) is not None) == is_plain(cut)


def decodes(data):
    try:
        return bool(data.decode())
    except UnicodeDecodeError:
        return False


def test_text_is_the_utf_8_that_python_takes():
    ends = (0x00, 0x22, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    tails = [b"", *[bytes([one]) for one in ends], *[bytes([one, two]) for one in ends for two in ends]]
    for lead in range(0x80, 0x100):
        for second in range(0x100):
            for tail in tails if second in ends else tails[:1]:
                data = bytes([lead, second]) + tail
                plain = decodes(data) and not re.search(rb'["\\\x00-\x1f]', data)
                assert (encode_plain([b"m", b'"%b"' % data]) is not None) == plain, data


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_is_one_that_needs_no_escape_or_is_left(byte):
    name = bytes([byte])
    assert (encode_plain([name, b"1"]) is not None) == (
        json.dumps(name.decode("latin-1")) == f'"{chr(byte)}"' or byte == 0x7F
    )


class Bytes(bytes):
    """Bytes of somebody's own kind."""

    __slots__ = ()


@pytest.mark.parametrize(
    "fields",
    [
        None,
        b"m1",
        [],
        (b"m", b"1"),
        [b"m"],
        [b"m", b"1", b"n"],
        [b"m", None],
        [1, b"1"],
        [b"m", "1"],
        [b"m", bytearray(b"1")],
        [Bytes(b"m"), b"1"],
        [b"m", Bytes(b"1")],
        [b"m", b"1", b"n", b"1", b"m", b"2"],
        [b"", b"1", b"", b"1"],
        [part for number in range(MOST_MODELS + 1) for part in (b"%d" % number, b"1")],
    ],
)
def test_whatever_else_it_is_it_is_left(fields):
    assert encode_plain(fields) is None


def test_as_many_models_as_are_taken():
    fields = [part for number in range(MOST_MODELS) for part in (b"%d" % number, b"1")]
    assert encode_plain(fields) == encode_hash(fields).json


def outcome(by, held, replies):
    told = []
    by._unreadable, by._models = told.append, lambda names: told.append([*names])
    try:
        found = by.found(by.ask(Identity("d", "user", "email", "ada", (b"key",))), [held, *replies], "node")
    except Exception as error:  # noqa: BLE001  # whatever it is, both must raise it
        return type(error), str(error), told
    return type(found), getattr(found, "raw", None), getattr(found, "lives", None), told


def reading_of(fields):
    by = Reading(layout="profiles", json_documents=False, unreadable=print)
    by._remember(fields)
    return by


@given(
    members,
    st.sampled_from([-1, -1, -2, 5000]),
    st.lists(st.sampled_from([-1, -1, -1, -2, 2000]), min_size=2, max_size=2),
)
def test_replies_mean_the_same(pairs, ttl, field_ttls):
    here, there = reading_of((b"m", b"n")), reading_of((b"m", b"n"))
    there._encode_plain = reading._left
    for held in (flat(pairs), [b"m", *flat(pairs)[1:]], flat(pairs)[1:], [*flat(pairs), None, 1]):
        assert outcome(here, held, [ttl, field_ttls]) == outcome(there, held, [ttl, field_ttls])


def test_what_is_plain_does_not_come_to_the_python():
    by = reading_of((b"m",))
    by._encode = None
    assert outcome(by, [b"m", b"{}"], [-1, [-1]])[1:3] == (b'{"m":{}}', math.inf)


def test_nothing_is_held_and_nothing_is_lost():
    name, text, broken = b"some name", b'{"some":"text"}', b'{"some":"text"'
    watched = (name, text, broken, None)
    tasks = ([name, text], [name, broken], [name, text, name, text], [name, text, b"other", broken], [name, None], [])

    def use():
        for task in tasks * 10:
            encode_plain(task)

    holds_and_loses_nothing(use, watched)
