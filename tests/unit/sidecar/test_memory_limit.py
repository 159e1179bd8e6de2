"""Whether the cache fits into the container."""

import logging

import pytest

from edgeprofile.cli import main
from edgeprofile.config import from_mapping
from edgeprofile_sidecar import memory_limit
from edgeprofile_sidecar.memory_limit import doubt, limit

MIB = 1 << 20


def configured(size: str, workers: int = 1) -> object:
    destination = {"id": "2Dest", "workspaceId": "1Wsp", "config": {"address": "h", "clusterMode": False}}
    return from_mapping(
        {"destinations": [destination], "cache": {"maxBytes": size}, "sidecar": {"workers": workers, "tokensFile": "t"}}
    )


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["402653184\n"], 384 * MIB),
        (["max\n"], None),
        ([None, "402653184\n"], 384 * MIB),
        ([None, "9223372036854771712\n"], None),
        ([None, None], None),
    ],
)
def test_the_limit_is_that_of_the_control_group(tmp_path, texts, found):
    files = [tmp_path / str(number) for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        if text is not None:
            file.write_text(text)
    assert limit(files) == found


@pytest.mark.parametrize(
    ("size", "workers", "most", "said"),
    [
        ("320MiB", 1, 384 * MIB, ""),
        (
            "321MiB",
            1,
            384 * MIB,
            "cache.maxBytes (321MiB) and 64MiB beside it are more than the memory limit of 384MiB",
        ),
        ("128MiB", 2, 384 * MIB, ""),
        ("129MiB", 2, 384 * MIB, "64MiB beside it for each of 2 workers are more than the memory limit of 384MiB"),
        ("1TiB", 8, None, ""),
    ],
)
def test_a_cache_that_does_not_fit_is_told(size, workers, most, said):
    told = doubt(configured(size, workers), most)
    assert said in told
    assert bool(told) == bool(said)


def test_the_configuration_is_checked_against_it(tmp_path, monkeypatch, caplog, capsys):
    monkeypatch.setattr(memory_limit, "limit", lambda: 64 * MIB)
    caplog.set_level(logging.WARNING)
    (tmp_path / "tokens.json").write_text('{"version": 1, "tokens": []}')
    file = tmp_path / "edgeprofile.toml"
    file.write_text(
        '[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\nconfig = { address = "h", clusterMode = false }\n'
        '[sidecar]\ntokensFile = "tokens.json"\n'
    )
    assert main(["sidecar", "--config", str(file), "--check-config"]) == 0
    assert "cache.maxBytes (64MiB)" in caplog.text
    assert capsys.readouterr().out.startswith("{")
