"""What the README shows is what happens: its Python runs, and the user that it makes can do all that is needed."""

import ast
import asyncio
import inspect
import json
import re
import shlex
from pathlib import Path

import pytest

import edgeprofile
from edgeprofile import cli, default
from edgeprofile.config import from_mapping
from edgeprofile.store.rights import rules, setuser
from tests.support.wait import until

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
KEY = "1xYz:2aBcDeF:user:email:ada@example.com"
ACL = next(line for line in README.splitlines() if line.startswith("ACL SETUSER "))
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def settings(address="127.0.0.1:6379", **login):
    config = {"address": address, "clusterMode": False, **login}
    return {"destinations": [{"id": "2aBcDeF", "workspaceId": "1xYz", "config": config}]}


def write(server, churn):
    server.command("HSET", KEY, "features_by_email", json.dumps({"churn_score": churn}))


@pytest.mark.parametrize("block", BLOCKS)
def test_the_python_of_the_readme_runs(redis_db, block):
    write(redis_db, 0.42)
    program = block.replace("127.0.0.1:6379", redis_db.address)
    assert program != block
    code = compile(program, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names = {}

    async def run():
        if inspect.iscoroutine(waiting := eval(code, names)):  # noqa: S307 (the README's own words)
            await waiting

    try:
        asyncio.run(run())
        assert names["profile"] == {"features_by_email": {"churn_score": 0.42}}
        found = edgeprofile.get("user", "email", "ada@example.com", model="features_by_email", type=names["Features"])
        assert found == names["Features"](churn_score=0.42)
    finally:
        default.close()


def test_the_sidecar_s_commands_of_the_readme_run_as_they_stand(tmp_path, monkeypatch, capsys):
    settings, commands = re.search(r"```toml\n(.*?)```\n\n```sh\n(.*?sidecar)\n```", README, re.DOTALL).groups()
    (tmp_path / "edgeprofile.toml").write_text(settings, "utf-8")
    monkeypatch.chdir(tmp_path)
    for line in commands.splitlines():
        word, *arguments = shlex.split(line, comments=True)
        if word == "export":
            monkeypatch.setenv(*arguments[0].split("="))
        elif arguments[0] == "token":
            assert cli.main(arguments) == 0
        elif arguments == ["sidecar"]:
            assert cli.main([*arguments, "--check-config"]) == 0
    assert '"tokensFile": "' in capsys.readouterr().out


def test_the_least_rights_of_the_readme_are_those_that_the_code_prints():
    config = from_mapping(settings(), "README.md")
    assert setuser("edgeprofile", rules(config.destinations[0], config.feed, field_ttls=True)) == ACL


def test_the_least_rights_of_the_readme_are_enough(redis_db, flavour):
    unknown = {"+hpttl"} if flavour == "redis" else set()
    words = [word for word in shlex.split(ACL.replace(">PASSWORD", ">secret")) if word not in unknown]
    redis_db.command(*words)
    write(redis_db, 0.42)
    login = {"username": "edgeprofile", "password": "secret"}
    with edgeprofile.Client(settings(redis_db.address, **login)) as client:
        client.start()
        assert client.status()["2aBcDeF"].state == "live"
        until(lambda: score(client) == 0.42 and client.peek("user", "email", "ada@example.com"), 5, "it is kept")
        write(redis_db, 0.1)
        until(lambda: score(client) == 0.1, 1, "the write is seen")
        assert not client.stats().feed_losses
        assert client.status()["2aBcDeF"].state == "live"


def score(client):
    return client.get("user", "email", "ada@example.com")["features_by_email"]["churn_score"]
