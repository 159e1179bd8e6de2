"""Secrets are used and never shown."""

from __future__ import annotations

import pprint
from typing import TYPE_CHECKING

import msgspec
import pytest

from edgeprofile.config import effective, from_mapping
from edgeprofile.errors import ConfigurationError
from edgeprofile.options import MASK, mask

if TYPE_CHECKING:
    from edgeprofile.config import Config

SECRET = "hunter2-correct-horse"
CONFIG = {
    "destinations": [
        {"id": "2D", "workspaceId": "1W", "config": {"address": "h:1,g:2", "username": "ada", "password": SECRET}}
    ],
    "cache": {"maxStaleness": "500ms", "maxBytes": "1.5GiB"},
    "sync": {
        "warehouse": f"postgres://etl:{SECRET}@db/warehouse",
        "sources": [{"entity": "user", "id": "email", "ttl": "90d"}, {"entity": "user", "id": "phone"}],
    },
}


@pytest.fixture
def config() -> Config:
    return from_mapping(CONFIG)


def test_no_secret_in_any_text_of_the_configuration(config):
    assert config.destinations[0].config.password == SECRET
    for text in (repr(config), str(config), f"{config}", pprint.pformat(config), repr(config.destinations[0].config)):
        assert SECRET not in text
        assert MASK in text
    rich_repr = dict(config.destinations[0].config.__rich_repr__())
    assert rich_repr["password"] == MASK


def test_a_rich_console_shows_no_secret(config):
    from io import StringIO

    from rich.console import Console
    from rich.pretty import pretty_repr

    out = StringIO()
    Console(file=out).print(config)
    assert SECRET not in out.getvalue()
    assert SECRET not in pretty_repr(config)


def test_an_empty_secret_is_shown_as_empty():
    assert "password=''" in repr(from_mapping({**CONFIG, "destinations": [_without_password()]}))


def test_the_effective_configuration_is_masked_and_whole(config):
    shown = effective(config)
    assert SECRET not in str(shown)
    destination = shown["destinations"][0]
    assert destination["config"]["password"] == MASK
    assert destination["config"]["clusterMode"] is True
    assert shown["cache"] == {
        "maxBytes": "1536MiB",
        "maxProfileBytes": "1MiB",
        "policy": "lru",
        "ttl": "5m",
        "negativeTtl": "30s",
        "maxStaleness": "500ms",
        "staleIfError": "0s",
        "auditFraction": 0.0,
    }
    assert shown["sync"]["warehouse"] == f"postgres://etl:{MASK}@db/warehouse"
    assert [source.get("ttl") for source in shown["sync"]["sources"]] == ["90d", None]
    assert msgspec.json.encode(shown)


def test_the_effective_configuration_reads_as_the_same(config):
    shown = effective(config)
    shown["destinations"][0]["config"]["password"] = SECRET
    shown["sync"]["warehouse"] = CONFIG["sync"]["warehouse"]
    assert from_mapping(shown) == config


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://u:pw@h:1/0", "redis://u:***@h:1/0"),
        ("redis://:pw@h", "redis://:***@h"),
        ("u:p:w@h:1", "u:***@h:1"),
        ("postgres://h/db?user=u&password=pw&x=1", "postgres://h/db?user=u&password=***&x=1"),
        ("snowflake://u:p%40w@acc/db?private_key=abc", "snowflake://u:***@acc/db?private_key=***"),
        ("databricks://h?access_token=abc", "databricks://h?access_token=***"),
        ("postgres://u@h/db", "postgres://u@h/db"),
        ("h:6379", "h:6379"),
        ("duckdb:///data/w.duckdb", "duckdb:///data/w.duckdb"),
        ("", ""),
    ],
)
def test_credentials_of_urls_are_masked(text, shown):
    assert mask(text) == shown


def _without_password() -> dict:
    destination = CONFIG["destinations"][0]
    return destination | {"config": {"address": "h"}}


@pytest.mark.parametrize("password", [48213957, ["hunter2-a"], {"a": SECRET}, "pw${", "${}-hunter2"])
def test_a_misshapen_secret_is_not_repeated(password):
    destination = _without_password()
    destination["config"]["password"] = password
    with pytest.raises(ConfigurationError, match=r"config\.password: ") as caught:
        from_mapping(CONFIG | {"destinations": [destination]})
    for part in ("48213957", "hunter2", "pw$"):
        assert part not in str(caught.value)
