"""Names, shapes and references: what is refused, and in which words."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.config import Config, from_keywords, from_mapping
from edgeprofile.config.decode import decode
from edgeprofile.config.draft import Draft, dotted, show, undotted
from edgeprofile.config.suggest import alike, did_you_mean, nearest
from edgeprofile.errors import ConfigurationError

BASE = {
    "destinations": [
        {"id": "2Dest", "workspaceId": "1Wsp", "config": {"address": "127.0.0.1:6379", "clusterMode": False}},
    ]
}


def having(path: str, value: object) -> dict:
    draft = Draft(BASE)
    draft.lay(undotted(path), value, "test")
    return draft.data


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        # RudderStack's own keys
        ("destinations[0].config.clusterMode", "false", '"false" is not allowed: write true or false, without quotes'),
        ("destinations[0].config.clusterMode", 0, "0 is not allowed: write true or false, without quotes"),
        ("destinations[0].config.database", 0, "0 is not allowed: write text in quotes"),
        ("destinations[0].config.secure", "true", '"true" is not allowed'),
        ("destinations[0].config.useJSONModule", None, "null is not allowed"),
        ("destinations[0].config.address", ["a", "b"], "a list is not allowed: write text in quotes"),
        (
            "destinations[0].config",
            "127.0.0.1",
            '"127.0.0.1" is not allowed: write it as the table [destinations.config]',
        ),
        ("destinations[0].type", 1, "1 is not allowed: write text in quotes"),
        ("destinations", {}, "a table is not allowed: write [[destinations]], in double brackets"),
        ("destinations", "x", '"x" is not allowed: write a list'),
        # units, numbers, choices
        ("cache.ttl", 300, '300 has no unit: write "300s"'),
        ("cache.maxBytes", 67_108_864, '67108864 has no unit: write "67108864B"'),
        ("cache.maxBytes", True, "this is no size"),
        ("cache.auditFraction", 1.5, "1.5 is not allowed: it must be from 0.0 to 1.0"),
        ("cache.auditFraction", float("nan"), "it must be from 0.0 to 1.0"),
        ("cache.auditFraction", "1%", '"1%" is not allowed: write a number, without quotes'),
        ("limits.maxInFlight", 0, "0 is not allowed: it must be at least 1"),
        ("limits.maxInFlight", 1.5, "1.5 is not allowed: write a whole number"),
        ("limits.maxInFlight", "64", '"64" is not allowed: write a whole number, without quotes'),
        ("feed.mode", "keyspce", '"keyspce" is not allowed: did you mean "keyspace"?'),
        ("feed.mode", "polling", '"polling" is not allowed: allowed: keyspace, tracking'),
        ("feed.mode", 1, "1 is not allowed: allowed: keyspace, tracking"),
        ("feed", [], "a list is not allowed: write it as the table [feed]"),
        ("sidecar.listen", "127.0.0.1:8080", '"127.0.0.1:8080" is not allowed: write a list'),
        ("sidecar.listen", [8080], "8080 is not allowed: write text in quotes"),
        ("sync", 1, "1 is not allowed: write it as the table [sync]"),
        ("sync.sources", [{"entity": "user", "id": "email", "ttl": 5}], '5 has no unit: write "5s"'),
        # names
        ("cach", {}, 'is unknown in the file; did you mean "cache"?'),
        ("cache.max_bytes", "1B", 'is unknown in [cache]; did you mean "maxBytes"?'),
        ("cache.retries", 1, "is unknown in [cache]; allowed: auditFraction, maxBytes"),
        ("maxStaleness", "1s", "is unknown here; maxStaleness belongs to [cache]"),
        ("feed.max_staleness", "1s", "is unknown here; maxStaleness belongs to [cache]"),
        ("destinations[0].address", "h", "is unknown here; address belongs to [destinations.config]"),
        ("destinations[0].workspaceid", "h", 'did you mean "workspaceId"?'),
        ("limits.cursorColumn", "h", "cursorColumn belongs to [[sync.sources]]"),
    ],
)
def test_a_complaint_names_option_value_and_what_is_allowed(path, value, complaint):
    with pytest.raises(ConfigurationError) as caught:
        from_mapping(having(path, value), "ep.toml")
    assert complaint in str(caught.value)
    assert str(caught.value).startswith(f"ep.toml: {path}")
    assert caught.value.source == "ep.toml"
    assert caught.value.option is not None
    assert caught.value.option.startswith(path)


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        ("destinations[0].id", "is missing (as an environment variable EDGEPROFILE_DESTINATION_ID"),
        ("destinations[0].workspaceId", "as a keyword workspace_id)"),
        ("destinations[0].config.address", "EDGEPROFILE_ADDRESS"),
        ("destinations[0].config", "is missing"),
        ("destinations", "write a [[destinations]] section with id, workspaceId and config.address"),
    ],
)
def test_a_missing_option_is_named(missing, complaint):
    data = copy.deepcopy(BASE)
    place = data
    *way, last = undotted(missing)
    for step in way:
        place = place[step]
    del place[last]
    with pytest.raises(ConfigurationError) as caught:
        from_mapping(data, "ep.toml")
    assert caught.value.option == missing
    assert complaint in str(caught.value)


def test_a_missing_cluster_mode_means_cluster():
    data = copy.deepcopy(BASE)
    del data["destinations"][0]["config"]["clusterMode"]
    assert from_mapping(data).destinations[0].config.cluster_mode is True


def test_unknown_keys_of_rudderstack_are_ignored_with_one_warning(caplog):
    pasted = {
        "connectionMode": {"web": "cloud"},
        "clustermode": False,
        "oneTrustCookieCategories": [],
        "password": "s3cret",
    }
    data = copy.deepcopy(BASE)
    data["destinations"] *= 2
    data["destinations"][1] = data["destinations"][1] | {"id": "2nd"}
    for destination in data["destinations"]:
        destination["config"] = destination["config"] | pasted
    config = from_mapping(data, "ep.toml")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("edgeprofile", "WARNING")
    message = record.getMessage()
    assert message.startswith("ep.toml: ignored")
    assert "destinations[0].config.connectionMode" in message
    assert 'destinations[1].config.clustermode (did you mean "clusterMode"?)' in message
    assert "s3cret" not in message
    assert len(config.destinations) == 2


def test_a_clean_configuration_warns_of_nothing(caplog):
    from_mapping(BASE)
    assert not caplog.records


def test_destinations_of_other_types_are_left_out_but_counted():
    webhook = {"id": "2Hook", "type": "WEBHOOK", "name": "ours", "config": {"url": "${NOWHERE}"}}
    data = {"destinations": [webhook, *copy.deepcopy(BASE["destinations"])]}
    assert [destination.id for destination in from_mapping(data).destinations] == ["2Dest"]
    data["destinations"][1]["config"] = {"address": "h:x"}
    with pytest.raises(ConfigurationError, match=r"^ep.toml: destinations\[1\]\.config\.address: "):
        from_mapping(data, "ep.toml")


@pytest.mark.parametrize("written", ["redis", "Redis"])
def test_a_type_in_small_letters_is_no_other_type(written):
    with pytest.raises(ConfigurationError, match=r'destinations\[0\].type: ".edis" cannot be read: write "REDIS"'):
        from_mapping(having("destinations[0].type", written))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "alpha"),
        ("x${A}y${B_2}", "xalphaybeta"),
        ("$${A}", "${A}"),
        ("$A $ {A} $$", "$A $ {A} $$"),
        ("${EMPTY}", ""),
        ("${NESTED}", "${A}"),
    ],
)
def test_references_are_replaced_once(text, value):
    draft = Draft(
        having("destinations[0].config.password", text),
        env={"A": "alpha", "B_2": "beta", "EMPTY": "", "NESTED": "${A}"},
    )
    assert decode(draft).destinations[0].config.password == value


def test_references_work_in_any_text():
    data = having("cache.ttl", "${TTL}") | {"sidecar": {"listen": ["${HOST}:1"]}}
    config = decode(Draft(data, env={"TTL": "7s", "HOST": "h"}))
    assert (config.cache.ttl, config.sidecar.listen) == (7.0, ("h:1",))


@pytest.mark.parametrize("text", ["${}", "${A", "${1}", "${A-b}", "p${", "${a b}", "${Ä}"])
def test_a_malformed_reference_says_how_to_write_it_literally(text):
    with pytest.raises(ConfigurationError, match=r'config\.password: has a "\$\{" .* write "\$\$\{"') as caught:
        decode(Draft(having("destinations[0].config.password", text), env={"A": "x"}))
    assert text not in str(caught.value)


def test_a_missing_reference_is_named():
    with pytest.raises(
        ConfigurationError, match=r"config\.password: needs the environment variable NOPE, which is not set"
    ):
        decode(Draft(having("destinations[0].config.password", "${NOPE}"), env={}))


def test_suggestions():
    assert nearest("maxbytez", ["maxBytes", "ttl"]) == "maxBytes"
    assert nearest("zzz", ["maxBytes", "ttl"]) is None
    assert alike("max-bytes", "maxBytes")
    assert not alike("maxByte", "maxBytes")
    assert did_you_mean("zzz", ["b", "a"]) == "allowed: a, b"


def test_values_are_shown_as_in_a_file_and_shortened():
    assert show("é") == '"é"'
    assert show(True) == "true"
    assert show({"a": "secret"}) == "a table"
    assert show("secret", secret=True) == "***"
    assert show("http://u:pw@h") == '"http://u:***@h"'
    assert len(show("x" * 1000)) < 100


@given(st.lists(st.one_of(st.from_regex(r"[A-Za-z]+", fullmatch=True), st.integers(0, 99)), max_size=5).map(tuple))
def test_a_dotted_path_reads_as_it_was_written(option):
    assert undotted(dotted(option)) == option


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["REDIS", "5s", "${A}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "type", "config", "address", "ttl", "mode", "x y"]), inner, max_size=4)
    ),
    max_leaves=12,
)
SECTIONS = st.sampled_from(["destinations", "cache", "feed", "limits", "sidecar", "sync"])


def outcome(read, *args, **options) -> Config | str:
    try:
        return read(*args, **options)
    except ConfigurationError as error:
        return str(error)


@given(st.dictionaries(SECTIONS, PLAIN, max_size=6), st.booleans())
def test_any_data_is_decoded_or_refused_by_name(data, whole):
    config = outcome(from_mapping, (BASE if whole else {}) | data, "any")
    assert isinstance(config, Config) or config.startswith("any: ")


@given(st.dictionaries(st.sampled_from(["max_bytes", "ttl", "feed_mode", "address", "secure"]), PLAIN))
def test_any_keyword_is_taken_or_refused_by_name(options):
    config = outcome(from_keywords, env={}, **{"workspace_id": "1", "destination_id": "2", "address": "h"} | options)
    assert isinstance(config, Config) or config.startswith("keyword ")
