"""A warehouse, a Redis and a feature view between them: what the tests of the reverse ETL work on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import duckdb

from edgeprofile.config import Destination, RedisConfig
from edgeprofile.reverse_etl.jobs import make_job
from edgeprofile.reverse_etl.project import Source
from edgeprofile.reverse_etl.settings import SyncConfig
from edgeprofile.reverse_etl.siteconfig import locate
from edgeprofile.reverse_etl.sync import Report, SourceSync
from edgeprofile.reverse_etl.warehouse import Warehouse
from tests.support.servers import Server

VIEW = "features_by_email"
PREFIX = "1Wsp:2Dest:user:email:"
SOURCE = Source("user", "email", (VIEW, f"user_{VIEW}"), "email", "pb_project.yaml:7")


class Store(Protocol):
    """A warehouse as a test sees it."""

    url: str

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last."""


@dataclass
class DuckDB:
    """A DuckDB file, opened for each statement, since it can be open in one process only."""

    path: Path

    @property
    def url(self) -> str:
        return f"duckdb://{self.path}"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            result = connection.execute(statement)
            return result.fetchall() if result.description else []


@dataclass
class Syncing:
    """One source, synced again and again.

    Attributes:
        stats: Reports of the runs, in order.
    """

    store: Store
    redis: RedisConfig
    server: Server
    config: SyncConfig = field(default_factory=SyncConfig)
    source: Source = SOURCE
    reports: list[Report] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.configure(warehouse=self.store.url)

    def configure(self, **changes: Any) -> None:
        options = {name: getattr(self.config, name) for name in self.config.__struct_fields__}
        self.config = SyncConfig(**{"retry_for": 5.0, "timeout": 5.0, **options, **changes})

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        return self.store.execute(statement)

    def sync(
        self,
        *,
        full: bool = False,
        allow_deletions: bool = False,
        step: Callable[[str], None] = lambda _name: None,
        observe: Callable[[Report, str], None] = lambda _report, _phase: None,
        clock: Callable[[], float] | None = None,
    ) -> Report:
        destination = Destination(id="2Dest", workspace_id="1Wsp", config=self.redis)
        config = self.config
        warehouse = Warehouse(
            locate(config, None), view_schema=config.schema, state_schema=config.state_schema, memory=256 << 20
        )
        with warehouse.open() as session:
            job = make_job(session, self.source, self.config, destination)
            run = SourceSync(session, self.config, self.redis, observe, step=step)
            if clock is not None:
                run = replace(run, clock=clock)
            report = run.run(job, full=full, allow_deletions=allow_deletions)
        self.reports.append(report)
        return report

    def profiles(self, prefix: str = PREFIX) -> dict[str, dict[str, Any]]:
        """What stands in Redis: id value to model to traits."""
        keys = [key.decode() for key in self.server.command("KEYS", f"{prefix}*")]
        return {key.removeprefix(prefix): self.profile(key) for key in keys}

    def profile(self, key: str) -> dict[str, Any]:
        flat = self.server.command("HGETALL", key)
        return {name.decode(): json.loads(text) for name, text in zip(flat[::2], flat[1::2], strict=True)}

    def traits(self) -> dict[str, Any]:
        """Id value to the traits of the one model."""
        return {identity: models[VIEW] for identity, models in self.profiles().items() if VIEW in models}

    def writes(self) -> int:
        """How many write commands the server has executed since its last reset."""
        stats = self.server.info("commandstats")
        names = ("hset", "hdel", "expire", "persist", "del")
        return sum(
            int(stats[f"cmdstat_{name}"].split(",")[0].split("=")[1]) for name in names if f"cmdstat_{name}" in stats
        )

    def table(self, start: str, run: Report) -> str:
        """The quoted name of a state table of a run."""
        return f'_rudderstack."{start}_{run.connection_id}_{run.sync_run_id}"'
