"""The contract's table by wire: every row, both versions, over TCP and Unix sockets, from clients that people use."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import aiohttp
import httpx
import pytest

from tests.support.activation import ADA, DELETING, EVERYTHING, NO_DESTINATION, SCOPED, TOKENS, UNAUTHORIZED, asking
from tests.support.servers import Flavour, Server
from tests.support.sidecar import RunningSidecar, configuration, running, token

EXPIRED = "ep_expired"
DATA = {"m": {"a": 1}}
PATHS = ("/v1/activation", "/v2/activation")
NODE = """
const read = (answer, done) => {
  let text = "";
  answer.setEncoding("utf8").on("data", (part) => (text += part)).on("end", () => done([answer.statusCode, text]));
};
const bySocket = ([method, path, , socketPath, headers, body]) => new Promise((done) => {
  const sized = { ...headers, "Content-Length": Buffer.byteLength(body) };
  require("http").request({ socketPath, path, method, headers: sized }, (answer) => read(answer, done)).end(body);
});
const byFetch = async ([method, path, host, , headers, body]) => {
  const answer = await fetch(`http://${host}${path}`, { method, headers, body });
  return [answer.status, await answer.text()];
};
(async () => {
  const outcomes = [];
  for (const call of JSON.parse(require("fs").readFileSync(0))) outcomes.push(await (call[3] ? bySocket : byFetch)(call));
  console.log(JSON.stringify(outcomes));
})();
"""


Outcome = tuple[int, str]


class Call(NamedTuple):
    """One request: `unix` is the path of a socket, or nothing."""

    method: str
    path: str
    host: str
    unix: str
    headers: dict[str, str]
    body: str


class Row(NamedTuple):
    """A row of the contract: what is sent, and what comes back; a form of `...` is any error."""

    name: str
    secret: str | None
    body: Any
    status: int
    form: Any
    headers: Mapping[str, str] = MappingProxyType({})
    method: str = "POST"


def _found(**identity: Any) -> dict[str, Any]:
    return {"entity": "user", "id": ADA | identity, "data": DATA if not identity else {}}


ROWS = (
    Row("found", EVERYTHING, asking(), 200, _found()),
    Row("scoped", SCOPED, asking(), 200, _found()),
    Row("not found", EVERYTHING, asking(identity=ADA | {"value": "nobody"}), 200, _found(value="nobody")),
    Row("a number", EVERYTHING, asking(identity=ADA | {"value": 7}), 200, _found(value=7)),
    Row("extra members", EVERYTHING, asking(more=[1]), 200, _found()),
    Row("no token", None, asking(), 401, UNAUTHORIZED),
    Row("unknown token", "ep_unknown", asking(), 401, UNAUTHORIZED),
    Row("expired token", EXPIRED, asking(), 401, UNAUTHORIZED),
    Row("no permission", DELETING, asking(), 401, UNAUTHORIZED),
    Row("out of scope", SCOPED, asking("2Other"), 401, UNAUTHORIZED),
    Row("out of scope and absent", SCOPED, asking("2Nowhere"), 401, UNAUTHORIZED),
    Row("no destination", EVERYTHING, asking(...), 404, NO_DESTINATION),
    Row("blank destination", EVERYTHING, asking(" "), 404, NO_DESTINATION),
    Row("unknown destination", EVERYTHING, asking("2Nowhere"), 404, NO_DESTINATION),
    Row("no Redis destination", EVERYTHING, asking("2Kafka"), 404, NO_DESTINATION),
    Row("no JSON", EVERYTHING, "no json", 400, ...),
    Row("no object", EVERYTHING, [], 400, ...),
    Row("no entity", EVERYTHING, asking(entity=...), 400, ...),
    Row("no id", EVERYTHING, asking(identity=...), 400, ...),
    Row("empty value", EVERYTHING, asking(identity=ADA | {"value": ""}), 400, ...),
    Row("wrong type", EVERYTHING, asking(identity=ADA | {"value": []}), 400, ...),
    Row("content type", EVERYTHING, asking(), 415, ..., {"Content-Type": "text/plain"}),
    Row("too large", EVERYTHING, asking(more="x" * 70_000), 413, ...),
    Row("method", EVERYTHING, asking(), 405, ..., method="PUT"),
)
DELETIONS = (
    Row("one", DELETING, asking(), 200, {"deletedKeys": 0, "actualKeys": 1}, method="DELETE"),
    Row("several", DELETING, asking(identity=[ADA, ADA]), 200, {"deletedKeys": 0, "actualKeys": 2}, method="DELETE"),
    Row(
        "an empty list",
        DELETING,
        asking(identity=[]),
        400,
        {"message": "id should have at least one item"},
        method="DELETE",
    ),
    Row("no permission", EVERYTHING, asking(), 401, UNAUTHORIZED, method="DELETE"),
    Row("unknown destination", DELETING, asking("2Nowhere"), 404, NO_DESTINATION, method="DELETE"),
)


def by_aiohttp(calls: list[Call]) -> list[Outcome]:
    async def ask() -> list[Outcome]:
        connector = aiohttp.UnixConnector(calls[0].unix) if calls[0].unix else None
        async with aiohttp.ClientSession(connector=connector) as session:
            return [await one(session, call) for call in calls]

    async def one(session: aiohttp.ClientSession, call: Call) -> Outcome:
        async with session.request(call.method, _url(call), data=call.body, headers=call.headers) as answer:
            return answer.status, await answer.text()

    return asyncio.run(ask())


def by_httpx(calls: list[Call]) -> list[Outcome]:
    with httpx.Client(transport=httpx.HTTPTransport(uds=calls[0].unix or None), trust_env=False) as client:
        answers = [client.request(call.method, _url(call), content=call.body, headers=call.headers) for call in calls]
        return [(answer.status_code, answer.text) for answer in answers]


def by_curl(calls: list[Call]) -> list[Outcome]:
    return [_curl(call) for call in calls]


def _curl(call: Call) -> Outcome:
    where = ["--unix-socket", call.unix] if call.unix else []
    headers = [part for name, value in call.headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["curl", "-sS", "--noproxy", "*", "-X", call.method, "-w", "\n%{http_code}", *where, *headers]
    command += ["--data-binary", "@-", _url(call)]
    done = subprocess.run(command, input=call.body, capture_output=True, text=True, check=True)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), text


def by_node(calls: list[Call]) -> list[Outcome]:
    done = subprocess.run(["node", "-e", NODE], input=json.dumps(calls), capture_output=True, text=True, check=True)
    return [(status, text) for status, text in json.loads(done.stdout)]


def _url(call: Call) -> str:
    return f"http://{call.host}{call.path}"


Client = Callable[[list[Call]], list[Outcome]]
CLIENTS: dict[str, Client] = {"aiohttp": by_aiohttp, "httpx": by_httpx, "curl": by_curl, "node": by_node}


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


@pytest.fixture(scope="module")
def sidecar(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    server.reset()
    server.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", '{"a":1}')
    destinations = (
        {"id": "2Dest", "workspaceId": "1Wsp"},
        {"id": "2Other", "workspaceId": "1Wsp"},
        {"id": "2Kafka", "workspaceId": "1Wsp", "type": "KAFKA", "config": {}},
    )
    home = tmp_path_factory.mktemp("sidecar")
    tokens = (*TOKENS, token(EXPIRED, ends_in=-1))
    config = configuration(home, server.address, *tokens, destinations=destinations, sidecar={"authFailures": 100_000})
    with running(config) as started:
        started.settle(asking(), EVERYTHING)
        yield started


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Client:
    if request.param in {"curl", "node"} and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return CLIENTS[request.param]


def check(rows: Sequence[Row], client: Client, sidecar: RunningSidecar, path: str, unix: str) -> None:
    host = "sidecar" if unix else sidecar.address()
    outcomes = client([_call(row, path, host, unix) for row in rows])
    for row, (status, text) in zip(rows, outcomes, strict=True):
        form = json.loads(text)
        assert status == row.status, f"{row.name}: {text}"
        assert (list(form) == ["error"]) if row.form is ... else (form == row.form), row.name


def _call(row: Row, path: str, host: str, unix: str) -> Call:
    authorization = {"Authorization": f"Bearer {row.secret}"} if row.secret else {}
    headers = {"Content-Type": "application/json", **authorization, **row.headers}
    body = row.body if isinstance(row.body, str) else json.dumps(row.body)
    return Call(row.method, path, host, unix, headers, body)


@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest.mark.parametrize("path", PATHS)
def test_every_row_by_wire(sidecar, client, path, transport):
    unix = sidecar.address("unix") if transport == "unix" else ""
    check(ROWS, client, sidecar, path, unix)


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_deletes_by_wire(sidecar, client, server, transport):
    server.command("DEL", "1Wsp:2Dest:user:email:ada@example.com")
    unix = sidecar.address("unix") if transport == "unix" else ""
    check(DELETIONS, client, sidecar, "/v2/activation", unix)
    server.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", '{"a":1}')
