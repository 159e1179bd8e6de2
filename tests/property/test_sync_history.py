"""The same random histories as `test_sync_plan`, on a real DuckDB and a real Valkey: Redis ends as the view."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprofile.config import RedisConfig
from tests.support.servers import Options, Server
from tests.support.sync import PREFIX, DuckDB, Syncing

KEYS = ("a", "b", "c", "é:🦊", "")
STEPS = ("begun", "snapshot", "prepared", "delivered", "failures", "logged", "finished")
VALUES = {"x": "INTEGER", "y": "VARCHAR", "z": "DOUBLE", "l": "INTEGER[]"}
LITERALS = {
    "x": ("NULL", "0", "1"),
    "y": ("NULL", "''", "'a'", "'\"'"),
    "z": ("NULL", "0.0", "-0.0", "1.5"),
    "l": ("NULL", "[]", "[1, NULL]"),
}

rows = st.tuples(
    st.sampled_from(KEYS), st.fixed_dictionaries({name: st.sampled_from(texts) for name, texts in LITERALS.items()})
)
edits = st.one_of(
    st.tuples(st.just("insert"), rows),
    st.tuples(st.just("replace"), rows),
    st.tuples(st.just("delete"), st.sampled_from(KEYS)),
    st.tuples(st.just("column"), st.sampled_from(sorted(VALUES))),
    st.tuples(st.just("mode"), st.sampled_from(["upsert", "mirror"])),
    st.tuples(st.just("poison"), st.sampled_from(KEYS[:2])),
)
runs = st.tuples(st.just("sync"), st.tuples(st.booleans(), st.none() | st.sampled_from(STEPS)))


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    with Server(Options(flavour="valkey")) as running:
        yield running


class History:
    def __init__(self, folder: Path, server: Server) -> None:
        server.reset()
        config = RedisConfig(address=server.address, cluster_mode=False)
        self.syncing = Syncing(DuckDB(folder / "warehouse.duckdb"), config, server)
        self.columns = ["x"]
        columns = ", ".join(f"{name} {kind}" for name, kind in VALUES.items())
        self.syncing.execute(f"CREATE TABLE people (email VARCHAR, {columns})")
        self.view()

    def view(self) -> None:
        self.syncing.execute(
            f"CREATE OR REPLACE VIEW features_by_email AS SELECT email, {', '.join(self.columns)} FROM people"  # noqa: S608
        )

    def apply(self, name: str, argument) -> None:
        if name in {"insert", "replace"}:
            key, values = argument
            if name == "replace":
                self.apply("delete", key)
            literals = ", ".join(values[one] for one in VALUES)
            self.syncing.execute(f"INSERT INTO people VALUES (nullif('{key}', ''), {literals})")  # noqa: S608
        elif name == "delete":
            self.syncing.execute(f"DELETE FROM people WHERE email IS NOT DISTINCT FROM nullif('{argument}', '')")  # noqa: S608
        elif name == "column":
            self.columns = sorted({*self.columns} ^ {argument}) or [argument]
            self.view()
        elif name == "mode":
            self.syncing.configure(mode=argument)
        elif name == "poison":
            self.syncing.server.command("SET", f"{PREFIX}{argument}", "not a hash", "NX")
        elif name == "sync":
            self.sync(*argument)

    def sync(self, full: bool, crash: str | None) -> None:
        def step(name: str) -> None:
            if name == crash:
                raise Killed

        try:
            self.syncing.sync(full=full, step=step)
        except Killed:
            pass
        else:
            self.heal()

    def heal(self) -> None:
        """Take the poison away, and let the failed rows be retried."""
        server = self.syncing.server
        for key in KEYS[:2]:
            if server.command("TYPE", f"{PREFIX}{key}") == b"string":
                server.command("DEL", f"{PREFIX}{key}")
        self.syncing.sync()
        self.check()

    def check(self) -> None:
        listed = ", ".join(self.columns)
        found = self.syncing.execute(f"SELECT email, {listed} FROM people")  # noqa: S608
        ids = [email for email, *_ in found]
        view = {
            email: dict(zip(self.columns, values, strict=True)) for email, *values in found if ids.count(email) == 1
        }
        view.pop(None, None)
        seen = self.syncing.traits()
        for email, row in view.items():
            assert {name: seen[email][name] for name in row} == row
        if self.syncing.config.mode == "mirror":
            assert set(seen) - set(view) <= {email for email in ids if ids.count(email) > 1}


@pytest.mark.limit(600)
@settings(max_examples=10 if settings().max_examples <= 100 else 300)
@given(steps=st.lists(st.one_of(edits, edits, runs), min_size=3, max_size=14))
def test_after_any_history_redis_equals_the_view(valkey, steps):
    with TemporaryDirectory() as folder:
        history = History(Path(folder), valkey)
        for name, argument in steps:
            history.apply(name, argument)
        history.sync(full=False, crash=None)
        before = history.syncing.writes()
        history.syncing.sync()
        assert history.syncing.writes() == before
