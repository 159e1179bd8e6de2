"""What a profile is to the type checker; nothing here is ever run."""

import copy
import json
import pickle
from typing import Any, assert_type

import msgspec

from edgeprofile import Profile
from edgeprofile.core.cache import Entry, Key, ProfileCache
from edgeprofile.core.coherence import FOREVER
from edgeprofile.keys import Identity, Layout
from edgeprofile.profile import decode, decode_model


class Features(msgspec.Struct):
    churn_score: float


def a_profile_is_a_dict_of_models() -> None:
    profile = Profile({"features": {"churn_score": 0.4}})
    models: dict[str, Any] = profile
    assert_type(profile["features"]["churn_score"], Any)
    assert_type(profile.copy(), dict[str, Any])
    assert_type(profile | {"more": 1}, dict[str, Any])
    assert_type(profile.as_stale(), Profile)
    assert_type((profile.json, profile.age, profile.read_at, profile.stale), tuple[bytes, float, float, bool])
    json.dumps([models, copy.deepcopy(profile), pickle.dumps(profile)])


def one_model_as_a_type(raw: bytes) -> None:
    assert_type(decode(raw), Profile)
    assert_type(decode_model(raw, "features", Features), Features | None)
    assert_type(decode_model(raw, "features", dict[str, float]), dict[str, float] | None)
    assert_type(decode_model(raw, None, Features), Features | None)


def a_cache_is_a_mapping(cache: ProfileCache, key: Key) -> None:
    assert_type(cache[key], Profile | None)
    assert_type(cache.popitem(), tuple[Key, Profile | None])
    assert_type(cache.currsize, int)
    assert_type(cache.expire(), list[tuple[Key, Profile | None]])
    entry = cache.put(cache.space(*key[:3]), key[3], b"{}", sent=0.0, life=1.0, lease=FOREVER)
    assert_type(entry, Entry | None)
    tree = cache.tree("2Dest")
    assert_type(tree["user"]["email"]["ada"], Entry)


def keys(layout: Layout) -> None:
    assert_type(layout.key("user", "email", "ada"), bytes)
    assert_type(layout.keys("user", "email", "ada"), tuple[bytes, ...])
    assert_type(layout.identities(b""), list[Identity])
