"""The generated users."""

import msgspec
import pytest

from edgeprofile.demo import people
from edgeprofile.keys import Layout

USERS = 10_000


@pytest.fixture(scope="module")
def everyone():
    return list(people.rows(USERS))


def test_the_same_users_every_time(everyone):
    assert everyone[:100] == list(people.rows(USERS))[:100]
    assert everyone[0] == (
        b"1Demo:2Demo:user:email:ada@example.com",
        b"features_by_email",
        msgspec.json.encode(people.models(0)["features_by_email"]),
    )


def test_ids_are_different():
    assert len({people.email(user) for user in range(USERS)}) == USERS


def test_keys_are_those_of_the_profiles_layout(everyone):
    layout = Layout(people.WORKSPACE, people.DESTINATION)
    expected = {layout.key(people.ENTITY, people.ID_TYPE, people.email(user)) for user in range(USERS)}
    assert {row.key for row in everyone} == expected


def test_users_have_two_or_three_models_and_twenty_traits_at_most():
    found = [people.models(user) for user in range(500)]
    assert {len(models) for models in found} == {2, 3}
    assert {sum(map(len, models.values())) for models in found} == {15, 20}
    assert len({tuple(traits) for models in found for traits in models.values()}) == 3


def test_every_type_of_json_occurs(everyone):
    values = [value for row in everyone[:300] for value in msgspec.json.decode(row.traits).values()]
    assert {type(value) for value in values} == {str, int, float, bool, type(None), list, dict}


def test_numbers_are_written_as_javascript_writes_them(everyone):
    assert not [row for row in everyone if b".0," in row.traits or b".0}" in row.traits]


def test_changes_come_round_to_every_user_and_often_to_the_featured_one():
    changed = [people.changed_user(number, USERS) for number in range(1, 2 * USERS)]
    assert set(changed) >= set(range(1, USERS, 100))
    assert changed.count(0) >= 2 * USERS // 100 - 1
    assert set(changed) <= set(range(USERS))


def test_a_change_replaces_one_model_and_carries_its_number():
    row = people.change(42, USERS)
    user = people.changed_user(42, USERS)
    before = people.models(user)[people.CHANGING]
    assert row.key.decode().endswith(people.email(user))
    assert row.model.decode() == people.CHANGING
    assert msgspec.json.decode(row.traits) == {**before, "revision": 42}
