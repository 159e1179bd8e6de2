"""``edgeprofile get`` against a real server: what it prints, and how it exits."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

EMAIL = "1Wsp:2Dest:user:email:ada@example.com"
TRAITS = '{"churn_score":0.10,"name":"Ađa","big":12345678901234567890,"tags":[1,null],"none":null}'


@pytest.fixture
def env(redis_db):
    return environment(redis_db.address)


def environment(address: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("EDGEPROFILE_")} | {
        "EDGEPROFILE_ADDRESS": address,
        "EDGEPROFILE_CLUSTER_MODE": "false",
        "EDGEPROFILE_WORKSPACE_ID": "1Wsp",
        "EDGEPROFILE_DESTINATION_ID": "2Dest",
    }


def get(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeprofile", "get", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env=env,
    )


def test_prints_a_profile_as_it_stands_in_redis(redis_db, env):
    redis_db.command("HSET", EMAIL, "features_by_email", TRAITS, "B", '{"x":1.0}')
    done = get(env, "user", "email", "ada@example.com")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"features_by_email": json.loads(TRAITS), "B": {"x": 1.0}}
    for verbatim in ("0.10", "12345678901234567890", "Ađa", "1.0"):
        assert verbatim in done.stdout
    assert done.stdout.endswith("\n}\n")


def test_prints_one_model(redis_db, env):
    redis_db.command("HSET", EMAIL, "features_by_email", TRAITS, "B", '{"x":1.0}')
    done = get(env, "user", "email", "ada@example.com", "--model", "B", "--destination", "2Dest", "--timeout", "10s")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {"x": 1.0}, "")


def test_an_absent_profile_or_model_exits_with_1(redis_db, env):
    redis_db.command("HSET", EMAIL, "features_by_email", TRAITS)
    for arguments, lacking in (
        (["nobody@example.com"], "destination 2Dest has no such profile"),
        (["ada@example.com", "--model", "B"], "the profile has no model B; it has: features_by_email"),
    ):
        done = get(env, "user", "email", *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"edgeprofile: {lacking}\n")


def test_a_value_may_begin_with_a_hyphen(redis_db, env):
    redis_db.command("HSET", "1Wsp:2Dest:user:user_id:-1", "m", "{}")
    assert json.loads(get(env, "user", "user_id", "--", "-1").stdout) == {"m": {}}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--destination", "nope"], "no Redis destination 'nope' is configured; configured: 2Dest"),
        (["--timeout", "5"], '--timeout: 5 has no unit: write "5s"'),
        (["--config", "/nonexistent.toml"], "/nonexistent.toml: cannot be read"),
    ],
)
def test_a_wrong_option_is_one_line(env, arguments, complaint):
    done = get(env, "user", "email", "ada@example.com", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("edgeprofile: ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unreachable_server_is_one_line(env):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening: connections are refused
        port = taken.getsockname()[1]
        done = get(env | {"EDGEPROFILE_ADDRESS": f"127.0.0.1:{port}"}, "user", "email", "ada@example.com")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"edgeprofile: 127.0.0.1:{port} cannot be reached: nothing listens there\n"


def test_of_a_server_that_is_no_cluster_it_is_said_how_to_say_so(env):
    done = get(env | {"EDGEPROFILE_CLUSTER_MODE": ""}, "user", "email", "ada@example.com")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no cluster: set clusterMode = false (EDGEPROFILE_CLUSTER_MODE=false, cluster_mode=False)" in done.stderr


def test_a_feed_that_cannot_be_is_no_obstacle(redis_db, env):
    redis_db.notify("")
    redis_db.command("HSET", EMAIL, "m", "{}")
    done = get(env, "user", "email", "ada@example.com")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {"m": {}}, "")


def test_ctrl_c_in_a_lookup_is_no_traceback():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        env = environment(f"127.0.0.1:{silent.getsockname()[1]}") | {
            "EDGEPROFILE_LIMITS_TIMEOUT": "60s",
            "EDGEPROFILE_LIMITS_CONNECT_TIMEOUT": "60s",
        }
        command = [sys.executable, "-m", "edgeprofile", "get", "user", "email", "ada@example.com"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as running:
            accepted, _ = silent.accept()
            with accepted:
                accepted.recv(1)
                running.send_signal(signal.SIGINT)
                out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (130, b"", b"")
