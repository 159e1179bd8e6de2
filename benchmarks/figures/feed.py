"""Taking in change events: a backlog that piled up while the process stood still, and Redis at full writing speed.

For the backlog the server's limit on a slow subscriber is lifted, so that the whole of it is there to be drained; live, it
stands at its default (32 MiB, or 8 MiB for 60 s), and a contender that falls behind is cut off.

Contenders hold profiles of which none is written: that most changes concern others is what a feed meets.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from benchmarks import servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.children import Child
from benchmarks.rounds import rotated
from benchmarks.rows import at_least, at_most, quantity, times_the_rate
from benchmarks.servers import Address

OURS = "edgeprofile"
PEER = "redis_py"
HELD = 10_000  # profiles
WRITTEN = 100_000  # different keys, of others
PATIENCE = 60.0  # seconds for events that were written to arrive
CUT_OFF = "client_output_buffer_limit_disconnections"


def measure(bench: Bench) -> None:
    _backlog(bench)
    for name in (OURS, PEER):
        _live(bench, name)


def _backlog(bench: Bench) -> None:
    rates: dict[str, list[float]] = {}
    with (
        _server(client_output_buffer_limit="pubsub 0 0 0") as server,
        _writer(server) as writer,
        bench.contenders([PEER, OURS], "feed", **_spec(server, "60s")) as present,
    ):
        drains = _Drains(present, writer)
        for number in range(bench.settings.feed_rounds):
            for name in rotated(list(present), number):
                rates.setdefault(name, []).append(drains.measured(name, bench.settings.events))
    for name, values in rates.items():
        bench.keep(f"{title(name)}, backlog", values)
    if OURS in rates:
        peer = f"{title(PEER)} pub/sub, RESP2"
        bench.add(times_the_rate("feed, backlog drained", rates[OURS], rates[PEER], at_least(8), peer_name=peer))


def _spec(server: Address, max_staleness: str) -> dict[str, Any]:
    return {**server_spec(server), "max_staleness": max_staleness, "cached": HELD}


class _Drains:
    """Backlogs for one contender at a time; the others take theirs in beforehand."""

    def __init__(self, children: dict[str, Child], writer: Child) -> None:
        self._children = children
        self._writer = writer
        self._written = 0

    def measured(self, name: str, events: int) -> float:
        """Events a second, from the moment at which the process runs again."""
        child = self._children[name]
        child.freeze()
        self._written += self._writer.ask({"events": events})["events"]
        for other in self._children.values():
            if other is not child:
                self._wait(other)
        start = monotonic()
        child.thaw()
        return events / (self._wait(child) - start)

    def _wait(self, child: Child) -> float:
        return float(child.ask({"events": self._written, "timeout": PATIENCE}, 2 * PATIENCE)["done"])


def _live(bench: Bench, name: str) -> None:
    with (
        _server() as server,
        _writer(server) as writer,
        bench.contenders([name], "feed", **_spec(server, "1s")) as present,
    ):
        if present:
            _flooded(bench, name, present[name], writer, server)


def _flooded(bench: Bench, name: str, child: Child, writer: Child, server: Address) -> None:
    idle = child.ask({"events": 0, "timeout": 0})["cpu"]
    written = writer.ask({"seconds": bench.settings.flood_seconds})
    seen = child.ask({"events": written["events"], "timeout": 5.0})
    cores = (seen["cpu"] - idle) / written["seconds"]
    cuts = float(servers.information(server)[CUT_OFF])
    note = f"{written['events'] / written['seconds']:,.0f} HSET/s; {seen['events']:,} of {written['events']:,} events arrived"
    ours = name == OURS
    lost = max(0, written["events"] - seen["events"])  # what else is heard, such as heartbeats, is more
    who = f"{title(name)}, {bench.settings.flood_seconds:g} s of HSET at full speed"
    bench.add(
        quantity(f"{who}: cut off by the server", [cuts], "times", at_most(0) if ours else None, note),
        quantity(f"{who}: events that did not arrive", [lost], "events", at_most(0) if ours else None),
        quantity(f"{who}: processor time", [cores], "cores", at_most(0.5) if ours else None),
    )


@contextmanager
def _server(**options: str) -> Iterator[Address]:
    with servers.valkey(**options) as server:
        servers.fill(server, HELD)
        yield server


@contextmanager
def _writer(server: Address) -> Iterator[Child]:
    with Child("benchmarks.writers", {"task": "flood", "server": server, "first": HELD, "entries": WRITTEN}) as child:
        yield child.wait_ready()
