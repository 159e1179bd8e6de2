"""The pages that describe the configuration say what the code says."""

from __future__ import annotations

import re
import tomllib

import msgspec
import pytest

from docs.configuration import PAGES, current, described, main
from edgeprofile.config import from_keywords, from_mapping, schema
from edgeprofile.errors import ConfigurationError

PAGE = PAGES[0].read_text("utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def test_the_tables_are_current(capsys):
    assert main(["--check"]) == 0, f"run docs/configuration.py: {capsys.readouterr().out}"


def test_a_changed_table_is_noticed():
    assert current(PAGE.replace("| Deadline of one lookup. |", "| Old. |")) == PAGE
    assert "`EDGEPROFILE_CACHE_TTL`" in current("<!-- options: cache -->\n<!-- /options -->")


@pytest.mark.parametrize("known", schema.known(), ids=lambda known: ".".join(map(str, known.option)))
def test_every_option_is_described(known):
    assert described(known.struct)[known.field.name].endswith((".", "`"))


@pytest.mark.parametrize(
    "struct", dict.fromkeys(known.struct for known in schema.known()), ids=lambda struct: struct.__name__
)
def test_nothing_is_described_that_does_not_exist(struct):
    assert list(described(struct)) == [field.name for field in msgspec.structs.fields(struct)]


def test_the_example_file_is_accepted(monkeypatch):
    monkeypatch.setenv("REDIS_PASSWORD", "p")
    assert from_mapping(tomllib.loads(block("toml"))).cache.max_staleness == 0.5


def test_the_example_variables_are_accepted():
    env = dict(re.findall(r"(EDGEPROFILE_\w+)=(\S+)", block("sh")))
    assert from_keywords(env=env).cache.max_staleness == 0.5
    assert len(env) == 6


@pytest.mark.parametrize(
    ("source", "data", "env", "keywords"),
    [
        ("edgeprofile.toml", {"cache": {"maxStaleness": 500}}, {}, {}),
        (
            "edgeprofile.toml",
            {"destinations": [{"id": "1", "workspaceId": "1", "config": {"address": "h", "clusterMode": "false"}}]},
            {},
            {},
        ),
        (None, {}, {"EDGEPROFILE_FEED_MODE": "keyspce"}, {}),
        (None, {}, {}, {"max_stalness": "500ms"}),
    ],
)
def test_the_example_messages_are_what_is_said(source, data, env, keywords):
    destination = {"address": "h", "destination_id": "1", "workspace_id": "1"}
    whole = {"destinations": [{"id": "1", "workspaceId": "1", "config": {"address": "h"}}]} | data
    with pytest.raises(ConfigurationError) as caught:
        from_mapping(whole, source) if source else from_keywords(env=env, **destination | keywords)
    assert str(caught.value) in block("text").splitlines()
