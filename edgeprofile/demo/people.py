"""Generated users: the same for the same number, and stored as RudderStack's Redis destination stores them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CHANGING",
    "DESTINATION",
    "ENTITY",
    "FEATURED",
    "ID_TYPE",
    "WORKSPACE",
    "Row",
    "change",
    "changed_user",
    "email",
    "models",
    "rows",
]

WORKSPACE: Final = "1Demo"
DESTINATION: Final = "2Demo"
ENTITY: Final = "user"
ID_TYPE: Final = "email"

CHANGING: Final = "features_by_email"
"""The model that changes while the demo runs; its trait ``revision`` is the number of the latest change."""

FEATURED: Final = "ada@example.com"
"""User 0, whom the examples look up."""

_FEATURED_EVERY = 100
_STRIDE = 7919  # a prime, so that changes come round to every user of any smaller number of them

_FIRST = "aisha ben carla dmitri elena farid grace hugo ines jonas keiko liam mira noor otto priya quinn rosa sven tara"
_LAST = "adams bauer chen diaz evans fischer garcia haddad ito jensen khan lopez meyer novak okafor patel rossi silva"
_FIRST_NAMES, _LAST_NAMES = _FIRST.split(), _LAST.split()
_DOMAINS = ("example.com", "example.net", "example.org")
_COUNTRIES = ("BR", "DE", "FR", "GB", "IN", "JP", "US")
_PLANS = ("free", "starter", "team", "enterprise")
_REFERRERS = ("newsletter", "partner", "search", "social", None)
_CATEGORIES = ("books", "garden", "kitchen", "music", "outdoor", "toys", "travel")
_CHANNELS = ("app", "email", "sms", "web")
_BANDS = ("low", "medium", "high")


class Row(NamedTuple):
    """One row of a reverse-ETL sync: ``HSET key model traits``."""

    key: bytes
    model: bytes
    traits: bytes


def email(user: int) -> str:
    """The id of a user, by number."""
    if user == 0:
        return FEATURED
    rest, first = divmod(user, len(_FIRST_NAMES))
    rest, last = divmod(rest, len(_LAST_NAMES))
    domain = _DOMAINS[user % len(_DOMAINS)]
    return f"{_FIRST_NAMES[first]}.{_LAST_NAMES[last]}{rest or ''}@{domain}"


def models(user: int, revision: int = 0) -> dict[str, dict[str, Any]]:
    """A user's models and their traits: 20 of them, or 15 for every fifth user, of whom no interests are known."""
    chance = random.Random(user)  # noqa: S311 -- made-up people, not secrets
    found = {CHANGING: _features(chance, revision), "churn_by_email": _churn(chance)}
    if user % 5 != 4:
        found["interests_by_email"] = _interests(chance)
    return found


def rows(users: int) -> Iterator[Row]:
    """Everything about the first so many users, as a full sync would send it."""
    for user in range(users):
        for model, traits in models(user).items():
            yield _row(user, model, traits)


def changed_user(number: int, users: int) -> int:
    """Whom the change of that number (from 1) concerns; the featured user more often than others."""
    return number * _STRIDE % users if number % _FEATURED_EVERY else 0


def change(number: int, users: int) -> Row:
    """The row that the change of that number writes: one model, replaced as a whole."""
    user = changed_user(number, users)
    return _row(user, CHANGING, models(user, number)[CHANGING])


def _row(user: int, model: str, traits: dict[str, Any]) -> Row:
    key = f"{WORKSPACE}:{DESTINATION}:{ENTITY}:{ID_TYPE}:{email(user)}"
    return Row(key.encode(), model.encode(), msgspec.json.encode(traits))


def _features(chance: random.Random, revision: int) -> dict[str, Any]:
    orders = chance.randrange(40)
    spent = chance.randrange(1_000, 25_000) * orders
    return {
        "revision": revision,
        "first_seen_at": _moment(chance, 2023),
        "last_seen_at": _moment(chance, 2025),
        "country": chance.choice(_COUNTRIES),
        "plan": chance.choice(_PLANS),
        "is_subscribed": chance.random() < 0.6,
        "referrer": chance.choice(_REFERRERS),
        "sessions_30d": chance.randrange(60),
        "orders_365d": orders,
        "lifetime_value": _cents(spent),
        "average_order_value": _cents(spent // orders) if orders else None,
    }


def _churn(chance: random.Random) -> dict[str, Any]:
    score = chance.randrange(100)
    return {
        "churn_score": _cents(score),
        "churn_band": _BANDS[score // 34],
        "days_since_last_order": chance.randrange(200),
        "predicted_at": _moment(chance, 2025),
    }


def _interests(chance: random.Random) -> dict[str, Any]:
    liked = chance.sample(_CATEGORIES, 3)
    return {
        "favourite_category": liked[0],
        "top_categories": liked,
        "price_sensitivity": _cents(chance.randrange(100)),
        "preferred_channel": chance.choice(_CHANNELS),
        "next_offer": {"sku": f"{liked[0][:3].upper()}-{chance.randrange(1_000):03d}", "discount": 0.15},
    }


def _moment(chance: random.Random, year: int) -> str:
    month, day, hour, minute = (chance.randrange(bound) for bound in (12, 28, 24, 60))
    return f"{year}-{month + 1:02d}-{day + 1:02d}T{hour:02d}:{minute:02d}:00Z"


def _cents(amount: int) -> float:
    """A hundredth of an amount; whole numbers stay integers, for JavaScript writes ``1.0`` as ``1``."""
    whole, rest = divmod(amount, 100)
    return amount / 100 if rest else whole
