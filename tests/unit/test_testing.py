"""Profiles in memory, as those who test their own code use them."""

import asyncio
import json

import msgspec
import pytest

import edgeprofile
from edgeprofile import (
    ConfigurationError,
    EncodedProfile,
    InvalidIdentity,
    Profile,
    ReadOnlyProfile,
    RedisUnavailable,
    TraitsMismatch,
    UnknownBundle,
    UnknownDestination,
)
from edgeprofile.testing import MemoryProfiles, serving

pytest_plugins = ["edgeprofile.testing.plugin"]

ADA = ("user", "email", "ada@example.com")
PROFILES = {"user": {"email": {"ada@example.com": {"features": {"churn": 0.9}}}}}


def test_the_modules_functions_read_what_is_served():
    with serving(PROFILES) as profiles:
        for _ in range(3):
            found = edgeprofile.get(*ADA)
            assert isinstance(found, Profile)
            assert found == {"features": {"churn": 0.9}}
        assert edgeprofile.get("user", "email", "nobody") is None
        assert edgeprofile.get_many("user", "email", ["nobody", ADA[2]]) == {"nobody": None, ADA[2]: found}
        assert edgeprofile.stats().hits == 4
        assert asyncio.run(edgeprofile.aget(*ADA)) == found
        profiles.put(*ADA, {"features": {"churn": 0.1}})
        assert edgeprofile.get(*ADA) == {"features": {"churn": 0.1}}
        profiles.remove(*ADA)
        assert edgeprofile.get(*ADA) is None


def test_the_fixture_begins_with_nothing(edgeprofiles):
    assert edgeprofile.get(*ADA) is None
    edgeprofiles.put(*ADA, {"m": {}})
    assert edgeprofile.get(*ADA) == {"m": {}}


def test_blocks_leave_nothing_behind():
    with serving(PROFILES):
        edgeprofile.get(*ADA)
    with serving():
        assert edgeprofile.get(*ADA) is None


def test_errors_come_on_demand_and_go():
    with serving(PROFILES) as profiles:
        edgeprofile.get(*ADA)
        with profiles.failing(RedisUnavailable("Redis is down")):
            with pytest.raises(RedisUnavailable, match="Redis is down"):
                edgeprofile.get(*ADA)
            with pytest.raises(RedisUnavailable):
                edgeprofile.get_many("user", "email", ["a"])
            with pytest.raises(RedisUnavailable):
                profiles.client.delete("user", [("email", "a")])
            with pytest.raises(RedisUnavailable):
                profiles.client.start()
            assert profiles.client.status()["memory"].state == "disconnected"
            (either,) = asyncio.run(profiles.async_client.encoded.get_many("user", [("email", "a")]))
            assert isinstance(either, RedisUnavailable)
        assert edgeprofile.get(*ADA) == {"features": {"churn": 0.9}}
        assert profiles.client.status()["memory"].ready


def test_errors_of_usage_are_those_of_the_library():
    with serving(PROFILES) as profiles:
        with pytest.raises(InvalidIdentity):
            edgeprofile.get("user", "email", "")
        with pytest.raises(UnknownDestination):
            edgeprofile.get(*ADA, destination="2Nowhere")
        with pytest.raises(ReadOnlyProfile):
            edgeprofile.get(*ADA)["features"] = {}
        with pytest.raises(TraitsMismatch):
            edgeprofile.get(*ADA, model="features", type=msgspec.defstruct("F", [("churn", str)]))
        with pytest.raises(UnknownBundle):
            profiles.client.bundle("checkout")


def test_destinations_and_bundles_are_those_of_the_configuration():
    row = {"workspaceId": "1Wsp", "config": {"address": "h"}}
    config = {
        "destinations": [{"id": "2A", **row}, {"id": "2B", **row}],
        "bundles": {"checkout": {"defaults": {"features": {"plan": "free"}}}},
    }
    profiles = MemoryProfiles(PROFILES, config=config)
    checkout = profiles.client.bundle("checkout")
    for destination in ("2A", "2B"):
        assert checkout.get(*ADA, destination=destination) == {"features": {"churn": 0.9, "plan": "free"}}
    profiles.put(*ADA, {"features": {"plan": "paid"}})
    assert checkout.get(*ADA, destination="2B") == {"features": {"plan": "paid"}}


def test_an_async_client_reads_writes_and_peeks():
    async def use() -> None:
        profiles = MemoryProfiles(PROFILES)
        async with profiles.async_client as client:
            await client.start()
            assert client.encoded.peek(*ADA, destination="memory") is None
            first = await client.encoded.get(*ADA)
            assert (first.json, first.found, first.hit) == (b'{"features":{"churn":0.9}}', True, False)
            assert isinstance(client.encoded.peek(*ADA, destination="memory"), EncodedProfile)
            assert await client.delete("user", [ADA[1:], ("email", "nobody")]) == 1
            assert await client.get(*ADA) is None
            found = await client.get_many("user", "email", ["a", "b"])
            assert found == {"a": None, "b": None}

    asyncio.run(use())


@pytest.mark.parametrize(
    "ids", [ADA[1:], [("email",)], [("email", "a", "b")], ["ab"], {"email": "a"}, "email", None, [None], [("email", 7)]]
)
def test_a_delete_takes_pairs_and_says_so(ids):
    profiles = MemoryProfiles(PROFILES)
    with pytest.raises(InvalidIdentity) as caught:
        profiles.client.delete("user", ids)
    if ids != [("email", 7)]:
        assert str(caught.value) == 'ids must be pairs of id type and value: pass [("email", "ada@example.com")]'
    with pytest.raises(InvalidIdentity):
        asyncio.run(profiles.async_client.delete("user", ids))
    assert profiles.client.get(*ADA) is not None


def test_a_file_is_read_as_it_stands_and_again(tmp_path):
    file = tmp_path / "profiles.json"
    file.write_text('{"user": {"email": {"ada@example.com": {"m": {"a": 1.0, "b": 1e400}}}}}')
    profiles = MemoryProfiles(file)
    assert asyncio.run(profiles.async_client.get_json(*ADA)) == b'{"m": {"a": 1.0, "b": 1e400}}'
    file.write_text(json.dumps(PROFILES))
    profiles.reload()
    assert profiles.client.get(*ADA) == {"features": {"churn": 0.9}}
    file.write_text("{")
    with pytest.raises(ConfigurationError):
        profiles.reload()
    assert profiles.client.get(*ADA) == {"features": {"churn": 0.9}}


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ({"user": {"email": {"ada": [1]}}}, 'the profile of user by email "ada" is no object of models'),
        ({"user": {"email": {"ada": None}}}, "is no object of models"),
        ({"user": {"email": ["ada"]}}, "is not of the form"),
        ({"user": []}, "is not of the form"),
        ("no/such/file.json", "cannot be read"),
    ],
)
def test_another_form_is_refused(profiles, message):
    with pytest.raises(ConfigurationError, match=message):
        MemoryProfiles(profiles)
