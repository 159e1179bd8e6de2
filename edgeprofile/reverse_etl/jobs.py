"""One source made concrete: the view found, its columns, the keys it fills, and what identifies the connection."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from edgeprofile.keys import Layout
from edgeprofile.reverse_etl.commands import Target
from edgeprofile.reverse_etl.errors import WarehouseError
from edgeprofile.reverse_etl.expressions import OPERATION
from edgeprofile.reverse_etl.plan import EXPIRING, Kind, Mode, Plan, Situation, make_plan

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from edgeprofile.config import Destination
    from edgeprofile.reverse_etl.plan import LastRun
    from edgeprofile.reverse_etl.project import Source
    from edgeprofile.reverse_etl.settings import SyncConfig
    from edgeprofile.reverse_etl.warehouse import Session

__all__ = ["Job", "connection_id_of", "fingerprint_of", "make_job", "target_of"]

_LEFT_OUT_OF_DEFAULT = "valid_at"  # the run's own time: with it, every row would change with every run


@dataclass(frozen=True, slots=True)
class Job:
    """One source, ready to be synced. ``traits`` are its columns but the id, and their types in the warehouse.

    A removal has no view: it takes what earlier runs left, which is looked for when no other run is alive.
    """

    source: Source
    view: ir.Table | None
    id_column: str
    traits: dict[str, dt.DataType]
    mode: Mode
    cursor: str
    target: Target
    json_mode: bool
    fingerprint: dict[str, str]
    connection_id: str
    max_deleted_share: float
    notices: tuple[str, ...]

    @property
    def columns(self) -> dict[str, str]:
        """The traits and their types, as text; what a type forbids (nulls, longer text) is no part of it."""
        return {
            name: "string" if kind.is_string() else str(kind.copy(nullable=True)) for name, kind in self.traits.items()
        }

    def plan(self, last: LastRun | None, *, full_asked: bool, now: float, has_snapshot: bool = True) -> Plan:
        """What a run would do at ``now``, seconds since the epoch."""
        if self.view is None:
            return Plan(kind=Kind.REMOVAL, reasons=("asked for",), columns=(), baseline=last)
        situation = Situation(
            mode=self.mode,
            columns=self.columns,
            fingerprint=self.fingerprint,
            full_asked=full_asked,
            cursor=self.cursor or None,
            ttl=self.target.ttl,
            now=now,
            has_snapshot=has_snapshot,
        )
        return make_plan(last, situation)

    def under(self, plan: Plan) -> Job:
        """The job as a plan has it done."""
        if not plan.expiring_until:
            return self
        target = msgspec.structs.replace(self.target, persist=True)
        return replace(self, target=target, fingerprint={**self.fingerprint, EXPIRING: str(plan.expiring_until)})


def make_job(session: Session, source: Source, config: SyncConfig, destination: Destination) -> Job:
    """Find the source's view and say where its rows go. Raises ``WarehouseError`` where there is none to be synced."""
    own = config.for_source(source.entity, source.id_type)
    model, view = _found(session, source)
    _refuse_operation(view, model)
    id_column = _column(view, source.id_column, model)
    traits = {name: kind for name, kind in view.schema().items() if name != id_column}
    if source.is_default:
        traits = {name: kind for name, kind in traits.items() if name.lower() != _LEFT_OUT_OF_DEFAULT}
    _refuse_geometry(traits, model)
    target = target_of(destination, source, model, int(own.ttl or 0))
    mode = Mode(own.mode or config.mode)
    cursor = _cursor(view, own.cursor_column, model, traits) if own.cursor_column else ""
    missing = [name for name in source.included if name.lower() not in {one.lower() for one in view.columns}]
    notices = (f"{source.place}: the view {model} has no column {', '.join(missing)}",) if missing else ()
    return Job(
        source=source,
        view=view,
        id_column=id_column,
        traits=traits,
        mode=mode,
        cursor=cursor,
        target=target,
        json_mode=destination.config.use_json_module,
        fingerprint=fingerprint_of(destination, mode=mode, ttl=target.ttl, cursor=cursor, id_column=id_column),
        connection_id=connection_id_of(destination, source.entity, source.id_type, model),
        max_deleted_share=config.max_deleted_share if own.max_deleted_share is None else own.max_deleted_share,
        notices=notices,
    )


def target_of(destination: Destination, source: Source, model: str, ttl: int = 0) -> Target:
    """Where a source's rows go."""
    layout = Layout(destination.workspace_id, destination.id)
    return Target(layout.key(source.entity, source.id_type, "x").decode()[:-1], model, ttl)


def fingerprint_of(destination: Destination, *, mode: Mode, ttl: int, cursor: str, id_column: str) -> dict[str, str]:
    """What of the configuration makes a run full when it has changed."""
    redis = destination.config
    return {
        "mode": mode.value,
        "ttl": str(ttl),
        "cursorColumn": cursor,
        "id column": id_column,
        "destination": f"{redis.address}/{redis.db}",
        "useJSONModule": str(redis.use_json_module),
    }


def connection_id_of(destination: Destination, entity: str, id_type: str, model: str) -> str:
    """The same in every run and on every machine."""
    identity = f"{destination.workspace_id}\x00{destination.id}\x00{entity}\x00{id_type}\x00{model}"
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _found(session: Session, source: Source) -> tuple[str, ir.Table]:
    found = session.find_view(source.views)
    if found is None:
        where = f" in schema {session.warehouse.view_schema}" if session.warehouse.view_schema else ""
        raise WarehouseError(
            f"{source.place}: the warehouse has no view {' or '.join(source.views)}{where}: "
            "a Profiles run must have succeeded (`pb run`), and its schema must be the one of `sync.schema`"
        )
    return found


def _refuse_operation(view: ir.Table, model: str) -> None:
    found = next((name for name in view.columns if name.lower() == OPERATION.lower()), None)
    if found is not None:
        raise WarehouseError(
            f"the view {model} has a column {found}, which is the name of the operation in the sync's own snapshots; "
            "give it another name in the project, or exclude it from the view"
        )


def _refuse_geometry(traits: dict[str, dt.DataType], model: str) -> None:
    found = [f"{name} ({kind})" for name, kind in traits.items() if kind.is_geospatial()]
    if found:
        raise WarehouseError(
            f"the view {model} has geometry, which no JSON value is defined for: {', '.join(found)}; "
            "turn it into text in the project, or exclude it from the view"
        )


def _cursor(view: ir.Table, name: str, model: str, traits: dict[str, dt.DataType]) -> str:
    found = _column(view, name, model)
    if found not in traits:
        raise WarehouseError(f"the view {model}: cursorColumn must be one of its traits, which {found} is not")
    return found


def _column(view: ir.Table, name: str, model: str) -> str:
    found = [column for column in view.columns if column.lower() == name.lower()]
    exact = name if name in view.columns else next(iter(found), None)
    if exact is None:
        raise WarehouseError(f"the view {model} has no column {name}; it has: {', '.join(view.columns)}")
    return exact
