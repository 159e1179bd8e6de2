"""``edgeprofile doctor`` as a process: what it prints, and how it exits."""

import json
import os
import subprocess
import sys

import pytest


def environment(address, **others):
    return {name: value for name, value in os.environ.items() if not name.startswith("EDGEPROFILE_")} | {
        "EDGEPROFILE_ADDRESS": address,
        "EDGEPROFILE_CLUSTER_MODE": "false",
        "EDGEPROFILE_WORKSPACE_ID": "1Wsp",
        "EDGEPROFILE_DESTINATION_ID": "2Dest",
        "EDGEPROFILE_CACHE_MAX_STALENESS": "10s",  # a busy machine is not what is examined here
        "EDGEPROFILE_LIMITS_CONNECT_TIMEOUT": "20s",
        **others,
    }


def doctor(env, *arguments):
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "edgeprofile", "doctor", "--timeout", "20s", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env=env,
    )


def test_all_is_well(redis_db):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", "{}")
    done = doctor(environment(redis_db.address), "--audit", "10", "--destination", "2Dest")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"server {redis_db.address}\n  ✓ address")
    assert "  ✓ audit              1 profile read, 1 hit compared" in done.stdout
    assert done.stdout.endswith("\nAll is well.\n")


def test_it_works_with_warnings(redis_db):
    done = doctor(environment(redis_db.address))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith("\nIt works, with 1 warning.\n")


def test_it_does_not_work():
    done = doctor(environment("127.0.0.1:1"))
    assert (done.returncode, done.stderr) == (2, "")
    assert "  ✗ address" in done.stdout
    assert done.stdout.endswith("\nIt does not work: 1 failure, 0 warnings.\n")


def test_json(redis_db):
    redis_db.notify("")
    done = doctor(environment(redis_db.address), "--json")
    assert (done.returncode, done.stderr) == (2, "")
    told = json.loads(done.stdout)
    assert told["exitCode"] == 2
    found = {finding["name"]: finding for section in told["sections"] for finding in section["findings"]}
    assert found["notifications"]["verdict"] == "failure"
    assert found["notifications"]["do"].startswith("CONFIG SET notify-keyspace-events KA")


def test_a_terminal_without_ticks(redis_db):
    done = doctor(environment(redis_db.address, PYTHONIOENCODING="ascii"))
    assert (done.returncode, done.stderr) == (1, "")
    assert "  + address" in done.stdout
    assert "  ! sample" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--destination", "9Gone"], "no Redis destination '9Gone' is configured; configured: 2Dest"),
        (["--timeout", "5"], '--timeout: 5 has no unit: write "5s"'),
        (["--timeout", "0s"], '--timeout: "0s" gives no step any time: write more than zero'),
        (["--config", "/nonexistent.toml"], "/nonexistent.toml: cannot be read"),
        (["--audit", "0"], 'argument --audit: "0" is no number of profiles: write 1 or more'),
        (["--audit", "many"], 'argument --audit: "many" is no number of profiles: write 1 or more'),
    ],
)
def test_a_wrong_option(arguments, words):
    done = doctor(environment("127.0.0.1:1"), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_sidecar_s_tokens(redis_db, tmp_path):
    file = tmp_path / "tokens.json"
    done = doctor(environment(redis_db.address, EDGEPROFILE_SIDECAR_TOKENS_FILE=str(file)))
    assert done.returncode == 2
    assert "\nsidecar\n  ✗ tokens file" in done.stdout
