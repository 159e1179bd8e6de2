"""The parts of the data listener that real clients cannot make fail."""

import asyncio
import logging
from typing import Any

from edgeprofile.config import SidecarConfig
from edgeprofile_sidecar.counters import Counters
from edgeprofile_sidecar.listener import Listener


class Broken:
    """A service with a defect."""

    def admit(self, _: Any) -> Any:
        raise KeyError("ada@example.com")


async def ask(listener: Listener, sent: bytes) -> bytes:
    server = await asyncio.get_running_loop().create_server(listener.server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return head + await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()
        server.close()
        await listener.server.shutdown(0.01)


def test_a_defect_is_500_in_the_form_of_errors_and_is_logged_by_its_place(caplog):
    caplog.set_level(logging.INFO)

    async def scenario() -> tuple[bytes, Counters]:
        counters = Counters()
        listener = Listener(Broken(), SidecarConfig(), counters)
        return await ask(listener, b"POST /v1/activation HTTP/1.1\r\nHost: x\r\n\r\n"), counters

    answer, counters = asyncio.run(scenario())
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b'{"error":"The sidecar failed to answer; its log says why"}')
    (record,) = caplog.records
    assert record.__dict__["error"] == "KeyError"
    assert record.__dict__["trace"][-1].endswith(" admit")
    assert "ada@example.com" not in caplog.text
    assert counters.requests == {("/v1/activation", "POST", 500): 1}
    assert counters.in_flight == 0
