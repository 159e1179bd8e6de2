"""The pytest fixture ``edgeprofiles``: say ``pytest_plugins = ["edgeprofile.testing.plugin"]`` in a ``conftest.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgeprofile.testing.memory import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprofile.testing.memory import MemoryProfiles

__all__ = ["edgeprofiles"]


@pytest.fixture
def edgeprofiles() -> Iterator[MemoryProfiles]:
    """Profiles in memory, none at first, for `edgeprofile.get` and the others until the test ends."""
    with serving() as memory:
        yield memory
