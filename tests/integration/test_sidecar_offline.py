"""The sidecar on a file of profiles instead of Redis."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeprofile import ConfigurationError
from edgeprofile.config import from_mapping
from tests.support.activation import ADA, EVERYTHING, TOKENS, asking
from tests.support.sidecar import RunningSidecar, configuration, request, running
from tests.support.wait import until

PROFILES = {"user": {"email": {"ada@example.com": {"m": {"a": 1}}}}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "profiles.json"
    path.write_text(json.dumps(PROFILES))
    return path


@pytest.fixture
def sidecar(tmp_path: Path, file: Path) -> Iterator[RunningSidecar]:
    with running(configuration(tmp_path, "127.0.0.1:1", *TOKENS), file) as started:
        yield started


def test_profiles_are_served_from_the_file(sidecar):
    assert sidecar.admin("/readyz").status == 200
    for _ in range(3):
        assert sidecar.ask(asking(), EVERYTHING).json == {"entity": "user", "id": ADA, "data": {"m": {"a": 1}}}
    assert sidecar.ask(asking(identity={"type": "email", "value": "b"}), EVERYTHING).json["data"] == {}
    assert sidecar.ask(asking(), "ep_unknown").status == 401


def test_changes_of_the_file_are_followed_and_bad_ones_are_not(sidecar, file):
    sidecar.ask(asking(), EVERYTHING)
    file.write_text(json.dumps({"user": {"email": {"ada@example.com": {"m": {"a": 2}}}}}))
    until(lambda: sidecar.ask(asking(), EVERYTHING).json["data"] == {"m": {"a": 2}}, 5)
    file.write_text("{")
    file.unlink()
    file.write_text(json.dumps({"user": {"email": {"ada@example.com": {"m": {"a": 3}}}}}))
    until(lambda: sidecar.ask(asking(), EVERYTHING).json["data"] == {"m": {"a": 3}}, 5)


def test_a_file_that_is_none_keeps_it_from_starting(tmp_path):
    config = configuration(tmp_path, "127.0.0.1:1", *TOKENS)
    with pytest.raises(ConfigurationError, match="cannot be read"), running(config, tmp_path / "none.json"):
        pass


def test_without_a_tokens_file_any_token_opens_and_none_does_not(file):
    row = {"id": "offline", "workspaceId": "offline", "config": {"address": "h", "clusterMode": False}}
    listen = {"listen": ["127.0.0.1:0"], "adminListen": "127.0.0.1:0"}
    with running(from_mapping({"destinations": [row], "sidecar": listen}), file) as started:
        assert started.ask(asking("offline"), "anything").status == 200
        assert started.ask(asking("offline")).status == 401
        body = json.dumps(asking("offline")).encode()
        deleted = request(started.address(), "DELETE", "/v2/activation", body, {"Authorization": "Bearer x"})
        assert deleted.json == {"deletedKeys": 1, "actualKeys": 1}
        assert started.ask(asking("offline"), "anything").json["data"] == {}
        assert started.metric("edgeprofile_tokens") == 0
