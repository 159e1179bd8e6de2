"""The contract's table by wire: every row, both versions, over TCP and Unix sockets, from clients that people use."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import aiohttp
import httpx
import pytest

from tests.support.activation import ADA, DELETING, EVERYTHING, NO_DESTINATION, SCOPED, TOKENS, UNAUTHORIZED, asking
from tests.support.servers import Flavour, Server
from tests.support.sidecar import Answers, RunningSidecar, configuration, running, token

EXPIRED = "ep_expired"
DATA = {"m": {"a": 1}}
PATHS = ("/v1/activation", "/v2/activation")
DELETING_DEST = "ep_deleting_dest"
# Node's fetch takes another dispatcher only from the package undici, which Node does not let programs import: over a
# Unix socket it is Node's http that asks. A text body would have fetch add a content type, so it is given bytes.
NODE = """
const read = (answer, done) => {
  let text = "";
  answer.setEncoding("utf8").on("data", (part) => (text += part))
    .on("end", () => done([answer.statusCode, text, answer.headers["retry-after"] ?? null]));
};
const bySocket = ([method, path, , socketPath, headers, body]) => new Promise((done) => {
  const sized = [...headers, ["Host", "sidecar"], ["Content-Length", Buffer.byteLength(body)]].flat();
  require("http").request({ socketPath, path, method, headers: sized }, (answer) => read(answer, done)).end(body);
});
const byFetch = async ([method, path, host, , headers, body]) => {
  const answer = await fetch(`http://${host}${path}`, { method, headers, body: Buffer.from(body) });
  return [answer.status, await answer.text(), answer.headers.get("retry-after")];
};
(async () => {
  const outcomes = [];
  for (const call of JSON.parse(require("fs").readFileSync(0))) outcomes.push(await (call[3] ? bySocket : byFetch)(call));
  console.log(JSON.stringify(outcomes));
})();
"""


Headers = list[tuple[str, str]]
Outcome = tuple[int, str, str | None]
"""Status, body, and the header Retry-After."""


class Call(NamedTuple):
    """One request: `unix` is the path of a socket, or nothing."""

    method: str
    path: str
    host: str
    unix: str
    headers: Headers
    body: str


class Row(NamedTuple):
    """A row of the contract: what is sent, and what comes back; a form of `...` is any error.

    `authorization` are headers instead of that with the secret; `content_type` is left out if it is empty; `path` is
    instead of that which is asked for.
    """

    name: str
    secret: str | None
    body: Any
    status: int
    form: Any
    content_type: str = "application/json"
    method: str = "POST"
    authorization: Sequence[str] = ()
    path: str = ""
    retry_after: str | None = None


def _found(**identity: Any) -> dict[str, Any]:
    return {"entity": "user", "id": ADA | identity, "data": DATA if not identity else {}}


GOOD_FORMS = tuple(
    form.format(EVERYTHING) for form in ("bearer {}", "BEARER {}", "bEaReR {}", "Bearer   {}", "Bearer \t{}")
)
TRAILING = tuple(f"Bearer {EVERYTHING}{blanks}" for blanks in (" ", "   ", "\t"))
BAD_FORMS = tuple(
    form.format(EVERYTHING)
    for form in (
        "{}",
        "Bearer",
        "Bearer{}",
        "Bearer:{}",
        "Basic {}",
        "Token {}",
        "Bearer {} x",
        "Bearer x {}",
        'Bearer "{}"',
    )
)

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
    Row("content type", EVERYTHING, asking(), 415, ..., "text/plain"),
    Row("no content type", EVERYTHING, asking(), 200, _found(), ""),
    Row("too large", EVERYTHING, asking(more="x" * 70_000), 413, ...),
    Row("method", EVERYTHING, asking(), 405, ..., method="PUT"),
    Row("path", EVERYTHING, asking(), 404, ..., path="/v3/activation"),
    Row("path without a token", None, asking(), 404, ..., path="/"),
    *(Row(f"let in as {form!r}", None, asking(), 200, _found(), authorization=[form]) for form in GOOD_FORMS),
    *(Row(f"refused as {form!r}", None, asking(), 401, UNAUTHORIZED, authorization=[form]) for form in BAD_FORMS),
    Row("two tokens", None, asking(), 401, UNAUTHORIZED, authorization=[f"Bearer {EVERYTHING}"] * 2),
    Row("two schemes", None, asking(), 401, UNAUTHORIZED, authorization=["Basic YTpi", f"Bearer {EVERYTHING}"]),
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
    Row("no token", None, asking(), 401, UNAUTHORIZED, method="DELETE"),
    Row("out of scope", DELETING_DEST, asking("2Other"), 401, UNAUTHORIZED, method="DELETE"),
    Row("out of scope and absent", DELETING_DEST, asking("2Nowhere"), 401, UNAUTHORIZED, method="DELETE"),
    Row("unknown destination", DELETING, asking("2Nowhere"), 404, NO_DESTINATION, method="DELETE"),
)
UNREACHABLE = (
    Row("read", EVERYTHING, asking(), 503, ..., retry_after="1"),
    Row(
        "delete", DELETING, asking(), 500, {"message": "Internal server error"}, method="DELETE", path="/v2/activation"
    ),
    Row("refused all the same", None, asking(), 401, UNAUTHORIZED),
    Row("no destination all the same", EVERYTHING, asking(" "), 404, NO_DESTINATION),
)


def by_aiohttp(calls: list[Call]) -> list[Outcome]:
    async def ask() -> list[Outcome]:
        connector = aiohttp.UnixConnector(calls[0].unix) if calls[0].unix else None
        async with aiohttp.ClientSession(connector=connector) as session:
            return [await one(session, call) for call in calls]

    async def one(session: aiohttp.ClientSession, call: Call) -> Outcome:
        asked = {"data": call.body.encode(), "headers": call.headers, "skip_auto_headers": ["Content-Type"]}
        async with session.request(call.method, _url(call), **asked) as answer:
            return answer.status, await answer.text(), answer.headers.get("Retry-After")

    return asyncio.run(ask())


def by_httpx(calls: list[Call]) -> list[Outcome]:
    with httpx.Client(transport=httpx.HTTPTransport(uds=calls[0].unix or None), trust_env=False) as client:
        answers = [client.request(call.method, _url(call), content=call.body, headers=call.headers) for call in calls]
        return [(answer.status_code, answer.text, answer.headers.get("Retry-After")) for answer in answers]


def by_curl(calls: list[Call]) -> list[Outcome]:
    return [_curl(call) for call in calls]


def _curl(call: Call) -> Outcome:
    where = ["--unix-socket", call.unix] if call.unix else []
    headers = [part for name, value in call.headers for part in ("-H", f"{name}: {value}")]
    if not any(name == "Content-Type" for name, _ in call.headers):
        headers += ["-H", "Content-Type:"]  # or curl sends that of a form
    told = "\n%{http_code} %header{retry-after}"
    command = ["curl", "-sS", "--noproxy", "*", "-X", call.method, "-w", told, *where, *headers]
    command += ["--data-binary", "@-", _url(call)]
    done = subprocess.run(command, input=call.body, capture_output=True, text=True, check=True)
    text, _, last = done.stdout.rpartition("\n")
    status, _, retry_after = last.partition(" ")
    return int(status), text, retry_after or None


def by_node(calls: list[Call]) -> list[Outcome]:
    done = subprocess.run(["node", "-e", NODE], input=json.dumps(calls), capture_output=True, text=True, check=True)
    return [(status, text, retry_after) for status, text, retry_after in json.loads(done.stdout)]


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
    deleting = token(DELETING_DEST, ("2Dest",), permissions=("delete",))
    tokens = (*TOKENS, deleting, token(EXPIRED, ends_in=-1))
    config = configuration(home, server.address, *tokens, destinations=destinations, sidecar={"authFailures": 100_000})
    with running(config) as started:
        started.settle(asking(), EVERYTHING)
        yield started


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """A sidecar whose Redis is not there."""
    config = configuration(tmp_path_factory.mktemp("cut_off"), "127.0.0.1:1", *TOKENS)
    with running(config) as started:
        yield started


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Client:
    if request.param in {"curl", "node"} and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return CLIENTS[request.param]


def check(rows: Sequence[Row], client: Client, sidecar: RunningSidecar, path: str, unix: str) -> None:
    host = "sidecar" if unix else sidecar.address()
    outcomes = client([_call(row, path, host, unix) for row in rows])
    for row, (status, text, retry_after) in zip(rows, outcomes, strict=True):
        form = json.loads(text)
        assert (status, retry_after) == (row.status, row.retry_after), f"{row.name}: {text}"
        assert (list(form) == ["error"]) if row.form is ... else (form == row.form), row.name


def _call(row: Row, path: str, host: str, unix: str) -> Call:
    headers = [("Content-Type", row.content_type)] if row.content_type else []
    headers += [
        ("Authorization", value) for value in row.authorization or ([f"Bearer {row.secret}"] if row.secret else [])
    ]
    body = row.body if isinstance(row.body, str) else json.dumps(row.body)
    return Call(row.method, row.path or path, host, unix, headers, body)


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


@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest.mark.parametrize("path", PATHS)
def test_without_redis_by_wire(cut_off, client, path, transport):
    unix = cut_off.address("unix") if transport == "unix" else ""
    check(UNREACHABLE, client, cut_off, path, unix)


@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest.mark.parametrize("value", TRAILING)
def test_blanks_behind_a_token_are_no_part_of_it(sidecar, transport, value):
    """As written on the wire: the clients above take blanks away, or refuse to send them."""
    body = json.dumps(asking()).encode()
    head = f"POST /v2/activation HTTP/1.1\r\nHost: sidecar\r\nAuthorization: {value}\r\nContent-Length: {len(body)}\r\n\r\n"
    with sidecar.connect(transport) as connection:
        connection.sendall(head.encode() + body)
        status, _, form = Answers(connection).next()
    assert (status, form) == (200, _found())
