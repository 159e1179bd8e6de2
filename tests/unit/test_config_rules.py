"""What options must mean together, for a configuration from anywhere."""

from __future__ import annotations

import msgspec
import pytest

from edgeprofile.config import (
    CacheConfig,
    Config,
    Destination,
    LimitsConfig,
    RedisConfig,
    SidecarConfig,
    from_keywords,
)
from edgeprofile.errors import ConfigurationError
from edgeprofile.reverse_etl.settings import SyncConfig
from tests.support.certificates import Certificates


def destination(**changes: object) -> Destination:
    given = {"id": "2Dest", "workspace_id": "1Wsp", "config": RedisConfig(address="h", cluster_mode=False)}
    return Destination(**given | changes)


def redis(**options: object) -> Config:
    return Config(destinations=(destination(config=RedisConfig(**{"address": "h", "cluster_mode": False} | options)),))


def complaint(**options: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        redis(**options)
    return str(caught.value)


def test_a_configuration_made_in_code_is_checked_too():
    with pytest.raises(
        ConfigurationError, match=r'^cache\.maxStaleness: "1ms" is not allowed: it must be at least "10ms"'
    ):
        Config(destinations=(destination(),), cache=CacheConfig(max_staleness=0.001))


@pytest.mark.parametrize("staleness", [0.0, -1.0, float("nan")])
def test_max_staleness_is_positive(staleness):
    with pytest.raises(ConfigurationError, match=r"cache\.maxStaleness"):
        Config(destinations=(destination(),), cache=CacheConfig(max_staleness=staleness))


def test_an_entry_lives_as_long_as_it_may_be_served():
    with pytest.raises(
        ConfigurationError, match=r'^keyword ttl: cache\.ttl: "500ms" is shorter than maxStaleness \("1s"\)'
    ):
        from_keywords(env={}, address="h", workspace_id="1", destination_id="2", ttl="500ms")


@pytest.mark.parametrize(
    ("section", "option"),
    [
        (CacheConfig(max_bytes=0), "cache.maxBytes"),
        (LimitsConfig(timeout=0.0), "limits.timeout"),
        (LimitsConfig(connect_timeout=-1.0), "limits.connectTimeout"),
        (LimitsConfig(max_reply_bytes=0), "limits.maxReplyBytes"),
        (SidecarConfig(idle_timeout=0.0), "sidecar.idleTimeout"),
        (SidecarConfig(max_body_bytes=0), "sidecar.maxBodyBytes"),
    ],
)
def test_some_options_are_more_than_zero(section, option):
    name = option.partition(".")[0]
    with pytest.raises(ConfigurationError, match=f"^{option}: .* is not allowed: it must be more than zero"):
        Config(destinations=(destination(),), **{name: section})


@pytest.mark.parametrize(
    ("sections", "largest"),
    [
        ({"sidecar": SidecarConfig(max_unread_bytes=1 << 20)}, "64MiB"),
        ({"sidecar": SidecarConfig(max_unread_bytes=1 << 30), "limits": LimitsConfig(max_reply_bytes=2 << 30)}, "2GiB"),
    ],
)
def test_there_is_room_for_one_answer_at_least(sections, largest):
    message = rf'^sidecar\.maxUnreadBytes: ".*" has no room for one answer: .* allow "{largest}"'
    with pytest.raises(ConfigurationError, match=message):
        Config(destinations=(destination(),), **sections)


def test_there_is_a_destination():
    with pytest.raises(ConfigurationError, match=r'^destinations: there is none of type "REDIS"'):
        Config(destinations=())


def test_an_id_names_one_destination():
    with pytest.raises(ConfigurationError, match=r'^destinations\[0\]\.id: "2Dest" names 2 destinations'):
        Config(destinations=(destination(), destination(workspace_id="other")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "destinations[0].id: is empty"),
        ({"workspace_id": ""}, "destinations[0].workspaceId: is empty"),
        ({"id": "a:b"}, 'destinations[0].id: "a:b" holds a space or colon'),
        ({"workspace_id": "1Wsp "}, 'destinations[0].workspaceId: "1Wsp " holds a space or colon'),
        ({"type": "S3"}, 'destinations[0].type: "S3" cannot be read'),
        ({"layout": "event-stream", "legacy_keys": True}, "destinations[0].legacyKeys: true needs layout"),
    ],
)
def test_a_destination_names_keys(changes, message):
    with pytest.raises(ConfigurationError) as caught:
        Config(destinations=(destination(**changes),))
    assert str(caught.value).startswith(message)


def test_ids_may_hold_glob_characters():
    assert Config(destinations=(destination(id="2*[D]?"),)).destinations[0].id == "2*[D]?"


def test_the_second_destination_is_counted():
    broken = destination(id="2nd", config=RedisConfig(address="h:x"))
    with pytest.raises(ConfigurationError, match=r"^destinations\[1\]\.config\.address"):
        Config(destinations=(destination(), broken))


def test_the_address_fits_the_mode():
    assert "Unix socket, which needs clusterMode = false" in complaint(address="unix:/r.sock", cluster_mode=True)
    assert "lists 2 servers, which needs clusterMode = true" in complaint(address="a,b")
    assert redis(address="a,b", cluster_mode=True).destinations[0].config.seeds == (("a", 6379), ("b", 6379))
    assert redis(address="unix:/r.sock").destinations[0].config.seeds == ("/r.sock",)


def test_an_address_with_a_password_is_not_repeated():
    assert "hunter2" not in complaint(address="redis://:hunter2@h:6379")
    assert "hunter2" not in complaint(address="ada:hunter2@h:6379")


@pytest.mark.parametrize(("text", "number"), [("", 0), (" ", 0), ("0", 0), ("15", 15), (" 3 ", 3)])
def test_a_database_is_a_number_as_text(text, number):
    assert redis(database=text).destinations[0].config.db == number


@pytest.mark.parametrize("text", ["profiles", "-1", "1.0", "0x1", "\uff11", "1 2", "9" * 400])
def test_a_database_that_is_no_number_is_refused(text):
    assert 'is no number: write text such as "0"' in complaint(database=text)


def test_a_cluster_has_no_database():
    assert redis(database="profiles", cluster_mode=True).destinations[0].config.db == 0


@pytest.mark.parametrize(("text", "prefix"), [(" crm ", "crm"), ("   ", ""), ("a b", "a b")])
def test_a_prefix_is_trimmed(text, prefix):
    assert RedisConfig(address="h", prefix=text).prefix == prefix


def test_one_way_to_give_the_password():
    assert "passwordFile: is given beside password: remove one of the two" in complaint(
        password="a", password_file="/b"
    )


def test_tls_options_are_read_with_tls_only():
    assert redis(ca_certificate="nonsense", skip_verify=True)
    assert redis(secure=True, ca_certificate=" \n")
    message = complaint(secure=True, ca_certificate="nonsense")
    assert "caCertificate: cannot be read" in message
    assert "-----BEGIN CERTIFICATE-----" in message
    assert "cannot be read" in complaint(
        secure=True, ca_certificate="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    )
    assert "cannot be read" in complaint(secure=True, ca_certificate="Zertifikat für Ä")


def test_a_bundle_of_authorities_is_accepted(tmp_path):
    authority = Certificates(tmp_path).authority.read_text()
    pem = redis(secure=True, ca_certificate=f"# Főtanúsítvány\n{authority}\n{authority}").destinations[0].config
    assert pem.ca_certificate == f"# Ftanstvny\n{authority}\n{authority}"


def test_client_certificates_need_tls_and_each_other():
    assert "clientKey: needs clientCertificate" in complaint(secure=True, client_key="k.pem")
    assert "clientCertificate: needs secure = true" in complaint(client_certificate="c.pem")
    assert redis(secure=True, client_certificate="both.pem")


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"listen": ()}, "sidecar.listen"),
        ({"listen": ("127.0.0.1:8080", "localhost")}, "sidecar.listen[1]"),
        ({"admin_listen": "9090"}, "sidecar.adminListen"),
        ({"listen": ("unix:relative.sock",)}, "sidecar.listen[0]"),
        ({"listen": ("127.0.0.1:8080", "tls:127.0.0.1:8080"), "certificate": "c.pem"}, "sidecar.listen[1]"),
        ({"listen": ("127.0.0.1:9090",)}, "sidecar.adminListen"),
    ],
)
def test_listeners_can_be_listened_on(changes, option):
    with pytest.raises(ConfigurationError) as caught:
        Config(destinations=(destination(),), sidecar=SidecarConfig(**changes))
    assert caught.value.option == option


def test_each_of_several_listeners_may_have_a_free_port():
    assert Config(
        destinations=(destination(),),
        sidecar=SidecarConfig(listen=("127.0.0.1:0", "127.0.0.1:0"), admin_listen="127.0.0.1:0"),
    )


def test_there_need_be_no_admin_listener():
    assert Config(destinations=(destination(),), sidecar=SidecarConfig(admin_listen=""))


def test_a_sync_names_a_destination_that_there_is():
    assert Config(destinations=(destination(),), sync=SyncConfig(destination="2Dest"))
    assert Config(destinations=(destination(),), sync=SyncConfig())
    with pytest.raises(ConfigurationError, match=r'^sync\.destination: "3" is not configured; there are: 2Dest'):
        Config(destinations=(destination(),), sync=SyncConfig(destination="3"))


def test_nothing_can_be_changed_afterwards():
    config = redis()
    for section, option in ((config, "cache"), (config.cache, "ttl"), (config.destinations[0].config, "password")):
        with pytest.raises(AttributeError, match="immutable type"):
            setattr(section, option, None)
    assert hash(config) == hash(redis())
    assert msgspec.structs.replace(config.cache, ttl=7.0).ttl == 7.0
