import pytest

from edgeprofile.core.watch import Fingerprint, fingerprint

INFO = """# Server\r
redis_version:7.0.15\r
run_id:0123abcd\r
\r
# Replication\r
role:master\r
\r
# Commandstats\r
cmdstat_hgetall:calls=90,usec=1,usec_per_call=1.00\r
cmdstat_flushall:calls=2,usec=7,usec_per_call=3.50,rejected_calls=0,failed_calls=0\r
cmdstat_config|get:calls=5,usec=1,usec_per_call=1.00\r
cmdstat_swapdb:calls=1,usec=1,usec_per_call=1.00\r
"""


def test_what_is_looked_at():
    assert fingerprint(INFO) == Fingerprint("0123abcd", "master", (2, 0, 1, 0, 0, 0))


def test_what_happens_all_the_time_does_not_matter():
    assert fingerprint(INFO.replace("calls=90", "calls=91").replace("calls=5", "calls=6")) == fingerprint(INFO)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0123abcd", "0123abce"),
        ("role:master", "role:slave"),
        ("flushall:calls=2", "flushall:calls=3"),
        ("swapdb:calls=1", "swapdb:calls=2"),
        ("cmdstat_swapdb", "cmdstat_flushdb"),
        ("cmdstat_hgetall", "cmdstat_debug"),
        ("cmdstat_hgetall", "cmdstat_replicaof"),
        ("cmdstat_hgetall", "cmdstat_slaveof"),
    ],
)
def test_what_betrays_a_change(old, new):
    assert fingerprint(INFO.replace(old, new)) != fingerprint(INFO)


def test_sections_come_in_any_order():
    assert fingerprint("\n".join(reversed(INFO.splitlines()))) == fingerprint(INFO)


@pytest.mark.parametrize("text", ["", "# Commandstats", "cmdstat_flushall:calls=x", "cmdstat_flushall:usec=1", "\r\n"])
def test_nothing_is_read_into_what_is_not_there(text):
    assert fingerprint(text) == Fingerprint("", "", (0, 0, 0, 0, 0, 0))
