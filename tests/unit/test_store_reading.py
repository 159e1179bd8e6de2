"""What is asked of Redis for one profile, byte for byte, and that what is learned of its fields is asked next time."""

import math
from collections.abc import Iterable

import pytest

from edgeprofile.core.keeper import Found, Identity
from edgeprofile.store.reading import Reading, Unasked
from edgeprofile.store.resp import ErrorReply, pack

KEY = b"1Wsp:2Dest:user:email:100%d@example.com"
OTHER = b"1Wsp:user:email:100%d@example.com"
PERCENT = b"rate_%d_%(key)b\r\n$0\r\n"


def reading(**how: object) -> Reading:
    found: list[str] = []

    def models(names: Iterable[str]) -> None:
        found.extend(names)

    return Reading(**{"layout": "profiles", "json_documents": False, "unreadable": print, "models": models, **how})  # type: ignore[arg-type]


def asked_for(*keys: bytes) -> Identity:
    return Identity("2Dest", "user", "email", "100%d@example.com", keys)


def learn(by: Reading, *fields: bytes) -> Unasked:
    hash_of = [part for name in fields for part in (name, b"{}")]
    found = by.found(by.ask(asked_for(KEY)), [hash_of, -1], "node")
    assert isinstance(found, Unasked)
    return found


def test_a_hash_is_asked_for_with_its_ttl() -> None:
    ask = reading().ask(asked_for(KEY))
    assert ask.payload == pack(("HGETALL", KEY), ("PTTL", KEY))
    assert ask.expects == 2


@pytest.mark.parametrize("length", [0, 1, 9, 10, 512, 513, 70_000])
def test_keys_of_any_length_are_asked_for_again_and_again(length: int) -> None:
    by = reading()
    learn(by, b"m")
    for key in (b"a" * length, b"b" * length, b"\r" * length):
        expected = pack(("HGETALL", key), ("PTTL", key), ("HPTTL", key, "FIELDS", 1, b"m"))
        assert by.ask(asked_for(key)).payload == expected


def test_a_document_is_asked_for_with_its_ttl() -> None:
    ask = reading(json_documents=True).ask(asked_for(KEY))
    assert ask.payload == pack(("JSON.GET", KEY, "."), ("PTTL", KEY))


@pytest.mark.parametrize("fields", [(b"m",), (b"m", PERCENT), (b"", b"m"), (b"$0\r\n\r\n",)])
def test_fields_are_asked_about_once_alone_and_then_along(fields: tuple[bytes, ...]) -> None:
    by = reading()
    unasked = learn(by, *fields)
    assert unasked.ask.payload == pack(("HPTTL", KEY, "FIELDS", len(fields), *fields))
    assert by.finish(unasked, [[-1] * len(fields)], "node") == Found(unasked.found.raw, math.inf)

    ask = by.ask(asked_for(KEY, OTHER))
    commands = [
        command
        for key in (KEY, OTHER)
        for command in (("HGETALL", key), ("PTTL", key), ("HPTTL", key, "FIELDS", len(fields), *fields))
    ]
    assert ask.payload == pack(*commands)
    assert ask.expects == 6


def test_fields_that_are_known_are_not_asked_about_again() -> None:
    by = reading()
    learn(by, b"m", b"n")
    found = by.found(by.ask(asked_for(KEY)), [[b"n", b"{}"], -1, [-2, -1]], "node")
    assert found == Found(b'{"n":{}}', math.inf)
    assert isinstance(by.found(by.ask(asked_for(KEY)), [[b"o", b"{}"], -1, [-2, -2]], "node"), Unasked)


def test_the_earliest_end_counts() -> None:
    by = reading()
    learn(by, b"m", b"n")
    ask = by.ask(asked_for(KEY))
    both = [b"m", b"{}", b"n", b"{}"]
    assert by.found(ask, [both, 5_000, [-1, -1]], "node") == Found(b'{"m":{},"n":{}}', 5.0)
    assert by.found(ask, [both, 5_000, [2_000, -1]], "node") == Found(b'{"m":{},"n":{}}', 2.0)
    assert by.found(ask, [both, 5_000, [-2, -1]], "node") == Found(b'{"m":{},"n":{}}', 0.0)


def test_replies_of_other_types_are_none_of_these() -> None:
    by = reading()
    learn(by, b"m")
    ask = by.ask(asked_for(KEY))
    assert ask.sound([[], -2, None])
    assert ask.sound([ErrorReply("WRONGTYPE"), -1, ErrorReply("WRONGTYPE")])
    assert not ask.sound([-2, [], None])
    assert not by.ask(asked_for(KEY, OTHER)).sound([[], -2, [-1], -2, [], None])


def test_a_server_that_knows_no_field_ttls_is_not_asked_for_them_until_hope_returns() -> None:
    by = reading()
    learn(by, b"m")
    unknown = ErrorReply("ERR unknown command 'HPTTL'")
    assert by.found(by.ask(asked_for(KEY)), [[b"m", b"{}"], -1, unknown], "node") == Found(b'{"m":{}}', math.inf)
    assert by.ask(asked_for(KEY)).payload == pack(("HGETALL", KEY), ("PTTL", KEY))
    by.hope()
    assert by.ask(asked_for(KEY)).expects == 3


def test_a_right_that_was_missing_is_missed_until_it_is_seen_again() -> None:
    by = reading()
    learn(by, b"m")
    refused = ErrorReply("NOPERM User app has no permissions to run the 'hpttl' command")

    def asks(reply: object) -> tuple[bool, int]:
        ask = by.ask(asked_for(KEY))
        by.found(ask, [[b"m", b"{}"], -1, reply][: ask.expects], "node")
        return bool(by.weakness), by.ask(asked_for(KEY)).expects

    assert asks(refused) == (True, 2)
    for _ in range(2):
        by.retry()
        assert (bool(by.weakness), by.ask(asked_for(KEY)).expects) == (True, 3)
        assert asks(refused) == (True, 2)
    by.retry()
    assert asks([-1]) == (False, 3)


def test_a_server_that_knows_no_field_ttls_is_not_tried_again_within_an_epoch() -> None:
    by = reading()
    learn(by, b"m")
    by.found(by.ask(asked_for(KEY)), [[b"m", b"{}"], -1, ErrorReply("ERR unknown command 'HPTTL'")], "node")
    by.retry()
    assert by.ask(asked_for(KEY)).expects == 2


def test_a_document_that_only_lenient_parsers_take_has_models_too() -> None:
    names: list[str] = []
    by = reading(json_documents=True, models=names.extend)
    text = b'{"m":{"a":"\\ud800"},"n":1}'
    assert by.found(by.ask(asked_for(KEY)), [text, -1], "node") == Found(text, math.inf)
    assert names == ["m", "n"]
