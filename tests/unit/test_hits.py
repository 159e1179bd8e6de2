"""Hits of callers who name a destination, a model or a type: as good as plain ones, and as cheap."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from edgeprofile import Client, TraitsMismatch
from edgeprofile.config import from_mapping
from edgeprofile.testing.engine import MemoryEngine

ADA = ("user", "email", "ada")


class Score(msgspec.Struct):
    n: int


WAYS = {
    "destination": {"destination": "2Dest"},
    "model": {"model": "m"},
    "type": {"model": "m", "type": Score},
    "all": {"destination": "2Dest", "model": "m", "type": Score},
}
FOUND = {"destination": {"m": {"n": 1}}, "model": {"n": 1}, "type": Score(1), "all": Score(1)}


def client_of(people, *, destinations=("2Dest",), **cache):
    entries = [
        {"id": each, "workspaceId": "1Wsp", "config": {"address": "127.0.0.1:1", "clusterMode": False}}
        for each in destinations
    ]
    config = from_mapping({"destinations": entries, "cache": cache}, "a test")
    profiles = {("user", "email", name): json.dumps(models).encode() for name, models in people.items()}
    return Client(MemoryEngine(config, profiles))


def entry_of(client, name="ada", destination="2Dest"):
    return client._engine.cache.find(destination, "user", "email", name)


@pytest.mark.parametrize("way", WAYS)
def test_a_hit_is_found_counted_and_marked_without_the_lock(way):
    with client_of({"ada": {"m": {"n": 1}}}) as client, ThreadPoolExecutor(1) as pool:
        client.get(*ADA)
        entry_of(client).used = False
        hits = client.stats().hits
        with client._engine.lock:
            assert pool.submit(client.get, *ADA, **WAYS[way]).result(5) == FOUND[way]
        assert entry_of(client).used
        assert client.stats().hits == hits + 1
        assert client.stats().misses == 1


@pytest.mark.parametrize("way", WAYS)
def test_many_hits_are_found_counted_and_marked_without_the_lock(way):
    people = {name: {"m": {"n": 1}} for name in ("ada", "bob")}
    asked = ("user", "email", ["ada", "bob", "eve"])
    with client_of(people) as client, ThreadPoolExecutor(1) as pool:
        client.get_many(*asked)
        client.get_many(*asked, model="m")
        entry_of(client).used = False
        before = client.stats()
        with client._engine.lock:
            found = pool.submit(client.get_many, *asked, **WAYS[way]).result(5)
        assert list(found.items()) == [("ada", FOUND[way]), ("bob", FOUND[way]), ("eve", None)]
        assert entry_of(client).used
        assert (client.stats().hits, client.stats().misses) == (before.hits + 3, before.misses)


def test_a_peek_at_what_is_cached_waits_for_nobody():
    with client_of({"ada": {"m": {"n": 1}}}) as client, ThreadPoolExecutor(1) as pool:
        client.get(*ADA)
        entry_of(client).used = False
        hits = client.stats().hits
        with client._engine.lock:
            assert pool.submit(client.peek, *ADA).result(5) == {"m": {"n": 1}}
        assert entry_of(client).used
        assert client.stats().hits == hits + 1


def test_a_peek_decodes_what_nobody_has_wanted_decoded_yet():
    with client_of({"ada": {"m": {"n": 1}}}) as client:
        client.get(*ADA, model="m", type=Score)
        hits = client.stats().hits
        assert client.peek(*ADA) == {"m": {"n": 1}}
        assert client.peek(*ADA, destination="2Dest", model="m", type=Score) == Score(1)
        assert client.stats().hits == hits + 2


def test_of_many_only_those_are_read_that_are_not_cached():
    people = {name: {"m": {"n": 1}} for name in ("ada", "bob", "eve")}
    with client_of(people) as client:
        client.get("user", "email", "bob", model="m", type=Score)
        found = client.get_many("user", "email", ["ada", "bob", "eve"], model="m", type=Score)
        assert list(found.items()) == [("ada", Score(1)), ("bob", Score(1)), ("eve", Score(1))]
        assert isinstance(entry_of(client, "bob").data, bytes)
        assert (client.stats().hits, client.stats().misses) == (1, 3)


def test_a_type_that_does_not_fit_is_said_of_many_hits_as_of_misses():
    with client_of({"ada": {"m": {"n": "one"}}}) as client:
        for _ in range(2):
            with pytest.raises(TraitsMismatch, match="model 'm'"):
                client.get_many("user", "email", ["ada"], model="m", type=Score)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_known_to_be_absent_is_a_hit_too(way):
    with client_of({}) as client, ThreadPoolExecutor(1) as pool:
        client.get(*ADA)
        with client._engine.lock:
            assert pool.submit(client.get, *ADA, **WAYS[way]).result(5) is None


def test_a_type_needs_nothing_decoded_before():
    with client_of({"ada": {"m": {"n": 1}}}) as client:
        for _ in range(2):
            assert client.get(*ADA, model="m", type=Score) == Score(1)
        assert isinstance(entry_of(client).data, bytes)
        assert (client.stats().hits, client.stats().misses) == (1, 1)


def test_a_type_that_does_not_fit_is_said_of_a_hit_as_of_a_miss():
    with client_of({"ada": {"m": {"n": "one"}}}) as client:
        for _ in range(2):
            with pytest.raises(TraitsMismatch, match="model 'm'"):
                client.get(*ADA, model="m", type=Score)


def test_a_model_that_the_profile_lacks():
    with client_of({"ada": {"m": {"n": 1}}}) as client:
        for _ in range(2):
            assert client.get(*ADA, model="other") is None
            assert client.get(*ADA, model="other", type=Score) is None


def test_of_several_destinations_each_has_its_hits():
    with client_of({"ada": {"m": {"n": 1}}}, destinations=("2Dest", "3Dest")) as client:
        for destination in ("2Dest", "3Dest"):
            profile = client.get(*ADA, destination=destination)
            assert client.get(*ADA, destination=destination) is profile
        assert (client.stats().hits, client.stats().misses) == (2, 2)


@pytest.mark.parametrize("ended", ["lease", "deadline"])
@pytest.mark.parametrize("way", WAYS)
def test_what_has_ended_is_no_hit(way, ended):
    with client_of({"ada": {"m": {"n": 1}}}) as client:
        client.get(*ADA)
        entry = entry_of(client)
        if ended == "lease":
            entry.lease = type(entry.lease)(0.0)
        else:
            entry.expires = entry.ready_until = 0.0
        assert client.get(*ADA, **WAYS[way]) == FOUND[way]
        assert client.stats().misses == 2


@pytest.mark.parametrize("look", [*WAYS, "peek", "get_many"])
def test_what_is_in_use_outlives_what_is_not(look):
    names = [f"u{number}" for number in range(200)]
    people = {name: {"m": {"n": 1}} for name in ("ada", *names)}
    with client_of(people, maxBytes="64KiB") as client:
        client.get(*ADA)
        for name in names:
            client.get("user", "email", name)
            if look == "peek":
                client.peek(*ADA)
            elif look == "get_many":
                client.get_many("user", "email", ["ada"], destination="2Dest", model="m")
            else:
                client.get(*ADA, **WAYS[look])
        stats = client.stats()
        assert stats.evictions["capacity"] > 50
        assert stats.misses == 1 + len(names)


def held(client, name="ada"):
    return client._json_hits.hold("2Dest", "user", "email", name)


def test_a_profile_that_is_held_is_served_again_counted_and_marked_without_the_lock():
    with client_of({"ada": {"m": {"n": 1}}}) as client, ThreadPoolExecutor(1) as pool:
        assert held(client) is None
        client.get(*ADA)
        found = held(client)
        assert (found.profile.json, found.profile.found) == (b'{"m": {"n": 1}}', True)
        assert client.stats().hits == 0
        entry_of(client).used = False
        with client._engine.lock:
            assert pool.submit(found.serves, time.monotonic()).result(5)
        assert entry_of(client).used
        assert client.stats().hits == 1


def test_an_absence_is_held_too():
    with client_of({}) as client:
        client.get(*ADA)
        found = held(client)
        assert (found.profile.json, found.profile.found) == (b"{}", False)
        assert found.serves(time.monotonic())


ENDS = {
    "changed": lambda client: client._engine.changed(ADA),
    "replaced": lambda client: client._engine.cache.put(
        client._engine.cache.space("2Dest", "user", "email"),
        "ada",
        b"{}",
        sent=time.monotonic(),
        life=60.0,
        lease=entry_of(client).lease,
    ),
    "cleared": lambda client: client._engine.forget(),
    "deadline": lambda client: setattr(entry_of(client), "expires", time.monotonic()),
    "lease": lambda client: setattr(entry_of(client), "lease", type(entry_of(client).lease)(0.0)),
    "released": lambda client: client._json_hits.release(),
    "other trees": lambda client: client._json_hits.rebind(client._engine.trees()),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_is_held_is_served_no_longer_than_it_is_cached(end):
    with client_of({"ada": {"m": {"n": 1}}}) as client:
        client.get(*ADA)
        found = held(client)
        assert found.serves(time.monotonic())
        hits = client.stats().hits
        ENDS[end](client)
        assert not found.serves(time.monotonic())
        assert client.stats().hits == (0 if end == "other trees" else hits)


def test_what_is_held_after_a_release_is_served():
    with client_of({"ada": {"m": {"n": 1}}}) as client:
        client.get(*ADA)
        client._json_hits.release()
        assert held(client).serves(time.monotonic())


def test_what_has_ended_is_not_held():
    with client_of({"ada": {"m": {"n": 1}}}) as client:
        client.get(*ADA)
        entry_of(client).expires = 0.0
        assert held(client) is None
        client.get(*ADA)
        entry_of(client).lease = type(entry_of(client).lease)(0.0)
        assert held(client) is None


@pytest.mark.parametrize("call", [lambda client: client.get("user", "email"), lambda client: client.lookup("a", "b")()])
def test_who_forgets_an_argument_is_told_of_a_function_that_exists(call):
    with client_of({}) as client, pytest.raises(TypeError, match=r"^(get|lookup)\(\) missing 1 required"):
        call(client)
