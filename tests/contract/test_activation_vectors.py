"""Real writes of a RudderStack Redis destination, applied to a real server and asked for over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.sidecar import configuration, running, token

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "redis_writes.json").read_text(encoding="utf-8"))
TOKEN = "ep_vectors"
PATHS = ("/v1/activation", "/v2/activation")


def written(vector: dict[str, Any], address: str) -> dict[str, Any]:
    """The destination as it was pasted, at our server."""
    destination = vector["destination"]
    layout = {"layout": vector["layout"]} if "layout" in vector else {}
    return {**destination, **layout, "config": {**destination["config"], "address": address}}


@pytest.fixture
def store(vector, redis_db, json_server):
    """The address of a server that holds what the vector writes."""
    documents = vector["destination"]["config"].get("useJSONModule")
    with json_server.client() if documents else redis_db.client() as client:
        for command in vector["commands"]:
            client.execute_command(*command)
    return json_server.address if documents else redis_db.address


@pytest.mark.parametrize("vector", [each for each in VECTORS if "ask" in each], ids=lambda vector: vector["name"])
def test_a_vector_is_served_as_expected(vector, store, tmp_path):
    entity, id_type, value = vector["ask"]
    asked = {"entity": entity, "destinationId": "2Dest", "id": {"type": id_type, "value": value}}
    expected = {"entity": entity, "id": {"type": id_type, "value": value}, "data": vector["expect"]}
    config = configuration(tmp_path, store, token(TOKEN), destinations=(written(vector, store),))
    with running(config) as sidecar:
        answers = [sidecar.ask(asked, TOKEN, path=path) for path in PATHS * 2]
    assert [answer.status for answer in answers] == [200] * 4
    assert {json.dumps(answer.json) for answer in answers} == {json.dumps(expected)}
