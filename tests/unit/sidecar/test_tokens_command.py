"""`edgeprofile token`: what it prints, where, and what it writes."""

import os
import re
from datetime import UTC, datetime, timedelta

import pytest

from edgeprofile.cli import main
from edgeprofile_sidecar.token_file import load
from edgeprofile_sidecar.tokens import Grant, Tokens, fingerprint
from tests.support.sidecar import token

VALUE = re.compile(r"ep_[A-Za-z0-9_-]{43}\n")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.json"


@pytest.fixture
def call(path, capsys):
    """Run `edgeprofile token …` on the file: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["token", *arguments, "--file", str(path)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_create_prints_the_value_alone_on_stdout_and_keeps_its_hash(call, path):
    code, out, err = call("create", "--destination", "2Dest", "--name", "web")
    assert code == 0
    assert VALUE.fullmatch(out)
    assert "web" in err
    assert str(path) in err
    (kept,) = load(path)
    assert kept.sha256 == fingerprint(out.strip())
    assert out.strip() not in path.read_text()
    assert out.strip() not in err


def test_the_value_opens_what_was_asked_for(call, path):
    _, out, _ = call("create", "--destination", "2Dest", "--destination", "2Other", "--permission", "read, delete")
    grant = Tokens(load(path)).admit([f"Bearer {out.strip()}"], datetime.now(UTC).timestamp())
    assert isinstance(grant, Grant)
    assert [grant.covers(destination) for destination in ("2Dest", "2Other", "2Third")] == [True, True, False]
    assert grant.may("read")
    assert grant.may("delete")


def test_without_options_a_token_reads_and_does_not_end(call, path):
    call("create", "--all-destinations")
    (kept,) = load(path)
    assert (kept.destinations, kept.permissions, kept.expires) == ("all", ("read",), None)
    assert kept.name == f"token-{kept.sha256[:8]}"


def test_an_end(call, path):
    call("create", "--all-destinations", "--expires", "90d")
    (kept,) = load(path)
    assert kept.expires == kept.created + timedelta(days=90)


def test_two_values_differ(call):
    assert call("create", "--all-destinations")[1] != call("create", "--all-destinations")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--all-destinations", "--permission", "write"), '"write" is no permission; there are: read, delete'),
        (("--all-destinations", "--permission", "read,"), '"" is no permission'),
        (("--all-destinations", "--name", "x" * 201), "$.name"),
        (("--all-destinations", "--expires", "90"), "--expires: 90 has no unit"),
        (("--all-destinations", "--name", "taken"), "there is a token named taken"),
    ],
)
def test_what_cannot_be_made_is_said_and_not_written(call, path, arguments, said):
    call("create", "--all-destinations", "--name", "taken")
    before = path.read_bytes()
    code, out, err = call("create", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert path.read_bytes() == before


@pytest.mark.parametrize("arguments", [(), ("--destination", "2Dest", "--all-destinations")])
def test_a_scope_is_needed_and_only_one(call, arguments):
    with pytest.raises(SystemExit) as ended:
        call("create", *arguments)
    assert ended.value.code == 2


def test_list_shows_everything_but_the_value(call):
    _, value, _ = call("create", "--destination", "2Dest", "--name", "web", "--expires", "1d")
    call("create", "--all-destinations", "--name", "ops", "--permission", "read,delete")
    code, out, err = call("list")
    assert (code, err) == (0, "")
    head, web, ops = out.splitlines()
    assert head.split() == ["NAME", "DESTINATIONS", "PERMISSIONS", "CREATED", "EXPIRES"]
    assert web.split()[:3] == ["web", "2Dest", "read"]
    assert ops.split()[1:3] == ["all", "read,delete"]
    assert ops.endswith("never")
    assert value.strip() not in out


def test_list_says_which_tokens_have_ended(call, path):
    from edgeprofile_sidecar.tokens import dump

    path.write_bytes(dump([token("old", ends_in=-5)]))
    assert call("list")[1].rstrip().endswith("(ended)")


def test_revoke_ends_that_one(call, path):
    for name in ("web", "ops"):
        call("create", "--all-destinations", "--name", name)
    code, out, err = call("revoke", "web")
    assert (code, out) == (0, "")
    assert "web revoked" in err
    assert [kept.name for kept in load(path)] == ["ops"]


def test_revoke_of_an_unknown_name_lists_the_known(call):
    call("create", "--all-destinations", "--name", "web")
    code, _, err = call("revoke", "wbe")
    assert code == 2
    assert "no token named wbe; there are: web" in err


@pytest.mark.parametrize("arguments", [("list",), ("revoke", "web")])
def test_a_file_that_is_not_there_is_said_and_not_made(call, path, arguments):
    code, _, err = call(*arguments)
    assert code == 2
    assert f"does not exist: make a token with `edgeprofile token create --destination ID --file {path}`" in err
    assert not path.exists()


def test_without_a_file_and_a_configuration_both_are_asked_for(monkeypatch, capsys):
    for name in [name for name in os.environ if name.startswith("EDGEPROFILE_")]:
        monkeypatch.delenv(name)
    assert main(["token", "create", "--destination", "2Dest"]) == 2
    assert "nothing says where the tokens file is: give --file FILE, or --config FILE" in capsys.readouterr().err


def test_the_file_is_found_by_the_configuration(tmp_path, capsys):
    config = tmp_path / "edgeprofile.toml"
    config.write_text(
        '[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\n'
        'config = { address = "127.0.0.1:1", clusterMode = false }\n'
        '[sidecar]\ntokensFile = "kept/tokens.json"\n'
    )
    (tmp_path / "kept").mkdir()
    assert main(["token", "create", "--all-destinations", "--config", str(config)]) == 0
    assert VALUE.fullmatch(capsys.readouterr().out)
    assert len(load(tmp_path / "kept" / "tokens.json")) == 1


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (("--destination", "2Dset"), "no destination 2Dset is configured; there are: 2Dest"),
        (("--destination", "2Dest"), ""),
        (("--all-destinations",), ""),
    ],
)
def test_a_destination_that_is_not_configured_is_said(tmp_path, capsys, scope, said):
    config = tmp_path / "edgeprofile.toml"
    config.write_text(
        '[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\n'
        'config = { address = "127.0.0.1:1", clusterMode = false }\n'
        '[sidecar]\ntokensFile = "tokens.json"\n'
    )
    assert main(["token", "create", *scope, "--config", str(config)]) == 0
    told = capsys.readouterr()
    assert VALUE.fullmatch(told.out)
    assert told.err.partition("shown this once:\n")[2].removeprefix("mind that ").strip() == said


def test_a_configuration_without_a_file_says_what_to_set(tmp_path, capsys):
    config = tmp_path / "edgeprofile.toml"
    config.write_text(
        '[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\n'
        'config = { address = "127.0.0.1:1", clusterMode = false }\n'
    )
    assert main(["token", "list", "--config", str(config)]) == 2
    assert "sidecar.tokensFile" in capsys.readouterr().err
