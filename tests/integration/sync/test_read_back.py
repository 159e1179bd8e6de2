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


def test_a_live_cache_beside_full_syncs_is_never_stale(people):
    """Readers never stop; four full syncs go by, each writing a new version of every profile."""
    history = History()
    stop = threading.Event()

    def look(client: Client, number: int) -> None:
        reader = history.reader()
        for key in itertools.cycle(KEYS[number::2]):
            if stop.is_set():
                return
            reader.read(key, lambda key=key: doubled(client.get("user", "email", key)))

    with Client(for_client(people.redis.address, cache={"maxStaleness": f"{BOUND:g}s"})) as client:
        readers = [threading.Thread(target=look, args=(client, number)) for number in range(2)]
        for thread in readers:
            thread.start()
        try:
            for version in range(1, 5):
                people.execute(f"UPDATE features_by_email SET version = {version}, again = {version}")  # noqa: S608
                with history.becoming(version, KEYS):
                    assert people.sync(full=True).delivered == len(KEYS)
            until(lambda: client.get("user", "email", "u199")[VIEW]["version"] == 4, BOUND)
        finally:
            stop.set()
            for thread in readers:
                thread.join()
        report = history.check(BOUND).raise_if_any()
    assert report.reads > 1_000
    assert not any(reader.errors for reader in history.readers)


def doubled(profile):
    """The recorder knows profiles of two models."""
    return None if profile is None else {"model_a": profile[VIEW], "model_b": profile[VIEW]}
