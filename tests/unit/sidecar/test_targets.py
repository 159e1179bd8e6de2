"""What is read from the target of a GET."""

import json
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.projection import Projection
from edgeprofile_sidecar.activation import Question, answer
from edgeprofile_sidecar.members import Flawed, Unreadable
from edgeprofile_sidecar.targets import matches, origin_form, read

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
BUNDLES = {"checkout": Projection(["m"])}


def asked(target: str, only: str = "2Dest") -> Any:
    assert matches(target)
    return read(target, only, BUNDLES)


@given(TEXT, TEXT, TEXT, TEXT)
def test_every_text_can_be_asked_for(entity, id_type, value, destination):
    path = "/".join(quote(part, safe="") for part in (entity, id_type, value))
    question = asked(f"/v2/profiles/{path}?destinationId={quote_plus(destination)}")
    assert isinstance(question, Question)
    assert (question.destination, question.entity) == (destination, entity)
    assert (question.id_type, question.value) == (id_type, value)
    assert json.loads(answer(question, b"{}").body) == {
        "entity": entity,
        "id": {"type": id_type, "value": value},
        "data": {},
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a+b", "a+b"),
        ("a%2Bb", "a+b"),
        ("a%20b", "a b"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("..", ".."),
        ("%2e%2E", ".."),
        ("%00", "\0"),
        ("%C3%A9", "é"),
        ("é", "é"),
        ("a;b=c:d@e", "a;b=c:d@e"),
        ("ada@example.com", "ada@example.com"),
        ("%3F%23", "?#"),
    ],
)
def test_a_value_is_decoded_once_and_no_more(written, value):
    assert asked(f"/v2/profiles/user/email/{written}").value == value


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/v2/profiles//email/a", "entity is missing"),
        ("/v2/profiles/user//a", "idType is missing"),
        ("/v2/profiles/user/email/", "value is missing"),
        ("/v2/profiles/user/email/%", "value has a % that begins no percent-encoding: write %25"),
        ("/v2/profiles/user/%4/a", "idType has a % that begins no percent-encoding: write %25"),
        ("/v2/profiles/%zz/email/a", "entity has a % that begins no percent-encoding: write %25"),
        ("/v2/profiles/user/email/%FF", "value is not UTF-8"),
        ("/v2/profiles/user/email/\udcff", "value is not UTF-8"),
        ("/v2/profiles/user/email/%ED%A0%80", "value is not UTF-8"),
        ("/v2/profiles/user/email/a?bundle=basket", "bundle is none that this sidecar has"),
        ("/v2/profiles/user/email/a?bundle=checkout&models=m", "bundle stands for models and traits: give it or them"),
    ],
)
def test_a_flaw_names_its_part(target, message):
    assert asked(target) == Flawed("2Dest", message)


def test_a_query_that_cannot_be_read():
    assert asked("/v2/profiles/user/email/a?destinationId=%") == Unreadable(
        "the query has a % that begins no percent-encoding: write %25"
    )
    assert asked("/v2/profiles/user/email/a?x=%FF") == Unreadable("the query is not UTF-8")


def test_a_destination_has_to_be_named_where_there_are_several():
    assert asked("/v2/profiles/user/email/a", "").destination == ""
    assert asked("/v2/profiles/user/email/a?", "").destination == ""
    assert asked("/v2/profiles/user/email/a?destinationId=2Other&x=1", "2Dest").destination == "2Other"
    assert asked("/v2/profiles/user/email/a?destinationId=", "2Dest").destination == ""


def test_parts_of_a_profile_are_asked_for_by_repetition():
    profile = b'{"a b":{"x":1,"y":2},"c,d":{"x":3},"e":{}}'
    projection = asked("/v2/profiles/user/email/v?models=a+b&models=c,d&traits=x").projection
    assert json.loads(projection.encoded(profile)) == {"a b": {"x": 1}, "c,d": {"x": 3}}
    assert asked("/v2/profiles/user/email/v?bundle=checkout").projection is BUNDLES["checkout"]
    assert asked("/v2/profiles/user/email/v").projection is None


@pytest.mark.parametrize(
    "target",
    [
        "/v2/profiles",
        "/v2/profiles/",
        "/v2/profiles/a/b",
        "/v2/profiles/a/b/c/d",
        "/v2/profiles/a?b/c",
        "/v2/activation",
    ],
)
def test_other_paths_are_not_ours(target):
    assert not matches(target)


def test_a_whole_url_is_its_path_and_query():
    assert origin_form("http://[::1]:80/v2/x?http://y") == "/v2/x?http://y"
    assert origin_form("/http://x/y") == "/http://x/y"
    assert origin_form("*") == "*"
