"""The demo's warehouse is what Profiles leaves: events, an id graph, features, and the views that the project names."""

import duckdb
import pytest

from edgeprofile.demo import people
from edgeprofile.demo.warehouse import ORDERS_EACH, PROJECT, build, order
from edgeprofile.reverse_etl.project import read_project

USERS = 200
VIEWS = {
    "email": "features_by_email",
    "anonymous_id": "web_personalization",
    "user_id": "user_feature_view_using_user_id",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "warehouse.duckdb"
    build(path, USERS)
    return path


@pytest.fixture
def warehouse(built, tmp_path):
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(built.read_bytes())
    return path


def rows(path, query):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def features(path):
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT * FROM features_by_email").to_arrow_table().to_pylist()
    return {row["email"]: row for row in found}


def test_the_project_and_the_warehouse_name_the_same_views(warehouse):
    sources = read_project(PROJECT, default_view=False).sources
    assert {source.id_type for source in sources} == set(VIEWS)
    for id_type, view in VIEWS.items():
        count = f"SELECT count(*), count(DISTINCT {id_type}) FROM {view}"  # noqa: S608 -- names of our own
        assert rows(warehouse, count) == [(USERS, USERS)]


def test_users_are_those_that_the_demo_looks_up(warehouse):
    assert set(features(warehouse)) == {people.email(user) for user in range(USERS)}


def test_events_are_there_and_stitched(warehouse):
    assert rows(warehouse, "SELECT count(*) FROM rudder_events.orders") == [(ORDERS_EACH * USERS,)]
    assert rows(warehouse, "SELECT count(*), count(DISTINCT user_main_id) FROM user_id_graph") == [(3 * USERS, USERS)]


def test_it_is_the_same_every_time(warehouse, tmp_path):
    build(tmp_path / "again.duckdb", USERS)
    assert features(tmp_path / "again.duckdb") == features(warehouse)


def test_traits_of_many_types_and_some_that_are_unknown(warehouse):
    values = [value for row in features(warehouse).values() for value in row.values()]
    names = {type(value).__name__ for value in values}
    assert names == {"str", "int", "Decimal", "datetime", "date", "list", "bool", "float", "NoneType"}


def test_an_order_changes_those_who_ordered_and_nobody_else(warehouse):
    before = features(warehouse)
    ordering = people.ordering(2, USERS, 25)
    order(warehouse, ordering, amount=5_000.0)
    after = features(warehouse)
    assert {email for email in before if after[email] != before[email]} == set(ordering)
    for email in ordering:
        assert after[email]["orders"] == before[email]["orders"] + 1
        assert after[email]["is_vip"]
