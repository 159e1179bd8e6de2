"""The preparations: a server, a warehouse synced to it, the library connected to it, and the sidecar."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import edgeprofile
from edgeprofile.demo import people, server, syncing
from edgeprofile.demo.errors import DemoError

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprofile.demo.processes import Household
    from edgeprofile.demo.screen import Screen
    from edgeprofile.demo.server import Server
    from edgeprofile.demo.sidecar import Sidecar, Starting
    from edgeprofile.demo.syncing import Syncs

__all__ = ["BOUND", "MISSES", "USERS", "connect", "serve", "start_server", "sync"]

USERS = 10_000
BOUND = 1
"""The ``max_staleness`` that is promised, in seconds."""
MISSES = 200
"""Lookups that are timed while the cache is empty."""

_AT_ONCE = 1_000
_START_TIMEOUT = 30.0
_TIMEOUT = "10s"  # whoever tries this on a busy machine wants to see it slow rather than failing


def start_server(screen: Screen, house: Household) -> Server:
    """Start the embedded Valkey."""
    with screen.step("starting an embedded Valkey") as done:
        valkey = server.start(house)
        done(f"Valkey {valkey.version} on {valkey.address}")
    return valkey


def sync(screen: Screen, house: Household, config: Path) -> Syncs:
    """Make the warehouse and sync it for the first time."""
    with screen.step("making a warehouse") as done:
        syncs = syncing.start(house, config, USERS)
        built = syncs.built()
        done(f"a DuckDB warehouse: {built.users:,} users, {built.orders:,} orders")
    with screen.step("edgeprofile sync") as done:
        first = syncs.first()
        done(f"edgeprofile sync: {first.rows:,} rows of {first.views} views to Valkey, {first.kind}")
    return syncs


def connect(screen: Screen, valkey: Server) -> float:
    """Configure the library and fill its cache; the nanoseconds of a lookup that has to ask the server."""
    with screen.step("filling the cache of this process") as done:
        edgeprofile.configure(
            address=valkey.address,
            cluster_mode=False,
            workspace_id=people.WORKSPACE,
            destination_id=people.DESTINATION,
            max_staleness=f"{BOUND}s",
            timeout=_TIMEOUT,
            connect_timeout=_TIMEOUT,
        )
        emails = [people.email(user) for user in range(USERS)]
        _wait_until_live(emails[-1])
        miss = median(_timed(email) for email in emails[:MISSES])
        for start in range(0, USERS, _AT_ONCE):
            edgeprofile.get_many(people.ENTITY, people.ID_TYPE, emails[start : start + _AT_ONCE])
        done("all of them cached in this process")
    return miss


def serve(screen: Screen, starting: Starting) -> Sidecar:
    """Wait for the sidecar, which was started while others were busy."""
    with screen.step("waiting for the sidecar") as done:
        aside = starting.listening()
        done(f"the sidecar on http://{aside.address}")
    return aside


def _wait_until_live(email: str) -> None:
    edgeprofile.get(people.ENTITY, people.ID_TYPE, email)
    deadline = time.monotonic() + _START_TIMEOUT
    while (status := edgeprofile.stats().destinations[people.DESTINATION]).state != "live":
        if time.monotonic() > deadline:
            raise DemoError(f"no feed of changes after {_START_TIMEOUT:g} s: {status.state} {status.reason}")
        time.sleep(0.01)


def _timed(email: str) -> int:
    began = time.perf_counter_ns()
    edgeprofile.get(people.ENTITY, people.ID_TYPE, email)
    return time.perf_counter_ns() - began
