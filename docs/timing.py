"""Write the timing diagram into docs/coherence.md: a run of the machine itself, with what it said to each step.

``python -m docs.timing``; with ``--check`` nothing is written, and the exit code is 1 if something would be.
"""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docs.blocks import bring
from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import Authority
from edgeprofile.core.keeper import Found, Identity, Keeper, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprofile.core.fills import Fill

PAGE = Path(__file__).resolve().parent / "coherence.md"
BOUND = 1.0
ADA = Identity("2Dest", "user", "email", "ada", (b"1Wsp:2Dest:user:email:ada",))

_WIDTH = 29


class Lane(enum.Enum):
    """Where a step happens: on its way between two of process, Redis and feed, or at one of them."""

    ASKED = "process to Redis"
    ANSWERED = "Redis to process"
    SUBSCRIBED = "feed to Redis"
    TOLD = "Redis to feed"
    PROCESS = "process"
    REDIS = "Redis"


def main(arguments: list[str]) -> int:
    """Bring the page up to date, or look whether it is."""
    return bring(PAGE, {"timing": diagram()}, check="--check" in arguments)


def diagram() -> str:
    """One epoch, from its subscription to the end of its lease."""
    story = Story()
    for milliseconds, lane, what, act in (*story.beginning(), *story.poisoning(), *story.proof(), *story.ending()):
        story.step(milliseconds, lane, what, act)
    head = f"   ms  process{' ' * (_WIDTH - 8)}Redis{' ' * (_WIDTH - 4)}feed   the machine"
    return "\n".join(["```text", head, *story.lines, "```"]) + "\n"


Step = tuple[int, Lane, str, "Callable[[], str]"]


class Story:
    """Drives what guards the profiles of one node, and draws each step with what followed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._now = 0.0
        self._authority = Authority(BOUND)
        cache = ProfileCache(1 << 20, clock=lambda: self._now)
        self._keeper = Keeper(cache, Policy(300.0, 30.0, BOUND), self._authority)
        self._fill: Fill | None = None

    def step(self, milliseconds: int, lane: Lane, what: str, act: Callable[[], str]) -> None:
        """Let something happen, and draw it."""
        self._now = milliseconds / 1000
        before = self._state()
        outcome = act()
        changes = [text for text, was in zip(self._state(), before, strict=True) if text != was]
        said = "; ".join(filter(None, (outcome, *changes)))
        self.lines.append(f"{milliseconds:>5}  {_drawn(lane, what)}   {said}".rstrip())

    def beginning(self) -> list[Step]:
        """An epoch opens; nothing is kept under its lease before the first proof."""
        return [
            (0, Lane.SUBSCRIBED, "subscribe", _quietly(self._authority.connected)),
            (2, Lane.TOLD, "acknowledged", _quietly(self._authority.subscribed)),
            (5, Lane.ASKED, "heartbeat 1", self._beat),
            (7, Lane.TOLD, "event of heartbeat 1", self._seen),
            (9, Lane.ANSWERED, "1", lambda: self._answered(1)),
        ]

    def poisoning(self) -> list[Step]:
        """A reply that left Redis before a write, and came after its event."""
        return [
            (100, Lane.ASKED, "read ada", self._begin),
            (101, Lane.REDIS, "reads version 1", _nothing),
            (102, Lane.REDIS, "ada becomes version 2", _nothing),
            (103, Lane.TOLD, "event of ada", self._changed),
            (105, Lane.ANSWERED, "version 1", lambda: self._store(b'{"version":1}')),
            (110, Lane.ASKED, "read ada", self._begin),
            (112, Lane.ANSWERED, "version 2", lambda: self._store(b'{"version":2}')),
        ]

    def proof(self) -> list[Step]:
        """The next heartbeat, sent at s = 255, comes back twice."""
        return [
            (255, Lane.ASKED, "heartbeat 2, s = 255", self._beat),
            (257, Lane.ANSWERED, "2", lambda: self._answered(2)),
            (259, Lane.TOLD, "events of earlier writes", _nothing),
            (260, Lane.TOLD, "event of heartbeat 2", self._seen),
        ]

    def ending(self) -> list[Step]:
        """The feed hangs: nothing says so, and nothing has to."""
        return [
            (505, Lane.ASKED, "heartbeat 3", self._beat),
            (507, Lane.ANSWERED, "3", lambda: self._answered(3)),
            (1254, Lane.PROCESS, "a lookup of ada", self._find),
            (1255, Lane.PROCESS, "a lookup of ada", self._find),
            (2600, Lane.PROCESS, "the feed is given up", _quietly(self._keeper.lost)),
        ]

    def _state(self) -> tuple[str, str]:
        lease = (
            f"watermark {self._authority.watermark * 1000:.0f}, lease until {self._authority.lease.until * 1000:.0f}"
        )
        return self._authority.phase.value, lease if self._authority.lease.until else "no lease"

    def _beat(self) -> str:
        return "" if self._authority.beat(self._now) else "not now"

    def _seen(self) -> str:
        return self._halves(same=self._authority.beat_seen())

    def _answered(self, value: int) -> str:
        return self._halves(same=self._authority.beat_answered(value))

    def _halves(self, *, same: bool) -> str:
        if not same:
            return "the epoch ends"
        return "" if self._authority.outstanding is None else "half of a proof"

    def _begin(self) -> str:
        self._fill = self._keeper.begin(ADA, self._now)
        return "its token is registered"

    def _changed(self) -> str:
        poisoned = self._keeper.poisoned
        self._keeper.changed([ADA[:4]], ADA.keys[0])
        return "the token is poisoned" if self._keeper.poisoned > poisoned else "the entry is dropped"

    def _store(self, raw: bytes) -> str:
        assert self._fill is not None  # noqa: S101 (a fetch was begun before)
        kept = self._keeper.store(self._fill, Found(raw), self._now)
        return "kept under the lease" if kept else "answers who waited, is not kept"

    def _find(self) -> str:
        entry = self._keeper.find(ADA, self._now)
        return f"a hit: {entry.raw.decode()}" if entry is not None and entry.raw else "no hit: the lease is over"


def _quietly(act: Callable[[], None]) -> Callable[[], str]:
    return lambda: act() or ""


def _nothing() -> str:
    return ""


def _drawn(lane: Lane, what: str) -> str:
    """The three lifelines, with an arrow between two of them or a mark on one."""
    blank = " " * _WIDTH
    there = f"── {what} ".ljust(_WIDTH - 1, "─") + "▶"
    back = "◀" + f"── {what} ".ljust(_WIDTH - 1, "─")
    return {
        Lane.ASKED: f"├{there}│{blank}│",
        Lane.ANSWERED: f"│{back}┤{blank}│",
        Lane.TOLD: f"│{blank}├{there}│",
        Lane.SUBSCRIBED: f"│{blank}│{back}┤",
        Lane.PROCESS: f"●{f' {what}'.ljust(_WIDTH)}│{blank}│",
        Lane.REDIS: f"│{blank}●{f' {what}'.ljust(_WIDTH)}│",
    }[lane]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
