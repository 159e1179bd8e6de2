"""Ports for servers are free and outside the range from which the system serves clients."""

import socket
from collections import deque
from pathlib import Path

import pytest

from tests.support import ports


def test_a_free_port_can_be_bound():
    with socket.socket() as listener:
        listener.bind((ports.HOST, ports.free_port()))
        listener.listen()


def test_no_port_is_given_twice_before_it_is_bound():
    given = [ports.free_port() for _ in range(100)]
    assert len({*given}) == 100


def test_processes_of_one_run_do_not_share_ports():
    shares = [ports._share(f"gw{number}", "3") for number in range(3)]
    assert sorted(port for share in shares for port in share) == [*ports._RANGE]
    assert ports._share("", "") == ports._RANGE


def test_taken_ports_are_passed_over(monkeypatch):
    with socket.socket() as listener:
        listener.bind((ports.HOST, 0))
        taken, free = listener.getsockname()[1], ports.free_port()
        monkeypatch.setattr(ports, "_LATELY", deque())
        monkeypatch.setattr(ports, "_candidates", lambda: iter([taken, taken, free]))
        assert ports.free_port() == free


def test_nothing_free_is_an_error_that_names_the_range(monkeypatch):
    monkeypatch.setattr(ports, "_can_bind", lambda _: False)
    with pytest.raises(OSError, match="17000-31999"):
        ports.free_port()


def test_no_port_lies_in_the_ephemeral_range():
    file = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not file.exists():
        pytest.skip("the system does not tell its ephemeral range")
    first, last = map(int, file.read_text().split())
    assert not set(range(first, last + 1)) & set(ports._RANGE), "another default than Linux's: choose another range"
