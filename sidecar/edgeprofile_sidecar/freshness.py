"""What an answer says of its data's freshness: ``Cache-Status`` (RFC 9211), ``Age``, ``Server-Timing``, and a strong ``ETag``."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from edgeprofile_sidecar.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeprofile import EncodedProfile

__all__ = ["headers", "tag", "unless"]

_DIGEST = 12  # bytes
_TAG = re.compile(r'(?:W/)?("[^"]*")')


def tag(data: bytes) -> bytes:
    """The entity tag of the data, in its quotes; equal data has equal tags, in whichever process."""
    return b'"%b"' % hashlib.blake2b(data, digest_size=_DIGEST).hexdigest().encode()


def headers(found: EncodedProfile, tag: bytes, seconds: float = 0.0) -> bytes:
    """The header lines of an answer with this profile; a stale one has a negative ``ttl``.

    Args:
        found: The profile.
        tag: Its entity tag.
        seconds: How long Redis took, if it was asked.
    """
    if not found.hit:
        stored = b"; stored" if found.ttl > 0 else b""
        status, timing = b"fwd=miss%b" % stored, b"redis;dur=%.3f" % (seconds * 1_000)
    elif found.stale:
        status, timing = b"hit; ttl=%d; detail=stale-if-error" % (found.ttl // 1), b"cache;desc=stale"
    else:
        status, timing = b"hit; ttl=%d" % found.ttl, b"cache;desc=hit"
    return b"Cache-Status: edgeprofile; %b\r\nAge: %d\r\nETag: %b\r\nServer-Timing: %b\r\n" % (
        status,
        found.age,
        tag,
        timing,
    )


def unless(answer: Answer, wanted_not: Iterable[str]) -> Answer:
    """The answer, or 304 if its tag is among those of ``If-None-Match`` headers."""
    text = ",".join(wanted_not)
    if not text or not answer.tag or (text.strip() != "*" and answer.tag.decode() not in _TAG.findall(text)):
        return answer
    return Answer(304, b"", answer.headers)
