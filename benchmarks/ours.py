"""How EdgeProfile is set up for the measurements: its defaults, with room for everything and nothing expiring."""

from typing import Any

from benchmarks import data
from benchmarks.protocol import Spec

FILL = 1_000  # ids that one `get_many` warms


def configuration(spec: Spec, **cache: Any) -> dict[str, Any]:
    """A configuration for the server of the specification; keywords change `[cache]`."""
    server = spec["server"]
    redis = {"address": f"{server['host']}:{server['port']}", "clusterMode": False}
    destination = {"id": data.DESTINATION, "workspaceId": data.WORKSPACE, "type": "REDIS", "config": redis}
    return {"destinations": [destination], "cache": {"maxBytes": "8GiB", "ttl": "6h", **cache}}


def chunks(ids: list[str]) -> list[list[str]]:
    """The ids in portions that one `get_many` fetches."""
    return [ids[start : start + FILL] for start in range(0, len(ids), FILL)]
