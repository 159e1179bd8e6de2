"""What is read from the body of a DELETE."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile_sidecar.deletion import Deletion, answer, read
from edgeprofile_sidecar.members import Flawed, Named, Unreadable

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
ADA = {"type": "email", "value": "ada@example.com"}
NAMED = Named("email", "ada@example.com", b'{"type":"email","value":"ada@example.com"}')


def body(identity: Any, **changes: Any) -> bytes:
    whole = {"entity": "user", "destinationId": "2Dest", "id": identity} | changes
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def test_one_id_and_a_list_of_one_are_the_same():
    assert read(body(ADA), 10) == read(body([ADA]), 10) == Deletion("2Dest", "user", (NAMED,))


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8))
def test_ids_are_read_in_order(ids):
    asked = read(body([{"type": id_type, "value": value} for id_type, value in ids]), 8)
    assert isinstance(asked, Deletion)
    assert [(named.id_type, named.value) for named in asked.ids] == ids


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (body([]), "id should have at least one item"),
        (body([ADA] * 4), "id has 4 items: at most 3 are deleted at once (sidecar.maxBatch)"),
        (body(...), "id is missing"),
        (body("ada"), "id must be an object with the members type and value"),
        (body([ADA, "ada"]), "id[1] must be an object with the members type and value"),
        (body([ADA, {"type": "email"}]), "id[1].value is missing"),
        (body([[ADA]]), "id[0] must be an object with the members type and value"),
        (body({"value": "x"}), "id.type is missing"),
        (body(ADA, entity=""), "entity must be a non-empty string"),
    ],
)
def test_a_flaw_names_its_member(sent, message):
    assert read(sent, 3) == Flawed("2Dest", message)


@pytest.mark.parametrize("sent", [b"", b"[]", b"{", b'{"id": "\xff"}'])
def test_what_is_no_object_is_unreadable(sent):
    assert isinstance(read(sent, 3), Unreadable)


def test_the_answer():
    assert json.loads(answer(2, 3).body) == {"deletedKeys": 2, "actualKeys": 3}
