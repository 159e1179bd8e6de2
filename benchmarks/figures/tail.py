"""Single hits, each timed: eight threads at once, and one while the feed takes in 50,000 events a second.

The bound is for our code. What takes the processor from a bare loop takes it from a lookup as well, so the same is told of
a loop around one ``dict.get``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks import servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.children import Child
from benchmarks.rounds import rotated, spread
from benchmarks.rows import at_most, times_the_cost
from benchmarks.servers import Address

OURS = "edgeprofile:tail"
BARE = "dictionary:tail"
ENTRIES = 1_000
EVENTS = 50_000  # a second
WRITTEN = 20_000  # different keys, none of them looked up
THREADS = 8
BOUND = at_most(5)

Latencies = dict[str, dict[str, list[float]]]


def measure(bench: Bench) -> None:
    found: Latencies = {}
    seconds = bench.settings.http_seconds
    with servers.valkey() as server, _writer(server) as writer:
        servers.fill(server, ENTRIES)
        with bench.contenders([BARE, OURS], "tail", **server_spec(server), entries=ENTRIES) as present:
            for number in range(bench.settings.feed_rounds):
                for name in rotated(list(present), number):
                    kept = found.setdefault(name, {})
                    _keep(kept, "quiet", present[name].ask({"threads": 1, "seconds": seconds}))
                    _keep(kept, "threads", present[name].ask({"threads": THREADS, "seconds": seconds}))
                    writer.tell({"seconds": seconds + 1, "rate": EVENTS})
                    _keep(kept, "fed", present[name].ask({"threads": 1, "seconds": seconds}))
                    _keep(kept, "written", {"rate": (told := writer.answer())["events"] / told["seconds"]})
    if OURS in found:
        _report(bench, found)


def _keep(kept: dict[str, list[float]], when: str, told: Mapping[str, float]) -> None:
    for share in ("p50", "p999", "rate"):
        if share in told:
            kept.setdefault(f"{when} {share}", []).append(told[share])


def _report(bench: Bench, found: Latencies) -> None:
    ours = found[OURS]
    rate = spread(ours["written rate"]).median
    for when, name, more in (
        ("threads", f"hit, {THREADS} threads at once, p99.9", ""),
        ("fed", f"hit under a feed of {EVENTS:,} events/s, p99.9", f"{rate:,.0f} events/s; "),
    ):
        note = more + _bare(found, when)
        bench.keep(f"{title(OURS)}, {when}", ours[f"{when} p999"])
        bench.add(times_the_cost(name, ours[f"{when} p999"], ours["quiet p50"], BOUND, "its quiet median", note))


def _bare(found: Latencies, when: str) -> str:
    if BARE not in found:
        return ""
    times = spread(found[BARE][f"{when} p999"]).median / spread(found[BARE]["quiet p50"]).median
    return f"a bare loop: {times:.3g} x its own"


@contextmanager
def _writer(server: Address) -> Iterator[Child]:
    spec = {"task": "stream", "server": server, "first": ENTRIES, "entries": WRITTEN}
    with Child("benchmarks.writers", spec) as child:
        yield child.wait_ready()
