"""Real writes of a RudderStack Redis destination, applied to a real server and read back."""

import json
from pathlib import Path

import pytest

from tests.support.clients import configuration

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "redis_writes.json").read_text(encoding="utf-8"))
READABLE = [vector for vector in VECTORS if "error" not in vector]


def settings(vector, address):
    destination = vector["destination"]
    return configuration(
        address,
        config={**destination["config"], "address": address},
        destination={"layout": vector.get("layout", "profiles")},
    )


def test_every_vector_is_of_the_destination_that_the_tests_configure():
    assert {(vector["destination"]["workspaceId"], vector["destination"]["id"]) for vector in VECTORS} == {
        ("1Wsp", "2Dest")
    }


@pytest.mark.parametrize("vector", READABLE, ids=lambda vector: vector["name"])
def test_a_vector_is_read_as_expected(vector, make_client, redis_db, json_server):
    server = json_server if vector["destination"]["config"].get("useJSONModule") else redis_db
    with server.client() as producer:
        for command in vector["commands"]:
            producer.execute_command(*command)
    client = make_client(settings(vector, server.address))
    found = client.get(*vector["ask"])
    assert (found or {}) == vector["expect"]
    assert json.dumps(found or {}) == json.dumps(vector["expect"])
