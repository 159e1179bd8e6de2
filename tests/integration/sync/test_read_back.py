"""What a sync writes, the library and the sidecar read; and a live cache beside a sync is never stale."""

import itertools
import threading

import pytest

from edgeprofile import Client
from tests.support.clients import configuration as for_client
from tests.support.recorder import History
from tests.support.sidecar import configuration as for_sidecar
from tests.support.sidecar import running, token
from tests.support.sync import VIEW
from tests.support.wait import until

KEYS = [f"u{n}" for n in range(200)]
BOUND = 1.0


@pytest.fixture
def people(embedded):
    embedded.execute(
        "CREATE TABLE features_by_email AS SELECT 'u' || i AS email, 'u' || i AS key, 1 AS version, 1 AS again FROM range(200) AS t(i)"
    )
    return embedded


def test_the_library_reads_it(people):
    people.sync()
    with Client(for_client(people.redis.address)) as client:
        profile = client.get("user", "email", "u7")
        assert profile == {VIEW: {"key": "u7", "version": 1, "again": 1}}
        people.execute("UPDATE features_by_email SET version = 2 WHERE email = 'u7'")
        people.sync()
        until(lambda: client.get("user", "email", "u7")[VIEW]["version"] == 2, BOUND, "the change arrives")


def test_the_sidecar_serves_it(people, tmp_path):
    people.sync()
    config = for_sidecar(tmp_path, people.redis.address, token("ep_all"))
    with running(config) as sidecar:
        body = {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": "u7"}}
        sidecar.settle(body, "ep_all")
        assert sidecar.ask(body, "ep_all").json["data"] == {VIEW: {"key": "u7", "version": 1, "again": 1}}


def test_live_caches_beside_full_syncs_are_never_stale(people, tmp_path):
    """The library's readers and the sidecar's never stop; four full syncs go by, each writing every profile anew."""
    history, stop = History(), threading.Event()

    def look(number: int, lookup) -> None:
        reader = history.reader()
        for key in itertools.cycle(KEYS[number::2]):
            if stop.is_set():
                return
            reader.read(key, lambda key=key: doubled(lookup(key)))

    def served(key: str):
        answer = sidecar.ask(asked(key), "ep_all")
        assert answer.status == 200
        return answer.json["data"]

    bound = {"maxStaleness": f"{BOUND:g}s"}
    with (
        Client(for_client(people.redis.address, cache=bound)) as client,
        running(for_sidecar(tmp_path, people.redis.address, token("ep_all"), cache=bound)) as sidecar,
    ):
        sidecar.settle(asked("u7"), "ep_all")
        lookups = [lambda key: client.get("user", "email", key)] * 2 + [served] * 2
        readers = [threading.Thread(target=look, args=(number, one)) for number, one in enumerate(lookups)]
        for thread in readers:
            thread.start()
        try:
            for version in range(1, 5):
                people.execute(f"UPDATE features_by_email SET version = {version}, again = {version}")  # noqa: S608
                with history.becoming(version, KEYS):
                    assert people.sync(full=True).delivered == len(KEYS)
            for lookup in (lookups[0], served):
                until(lambda lookup=lookup: lookup("u199")[VIEW]["version"] == 4, BOUND)
        finally:
            stop.set()
            for thread in readers:
                thread.join()
        report = history.check(BOUND).raise_if_any()
    assert report.reads > 1_000
    assert not any(reader.errors for reader in history.readers)


def asked(key: str) -> dict[str, object]:
    return {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": key}}


def doubled(profile):
    """The recorder knows profiles of two models."""
    return {"model_a": profile[VIEW], "model_b": profile[VIEW]} if profile else None
