"""Plans and past runs as text for a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgeprofile.reverse_etl.preview import Preview

__all__ = ["plan_text", "status_text"]

_WIDTH = 200
_HEADINGS = ("to insert", "to update", "to delete", "unchanged", "set aside", "delivered", "failed", "seconds")
_UNTOLD = ("delivering", "died")
"""Of a run that did not get to say how far it came, nobody knows."""


def plan_text(previews: Iterable[Preview], notices: Sequence[str]) -> str:
    """Sources, views, keys, columns and mode."""
    parts = [_planned(one) for one in previews]
    return "\n".join([*parts, *(f"note: {notice}" for notice in notices), ""])


def _planned(one: Preview) -> str:
    columns = "\n".join(f"    {name}: {kind}" for name, kind in one.columns.items())
    lines = [
        f"{one.source}",
        f"  view     {one.view}, by {one.id_column}",
        f"  key      {one.key}",
        f"  field    {one.view}",
        f"  mode     {one.mode}",
        f"  next run {one.kind}: {one.reason}",
        f"  columns\n{columns}",
    ]
    if one.removed:
        lines.append(f"  gone     {', '.join(one.removed)} (stay on unchanged rows until these change, or --full)")
    if one.deletes:
        lines.append(f"  deletes  {one.deletes:,} of {one.known:,} rows")
    if one.refused:
        lines.append(f"  refused  {one.refused}")
    lines += [f"  note     {notice}" for notice in one.notices]
    return "\n".join(lines) + "\n"


def status_text(runs: Sequence[dict[str, Any]]) -> str:
    """The last runs, newest first."""
    if not runs:
        return "no sync has run yet\n"
    table = Table(box=None, pad_edge=False)
    for heading in ("started", "source", "run", "status", "kind", "why"):
        table.add_column(heading)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for row in runs:
        table.add_row(*_cells(row))
    out = io.StringIO()
    Console(file=out, width=_WIDTH).print(table)
    return out.getvalue() + "".join(f"{row['sync_run_id']}: {row['error']}\n" for row in runs if row["error"])


def _cells(row: dict[str, Any]) -> list[str]:
    counts = ("inserted", "updated", "deleted", "unchanged", "invalid", "delivered", "failed")
    unknown = {"delivered", "failed"} if row["status"] in _UNTOLD else set()
    ended = row["finished_at"]
    return [
        f"{row['started_at']:%Y-%m-%d %H:%M:%S}",
        f"{row['entity']} by {row['id_type']}",
        row["sync_run_id"],
        row["status"],
        row["sync_kind"] or "",
        row["reason"] or "",
        *("" if row[name] is None or name in unknown else f"{row[name]:,}" for name in counts),
        "" if ended is None else f"{(ended - row['started_at']).total_seconds():.1f}",
    ]
