"""EdgeProfile's sidecar, as its command starts it."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.ours import configuration
from benchmarks.protocol import Round, Spec, serve
from benchmarks.serving import HOST, described, endpoint

TITLE = "edgeprofile sidecar"
REQUIRES = ()
DISTRIBUTIONS = ("edgeprofile", "aiohttp", "uvloop", "msgspec", "prometheus-client")
_PROGRAM = Path(sys.executable).with_name("edgeprofile")
_PATIENCE = 20.0  # seconds to become ready


@contextmanager
def http(spec: Spec) -> Iterator[Round]:
    ports = _free_port(), _free_port()
    with tempfile.TemporaryDirectory() as home:
        file = Path(home, "edgeprofile.toml")
        file.write_text(_toml(_configuration(spec, Path(home), *ports)))
        token = _token(file)
        with subprocess.Popen([_PROGRAM, "sidecar", "--config", file]) as process:
            try:
                _wait_ready(ports[1], process)
                yield described(endpoint(ports[0], token), lambda: _cpu_seconds(process.pid))
            finally:
                process.terminate()


def _configuration(spec: Spec, home: Path, port: int, admin: int) -> dict[str, Any]:
    listen = {"listen": [f"{HOST}:{port}"], "adminListen": f"{HOST}:{admin}", "tokensFile": str(home / "tokens.json")}
    return {**configuration(spec, **spec.get("cache", {})), "sidecar": listen}


def _toml(configured: Mapping[str, Any]) -> str:
    """Just enough TOML for a configuration: JSON's strings, numbers, booleans and arrays are TOML's too."""
    lines = []
    for destination in configured["destinations"]:
        plain = {name: value for name, value in destination.items() if name != "config"}
        lines += ["[[destinations]]", *_pairs(plain), "[destinations.config]", *_pairs(destination["config"])]
    for section in ("cache", "sidecar"):
        lines += [f"[{section}]", *_pairs(configured[section])]
    return "\n".join(lines) + "\n"


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in table.items()]


def _token(file: Path) -> str:
    command: list[str | Path] = [_PROGRAM, "token", "create", "--destination", data.DESTINATION, "--config", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"no token: {done.stderr}")
    return str(done.stdout.split()[-1])


def _wait_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the sidecar did not become ready (exit code {process.returncode})")
        time.sleep(0.05)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=2) as response:  # http, to ourselves
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def _cpu_seconds(pid: int) -> float:
    """Processor time of another process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    serve(DISTRIBUTIONS, http=http)
