"""The demo: the whole product, from a sample Profiles project and its warehouse to live figures of lookups."""

from __future__ import annotations

__all__: list[str] = []
