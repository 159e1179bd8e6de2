import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeprofile import InvalidIdentity
from edgeprofile.keys import EVENT_STREAM, MAX_COLONS, Layout

pytestmark = pytest.mark.limit(1800)  # at full depth, on a busy machine

PROFILES = Layout("1Wsp", "2Dest")
LEGACY = Layout("1Wsp", "2Dest", legacy=True, siblings=("3Other",))
STREAM = Layout("1Wsp", "2Dest", "crm", EVENT_STREAM)

anything = st.text() | st.text(st.characters(codec=None)) | st.text("a:\ud800é", max_size=12)
encodable = st.text("a:é \0\n*[", min_size=1, max_size=6) | st.text(min_size=1)
names = encodable.filter(lambda name: name.count(":") <= MAX_COLONS // 2)


def carried(text):
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


@given(anything, anything, anything)
def test_every_text_has_a_key_or_a_named_error(entity, id_type, value):
    named = {"entity": entity, "id_type": id_type, "value": value}
    wrong = [member for member, text in named.items() if not carried(text)]
    if wrong or (entity + id_type).count(":") > MAX_COLONS:
        with pytest.raises(InvalidIdentity) as caught:
            PROFILES.key(entity, id_type, value)
        assert caught.value.member == (wrong or ["entity"])[0]
    else:
        key = PROFILES.key(entity, id_type, value)
        assert key == f"1Wsp:2Dest:{entity}:{id_type}:{value}".encode()
        assert (entity, id_type, value) in PROFILES.identities(key)


@given(names, names, encodable)
@example("2Dest", "user", "x")
@example("3Other", "user", "x")
def test_an_identity_is_found_under_each_key_that_it_reads(entity, id_type, value):
    for layout in (PROFILES, LEGACY):
        for key in layout.keys(entity, id_type, value):
            assert (entity, id_type, value) in layout.identities(key)


HEADS = {PROFILES: [b"1Wsp:2Dest:"], LEGACY: [b"1Wsp:2Dest:", b"1Wsp:"]}


@given(st.sampled_from([b"", b"1Wsp:", b"1Wsp:2Dest:", b"1Wsp:3Other:", b"crm:user:"]), st.binary())
def test_whatever_bytes_a_key_has_its_identities_are_cut_from_it(head, tail):
    key = head + tail
    for layout, heads in HEADS.items():
        found = layout.identities(key)
        assert len(found) == len(set(found))
        for identity in found:
            rest = ":".join(identity).encode("utf-8", "surrogateescape")
            assert all(identity)
            assert key in {start + rest for start in heads}
    for *_, value in STREAM.identities(key):
        assert key == b"crm:user:" + value.encode("utf-8", "surrogateescape")
