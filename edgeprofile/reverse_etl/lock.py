"""One run of a connection at a time: a claim in the warehouse that lives exactly as long as the run.

A contender enters its claim and then looks at all of them. Another that is alive refuses it, so of two that come at
the same moment at most one runs. A claim is alive while its process is, where that can be seen from here, and
elsewhere while its heartbeat is fresh by the warehouse's own clock.

A process can be stopped for longer than that (a paused container, a machine that sleeps) and go on unaware that its
claim was taken for dead. So the run asks its claim before each write: without a beat that was confirmed within the last
minute, while others wait for a minute and a half, it ends.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import msgspec
import sqlglot.expressions as sge

from edgeprofile.reverse_etl.errors import LockLost, SyncRefused, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgeprofile.reverse_etl.warehouse import Session

__all__ = ["Claim", "Lock", "Owner", "this_process"]

logger = logging.getLogger("edgeprofile.sync")

LOCKS = "SYNC_LOCKS"
_COLUMNS = {
    "connection_id": "string",
    "owner": "string",
    "host": "string",
    "boot_id": "string",
    "pid": "int64",
    "process_start": "string",
    "beat_at": "timestamp('UTC')",
}
_HELD: set[str] = set()
"""The claims that this process holds or contends for: of its own, it knows better than any heartbeat."""

_BEAT_EVERY = 15.0
_CONFIRMED_WITHIN = 60.0
_DEAD_AFTER = 90.0
_DEAD_STATES = {"Z", "X"}  # of /proc/PID/stat
_ATTEMPTS = 3


class Owner(msgspec.Struct, frozen=True):
    """A process, told apart from any other that ever had its id."""

    host: str
    boot_id: str
    pid: int
    process_start: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Owner:
    """The process we are in; its boot is told apart by the namespace of its id, too, since containers share the boot."""
    return Owner(socket.gethostname(), _boot_id() + _pid_namespace(), os.getpid(), _process_start(os.getpid()) or "")


def is_alive(owner: Owner, silent_for: float, here: Owner) -> bool:
    """Whether a claim's process still runs; ``silent_for``: seconds since its last heartbeat."""
    if (owner.host, owner.boot_id) == (here.host, here.boot_id):
        return _process_start(owner.pid) == owner.process_start
    return silent_for < _DEAD_AFTER


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def _pid_namespace() -> str:
    try:
        return f" {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _now() -> float:
    """Seconds that go on while the machine sleeps, where it can tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _process_start(pid: int) -> str | None:
    """Something that differs between two processes of the same id; ``None`` where there is none, or one that nobody reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        state, *others = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return None if state in _DEAD_STATES else others[18]


class Claim:
    """One run's claim, as far as its heartbeat knows. ``clock`` gives seconds."""

    def __init__(self, token: str, clock: Callable[[], float] = _now) -> None:
        self.token = token
        self.clock = clock
        self._confirmed_at = clock()
        self._is_gone = False

    def confirm(self, asked_at: float, *, is_there: bool) -> None:
        """What a beat found that was sent at ``asked_at``."""
        if is_there:
            self._confirmed_at = asked_at
        else:
            self._is_gone = True

    def check(self) -> None:
        """Raise ``LockLost`` where another run may have begun."""
        silent = self.clock() - self._confirmed_at
        if self._is_gone:
            raise LockLost("another run took this one for dead, and its lock from it; what it did not send, others do")
        if silent > _CONFIRMED_WITHIN:
            raise LockLost(
                f"the lock was last confirmed {silent:.0f} s ago (this process was stopped, or the warehouse away), so "
                "another run may have begun; what was not sent, the next one sends"
            )


class Lock:
    """The claims of one warehouse. ``session`` is used by the caller only, the heartbeat has one of its own."""

    def __init__(
        self, session: Session, *, here: Owner | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._session = session
        self._fold = session.dialect.fold
        self._here = here or this_process()
        self._sleep = sleep

    def ensure(self) -> None:
        """Make the table where it does not exist."""
        self._session.ensure(LOCKS, {self._fold(column): kind for column, kind in _COLUMNS.items()})

    @contextmanager
    def held(self, connection_id: str) -> Iterator[Claim]:
        """Hold the connection's lock. Raises ``SyncRefused`` where another run is alive."""
        token = self._claim(connection_id)
        claim = Claim(token)
        try:
            with self._heartbeat(claim):
                yield claim
        finally:
            _HELD.discard(token)
            self._release(token)

    def _release(self, token: str) -> None:
        """A claim that cannot be removed does no harm: nobody holds it any more."""
        statement = sge.delete(self._table, self._column("owner").eq(token))
        try:
            self._session.revive()
            self._session.run(statement)
        except WarehouseError:
            logger.warning("the lock's claim could not be removed; the next run will do it")

    def _claim(self, connection_id: str) -> str:
        for attempt in range(_ATTEMPTS):
            token = uuid.uuid4().hex
            _HELD.add(token)
            living: Owner | None = None
            try:
                self._enter(connection_id, token)
                living = self._living(connection_id, token)
                if living is None:
                    return token
            except BaseException:
                _HELD.discard(token)
                raise
            _HELD.discard(token)
            self._release(token)
            if attempt < _ATTEMPTS - 1:
                self._sleep(random.uniform(0.05, 0.3))  # noqa: S311  # two at the same moment must not meet again
        raise SyncRefused(
            f"a sync of this connection is running ({living}); it is refused until that one has ended",
            owner=str(living),
        )

    def _enter(self, connection_id: str, token: str) -> None:
        here = self._here
        values = (connection_id, token, here.host, here.boot_id, here.pid, here.process_start)
        row = (*(sge.convert(value) for value in values), sge.CurrentTimestamp())
        columns = [sge.to_identifier(self._fold(one), quoted=True) for one in _COLUMNS]
        self._session.run(sge.insert(sge.values([row]), into=self._table, columns=columns))

    def _living(self, connection_id: str, mine: str) -> Owner | None:
        """Another claim's owner that is alive; the dead ones' claims are removed."""
        for claim in self._others(connection_id, mine):
            owner = msgspec.convert({name: claim[name] for name in Owner.__struct_fields__}, Owner)
            silent_for = float(claim["silent_for"])
            if claim["owner"] in _HELD if owner == self._here else is_alive(owner, silent_for, self._here):
                return owner
            self._release(claim["owner"])
        return None

    def _others(self, connection_id: str, mine: str) -> list[dict[str, Any]]:
        table = self._session.table(LOCKS).rename({column: self._fold(column) for column in _COLUMNS})
        others = table.filter(table["connection_id"] == connection_id, table["owner"] != mine)
        silent = _epoch(ibis.now()) - _epoch(others["beat_at"].cast("timestamp"))
        return self._session.rows(others.mutate(silent_for=silent))

    @contextmanager
    def _heartbeat(self, claim: Claim) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._beat, args=(claim, stop), name="edgeprofile-sync-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _beat(self, claim: Claim, stop: threading.Event) -> None:
        """A missed beat is made up by the next one; there are six before anybody takes the claim for dead."""
        while not stop.wait(_BEAT_EVERY):
            try:
                with self._session.sibling() as session:
                    self.beat(claim, session)
            except Exception as error:  # noqa: BLE001  # a thread that ends here would end the run, whatever the reason
                logger.warning("a heartbeat of the lock failed: %s", type(error).__name__)

    def beat(self, claim: Claim, session: Session) -> None:
        """Say that the run is alive, and see that its claim still stands."""
        asked_at = claim.clock()
        mine = self._column("owner").eq(claim.token)
        beat_at = sge.EQ(this=self._column("beat_at"), expression=sge.CurrentTimestamp())
        session.run(sge.Update(this=self._table, expressions=[beat_at], where=sge.Where(this=mine)))
        table = session.table(LOCKS)
        claim.confirm(
            asked_at, is_there=bool(session.rows(table.filter(table[self._fold("owner")] == claim.token).limit(1)))
        )

    @property
    def _table(self) -> sge.Table:
        return sge.table_(LOCKS, db=self._session.warehouse.state_schema, quoted=True)

    def _column(self, name: str) -> sge.Column:
        return sge.column(self._fold(name), quoted=True)


def _epoch(when: Any) -> Any:
    return when.epoch_seconds().cast("float64")
