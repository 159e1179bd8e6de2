"""Projections, of encoded and of decoded profiles."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.errors import InvalidProjection
from edgeprofile.profile import Profile, decode, encode_hash
from edgeprofile.projection import Projection

PROFILE = {
    "features": {"churn": 0.42, "country": None, "tags": ["a", {"b": 1}]},
    "WEB:FEATURES": {"visits": "3", "churn": 1},
    "broken": "{no json",
}
RAW = json.dumps(PROFILE).encode()

NAMES = st.sampled_from(["a", "b", "c", "ü", '"', ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
PROFILES = st.dictionaries(NAMES, st.dictionaries(NAMES, JSON, max_size=4) | JSON, max_size=4)


def both(projection: Projection, profile: Any) -> Any:
    """What the projection makes of a profile, which is the same whether it is encoded or not."""
    encoded = json.loads(projection.encoded(json.dumps(profile).encode()))
    assert encoded == projection.decoded(profile) == projection.decoded(Profile(profile))
    return encoded


def test_without_anything_all_is_kept():
    assert both(Projection(), PROFILE) == PROFILE


def test_models_are_kept_in_the_order_asked_for():
    projection = Projection(["WEB:FEATURES", "nothing", "features"])
    assert list(both(projection, PROFILE)) == ["WEB:FEATURES", "features"]
    assert both(Projection([]), PROFILE) == {}


def test_traits_are_kept_of_each_model():
    assert both(Projection(traits=["churn", "nothing"]), PROFILE) == {
        "features": {"churn": 0.42},
        "WEB:FEATURES": {"churn": 1},
    }
    assert both(Projection(["features"], ["tags"]), PROFILE) == {"features": {"tags": ["a", {"b": 1}]}}


def test_a_member_that_is_no_object_is_a_trait():
    stream = {"plan": "free", "address.city": "Bath", "age": "7"}
    assert both(Projection(traits=["age", "plan"]), stream) == {"plan": "free", "age": "7"}
    assert both(Projection(["age"]), stream) == {"age": "7"}
    assert both(Projection(defaults={"plan": "paid", "tier": 1}), stream) == {**stream, "tier": 1}


def test_defaults_fill_what_is_absent_and_leave_null():
    projection = Projection(["features"], ["churn", "country", "tier"], {"features": {"country": "?", "tier": [1]}})
    assert both(projection, PROFILE) == {"features": {"churn": 0.42, "country": None, "tier": [1]}}
    assert both(projection, {}) == {"features": {"country": "?", "tier": [1]}}
    assert projection.decoded(None) == {"features": {"country": "?", "tier": [1]}}


def test_a_default_does_not_mend_a_model_that_is_no_object():
    assert both(Projection(defaults={"broken": {"a": 1}}), PROFILE)["broken"] == "{no json"
    assert both(Projection(defaults={"features": 7}), PROFILE)["features"] == PROFILE["features"]


@pytest.mark.parametrize(
    ("given", "member"),
    [
        ({"models": ["a"], "defaults": {"b": {}}}, "models"),
        ({"traits": ["a"], "defaults": {"m": {"b": 1}}}, "traits"),
        ({"traits": ["a"], "defaults": {"plan": "free"}}, "traits"),
    ],
)
def test_a_default_for_what_is_not_kept_is_refused(given, member):
    with pytest.raises(InvalidProjection, match="not kept") as refused:
        Projection(**given)
    assert refused.value.member == member


@given(PROFILES, st.none() | st.lists(NAMES), st.none() | st.lists(NAMES))
def test_encoded_and_decoded_profiles_are_projected_alike(profile, models, traits):
    both(Projection(models, traits), profile)


@given(PROFILES, PROFILES, st.none() | st.lists(NAMES))
def test_so_are_defaults(profile, defaults, models):
    try:
        projection = Projection(models, None, defaults)
    except InvalidProjection:
        return
    both(projection, profile)


def test_what_is_kept_stays_as_it_stands():
    raw = b'{ "m" : {"a": 1.0,  "b":1e400, "c":[ 1 ]} , "n":{}}'
    assert Projection(["m"]).encoded(raw) == b'{"m":{"a": 1.0,  "b":1e400, "c":[ 1 ]}}'
    assert Projection(["m"], ["b", "c"]).encoded(raw) == b'{"m":{"b":1e400,"c":[ 1 ]}}'


@pytest.mark.parametrize(
    "text",
    [
        rb'{"\ud800": "\udfff", "a" : [1, {"b": "}"}] ,"n":1e400, "e":{}, "x":"\\\" :,{"}',
        rb'{"a":"\ud800"}',
        rb' { "a" : 1e999 , "\ud800":{} } ',
    ],
)
def test_lone_surrogates_and_large_numbers_pass_through(text):
    raw = encode_hash([b"m", text]).json
    whole = json.loads(text)
    for trait in whole:
        kept = json.loads(Projection(["m"], [trait]).encoded(raw))
        assert kept == {"m": {trait: whole[trait]}}
        assert decode(Projection(["m"], [trait]).encoded(raw)) == kept
    filled = Projection(defaults={"m": {"z": 0}}).encoded(raw)
    assert json.loads(filled) == {"m": {**whole, "z": 0}}
