"""Files, environment variables and keywords, and which of them wins."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import get_type_hints

import pytest

from edgeprofile.config import Config, Keywords, from_keywords, from_mapping, load, schema
from edgeprofile.errors import ConfigurationError

FILE = """
[[destinations]]
id = "2aBcDeF"
workspaceId = "1xYz"
type = "REDIS"
[destinations.config]
address = "127.0.0.1:6379"
clusterMode = false
password = "${REDIS_PASSWORD}"

[cache]
maxBytes = "64MiB"
ttl = "5m"
negativeTtl = "30s"
maxStaleness = "1s"
staleIfError = "0s"

[feed]
mode = "keyspace"
onChange = "refresh"
heartbeat = "canary"
verifyInterval = "5s"
configureServer = false

[sidecar]
listen = ["127.0.0.1:8080", "unix:/run/edgeprofile/sidecar.sock"]
adminListen = "127.0.0.1:9090"
tokensFile = "tokens.json"

[sync]
project = "path/to/profiles/project"
warehouse = "duckdb://warehouse.duckdb"
destination = "2aBcDeF"
mode = "upsert"
"""
VARIABLES = {
    "EDGEPROFILE_ADDRESS": "127.0.0.1:6379",
    "EDGEPROFILE_WORKSPACE_ID": "1Wsp",
    "EDGEPROFILE_DESTINATION_ID": "2Dest",
    "EDGEPROFILE_CLUSTER_MODE": "false",
}
KEYWORDS: Keywords = {
    "address": "127.0.0.1:6379",
    "workspace_id": "1Wsp",
    "destination_id": "2Dest",
    "cluster_mode": False,
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "edgeprofile.toml"
    path.write_text(FILE, "utf-8")
    return path


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "other.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_the_defaults_are_those_of_the_documented_file(file):
    documented = load(file, env={"REDIS_PASSWORD": ""})
    bare = from_keywords(env={}, **KEYWORDS)
    assert (documented.cache, documented.feed, documented.limits) == (bare.cache, bare.feed, bare.limits)
    assert bare.sync is None


def test_reads_a_file(file):
    config = load(str(file), env={"REDIS_PASSWORD": "s3cret"})
    destination = config.destinations[0]
    assert (destination.id, destination.workspace_id, destination.layout) == ("2aBcDeF", "1xYz", "profiles")
    assert (destination.config.cluster_mode, destination.config.password) == (False, "s3cret")
    assert config.cache.max_bytes == 64 << 20
    assert config.cache.heartbeat_interval == 0.25
    assert config.sidecar.listen == ("127.0.0.1:8080", "unix:/run/edgeprofile/sidecar.sock")
    assert config.sync is not None
    assert config.sync.warehouse == "duckdb://warehouse.duckdb"


def test_relative_paths_of_a_file_start_at_its_directory(file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path.parent)
    config = load(Path(tmp_path.name) / file.name, env={"REDIS_PASSWORD": ""})
    assert config.sidecar.tokens_file == str(tmp_path / "tokens.json")
    assert config.sync is not None
    assert config.sync.project == str(tmp_path / "path/to/profiles/project")


def test_paths_of_variables_and_keywords_stay_as_they_are(file):
    env = {"REDIS_PASSWORD": "", "EDGEPROFILE_SIDECAR_TOKENS_FILE": "t.json"}
    config = from_keywords(file, env=env, client_certificate=Path("c.pem"), secure=True)
    assert config.sidecar.tokens_file == "t.json"
    assert config.destinations[0].config.client_certificate == "c.pem"


def test_a_home_directory_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert (
        from_keywords(env={}, **KEYWORDS, password_file="~/pw").destinations[0].config.password_file == "/home/ada/pw"
    )


def test_the_environment_names_the_file(file):
    assert load(env={"EDGEPROFILE_CONFIG": str(file), "REDIS_PASSWORD": ""}).destinations[0].id == "2aBcDeF"


def test_a_byte_order_mark_is_no_obstacle(write):
    assert load(write(b"\xef\xbb\xbf" + FILE.encode()), env={"REDIS_PASSWORD": ""}).destinations[0].id == "2aBcDeF"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a = = 1", r"is not TOML: Invalid value \(at line 1, column 5\)"),
        ('a = "1"\na = "2"\n', "is not TOML: Cannot overwrite a value"),
        (b'a = "\xff"', r"is not UTF-8 text \(byte 5\)"),
    ],
)
def test_an_unreadable_file_is_named(write, text, complaint):
    path = write(text)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        load(path, env={})
    assert caught.value.source == str(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"absent\.toml: cannot be read: No such file"):
        load(env={"EDGEPROFILE_CONFIG": str(tmp_path / "absent.toml")})


def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path, env={})


@pytest.mark.parametrize("env", [{}, {"EDGEPROFILE_CONFIG": ""}, {"EDGEPROFILE_CACHE_TTL": "5m"}, {"PATH": "/bin"}])
def test_with_nothing_given_the_three_ways_are_shown(env):
    with pytest.raises(ConfigurationError) as caught:
        load(env=env)
    for way in ("EDGEPROFILE_CONFIG=", "EDGEPROFILE_ADDRESS=", "edgeprofile.configure(address="):
        assert way in str(caught.value)


def test_the_process_environment_is_the_default(monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert load() == load(env=VARIABLES)


def test_variables_alone_are_enough():
    config = load(env=VARIABLES | {"EDGEPROFILE_PASSWORD": "p", "EDGEPROFILE_LAYOUT": "event-stream"})
    assert config.destinations[0].config.cluster_mode is False
    assert config.destinations[0].config.password == "p"
    assert config.destinations[0].layout == "event-stream"


def test_variables_keywords_and_file_say_the_same(write):
    text = """
    [[destinations]]
    id = "2Dest"
    workspaceId = "1Wsp"
    config = {address = "127.0.0.1:6379", clusterMode = false}
    """
    assert load(env=VARIABLES) == from_keywords(env={}, **KEYWORDS) == load(write(text), env={})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("EDGEPROFILE_CACHE_MAX_BYTES", "1GiB", ("cache", "max_bytes", 1 << 30)),
        ("EDGEPROFILE_CACHE_AUDIT_FRACTION", "0.01", ("cache", "audit_fraction", 0.01)),
        ("EDGEPROFILE_FEED_MODE", "tracking", ("feed", "mode", "tracking")),
        ("EDGEPROFILE_FEED_CONFIGURE_SERVER", "true", ("feed", "configure_server", True)),
        ("EDGEPROFILE_LIMITS_MAX_IN_FLIGHT", "5", ("limits", "max_in_flight", 5)),
        ("EDGEPROFILE_LIMITS_TIMEOUT", "250ms", ("limits", "timeout", 0.25)),
        ("EDGEPROFILE_SIDECAR_LISTEN", "a:1, unix:/b", ("sidecar", "listen", ("a:1", "unix:/b"))),
        ("EDGEPROFILE_SYNC_WAREHOUSE", "duckdb://w", ("sync", "warehouse", "duckdb://w")),
    ],
)
def test_variables_reach_every_section(name, text, value):
    section, field, expected = value
    assert getattr(getattr(load(env=VARIABLES | {name: text}), section), field) == expected


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("EDGEPROFILE_CLUSTER_MODE", "yess", '"yess" is not allowed: write true or false'),
        ("EDGEPROFILE_LIMITS_MAX_WAITERS", "many", '"many" is not allowed: write a whole number'),
        ("EDGEPROFILE_LIMITS_MAX_WAITERS", "-1", "limits.maxWaiters: -1 is not allowed: it must be at least 1"),
        ("EDGEPROFILE_CACHE_AUDIT_FRACTION", "half", '"half" is not allowed: write a number'),
        ("EDGEPROFILE_CACHE_TTL", "300", "cache.ttl: 300 has no unit"),
        ("EDGEPROFILE_FEED_MODE", "pubsub", "feed.mode: "),
        ("EDGEPROFILE_ADDRESS", "h:x", r"destinations\[0\].config.address: "),
    ],
)
def test_a_wrong_variable_is_named(name, text, complaint):
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        load(env=VARIABLES | {name: text})
    assert caught.value.source == name


def test_a_missing_variable_is_named():
    with pytest.raises(ConfigurationError, match=r"destinations\[0\]\.id: is missing .*EDGEPROFILE_DESTINATION_ID"):
        load(env={"EDGEPROFILE_ADDRESS": "h", "EDGEPROFILE_WORKSPACE_ID": "1Wsp"})


def test_keywords_win_over_variables_and_variables_over_the_file(file):
    env = {"REDIS_PASSWORD": "", "EDGEPROFILE_CACHE_TTL": "2m", "EDGEPROFILE_CACHE_NEGATIVE_TTL": "2s"}
    cache = from_keywords(file, env=env, ttl="3m").cache
    assert (cache.ttl, cache.negative_ttl, cache.max_bytes) == (180.0, 2.0, 64 << 20)


def test_an_empty_variable_counts_as_not_set(file):
    config = load(file, env={"REDIS_PASSWORD": "p", "EDGEPROFILE_PASSWORD": "", "EDGEPROFILE_CACHE_TTL": ""})
    assert (config.destinations[0].config.password, config.cache.ttl) == ("p", 300.0)


def test_variables_and_keywords_are_taken_literally():
    config = from_keywords(env=VARIABLES | {"EDGEPROFILE_PASSWORD": "${A}$"}, username="${B")
    assert (config.destinations[0].config.password, config.destinations[0].config.username) == ("${A}$", "${B")


def test_a_variable_cannot_choose_between_destinations(write):
    two = FILE + FILE[: FILE.index("[cache]")].replace("2aBcDeF", "2other")
    env = {"REDIS_PASSWORD": "", "EDGEPROFILE_PASSWORD": "p"}
    with pytest.raises(ConfigurationError, match="EDGEPROFILE_PASSWORD: several destinations are configured"):
        load(write(two), env=env)


@pytest.mark.parametrize(
    "text", ["destinations = 3", "destinations = [3]", '[destinations]\nid = "x"', "cache = 3", "sync = []"]
)
def test_variables_over_a_misshapen_file_leave_the_complaint_to_the_file(write, text):
    variables = VARIABLES | {"EDGEPROFILE_CACHE_TTL": "1m", "EDGEPROFILE_SYNC_MODE": "mirror"}
    path = write(text)
    with pytest.raises(ConfigurationError, match="is not allowed: write") as caught:
        load(path, env=variables)
    assert caught.value.source == str(path)


def test_a_misspelt_variable_is_warned_about(caplog):
    load(env=VARIABLES | {"EDGEPROFILE_PASWORD": "s3cret"})
    assert [record.getMessage() for record in caplog.records] == [
        "the environment variable EDGEPROFILE_PASWORD sets nothing; did you mean EDGEPROFILE_PASSWORD?"
    ]


def test_variables_that_kubernetes_sets_for_a_service_are_silent(caplog):
    caplog.set_level(logging.DEBUG)
    names = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR")
    load(env=VARIABLES | {f"EDGEPROFILE_{name}": "tcp://1" for name in names} | {"EDGEPROFILE_SIDECAR_PORT": "tcp://1"})
    assert not caplog.records


def test_an_unknown_keyword_is_named():
    with pytest.raises(
        ConfigurationError, match='keyword max_stalness: is unknown; did you mean "max_staleness"'
    ) as caught:
        from_keywords(env={}, **KEYWORDS, max_stalness="1s")
    assert caught.value.source == "keyword max_stalness"


def test_a_wrong_keyword_is_named():
    with pytest.raises(ConfigurationError, match=r"^keyword max_staleness: cache\.maxStaleness: 0\.5 has no unit"):
        from_keywords(env={}, **KEYWORDS, max_staleness=0.5)


def test_a_mapping_is_read_alone(monkeypatch):
    monkeypatch.setenv("EDGEPROFILE_CACHE_TTL", "1m")
    monkeypatch.setenv("PW", "p")
    destination = {"id": "2Dest", "workspaceId": "1Wsp", "config": {"address": "h", "password": "${PW}"}}
    data = {"destinations": [destination]}
    config = from_mapping(data)
    assert (config.cache.ttl, config.destinations[0].config.password) == (300.0, "p")
    assert data == {"destinations": [destination]}


def test_a_mapping_has_a_name_in_messages():
    with pytest.raises(ConfigurationError, match=r"^settings\.py: cach: is unknown"):
        from_mapping({"cach": {}}, "settings.py")
    with pytest.raises(ConfigurationError, match="mapping: is of type list"):
        from_mapping([])


def test_no_two_options_share_a_variable_or_a_keyword():
    variables = [option.variable for option in schema.known() if option.variable]
    keywords = [option.keyword for option in schema.known() if option.keyword]
    assert len(variables) == len(set(variables))
    assert len(keywords) == len(set(keywords))
    assert "EDGEPROFILE_CONFIG" not in variables


def test_the_typed_keywords_are_the_keywords():
    assert list(Keywords.__annotations__) == [option.keyword for option in schema.known() if option.keyword]


def test_every_typed_option_survives_the_way_through_a_constructor(file):
    config = load(file, env={"REDIS_PASSWORD": "x"})
    assert Config(**{name: getattr(config, name) for name in get_type_hints(Config)}) == config
