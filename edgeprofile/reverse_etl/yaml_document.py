"""YAML that remembers where everything stood, so that an error can name file, line and key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from edgeprofile.reverse_etl.errors import ProjectError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Spot", "load"]

_KINDS = {yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}

_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Spot:
    """One node of a document: ``file`` as shown to the user, ``key`` its dotted path from the root."""

    file: str
    key: str
    node: yaml.Node

    @property
    def line(self) -> int:
        """The line of the node, 1-based."""
        return int(self.node.start_mark.line) + 1

    def error(self, message: str) -> ProjectError:
        """An error about this place, to be raised."""
        return ProjectError(message, source=self.file, line=self.line, key=self.key or None)

    @property
    def is_null(self) -> bool:
        """Whether nothing was written here (``key:``, ``~`` or ``null``)."""
        return self.node.tag == "tag:yaml.org,2002:null"

    @property
    def is_mapping(self) -> bool:
        """Whether this is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    def mapping(self) -> dict[str, Spot]:
        """Its members by key; an empty node has none. Raises ``ProjectError`` where it is no mapping."""
        if self.is_null:
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"must be a mapping, not {_KINDS[type(self.node)]}")
        members: dict[str, Spot] = {}
        for key, value in self.node.value:
            if key.tag == _MERGE:
                members = {**self._merged(value), **members}
        own = {key.value: self._child(f".{key.value}", value) for key, value in self.node.value if key.tag != _MERGE}
        return {**members, **own}

    def _merged(self, node: yaml.Node) -> dict[str, Spot]:
        """What ``<<`` brings: the members of one mapping, or of several, of which the first wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        members: dict[str, Spot] = {}
        for source in sources:
            members = {**Spot(self.file, self.key, source).mapping(), **members}
        return members

    def sequence(self) -> list[Spot]:
        """Its items; an empty node has none. Raises ``ProjectError`` where it is no list."""
        if self.is_null:
            return []
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error(f"must be a list, not {_KINDS[type(self.node)]}")
        return [self._child(f"[{index}]", value) for index, value in enumerate(self.node.value)]

    def text(self) -> str:
        """Its text, never empty. Raises ``ProjectError`` where it is no single value."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error(f"must be a name, not {_KINDS[type(self.node)]}")
        if self.is_null or not self.node.value.strip():
            raise self.error("must not be empty")
        return str(self.node.value)

    def _child(self, step: str, node: yaml.Node) -> Spot:
        return Spot(self.file, f"{self.key}{step}".removeprefix("."), node)


def load(path: Path, shown: str | None = None) -> Spot:
    """The root of the YAML file at ``path``; ``shown`` is how errors call it.

    Raises ``ProjectError`` where the file cannot be read, is empty, or is no YAML.
    """
    shown = shown or str(path)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ProjectError(f"cannot be read: {reason}", source=shown) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 0
        raise ProjectError(f"is not YAML: {getattr(error, 'problem', error)}", source=shown, line=line) from error
    if root is None:
        raise ProjectError("is empty", source=shown)
    return Spot(shown, "", root)
