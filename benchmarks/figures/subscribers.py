"""What the feed costs Redis: processor time and bytes for each change and each subscriber, by the server's own count.

Every subscriber listens to a whole destination, as a process of ours does. Changes come one by one, as from an event
stream, or many in a round trip, as from a sync. Changes of keys outside the destination show what Redis pays for looking
whom to tell, which every heartbeat costs as well.
"""

from itertools import islice

from benchmarks import data, servers
from benchmarks.bench import Bench
from benchmarks.children import Child
from benchmarks.resp import Connection, pack
from benchmarks.rows import Row, quantity
from benchmarks.servers import Address

COUNTS = (0, 1, 10, 50, 200)
MODES = ("keyspace", "tracking")
HEARD = data.KEY_PREFIX
UNHEARD = "nobody:"
KINDS = {
    "one by one": (HEARD, 1),
    "in batches": (HEARD, 500),
    "unheard": (UNHEARD, 500),
}  # prefix, changes in a round trip
TOLD = 100_000  # messages in a measurement, about
LEAST, MOST = 500, 5_000  # changes
MANY = 50_000  # changes that nobody is told of
SMALL = '{"churn_score":0.5}'
UNLIMITED = "pubsub 0 0 0 normal 0 0 0"


def measure(bench: Bench) -> None:
    for mode in MODES:
        for count in COUNTS:
            with servers.valkey() as server:
                servers.configure(server, "client-output-buffer-limit", UNLIMITED)
                with Child(
                    "benchmarks.subscribers", {"task": "crowd", "server": server, "count": count, "mode": mode}
                ) as crowd:
                    _counted(bench, server, crowd.wait_ready(), mode, count)
    for mode in MODES:
        bench.add(*(_row(bench, mode, how) for how in KINDS))


def _counted(bench: Bench, server: Address, crowd: Child, mode: str, count: int) -> None:
    for how, (prefix, size) in KINDS.items():
        changes = MANY if prefix == UNHEARD else max(LEAST, min(MOST, TOLD // max(1, count)))
        costs, sizes = [], []
        for _ in range(bench.settings.http_rounds):
            before = _processor(server)
            _write(server, prefix, changes, size)
            sizes.append(crowd.ask({})["bytes"] / changes)
            costs.append((_processor(server) - before) / changes)
        bench.keep(f"{mode}, {how}, {count}, processor seconds", costs)
        bench.keep(f"{mode}, {how}, {count}, bytes", sizes)


def _write(server: Address, prefix: str, changes: int, size: int) -> None:
    packed = (pack("HSET", prefix + data.identity(index), data.MODEL, SMALL) for index in range(changes))
    with Connection(server) as connection:
        while batch := list(islice(packed, size)):
            connection.send(b"".join(batch))
            connection.expect(len(batch))


def _processor(server: Address) -> float:
    """Seconds of processor time that the server has used."""
    told = servers.information(server)
    return float(told["used_cpu_sys"]) + float(told["used_cpu_user"])


def _row(bench: Bench, mode: str, how: str) -> Row:
    """The slope between no subscriber and many."""
    none, many = (
        bench.result.samples[f"{mode}, {how}, {count}, processor seconds"]["median"] for count in (0, COUNTS[-1])
    )
    note = f"{none * 1e6:.3g} µs without subscribers, {many * 1e6:.3g} µs with {COUNTS[-1]}"
    each = (many - none) / COUNTS[-1] * 1e6
    return quantity(f"processor time of Redis for a change and a subscriber, {mode}, {how}", [each], "µs", None, note)
