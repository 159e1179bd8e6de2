"""webdis (C, one thread, as the others have one): the whole answer stored as one string in Redis, fetched by GET over HTTP."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import resp
from benchmarks.protocol import CannotMeasure, Round, Spec, serve
from benchmarks.serving import HOST, answer, described

TITLE = "webdis, GET"
REQUIRES = ()
DISTRIBUTIONS = ()
KEY = "webdis-answer"
UNKNOWN = "of unknown version"


@contextmanager
def http(spec: Spec) -> Iterator[Round]:
    program = shutil.which("webdis")
    if program is None:
        raise CannotMeasure("webdis is not on the path (Debian: apt-get install webdis)")
    resp.load(spec["server"], [resp.pack("SET", KEY, answer(0).decode())])
    port = _free_port()
    with tempfile.TemporaryDirectory() as home:
        settings = Path(home, "webdis.json")
        settings.write_text(json.dumps(_settings(spec["server"], port)))
        with subprocess.Popen([program, str(settings)], cwd=home) as process:
            _wait_for(port)
            url = {"url": f"http://{HOST}:{port}", "path": f"/GET/{KEY}.txt", "method": "GET", "headers": {}}
            yield described(url)
            process.terminate()


def _settings(server: dict[str, Any], port: int) -> dict[str, Any]:
    return {
        "redis_host": server["host"],
        "redis_port": server["port"],
        "http_host": HOST,
        "http_port": port,
        "threads": 1,
        "pool_size": 1,  # connections to Redis per thread: with one, commands share writes, and it is fastest
        "daemonize": False,
        "database": 0,
        "verbosity": 0,
    }


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(port: int, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def version() -> str:
    """By Debian's package, for the program does not tell."""
    query = ["dpkg-query", "--show", "--showformat", "${Version}", "webdis"]
    with suppress(FileNotFoundError):
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout or UNKNOWN
    return UNKNOWN


if __name__ == "__main__":
    serve(DISTRIBUTIONS, {"webdis": version()}, http=http)
