"""The users' ids, and who changes when."""

import msgspec

from edgeprofile.demo import people
from edgeprofile.keys import Layout

USERS = 10_000


def test_ids_are_different():
    assert len({people.email(user) for user in range(USERS)}) == USERS


def test_changes_come_round_to_every_user_and_often_to_the_featured_one():
    changed = [people.changed_user(number, USERS) for number in range(1, 2 * USERS)]
    assert set(changed) >= set(range(1, USERS, 100))
    assert changed.count(0) >= 2 * USERS // 100 - 1
    assert set(changed) <= set(range(USERS))


def test_a_change_replaces_a_model_of_its_own_and_carries_its_number():
    row = people.change(42, USERS)
    user = people.email(people.changed_user(42, USERS))
    key = Layout(people.WORKSPACE, people.DESTINATION).key(people.ENTITY, people.ID_TYPE, user)
    assert row[:2] == (key, people.CHANGING.encode())
    assert msgspec.json.decode(row.traits)["revision"] == 42
    assert people.change(42, USERS) == row
    assert people.CHANGING != people.SYNCED


def test_users_take_turns_to_order_and_the_featured_one_always_does():
    rounds = [people.ordering(number, USERS, 25) for number in range(2, 2 + USERS // 24)]
    assert {emails[0] for emails in rounds} == {people.FEATURED}
    assert {len(set(emails)) for emails in rounds} == {25}
    assert len({email for emails in rounds for email in emails}) == 1 + 24 * len(rounds)
    assert set().union(*rounds) <= {people.email(user) for user in range(USERS)}


def test_few_users_can_all_order():
    assert set(people.ordering(3, 25, 25)) == {people.email(user) for user in range(25)}
