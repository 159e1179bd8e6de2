"""The ``[sync]`` section of the configuration."""

from typing import Literal

from edgeprofile.errors import ConfigurationError
from edgeprofile.options import Count, Duration, FilePath, Fraction, Section, Size

__all__ = ["SourceConfig", "SyncConfig"]


class SourceConfig(Section, frozen=True, kw_only=True):
    """What is different for one feature view, named by its entity and id type.

    Attributes:
        entity: The entity's name, as in `pb_project.yaml`.
        id: The id type by which the view is looked up.
        mode: Instead of the section's `mode`.
        ttl: Instead of the section's `ttl`.
        cursor_column: A column that only grows with each change of a row; later syncs then read only the rows beyond
            the highest value seen, instead of comparing every column. Not with `mode = "mirror"`.
        max_deleted_share: Instead of the section's `maxDeletedShare`.
    """

    entity: str
    id: str
    mode: Literal["upsert", "mirror"] | None = None
    ttl: Duration | None = None
    cursor_column: str = ""
    max_deleted_share: Fraction | None = None


class SyncConfig(Section, frozen=True, kw_only=True):
    """From the warehouse to Redis.

    Attributes:
        project: Folder of the Profiles project, which holds `pb_project.yaml`.
        warehouse: An ibis URL, or the name of a connection in Profiles' `siteconfig.yaml`; empty: the one that the
            project names.
        siteconfig: Where Profiles keeps its connections; empty: `~/.pb/siteconfig.yaml`.
        schema: Schema of the feature views; empty: the connection's own.
        state_schema: Schema for snapshots, state and logs; empty: the RudderStack schema of that warehouse.
        destination: Id of the Redis destination; empty: the only one configured.
        mode: `"upsert"` leaves a row that left the view in Redis, as RudderStack does; `"mirror"` deletes it.
        max_deleted_share: The share of a view's rows that a run in mirror mode may delete; beyond it (and beyond 100
            rows) the run stops before it sends anything, unless it is given `--allow-deletions`. 1: no limit.
        default_view: Whether the entities' default views (by main id) are synced too.
        ttl: Time to live of the keys; 0s: none. Renewed for all keys when half of it has passed.
        max_writes_per_second: Limit of the delivery; 0: none.
        batch_bytes: How much is sent before its replies are awaited.
        batch_rows: How many rows are taken from the warehouse at a time.
        retry_for: How long one batch is tried again, with growing pauses, before the run stops.
        timeout: How long a reply of Redis may take.
        warehouse_memory: Memory for an embedded DuckDB; beyond it, it works on disk.
        sync_log: Which rows are written to `SYNC_LOG`: `"all"` that were sent, only the `"failed"`, or none (`"off"`).
        log_retention: How long logs and runs are kept.
        snapshot_retention: How many snapshots are kept for each connection.
        sources: What is different for single feature views.
    """

    project: FilePath = "."
    warehouse: str = ""
    siteconfig: FilePath = ""
    schema: str = ""
    state_schema: str = ""
    destination: str = ""
    mode: Literal["upsert", "mirror"] = "upsert"
    max_deleted_share: Fraction = 0.5
    default_view: bool = False
    ttl: Duration = 0.0
    max_writes_per_second: int = 0
    batch_bytes: Size = 1 << 20
    batch_rows: Count = 16_384
    retry_for: Duration = 60.0
    timeout: Duration = 30.0
    warehouse_memory: Size = 512 << 20
    sync_log: Literal["all", "failed", "off"] = "all"
    log_retention: Duration = 30 * 86_400.0
    snapshot_retention: Count = 5
    sources: tuple[SourceConfig, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no run could honour. Raises `ConfigurationError`."""
        if self.max_writes_per_second < 0:
            raise ConfigurationError("must be 0 (no limit) or more", option="sync.maxWritesPerSecond")
        for index, source in enumerate(self.sources):
            if source.cursor_column and (source.mode or self.mode) == "mirror":
                raise ConfigurationError(
                    'cannot go with mode = "mirror": beyond the cursor nobody sees which rows are gone',
                    option=f"sync.sources[{index}].cursorColumn",
                )

    def for_source(self, entity: str, id_type: str) -> SourceConfig:
        """What holds for one feature view, the section's own values filled in."""
        named = next((one for one in self.sources if (one.entity, one.id) == (entity, id_type)), None)
        return SourceConfig(
            entity=entity,
            id=id_type,
            mode=(named and named.mode) or self.mode,
            ttl=self.ttl if named is None or named.ttl is None else named.ttl,
            cursor_column=named.cursor_column if named else "",
            max_deleted_share=named.max_deleted_share if named else None,
        )
