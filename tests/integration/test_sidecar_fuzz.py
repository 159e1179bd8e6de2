"""Raw HTTP at the sidecar: never a 500, never a hang, never an answer in another's place.

With `EDGEPROFILE_TEST_DEPTH=deep` there are 100,000 cases. A failure prints the seed that makes its cases again.
"""

import errno
import http.client
import io
import json
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import pytest

from tests.support.activation import DELETING, EVERYTHING, TOKENS
from tests.support.raw_http import NUMBERS, Case, Maker
from tests.support.servers import Flavour, Server
from tests.support.sidecar import RunningSidecar, configuration, running
from tests.support.wait import until

DEEP = os.environ.get("EDGEPROFILE_TEST_DEPTH") == "deep"
CASES = 100_000 if DEEP else 1_500
Answer = tuple[int, dict[str, str], Any]


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


@pytest.fixture(scope="module")
def sidecar(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    server.reset()
    for number in range(NUMBERS):
        server.command("HSET", f"1Wsp:2Dest:user:number:{number}", "m", f'{{"n":{number}}}')
    limits = {"headerTimeout": "2s", "bodyTimeout": "2s", "authFailures": 1_000_000}
    with running(configuration(tmp_path_factory.mktemp("sidecar"), server.address, *TOKENS, sidecar=limits)) as started:
        asked = {"entity": "user", "destinationId": "2Dest", "id": {"type": "number", "value": "0"}}
        started.settle(asked, EVERYTHING)
        yield started


class Wire:
    """What `http.client` reads in place of a socket."""

    def __init__(self, received: io.BytesIO) -> None:
        self.received = received

    def makefile(self, *_: object) -> io.BytesIO:
        return self.received


class Unclosed(io.BytesIO):
    """Bytes that stay open after an answer was read from them."""

    def close(self) -> None:
        """Others follow."""


def exchange(sidecar: RunningSidecar, case: Case) -> list[Answer]:
    """Send the case, and read to the end of the connection."""
    with sidecar.connect(random.choice(("tcp", "unix"))) as raw:
        received = bytearray()
        with closed_by_peer():
            for start, end in zip((0, *case.cuts), (*case.cuts, len(case.wire)), strict=True):
                raw.sendall(case.wire[start:end])
            wanted = len(case.before) + (1 + len(case.behind) if case.odd.after == "answered" else 0)
            while count(received) < wanted and (part := raw.recv(1 << 16)):
                received += part
            raw.shutdown(socket.SHUT_WR)
            while part := raw.recv(1 << 16):  # a hang is a TimeoutError here
                received += part
    return answers(bytes(received))


@contextmanager
def closed_by_peer() -> Iterator[None]:
    """The sidecar may close before everything is sent; that it does not is a TimeoutError, which is none of these."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}:
            raise


def count(received: bytes) -> int:
    """How many answers are there in full."""
    try:
        return len(answers(received))
    except (http.client.HTTPException, ValueError):
        return 0


def answers(received: bytes) -> list[Answer]:
    """The answers, each with its body as JSON."""
    stream, found = Unclosed(received), []
    while stream.tell() < len(received):
        response = http.client.HTTPResponse(Wire(stream), method="POST")
        response.begin()
        body = response.read()
        found.append((response.status, dict(response.getheaders()), json.loads(body, parse_int=_small)))
    return found


def _small(digits: str) -> int:
    """A whole number, or its beginning where it has more digits than Python converts."""
    return int(digits[:18])


def judge(case: Case, given: list[Answer]) -> None:
    statuses = [status for status, _, _ in given]
    assert 500 not in statuses
    assert all(status < 500 for status in statuses)
    for status, _, form in given:
        if status == 200 and "m" in form.get("data", {}) and form["id"]["type"] == "number":
            assert form["data"] == {"m": {"n": int(form["id"]["value"])}}
    if case.odd.after == "answered":
        first, odd, last = given[: len(case.before)], given[len(case.before)], given[len(case.before) + 1 :]
        assert (numbers(first), numbers(last)) == (list(case.before), list(case.behind))
        assert case.odd.number is None or numbers([odd]) == [case.odd.number]
    else:
        # What arrives in one piece with something that is no HTTP is refused with it, and the connection ends there.
        good = list(takewhile(lambda number: number >= 0, numbers(given)))[: len(case.before)]
        assert good == list(case.before)[: len(good)]
    if case.odd.after == "refused":
        rest = given[len(good) :]
        assert len(rest) <= 1
        assert all(400 <= status < 500 and headers["Connection"] == "close" for status, headers, _ in rest)


def numbers(given: list[Answer]) -> list[int]:
    """The number that each answer holds, and below zero what holds none."""
    return [form.get("data", {}).get("m", {}).get("n", -1) if status == 200 else -status for status, _, form in given]


@pytest.mark.limit(3_000 if DEEP else 120)
def test_nothing_that_is_sent_breaks_it(sidecar):
    seed = random.getrandbits(32)
    maker = Maker(seed, EVERYTHING, DELETING)
    for place in range(CASES):
        case = maker.case()
        try:
            judge(case, exchange(sidecar, case))
        except (AssertionError, OSError, ValueError, http.client.HTTPException) as wrong:
            raise AssertionError(
                f"case {place} of seed {seed}, {case.odd.kind}: {wrong!r}\n{case.wire[:2000]!r}"
            ) from wrong
    until(lambda: sidecar.metric("edgeprofile_http_requests_in_flight") == 0, 5)
    until(lambda: sidecar.metric("edgeprofile_http_connections") == 0, 5)


def test_a_pipeline_may_be_cut_at_every_byte(sidecar):
    maker = Maker(1, EVERYTHING, DELETING)
    wire = maker.good(3) + maker._chunked().wire + maker.good(5)
    with sidecar.connect() as raw:
        for cut in range(1, len(wire)):
            raw.sendall(wire[:cut])
            raw.sendall(wire[cut:])
            received = b""
            while count(received) < 3:
                received += raw.recv(1 << 16)
            assert [numbers(answers(received))[place] for place in (0, 2)] == [3, 5]
