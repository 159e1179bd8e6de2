"""Where the warehouse is: URLs, and the connections of Profiles' own file."""

from textwrap import dedent

import pytest

from edgeprofile.errors import ConfigurationError
from edgeprofile.reverse_etl.dialects import DIALECTS
from edgeprofile.reverse_etl.errors import ProjectError
from edgeprofile.reverse_etl.settings import SyncConfig
from edgeprofile.reverse_etl.siteconfig import locate

SITECONFIG = """
connections:
  prod:
    target: main
    outputs:
      main:
        type: snowflake
        account: inb828.us-west-3
        dbname: MAT_STORE
        schema: PROFILES
        user: rik
        password: hunter2
        role: PROFILES_ROLE
        warehouse: WH
      other: {type: postgres}
  single:
    outputs:
      only: {type: redshift, host: db.example.com, port: 5439, dbname: rs, user: u, password: p, schema: s}
  lost:
    target: gone
    outputs: {a: {type: postgres}, b: {type: postgres}}
  typeless:
    outputs: {a: {host: x}}
  odd:
    outputs: {a: {type: oracle}}
  bare: {}
  keyed:
    outputs: {a: {type: snowflake, account: x, private_key: secret-key}}
  filed:
    outputs: {a: {type: snowflake, account: x, private_key_file: /key.p8, private_key_file_pwd: q, password: , threads: 4}}
  google:
    outputs: {a: {type: bigquery, project_id: p, credentials: {client_email: x}}}
"""


@pytest.fixture
def find(tmp_path):
    file = tmp_path / "siteconfig.yaml"
    file.write_text(dedent(SITECONFIG))
    return lambda name, connection=None: locate(SyncConfig(warehouse=name, siteconfig=str(file)), connection)


@pytest.mark.parametrize(
    ("url", "dialect", "opened"),
    [
        ("duckdb://a/b.duckdb", "duckdb", "duckdb://a/b.duckdb"),
        ("postgres://u:p@h:5432/db", "postgres", "postgres://u:p@h:5432/db"),
        ("postgresql://h/db", "postgres", "postgres://h/db"),
        ("redshift://u@h:5439/db", "redshift", "postgres://u@h:5439/db"),
        ("snowflake://u:p@acc/db", "snowflake", "snowflake://u:p@acc/db"),
        ("bigquery://project/dataset", "bigquery", "bigquery://project/dataset"),
        ("md:things://x", "duckdb", "md:things://x"),
    ],
)
def test_urls(url, dialect, opened):
    located = locate(SyncConfig(warehouse=url), "ignored")
    assert (located.dialect.name, located.url) == (dialect, opened)


def test_an_unknown_url_lists_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"sync\.warehouse: oracle:// is no known warehouse; known: duckdb, p"):
        locate(SyncConfig(warehouse="oracle://x"), None)


def test_a_connection_by_name(find):
    located = find("prod")
    assert located.dialect is DIALECTS["snowflake"]
    assert located.options == {
        "account": "inb828.us-west-3",
        "database": "MAT_STORE",
        "schema": "PROFILES",
        "user": "rik",
        "password": "hunter2",
        "role": "PROFILES_ROLE",
        "warehouse": "WH",
    }


def test_the_projects_own_connection(find):
    assert find("", "single").dialect.name == "redshift"
    assert find("", "single").options["database"] == "rs"


def test_the_configured_one_wins(find):
    assert find("prod", "single").dialect.name == "snowflake"


def test_secrets_are_not_in_the_repr(find):
    assert "hunter2" not in repr(find("prod"))
    assert "p@" not in repr(locate(SyncConfig(warehouse="postgres://u:p@h/db"), None))


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("nope", ConfigurationError, "has no connection 'nope'; it has: prod, single"),
        ("lost", ProjectError, "has no output 'gone', its `target`; it has: a, b"),
        ("typeless", ProjectError, "has no `type`"),
        ("odd", ProjectError, "is no known warehouse"),
        ("bare", ProjectError, "has no `outputs`"),
        ("keyed", ProjectError, "not supported: `private_key` of a snowflake connection; known: account, user"),
        ("google", ProjectError, "not supported: `credentials` of a bigquery connection; known: project_id, schema"),
    ],
)
def test_refusals(find, name, error, words):
    with pytest.raises(error) as caught:
        find(name)
    assert words in str(caught.value)


def test_a_refusal_tells_no_secret(find):
    with pytest.raises(ProjectError) as caught:
        find("keyed")
    assert "secret-key" not in str(caught.value)


def test_a_key_in_a_file(find):
    assert find("filed").options == {"account": "x", "private_key_file": "/key.p8", "private_key_file_pwd": "q"}


def test_nothing_named_shows_the_two_ways():
    with pytest.raises(ConfigurationError, match=r"duckdb://warehouse\.duckdb"):
        locate(SyncConfig(), None)


def test_no_siteconfig(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist; write an ibis URL"):
        locate(SyncConfig(warehouse="prod", siteconfig=str(tmp_path / "none.yaml")), None)
