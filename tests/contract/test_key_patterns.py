"""What Redis itself says about the patterns: its own matcher is the judge."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgeprofile.keys import Layout, channel, channel_pattern

glob_heavy = st.text("ab*?[]\\^-!{}:é\n", min_size=1, max_size=8)


@given(glob_heavy, glob_heavy, st.text("ab*?[]\\^-\n\0", min_size=1, max_size=4))
@example("a*", "b", "x")
@example("[a-b]", "^", "]")
@example("\\", "\\\\", "\\")
@example("a", "b", "\n")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_pattern_covers_its_own_keys_and_no_others(redis_db, workspace, destination, value):
    layout = Layout(workspace, destination)
    keys = {layout.key("user", "email", value), layout.key("u", "t", value)}
    others = {
        Layout(workspace + "a", destination).key("user", "email", value),
        Layout(workspace.replace("*", "ab").replace("?", "a"), destination + "b").key("user", "email", value),
    }
    redis_db.flushall()
    for key in keys | others:
        redis_db.command("SET", key, "1")
    expected = {key for key in keys | others if key.startswith(f"{workspace}:{destination}:".encode())}
    assert {bytes(key) for key in redis_db.command("KEYS", layout.pattern)} == expected


@pytest.mark.parametrize("identity", [("user", "email", "*"), ("user", "email", "a b:c\n\0é")])
def test_an_event_of_a_key_comes_on_its_channel(redis_db, identity):
    layout = Layout("1Wsp", "2[Dest]*")
    key = layout.key(*identity)
    with redis_db.client() as client, client.pubsub() as feed:
        feed.psubscribe(channel_pattern(0, layout.pattern))
        assert feed.get_message(timeout=5)["type"] == "psubscribe"
        redis_db.command("HSET", key, "m", "{}")
        message = feed.get_message(timeout=5)
    assert message["channel"] == channel(0, key)
    assert message["data"] == b"hset"
