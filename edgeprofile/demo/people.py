"""The users' ids, and what changes about them beside the warehouse: the model that a stream of events writes."""

from __future__ import annotations

import random
from typing import Final, NamedTuple

import msgspec

__all__ = [
    "CHANGING",
    "DESTINATION",
    "ENTITY",
    "FEATURED",
    "ID_TYPE",
    "SYNCED",
    "WORKSPACE",
    "Row",
    "change",
    "changed_user",
    "email",
    "ordering",
]

WORKSPACE: Final = "1Demo"
DESTINATION: Final = "2Demo"
ENTITY: Final = "user"
ID_TYPE: Final = "email"

SYNCED: Final = "features_by_email"
"""The model that comes from the warehouse; its trait ``orders`` grows with each order."""

CHANGING: Final = "live_activity"
"""The model that changes all the time while the demo runs; its trait ``revision`` is the number of the latest change."""

FEATURED: Final = "ada@example.com"
"""User 0, whom the examples look up."""

_FEATURED_EVERY = 100
_STRIDE = 7919  # a prime, so that changes come round to every user of any smaller number of them
_PAGES = ("/", "/basket", "/checkout", "/music", "/offers", "/search")
_CHANNELS = ("app", "email", "web")


class Row(NamedTuple):
    """One write: ``HSET key model traits``."""

    key: bytes
    model: bytes
    traits: bytes


def email(user: int) -> str:
    """The id of a user, by number, as the warehouse has it."""
    return f"user{user}@example.com" if user else FEATURED


def changed_user(number: int, users: int) -> int:
    """Whom the change of that number (from 1) concerns; the featured user more often than others."""
    return number * _STRIDE % users if number % _FEATURED_EVERY else 0


def change(number: int, users: int) -> Row:
    """The row that the change of that number writes: one model, replaced as a whole."""
    user = changed_user(number, users)
    key = f"{WORKSPACE}:{DESTINATION}:{ENTITY}:{ID_TYPE}:{email(user)}"
    chance = random.Random(number)  # noqa: S311 -- made-up people, not secrets
    traits = {
        "revision": number,
        "page": chance.choice(_PAGES),
        "channel": chance.choice(_CHANNELS),
        "pages_today": chance.randrange(1, 40),
        "basket": [chance.randrange(1_000) for _ in range(chance.randrange(4))],
    }
    return Row(key.encode(), CHANGING.encode(), msgspec.json.encode(traits))


def ordering(number: int, users: int, many: int) -> list[str]:
    """Who orders before the sync of that number: the featured user, and others who take turns."""
    others = (1 + (number * (many - 1) + place) % (users - 1) for place in range(many - 1))
    return [FEATURED, *map(email, others)]
