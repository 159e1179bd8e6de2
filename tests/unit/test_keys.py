import pytest

from edgeprofile import InvalidIdentity
from edgeprofile.keys import EVENT_STREAM, MAX_COLONS, Layout, channel, channel_pattern, escape

PROFILES = Layout("1Wsp", "2Dest")
STREAM = Layout("1Wsp", "2Dest", " crm ", EVENT_STREAM)
LEGACY = Layout("1Wsp", "2Dest", legacy=True, siblings=("3Other",))


def test_a_profile_lives_under_five_segments():
    assert PROFILES.key("user", "email", "ada@example.com") == b"1Wsp:2Dest:user:email:ada@example.com"


def test_nothing_of_a_value_is_escaped_trimmed_or_folded():
    assert PROFILES.key("user", "email", " Urn:x:9 é\n") == "1Wsp:2Dest:user:email: Urn:x:9 é\n".encode()


def test_the_prefix_does_not_apply_to_profiles():
    assert Layout("1Wsp", "2Dest", "crm").key("user", "email", "u3") == b"1Wsp:2Dest:user:email:u3"


@pytest.mark.parametrize(("prefix", "key"), [(" crm ", b"crm:user:9bb5"), ("  ", b"user:9bb5"), ("", b"user:9bb5")])
def test_an_event_stream_key_has_a_trimmed_prefix_or_none(prefix, key):
    layout = Layout("1Wsp", "2Dest", prefix, EVENT_STREAM)
    assert layout.key("user", "user_id", "9bb5") == key
    assert layout.pattern == key.removesuffix(b"9bb5") + b"*"
    assert layout.identities(key) == [("user", "user_id", "9bb5")]


@pytest.mark.parametrize(
    ("identity", "member", "message"),
    [
        (("account", "user_id", "1"), "entity", "only the entity 'user'"),
        (("user", "email", "1"), "id_type", "only the id_type 'user_id'"),
        (("user", "user_id", ""), "value", "value is empty"),
    ],
)
def test_an_event_stream_knows_users_by_their_user_id_alone(identity, member, message):
    with pytest.raises(InvalidIdentity, match=message) as caught:
        STREAM.key(*identity)
    assert caught.value.member == member


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("", "is empty: an empty"),
        (7, "must be a str, not int: ids are text, pass str"),
        (b"ada", "must be a str, not bytes: decode it first"),
        (None, "must be a str, not NoneType"),
        ("a\ud800", "lone surrogate at index 1"),
    ],
)
def test_what_cannot_name_a_profile_is_refused_by_member(position, wrong, message):
    identity = ["user", "email", "ada"]
    identity[position] = wrong
    member = ("entity", "id_type", "value")[position]
    for ask in (PROFILES.key, PROFILES.keys):
        with pytest.raises(InvalidIdentity, match=f"^{member} .*{message}") as caught:
            ask(*identity)
        assert caught.value.member == member


def test_a_message_never_holds_the_value():
    with pytest.raises(InvalidIdentity) as caught:
        PROFILES.key("user", "email", "secret\ud800")
    assert "secret" not in str(caught.value)


def test_a_str_subclass_is_a_str():
    class Email(str):
        __slots__ = ()

    assert PROFILES.key("user", "email", Email("ada")) == b"1Wsp:2Dest:user:email:ada"


def test_one_key_may_be_of_several_identities():
    found = PROFILES.identities(b"1Wsp:2Dest:a:b:c:d")
    assert sorted(found) == [("a", "b", "c:d"), ("a", "b:c", "d"), ("a:b", "c", "d")]
    assert {PROFILES.key(*identity) for identity in found} == {b"1Wsp:2Dest:a:b:c:d"}


@pytest.mark.parametrize(
    "key", [b"", b"1Wsp:2Dest", b"1Wsp:2Dest:user", b"1Wsp:2Dest:user:email:", b"1Wsp:2Dest::e:v", b"other:user:e:v"]
)
def test_keys_of_nobody_have_no_identities(key):
    assert PROFILES.identities(key) == []
    assert STREAM.identities(key) == []


def test_an_event_stream_key_without_an_id_is_nobodys():
    assert STREAM.identities(b"crm:user:") == []


def test_a_key_of_colons_costs_no_more_than_the_bound():
    assert len(PROFILES.identities(b"1Wsp:2Dest:" + b"a:" * 100_000 + b"z")) == (MAX_COLONS + 2) * (MAX_COLONS + 1) // 2


def test_names_beyond_the_bound_of_colons_are_refused():
    entity = "e" + ":" * MAX_COLONS
    assert PROFILES.key(entity, "t", "v").endswith(b":t:v")
    with pytest.raises(InvalidIdentity, match="more than 8 colons together"):
        PROFILES.key(entity, "t:", "v")


def test_a_key_that_is_not_utf8_equals_no_profile_that_can_be_asked_for():
    [identity] = PROFILES.identities(b"1Wsp:2Dest:user:email:\xff")
    with pytest.raises(InvalidIdentity):
        PROFILES.key(*identity)


def test_very_old_keys_are_read_after_the_others_and_only_when_asked_for():
    identity = ("user", "email", "ada")
    assert PROFILES.keys(*identity) == (b"1Wsp:2Dest:user:email:ada",)
    assert LEGACY.keys(*identity) == (b"1Wsp:2Dest:user:email:ada", b"1Wsp:user:email:ada")
    assert identity in LEGACY.identities(b"1Wsp:user:email:ada")
    assert identity in LEGACY.identities(b"1Wsp:2Dest:user:email:ada")


def test_one_pattern_covers_old_and_new_keys():
    assert LEGACY.pattern == b"1Wsp:*"
    assert PROFILES.pattern == b"1Wsp:2Dest:*"


@pytest.mark.parametrize("entity", ["2Dest", "3Other", "3Other:user"])
def test_an_old_key_never_reaches_into_a_destination(entity):
    assert LEGACY.keys(entity, "user", "email:ada") == (b"1Wsp:2Dest:" + entity.encode() + b":user:email:ada",)
    assert LEGACY.identities(b"1Wsp:" + entity.encode() + b":user:email:ada") == (
        PROFILES.identities(b"1Wsp:" + entity.encode() + b":user:email:ada")
    )


def test_glob_characters_of_the_ids_are_escaped():
    assert escape(rb"a*b?c[d]e\f^g-h") == rb"a\*b\?c\[d]e\\f^g-h"
    assert Layout("w*", "d[1]").pattern == rb"w\*:d\[1]:*"


def test_channels_carry_the_database_and_the_bytes_of_the_key():
    assert channel(3, b"1Wsp:\xff\n") == b"__keyspace@3__:1Wsp:\xff\n"
    assert channel_pattern(0, PROFILES.pattern) == b"__keyspace@0__:1Wsp:2Dest:*"
