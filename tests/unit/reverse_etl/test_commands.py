"""Rows as packed commands: the very bytes that a Redis client would send."""

from itertools import chain

import hiredis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.keys import Layout
from edgeprofile.reverse_etl.commands import Commands, Rows, Target

PREFIX = "1Wsp:2Dest:user:email:"


def rows(ids, documents=None, *, model="features", ttl=0, prefix=PREFIX, persist=False):
    texts = None if documents is None else pa.array(documents, pa.string())
    target = Target(prefix, model, ttl, persist)
    return Rows(target, pa.array(ids, pa.string()), pa.array(["insert"] * len(ids)), texts)


def packed(*commands):
    return b"".join(hiredis.pack_command(command) for command in commands)


def test_writes():
    commands = Commands.of(rows(["ada@example.com", "b"], ['{"a":1}', "{}"]))
    assert bytes(commands.payload()) == packed(
        ("HSET", f"{PREFIX}ada@example.com", "features", '{"a":1}'), ("HSET", f"{PREFIX}b", "features", "{}")
    )
    assert (len(commands), commands.replies_per_row) == (2, 1)


def test_deletions():
    assert bytes(Commands.of(rows(["a"])).payload()) == packed(("HDEL", f"{PREFIX}a", "features"))


def test_a_ttl_follows_the_writes_that_got_in():
    commands = Commands.of(rows(["a", "b", "c"], ["1", "2", "3"], ttl=60))
    assert bytes(commands.payload()) == packed(
        *(("HSET", f"{PREFIX}{one}", "features", n) for one, n in ("a1", "b2", "c3"))
    )
    following = commands.following([0, 2])
    assert bytes(following.payload()) == packed(("EXPIRE", f"{PREFIX}a", "60"), ("EXPIRE", f"{PREFIX}c", "60"))
    assert following.rows.ids.to_pylist() == ["a", "c"]
    assert following.row(1) == [packed(("EXPIRE", f"{PREFIX}c", "60"))]
    assert following.following([0]) is None
    assert following.take([1]).following([0]) is None
    assert commands.take([1]).following([0]).rows.ids.to_pylist() == ["b"]
    assert commands.following([]) is None


def test_a_ttl_is_taken_from_the_keys_that_were_written():
    commands = Commands.of(rows(["a", "b"], ["1", "2"], persist=True))
    following = commands.following([1])
    assert bytes(following.payload()) == packed(("PERSIST", f"{PREFIX}b"))
    assert following.following([0]) is None
    assert Commands.of(rows(["a"], persist=True)).following([0]) is None


def test_a_deletion_sets_no_ttl():
    assert Commands.of(rows(["a"], ttl=60)).following([0]) is None


def test_without_a_ttl_nothing_follows():
    assert Commands.of(rows(["a"], ["1"])).following([0]) is None


@given(st.text(min_size=1), st.text(min_size=1), st.text())
def test_any_text_is_counted_in_bytes(identity, model, document):
    commands = Commands.of(rows([identity], [document], model=model))
    assert bytes(commands.payload()) == packed(("HSET", PREFIX + identity, model, document))
    assert commands.keys() == [(PREFIX + identity).encode()]


@given(st.text(min_size=1))
def test_keys_are_those_of_the_library(identity):
    layout = Layout("1Wsp", "2Dest")
    prefix = layout.key("user", "email", "x").decode()[:-1]
    assert Commands.of(rows([identity], ["{}"], prefix=prefix)).keys() == [layout.key("user", "email", identity)]


def test_some_of_the_rows():
    commands = Commands.of(rows(["a", "b", "c"], ["1", "2", "3"]))
    chosen = commands.take([2, 0])
    assert chosen.rows.ids.to_pylist() == ["c", "a"]
    assert bytes(chosen.payload()) == packed(
        ("HSET", f"{PREFIX}c", "features", "3"), ("HSET", f"{PREFIX}a", "features", "1")
    )
    assert [bytes(one.payload()) for one in (chosen.take([1]),)] == [packed(("HSET", f"{PREFIX}a", "features", "1"))]


@given(
    st.lists(st.text(max_size=30), min_size=1, max_size=40),
    st.integers(1, 400),
    st.integers(1, 10),
    st.sampled_from([0, 60]),
)
def test_pieces_are_the_whole_in_order_and_bounded(documents, most_bytes, most_rows, ttl):
    whole = Commands.of(rows([str(n) for n in range(len(documents))], documents, ttl=ttl))
    pieces = list(whole.pieces(most_bytes, most_rows))
    assert b"".join(piece.payload() for piece in pieces) == bytes(whole.payload())
    assert list(chain.from_iterable(map(Commands.keys, pieces))) == whole.keys()
    for piece in pieces:
        assert 1 <= len(piece) <= most_rows
        assert len(piece) == 1 or piece.payload().nbytes <= most_bytes


def test_pieces_are_as_large_as_allowed():
    whole = Commands.of(rows([f"{n:03d}" for n in range(100)], ["x" * 50] * 100))
    size = whole.payload().nbytes // 100
    assert [len(piece) for piece in whole.pieces(size * 30, 1000)] == [30, 30, 30, 10]
    assert [len(piece) for piece in whole.pieces(size * 30 - 1, 1000)] == [29, 29, 29, 13]


def test_pieces_can_be_taken_from():
    *_, last = Commands.of(rows(["a", "b", "c"], ["1", "2", "3"])).pieces(1, 1)
    assert bytes(last.take([0]).payload()) == packed(("HSET", f"{PREFIX}c", "features", "3"))


@pytest.mark.parametrize("documents", [None, []])
def test_no_rows(documents):
    commands = Commands.of(rows([], documents))
    assert (len(commands), bytes(commands.payload()), list(commands.pieces(1, 1))) == (0, b"", [])
