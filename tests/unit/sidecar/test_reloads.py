"""Files that are read again: by the clock and by request at once, and what is in force then."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeprofile import ConfigurationError, RedisUnavailable
from edgeprofile_sidecar import reloads as module
from edgeprofile_sidecar.followed import Followed
from edgeprofile_sidecar.reloads import Reloads


def test_what_was_read_first_never_replaces_what_was_read_later(tmp_path: Path):
    file = tmp_path / "tokens"
    file.write_text("0")
    begun, release = threading.Event(), threading.Event()

    def read() -> str:
        text = file.read_text()
        if text == "1":
            begun.set()
            assert release.wait(10)
        return text

    tokens = Followed("tokens", [file], read)

    async def scenario() -> None:
        reloads = Reloads(SimpleNamespace(), None, [tokens])
        file.write_text("1")
        slow = asyncio.create_task(reloads.follow_others())
        await asyncio.to_thread(begun.wait, 10)
        file.write_text("2")
        later = asyncio.create_task(reloads.follow_others(force=True))
        await asyncio.wait({later}, timeout=0.2)
        release.set()
        await asyncio.gather(slow, later)

    asyncio.run(scenario())
    assert tokens.current == "2"


@pytest.mark.parametrize("reason", [RedisUnavailable("not yet"), ConfigurationError("no client certificate yet")])
@pytest.mark.parametrize(("then", "tried", "good"), [("b", ["b", "b"], True), ("nonsense", ["b"], False)])
def test_destinations_that_were_not_ready_are_tried_again_while_the_file_still_names_them(
    tmp_path, monkeypatch, reason, then, tried, good
):
    file = tmp_path / "edgeprofile.toml"
    file.write_text("a")
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)

    def read() -> SimpleNamespace:
        text = file.read_text()
        if text == "nonsense":
            raise ConfigurationError("it is nonsense")
        sidecar = SimpleNamespace(reload_timeout=1.0)
        return SimpleNamespace(name=text, sidecar=sidecar, bundles={}, destinations=[])

    asked: list[str] = []

    async def replace(config: SimpleNamespace, _: float) -> bool:
        asked.append(config.name)
        if len(asked) == 1:
            raise reason
        return True

    settings = Followed("config", [file], read)

    async def scenario() -> None:
        reloads = Reloads(SimpleNamespace(replace=replace), settings, [])
        file.write_text("b")
        await reloads.follow_settings()
        assert not settings.good
        if then != "b":
            file.write_text(then)
        await reloads.follow_settings()
        clock.now = 20.0
        await reloads.follow_settings()

    asyncio.run(scenario())
    assert (asked, settings.good) == (tried, good)
