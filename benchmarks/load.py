"""Load over HTTP: wrk, or h2load to keep a rate; where they are not on the path, generators of our own, named as such."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from benchmarks import h2load
from benchmarks.children import Child, ContenderFailed

_MOST_FAILED = 0.005
_REPORT = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests":%d,"microseconds":%d,"failed":%d,"p50":%f,"p90":%f,"p99":%f,"p999":%f,"worst":%f}\\n',
    summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max))
end
"""


class Load(msgspec.Struct, frozen=True):
    """What one run of the generator found; latencies in seconds."""

    rate: float
    p50: float
    p90: float
    p99: float
    p999: float
    worst: float


def generator() -> str:
    """The generator's name, and its version if it tells, for the report."""
    if not shutil.which("wrk"):
        return "benchmarks.clients (asyncio; wrk is not on the path)"
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return " ".join((said.stdout + said.stderr).split()[:2])


def pacer() -> str:
    """As `generator`, for the one that keeps a rate."""
    return h2load.version() if h2load.is_here() else "benchmarks.paced (h2load is not on the path)"


def run(endpoint: Mapping[str, Any], bodies: Sequence[bytes], *, connections: int, seconds: float) -> Load:
    """Keep `connections` requests under way for `seconds`, the bodies in turn.

    Raises:
        ContenderFailed: More than one request in two hundred failed or was answered with an error.
    """
    if shutil.which("wrk"):
        return _load(_wrk(_script(endpoint, bodies) + _REPORT, endpoint, connections, seconds), endpoint)
    spec = {"bodies": [body.decode() for body in bodies]}
    return _load(_own("clients", endpoint, spec, {"connections": connections, "seconds": seconds}), endpoint)


def paced(endpoint: Mapping[str, Any], body: bytes, *, connections: int, seconds: float, rate: float) -> Load:
    """Ask `rate` times a second: by h2load, else by `benchmarks.paced`; the rate returned is that of the answers."""
    if h2load.is_here():
        return _load(h2load.paced(endpoint, body, connections=connections, seconds=seconds, rate=rate), endpoint)
    request = {"connections": connections, "seconds": seconds, "rate": rate}
    return _load(_own("paced", endpoint, {"body": body.decode()}, request), endpoint)


def _load(found: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Load:
    if not found["requests"] or found["failed"] > _MOST_FAILED * found["requests"]:
        raise ContenderFailed(f"{found['failed']} of {found['requests']} requests to {endpoint['path']} failed")
    latencies = {name: found[name] / 1e6 for name in ("p50", "p90", "p99", "p999", "worst")}
    return Load(rate=found["requests"] / found["microseconds"] * 1e6, **latencies)


def _wrk(text: str, endpoint: Mapping[str, Any], connections: int, seconds: float) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(text)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
        done = subprocess.run(
            [*command, "-s", script.name, endpoint["url"]],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 60,
        )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            return found
    raise ContenderFailed(f"wrk failed: {done.stderr or done.stdout}")


def _script(endpoint: Mapping[str, Any], bodies: Sequence[bytes]) -> str:
    """Requests formatted once, before the run, so that Lua costs nothing during it."""
    headers = "".join(f"[{json.dumps(name)}]={json.dumps(value)}," for name, value in endpoint["headers"].items())
    texts = ",".join(json.dumps(body.decode()) for body in bodies) or "false"
    return f"""
local requests, position = {{}}, 0
init = function()
  for index, body in ipairs({{{texts}}}) do
    requests[index] = wrk.format({json.dumps(endpoint["method"])}, {json.dumps(endpoint["path"])}, {{{headers}}}, body or nil)
  end
end
request = function()
  position = position % #requests + 1
  return requests[position]
end
"""


def _own(
    module: str, endpoint: Mapping[str, Any], spec: Mapping[str, Any], request: Mapping[str, Any]
) -> dict[str, Any]:
    whole = {"task": "http", "endpoint": dict(endpoint), **spec}
    with Child(f"benchmarks.{module}", whole, sys.executable) as child:
        return child.wait_ready().ask(request, request["seconds"] + 60)
