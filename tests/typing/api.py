"""How a user calls the library, for the type checker alone: nothing here is ever run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, assert_type

import msgspec

import edgeprofile
from edgeprofile import (
    AsyncClient,
    Client,
    Config,
    ConfigurationError,
    DestinationStatus,
    EdgeProfileError,
    EncodedProfile,
    LookupTimeout,
    Profile,
    ServiceError,
    Stats,
    UsageError,
)
from edgeprofile.config import CacheConfig, Destination, RedisConfig, effective, from_keywords, from_mapping, load


class Features(msgspec.Struct):
    churn_score: float
    plan: str | None = None


def module_level() -> None:
    assert_type(edgeprofile.get("user", "email", "ada@example.com"), Profile | None)
    assert_type(edgeprofile.get("user", "email", "ada@example.com", destination="2D", timeout=0.5), Profile | None)
    assert_type(edgeprofile.peek("user", "email", "ada@example.com"), Profile | None)
    assert_type(
        edgeprofile.peek("user", "email", "ada@example.com", type=dict[str, Features]), dict[str, Features] | None
    )
    assert_type(edgeprofile.stats(), Stats)
    features = edgeprofile.get("user", "email", "ada@example.com", model="features_by_email", type=Features)
    assert_type(features, Features | None)
    if features is not None:
        assert_type(features.churn_score, float)
    many: dict[str, Profile | None] = edgeprofile.get_many("user", "email", ["ada@example.com", "b@x.org"])
    many.clear()
    edgeprofile.close()


async def module_level_async() -> None:
    assert_type(await edgeprofile.aget("user", "email", "ada@example.com"), Profile | None)
    assert_type(await edgeprofile.aget("user", "email", "a", model="features", type=Features), Features | None)
    many: dict[str, Profile | None] = await edgeprofile.aget_many("user", "email", ("a", "b"))
    many.clear()


def a_profile_is_a_dict(profile: Profile) -> str:
    models: dict[str, Any] = profile
    score: float = profile["features_by_email"]["churn_score"]
    assert_type(profile.json, bytes)
    assert_type(profile.age, float)
    assert_type(profile.stale, bool)
    return json.dumps([models, score])


def a_client_of_ones_own(config: Config) -> None:
    with Client(config) as client:
        assert_type(client, Client)
        client.start(timeout=5.0)
        assert_type(client.get("user", "email", "a"), Profile | None)
        assert_type(client.get("user", "email", "a", model="features", type=Features), Features | None)
        assert_type(client.get("user", "email", "a", type=dict[str, Features]), dict[str, Features] | None)
        assert_type(client.peek("user", "email", "a"), Profile | None)
        assert_type(client.peek("user", "email", "a", model="features", type=Features), Features | None)
        assert_type(client.delete("user", [("email", "a"), ("user_id", "1")]), int)
        assert_type(client.bundle("checkout").get("user", "email", "a"), dict[str, Any])
        assert_type(client.bundle("checkout").get_many("user", "email", ["a"]), dict[str, dict[str, Any]])
        assert_type(client.stats().hits, int)
        assert_type(client.status(), dict[str, DestinationStatus])
    Client("edgeprofile.toml").close()
    Client(Path("edgeprofile.toml")).close()
    Client({"destinations": []}).close()


async def an_async_client_of_ones_own() -> None:
    async with AsyncClient() as client:
        assert_type(client, AsyncClient)
        await client.start()
        assert_type(await client.get("user", "email", "a"), Profile | None)
        assert_type(await client.get("user", "email", "a", model="features", type=Features), Features | None)
        assert_type(await client.get_json("user", "email", "a"), bytes)
        assert_type(client.peek_json("user", "email", "a", destination="2D"), bytes | None)
        assert_type(client.encoded.peek("user", "email", "a", destination="2D"), EncodedProfile | None)
        assert_type(await client.encoded.get("user", "email", "a"), EncodedProfile)
        assert_type(await client.encoded.get_many("user", [("email", "a")]), list[EncodedProfile | EdgeProfileError])
        assert_type(await client.bundle("checkout").get("user", "email", "a"), dict[str, Any])
        assert_type(await client.delete("user", [("email", "a")], destination="2D"), int)


def configuration() -> Config:
    edgeprofile.configure(address="127.0.0.1:6379", workspace_id="1W", destination_id="2D", max_staleness="500ms")
    edgeprofile.configure("edgeprofile.toml", feed_mode="tracking", audit_fraction=0.01)
    edgeprofile.configure(max_staleness=0.5)  # type: ignore[arg-type]  # durations are text with a unit
    edgeprofile.configure(max_stalness="1s")  # type: ignore[call-arg]  # a misspelt option
    assert_type(load("edgeprofile.toml"), Config)
    assert_type(from_mapping({"destinations": []}), Config)
    assert_type(from_keywords(cluster_mode=False, password_file=Path("/run/secrets/redis")), Config)
    config = Config(
        destinations=(Destination(id="2D", workspace_id="1W", config=RedisConfig(address="a:1,b:2")),),
        cache=CacheConfig(max_bytes=1 << 30, max_staleness=0.5),
    )
    assert_type(config.cache.max_staleness, float)
    assert_type(config.destinations[0].config.seeds, tuple[tuple[str, int] | str, ...])
    assert_type(effective(config), dict[str, Any])
    return config


def errors() -> float:
    try:
        edgeprofile.get("user", "email", "a")
    except LookupTimeout as error:
        assert_type(error.node, str | None)
    except ServiceError as error:
        return error.since
    except ConfigurationError as error:
        assert_type(error.option, str | None)
    except UsageError:
        raise
    return 0.0
