import copy
import json
import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile import Profile, ReadOnlyProfile
from edgeprofile.profile import decode, decode_model, encode_document, encode_hash, encode_strings

pytestmark = pytest.mark.limit(1800)  # at full depth, on a busy machine

texts = st.text(st.characters(codec=None), max_size=8)  # lone surrogates too
names = st.text(max_size=8)
numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
models = st.dictionaries(names, values, max_size=4)
whitespace = st.sampled_from([None, 1])


def fields(data, indent=None, *, ascii_only=True):
    flat = []
    for name, value in data.items():
        flat += [name.encode(), json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()]
    return flat


def of_one_number_type(value):
    """``-0`` as an int is 0, and msgspec reads integers beyond 64 bits as exactly as Python does."""
    return json.loads(json.dumps(value))


@given(models, whitespace)
def test_every_json_value_is_served_as_it_is(data, indent):
    encoded = encode_hash(fields(data, indent))
    assert encoded.broken == ()
    assert decode(encoded.json) == of_one_number_type(data)
    assert json.loads(encoded.json) == of_one_number_type(data)


@given(models)
def test_every_text_stands_byte_for_byte(data):
    flat = fields(data)
    members = (
        msgspec.json.encode(name.decode()) + b":" + text for name, text in zip(flat[::2], flat[1::2], strict=True)
    )
    assert encode_hash(flat).json == b"{" + b",".join(members) + b"}"


json_or_not = st.binary(max_size=12) | st.sampled_from([b"null", b"{}", b'"\xc3\xa9"', b"1e999", b"{", b'"\\ud800"'])


@given(st.dictionaries(st.binary(max_size=6), json_or_not, max_size=6))
def test_whatever_bytes_a_hash_holds_the_result_is_json(held):
    encoded = encode_hash([part for item in held.items() for part in item])
    texts = {name.decode("utf-8", "replace"): text for name, text in held.items()}
    profile = decode(encoded.json)
    assert profile == json.loads(encoded.json)
    assert profile.keys() == texts.keys()
    assert set(encoded.broken) <= profile.keys()
    if len(texts) == len(held):
        for name in encoded.broken:
            assert profile[name] == texts[name].decode("utf-8", "replace")


@given(st.dictionaries(st.binary(max_size=6), st.binary(max_size=12), max_size=6))
def test_whatever_bytes_an_event_stream_holds_its_values_are_strings(held):
    encoded = encode_strings([part for item in held.items() for part in item])
    expected = {name.decode("utf-8", "replace"): text.decode("utf-8", "replace") for name, text in held.items()}
    assert decode(encoded.json) == json.loads(encoded.json) == expected


@given(models, whitespace)
def test_every_document_is_served_as_it_is(data, indent):
    text = json.dumps(data, indent=indent).encode()
    assert encode_document(text).json == text
    assert decode(text) == of_one_number_type(data)


@given(models)
def test_every_profile_is_a_dict_to_those_who_read_it(data):
    profile = decode(encode_hash(fields(data)).json)
    plain = of_one_number_type(data)
    assert json.dumps(profile) == json.dumps(plain)
    assert pickle.loads(pickle.dumps(profile)) == plain  # noqa: S301 -- what was dumped here
    for mine in (profile.copy(), copy.copy(profile), copy.deepcopy(profile), profile | {}):
        assert type(mine) is dict
        assert mine == plain
    assert plain_types(profile.copy())


def plain_types(value):
    if isinstance(value, dict):
        return type(value) is dict and all(map(plain_types, value.values()))
    if isinstance(value, list):
        return type(value) is list and all(map(plain_types, value))
    return True


@given(models)
def test_no_part_of_a_profile_can_be_changed(data):
    profile = decode(encode_hash(fields(data)).json)
    for part in parts(profile):
        for change in (type(part).clear, type(part).pop, lambda part: part.__setitem__(0, 0)):
            try:
                change(part)
            except ReadOnlyProfile:
                continue
            raise AssertionError(part)
    assert profile == of_one_number_type(data)


def parts(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is not None:
        yield value
        for item in inner:
            yield from parts(item)


@given(models)
def test_one_model_decodes_to_what_the_whole_profile_holds(data):
    raw = encode_hash(fields(data)).json
    for name, value in of_one_number_type(data).items():
        assert decode_model(raw, name, object if value is None else type(value)) == value


carried = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, carried, max_size=3))
def test_a_profile_built_from_data_is_that_data(data):
    assert Profile(data) == data
    assert json.loads(Profile(data).json) == data
