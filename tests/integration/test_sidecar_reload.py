"""The configuration and its files, changed under a running sidecar."""

import json
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeprofile.config import load
from edgeprofile_sidecar.followed import Followed
from edgeprofile_sidecar.tokens import dump
from tests.support.certificates import Certificates
from tests.support.servers import Flavour, Server
from tests.support.sidecar import Answers, Caller, RunningSidecar, connect, put, request, token
from tests.support.wait import until

TOKEN = "ep_reload"
GOOD = "edgeprofile_config_last_reload_successful"
FAILURES = "edgeprofile_config_reload_failures_total"


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


def asked(destination: str = "2Dest", value: str = "ada@example.com") -> dict[str, object]:
    return {"entity": "user", "destinationId": destination, "id": {"type": "email", "value": value}}


def text(address: str, *destinations: str, sidecar: str = "", limits: str = "") -> str:
    rows = "\n".join(
        f'[[destinations]]\nid = "{each}"\nworkspaceId = "1Wsp"\nconfig = {{ address = "{address}", clusterMode = false }}'
        for each in destinations or ("2Dest",)
    )
    return (
        f'{rows}\n[limits]\n{limits}\n[sidecar]\nlisten = ["127.0.0.1:0"]\nadminListen = "127.0.0.1:0"\n'
        f'tokensFile = "tokens.json"\nreloadTimeout = "2s"\n{sidecar}\n'
    )


@contextmanager
def followed(file: Path) -> Iterator[RunningSidecar]:
    (file.parent / "tokens.json").write_bytes(dump([token(TOKEN)]))
    settings = Followed("config", [file], lambda: load(file, env={}))
    with RunningSidecar(settings.current, settings=settings) as sidecar:
        sidecar.settle(asked(), TOKEN)
        yield sidecar


@pytest.fixture
def file(redis_db: Server, tmp_path: Path) -> Path:
    path = tmp_path / "edgeprofile.toml"
    path.write_text(text(redis_db.address))
    return path


@pytest.fixture
def sidecar(file: Path) -> Iterator[RunningSidecar]:
    with followed(file) as running:
        yield running


def loaded(sidecar: RunningSidecar, file: str = "config") -> float:
    return sidecar.metric("edgeprofile_config_last_reload_success_timestamp_seconds", file=file)


def test_a_destination_is_added_and_taken_away(sidecar, file, redis_db):
    redis_db.command("HSET", "1Wsp:2New:user:email:ada@example.com", "m", '{"n":1}')
    assert sidecar.ask(asked("2New"), TOKEN).status == 404
    file.write_text(text(redis_db.address, "2Dest", "2New"))
    until(lambda: sidecar.ask(asked("2New"), TOKEN).status == 200, message="the new destination")
    assert sidecar.ask(asked("2New"), TOKEN).json["data"] == {"m": {"n": 1}}
    assert set(sidecar.admin("/readyz").json["destinations"]) == {"2Dest", "2New"}
    file.write_text(text(redis_db.address, "2New"))
    until(lambda: sidecar.ask(asked(), TOKEN).status == 404, message="the old one is gone")
    assert sidecar.admin("/readyz").status == 200


def test_who_asks_without_a_pause_gets_nothing_of_a_destination_that_is_gone(sidecar, file, redis_db):
    file.write_text(text(redis_db.address, "2Dest", "2New"))
    until(lambda: sidecar.ask(asked("2New"), TOKEN).status == 200, message="the new destination")
    with Caller(sidecar, asked(), TOKEN) as caller:
        caller.settle()
        file.write_text(text(redis_db.address, "2New"))

        def gone_for_others() -> bool:
            caller.ask()  # what it gets is good for a second, if nothing ends it
            return sidecar.ask(asked(), TOKEN).status == 404

        until(gone_for_others, message="the old one is gone")
        assert caller.ask()[0] == 404


def test_the_destination_that_need_not_be_named_is_the_one_there_is_now(sidecar, file, redis_db):
    redis_db.command("HSET", "1Wsp:2New:user:email:ada", "m", '{"n":1}')

    def get() -> tuple[int, object]:
        answer = sidecar.request("GET", "/v2/profiles/user/email/ada", headers={"Authorization": f"Bearer {TOKEN}"})
        return answer.status, answer.json.get("data")

    assert get() == (200, {})
    file.write_text(text(redis_db.address, "2Dest", "2New"))
    until(lambda: get()[0] == 404, message="none of two is meant")
    file.write_text(text(redis_db.address, "2New"))
    until(lambda: get() == (200, {"m": {"n": 1}}), message="the new one is meant")


def test_the_new_client_knows_the_profiles_in_use(sidecar, file, redis_db):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", '{"n":1}')
    sidecar.hears()
    until(lambda: sidecar.ask(asked(), TOKEN).json["data"] == {"m": {"n": 1}}, message="the profile")
    file.write_text(text(redis_db.address, "2Dest", "2New"))
    until(lambda: sidecar.ask(asked("2New"), TOKEN).status == 200, message="the new destination")
    misses = sidecar.metric("edgeprofile_lookups_total", result="miss")
    assert sidecar.ask(asked(), TOKEN).json["data"] == {"m": {"n": 1}}
    assert sidecar.metric("edgeprofile_lookups_total", result="miss") == misses


def test_a_configmap_is_followed_through_its_links(redis_db, tmp_path):
    mount = tmp_path / "mount"
    for version, names in (("..1", ("2Dest",)), ("..2", ("2Dest", "2New"))):
        (mount / version).mkdir(parents=True)
        (mount / version / "edgeprofile.toml").write_text(text(redis_db.address, *names))
    (mount / "..data").symlink_to("..1")
    (mount / "edgeprofile.toml").symlink_to("..data/edgeprofile.toml")
    with followed(mount / "edgeprofile.toml") as sidecar:
        (mount / "..next").symlink_to("..2")
        (mount / "..next").rename(mount / "..data")
        shutil.rmtree(mount / "..1")
        until(lambda: sidecar.ask(asked("2New"), TOKEN).status == 200, message="the new destination")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("no toml", "is not TOML"),
        ('[[destinations]]\nid = "x"', "workspaceId"),
        (None, "cannot be read"),
        ('[limits]\ntimeout = "-1s"', "timeout"),
    ],
)
def test_a_bad_file_keeps_the_old_and_says_so(sidecar, file, bad, said, caplog):
    before = loaded(sidecar)
    good = file.read_text()
    file.unlink() if bad is None else put(file, bad)
    until(lambda: sidecar.metric(GOOD, file="config") == 0, message="the metric falls")
    assert sidecar.metric(FAILURES, file="config") == 1
    assert loaded(sidecar) == before
    assert any(said in record.getMessage() for record in caplog.records)
    assert sidecar.ask(asked(), TOKEN).status == 200
    file.write_text(good)
    until(lambda: sidecar.metric(GOOD, file="config") == 1, message="the metric rises")
    assert loaded(sidecar) > before


def test_destinations_that_do_not_get_ready_take_no_place(sidecar, file):
    file.write_text(text("127.0.0.1:1"))
    until(lambda: sidecar.metric(GOOD, file="config") == 0, message="the metric falls")
    assert sidecar.ask(asked(value="other"), TOKEN).status == 200
    assert sidecar.admin("/readyz").status == 200


def test_nothing_is_lost_while_destinations_change(sidecar, file, redis_db):
    """Callers ask all the time, for what is cached and what is not, while the client is replaced again and again."""
    stop, statuses = threading.Event(), set[int]()

    def ask(name: str) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            statuses.add(sidecar.ask(asked(value=f"{name}{turn % 50}"), TOKEN).status)

    callers = [threading.Thread(target=ask, args=(name,)) for name in "abc"]
    for caller in callers:
        caller.start()
    try:
        for more in range(4):
            file.write_text(text(redis_db.address, "2Dest", f"2New{more}"))
            wanted = asked(f"2New{more}")
            until(lambda: sidecar.ask(wanted, TOKEN).status == 200, message="the new destination")  # noqa: B023
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    assert statuses == {200}


def test_a_changed_listener_waits_for_the_next_start(sidecar, file, redis_db, caplog):
    file.write_text(text(redis_db.address, sidecar="accessLog = true"))
    until(lambda: any("next start" in record.getMessage() for record in caplog.records), message="it is said")
    assert sidecar.metric(GOOD, file="config") == 1


def test_a_hangup_reads_everything_again(file, tmp_path):
    (tmp_path / "tokens.json").write_bytes(dump([token(TOKEN)]))
    command = [sys.executable, "-m", "edgeprofile", "sidecar", "--config", str(file), "--print-addresses"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as child,
    ):
        try:
            assert child.stdout is not None
            addresses = json.loads(child.stdout.readline())
            admin = addresses["admin"]
            until(lambda: request(admin, "GET", "/readyz").status == 200, message="ready")
            child.send_signal(signal.SIGHUP)
            lines = (tmp_path / "log").read_text
            until(lambda: "config read again" in lines() and "tokens read again" in lines(), message="it is logged")
            assert request(admin, "GET", "/readyz").status == 200
            child.send_signal(signal.SIGTERM)
            assert child.wait(10) == 0
        finally:
            child.kill()


# TLS


def install(certificates: Certificates, name: str, home: Path) -> None:
    """Put a server's certificate and key where the configuration names them, each in one step."""
    identity = getattr(certificates, name)
    for source, target in ((identity.key, "tls.key"), (identity.certificate, "tls.pem")):
        shutil.copy(source, home / "draft")
        (home / "draft").replace(home / target)


def shown(address: str, context: ssl.SSLContext) -> str:
    """Ask over TLS; the name on the certificate that the sidecar shows."""
    with connect(address) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
        body = json.dumps(asked()).encode()
        secured.sendall(
            f"POST /v2/activation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert Answers(secured).next()[0] == 200
        subject = secured.getpeercert()["subject"]  # type: ignore[index]
        return str(subject[0][0][1])


@pytest.fixture
def authority(tmp_path: Path) -> Certificates:
    (tmp_path / "authority").mkdir()
    return Certificates(tmp_path / "authority")


TLS = 'certificate = "tls.pem"\ncertificateKey = "tls.key"\n'


@contextmanager
def encrypted(home: Path, address: str, more: str = "") -> Iterator[tuple[RunningSidecar, str]]:
    listen = 'listen = ["127.0.0.1:0", "tls:127.0.0.1:0"]'
    written = text(address, sidecar=TLS + more).replace('listen = ["127.0.0.1:0"]', listen)
    (home / "edgeprofile.toml").write_text(written)
    with followed(home / "edgeprofile.toml") as sidecar:
        yield sidecar, sidecar.sidecar.addresses.listen[1].removeprefix("tls:")


def test_a_renewed_certificate_is_shown_without_a_restart(redis_db, tmp_path, authority):
    install(authority, "server", tmp_path)
    with encrypted(tmp_path, redis_db.address) as (sidecar, address):
        assert shown(address, authority.trusting()) == "server"
        install(authority, "client", tmp_path)
        until(lambda: shown(address, authority.trusting()) == "client", message="the new certificate")
        (tmp_path / "tls.pem").write_text("no certificate")
        until(lambda: sidecar.metric(GOOD, file="certificate") == 0, message="the metric falls")
        assert shown(address, authority.trusting()) == "client"
        assert sidecar.ask(asked(), TOKEN).status == 200  # the listener without TLS


def test_callers_without_a_certificate_are_sent_away_where_one_is_wanted(redis_db, tmp_path, authority):
    install(authority, "server", tmp_path)
    with encrypted(tmp_path, redis_db.address, 'clientAuthorities = "authority/authority.pem"') as (_, address):
        assert shown(address, authority.trusting()) == "server"
        nobody = ssl.create_default_context(cafile=str(authority.authority))
        with pytest.raises((ssl.SSLError, OSError, AssertionError)):
            shown(address, nobody)


def test_an_authority_that_is_trusted_no_more_is_so_at_once(redis_db, tmp_path, authority):
    (tmp_path / "other").mkdir()
    other = Certificates(tmp_path / "other")
    install(authority, "server", tmp_path)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.authority.read_bytes() + other.authority.read_bytes())
    stranger = ssl.create_default_context(cafile=str(authority.authority))
    stranger.load_cert_chain(other.client.certificate, other.client.key)
    with encrypted(tmp_path, redis_db.address, 'clientAuthorities = "trusted.pem"') as (sidecar, address):
        assert shown(address, authority.trusting()) == shown(address, stranger) == "server"
        before = loaded(sidecar, "certificate")
        trusted.write_bytes(authority.authority.read_bytes())
        until(lambda: loaded(sidecar, "certificate") > before, message="it is read again")
        assert shown(address, authority.trusting()) == "server"
        with pytest.raises((ssl.SSLError, OSError, AssertionError)):
            shown(address, stranger)


def test_handshakes_are_bounded_in_time_and_number(redis_db, tmp_path, authority):
    install(authority, "server", tmp_path)
    more = 'headerTimeout = "2s"\nmaxConnections = 3\n'
    with encrypted(tmp_path, redis_db.address, more) as (sidecar, address):
        closed = "edgeprofile_http_closed_total"
        with connect(address) as one, connect(address) as two, connect(address) as three, connect(address) as four:
            assert four.recv(1) == b""
            until(lambda: sidecar.metric(closed, reason="too many connections") == 1, message="it is counted")
            assert [each.recv(1) for each in (one, two, three)] == [b""] * 3
        until(lambda: sidecar.metric(closed, reason="failed handshake") == 3, message="they are counted")
        assert shown(address, authority.trusting()) == "server"


def test_a_client_that_speaks_no_tls_harms_nobody(redis_db, tmp_path, authority):
    install(authority, "server", tmp_path)
    with encrypted(tmp_path, redis_db.address) as (_, address), connect(address) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert plain.recv(1) == b""
        assert shown(address, authority.trusting()) == "server"


# Warm start


def test_the_next_start_is_warm(redis_db, file, tmp_path):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", '{"n":1}')
    file.write_text(text(redis_db.address, sidecar='warmFile = "hot.json"\nwarmBeforeReady = true'))
    with followed(file) as sidecar:
        assert sidecar.ask(asked(value="nobody"), TOKEN).json["data"] == {}
    written = tmp_path / "hot.json"
    assert written.stat().st_mode & 0o777 == 0o600
    assert json.loads(written.read_bytes()) == [
        {"destination": "2Dest", "entity": "user", "idType": "email", "values": ["ada@example.com"]}
    ]
    settings = load(file, env={})
    with RunningSidecar(settings) as sidecar:
        until(lambda: sidecar.admin("/startupz").status == 200, message="started")
        assert sidecar.metric("edgeprofile_lookups_total", result="miss") == 0
        assert sidecar.ask(asked(), TOKEN).json["data"] == {"m": {"n": 1}}
        assert sidecar.metric("edgeprofile_lookups_total", result="miss") == 0


def test_a_warm_start_waits_where_that_is_asked_for(redis_db, file, tmp_path):
    (tmp_path / "tokens.json").write_bytes(dump([token(TOKEN)]))
    (tmp_path / "hot.json").write_text('[{"destination":"2Dest","entity":"user","idType":"email","values":["ada"]}]')
    file.write_text(
        text(redis_db.address, sidecar='warmFile = "hot.json"\nwarmBeforeReady = true', limits='timeout="9s"')
    )
    with redis_db.paused(), RunningSidecar(load(file, env={})) as sidecar:
        answer = sidecar.admin("/startupz")
        assert (answer.status, answer.json["started"]) == (503, False)
        assert "the profiles in use are being fetched" in answer.json["reasons"]
        assert "the profiles in use are being fetched" in sidecar.admin("/readyz").json["reasons"]


@pytest.mark.parametrize("content", ["", "{", '[{"destination": 1}]', '[{"a": 1}]'])
def test_a_bad_warm_file_makes_a_cold_start(redis_db, file, tmp_path, content):
    (tmp_path / "tokens.json").write_bytes(dump([token(TOKEN)]))
    (tmp_path / "hot.json").write_text(content)
    file.write_text(text(redis_db.address, sidecar='warmFile = "hot.json"\nwarmBeforeReady = true'))
    with RunningSidecar(load(file, env={})) as sidecar:
        sidecar.settle(asked(), TOKEN)
