"""The servers of the tests: they start, obey, die, come back, and never outlive the tests."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import redis

from tests.support import servers
from tests.support.leaks import none_left
from tests.support.servers import Options, Server
from tests.support.wait import until

ROOT = Path(__file__).parents[2]


def test_a_server_answers_and_says_what_it_is(server):
    assert server.command("PING") == b"PONG"
    assert server.version >= ((9, 0) if server.flavour == "valkey" else (6, 2))
    assert server.info("server")["process_id"] == str(server.pid)
    assert server.url == f"redis://{server.address}/0"
    with server.client() as client:
        assert client.ping()


def test_commands_answer_raw(redis_db):
    redis_db.command("HSET", b"\x00\xffkey", "field", b"\r\n", "n", 1)
    assert redis_db.command("HGETALL", b"\x00\xffkey") == [b"field", b"\r\n", b"n", b"1"]
    assert redis_db.command("GET", "absent") is None
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        redis_db.command("GET", b"\x00\xffkey")


def test_reset_undoes_what_a_test_did(redis_db):
    redis_db.command("SET", "left", "over")
    redis_db.command("ACL", "SETUSER", "intruder", "on")
    redis_db.command("ACL", "SETUSER", "default", "off")
    redis_db.config_set("maxmemory", "100mb")
    redis_db.notify("")
    redis_db.pause()
    redis_db.reset()
    assert redis_db.command("DBSIZE") == 0
    assert redis_db.command("ACL", "USERS") == [b"default", b"harness"]
    assert redis_db.config_get("maxmemory") == "0"
    assert set(redis_db.config_get("notify-keyspace-events")) == set("KA")
    with redis_db.client() as client:
        assert client.ping()


def test_reset_revives_a_dead_server(redis_db):
    port = redis_db.port
    redis_db.kill()
    assert not redis_db.alive
    redis_db.reset()
    assert redis_db.port == port
    assert redis_db.command("PING") == b"PONG"


def test_a_restart_is_empty_or_begins_with_the_snapshot(redis_db):
    first = redis_db.run_id
    redis_db.command("SET", "key", "old")
    redis_db.restart()
    assert redis_db.run_id != first
    assert redis_db.command("GET", "key") is None
    redis_db.command("SET", "key", "old")
    redis_db.snapshot()
    redis_db.command("SET", "key", "new")
    redis_db.restart()
    assert redis_db.command("GET", "key") == b"old"
    (redis_db.directory / "dump.rdb").unlink()


def test_shutdown_is_orderly(redis_db):
    redis_db.shutdown()
    assert not redis_db.alive
    assert "bye bye" in redis_db.log
    redis_db.restart()


def test_a_paused_server_accepts_and_is_silent_until_resumed(redis_db):
    with redis_db.client(socket_timeout=0.05) as hasty, redis_db.client() as patient:
        with redis_db.paused():
            assert redis_db.alive
            with pytest.raises(redis.TimeoutError):
                hasty.ping()
        assert patient.ping()


def test_listeners_of_each_kind_are_known_and_killed_alone(redis_db):
    with (
        redis_db.client(protocol=3, single_connection_client=True) as told,
        redis_db.client() as subscribed,
        subscribed.pubsub() as channels,
        redis_db.client(single_connection_client=True) as other,
    ):
        told.execute_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "a")
        channels.psubscribe("a*")
        number = other.client_id()
        until(lambda: len(redis_db.listeners) == 2, message="both listen")
        assert redis_db.kill_listeners() == 2
        assert redis_db.listeners == []
        assert other.client_id() == number


def test_passwords_and_users(make_server):
    server = make_server(requirepass="p w", users=("app on >secret ~app:* +get",))
    with server.client() as client, server.client(username="app", password="secret") as app:
        assert client.set("app:1", "x")
        assert app.get("app:1") == b"x"
        with pytest.raises(redis.exceptions.NoPermissionError):
            app.set("app:1", "y")
    with server.client(password="wrong") as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    server.reset()
    with server.client() as client:
        assert client.ping()


def test_initial_settings(make_server):
    server = make_server(notify="", config={"maxmemory": "64mb"})
    assert server.config_get("notify-keyspace-events") == ""
    assert server.config_get("maxmemory") == str(64 << 20)
    with redis.Redis(unix_socket_path=str(server.unix_socket)) as client:
        assert client.ping()


def test_a_replica_follows_its_primary(make_server):
    primary = make_server(requirepass="secret")
    replica = make_server(replicaof=primary)
    primary.command("SET", "key", "value")
    until(lambda: replica.command("GET", "key") == b"value", message="the replica has the value")
    with pytest.raises(redis.exceptions.ReadOnlyError):
        replica.command("SET", "key", "other")


def test_a_taken_port_is_replaced(monkeypatch, redis_db, flavour):
    ports = iter([redis_db.port, free := servers.free_port()])
    monkeypatch.setattr(servers, "free_port", lambda: next(ports))
    with Server(Options(flavour=flavour)) as other:
        assert other.port == free
        assert other.run_id != redis_db.run_id


def test_a_server_that_cannot_start_shows_its_log():
    with none_left(), pytest.raises(RuntimeError, match="no-such-directive"):
        Server(Options(config={"no-such-directive": "1"}))


def test_a_missing_program_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="redis-server is not on the path"):
        servers.binary("redis")


def test_closing_leaves_no_process_and_no_file():
    server = Server()
    pid = server.pid
    assert _runs(pid)
    server.close()
    server.close()
    assert not _runs(pid)
    assert not server.directory.exists()


_STARTS_A_SERVER = """
from tests.support.servers import Server
server = Server()
server.pause() if {paused} else None
print(server.pid, flush=True)
input()
"""


@pytest.mark.parametrize("paused", [False, True])
def test_servers_die_with_a_test_process_that_is_killed(paused):
    command = [sys.executable, "-c", _STARTS_A_SERVER.format(paused=paused)]
    with tempfile.TemporaryDirectory() as place:  # the killed process cannot remove its server's directory
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TMPDIR": place}, **pipes) as process:
            pid = int(process.stdout.readline())
            os.kill(pid, 0)
            process.send_signal(signal.SIGKILL)
        until(lambda: not _runs(pid), message="the orphan is killed")


def _runs(pid):
    """Whether the process exists and is no zombie that nobody reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
