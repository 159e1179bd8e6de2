"""One configured destination at run time: how its identities become keys, questions and profiles."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edgeprofile.core.keeper import Identity
from edgeprofile.keys import Layout
from edgeprofile.store.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgeprofile.config import Destination
    from edgeprofile.metrics import Counters

__all__ = ["Target"]

logger = logging.getLogger("edgeprofile")


class Target:
    """A destination: its layout, its way of reading, and what was wrong with its data so far."""

    def __init__(self, destination: Destination, counters: Counters, siblings: tuple[str, ...]) -> None:
        self.id = destination.id
        self.config = destination.config
        self.legacy = destination.legacy_keys
        self.layout = Layout(
            destination.workspace_id,
            destination.id,
            destination.config.prefix,
            destination.layout,
            legacy=destination.legacy_keys,
            siblings=siblings,
        )
        self.reading = Reading(
            layout=destination.layout,
            json_documents=destination.config.use_json_module,
            unreadable=self._unreadable,
            models=self._found,
            rule=f"%R~{self.layout.pattern.decode()}",
        )
        self._counters = counters
        self._reported: set[str] = set()

    def identity(self, entity: str, id_type: str, value: str) -> Identity:
        """The profile that callers name by these three. Raises `InvalidIdentity`."""
        return Identity(self.id, entity, id_type, value, self.layout.keys(entity, id_type, value))

    def identities(self, key: bytes) -> Iterator[tuple[str, str, str, str]]:
        """All that a caller could name to be given this key."""
        for entity, id_type, value in self.layout.identities(key):
            yield self.id, entity, id_type, value

    def _found(self, models: Iterable[str]) -> None:
        self._counters.found[self.id] += 1
        counts = self._counters.models[self.id]
        for model in models:
            if model in counts or len(counts) < _MOST_MODELS:
                counts[model] += 1

    def _unreadable(self, models: tuple[str, ...]) -> None:
        self._counters.unreadable_models += len(models)
        for model in models:
            if model not in self._reported and len(self._reported) < _MOST_REPORTS:
                self._reported.add(model)
                logger.warning(
                    "destination %s: model %r holds text that is no JSON; it is served as a JSON string", self.id, model
                )


_MOST_REPORTS = 100
_MOST_MODELS = 100
