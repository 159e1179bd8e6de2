"""Fetches on their way: whatever happens to the replies, whoever waits is told."""

from types import SimpleNamespace
from typing import Any

import pytest

from edgeprofile.core.fills import Fill
from edgeprofile.core.keeper import Found, Identity
from edgeprofile.engine.batch import Batch, Fetch
from edgeprofile.store.endpoint import ConnectionLost
from edgeprofile.store.reading import Reading

NODE: Any = SimpleNamespace(name="node")
REPLIES = [[b"m", b"{}"], -1]


class Settlements(list[tuple[Fill, Any]]):
    """What was settled, in order."""

    def settle(self, _node: object, settled: Any) -> None:
        self.extend(settled)


def fetch(value: str, settled: Settlements) -> Fetch:
    key = value.encode()
    reading = Reading(layout="profiles", json_documents=False, unreadable=print)
    reading.field_ttls = False
    return Fetch(Fill(Identity("d", "user", "email", value, (key,)), (key,), 0.0, None), reading, NODE, settled.settle)


def broken(_ask: object, _replies: object, _node: str) -> Found:
    raise ValueError("nobody foresaw this")


def test_a_fetch_settles_with_what_it_found() -> None:
    settled = Settlements()
    one = fetch("ada", settled)
    one.done(REPLIES)
    assert settled == [(one.fill, Found(b'{"m":{}}'))]


def test_a_reply_that_nobody_foresaw_ends_the_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Settlements()
    one = fetch("ada", settled)
    monkeypatch.setattr(one._reading, "found", broken)
    with pytest.raises(ValueError, match="foresaw"):
        one.done(REPLIES)
    assert [(fill, type(error)) for fill, error in settled] == [(one.fill, ConnectionLost)]


def test_a_reply_that_nobody_foresaw_ends_each_fetch_of_its_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Settlements()
    fetches = [fetch(value, settled) for value in ("ada", "bob", "cyn")]
    monkeypatch.setattr(fetches[1]._reading, "found", broken)
    batch = Batch(NODE, list(fetches), settled.settle)
    with pytest.raises(ValueError, match="foresaw"):
        batch._arrived(None, REPLIES * 3)  # type: ignore[arg-type]  # nothing further is asked
    assert [fill for fill, _ in settled] == [one.fill for one in fetches]
    assert {type(error) for _, error in settled} == {ConnectionLost}
