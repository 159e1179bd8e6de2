"""The demo's configuration: one file for library, sidecar and sync."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from edgeprofile.demo import people

if TYPE_CHECKING:
    from edgeprofile.demo.processes import Household
    from edgeprofile.demo.server import Server

__all__ = ["PROJECT", "WAREHOUSE", "write"]

PROJECT: Final = Path(__file__).parent / "project"
"""The Profiles project that belongs to the warehouse."""

WAREHOUSE: Final = "warehouse.duckdb"
"""The name of the warehouse's file, in the same directory as the configuration."""

_CONFIGURATION: Final = """\
[[destinations]]
id = "{destination}"
workspaceId = "{workspace}"
type = "REDIS"

[destinations.config]
address = "{address}"
clusterMode = false

[limits]
timeout = "10s"
connectTimeout = "10s"

[sidecar]
listen = ["127.0.0.1:0"]
adminListen = ""
tokensFile = "tokens.json"
drainTimeout = "1s"

[sync]
project = {project}
warehouse = {warehouse}
"""


def write(house: Household, server: Server) -> Path:
    """Write the file into the directory of the demo; where it is."""
    file = house.directory / "edgeprofile.toml"
    file.write_text(
        _CONFIGURATION.format(
            destination=people.DESTINATION,
            workspace=people.WORKSPACE,
            address=server.address,
            project=_quoted(str(PROJECT)),
            warehouse=_quoted(f"duckdb://{house.directory / WAREHOUSE}"),
        )
    )
    return file


def _quoted(text: str) -> str:
    """Text for TOML, whose escapes are JSON's."""
    return msgspec.json.encode(text).decode()
