"""Whatever happens, Redis ends as the view: the planner's rules against a model in memory, by random histories.

The model is the whole sync reduced to dicts: a view, a Redis, and what the last runs left. Edits, new and dropped
columns, changed modes, crashes before and after the data is prepared, refused rows and forced full runs come in any
order; after every run that ends, Redis must equal the view.
"""

from dataclasses import dataclass, field

from hypothesis import event, given
from hypothesis import strategies as st

from edgeprofile.reverse_etl.plan import (
    DELIVERED,
    Kind,
    LastRun,
    Mode,
    Operation,
    Situation,
    Standing,
    make_plan,
    operation_for,
    standing_after,
)

KEYS = "abcd"
COLUMNS = "xyz"


@dataclass
class Snapshot:
    last: LastRun
    rows: dict[str, tuple[Operation, dict[str, int]]]
    failed: set[str]


@dataclass
class World:
    view: dict[str, dict[str, int]] = field(default_factory=dict)
    columns: list[str] = field(default_factory=lambda: ["x"])
    types: dict[str, str] = field(default_factory=lambda: dict.fromkeys(COLUMNS, "int64"))
    mode: Mode = Mode.UPSERT
    redis: dict[str, dict[str, int]] = field(default_factory=dict)
    left: Snapshot | None = None
    broken: set[str] = field(default_factory=set)
    writes: int = 0

    def rows(self) -> dict[str, dict[str, int]]:
        return {key: {name: row[name] for name in self.columns} for key, row in self.view.items()}

    def standing(self, key: str) -> Standing:
        if self.left is None or key not in self.left.rows:
            return Standing.ABSENT
        operation, _ = self.left.rows[key]
        last = self.left.last
        return standing_after(operation, last.mode, completed=last.completed, failed=key in self.left.failed)

    def sync(self, *, full: bool, crash_after: int | None) -> bool:
        """Run; ``crash_after`` deliveries, or before anything was prepared (-1). Whether the run ended."""
        now = Situation(
            mode=self.mode,
            columns={name: self.types[name] for name in self.columns},
            fingerprint={"mode": self.mode.value},
            full_asked=full,
        )
        plan = make_plan(self.left.last if self.left else None, now)
        event(plan.kind.value)
        rows = self.rows()
        snapshot: dict[str, tuple[Operation, dict[str, int]]] = {}
        for key in {*rows, *(self.left.rows if self.left else ())}:
            then = self.left.rows[key][1] if self.left and key in self.left.rows else {}
            equal = key in rows and all(rows[key][name] == then.get(name) for name in plan.compared)
            operation = operation_for(self.standing(key), in_view=key in rows, equal=equal, kind=plan.kind)
            if operation is not None:
                snapshot[key] = operation, rows.get(key, {})
        if crash_after == -1:
            return False
        last = LastRun(run_id="1", mode=self.mode, completed=False, columns=now.columns, fingerprint=now.fingerprint)
        self.left = Snapshot(last, snapshot, set())
        deliverable = [key for key in sorted(snapshot) if snapshot[key][0] in DELIVERED[self.mode]]
        for count, key in enumerate(deliverable):
            if count == crash_after:
                return False
            self.deliver(key, *snapshot[key])
        if crash_after is not None:
            return False
        self.left.last = LastRun(
            run_id="1", mode=self.mode, completed=True, columns=now.columns, fingerprint=now.fingerprint
        )
        return True

    def deliver(self, key: str, operation: Operation, row: dict[str, int]) -> None:
        self.writes += 1
        if key in self.broken:
            self.left.failed.add(key)
        elif operation is Operation.DELETE:
            self.redis.pop(key, None)
        else:
            self.redis[key] = row

    def check(self) -> None:
        rows = self.rows()
        for key in set(rows) - self.broken:
            seen = {name: value for name, value in self.redis[key].items() if name in self.columns}
            assert seen == rows[key]
        if self.mode is Mode.MIRROR:
            assert set(self.redis) - self.broken == set(rows) - self.broken


edits = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.sampled_from(COLUMNS), st.integers(0, 2)),
    st.tuples(st.just("remove"), st.sampled_from(KEYS)),
    st.tuples(st.just("column"), st.sampled_from(COLUMNS)),
    st.tuples(st.just("type"), st.sampled_from(COLUMNS)),
    st.tuples(st.just("mode"), st.sampled_from(Mode)),
    st.tuples(st.just("break"), st.sampled_from(KEYS)),
    st.tuples(st.just("heal")),
)
runs = st.tuples(st.just("sync"), st.booleans(), st.none() | st.integers(-1, 3))


def apply(world: World, name: str, *arguments) -> None:
    if name == "put":
        key, column, value = arguments
        world.view.setdefault(key, dict.fromkeys(COLUMNS, 0))[column] = value
    elif name == "remove":
        world.view.pop(*arguments, None)
    elif name == "column":
        (column,) = arguments
        world.columns = sorted({*world.columns} ^ {column}) or [column]
    elif name == "type":
        (column,) = arguments
        world.types[column] += "'"
    elif name == "mode":
        (world.mode,) = arguments
    elif name == "break":
        world.broken.add(*arguments)
    else:
        world.broken.clear()


@given(st.lists(st.one_of(edits, edits, runs), max_size=40))
def test_after_any_history_redis_equals_the_view(steps):
    world = World()
    for name, *arguments in steps:
        if name != "sync":
            apply(world, name, *arguments)
        elif world.sync(full=arguments[0], crash_after=arguments[1]):
            world.check()
    world.broken.clear()
    assert world.sync(full=False, crash_after=None)
    world.check()


@given(st.lists(st.one_of(edits, runs), max_size=20))
def test_a_run_after_a_run_writes_nothing(steps):
    """No change, no write. (A tombstone of upsert waits for the mirror, and is no write either.)"""
    world = World()
    for name, *arguments in steps:
        if name == "sync":
            world.sync(full=arguments[0], crash_after=arguments[1])
        else:
            apply(world, name, *arguments)
    world.broken.clear()
    world.sync(full=False, crash_after=None)
    before = world.writes
    world.sync(full=False, crash_after=None)
    assert world.writes == before


@given(st.lists(edits, max_size=10), st.integers(0, 3))
def test_a_cancelled_run_is_followed_by_an_incremental_one(steps, crash_after):
    world = World(view={"a": dict.fromkeys(COLUMNS, 1)})
    for name, *arguments in steps:
        apply(world, name, *arguments)
    if not world.sync(full=True, crash_after=crash_after):
        now = Situation(
            mode=world.mode,
            columns={name: world.types[name] for name in world.columns},
            fingerprint={"mode": world.mode.value},
        )
        assert make_plan(world.left.last, now).kind is Kind.INCREMENTAL
