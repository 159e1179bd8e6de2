"""Addresses of Redis and of listeners."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.config import RedisConfig, parse_listener, parse_seeds


@pytest.mark.parametrize(
    ("address", "seeds"),
    [
        ("127.0.0.1:6380", (("127.0.0.1", 6380),)),
        ("redis", (("redis", 6379),)),
        ("a:1,b:2", (("a", 1), ("b", 2))),
        (" a:1 ,\tb , c:3 ", (("a", 1), ("b", 6379), ("c", 3))),
        ("a:1,", (("a", 1),)),
        ("[::1]:7000", (("::1", 7000),)),
        ("[fe80::1%eth0]", (("fe80::1%eth0", 6379),)),
        ("unix:/run/redis.sock", ("/run/redis.sock",)),
    ],
)
def test_reads_seeds(address, seeds):
    assert parse_seeds(address) == seeds
    assert RedisConfig(address=address).seeds == seeds


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("", "is empty"),
        (" , ", "is empty"),
        (":6379", "names no host"),
        ("a b:1", "names no host"),
        ("host/0", "names no host"),
        ("[::1", "IPv6 address without brackets"),
        ("::1", "IPv6 address without brackets"),
        ("fe80::1:6379", r'as in "\[::1\]:6379"'),
        ("host:", 'has the port ""'),
        ("host:0", "a number from 1 to 65535"),
        ("host:65536", "a number from 1 to 65535"),
        ("host:\uff16", "a number from 1 to 65535"),
        ("host:6379x", 'has the port "6379x"'),
        ("redis://host:6379/0", "is a URL"),
        ("user@host", "is a URL"),
        ("unix:run/redis.sock", "no absolute path"),
        ("unix:", "no absolute path"),
        ("unix://run/redis.sock", "no absolute path"),
        ("a:1,b:x", 'has the port "x"'),
    ],
)
def test_refuses_with_a_reason(address, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_seeds(address)


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::]:9090", ("::", 9090)),
        ("unix:/run/edgeprofile.sock", "/run/edgeprofile.sock"),
    ],
)
def test_reads_listeners(address, endpoint):
    assert parse_listener(address) == endpoint


@pytest.mark.parametrize("address", ["localhost", "", ":8080", "localhost:", "a:1,b:2"])
def test_a_listener_needs_host_and_port(address):
    with pytest.raises(ValueError, match=r"host|port|several"):
        parse_listener(address)


@given(st.text(alphabet="aB1:[],./ %-é\n", max_size=20))
def test_any_text_is_read_or_refused(address):
    try:
        seeds = parse_seeds(address)
    except ValueError:
        return
    assert seeds
    assert all(isinstance(seed, str) or (seed[0] and 1 <= seed[1] <= 65_535) for seed in seeds)
