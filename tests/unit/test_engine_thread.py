"""The engine's thread where the system lacks what it needs."""

import asyncio

import pytest

from edgeprofile.engine.thread import LoopThread


def test_what_keeps_the_loop_from_running_is_raised_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptors() -> asyncio.AbstractEventLoop:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio.events, "new_event_loop", no_descriptors)
    monkeypatch.setattr(asyncio, "new_event_loop", no_descriptors)
    thread = LoopThread("test")
    with pytest.raises(OSError, match="Too many open files"):
        thread.start()
    thread._thread.join(5)
    assert not thread._thread.is_alive()


def test_it_runs_until_it_is_stopped() -> None:
    thread = LoopThread("test")
    thread.start()
    assert not thread.inside
    thread.stop()
    assert thread.loop.is_closed()
