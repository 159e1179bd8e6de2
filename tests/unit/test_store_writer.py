"""What ends a delivery, and what is waited for."""

import pytest

from edgeprofile.errors import AccessDenied, RedisUnavailable, ServerRefused
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply
from edgeprofile.store.writer import deserves_retry, raise_unless_passing


@pytest.mark.parametrize(
    "text",
    [
        "LOADING Valkey is loading the dataset in memory",
        "CLUSTERDOWN The cluster is down",
        "BUSY Redis is busy running a script",
        "ERR max number of clients reached",
    ],
)
def test_a_node_that_lets_nobody_in_for_the_moment_is_waited_for(text):
    reply = ErrorReply(text)
    assert deserves_retry(reply)
    raise_unless_passing(refusal(reply, "node", doing="CLUSTER SLOTS"))


def test_so_is_one_that_cannot_be_reached():
    raise_unless_passing(RedisUnavailable("away"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ERR This instance has cluster support disabled", ServerRefused),
        ("WRONGPASS invalid username-password pair or user is disabled.", AccessDenied),
        ("NOPERM User reader has no permissions to run the 'cluster|slots' command", AccessDenied),
    ],
)
def test_what_does_not_pass_ends_it(text, kind):
    with pytest.raises(kind):
        raise_unless_passing(refusal(ErrorReply(text), "node", doing="CLUSTER SLOTS"))
