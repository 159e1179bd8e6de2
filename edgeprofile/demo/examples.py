"""One lookup, twice: in Python and over HTTP, in lines to copy while the demo runs."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import edgeprofile
from edgeprofile.demo import people
from edgeprofile.demo.errors import DemoError
from edgeprofile.demo.sidecar import question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprofile.demo.server import Server
    from edgeprofile.demo.sidecar import Sidecar

__all__ = ["curl", "in_process", "over_http", "python"]

_TIMEOUT = 30.0
_OK = 200


def python(valkey: Server) -> Iterator[str]:
    """The lookup for a Python of one's own, in lines of less than 60 columns."""
    yield "import edgeprofile"
    yield f'edgeprofile.configure(address="{valkey.address}",'
    yield f'  workspace_id="{people.WORKSPACE}", destination_id="{people.DESTINATION}",'
    yield "  cluster_mode=False)"
    yield f'edgeprofile.get("{people.ENTITY}", "{people.ID_TYPE}", "{people.FEATURED}")'


def in_process() -> str:
    """What that lookup returns."""
    return repr(edgeprofile.get(people.ENTITY, people.ID_TYPE, people.FEATURED))


def curl(sidecar: Sidecar) -> Iterator[str]:
    """The lookup for a shell, in lines of less than 60 columns."""
    yield f"TOKEN={sidecar.token}"
    yield f"curl -sS http://{sidecar.address}/v1/activation \\"
    yield '  -H "Authorization: Bearer $TOKEN" \\'
    yield "  -H 'Content-Type: application/json' \\"
    yield f"""  -d '{{"entity":"{people.ENTITY}","destinationId":"{people.DESTINATION}","""
    yield f"""       "id":{{"type":"{people.ID_TYPE}","value":"{people.FEATURED}"}}}}'"""


def over_http(sidecar: Sidecar) -> str:
    """What the sidecar answers. Raises `DemoError`."""
    connection = http.client.HTTPConnection(sidecar.address, timeout=_TIMEOUT)
    headers = {"Authorization": f"Bearer {sidecar.token}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/activation", question(people.FEATURED), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise DemoError(f"the sidecar does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != _OK:
        raise DemoError(f"the sidecar answered with {answer.status}: {text}")
    return text
