"""Profiles as RudderStack's Redis destination writes them: a hash, one field per model, its value the JSON of the traits."""

import json
from collections.abc import Iterator

WORKSPACE = "1Bench"
DESTINATION = "2Bench"
ENTITY = "user"
ID_TYPE = "email"
MODEL = "features_by_email"
KEY_PREFIX = f"{WORKSPACE}:{DESTINATION}:{ENTITY}:{ID_TYPE}:"
KEY_PATTERN = f"{WORKSPACE}:{DESTINATION}:*"

_COUNTRIES = ("DE", "FR", "GB", "IN", "JP", "US")
_PLANS = ("free", "starter", "team", "enterprise")
_CATEGORIES = ("books", "garden", "kitchen", "music", "outdoor", "toys")
_KINDS = 10


def identity(index: int) -> str:
    """The id value of the profile with that number."""
    return f"user{index:07d}@example.com"


def identities(count: int) -> list[str]:
    return [identity(index) for index in range(count)]


def key(id_value: str) -> str:
    """The Redis key of a profile."""
    return KEY_PREFIX + id_value


def traits(index: int, size: int = 20) -> dict[str, object]:
    """`size` traits of every JSON type, the same for the same arguments."""
    return {f"{name}{_window(n)}": value for n, (name, value) in zip(range(size), _traits(index), strict=False)}


def text(index: int, size: int = 20) -> str:
    """The JSON that stands in Redis, as compact as JavaScript writes it (about 600 bytes for 20 traits)."""
    return json.dumps(traits(index, size), separators=(",", ":"))


def document(index: int, size: int = 20) -> str:
    """The whole profile as JSON, encoded as it is cached and served: its one model with its traits."""
    return f'{{"{MODEL}":{text(index, size)}}}'


def _window(number: int) -> str:
    return f"_{number // _KINDS * 30}d" if number >= _KINDS else ""


def _traits(index: int) -> Iterator[tuple[str, object]]:
    noise = index * 2_654_435_761 + 1  # Knuth's multiplicative hash: cheap, and different for neighbours
    while True:
        noise = (noise * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) & 0xFFFF_FFFF_FFFF_FFFF
        pick = noise >> 33
        yield "churn_score", pick % 10_000 / 10_000
        yield "lifetime_value", pick % 5_000_000 / 100
        yield "orders", pick % 300
        yield "country", _COUNTRIES[pick % len(_COUNTRIES)]
        yield "plan", _PLANS[pick % len(_PLANS)]
        yield "is_vip", pick % 2 == 0
        yield "last_seen_at", f"2025-{pick % 12 + 1:02d}-{pick % 28 + 1:02d}T{pick % 24:02d}:00:00Z"
        yield "favourite_category", None if pick % 5 == 0 else _CATEGORIES[pick % len(_CATEGORIES)]
        yield "top_categories", [_CATEGORIES[pick % 6], _CATEGORIES[(pick + 1) % 6], _CATEGORIES[(pick + 3) % 6]]
        yield "address", {"city": f"City {pick % 500}", "postcode": f"{pick % 100_000:05d}"}
