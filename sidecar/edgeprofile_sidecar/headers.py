"""What request headers mean."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["is_json", "is_plain", "lines"]

_UTF_8 = frozenset({"", "utf-8", "utf8", "us-ascii"})


@lru_cache(maxsize=64)
def is_json(content_type: str) -> bool:
    """Whether a body of that ``Content-Type`` is JSON in UTF-8; a missing one is taken for it."""
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charset = next((text.removeprefix("charset=").strip('"') for text in parameters if text.startswith("charset=")), "")
    known = media in {"", "application/json"} or (media.startswith("application/") and media.endswith("+json"))
    return known and charset in _UTF_8


def is_plain(content_encoding: str) -> bool:
    """Whether a body of that ``Content-Encoding`` is not compressed."""
    return content_encoding.strip().lower() in {"", "identity"}


def lines(rendered: bytes) -> dict[str, str]:
    """Header lines as a mapping."""
    return dict(line.split(": ", 1) for line in rendered.decode("latin-1").split("\r\n") if line)
