import copy
import json
import pickle
import string
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest

from edgeprofile import Profile, ReadOnlyProfile, TraitsMismatch
from edgeprofile.errors import WrongType
from edgeprofile.profile import MAX_DEPTH, Encoded, decode, decode_model, encode_document, encode_hash, encode_strings

TRAITS = {"score": 0.42, "vip": True, "gone": None, "tags": ["a", {"b": [1]}], "address": {"city": "Bath"}}
DATA = {"features": TRAITS, "nothing": None, "WEB:ANON": {"VISITS": "3"}}


@pytest.fixture
def profile():
    return Profile(DATA)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


# --- encoding


def test_texts_stand_byte_for_byte():
    text = b' {"a" : 1.0,\n "b":"\\u00e9\xc3\xa9", "n": 12345678901234567890123, "a": -0} '
    assert encode_hash([b"m", text, b"n", b"null"]).json == b'{"m":' + text + b',"n":null}'


def test_an_empty_hash_is_an_empty_object():
    assert encode_hash([]) == Encoded(b"{}")


@pytest.mark.parametrize(
    ("text", "served"),
    [
        (b"", ""),
        (b"plain", "plain"),
        (b'{"a":1,}', '{"a":1,}'),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "[-Infinity]"),
        (b"\xef\xbb\xbf{}", "\ufeff{}"),
        (b'"\xff"', '"\ufffd"'),
        (b'"\x00"', '"\x00"'),
        (b"[1]x", "[1]x"),
        (b'{"a":"\\ud800",}', '{"a":"\\ud800",}'),
    ],
)
def test_text_that_is_no_json_is_served_as_a_string_and_named(text, served):
    encoded = encode_hash([b"good", b"1", b"m", text])
    assert encoded.broken == ("m",)
    assert json.loads(encoded.json) == decode(encoded.json) == {"good": 1, "m": served}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"\\ud800"', "\ud800"),
        (b'{"\\udc00":"\\ude00\\ud83d"}', {"\udc00": "\ude00\ud83d"}),
        (b"[1e999,-1e999]", [float("inf"), float("-inf")]),
        (b"1" * 5000, float("inf")),
        (b"1" * 4000, int("1" * 4000)),
        (b"0." + b"1" * 5000, 1 / 9),
        (b"-0.0", 0.0),
    ],
)
def test_rare_json_is_json_all_the_same(text, value):
    encoded = encode_hash([b"m", text])
    assert encoded == Encoded(b'{"m":' + text + b"}")
    assert decode(encoded.json) == {"m": value}


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"]":', b"}]")])
def test_what_nests_too_deeply_is_served_as_text(brackets):
    opening, closing = brackets
    levels = MAX_DEPTH // (opening.count(b"[") + opening.count(b"{"))
    deepest = opening * levels + b"0" + closing * levels
    assert encode_hash([b"m", deepest]).broken == ()
    assert decode(encode_hash([b"m", deepest]).json).copy() == {"m": json.loads(deepest)}
    for deeper in (b"[" + deepest + b"]", b"[" * 100_000 + b"]" * 100_000, b"[" * 100_000):
        encoded = encode_hash([b"m", deeper])
        assert encoded.broken == ("m",)
        assert decode(encoded.json) == {"m": deeper.decode()}


@pytest.mark.parametrize(
    "text", [b'["[[[\\"[[",' + b"[]," * 1000 + b"{}]", b'"' + b"[{" * 1000 + b'"', b'"\\"' + b"[" * 300 + b'"']
)
def test_brackets_do_not_make_depth_by_their_number(text):
    assert encode_hash([b"m", text]).broken == ()


@pytest.mark.parametrize("text", [b'"' + b'\\"' * 500_000, b'"' * 500_001, b"\\" * 500_000 + b'"', b'["",' * 200_000])
def test_looking_for_depth_takes_linear_time(text):
    assert encode_hash([b"m", b"[" * 300 + text]).broken == ("m",)
    assert encode_hash([b"m", b"[]," * 300 + text]).broken == ("m",)


def test_names_are_any_bytes_and_the_last_of_equal_ones_wins():
    encoded = encode_hash([b'a"\n', b"1", b"\xff", b"2", b"\xfe", b"3", b"", b"4"])
    assert decode(encoded.json) == {'a"\n': 1, "\ufffd": 3, "": 4}
    assert encode_hash([b"\xff", b"x"]).broken == ("\ufffd",)


def test_a_field_without_its_value_is_a_mistake():
    with pytest.raises(ValueError, match="shorter"):
        encode_hash([b"m"])


def test_event_stream_values_stay_strings():
    encoded = encode_strings([b"n", b"2", b"tags", b'[{"x":1}]', b"empty", b"", b"\xff", b"\xfe", b"\xfd", b"last"])
    assert decode(encoded.json) == {"n": "2", "tags": '[{"x":1}]', "empty": "", "\ufffd": "last"}
    assert encoded.broken == ()


def test_a_document_stands_byte_for_byte():
    text = b' {"m": {"a": 1.0}}\n'
    assert encode_document(text) == Encoded(text)
    assert decode(text) == {"m": {"a": 1}}


@pytest.mark.parametrize(
    "text", [b"[]", b"null", b'"{}"', b"{", b"", b'{"a":\xff}', b'{"a":' * 300 + b"1" + b"}" * 300]
)
def test_a_document_that_is_no_object_of_models_is_refused(text):
    with pytest.raises(WrongType, match="no JSON object of models") as caught:
        encode_document(text)
    assert caught.value.code == "WRONGTYPE"


# --- a dict to everything that reads it


def test_it_equals_plain_data_from_both_sides_at_every_depth(profile):
    assert profile == DATA
    assert profile == DATA
    assert profile["features"]["tags"] == ["a", {"b": [1]}]
    assert profile != {**DATA, "more": 1}


def test_json_dumps_and_msgspec_encode_it(profile):
    assert json.loads(json.dumps(profile)) == DATA
    assert json.loads(json.dumps(profile, indent=1, sort_keys=True)) == DATA
    assert msgspec.json.decode(msgspec.json.encode(profile)) == DATA
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(profile)) == DATA
    assert msgspec.to_builtins(profile) == DATA
    assert msgspec.convert(profile["WEB:ANON"], dict[str, str]) == {"VISITS": "3"}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_it_stays_a_profile_with_its_age(protocol):
    clock = Clock()
    before = decode(b'{"m":{"a":[1.0]}}', read_at=97.0, clock=clock).as_stale()
    after = pickle.loads(pickle.dumps(before, protocol))  # noqa: S301 -- what was dumped here
    assert type(after) is Profile
    assert after == before
    assert after.json == before.json
    assert (after.age, after.stale) == (3.0, True)
    with pytest.raises(ReadOnlyProfile):
        after["m"]["a"].append(2)


@pytest.mark.parametrize("part", [lambda p: p["features"], lambda p: p["features"]["tags"]])
def test_a_part_pickles_as_plain_data(profile, part):
    after = pickle.loads(pickle.dumps(part(profile)))  # noqa: S301 -- what was dumped here
    assert after == part(profile)
    assert type(after) in (dict, list)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda value: value.copy()])
def test_copies_are_plain_and_ones_own_at_every_depth(profile, duplicate):
    mine = duplicate(profile)
    assert mine == DATA
    assert {type(value) for value in (mine, mine["features"], mine["features"]["tags"][1])} == {dict}
    mine["features"]["tags"][1]["b"].append(2)
    mine["features"]["address"].clear()
    assert profile == DATA
    items = duplicate(profile["features"]["tags"])
    assert type(items) is list
    items[1]["b"].append(2)
    assert profile == DATA


def test_merging_gives_a_plain_dict(profile):
    for merged in (profile | {"x": 1}, {"x": 1} | profile):
        assert type(merged) is dict
        assert merged == {**DATA, "x": 1}
    joined = profile["features"]["tags"] + ["z"]
    assert type(joined) is list
    assert joined == ["a", {"b": [1]}, "z"]


def test_templates_read_it(profile):
    assert "{features[address][city]}".format_map(profile) == "Bath"
    assert string.Template("$VISITS").substitute(profile["WEB:ANON"]) == "3"
    assert "{VISITS}".format(**profile["WEB:ANON"]) == "3"


def test_patterns_match_it(profile):
    match profile:
        case {"features": {"tags": [first, {"b": [one]}], "score": float(score)}}:
            assert (first, one, score) == ("a", 1, 0.42)
        case _:
            pytest.fail("no match")


def test_it_shows_like_a_dict(profile):
    assert repr(profile) == repr(DATA)
    assert f"{profile['features']['tags']}" == "['a', {'b': [1]}]"


def test_it_reads_like_a_dict(profile):
    assert isinstance(profile, dict)
    assert list(profile) == list(DATA)
    assert profile.get("absent") is None
    assert dict(**profile["WEB:ANON"]) == {"VISITS": "3"}
    assert list(reversed(profile["features"]["tags"])) == [{"b": [1]}, "a"]
    assert sorted(profile) == sorted(DATA)


# --- read-only

DICT_CHANGES = {
    "setitem": lambda d: d.__setitem__("x", 1),
    "delitem": lambda d: d.__delitem__(next(iter(d))),
    "ior": lambda d: d.__ior__({}),
    "clear": lambda d: d.clear(),
    "pop": lambda d: d.pop("x", None),
    "popitem": lambda d: d.popitem(),
    "setdefault": lambda d: d.setdefault("x", 1),
    "update": lambda d: d.update(x=1),
    "init": lambda d: d.__init__({"x": 1}),
}
LIST_CHANGES = {
    "setitem": lambda v: v.__setitem__(0, 1),
    "setslice": lambda v: v.__setitem__(slice(None), []),
    "delitem": lambda v: v.__delitem__(0),
    "iadd": lambda v: v.__iadd__([1]),
    "imul": lambda v: v.__imul__(2),
    "append": lambda v: v.append(1),
    "clear": lambda v: v.clear(),
    "extend": lambda v: v.extend([1]),
    "insert": lambda v: v.insert(0, 1),
    "pop": lambda v: v.pop(),
    "remove": lambda v: v.remove("a"),
    "reverse": lambda v: v.reverse(),
    "sort": lambda v: v.sort(),
    "init": lambda v: v.__init__([1]),
}
DEPTHS = {
    "profile": lambda p: p,
    "model": lambda p: p["features"],
    "trait": lambda p: p["features"]["address"],
    "in a list": lambda p: p["features"]["tags"][1],
}


def refused(change, value):
    with pytest.raises(ReadOnlyProfile, match=r"take a copy of your own with \.copy\(\)") as caught:
        change(value)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("depth", DEPTHS.values(), ids=DEPTHS)
@pytest.mark.parametrize("change", DICT_CHANGES.values(), ids=DICT_CHANGES)
def test_a_dict_refuses_every_change(profile, depth, change):
    refused(change, depth(profile))
    assert profile == DATA


@pytest.mark.parametrize("change", LIST_CHANGES.values(), ids=LIST_CHANGES)
def test_a_list_refuses_every_change(profile, change):
    refused(change, profile["features"]["tags"])
    refused(change, profile["features"]["tags"][1]["b"])
    assert profile == DATA


def test_no_mutating_method_was_forgotten(profile):
    """Every method that dict and list have beyond the immutable protocols is refused, or known to only read."""
    reading = {"copy", "fromkeys", "get", "items", "keys", "values", "count", "index"}
    for value in (profile, profile["features"]["tags"]):
        kind = type(value).__mro__[-2]
        own = {name for name in vars(kind) if name not in vars(object) and not name.startswith("__")}
        mutating = own - reading
        assert mutating
        for name in mutating | {"__setitem__", "__delitem__"}:
            assert getattr(type(value), name) is not getattr(kind, name), name


def test_augmented_assignment_is_refused(profile):
    model = profile["features"]
    tags = model["tags"]
    with pytest.raises(ReadOnlyProfile):
        model |= {"x": 1}
    with pytest.raises(ReadOnlyProfile):
        tags += [1]
    with pytest.raises(ReadOnlyProfile):
        del model["score"]
    assert profile == DATA


def test_it_takes_no_attributes(profile):
    for name in ("json", "age", "stale", "read_at", "footprint", "anything"):
        with pytest.raises(AttributeError):
            setattr(profile, name, 1)


# --- what it knows about itself


def test_age_is_on_the_clock_it_was_given():
    clock = Clock()
    profile = decode(b"{}", read_at=98.5, clock=clock)
    assert (profile.age, profile.read_at, profile.stale) == (1.5, 98.5, False)
    clock.now = 110.0
    assert profile.age == 11.5


def test_a_stale_answer_is_a_twin_that_says_so():
    fresh = decode(b'{"m":{"a":[1]}}', read_at=98.5, clock=Clock())
    stale = fresh.as_stale()
    assert stale.stale
    assert not fresh.stale
    assert stale == fresh
    assert (stale.json, stale.age) == (fresh.json, fresh.age)


def test_built_from_a_mapping_it_is_encoded():
    profile = Profile({"m": {"a": 1}})
    assert profile.json == b'{"m":{"a":1}}'
    assert (profile.age, profile.stale) == (0.0, False)
    source: dict[str, Any] = {"m": {"a": []}}
    profile = Profile(source)
    source["m"]["a"].append(1)
    assert profile == {"m": {"a": []}}


def test_it_counts_its_memory():
    small, large = Profile({"m": {"a": 1}}), Profile({"m": {"a": "x" * 10_000}})
    assert 10_000 < large.footprint - small.footprint < 10_200
    assert large.footprint == large.footprint


# --- one model as a type


class Address(msgspec.Struct):
    city: str


class Features(msgspec.Struct):
    score: float
    address: Address
    tags: list[Any] = []


@dataclass
class Anon:
    VISITS: str


def test_a_model_is_decoded_straight_into_a_type(profile):
    found = decode_model(profile.json, "features", Features)
    assert found == Features(0.42, Address("Bath"), ["a", {"b": [1]}])
    assert decode_model(profile.json, "WEB:ANON", Anon) == Anon("3")
    assert decode_model(profile.json, "WEB:ANON", dict[str, str]) == {"VISITS": "3"}
    assert decode_model(profile.json, "WEB:ANON", msgspec.Raw) == msgspec.Raw(b'{"VISITS":"3"}')


def test_an_absent_and_a_null_model_are_none(profile):
    assert decode_model(profile.json, "absent", Features) is None
    assert decode_model(profile.json, "nothing", Features) is None
    assert decode_model(b'{"m": null }', "m", Features) is None


def test_without_a_model_the_whole_profile_is_decoded():
    class Flat(msgspec.Struct):
        country: str

    raw = encode_strings([b"country", b"USA", b"n", b"2"]).json
    assert decode_model(raw, None, Flat) == Flat("USA")


@pytest.mark.parametrize(
    ("traits", "message"),
    [
        ({"score": "high", "address": {"city": "Bath"}}, r"model 'm' does not fit Features: Expected `float`, got `str`, at `\$.score`"),
        ({"score": 1, "address": {"city": 7}}, r"Expected `str`, got `int`, at `\$.address.city`"),
        ({"score": 1}, r"Object missing required field `address`, at `\$`"),
        ([], r"Expected `object`, got `array`, at `\$`"),
    ],
)  # fmt: skip
def test_a_misfit_names_model_type_and_path(traits, message):
    with pytest.raises(TraitsMismatch, match=message):
        decode_model(Profile({"m": traits}).json, "m", Features)


class Secretive(msgspec.Struct):
    color: Literal["red"] | None = None
    size: Annotated[int, msgspec.Meta(ge=3)] = 3
    word: Annotated[str, msgspec.Meta(pattern="^a")] = "a"

    def __post_init__(self):
        if self.size > 10:
            raise ValueError(f"too large: {self.size} - at secret")


@pytest.mark.parametrize("traits", [{"color": "secret"}, {"size": 999}, {"word": "secret"}])
def test_a_misfit_never_quotes_a_trait(traits):
    with pytest.raises(TraitsMismatch) as caught:
        decode_model(Profile({"m": traits}).json, "m", Secretive)
    assert "secret" not in str(caught.value)
    assert "999" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_misfit_of_a_whole_profile_says_so():
    with pytest.raises(TraitsMismatch, match="the profile does not fit"):
        decode_model(b"{}", None, Features)


@pytest.mark.parametrize("text", [b'{"VISITS":"\\ud800"}', b'{"VISITS":"3","n":1e999}'])
def test_rare_json_is_decoded_into_types_too(text):
    encoded = encode_hash([b"m", text, b"other", b'"\\ud800"'])
    found = decode_model(encoded.json, "m", Anon)
    assert found == Anon(json.loads(text)["VISITS"])
    assert decode_model(encode_hash([b"m", b"1e999"]).json, "m", float) == float("inf")


def test_an_unsupported_type_is_the_callers_mistake(profile):
    with pytest.raises(TypeError, match="not supported"):
        decode_model(profile.json, "features", 5)


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="Python 3.12 would keep the names for ever")
def test_profiles_share_their_names_whether_these_are_few_or_many_or_long():
    names = [f"trait_{number}" for number in range(200)] + [
        f"a_name_that_no_parser_keeps_for_the_next_{number}" for number in range(20)
    ]
    models = {"m": {name: {"a": 1} for name in names}}
    raw = msgspec.json.encode(models)
    first, second = decode(raw), decode(raw)
    shared = sum(one is other for one, other in zip(first["m"], second["m"], strict=True))
    assert shared == len(names)
    assert first == second == models
