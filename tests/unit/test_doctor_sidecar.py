"""What the doctor says of the sidecar's tokens file."""

import sys
from datetime import UTC, datetime, timedelta

import pytest

from edgeprofile.config import from_mapping
from edgeprofile.doctor.findings import Verdict
from edgeprofile.doctor.sidecar import tokens
from edgeprofile_sidecar.token_file import update
from edgeprofile_sidecar.tokens import Token, fingerprint
from tests.support.clients import configuration

NOW = datetime.now(UTC)


def token(name="ours", *, destinations=("2Dest",), expires=None):
    return Token(name=name, sha256=fingerprint(name), destinations=destinations, created=NOW, expires=expires)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tokens.json"


def examined(file):
    config = from_mapping(configuration("127.0.0.1:1", sidecar={"tokensFile": str(file)}), "the test")
    return [(finding.verdict, finding.what, finding.do) for finding in tokens(config)]


def test_a_good_file(file):
    update(file, lambda _: (token(), token("all", destinations="all")))
    assert examined(file) == [(Verdict.FINE, "2 of 2 tokens are valid", "")]


def test_a_file_that_is_not_there(file):
    ((verdict, what, do),) = examined(file)
    assert verdict is Verdict.FAILURE
    assert "does not exist" in what
    assert "token create" in do


def test_a_file_that_is_no_tokens_file(file):
    file.write_text("{}")
    ((verdict, what, _),) = examined(file)
    assert verdict is Verdict.FAILURE
    assert "cannot be used" in what


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_a_file_that_others_may_use(file, mode):
    update(file, lambda _: (token(),))
    file.chmod(mode)
    (_, (verdict, what, do)) = examined(file)
    assert verdict is Verdict.WARNING
    assert f"{mode:04o}" in what
    assert do == f"chmod 600 {file}"


def test_tokens_that_have_expired(file):
    update(file, lambda _: (token(expires=NOW - timedelta(days=1)), token("other", expires=NOW + timedelta(days=1))))
    assert examined(file) == [(Verdict.FINE, "1 of 2 tokens are valid", "")]
    update(file, lambda found: found[:1])
    ((verdict, what, _),) = examined(file)
    assert verdict is Verdict.WARNING
    assert "none of its 1 tokens" in what


def test_no_tokens(file):
    update(file, lambda _: ())
    ((verdict, what, _),) = examined(file)
    assert verdict is Verdict.WARNING
    assert "no tokens" in what


def test_tokens_for_destinations_that_are_not_configured(file):
    update(file, lambda _: (token(destinations=("2Dest", "9Gone")),))
    (_, (verdict, what, _)) = examined(file)
    assert verdict is Verdict.WARNING
    assert "9Gone" in what
    assert "2Dest" not in what


def test_the_sidecar_is_not_installed(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "edgeprofile_sidecar.token_file", None)
    ((verdict, what, _),) = examined(file)
    assert verdict is Verdict.SKIPPED
    assert "not installed" in what
