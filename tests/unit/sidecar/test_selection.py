"""Which part of a profile a body asks for."""

import json
from typing import Any

import pytest

from edgeprofile.projection import Projection
from edgeprofile_sidecar.activation import Question, read
from edgeprofile_sidecar.batch import Batch
from edgeprofile_sidecar.batch import read as read_batch
from edgeprofile_sidecar.members import Flawed

PROFILE = b'{"m":{"a":1,"b":2},"n":{"a":3}}'
BUNDLES = {"checkout": Projection(["m"], ["a"])}


def asked(**wanted: Any) -> Any:
    identity = {"type": "email", "value": "ada@example.com"}
    body = {"entity": "user", "destinationId": "2Dest", "id": identity, **wanted}
    alone = read(json.dumps(body).encode(), BUNDLES)
    among = read_batch(json.dumps({**body, "ids": [identity]}).encode(), 1, BUNDLES)
    if isinstance(alone, Flawed):
        assert among == alone
        return alone.message
    assert isinstance(alone, Question)
    assert isinstance(among, Batch)
    if alone.projection is None:
        assert among.projection is None
        return None
    assert among.projection is not None
    assert among.projection.encoded(PROFILE) == alone.projection.encoded(PROFILE)
    return json.loads(alone.projection.encoded(PROFILE))


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({}, None),
        ({"models": None, "traits": None, "defaults": None, "bundle": None}, None),
        ({"models": ["n"]}, {"n": {"a": 3}}),
        ({"models": []}, {}),
        ({"traits": ["b"]}, {"m": {"b": 2}, "n": {}}),
        ({"models": ["m"], "traits": ["a"], "defaults": {"m": {"a": 9}}}, {"m": {"a": 1}}),
        ({"defaults": {"o": {"c": [1.0]}}}, {"m": {"a": 1, "b": 2}, "n": {"a": 3}, "o": {"c": [1.0]}}),
        ({"bundle": "checkout"}, {"m": {"a": 1}}),
    ],
)
def test_what_is_wanted(wanted, kept):
    assert asked(**wanted) == kept


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"models": "m"}, "models must be a list of names"),
        ({"models": [1]}, "models must be a list of names"),
        ({"traits": {}}, "traits must be a list of names"),
        ({"defaults": []}, "defaults must be an object of traits by model"),
        ({"bundle": 7}, "bundle must be a non-empty string"),
        ({"bundle": "basket"}, "bundle is none that this sidecar has"),
        ({"bundle": "checkout", "models": ["m"]}, "bundle stands for models, traits and defaults: give it or them"),
        ({"models": ["m"], "defaults": {"n": {}}}, 'models: there is a default for the model "n", which is not kept'),
    ],
)
def test_a_flaw_names_its_member(wanted, message):
    assert asked(**wanted) == message
