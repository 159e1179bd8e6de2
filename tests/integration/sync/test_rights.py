"""The rights that docs/sync.md asks for are enough, and where they are missing the message says what to do."""

import pytest

from edgeprofile.config import RedisConfig
from edgeprofile.errors import AccessDenied
from edgeprofile.reverse_etl.errors import DeliveryStopped, WarehouseError

GRANTS = """
    DROP OWNED BY edgeprofile;
    CREATE SCHEMA profiles;
    CREATE TABLE profiles.features_by_email AS SELECT 'ada' AS email, 1 AS n;
    GRANT USAGE ON SCHEMA profiles TO edgeprofile;
    GRANT SELECT ON ALL TABLES IN SCHEMA profiles TO edgeprofile;
"""


@pytest.fixture
def limited(syncing):
    """From PostgreSQL, as a user who may only what is granted."""
    syncing.execute("DO $$ BEGIN CREATE USER edgeprofile; EXCEPTION WHEN duplicate_object THEN END $$")
    syncing.execute(GRANTS)
    syncing.configure(warehouse=syncing.store.url.replace("postgres@", "edgeprofile@"), schema="profiles")
    return syncing


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
class TestPostgres:
    def test_the_grants_are_enough(self, limited):
        limited.execute("CREATE SCHEMA _rudderstack AUTHORIZATION edgeprofile")
        assert limited.sync().delivered == 1
        assert limited.sync().unchanged == 1

    def test_without_the_schema_it_says_how_to_make_it(self, limited):
        with pytest.raises(
            WarehouseError, match=r'permission denied.*have an administrator run: CREATE SCHEMA "_rudder'
        ):
            limited.sync()

    def test_without_the_right_to_read(self, limited):
        limited.execute("CREATE SCHEMA _rudderstack AUTHORIZATION edgeprofile")
        limited.execute("REVOKE SELECT ON profiles.features_by_email FROM edgeprofile")
        with pytest.raises(WarehouseError, match=r"features_by_email"):
            limited.sync()


class TestRedis:
    @pytest.fixture
    def as_user(self, embedded):
        def become(*rules):
            embedded.server.command("ACL", "SETUSER", "sync", "reset", "on", ">secret", *rules)
            address = embedded.redis.address
            embedded.redis = RedisConfig(address=address, cluster_mode=False, username="sync", password="secret")
            embedded.configure(mode="mirror", ttl=600.0)
            embedded.execute("CREATE TABLE features_by_email AS SELECT 'u' || i AS email, i AS n FROM range(5) AS t(i)")
            return embedded

        return become

    def test_the_rule_is_enough(self, as_user):
        syncing = as_user("~1Wsp:2Dest:*", "+hset", "+hdel", "+expire", "+persist", "+select")
        assert syncing.sync().delivered == 5
        syncing.execute("DELETE FROM features_by_email WHERE n = 1")
        assert syncing.sync().deleted == 1
        syncing.configure(ttl=0.0)
        assert syncing.sync().delivered == 4

    def test_another_key_pattern(self, as_user):
        syncing = as_user("~other:*", "+hset", "+hdel", "+expire", "+persist", "+select")
        with pytest.raises(
            DeliveryStopped, match="no right to the write there; grant the pattern of its keys"
        ) as caught:
            syncing.sync()
        assert isinstance(caught.value.__cause__, AccessDenied)
        assert syncing.execute('SELECT status FROM _rudderstack."SYNC_RUNS"') == [("failed",)]
