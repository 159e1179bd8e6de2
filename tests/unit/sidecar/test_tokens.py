"""Tokens: who is let in, and what a tokens file says."""

import json
import re
import time
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile_sidecar.tokens import Denial, Grant, Token, Tokens, dump, fingerprint, parse
from tests.support.sidecar import token

NOW = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
SECRET = "ep_" + "x" * 43

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)
NAMES = st.text(min_size=1, max_size=200)
TIMES = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (hypothesis adds the zone)
TOKENS = st.lists(
    st.builds(
        Token,
        name=NAMES,
        sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
        destinations=st.just("all") | st.lists(NAMES).map(tuple),
        permissions=st.sampled_from([("read",), ("delete",), ("read", "delete"), ()]),
        created=TIMES,
        expires=st.none() | TIMES,
    ),
    unique_by=(lambda made: made.name, lambda made: made.sha256),
)


def admitted(*authorization: str, tokens: Tokens | None = None, now: float = NOW) -> Grant | Denial:
    return (tokens or Tokens([token(SECRET)])).admit(authorization, now)


# The header


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {SECRET}",
        f"bearer {SECRET}",
        f"BEARER {SECRET}",
        f"bEaReR {SECRET}",
        f"Bearer   {SECRET}",
        f"Bearer {SECRET}  ",
        f"Bearer {SECRET}\t",
    ],
)
def test_the_header_may_be_spelled(value):
    assert isinstance(admitted(value), Grant)


@pytest.mark.parametrize(
    "values",
    [
        ("",),
        ("Bearer",),
        ("Bearer ",),
        (SECRET,),
        (f"Basic {SECRET}",),
        (f"Bearer{SECRET}",),
        (f"Bearer\t{SECRET}",),
        (f"Token {SECRET}",),
        (f"Bearer {SECRET}\u00e9",),
        (f"Bearer {SECRET}", f"Bearer {SECRET}"),
        (f"Bearer {SECRET}", "Basic x"),
        ("Bearer \udcff",),
    ],
)
def test_headers_that_are_no_bearer_token(values):
    assert admitted(*values) is Denial.MALFORMED


def test_no_header():
    assert admitted() is Denial.MISSING


@pytest.mark.parametrize(
    "secret",
    [SECRET[:-1], SECRET + "x", SECRET.upper(), f"{SECRET} {SECRET}", f"{SECRET},", fingerprint(SECRET), "x"],
)
def test_other_values_are_unknown(secret):
    assert admitted(f"Bearer {secret}") is Denial.UNKNOWN


@given(st.lists(st.text(), max_size=3))
def test_no_header_raises_and_none_lets_in(values):
    assert isinstance(admitted(*values), Denial)


# Which token


@given(st.lists(VISIBLE, unique=True, min_size=1), st.data())
def test_each_secret_opens_its_own_grant_again_and_again(secrets, data):
    tokens = Tokens(token(secret, name=f"token {index}") for index, secret in enumerate(secrets))
    for secret in data.draw(st.lists(st.sampled_from(secrets), max_size=20)):
        grant = admitted(f"Bearer {secret}", tokens=tokens)
        assert isinstance(grant, Grant)
        assert grant.name == f"token {secrets.index(secret)}"


@given(VISIBLE, VISIBLE)
def test_a_secret_does_not_open_the_token_of_another(kept, tried):
    grant = admitted(f"Bearer {tried}", tokens=Tokens([token(kept)]))
    assert isinstance(grant, Grant) == (kept == tried)


def test_a_token_ends_at_its_second_and_also_once_it_is_known():
    ending = msgspec.structs.replace(token(SECRET), expires=datetime.fromtimestamp(NOW, UTC))
    tokens = Tokens([ending])
    assert isinstance(admitted(f"Bearer {SECRET}", tokens=tokens, now=NOW - 0.001), Grant)
    assert admitted(f"Bearer {SECRET}", tokens=tokens, now=NOW) is Denial.EXPIRED
    assert admitted(f"Bearer {SECRET}", tokens=tokens, now=NOW + 1e9) is Denial.EXPIRED


def test_a_token_without_an_end_does_not_end():
    assert isinstance(admitted(f"Bearer {SECRET}", now=4e12), Grant)


def test_what_is_remembered_of_headers_is_bounded():
    tokens = Tokens([token(SECRET)])
    for spaces in range(3_000):
        assert isinstance(admitted(f"Bearer {' ' * spaces}{SECRET}", tokens=tokens), Grant)
    assert len(tokens._recent) <= 1_000


def test_nothing_is_remembered_of_what_was_refused():
    tokens = Tokens([token(SECRET)])
    for number in range(50):
        admitted(f"Bearer {number}", tokens=tokens)
    assert not tokens._recent


# What it opens


@pytest.mark.parametrize(
    ("destinations", "asked", "covered"),
    [
        ("all", "2Dest", True),
        (("2Dest",), "2Dest", True),
        (("2Dest",), "2dest", False),
        (("2Dest",), "2De", False),
        (("2Dest",), "all", False),
        (("all",), "2Dest", False),
        (("2Dest", "2Other"), "2Other", True),
        ((), "2Dest", False),
    ],
)
def test_scope(destinations, asked, covered):
    assert Grant(token(SECRET, destinations)).covers(asked) is covered


@pytest.mark.parametrize(
    ("permissions", "needed", "let_in"),
    [
        (("read",), "read", True),
        (("read",), "delete", False),
        (("delete",), "read", False),
        (("read", "delete"), "delete", True),
        ((), "read", False),
    ],
)
def test_permissions_again_and_again(permissions, needed, let_in):
    tokens = Tokens([token(SECRET, permissions=permissions)])
    for _ in range(2):
        outcome = tokens.admit([f"Bearer {SECRET}"], NOW, needed)
        assert isinstance(outcome, Grant) if let_in else outcome is Denial.PERMISSION


# The file


@given(TOKENS)
def test_what_is_written_is_read(tokens):
    assert parse(dump(tokens)) == tuple(tokens)


def test_the_file_holds_no_secret():
    text = dump([token(SECRET, name="web")])
    assert SECRET.encode() not in text
    assert fingerprint(SECRET).encode() in text


def changed(**changes: object) -> bytes:
    file = json.loads(dump([token(SECRET, name="web")]))
    file["tokens"][0] |= changes
    return json.dumps(file).encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`"),
        (b"{}", "version"),
        (b'{"version": 2, "tokens": []}', "version"),
        (b'{"version": 1}', "tokens"),
        (b'{"version": 1, "tokens": [], "more": 1}', "more"),
        (changed(sha256="abc"), "$.tokens[0].sha256"),
        (changed(sha256=fingerprint(SECRET).upper()), "$.tokens[0].sha256"),
        (changed(name=""), "$.tokens[0].name"),
        (changed(permissions=["write"]), "$.tokens[0].permissions[0]"),
        (changed(destinations="2Dest"), "$.tokens[0].destinations"),
        (changed(expires="2030-01-01T00:00:00"), "$.tokens[0].expires"),
        (changed(expires="soon"), "$.tokens[0].expires"),
        (changed(expire="2030-01-01T00:00:00Z"), "expire"),
        (changed(value=SECRET), "value"),
        (dump([token("a", name="web"), token("b", name="web")]), "two tokens have the same name: web"),
        (dump([token("a", name="one"), token("a", name="two")]), "two tokens have the same sha256"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(text)


def test_a_file_of_many_tokens_is_read_in_a_time_that_grows_with_them_and_no_faster():
    text = dump([token(f"ep_{number}", name=f"t{number}") for number in range(10_000)])
    begun = time.process_time()
    assert len(parse(text)) == 10_000
    assert time.process_time() - begun < 2.0  # 0.04 s; where each is compared with all others, 7 s
