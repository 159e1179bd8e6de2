"""What is read from the body of a batch, and the form of its answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile_sidecar.answers import Answer, Long, error, render
from edgeprofile_sidecar.batch import Batch, Misnamed, Places, found, misnamed, read, refused
from edgeprofile_sidecar.members import Flawed, Named, Unreadable

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
ADA = {"type": "email", "value": "ada@example.com"}


def body(ids: Any, **changes: Any) -> bytes:
    whole = {"entity": "user", "destinationId": "2Dest", "ids": ids} | changes
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


@given(st.lists(st.tuples(TEXT, TEXT | st.integers()), min_size=1, max_size=8))
def test_ids_are_read_in_order_and_echoed(ids):
    sent = [{"type": id_type, "value": value} for id_type, value in ids]
    asked = read(body(sent), 8)
    assert isinstance(asked, Batch)
    assert [(named.id_type, named.value) for named in asked.ids] == [(kind, str(value)) for kind, value in ids]
    assert [json.loads(named.echo) for named in asked.ids] == sent


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (7, "id must be an object with the members type and value"),
        ([ADA], "id must be an object with the members type and value"),
        ({"value": "x"}, "id.type is missing"),
        ({"type": "email", "value": ""}, "id.value must be a non-empty string or a number"),
        ({"type": "email", "value": {"a": [1]}}, "id.value must be a non-empty string or a number"),
    ],
)
def test_a_bad_id_is_a_flaw_in_its_place(identity, message):
    asked = read(body([ADA, identity, ADA]), 3)
    assert isinstance(asked, Batch)
    assert asked.ids[1] == Misnamed(json.dumps(identity).encode(), message)
    assert isinstance(asked.ids[0], Named)
    assert isinstance(asked.ids[2], Named)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (body([]), "ids should have at least one item"),
        (body([ADA] * 4), "ids has 4 items: at most 3 are answered at once (sidecar.maxBatch)"),
        (body(...), "ids is missing"),
        (body(ADA), "ids must be a list of ids"),
        (body([ADA], entity=7), "entity must be a non-empty string"),
    ],
)
def test_a_flaw_names_its_member(sent, message):
    assert read(sent, 3) == Flawed("2Dest", message)


@pytest.mark.parametrize("sent", [b"", b"[]", b"{", b'{"ids": "\xff"}'])
def test_what_is_no_object_is_unreadable(sent):
    assert isinstance(read(sent, 3), Unreadable)


def answer(asked: Batch, places: list[bytes]) -> Answer:
    made = Places(asked)
    for place in places:
        made.add(place)
    return made.answer()


def test_the_answer():
    asked = Batch("2Dest", "user", b'"\\u0075ser"', ())
    flaw = Misnamed(b"7", "no id")
    made = answer(asked, [found(b"{}", b'{"m":1}', found=True), refused(b"1", error(502, "odd")), misnamed(flaw)])
    assert made.status == 200
    assert not isinstance(made, Long)
    assert made.body == (
        b'{"entity":"\\u0075ser","results":[{"id":{},"found":true,"data":{"m":1}},'
        b'{"id":1,"status":502,"error":"odd"},{"id":7,"status":400,"error":"no id"}]}'
    )


@pytest.mark.parametrize(
    "sizes", [[300_000], [1, 300_000], [300_000, 1, 1], [1_000] * 600, [300_000] * 3, [10, 600_000] * 2]
)
def test_a_long_answer_is_in_parts(sizes):
    places = [b'"%b"' % (b"x" * size) for size in sizes]
    made = answer(Batch("2Dest", "user", b'"user"', ()), places)
    assert isinstance(made, Long)
    assert b"".join(made.parts) == b'{"entity":"user","results":[%b]}' % b",".join(places)
    assert max(map(len, made.parts)) <= (1 << 18) + max(sizes)
    assert b"\r\nContent-Length: %d\r\n" % sum(map(len, made.parts)) in render(made, b"")
