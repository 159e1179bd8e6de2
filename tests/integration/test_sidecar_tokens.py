"""Tokens of a running sidecar: made, revoked and spoiled under it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeprofile.cli import main
from edgeprofile_sidecar.tokens import dump
from tests.support.fair_clock import FairClock
from tests.support.servers import Flavour
from tests.support.sidecar import Caller, RunningSidecar, configuration, put, running, token
from tests.support.wait import until

KEPT = "ep_kept"
ASKED = {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": "ada@example.com"}}
REVOCATION = 1.0  # seconds: the promise


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


@pytest.fixture
def sidecar(redis_db, tmp_path) -> Iterator[RunningSidecar]:
    with running(configuration(tmp_path, redis_db.address, token(KEPT, name="kept"))) as started:
        started.settle(ASKED, KEPT)
        yield started


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def opens(sidecar: RunningSidecar, secret: str) -> bool:
    return sidecar.ask(ASKED, secret).status == 200


def test_a_token_made_by_the_command_opens_without_a_restart(sidecar, file, capsys):
    assert main(["token", "create", "--destination", "2Dest", "--file", str(file)]) == 0
    secret = capsys.readouterr().out.strip()
    until(lambda: opens(sidecar, secret), message="the new token opens")
    assert opens(sidecar, KEPT)


def test_a_revoked_token_is_refused_within_a_second(sidecar, file):
    assert opens(sidecar, KEPT)
    assert main(["token", "revoke", "kept", "--file", str(file)]) == 0
    with FairClock() as clock:
        until(lambda: not opens(sidecar, KEPT), message="the token is refused")
    assert clock.seconds < REVOCATION


def test_it_is_refused_to_who_asks_without_a_pause_too(sidecar, file):
    with Caller(sidecar, ASKED, KEPT) as caller:
        caller.settle()
        assert main(["token", "revoke", "kept", "--file", str(file)]) == 0
        with FairClock() as clock:
            until(lambda: caller.ask()[0] == 401, message="the token is refused")
        assert clock.seconds < REVOCATION


def test_a_token_ends_to_the_moment_for_who_asks_without_a_pause(sidecar, file):
    with Caller(sidecar, ASKED, KEPT) as caller:
        caller.settle()
        ending = token(KEPT, ends_in=3.0)
        put(file, dump([ending, token("ep_witness")]).decode())
        until(lambda: opens(sidecar, "ep_witness"), message="the new file is in use")
        assert ending.expires is not None
        while True:
            before = time.time()
            if caller.ask()[0] == 401:
                break
            assert before < ending.expires.timestamp()
        assert time.time() >= ending.expires.timestamp()


def test_a_bad_file_keeps_the_tokens_and_is_seen_in_the_metrics(sidecar, file):
    name = "edgeprofile_config_last_reload_successful"
    assert sidecar.metric(name, file="tokens") == 1
    put(file, "{")
    until(lambda: sidecar.metric(name, file="tokens") == 0, message="the metric falls")
    assert sidecar.metric("edgeprofile_config_reload_failures_total", file="tokens") == 1
    assert opens(sidecar, KEPT)
    file.write_bytes(dump([token("ep_next")]))
    until(lambda: sidecar.metric(name, file="tokens") == 1, message="the metric rises")
    assert opens(sidecar, "ep_next")
    assert not opens(sidecar, KEPT)


def test_a_token_ends_while_the_sidecar_runs(redis_db, tmp_path):
    with running(configuration(tmp_path, redis_db.address, token(KEPT, ends_in=0.5))) as sidecar:
        assert opens(sidecar, KEPT)
        until(lambda: not opens(sidecar, KEPT), timeout=2.0, message="the token ends")
        assert sidecar.metric("edgeprofile_auth_failures_total", reason="expired") >= 1
