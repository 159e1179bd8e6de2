"""Files that are read again: by the clock and by request at once, and what is in force then."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace

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
