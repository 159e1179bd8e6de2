"""The same random histories as `test_sync_plan`, on a real DuckDB and a real Valkey: Redis ends as the view.

With JSON documents the server is fakeredis behind a real socket, and other members of a document stay.

Rows go out one by one, so that a crash finds some of them delivered and others not. With a cursor, the time of the
edits often stands still, so that rows come to stand at a checkpoint that a run has seen.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprofile.config import RedisConfig
from edgeprofile.reverse_etl.settings import SourceConfig
from tests.support.json_server import JsonServer
from tests.support.servers import Options, Server
from tests.support.sync import PREFIX, VIEW, DuckDB, Syncing

KEYS = ("a", "b", "c", "é:🦊", "")
STEPS = ("begun", "snapshot", "prepared", "delivered", "failures", "logged", "finished")
VALUES = {"x": "INTEGER", "_x": "INTEGER", "_key": "VARCHAR", "y": "VARCHAR", "z": "DOUBLE", "l": "INTEGER[]"}
LITERALS = {
    "x": ("NULL", "0", "1"),
    "_x": ("NULL", "0", "1"),
    "_key": ("NULL", "'a'"),
    "y": ("NULL", "''", "'a'", "'\"'"),
    "z": ("NULL", "0.0", "-0.0", "1.5", "'NaN'"),
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
crashes = st.tuples(st.sampled_from((*STEPS, "delivered", "delivered")), st.integers(1, 4))
runs = st.tuples(st.just("sync"), st.tuples(st.booleans(), st.none() | crashes))
ticks = st.tuples(st.just("tick"), st.none())


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    with Server(Options(flavour="valkey")) as running:
        yield running


class Documents(JsonServer):
    """With what a history asks of its server."""

    def command(self, *args):
        with self.client() as client:
            return client.execute_command(*args)

    def reset(self) -> None:
        self.command("FLUSHALL")


@pytest.fixture(scope="module")
def documents() -> Iterator[Documents]:
    with Documents() as running:
        yield running


class History:
    """``variant``: with a ``cursor``, with a ``ttl``, or ``plain``; ``is_json``: its server holds documents."""

    def __init__(self, folder: Path, server: Server | Documents, variant: str, *, is_json: bool = False) -> None:
        server.reset()
        self.variant = variant
        self.is_json = is_json
        self.shared: set[str] = set()
        self.time = 0
        config = RedisConfig(address=server.address, cluster_mode=False, use_json_module=is_json)
        self.syncing = Syncing(DuckDB(folder / "warehouse.duckdb"), config, server)
        self.syncing.configure(batch_rows=1, batch_bytes=64)
        if variant == "ttl":
            self.syncing.configure(ttl=1_000.0)
        if variant == "cursor":
            self.syncing.configure(sources=(SourceConfig(entity="user", id="email", cursor_column="changed"),))
        self.columns = ["x"]
        columns = ", ".join(f"{name} {kind}" for name, kind in VALUES.items())
        self.syncing.execute(f"CREATE TABLE people (email VARCHAR, changed INTEGER, {columns})")
        self.view()

    def view(self) -> None:
        self.syncing.execute(
            f"CREATE OR REPLACE VIEW features_by_email AS SELECT email, {self.listed} FROM people"  # noqa: S608
        )

    @property
    def listed(self) -> str:
        return ", ".join([*(["changed"] if self.variant == "cursor" else []), *self.columns])

    def apply(self, name: str, argument) -> None:
        if name in {"insert", "replace"}:
            key, values = argument
            if name == "replace":
                self.apply("delete", key)
            literals = ", ".join(values[one] for one in VALUES)
            self.syncing.execute(f"INSERT INTO people VALUES (nullif('{key}', ''), {self.time}, {literals})")  # noqa: S608
        elif name == "delete":
            self.syncing.execute(f"DELETE FROM people WHERE email IS NOT DISTINCT FROM nullif('{argument}', '')")  # noqa: S608
        elif name == "column":
            self.columns = sorted({*self.columns} ^ {argument}) or [argument]
            self.view()
        elif name == "tick":
            self.time += 1
        elif name == "mode" and self.variant != "cursor":
            self.syncing.configure(mode=argument)
        elif name == "poison":
            self.syncing.server.command("SET", f"{PREFIX}{argument}", "not a hash", "NX")
        elif name == "sync":
            self.sync(*argument)

    def sync(self, full: bool, crash: tuple[str, int] | None) -> None:
        seen = Counter()

        def step(name: str) -> None:
            seen[name] += 1
            if (name, seen[name]) == crash:
                raise Killed

        try:
            self.syncing.sync(full=full, step=step)
        except Killed:
            pass
        else:
            self.heal()

    def share(self, key: str) -> None:
        """Let a document have a member of somebody else."""
        self.syncing.server.command("JSON.SET", f"{PREFIX}{key}", "$", '{"other":{"x":1.50}}')
        self.shared.add(key)

    def traits(self) -> dict[str, dict]:
        """What stands in Redis, by id; of documents, the other member is looked at, too."""
        if not self.is_json:
            return self.syncing.traits()
        command = self.syncing.server.command
        keys = [key.decode() for key in command("KEYS", f"{PREFIX}*")]
        found = {key.removeprefix(PREFIX): json.loads(command("JSON.GET", key, "$"))[0] for key in keys}
        assert {key for key, members in found.items() if members.get("other") == {"x": 1.5}} == self.shared
        return {key: members[VIEW] for key, members in found.items() if VIEW in members}

    def heal(self) -> None:
        """Take the poison away, and let the failed rows be retried."""
        for key in KEYS[:2]:
            with suppress(redis.ResponseError):  # the key is ours
                if self.syncing.server.command("GET", f"{PREFIX}{key}"):
                    self.syncing.server.command("DEL", f"{PREFIX}{key}")
        self.syncing.sync()
        self.check()

    def check(self) -> None:
        found = self.syncing.execute(f"SELECT email, {self.listed} FROM people")  # noqa: S608
        ids = [email for email, *_ in found]
        names = self.listed.split(", ")
        view = {
            email: {name: as_json(value) for name, value in zip(names, values, strict=True)}
            for email, *values in found
            if ids.count(email) == 1
        }
        view.pop(None, None)
        seen = self.traits()
        for email, row in view.items():
            assert {name: seen[email][name] for name in row} == row
            if self.variant == "ttl":
                assert self.syncing.server.command("TTL", f"{PREFIX}{email}") > 0
        if self.syncing.config.mode == "mirror":
            assert set(seen) - set(view) <= {email for email in ids if ids.count(email) > 1}


def as_json(value):
    return None if isinstance(value, float) and math.isnan(value) else value


def play(history: History, steps) -> None:
    for name, argument in steps:
        history.apply(name, argument)
    history.sync(full=False, crash=None)
    assert history.syncing.sync().to_deliver == 0
    history.check()


histories = given(
    variant=st.sampled_from(["plain", "plain", "cursor", "ttl"]),
    steps=st.lists(st.one_of(edits, edits, ticks, runs), min_size=3, max_size=16),
)
examples = settings(max_examples=12 if settings().max_examples <= 100 else 300)


@pytest.mark.limit(600)
@examples
@histories
def test_after_any_history_redis_equals_the_view(valkey, variant, steps):
    with TemporaryDirectory() as folder:
        history = History(Path(folder), valkey, variant)
        play(history, steps)
        before = history.syncing.writes()
        history.syncing.sync()
        assert history.syncing.writes() == before


@pytest.mark.limit(600)
@examples
@histories
def test_so_do_its_documents(documents, variant, steps):
    with TemporaryDirectory() as folder:
        history = History(Path(folder), documents, variant, is_json=True)
        history.share("c")
        play(history, steps)
