"""The thread that waits for changes: it reads the users who are about to change until it sees that they have."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import edgeprofile
from edgeprofile.demo import people
from edgeprofile.demo.measure import Sightings

if TYPE_CHECKING:
    from edgeprofile.demo.changes import Acknowledgements

__all__ = ["PAUSE", "Watcher"]

PAUSE = 0.000_2
"""Seconds between two rounds of reads, the accuracy of what the watcher sees."""


class Watcher(threading.Thread):
    """Compares what `edgeprofile.get` returns with what the writer was told."""

    def __init__(self, acknowledgements: Acknowledgements, users: int) -> None:
        super().__init__(name="demo-watcher", daemon=True)
        self.sightings = Sightings()
        self.failures = 0
        self._acknowledgements = acknowledgements
        self._users = users
        self._ended = False

    def end(self) -> None:
        """Stop and return when it has stopped."""
        self._ended = True
        self.join()

    def run(self) -> None:
        """Watch until the end."""
        while not self._ended:
            for number, at in self._acknowledgements.news():
                self.sightings.acknowledged(number, at)
            for number in self.sightings.awaited:
                self._look(number)
            time.sleep(PAUSE)

    def _look(self, number: int) -> None:
        email = people.email(people.changed_user(number, self._users))
        began = time.monotonic_ns()
        try:
            profile = edgeprofile.get(people.ENTITY, people.ID_TYPE, email)
        except edgeprofile.ServiceError:
            self.failures += 1
            return
        ended = time.monotonic_ns()
        revision = profile[people.CHANGING]["revision"] if profile and people.CHANGING in profile else 0
        self.sightings.read(number, revision, began, ended)
