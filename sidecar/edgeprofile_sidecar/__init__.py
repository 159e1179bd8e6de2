"""The EdgeProfile sidecar: profiles over HTTP, as the Activation API serves them."""

from __future__ import annotations

__all__: list[str] = []
