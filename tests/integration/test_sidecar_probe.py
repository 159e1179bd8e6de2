"""The probe command against running sidecars."""

import pytest

from edgeprofile.cli import main
from edgeprofile_sidecar.tokens import dump
from tests.support.certificates import Certificates
from tests.support.servers import Flavour
from tests.support.sidecar import configuration, running, token

TOKEN = "ep_probe"
ASKED = {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": "ada@example.com"}}


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


@pytest.mark.parametrize("question", ["live", "ready", "startup"])
def test_yes_is_0_and_silent(redis_db, tmp_path, capfd, question):
    with running(configuration(tmp_path, redis_db.address, token(TOKEN))) as sidecar:
        sidecar.settle(ASKED, TOKEN)
        assert main(["probe", question, "--url", f"http://{sidecar.sidecar.addresses.admin}"]) == 0
    out, said = capfd.readouterr()
    assert (out, "no answer" in said) == ("", False)


def test_no_is_1_with_the_reasons(tmp_path, capsys):
    with running(configuration(tmp_path, "127.0.0.1:1", token(TOKEN))) as sidecar:
        url = f"http://{sidecar.sidecar.addresses.admin}"
        assert main(["probe", "live", "--url", url]) == 0
        assert main(["probe", "ready", "--url", url]) == 1
    assert "destination 2Dest: " in capsys.readouterr().err


def test_the_configuration_says_whom_to_ask(redis_db, tmp_path, monkeypatch):
    admin = f"unix:{tmp_path}/admin.sock"
    with running(configuration(tmp_path, redis_db.address, token(TOKEN), sidecar={"adminListen": admin})) as sidecar:
        file = tmp_path / "c.toml"
        file.write_text(
            f'[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\nconfig = {{ address = "{redis_db.address}", '
            f'clusterMode = false }}\n[sidecar]\nadminListen = "{admin}"\n'
        )
        assert sidecar.sidecar.addresses.admin == admin
        assert main(["probe", "live", "--config", str(file)]) == 0
        monkeypatch.setenv("EDGEPROFILE_CONFIG", str(file))
        assert main(["probe", "startup"]) == 0
        assert main(["probe", "live", "--url", admin]) == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "unix:/no/such/socket"])
def test_nobody_there_is_1(capsys, url):
    assert main(["probe", "live", "--url", url, "--timeout", "500ms"]) == 1
    where = url.removeprefix("http://").removeprefix("unix:")
    assert f"no answer from {where}: " in capsys.readouterr().err


def test_a_timeout_has_a_unit_as_everywhere(capsys):
    assert main(["probe", "live", "--url", "http://127.0.0.1:1", "--timeout", "2"]) == 2
    assert '--timeout: 2 has no unit: write "2s"' in capsys.readouterr().err


@pytest.mark.parametrize("url", ["127.0.0.1:9090", "https://x:1", "http://x"])
def test_an_address_that_is_none_is_said(capsys, url):
    assert main(["probe", "live", "--url", url]) == 2
    assert "write http://host:port" in capsys.readouterr().err


def test_without_a_listener_there_is_nobody_to_ask(tmp_path, capsys):
    file = tmp_path / "c.toml"
    file.write_text(
        '[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\nconfig = { address = "h", clusterMode = false }\n'
        '[sidecar]\nadminListen = ""\n'
    )
    assert main(["probe", "live", "--config", str(file)]) == 2
    assert "answers no probes" in capsys.readouterr().err


def test_check_config_prints_what_takes_effect_without_secrets(tmp_path, capsys):
    file = tmp_path / "c.toml"
    file.write_text(
        '[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\n'
        'config = { address = "h", clusterMode = false, password = "hunter2" }\n[cache]\nttl = "90s"\n'
        '[sidecar]\ntokensFile = "tokens.json"\n'
    )
    (tmp_path / "tokens.json").write_bytes(dump([token(TOKEN)]))
    arguments = ["--listen", "127.0.0.1:7", "--workers", "3"]
    assert main(["sidecar", "--config", str(file), "--check-config", *arguments]) == 0
    said = capsys.readouterr().out
    assert '"ttl": "90s"' in said
    assert '"listen": ["127.0.0.1:7"]' in said.replace("\n      ", "").replace("\n    ]", "]")
    assert '"workers": 3' in said
    assert '"password": "***"' in said
    assert "hunter2" not in said
    file.write_text("[[destinations]]")
    assert main(["sidecar", "--config", str(file), "--check-config"]) == 2


@pytest.mark.parametrize(
    ("lines", "option"),
    [
        ("", "sidecar.tokensFile"),
        ('tokensFile = "nowhere.json"', "sidecar.tokensFile"),
        ('tokensFile = "broken.json"', "sidecar.tokensFile"),
        ('tokensFile = "good.json"\nlisten = ["tls:127.0.0.1:0"]\ncertificate = "broken.json"', "sidecar.certificate"),
    ],
)
def test_check_config_tries_the_files_that_are_named(tmp_path, capsys, lines, option):
    file = tmp_path / "c.toml"
    file.write_text(
        '[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\nconfig = { address = "h", clusterMode = false }\n'
        f"[sidecar]\n{lines}\n"
    )
    (tmp_path / "good.json").write_bytes(dump([token(TOKEN)]))
    (tmp_path / "broken.json").write_text("{")
    assert main(["sidecar", "--config", str(file), "--check-config"]) == 2
    out, said = capsys.readouterr()
    assert '"destinations"' in out
    assert option in said


def test_the_command_may_name_the_listener_that_shows_the_certificate(tmp_path, capsys):
    shown = Certificates(tmp_path).server
    file = tmp_path / "c.toml"
    file.write_text(
        '[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\nconfig = { address = "h", clusterMode = false }\n'
        f'[sidecar]\ntokensFile = "tokens.json"\ncertificate = "{shown.certificate}"\ncertificateKey = "{shown.key}"\n'
    )
    (tmp_path / "tokens.json").write_bytes(dump([token(TOKEN)]))
    check = ["sidecar", "--config", str(file), "--check-config"]
    assert main([*check, "--listen", "tls:127.0.0.1:0"]) == 0
    assert main(check) == 2
    assert 'sidecar.certificate: is given, and no listener begins with "tls:"' in capsys.readouterr().err


def test_a_number_of_workers_is_one_or_more(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["sidecar", "--workers", "0"])
    assert ended.value.code == 2
    assert "1 or more" in capsys.readouterr().err
