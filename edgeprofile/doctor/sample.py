"""The destination's data: some of its keys, found by SCAN and decoded as the product would."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.keeper import Identity
from edgeprofile.doctor.findings import counted, failure, fine, skipped, warning
from edgeprofile.errors import EdgeProfileError, WrongType
from edgeprofile.keys import escape
from edgeprofile.store.reading import Reading, Unasked
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeprofile.config import Destination
    from edgeprofile.doctor.findings import Finding
    from edgeprofile.doctor.line import Line
    from edgeprofile.engine.target import Target

__all__ = ["Sample", "keys_of", "take"]

KEYS: Final = 20
"""Keys that are decoded."""
_COUNT: Final = 1_000
_MOST_SEEN: Final = 200_000
"""Keys of the server that are looked at before the search is given up."""
_MOST_NAMES: Final = 5
_UNKNOWN: Final = "unknown"


class Sample:
    """What some keys of a destination hold. Model names and counts; never ids or traits."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.keys = 0
        self.seen_all = True
        self.types: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.elsewhere = ""
        self.denied = ""

    def judge(self) -> Iterator[Finding]:
        """The findings."""
        if self.denied:
            yield skipped("sample", self.denied, "grant +scan to have some profiles looked at")
        elif not self.keys:
            yield self._nothing()
        elif self.types:
            yield self._other_types()
        else:
            yield fine("sample", f"{counted(self.keys, 'profile')} decoded{self._names(self.models)}")
        if self.broken:
            yield warning(
                "models",
                f"text that is no JSON in {counted(self.broken.total(), 'field')}{self._names(self.broken)}",
                "find out who writes it: it is served as a JSON string",
            )

    def _nothing(self) -> Finding:
        scope = "all keys" if self.seen_all else f"the first {_MOST_SEEN:,} keys"
        what = f"no key of this destination among {scope} of the database"
        if self.elsewhere:
            return warning("sample", what, self.elsewhere)
        return warning("sample", what, "check workspaceId, id, database and layout, and whether anything was synced")

    def _other_types(self) -> Finding:
        found = ", ".join(f"{count} of type {name}" for name, count in self.types.most_common())
        what = f"of {counted(self.keys, 'key')} there are {found}, which are not what the destination's settings say"
        if "ReJSON-RL" in self.types:
            return failure("sample", what, "set useJSONModule = true")
        if self.destination.config.use_json_module and "hash" in self.types:
            return failure("sample", what, "set useJSONModule = false")
        do = "set useJSONModule = true if these are documents of RedisJSON; otherwise find out who writes them"
        return failure("sample", what, do)

    @staticmethod
    def _names(models: Counter[str]) -> str:
        names = [f"{name} ({count})" for name, count in models.most_common(_MOST_NAMES)]
        more = ", …" if len(models) > _MOST_NAMES else ""
        return f": {', '.join(names)}{more}" if names else ""


def take(lines: Sequence[Line], target: Target, destination: Destination, timeout: float) -> Sample:
    """Look at some keys of every node. Raises the `ServiceError` family."""
    sample = Sample(destination)
    deadline = time.monotonic() + timeout
    for line in lines:
        found = keys_of(line, target.layout.pattern, KEYS, deadline)
        if isinstance(found, ErrorReply):
            sample.denied = str(refusal(found, line.node, doing="SCAN"))
            return sample
        keys, complete = found
        sample.seen_all &= complete
        _decode(line, sample, keys)
    if not sample.keys:
        sample.elsewhere = _elsewhere(lines, destination, deadline)
    return sample


def keys_of(line: Line, pattern: bytes, most: int, deadline: float) -> tuple[list[bytes], bool] | ErrorReply:
    """Some keys that match, and whether the whole database was looked at; or why nobody may look."""
    found: dict[bytes, None] = {}
    cursor = b"0"
    for _ in range(_MOST_SEEN // _COUNT):
        reply = line.ask("SCAN", cursor, "MATCH", pattern, "COUNT", _COUNT)
        if isinstance(reply, ErrorReply):
            return reply
        cursor, keys = reply
        found |= dict.fromkeys(keys)
        if cursor == b"0" or len(found) >= most or time.monotonic() > deadline:
            break
    return list(found)[:most], cursor == b"0"


def _decode(line: Line, sample: Sample, keys: list[bytes]) -> None:
    config = sample.destination.config
    reading = Reading(
        layout=sample.destination.layout,
        json_documents=config.use_json_module,
        unreadable=lambda names: sample.broken.update(tuple(names)),
        models=lambda names: sample.models.update(tuple(names)),  # names alone, whatever carries them
    )
    reading.field_ttls = False
    sample.keys += len(keys)
    for key in keys:
        ask = reading.ask(Identity(sample.destination.id, "", "", "", (key,)))
        try:
            found = reading.found(ask, line.send(ask.payload, ask.expects), line.node)
        except WrongType:
            sample.types[_type_of(line, key)] += 1
        except EdgeProfileError:
            if (kind := _type_of(line, key)) != _expected(sample.destination):
                sample.types[kind] += 1
                continue
            raise
        else:
            missing = not isinstance(found, Unasked) and found.raw is None
            sample.keys -= missing  # it went between the two questions


def _type_of(line: Line, key: bytes) -> str:
    try:
        reply: Any = line.ask("TYPE", key)
    except EdgeProfileError:
        reply = None
    return reply.decode() if isinstance(reply, bytes) else _UNKNOWN


def _expected(destination: Destination) -> str:
    return "ReJSON-RL" if destination.config.use_json_module else "hash"


def _elsewhere(lines: Sequence[Line], destination: Destination, deadline: float) -> str:
    """Where the data may be instead, from what other keys there are."""
    workspace = destination.workspace_id.encode()
    profiles = (workspace + b":*", "there are other keys of the workspace: check the destination's id, and legacyKeys")
    streams = (b"*user:*", 'there are keys of event streams: check prefix, or set layout = "event-stream"')
    if destination.layout == "event-stream":
        profiles = (profiles[0], 'there are keys of Profiles: set layout = "profiles"')
        streams = (streams[0], "there are keys of event streams with another prefix: check prefix")
    strangers = (b"*:%b:*:*:*" % escape(destination.id.encode()), "another workspace has such keys: check workspaceId")
    for pattern, advice in (profiles, strangers, streams):
        found = [keys_of(line, pattern, 1, deadline) for line in lines]
        if any(not isinstance(each, ErrorReply) and each[0] for each in found):
            return advice
    return ""
