"""What a server's INFO betrays about changes that no event tells of: restarts, flushes, swaps."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Fingerprint", "fingerprint"]

_SILENT_COMMANDS: Final = ("flushall", "flushdb", "swapdb", "debug", "replicaof", "slaveof")


class Fingerprint(NamedTuple):
    """Equal as long as the server is the same run and nobody flushed or swapped its data."""

    run_id: str
    role: str
    silent_calls: tuple[int, ...]


def fingerprint(info: str) -> Fingerprint:
    """The fingerprint in the text of ``INFO server``, ``INFO replication`` and ``INFO commandstats``, in any order."""
    lines = dict(line.partition(":")[::2] for line in info.splitlines() if ":" in line)
    calls = tuple(_calls(lines.get(f"cmdstat_{command}", "")) for command in _SILENT_COMMANDS)
    return Fingerprint(lines.get("run_id", ""), lines.get("role", ""), calls)


def _calls(line: str) -> int:
    """The count in ``calls=3,usec=…``; sub-commands have lines of their own and do not matter here."""
    number = line.partition("calls=")[2].partition(",")[0]
    return int(number) if number.isdigit() else 0
