"""Decide what a run does. Pure: what was is an argument, what is is an argument, and so is nothing else.

A run leaves a *snapshot*: every row of the view, and every key that may be in Redis without being in the view, each
with its operation. The next run reads from it what Redis holds, as one of three standings, and the whole of the
sync's correctness is in the two small tables below:

``standing_after``  what a snapshot's row says about Redis once its run has ended, well or not
``operation_for``   what is to be done about a key, given its standing and whether it is in the view now

The warehouse evaluates both as expressions generated from these very tables, over rows that never leave it.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

__all__ = [
    "DELIVERED",
    "EXPIRING",
    "NOT_FINITE",
    "Kind",
    "LastRun",
    "Mode",
    "Operation",
    "Plan",
    "Situation",
    "Standing",
    "make_plan",
    "operation_for",
    "standing_after",
]


class Mode(StrEnum):
    """What becomes of a row that left the view: it stays in Redis, or it goes."""

    UPSERT = "upsert"
    MIRROR = "mirror"


class Kind(StrEnum):
    """How much a run sends; a removal deletes, and does nothing else."""

    FULL = "full"
    INCREMENTAL = "incremental"
    REMOVAL = "removal"


class Operation(StrEnum):
    """What a run does about one key; the values of ``RUDDER_OPERATION_TYPE``."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    UNCHANGED = "unchanged"


class Standing(StrEnum):
    """What is known of a key in Redis."""

    KNOWN = "known"  # it holds exactly the values of the snapshot's row
    UNKNOWN = "unknown"  # it may be there, with whatever values
    ABSENT = "absent"  # nothing was ever written, or it was deleted


NOT_FINITE = ("infinity", "-infinity", "inf", "-inf", "nan")
"""How warehouses spell what is no place to go on from: nothing lies beyond it, or everything."""

EXPIRING = "expiring until"
"""Of a fingerprint: when the last key expires that left the view with a time to live that is no longer configured."""

DELIVERED: dict[Mode, tuple[Operation, ...]] = {
    Mode.UPSERT: (Operation.INSERT, Operation.UPDATE),
    Mode.MIRROR: (Operation.INSERT, Operation.UPDATE, Operation.DELETE),
}


def standing_after(operation: Operation, mode: Mode, *, completed: bool, failed: bool) -> Standing:
    """What a snapshot's row says about Redis, once its run has ended.

    ``completed``: the run went through all its rows. ``failed``: this row is among its failed keys.
    """
    if failed:
        return Standing.UNKNOWN
    if operation is Operation.UNCHANGED:
        return Standing.KNOWN
    if not completed or operation not in DELIVERED[mode]:
        return Standing.UNKNOWN
    return Standing.ABSENT if operation is Operation.DELETE else Standing.KNOWN


def operation_for(standing: Standing, *, in_view: bool, equal: bool, kind: Kind) -> Operation | None:
    """What is to be done about a key; ``None``: nothing, and it needs no place in the snapshot.

    ``equal``: its values in the view are those of the last snapshot, column by column.
    """
    if not in_view:
        return None if standing is Standing.ABSENT else Operation.DELETE
    if standing is Standing.ABSENT:
        return Operation.INSERT
    if standing is Standing.KNOWN and equal and kind is Kind.INCREMENTAL:
        return Operation.UNCHANGED
    return Operation.UPDATE


class LastRun(Struct, frozen=True, kw_only=True):
    """The last run of a connection whose data was prepared; ``completed``: it then went through all its rows.

    ``columns`` maps each trait's column to its type as the warehouse names it, ``fingerprint`` stands for the
    source's and the destination's configuration, ``checkpoint`` is the cursor's high-water mark (text) if there is
    one, ``renewed_at`` when the keys' time to live was last renewed by a full run (seconds since the epoch).
    """

    run_id: str
    mode: Mode
    completed: bool
    columns: dict[str, str]
    fingerprint: dict[str, str]
    checkpoint: str | None = None
    renewed_at: float = 0.0


class Situation(Struct, frozen=True, kw_only=True):
    """What is asked for now, at ``now`` seconds since the epoch; ``ttl`` in seconds, 0 for none.

    ``has_snapshot``: what the last run left is still in the warehouse.
    """

    mode: Mode
    columns: dict[str, str]
    fingerprint: dict[str, str]
    full_asked: bool = False
    cursor: str | None = None
    ttl: int = 0
    now: float = 0.0
    has_snapshot: bool = True


class Plan(Struct, frozen=True, kw_only=True):
    """What the run will do.

    ``baseline`` is the run whose snapshot (or checkpoint) it starts from; ``None`` the first time, and where that is
    gone. ``expiring_until``: keys may have a time to live until then, and those that are written are to have none; 0
    where there is nothing to take. ``compared`` are the columns that decide
    whether a row changed, empty for a full run. ``reasons`` say why this kind.
    """

    kind: Kind
    reasons: tuple[str, ...]
    columns: tuple[str, ...]
    compared: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    baseline: LastRun | None = None
    checkpoint: str | None = None
    expiring_until: float = 0.0

    @property
    def why(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons)


def make_plan(last: LastRun | None, now: Situation) -> Plan:
    """Decide between a full and an incremental run, and say why."""
    columns = tuple(now.columns)
    if last is None:
        return Plan(kind=Kind.FULL, reasons=("first sync of this connection",), columns=columns)
    removed = tuple(name for name in last.columns if name not in now.columns)
    reasons = tuple(_reasons_for_full(last, now))
    until = _expiring_until(last, now)
    if reasons:
        baseline = last if now.has_snapshot else None
        return Plan(
            kind=Kind.FULL, reasons=reasons, columns=columns, removed=removed, baseline=baseline, expiring_until=until
        )
    why = "changes since the last sync" if last.completed else "changes, and what a cancelled sync left undone"
    return Plan(
        kind=Kind.INCREMENTAL,
        reasons=(why,),
        columns=columns,
        compared=columns,
        removed=removed,
        baseline=last,
        checkpoint=last.checkpoint if now.cursor else None,
        expiring_until=until,
    )


def _expiring_until(last: LastRun, now: Situation) -> float:
    ttl = int(last.fingerprint.get("ttl", "0"))
    until = now.now + ttl if ttl else float(last.fingerprint.get(EXPIRING, "0"))
    return until if until > now.now and not now.ttl else 0.0


def _reasons_for_full(last: LastRun, now: Situation) -> list[str]:
    reasons = ["asked for"] if now.full_asked else []
    if not now.has_snapshot:
        unknown = now.mode is Mode.MIRROR
        reasons.append(f"the last snapshot is gone{', and with it which rows are to be deleted' if unknown else ''}")
    added = [name for name in now.columns if name not in last.columns]
    retyped = [name for name, kind in now.columns.items() if last.columns.get(name, kind) != kind]
    if added:
        reasons.append(f"new columns: {', '.join(added)}")
    if retyped:
        changes = (f"{name} ({last.columns[name]} to {now.columns[name]})" for name in retyped)
        reasons.append(f"changed types: {', '.join(changes)}")
    altered = [key for key in sorted({*last.fingerprint, *now.fingerprint} - {EXPIRING}) if _differs(last, now, key)]
    if altered:
        reasons.append(f"changed configuration: {', '.join(altered)}")
    if _is_nowhere(last.checkpoint, now):
        reasons.append(f"the checkpoint of {now.cursor} is {last.checkpoint}, beyond which no row is looked for")
    age = now.now - last.renewed_at
    if now.ttl and not 0 <= age < now.ttl / 2:  # less than 0: a clock was wrong, and nobody knows how old they are
        reasons.append("keys are renewed when half their ttl has passed")
    return reasons


def _is_nowhere(checkpoint: str | None, now: Situation) -> bool:
    """Whether a run left infinity as its checkpoint, as those of earlier versions did; of text it is a word."""
    is_text = now.cursor is None or now.columns.get(now.cursor) == "string"
    return checkpoint is not None and not is_text and checkpoint.lower() in NOT_FINITE


def _differs(last: LastRun, now: Situation, key: str) -> bool:
    return last.fingerprint.get(key) != now.fingerprint.get(key)
