"""What a figure works with: the settings of the run, servers, contenders, and the result that it fills."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import msgspec

from benchmarks import environments, rounds
from benchmarks.children import Absent, Child, ContenderFailed
from benchmarks.rounds import summary
from benchmarks.rows import Missing, Result, Row
from benchmarks.servers import Address

OURS = {"edgeprofile", "edgeprofile_pure", "sidecar"}  # contenders


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured; times in seconds."""

    mode: str
    entries: int
    rounds: int
    round_seconds: float
    http_rounds: int
    http_seconds: float
    events: int
    flood_seconds: float
    feed_rounds: int
    staleness_seconds: float


FULL = Settings(
    mode="full",
    entries=100_000,
    rounds=21,
    round_seconds=0.05,
    http_rounds=5,
    http_seconds=3.0,
    events=300_000,
    flood_seconds=6.0,
    feed_rounds=5,
    staleness_seconds=15.0,
)
QUICK = Settings(
    mode="quick",
    entries=10_000,
    rounds=15,
    round_seconds=0.02,
    http_rounds=3,
    http_seconds=1.0,
    events=100_000,
    flood_seconds=2.0,
    feed_rounds=3,
    staleness_seconds=4.0,
)


class Bench:
    """One figure being measured."""

    def __init__(self, settings: Settings, result: Result) -> None:
        self.settings = settings
        self.result = result

    @contextmanager
    def contenders(self, names: Sequence[str], task: str, **spec: Any) -> Iterator[dict[str, Child]]:
        """Start each in turn; yields those that could take part, and notes the others with their reasons."""
        with ExitStack() as stack:
            present: dict[str, Child] = {}
            for name in names:
                try:
                    present[name] = self.start(stack, name, task, **spec)
                except (Absent, ContenderFailed) as reason:
                    self.miss(title(name), str(reason), ours=_is_ours(name))
            yield present

    def start(self, stack: ExitStack, name: str, task: str, **spec: Any) -> Child:
        """Start one contender and wait until it is set up; ``module:task`` asks for another task than `task`.

        Raises:
            Absent: It cannot be installed, or cannot do this here.
            ContenderFailed: It failed.
        """
        name, _, own_task = name.partition(":")
        module = _module(name)
        python = environments.python_for(name, module.REQUIRES)
        child = stack.enter_context(Child(module.__name__, {**spec, "task": own_task or task}, python)).wait_ready()
        self.result.versions[module.TITLE] = child.versions
        return child

    @contextmanager
    def excusing(self, name: str) -> Iterator[None]:
        """Where a peer fails, go on without it, and note why; where one of ours does, do not."""
        try:
            yield
        except ContenderFailed as reason:
            if _is_ours(name):
                raise
            self.miss(title(name), str(reason))

    def add(self, *rows: Row) -> None:
        self.result.rows += rows

    def miss(self, contender: str, reason: str, *, ours: bool = False) -> None:
        self.result.missing.append(Missing(contender, reason, ours))

    def keep(self, name: str, values: Sequence[float]) -> None:
        """Keep the statistics of a contender's rounds for the report."""
        self.result.samples[name] = {**summary(values), "data": list(values)}

    def time_lookups(
        self, children: Mapping[str, Child], trace: str, *, most: int = 1_000_000, note: str = ""
    ) -> dict[str, list[float]]:
        """Interleaved rounds over that trace; seconds for one lookup, by contender and round."""
        settings = self.settings
        costs = rounds.seconds_per_lookup(
            children, trace, rounds=settings.rounds, seconds=settings.round_seconds, most=most
        )
        for name, values in costs.items():
            self.keep(f"{title(name)}, {note or trace}", values)
        return costs


def title(name: str) -> str:
    """What the report calls a contender."""
    module, _, task = name.partition(":")
    return f"{_module(module).TITLE}, {task}" if task else str(_module(module).TITLE)


def _is_ours(name: str) -> bool:
    return name.partition(":")[0] in OURS


def _module(name: str) -> Any:
    return import_module(f"benchmarks.contenders.{name}")


def server_spec(server: Address) -> dict[str, Any]:
    """What contenders are told about the server."""
    return {"server": server, "server_name": "valkey"}
