"""The `[sync]` section."""

import pytest

from edgeprofile.config import from_mapping
from edgeprofile.errors import ConfigurationError
from edgeprofile.reverse_etl.settings import SourceConfig, SyncConfig


def sync(**options):
    destination = {"id": "2Dest", "workspaceId": "1Wsp", "config": {"address": "127.0.0.1:6379"}}
    return from_mapping({"destinations": [destination], "sync": options}).sync


def test_it_reads_units_and_camel_case():
    config = sync(
        maxWritesPerSecond=5000,
        batchBytes="2MiB",
        retryFor="2m",
        logRetention="7d",
        syncLog="failed",
        sources=[{"entity": "user", "id": "email", "ttl": "30d", "cursorColumn": "updated_at"}],
    )
    assert (config.max_writes_per_second, config.batch_bytes, config.retry_for) == (5000, 2 << 20, 120.0)
    assert (config.log_retention, config.sync_log) == (7 * 86_400.0, "failed")
    assert config.sources[0] == SourceConfig(entity="user", id="email", ttl=30 * 86_400.0, cursor_column="updated_at")


def test_defaults_are_rudderstacks_where_it_has_them():
    config = sync()
    assert (config.mode, config.snapshot_retention, config.log_retention) == ("upsert", 5, 30 * 86_400.0)


def test_a_source_inherits_what_it_does_not_say():
    config = SyncConfig(mode="mirror", ttl=60.0, sources=(SourceConfig(entity="user", id="email", ttl=0.0),))
    assert config.for_source("user", "email") == SourceConfig(entity="user", id="email", mode="mirror", ttl=0.0)
    assert config.for_source("user", "phone").ttl == 60.0


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"maxWritesPerSecond": -1}, "sync.maxWritesPerSecond"),
        ({"mode": "replace"}, "sync.mode"),
        ({"batchRows": 0}, "sync.batchRows"),
        ({"mode": "mirror", "sources": [{"entity": "u", "id": "e", "cursorColumn": "c"}]}, "sources[0].cursorColumn"),
        ({"sources": [{"entity": "u", "id": "e", "cursorColumn": "c", "mode": "mirror"}]}, "sources[0].cursorColumn"),
    ],
)
def test_refusals_name_the_option(options, where):
    with pytest.raises(ConfigurationError) as caught:
        sync(**options)
    assert where in str(caught.value)
