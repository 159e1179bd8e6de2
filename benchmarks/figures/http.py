"""What all figures over HTTP share: ready servers, checked answers, interleaved loads."""

import json
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import data, load, serving
from benchmarks.bench import Bench, title
from benchmarks.children import Child, ContenderFailed
from benchmarks.load import Load
from benchmarks.rounds import rotated

Endpoint = Mapping[str, Any]
_WARM_UP = 1.0  # seconds


def ready(bench: Bench, children: Mapping[str, Child], connections: int) -> dict[str, Endpoint]:
    """The endpoints, once each has given the right answer and is warm; a peer that does not is named as absent.

    Raises:
        ContenderFailed: One of ours did not.
    """
    endpoints: dict[str, Endpoint] = {}
    for name, child in children.items():
        with bench.excusing(name):
            endpoint = child.ask({})
            _check(endpoint)
            load.run(endpoint, bodies(endpoint, 1), connections=connections, seconds=_WARM_UP)
            endpoints[name] = endpoint
    return endpoints


def bodies(endpoint: Endpoint, ids: int) -> list[bytes]:
    """Questions for so many profiles; a server that has a question of its own, or none, is asked that."""
    if endpoint["method"] != "POST":
        return [b""]
    if "body" in endpoint:
        return [endpoint["body"].encode()]
    return [serving.question(value) for value in data.identities(ids)]


def interleaved(bench: Bench, names: Sequence[str], run: Callable[[str], Load], what: str) -> dict[str, list[Load]]:
    """Rounds of load, one server after the other; rates and latencies are kept for the report.

    A peer that fails under load is named as absent and takes no further part.

    Raises:
        ContenderFailed: One of ours failed.
    """
    loads: dict[str, list[Load]] = {name: [] for name in names}
    for number in range(bench.settings.http_rounds):
        for name in rotated(list(loads), number):
            with bench.excusing(name):
                loads[name].append(run(name))
                continue
            del loads[name]
    for name, found in loads.items():
        bench.keep(f"{title(name)}, {what}, requests/s", [one.rate for one in found])
        for share in ("p50", "p99"):
            bench.keep(f"{title(name)}, {what}, {share} ms", [getattr(one, share) * 1e3 for one in found])
    return loads


def _check(endpoint: Endpoint) -> None:
    body = bodies(endpoint, 1)[0] or None
    url = endpoint["url"] + endpoint["path"]
    request = urllib.request.Request(url, body, endpoint["headers"], method=endpoint["method"])  # noqa: S310  # ours
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  # http, to a server of ours
        received = response.read()
    if not _right(endpoint, received):
        raise ContenderFailed(f"{url} gives another answer: {received[:200]!r}")


def _right(endpoint: Endpoint, received: bytes) -> bool:
    if "contains" in endpoint:
        return endpoint["contains"].encode() in received
    return bool(json.loads(received) == json.loads(serving.answer(0)))
