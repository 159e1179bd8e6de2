"""The thread that follows changes from the warehouse to this process: it lets users order, and looks them up until it shows."""

from __future__ import annotations

import threading
import time
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import edgeprofile
from edgeprofile.demo import people
from edgeprofile.demo.errors import DemoError

if TYPE_CHECKING:
    from edgeprofile.demo.syncing import Synced, Syncs

__all__ = ["EVERY", "ORDERING", "Arrival", "Arrivals"]

ORDERING = 25
"""Users who order before each sync."""
EVERY = 5.0
"""Seconds from one sync to the next, if it does not take longer."""

_AT_LEAST = 0.5
_PAUSE = 0.000_5
_FIRST = 2  # number 1 brought everybody


class Arrival(NamedTuple):
    """A sync whose changes have all been seen here."""

    number: int
    users: int
    rows: int
    seconds: float
    delay: int
    """Nanoseconds from Redis' acknowledgement of the last of them to the end of the first lookup that returned it."""
    orders: int
    """How many orders the featured user has now."""


class Arrivals(threading.Thread):
    """Has the warehouse changed and synced every few seconds."""

    def __init__(self, syncs: Syncs, users: int) -> None:
        super().__init__(name="demo-arrivals", daemon=True)
        self.seen: tuple[Arrival, ...] = ()
        self.failures = 0
        self._syncs = syncs
        self._users = users
        self._ended = threading.Event()

    def end(self) -> None:
        """Stop and return when it has stopped."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Follow one sync after the other until the end."""
        try:
            for number in count(_FIRST):
                began = time.monotonic()
                self._follow(number)
                if self._ended.wait(max(_AT_LEAST, began + EVERY - time.monotonic())):
                    return
        except DemoError:
            return  # the household has the same to tell

    def _follow(self, number: int) -> None:
        emails = people.ordering(number, self._users, ORDERING)
        expected = {email: 1 + (self._orders(email) or 0) for email in emails}
        orders = expected[people.FEATURED]
        self._syncs.order(emails)
        synced: Synced | None = None
        last_seen = 0
        while expected or synced is None:
            for email in self._arrived(expected):
                last_seen = time.monotonic_ns()
                del expected[email]
            synced = synced or self._syncs.news()
            if self._ended.wait(_PAUSE):
                return
        # The first lookup can return a row before the acknowledgement of all of them has been read.
        delay = max(0, last_seen - synced.acknowledged_at)
        self.seen += (Arrival(number, synced.users, synced.rows, synced.seconds, delay, orders),)

    def _arrived(self, expected: dict[str, int]) -> list[str]:
        return [email for email, orders in expected.items() if (self._orders(email) or 0) >= orders]

    def _orders(self, email: str) -> int | None:
        """How many orders a lookup tells of."""
        try:
            profile = edgeprofile.get(people.ENTITY, people.ID_TYPE, email)
        except edgeprofile.ServiceError:
            self.failures += 1
            return None
        return int(profile[people.SYNCED]["orders"]) if profile else None
