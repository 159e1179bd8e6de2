"""One soak from its first write to its summary."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any, Literal

from edgeprofile import AsyncClient, Client
from tests.soak.chaos import Chaos, ServerChaos
from tests.soak.load import KEYS, Load
from tests.soak.summary import Checked, Sample, Summary, Usage, sample
from tests.soak.unrest import ClusterChaos
from tests.soak.window import Window
from tests.support.clients import configuration
from tests.support.cluster import Cluster
from tests.support.proxy import Proxy
from tests.support.servers import Flavour, Options, Server

Mode = Literal["keyspace", "tracking"]

BOUND = 0.5  # seconds
_CHECK_EVERY = 1.0  # seconds
_WARM_UP = 0.2  # of the run, but not more than
_LONGEST_WARM_UP = 60.0  # seconds
_TOLERANCE = 0.5  # seconds that a lookup may outlive its deadline, besides the lag of the machine
_CACHE = "6MiB"  # less than all profiles need


class Soak:
    """A server with a proxy before it, or a cluster; two clients, their load and its faults."""

    def __init__(self, seconds: float, *, mode: Mode, flavour: Flavour, seed: int, cluster: bool = False) -> None:
        self.seconds, self.mode, self.flavour, self.seed, self.cluster = seconds, mode, flavour, seed, cluster
        self.history = Window()
        self.checked = Checked()
        self.samples: list[Sample] = []
        self.problems: list[str] = []

    def run(self) -> Summary:
        """Run it all."""
        begin = time.monotonic()
        with ExitStack() as stack:
            address, load, chaos = self._deploy(stack)
            stack.callback(chaos.close)
            client = stack.enter_context(Client(self._configuration(address)))
            twin = AsyncClient(self._configuration(address))
            stack.callback(lambda: asyncio.run(twin.close()))
            with load.running(client, twin), self._checking(chaos):
                self._rage(chaos, begin + self.seconds, client, twin)
            self._judge(chaos)
            return self._summary(time.monotonic() - begin, load, chaos, client, twin)

    def _deploy(self, stack: ExitStack) -> tuple[str, Load, Chaos]:
        """What is read from, filled: its address, who reads and writes, and what goes wrong."""
        options = Options(flavour=self.flavour)
        if self.cluster:
            cluster = stack.enter_context(Cluster(options, primaries=3, replicas=1))
            load = Load(self.history, cluster, self.seed)
            self._fill(cluster)
            return cluster.address, load, ClusterChaos(cluster, self.history, load, self.seed)
        server = stack.enter_context(Server(options))
        proxy = stack.enter_context(Proxy(server.host, server.port))
        load = Load(self.history, server, self.seed)
        self._fill(server)
        flags = self.mode == "keyspace"
        return proxy.address, load, ServerChaos(server, proxy, self.history, load, self.seed, bound=BOUND, flags=flags)

    def _fill(self, server: Server | Cluster) -> None:
        with server.client() as direct:
            self.history.write_all(direct, KEYS)

    def _configuration(self, address: str) -> dict[str, Any]:
        cache = {"maxStaleness": f"{BOUND * 1000:.0f}ms", "maxBytes": _CACHE}
        return configuration(address, config={"clusterMode": self.cluster}, cache=cache, feed={"mode": self.mode})

    def _rage(self, chaos: Chaos, end: float, client: Client, twin: AsyncClient) -> None:
        try:
            chaos.run(end, (client, twin), BOUND)
        except AssertionError as error:
            self.problems.append(str(error))

    @contextmanager
    def _checking(self, chaos: Chaos) -> Iterator[None]:
        stop = threading.Event()

        def check_on() -> None:
            while not stop.wait(_CHECK_EVERY):
                self._judge(chaos)
                self.samples.append(sample())

        thread = threading.Thread(target=check_on, name="soak checker")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _judge(self, chaos: Chaos) -> None:
        report = self.history.check(BOUND)
        self.checked.add(report)
        for violation in report.violations[: 100 - len(self.checked.shown)]:
            self.checked.shown.append(f"{violation} [{chaos.during(violation.read.begin)}]")

    def _summary(self, seconds: float, load: Load, chaos: Chaos, client: Client, twin: AsyncClient) -> Summary:
        stats = client.stats(), twin.stats()
        hits, misses = sum(s.hits for s in stats), sum(s.misses for s in stats)
        readers = self.history.readers
        spread, usage = self.checked.staleness, self._usage()
        problems = self.problems + [f"{count} times\n{error}" for error, count in load.unexpected.items()]
        longest, when, outcome = load.longest
        if longest > client.config.limits.timeout + _TOLERANCE + load.lag:
            problems.append(f"a lookup took {longest:.3f} s: {outcome or 'answered'} [{chaos.during(when)}]")
        return Summary(
            seed=self.seed,
            mode=self.mode,
            flavour=self.flavour,
            cluster=self.cluster,
            seconds=seconds,
            bound=BOUND,
            lookups=sum(reader.lookups for reader in readers),
            checked=self.checked.reads,
            hits=hits / max(1, hits + misses),
            writes=load.written,
            syncs=load.syncs,
            staleness={"p50": spread.quantile(0.5), "p99": spread.quantile(0.99), "max": spread.greatest},
            longest_lookup=longest,
            lag=load.lag,
            errors=dict(sum((reader.errors for reader in readers), Counter())),
            write_errors=dict(load.refused),
            faults=dict(chaos.kinds),
            recoveries={"median": median(chaos.recoveries or [0.0]), "max": max(chaos.recoveries, default=0.0)},
            losses=dict(sum((Counter(s.feed_losses) for s in stats), Counter())),
            memory=usage["rss"],
            descriptors=usage["descriptors"],
            threads=usage["threads"],
            excused=self.history.excused,
            violations=self.checked.violations,
            shown=self.checked.shown,
            problems=problems,
        )

    def _usage(self) -> dict[str, Usage]:
        warm = int(min(_LONGEST_WARM_UP, self.seconds * _WARM_UP) / _CHECK_EVERY)
        kept = self.samples[warm:] or [sample()]
        return {name: Usage.of([getattr(one, name) for one in kept]) for name in Sample.__struct_fields__}
