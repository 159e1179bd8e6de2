"""What keeps the demo from running."""

from __future__ import annotations

from edgeprofile.errors import EdgeProfileError

__all__ = ["DemoError"]


class DemoError(EdgeProfileError):
    """A part of the demo did not start, or ended before its time."""
