"""Bundles of both clients, on every server."""

import pytest

from edgeprofile import ConfigurationError, UnknownBundle
from edgeprofile.config import effective, from_mapping
from tests.support.clients import Waiting, configuration

ADA = ("user", "email", "ada@example.com")
BUNDLES = {
    "checkout": {"models": ["m"], "traits": ["plan", "tier"], "defaults": {"m": {"plan": "free"}}},
    "all": {},
}


@pytest.fixture
def client(make_client, redis_db):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", '{"tier":[1],"x":2}', "n", "{}")
    return make_client(configuration(redis_db.address, bundles=BUNDLES))


def bundle(client, name):
    made = client.bundle(name)
    return Waiting(made, client.runner) if isinstance(client, Waiting) else made


def test_a_profile_is_projected(client):
    for _ in range(3):
        assert bundle(client, "checkout").get(*ADA) == {"m": {"tier": [1], "plan": "free"}}
    assert bundle(client, "all").get(*ADA) == client.get(*ADA) == {"m": {"tier": [1], "x": 2}, "n": {}}


def test_several_are_and_absent_ones_hold_the_defaults(client):
    found = bundle(client, "checkout").get_many("user", "email", ["nobody", "ada@example.com"])
    assert list(found.items()) == [
        ("nobody", {"m": {"plan": "free"}}),
        ("ada@example.com", {"m": {"tier": [1], "plan": "free"}}),
    ]


def test_what_is_returned_is_the_callers_own(client):
    checkout = bundle(client, "checkout")
    checkout.get(*ADA)["m"]["plan"] = "changed"
    assert checkout.get(*ADA)["m"]["plan"] == "free"


def test_a_bundle_that_is_not_configured(client):
    with pytest.raises(UnknownBundle, match="checkout, all") as refused:
        client.bundle("basket")
    assert refused.value.known == ("checkout", "all")


def test_a_contradiction_is_found_when_the_configuration_is_read():
    bundles = {"checkout": {"models": ["a"], "defaults": {"b": {}}}}
    with pytest.raises(ConfigurationError, match=r'bundles\.checkout\.models: .*"b"'):
        from_mapping(configuration("h", bundles=bundles))


@pytest.mark.parametrize(
    ("bundle", "message"),
    [
        ({"model": ["a"]}, r"bundles\.checkout\.model: is unknown .*did you mean"),
        ({"models": "a"}, r'bundles\.checkout\.models: "a" is not allowed: write a list'),
        ({"models": [1]}, r"bundles\.checkout\.models\[0\]: 1 is not allowed: write text in quotes"),
        ("a", r"bundles\.checkout: .*table"),
    ],
)
def test_mistakes_in_a_bundle_are_named(bundle, message):
    with pytest.raises(ConfigurationError, match=message):
        from_mapping(configuration("h", bundles={"checkout": bundle}))


def test_bundles_are_shown_and_do_not_change():
    config = from_mapping(configuration("h", bundles=BUNDLES))
    assert effective(config)["bundles"]["checkout"] == BUNDLES["checkout"]
    assert hash(config) == hash(from_mapping(configuration("h", bundles=BUNDLES)))
    with pytest.raises(TypeError, match="does not change"):
        config.bundles["other"] = config.bundles["all"]
