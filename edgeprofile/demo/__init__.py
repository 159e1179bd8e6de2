"""The demo: the whole product on an embedded Valkey, with generated users and live figures."""

from __future__ import annotations

__all__: list[str] = []
