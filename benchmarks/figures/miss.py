"""A lookup that has to ask Redis, from a synchronous caller; every id is asked for once."""

from benchmarks import servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.rows import at_most, times_the_cost

OURS = "edgeprofile"
PEER = "redis_py"
MOST = 400  # lookups a round: the ids must last for all rounds


def measure(bench: Bench) -> None:
    entries = bench.settings.entries
    with servers.valkey() as server:
        servers.fill(server, entries)
        spec = {**server_spec(server), "entries": entries, "trace": "loop", "length": entries}
        with bench.contenders([PEER, OURS], "miss", **spec) as present:
            costs = bench.time_lookups(present, most=MOST)
            if OURS in costs:
                target = at_most(1.5)
                bench.add(
                    times_the_cost(
                        "sync miss", costs[OURS], costs[PEER], target, peer_name=f"{title(PEER)} HGETALL + PTTL"
                    )
                )
